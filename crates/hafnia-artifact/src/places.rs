//! Where a command reads and writes, checked before any work is done.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf, absolute};

use crate::error::ArtifactError;
use crate::whole::{check_writable, refused};

/// The files that a command reads, and those it writes.
///
/// An output is never an input of the same command nor another of its outputs, whatever the names
/// by which they go, and can be written.
#[derive(Debug, Default)]
pub struct Places {
    inputs: Vec<PathBuf>,
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// What tells one file from another.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// The path without links and detours.
    real: PathBuf,
    /// Device and number of what stands there, which all its names share.
    node: Option<(u64, u64)>,
}

impl Places {
    /// No places.
    pub fn new() -> Self {
        Self::default()
    }

    /// With files that are read.
    #[must_use]
    pub fn reads<P: Into<PathBuf>>(mut self, files: impl IntoIterator<Item = P>) -> Self {
        self.inputs.extend(files.into_iter().map(Into::into));
        self
    }

    /// With a folder whose files are read.
    #[must_use]
    pub fn reads_folder(mut self, folder: impl AsRef<Path>) -> Self {
        // What cannot be listed cannot be read either, which is said then.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self = self.reads_folder(entry.path()),
                _ => self.inputs.push(entry.path()),
            }
        }
        self
    }

    /// With files that are written.
    #[must_use]
    pub fn writes<P: Into<PathBuf>>(mut self, files: impl IntoIterator<Item = P>) -> Self {
        self.files.extend(files.into_iter().map(Into::into));
        self
    }

    /// With a folder that is written as a whole.
    #[must_use]
    pub fn writes_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folders.push(folder.into());
        self
    }

    /// Checks that no output is an input or another output, and that all files can be written; who
    /// writes folders checks them by
    /// [`check_writable_folder`](crate::check_writable_folder). Nothing is changed but that the
    /// folders above files are created.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] naming the output.
    pub fn check(&self) -> Result<(), ArtifactError> {
        let all = |paths: &[PathBuf]| paths.iter().map(Place::of).collect::<io::Result<Vec<_>>>();
        let unwritable = |path: &Path| {
            let path = path.to_owned();
            move |source| ArtifactError::Io { action: "write", path, source }
        };
        let first = || self.files.iter().chain(&self.folders).next().cloned().unwrap_or_default();
        let (inputs, files, folders) = all(&self.inputs)
            .and_then(|inputs| Ok((inputs, all(&self.files)?, all(&self.folders)?)))
            .map_err(unwritable(&first()))?;
        for (index, output) in files.iter().chain(&folders).enumerate() {
            let before = files.iter().chain(&folders).take(index);
            let fault = inputs
                .iter()
                .find(|input| output.is(input))
                .map(|_| "it is an input of the same command: choose another output".to_owned())
                .or_else(|| {
                    before.clone().find(|other| output.is(other)).map(|_| {
                        "it is another output of the same command: choose different ones".to_owned()
                    })
                })
                .or_else(|| {
                    let above = folders.iter().find(|folder| output.is_in(folder))?;
                    Some(format!("it is in {}, which is replaced as a whole", above.path.display()))
                })
                .or_else(|| {
                    let is_folder = index >= files.len();
                    let input = inputs.iter().find(|input| is_folder && input.is_in(output))?;
                    let input = input.path.display();
                    Some(format!(
                        "it holds {input}, an input of the same command: choose another output"
                    ))
                });
            if let Some(fault) = fault {
                return Err(unwritable(&output.path)(refused(fault)));
            }
        }
        self.files.iter().try_for_each(check_writable)
    }
}

impl Place {
    fn of(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let node = fs::metadata(path).ok().and_then(|found| node(&found));
        Ok(Self { path: path.to_owned(), real: real(path)?, node })
    }

    fn is(&self, other: &Self) -> bool {
        self.real == other.real || (self.node.is_some() && self.node == other.node)
    }

    fn is_in(&self, folder: &Self) -> bool {
        self.real != folder.real && self.real.starts_with(&folder.real)
    }
}

#[cfg(unix)]
fn node(found: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn node(_: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

/// The path without links and detours, as far as it is there.
fn real(path: &Path) -> io::Result<PathBuf> {
    let mut real = PathBuf::new();
    for part in absolute(path)?.components() {
        match part {
            Component::ParentDir => drop(real.pop()),
            part => real.push(part),
        }
        if let Ok(found) = fs::canonicalize(&real) {
            real = found;
        }
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(places: &Places) -> String {
        match places.check() {
            Ok(()) => String::new(),
            Err(error) => std::error::Error::source(&error).unwrap().to_string(),
        }
    }

    #[test]
    fn an_output_is_no_input_and_no_other_output_by_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("sub/folder")).unwrap();
        for name in ["in", "sub/folder/in"] {
            fs::write(at(name), "kept").unwrap();
        }
        let read =
            |name: &str| Places::new().reads([at("in"), at("sub/folder/in")]).writes([at(name)]);
        let is_input = "it is an input of the same command: choose another output";
        assert_eq!(fault(&read("in")), is_input);
        assert_eq!(fault(&read("sub/../in")), is_input);
        assert_eq!(fault(&read("none/../in")), is_input);
        assert_eq!(fault(&read("out")), "");
        #[cfg(unix)]
        {
            fs::hard_link(at("in"), at("hard")).unwrap();
            assert_eq!(fault(&read("hard")), is_input);
            std::os::unix::fs::symlink(at("sub"), at("link")).unwrap();
            assert_eq!(fault(&read("link/folder/in")), is_input);
        }
        let two = Places::new().writes([at("new/a"), at("new/./a")]);
        assert_eq!(fault(&two), "it is another output of the same command: choose different ones");
        assert!(!at("new").exists(), "nothing is made for outputs that are refused");

        let folder = |place: &str| read("out").writes_folder(at(place));
        assert_eq!(fault(&folder("new")), "");
        let inside = at("sub/folder/in");
        let holds = format!(
            "it holds {}, an input of the same command: choose another output",
            inside.display()
        );
        assert_eq!(fault(&folder("sub/folder")), holds);
        let inside = Places::new().writes([at("new/a")]).writes_folder(at("new"));
        let expected = format!("it is in {}, which is replaced as a whole", at("new").display());
        assert_eq!(fault(&inside), expected);
        let folder = Places::new().reads_folder(at("sub")).writes([at("sub/folder/in")]);
        assert_eq!(fault(&folder), is_input);
    }
}
