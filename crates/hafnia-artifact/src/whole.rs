//! Files and folders that are there whole or not at all, and that replace nothing of another's.

use std::collections::HashSet;
use std::fs::{self, File, FileType, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::ArtifactError;

/// What the names of files and folders that are being written begin with.
const TEMPORARY: &str = ".writing-";

/// Writes a file so that it is never seen half written, and creates the folders above it.
///
/// The bytes go to a temporary name in the same folder, are flushed to the disk, and the name is
/// changed; when that fails, the temporary file is removed and an earlier file stays as it was.
/// Temporary files that killed processes left in the folder are removed.
///
/// # Errors
/// [`ArtifactError::Io`] naming the file, also if something else than a file stands there: a folder,
/// symbolic link, device, pipe or socket is neither replaced nor written through.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), ArtifactError> {
    let path = path.as_ref();
    write(path, bytes).map_err(|source| ArtifactError::Io {
        action: "write",
        path: path.into(),
        source,
    })
}

/// Whether [`write_whole`] could write this file: what stands there is a file or nothing, and files
/// can be made beside it. Nothing is changed but that the folders above are created.
///
/// # Errors
/// As [`write_whole`].
pub fn check_writable(path: impl AsRef<Path>) -> Result<(), ArtifactError> {
    let path = path.as_ref();
    let check = || {
        check_file(path)?;
        temporary_file(folder_of(path)?).map(drop)
    };
    check().map_err(|source| ArtifactError::Io { action: "write", path: path.into(), source })
}

/// Whether [`write_whole_folder`] could write this folder. Nothing is changed but that the folders
/// above are created.
///
/// # Errors
/// As [`write_whole_folder`].
pub fn check_writable_folder(
    path: impl AsRef<Path>,
    is_ours: impl Fn(&Path, &str) -> bool,
) -> Result<(), ArtifactError> {
    let path = path.as_ref();
    let check = || {
        check_place_of_folder(path, &is_ours)?;
        temporary_file(folder_of(path)?).map(drop)
    };
    check().map_err(|source| ArtifactError::Io { action: "write", path: path.into(), source })
}

/// Refuses what is no place for a folder; whether one is there, all of it ours.
fn check_place_of_folder(path: &Path, is_ours: &dyn Fn(&Path, &str) -> bool) -> io::Result<bool> {
    match standing(path)? {
        None => Ok(false),
        Some(kind) if kind.is_dir() => check_folder(path, path, is_ours).map(|()| true),
        Some(kind) => {
            let what = name_of(kind);
            Err(refused(format!("it is {what}, which is not replaced by a folder")))
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    check_file(path)?;
    let mut file = temporary_file(folder_of(path)?)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The folder of a path, made if it is not there.
fn folder_of(path: &Path) -> io::Result<&Path> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    Ok(folder)
}

fn temporary_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    remove_abandoned(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    // Temporary files are private by default; this one becomes an ordinary file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let file = builder.tempfile_in(folder)?;
        if is_held(file.as_file())? {
            return Ok(file);
        }
    }
}

/// Takes what was just made with a temporary name, unless another process took it for left behind.
///
/// What is locked is in use, and what a killed process leaves is not locked any more. A file system
/// without locks keeps it.
fn is_held(made: &File) -> io::Result<bool> {
    if matches!(made.try_lock(), Err(TryLockError::WouldBlock)) {
        return Ok(false);
    }
    #[cfg(unix)]
    let is_there = std::os::unix::fs::MetadataExt::nlink(&made.metadata()?) > 0;
    #[cfg(not(unix))]
    let is_there = true;
    Ok(is_there)
}

/// What stands at a path, itself and not what it leads to.
fn standing(path: &Path) -> io::Result<Option<FileType>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn refused(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, message)
}

/// Refuses what is no place for a file.
pub(crate) fn check_file(path: &Path) -> io::Result<()> {
    match standing(path)? {
        Some(kind) if !kind.is_file() => {
            Err(refused(format!("it is {}, which is not replaced by a file", name_of(kind))))
        }
        _ => Ok(()),
    }
}

fn name_of(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_file() {
        "a file"
    } else {
        "a device, pipe or socket"
    }
}

