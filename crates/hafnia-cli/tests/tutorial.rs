//! Runs every command of docs/tutorial.md, on the subset that is part of hafnia.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Commands that take data.
const WITH_DATA: [&str; 5] = ["data", "sim", "profile", "cost", "sweep"];

/// The blocks of this language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    let end = |block: &'a str| block.split("```").next().unwrap_or_default();
    text.split(&open).skip(1).map(end).collect()
}

#[test]
fn every_command_of_the_tutorial_runs() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tutorial.md");
    let text = std::fs::read_to_string(page).expect("the tutorial");
    let place = TempDir::new().expect("a folder");
    let [sweep] = blocks(&text, "toml")[..] else { panic!("one sweep is shown") };
    std::fs::write(place.path().join("sweep.toml"), sweep).expect("the sweep");
    let commands: Vec<&str> = blocks(&text, "sh").iter().flat_map(|block| block.lines()).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for line in commands {
        // Behind the command stands how long it takes.
        let line = line.split(" # ").next().unwrap_or_default().trim_end();
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("hafnia"), "{line}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hafnia"));
        command.current_dir(place.path()).args(words.clone());
        command.env("XDG_CACHE_HOME", place.path());
        let name = words.next().unwrap_or_default();
        if WITH_DATA.contains(&name) && !line.contains("--collect") {
            command.arg("--offline");
        }
        // What a test need not wait for.
        if name == "sim" {
            command.args(["--images", "200"]);
        }
        let output = command.output().expect("hafnia");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        for row in String::from_utf8_lossy(&output.stdout).lines() {
            let is_of_table = row.starts_with(['┌', '│', '╞', '└']);
            assert!(!is_of_table || row.chars().count() <= 80, "{line}: {row}");
        }
    }
    assert!(place.path().join("out/sweep/results.csv").exists());
}
