//! Where recorded files lie: in one folder a recipe. Shared with the build script.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The files in the folders of this folder: `recipe/file`, and where that is.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for recipe in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        for file in entries(&recipe)? {
            let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
            files.push((format!("{}/{}", name(&recipe), name(&file)), file));
        }
    }
    Ok(files)
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}
