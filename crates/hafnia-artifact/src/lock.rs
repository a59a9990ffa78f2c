//! One writer per folder.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::error::ArtifactError;
use crate::whole::check_file;

/// A folder that no other process writes into while this is there.
///
/// Processes agree by a lock on the file `.lock` in the folder, which ends with the process, however
/// that ends; those that share the work share the lock. A file system without locks lets everybody
/// in.
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
        Self::of(folder.as_ref(), File::try_lock)
    }

    /// Shares a folder, which is made if it is missing, with others that share it.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] naming the folder, also if another process has it for itself.
    pub fn share(folder: impl AsRef<Path>) -> Result<Self, ArtifactError> {
        Self::of(folder.as_ref(), File::try_lock_shared)
    }

    /// Takes a folder, which is made if it is missing, once nobody has it any more.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] naming the folder.
    pub fn wait(folder: impl AsRef<Path>) -> Result<Self, ArtifactError> {
        Self::of(folder.as_ref(), |file| file.lock().map_err(TryLockError::Error))
    }

    fn of(
        folder: &Path,
        lock: impl Fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, ArtifactError> {
        let take = || {
            fs::create_dir_all(folder)?;
            let path = folder.join(".lock");
            check_file(&path)?;
            let mut options = File::options();
            let file = options.create(true).truncate(false).write(true).open(path)?;
            match lock(&file) {
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
        let [one, other] = [FolderLock::share(&folder), FolderLock::share(&folder)];
        FolderLock::take(&folder).unwrap_err();
        drop((one.unwrap(), other.unwrap()));
        FolderLock::wait(&folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::os::unix::fs::symlink(&target, dir.path().join(".lock")).unwrap();
        FolderLock::take(dir.path()).unwrap_err();
        assert!(!target.exists());
    }
}