/// Removes what killed processes left half written in a folder, once per process and folder.
fn remove_abandoned(folder: &Path) {
    static SEEN: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let Ok(absolute) = fs::canonicalize(folder) else { return };
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !seen.get_or_insert_default().insert(absolute) {
        return;
    }
    drop(seen);
    // Best effort: what cannot be read or removed stays.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if !(kind.is_file() || kind.is_dir()) {
                continue;
            }
            // It is kept locked until it is gone.
            let Ok(left) = File::open(&path) else { continue };
            if left.try_lock().is_ok() {
                let _ =
                    if kind.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        }
    }
}

/// Writes a folder of files so that it is never seen half written, and creates the folders above
/// it.
///
/// The files, given by their paths in the folder, go to a folder of a temporary name beside it, which
/// is then exchanged with the folder that stands there, in one step where the system can. A folder is
/// replaced only if it is empty or everything in it is a file of ours: `is_ours` is called with the
/// folder and the path in it of each of its files, one after the other, and should also look into the
/// file that names what the folder is.
///
/// # Errors
/// [`ArtifactError::Io`] naming the folder, also if it holds anything else.
pub fn write_whole_folder(
    path: impl AsRef<Path>,
    is_ours: impl Fn(&Path, &str) -> bool,
    files: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> Result<(), ArtifactError> {
    let path = path.as_ref();
    write_folder(path, &is_ours, files).map_err(|source| ArtifactError::Io {
        action: "write",
        path: path.into(),
        source,
    })
}

fn write_folder(
    path: &Path,
    is_ours: &dyn Fn(&Path, &str) -> bool,
    files: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> io::Result<()> {
    let above = folder_of(path)?;
    let stands = check_place_of_folder(path, is_ours)?;
    remove_abandoned(above);
    let (beside, _lock) = loop {
        let beside = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(above)?;
        match File::open(beside.path()) {
            Ok(lock) if is_held(&lock)? => break (beside, Some(lock)),
            Ok(_) => {}
            // A system where a folder cannot be locked keeps what killed processes leave.
            Err(_) => break (beside, None),
        }
    };
    let new = beside.path().join("new");
    fs::create_dir(&new)?;
    for (name, bytes) in files {
        write(&new.join(name), &bytes)?;
    }
    if !stands {
        return fs::rename(new, path);
    }
    let old = beside.path().join("old");
    exchange(&new, path, &old)?;
    // What came into the old folder since it was checked is not lost: all is as it was before.
    let replaced = if old.exists() { &old } else { &new };
    check_folder(replaced, replaced, is_ours).inspect_err(|_| {
        let _ = exchange(replaced, path, &beside.path().join("refused"));
    })
}

/// Refuses a folder that holds anything that is not ours; what is half written does not count.
fn check_folder(
    folder: &Path,
    below: &Path,
    is_ours: &dyn Fn(&Path, &str) -> bool,
) -> io::Result<()> {
    for entry in fs::read_dir(below)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = path.strip_prefix(folder).expect("it is below").to_string_lossy();
        if kind.is_dir() {
            check_folder(folder, &path, is_ours)?;
        } else if !(kind.is_file() && (is_temporary(&path) || is_ours(folder, &name))) {
            return Err(refused(format!("it holds `{name}`, which would be lost")));
        }
    }
    Ok(())
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY))
}

/// Puts folder `new` in the place of folder `path`, so that one of both is there at every instant.
#[cfg(target_os = "linux")]
fn exchange(new: &Path, path: &Path, old: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, new, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // The file system cannot.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => replace(new, path, old),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn exchange(new: &Path, path: &Path, old: &Path) -> io::Result<()> {
    replace(new, path, old)
}

/// The same in two steps, the first of which is taken back if the second fails.
fn replace(new: &Path, path: &Path, old: &Path) -> io::Result<()> {
    fs::rename(path, old)?;
    fs::rename(new, path).inspect_err(|_| {
        // Best effort: the error that is reported is the one that came first.
        let _ = fs::rename(old, path);
    })
}

/// Most bytes of a file that is read: 1 GiB.
pub const LARGEST: u64 = 1 << 30;

/// Most bytes of a text that is read, which takes several times as much once it is understood: 64 MiB.
pub const LARGEST_TEXT: u64 = 1 << 26;

