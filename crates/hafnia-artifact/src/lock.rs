//! One writer per folder.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::error::ArtifactError;

/// A folder that no other process writes into while this is there.
///
/// Processes agree by a lock on the file `.lock` in the folder, which ends with the process, however
/// that ends. A file system without locks lets everybody in.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes a folder, which is made if it is missing.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] naming the folder, also if another process has it.
    pub fn take(folder: impl AsRef<Path>) -> Result<Self, ArtifactError> {
        let folder = folder.as_ref();
        let take = || {
            fs::create_dir_all(folder)?;
            let mut options = File::options();
            let file =
                options.create(true).truncate(false).write(true).open(folder.join(".lock"))?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "another process is writing into it; wait for its end or choose another folder",
                )),
                Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
                    Err(error)
                }
                _ => Ok(Self { _file: file }),
            }
        };
        take().map_err(|source| ArtifactError::Io {
            action: "write into",
            path: folder.into(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_writer_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a");
        let first = FolderLock::take(&folder).unwrap();
        let error = FolderLock::take(&folder).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write into {}", folder.display()));
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with("another process is writing into it"));
        drop(first);
        FolderLock::take(&folder).unwrap();
    }
}
