//! The example of docs/new-pass.md, run as its user would run it.

use std::path::Path;
use std::process::Command;

use hafnia_model::random;
use hafnia_rng::Seed;
use tempfile::TempDir;

#[test]
fn a_pass_of_ones_own_joins_pipelines_and_the_command_line() {
    let folder = TempDir::new().unwrap();
    hafnia_artifact::save(folder.path().join("net.hafnia"), &random::lenet5(Seed(1))).unwrap();
    let pipeline = "name = \"mine\"\n[[pass]]\nuse = \"rename\"\n[[pass]]\nuse = \"tile\"\n\
                    [[pass]]\nuse = \"reverse\"\n[[pass]]\nuse = \"pack\"\n";
    std::fs::write(folder.path().join("mine.toml"), pipeline).unwrap();
    // `cargo test` builds the examples beside the binaries.
    let example = Path::new(env!("CARGO_BIN_EXE_hafnia")).with_file_name("examples/own_pass");
    let run = |line: &str| {
        let arguments = line.split_whitespace();
        let output = Command::new(&example).args(arguments).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("passes reverse").contains("backwards"));
    assert!(run("map net.hafnia --pipeline mine.toml --out net.map").contains("reversed tiles"));
    assert!(folder.path().join("net.map").exists());
}
