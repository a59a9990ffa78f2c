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
    for (name, _) in folder::files(&networks)? {
        // The path is left to the compiler: a target folder may be used by several copies of the tree.
        let path = format!("/networks/{name}");
        let bytes = format!("include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))");
        writeln!(list, "({name:?}, {bytes}),").map_err(io::Error::other)?;
    }
    fs::write(Path::new(&folder("OUT_DIR")?).join("files.rs"), list + "]\n")
}
