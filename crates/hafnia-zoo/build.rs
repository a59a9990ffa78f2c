//! Lists the recorded files in Rust, so that they become part of the crate.

#[path = "src/folder.rs"]
mod folder;

use std::fmt::Write;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // The folder with all that is in it: what is recorded later is embedded too.
    println!("cargo::rerun-if-changed=networks");
    println!("cargo::rerun-if-changed=src/folder.rs");
    let folder = |name| env::var_os(name).ok_or_else(|| io::Error::other(name));
    let networks = Path::new(&folder("CARGO_MANIFEST_DIR")?).join("networks");
    let mut list = String::from("&[\n");
    for (name, path) in folder::files(&networks)? {
        writeln!(list, "({name:?}, include_bytes!({path:?})),").map_err(io::Error::other)?;
    }
    fs::write(Path::new(&folder("OUT_DIR")?).join("files.rs"), list + "]\n")
}