/// The content of a file of at most [`LARGEST`] bytes.
///
/// # Errors
/// [`ArtifactError::Io`] naming the file, also if it is a device, pipe or socket, which might never
/// end, or has more bytes.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, ArtifactError> {
    read_up_to(path, LARGEST)
}

/// The content of a file of at most this many bytes.
///
/// # Errors
/// As [`read`].
pub fn read_up_to(path: impl AsRef<Path>, most: u64) -> Result<Vec<u8>, ArtifactError> {
    let path = path.as_ref();
    let read = || {
        let mut bytes = Vec::new();
        // One more than the file may have, should it grow.
        open(path, most)?.take(most + 1).read_to_end(&mut bytes)?;
        check_size(bytes.len() as u64, most)?;
        Ok(bytes)
    };
    read().map_err(unread(path))
}

/// The text of a file of at most [`LARGEST_TEXT`] bytes, as [`text`] gives it.
///
/// # Errors
/// As [`read`] and [`text`].
pub fn read_text(path: impl AsRef<Path>) -> Result<String, ArtifactError> {
    let path = path.as_ref();
    text(path, read_up_to(path, LARGEST_TEXT)?)
}

/// The text that a file holds, without the byte order mark that some editors put before it.
///
/// # Errors
/// [`ArtifactError::Io`] naming the file if it is not UTF-8.
pub fn text(path: impl AsRef<Path>, bytes: Vec<u8>) -> Result<String, ArtifactError> {
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        unread(path.as_ref())(invalid(format!("byte {byte} is not UTF-8, the file must be text")))
    })?;
    if text.starts_with(MARK) {
        text.drain(..MARK.len_utf8());
    }
    Ok(text)
}

/// The byte order mark.
const MARK: char = '\u{feff}';

/// Opens what is a file, and no larger than this.
pub(crate) fn open(path: &Path, most: u64) -> io::Result<File> {
    // Before it is opened, as a pipe waits for a writer.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(invalid(format!("it is {}, not a file", name_of(metadata.file_type()))));
    }
    check_size(metadata.len(), most)?;
    File::open(path)
}

fn check_size(bytes: u64, most: u64) -> io::Result<()> {
    match bytes > most {
        true => Err(invalid(format!("it has more than {most} bytes"))),
        false => Ok(()),
    }
}

