//! Files that are there whole or not at all.

use std::{fs, io, io::Write as _, path::Path};

use crate::ArtifactError;

/// Writes a file so that it is never seen half written, and creates the folders above it.
///
/// The bytes go to a temporary name in the same folder, are flushed to the disk, and the name is
/// changed; when that fails, the temporary file is removed and an earlier file stays as it was.
///
/// # Errors
/// [`ArtifactError::Io`] naming the file.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), ArtifactError> {
    let path = path.as_ref();
    write(path, bytes).map_err(|source| ArtifactError::Io {
        action: "write",
        path: path.into(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-");
    // Temporary files are private by default; this one becomes an ordinary file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The content of a file.
///
/// # Errors
/// [`ArtifactError::Io`] naming the file.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, ArtifactError> {
    let path = path.as_ref();
    fs::read(path).map_err(|source| ArtifactError::Io { action: "read", path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn folders_are_made_and_files_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c");
        write_whole(&path, b"first").unwrap();
        write_whole(&path, b"2nd").unwrap();
        assert_eq!(read(&path).unwrap(), b"2nd");
        assert_eq!(names(&dir.path().join("a/b")), ["c"]);
    }

    #[test]
    fn a_failure_names_the_file_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        // A folder stands where the file should be: the last step, the rename, fails.
        let path = dir.path().join("taken");
        fs::create_dir_all(path.join("inside")).unwrap();
        let error = write_whole(&path, b"bytes").unwrap_err().to_string();
        assert_eq!(error, format!("cannot write {}", path.display()));
        assert_eq!(names(dir.path()), ["taken"]);
    }

    #[cfg(unix)]
    #[test]
    fn files_have_ordinary_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (ours, plain) = (dir.path().join("ours"), dir.path().join("plain"));
        write_whole(&ours, b"").unwrap();
        fs::write(&plain, b"").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
