//! Every command with a stdout or stderr that takes nothing.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod small;

use small::{COMMANDS, copy, files, hafnia, place, words};

#[test]
fn a_stderr_that_takes_nothing_changes_nothing_but_the_messages() {
    let place = place();
    let (mut failed, mut wrong) = (Vec::new(), Vec::new());
    for line in COMMANDS {
        let usual = copy(place.path());
        let expected = hafnia(usual.path(), line, "");
        let expected_files = files(usual.path());
        for stderr in ["2> /dev/full", "2>&-", "2> >(exec true)", "--verbose 2> /dev/full"] {
            // Two say already how much is to be told.
            if stderr.contains("verbose") && line.contains("--verbose") {
                continue;
            }
            let broken = copy(place.path());
            let found = hafnia(broken.path(), line, stderr);
            if found.status.code() != expected.status.code()
                || words(&found.stdout) != words(&expected.stdout)
                || files(broken.path()) != expected_files
            {
                failed.push(format!("{line} {stderr}: {:?}", found.status));
            }
        }
        if !expected.status.success() {
            wrong.push(line);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(wrong, COMMANDS[COMMANDS.len() - 5..], "the others succeed");
}

#[test]
fn a_result_that_cannot_be_printed_is_an_error_and_its_files_are_whole() {
    let place = place();
    let mut failed = Vec::new();
    for line in COMMANDS {
        let usual = copy(place.path());
        let expected = hafnia(usual.path(), line, "");
        let expected_files = files(usual.path());
        for (stdout, cannot) in [("> /dev/full", true), ("> >(exec true)", false)] {
            let broken = copy(place.path());
            let found = hafnia(broken.path(), line, stdout);
            let is_lost = cannot && !expected.stdout.is_empty();
            let code = if is_lost { Some(1) } else { expected.status.code() };
            let said = String::from_utf8_lossy(&found.stderr);
            let is_said = said.contains("error: stdout cannot be written: No space left on device");
            if found.status.code() != code
                || is_said != is_lost
                || files(broken.path()) != expected_files
            {
                failed.push(format!("{line} {stdout}: {:?}, not {code:?}: {said}", found.status));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn a_quiet_command_says_nothing_but_errors() {
    let place = place();
    for line in COMMANDS.iter().filter(|line| !line.contains("--verbose")) {
        let output = hafnia(copy(place.path()).path(), line, "--quiet");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let errors = stderr.lines().filter(|line| line.starts_with("error: ")).count();
        match output.status.code() {
            Some(0) => assert_eq!(stderr, "", "{line}"),
            Some(1) => assert_eq!((errors, stderr.lines().count()), (1, 1), "{line}: {stderr}"),
            _ => assert!(line.contains("bogus"), "{line}: {stderr}"),
        }
    }
}
