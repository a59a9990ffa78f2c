//! Notes the git revision, where there is one, for the manifests.

use std::path::Path;
use std::process::Command;

fn main() {
    let head = Path::new("../../.git/HEAD");
    println!("cargo::rerun-if-changed=build.rs");
    if !head.exists() {
        return;
    }
    println!("cargo::rerun-if-changed={}", head.display());
    println!("cargo::rerun-if-changed=../../.git/logs/HEAD");
    let revision = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    if let Ok(output) = revision
        && output.status.success()
    {
        let revision = String::from_utf8_lossy(&output.stdout);
        println!("cargo::rustc-env=HAFNIA_GIT_REVISION={}", revision.trim());
    }
}