/// What reading this file failed with.
pub(crate) fn unread(path: &Path) -> impl FnOnce(io::Error) -> ArtifactError {
    |source| ArtifactError::Io { action: "read", path: path.into(), source }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(error: &ArtifactError) -> String {
        std::error::Error::source(error).unwrap().to_string()
    }

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
        let path = dir.path().join("taken");
        fs::create_dir_all(path.join("inside")).unwrap();
        let error = write_whole(&path, b"bytes").unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write {}", path.display()));
        assert_eq!(cause(&error), "it is a folder, which is not replaced by a file");
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
        let ours = |names: &'static [&str]| move |_: &Path, name: &str| names.contains(&name);
        write_whole_folder(&path, ours(&[]), files(&["a", "b/c"])).unwrap();
        write_whole_folder(&path, ours(&["a", "b/c"]), files(&["d"])).unwrap();
        assert_eq!(
            (names(&path), names(&dir.path().join("a"))),
            (vec!["d".into()], vec!["program".into()])
        );
        assert_eq!(read(path.join("d")).unwrap(), b"d");

        let error = write_whole_folder(&path, ours(&["a"]), files(&["e"])).unwrap_err();
        assert_eq!(cause(&error), "it holds `d`, which would be lost");
        assert_eq!(names(&path), ["d"]);
        let error = write_whole_folder(path.join("d"), ours(&[]), files(&["e"])).unwrap_err();
        assert_eq!(cause(&error), "it is a file, which is not replaced by a folder");
        // What a killed process left half written inside is not of worth.
        fs::write(path.join(".writing-x"), b"").unwrap();
        write_whole_folder(&path, ours(&["d"]), files(&["e"])).unwrap();
        assert_eq!(names(&path), ["e"]);
    }

    #[test]
    fn a_folder_is_exchanged_or_replaced_whole() {
        for put in [exchange, replace] {
            let dir = tempfile::tempdir().unwrap();
            let [new, path, old] = ["new", "path", "old"].map(|name| dir.path().join(name));
            for (folder, file) in [(&new, "n"), (&path, "p")] {
                fs::create_dir(folder).unwrap();
                fs::write(folder.join(file), b"").unwrap();
            }
            put(&new, &path, &old).unwrap();
            assert_eq!(names(&path), ["n"]);
            // Nothing is put in its place, so the folder stays.
            put(&dir.path().join("none"), &path, &dir.path().join("older")).unwrap_err();
            assert_eq!(names(&path), ["n"]);
        }
    }

    #[test]
    fn what_killed_processes_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in [".writing-left", ".writing-held", "other"] {
            fs::write(at(name), b"").unwrap();
        }
        fs::create_dir_all(at(".writing-left-folder/new")).unwrap();
        fs::create_dir(at(".writing-held-folder")).unwrap();
        let held = [".writing-held", ".writing-held-folder"].map(|name| {
            let held = File::open(at(name)).unwrap();
            held.try_lock().unwrap();
            held
        });
        write_whole(at("file"), b"").unwrap();
        drop(held);
        let kept = [".writing-held", ".writing-held-folder", "file", "other"];
        assert_eq!(names(dir.path()), kept);
    }

    /// Threads that make, hold and take away temporary files in one folder do not meet.
    #[cfg(unix)]
    #[test]
    fn what_another_takes_for_left_behind_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir.path()).unwrap();
        let other = File::open(file.path()).unwrap();
        other.try_lock().unwrap();
        assert!(!is_held(file.as_file()).unwrap());
        fs::remove_file(file.path()).unwrap();
        other.unlock().unwrap();
        assert!(!is_held(file.as_file()).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn links_and_sockets_are_neither_replaced_nor_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link, dangling, socket] =
            ["file", "link", "dangling", "socket"].map(|name| dir.path().join(name));
        fs::write(&file, b"kept").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        std::os::unix::fs::symlink(dir.path().join("none"), &dangling).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, what) in [
            (&link, "a symbolic link"),
            (&dangling, "a symbolic link"),
            (&socket, "a device, pipe or socket"),
        ] {
            for error in [write_whole(path, b"new").unwrap_err(), check_writable(path).unwrap_err()]
            {
                assert_eq!(cause(&error), format!("it is {what}, which is not replaced by a file"));
            }
        }
        assert_eq!(read(&file).unwrap(), b"kept");
        assert_eq!(names(dir.path()), ["dangling", "file", "link", "socket"]);
    }

    #[test]
    fn what_can_be_written_is_known_before() {
        let dir = tempfile::tempdir().unwrap();
        check_writable(dir.path().join("a/file")).unwrap();
        assert_eq!(names(&dir.path().join("a")), Vec::<String>::new());
        fs::write(dir.path().join("file"), b"").unwrap();
        let error = check_writable(dir.path().join("file/below")).unwrap_err().to_string();
        assert_eq!(error, format!("cannot write {}", dir.path().join("file/below").display()));
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "\u{feff}text").unwrap();
        assert_eq!(read_text(&file).unwrap(), "text");
        assert_eq!(read_up_to(&file, 7).unwrap().len(), 7);
        assert_eq!(cause(&read_up_to(&file, 6).unwrap_err()), "it has more than 6 bytes");
        fs::write(&file, b"a\xff").unwrap();
        let error = cause(&read_text(&file).unwrap_err());
        assert_eq!(error, "byte 1 is not UTF-8, the file must be text");
        // A file with nothing but its length, which takes no room on the disk.
        let large = |bytes: u64| File::create(&file).unwrap().set_len(bytes).unwrap();
        large(LARGEST_TEXT + 1);
        assert_eq!(cause(&read_text(&file).unwrap_err()), "it has more than 67108864 bytes");
        large(LARGEST + 1);
        assert_eq!(cause(&read(&file).unwrap_err()), "it has more than 1073741824 bytes");
        assert_eq!(cause(&read(dir.path()).unwrap_err()), "it is a folder, not a file");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_not_read() {
        let error = read("/dev/zero").unwrap_err();
        assert_eq!(cause(&error), "it is a device, pipe or socket, not a file");
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
