//! The data set that a user names: its form is told by what is there.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use hafnia_artifact::{Digest, read};

use crate::{
    arrays, cifar,
    error::DataError,
    idx,
    mnist::{self, File, Files},
    parts::Parts,
    pictures,
    split_dataset::{Origin, SplitDataset},
};

/// The forms that a data set may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A file, whose content tells what it is.
    File,
    /// The four files of MNIST, or of a set in its form.
    Idx,
    /// The batches of CIFAR-10.
    Cifar,
    /// Arrays in `.npy` files.
    Arrays,
    /// Folders of PNG files, by class.
    Pictures,
}

impl Form {
    fn of(path: &Path) -> Option<Self> {
        let has = |name: &&str| path.join(name).exists();
        let entries = || fs::read_dir(path).into_iter().flatten().flatten();
        let is_array = |name: &str| name.ends_with(arrays::ENDING);
        if !path.is_dir() {
            Some(Self::File)
        } else if mnist::FULL.iter().any(|file| path_of(path, file).is_ok()) {
            Some(Self::Idx)
        } else if cifar::BATCHES.iter().any(has) {
            Some(Self::Cifar)
        } else if entries().any(|entry| is_array(&entry.file_name().to_string_lossy())) {
            Some(Self::Arrays)
        } else if entries().any(|entry| entry.path().is_dir()) {
            Some(Self::Pictures)
        } else {
            None
        }
    }
}

/// The files of a data set that a user names, as far as they are there.
pub fn files_in(path: &Path) -> Vec<PathBuf> {
    let in_folder = |names: &[String]| {
        names.iter().map(|name| path.join(name)).filter(|path| path.exists()).collect()
    };
    match Form::of(path) {
        None => Vec::new(),
        Some(Form::File) => vec![path.to_owned()],
        Some(Form::Idx) => mnist::FULL.iter().filter_map(|file| path_of(path, file).ok()).collect(),
        Some(Form::Cifar) => in_folder(&cifar::BATCHES.map(str::to_owned)),
        Some(Form::Arrays) => in_folder(&array_files(path)),
        Some(Form::Pictures) => pictures::files(path).unwrap_or_default(),
    }
}

/// The data set that a user names, which takes the name of its folder or file.
///
/// If a single file is MNIST's, all four must be.
pub(crate) fn read_set(files: &Files, path: &Path) -> Result<SplitDataset, DataError> {
    let place = path.display().to_string();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let name_of =
        |name: Option<&std::ffi::OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
    let name = name_of(absolute.file_name());
    let folder = Origin::Folder(path.into());
    match Form::of(path) {
        None => Err(DataError::Form { path: path.into() }),
        Some(Form::Idx) => read_idx(files, path, &name),
        Some(Form::File) => {
            let bytes = read(path)?;
            let digests = BTreeMap::from([(name, Digest::of(&bytes))]);
            let name = name_of(absolute.file_stem());
            let parts = match bytes {
                _ if bytes.starts_with(b"PK") => arrays::parse_archive(&place, &name, &bytes)?,
                _ if bytes.starts_with(b"\x93NUMPY") => {
                    arrays::parse_images(&place, &name, &bytes)?
                }
                _ => return Err(DataError::Form { path: path.into() }),
            };
            SplitDataset::new(&name, parts, Origin::File(path.into()), digests)
        }
        Some(Form::Cifar) => {
            let mut digests = BTreeMap::new();
            let mut read = |batch: &&str| {
                let path = path.join(batch);
                let bytes = read(&path)?;
                digests.insert((*batch).to_owned(), Digest::of(&bytes));
                Ok((path.display().to_string(), bytes))
            };
            let (train, test) = cifar::BATCHES.split_at(cifar::BATCHES.len() - 1);
            let mut parse = |part, batches: &[&str]| {
                cifar::parse(&format!("{name}/{part}"), batches.iter().map(&mut read))
            };
            let (train, test) = (Some(parse("train", train)?), Some(parse("test", test)?));
            SplitDataset::new(&name, Parts { train, test, ..Parts::default() }, folder, digests)
        }
        Some(Form::Arrays) => {
            let mut digests = BTreeMap::new();
            let parts = arrays::parse(&place, &name, &array_files(path), &mut |array| {
                let file = format!("{array}{}", arrays::ENDING);
                let bytes = read(path.join(&file))?;
                digests.insert(file, Digest::of(&bytes));
                Ok(bytes)
            })?;
            SplitDataset::new(&name, parts, folder, digests)
        }
        Some(Form::Pictures) => {
            let (parts, digest) = pictures::read_folder(path, &name)?;
            SplitDataset::new(&name, parts, folder, BTreeMap::from([(format!("{name}/"), digest)]))
        }
    }
}

/// The names of the files of arrays in a folder, in order.
fn array_files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(arrays::ENDING)).collect();
    names.sort();
    names
}

/// The data set in four files, named `name` if none of them is MNIST's.
fn read_idx(files: &Files, folder: &Path, name: &str) -> Result<SplitDataset, DataError> {
    let mut contents = [const { Vec::new() }; 4];
    let mut checks = Vec::new();
    for (content, file) in contents.iter_mut().zip(files) {
        let path = path_of(folder, file)?;
        let place = path.display().to_string();
        *content = idx::uncompressed(&place, read(&path)?, mnist::LIMIT)?;
        checks.push(file.check(&place, content));
    }
    let origin = Origin::Folder(folder.into());
    if checks.iter().all(Result::is_err) {
        return SplitDataset::parse(name, files, contents, origin);
    }
    checks.into_iter().collect::<Result<(), _>>()?;
    SplitDataset::parse("mnist", files, contents, origin)
}

/// Where a file of MNIST is, under any of its usual names.
pub(crate) fn path_of(folder: &Path, file: &File) -> Result<PathBuf, DataError> {
    let dotted = file.name.replacen("-idx", ".idx", 1);
    let names = [file.name, &dotted].map(|name| [name.to_owned(), format!("{name}.gz")]);
    let path = names.as_flattened().iter().map(|name| folder.join(name)).find(|path| path.exists());
    path.ok_or_else(|| DataError::Missing { folder: folder.into(), name: file.name })
}
