//! Files that are there whole or not at all.

use std::{fs, io, io::Write as _, path::Path};

use crate::error::ArtifactError;

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

/// Writes a folder of files so that it is never seen half written, and creates the folders above
/// it.
///
/// The files, given by their paths in the folder, go to a folder of a temporary name beside it, and
/// the name is changed. A folder that stands there is replaced if it is empty or holds the file
/// `marker`, so that a mistaken path removes nothing of worth.
///
/// # Errors
/// [`ArtifactError::Io`] naming the folder.
pub fn write_whole_folder(
    path: impl AsRef<Path>,
    marker: &str,
    files: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> Result<(), ArtifactError> {
    let path = path.as_ref();
    write_folder(path, marker, files).map_err(|source| ArtifactError::Io {
        action: "write",
        path: path.into(),
        source,
    })
}

fn write_folder(
    path: &Path,
    marker: &str,
    files: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> io::Result<()> {
    let above = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(above)?;
    let stands = fs::exists(path)?;
    if stands && !fs::exists(path.join(marker))? && fs::read_dir(path)?.next().is_some() {
        let message = format!("it is not empty and has no {marker}");
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    let beside = tempfile::Builder::new().prefix(".writing-").tempdir_in(above)?;
    let (new, old) = (beside.path().join("new"), beside.path().join("old"));
    fs::create_dir(&new)?;
    for (name, bytes) in files {
        write(&new.join(name), &bytes)?;
    }
    if stands {
        fs::rename(path, old)?;
    }
    fs::rename(new, path)
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

    #[test]
    fn folders_are_replaced_only_if_they_are_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/program");
        let files = |names: &[&str]| {
            let file = |name: &&str| ((*name).to_owned(), name.as_bytes().to_vec());
            names.iter().map(file).collect::<Vec<_>>()
        };
        write_whole_folder(&path, "marker", files(&["marker", "b/c"])).unwrap();
        write_whole_folder(&path, "marker", files(&["d"])).unwrap();
        assert_eq!(
            (names(&path), names(&dir.path().join("a"))),
            (vec!["d".into()], vec!["program".into()])
        );
        assert_eq!(read(path.join("d")).unwrap(), b"d");

        let error = write_whole_folder(&path, "marker", files(&["e"])).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "it is not empty and has no marker");
        assert_eq!(names(&path), ["d"]);
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
