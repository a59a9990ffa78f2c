//! [`Binary`]: runs of hafnia within bounds, and what is wrong about their end.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

/// The bound on memory, in KiB of address space: 4 GiB.
const MEMORY: u64 = 4 << 20;
/// The bound on time.
const TIME: Duration = Duration::from_secs(60);
/// The longest line of an error, in characters: what is printed at most, and how much was left out.
const LONGEST_LINE: usize = 4100;

/// The binary of hafnia.
pub(crate) struct Binary(pub(crate) PathBuf);

/// Something that went wrong.
pub(crate) struct Failure {
    pub(crate) what: String,
    /// Lines of a script that shows it again, in the folder of the trial.
    pub(crate) script: String,
}

/// How a run ended.
pub(crate) struct Ended {
    /// The exit code; none after a signal.
    pub(crate) code: Option<i32>,
    /// Whether it took longer than [`TIME`] and was stopped.
    pub(crate) is_late: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Puts the seeds into a worker's folder, and nothing else.
pub(crate) fn reset(seeds: &Path, place: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(place);
    copy(seeds, place)
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to).with_context(|| from.display().to_string())?;
        }
    }
    Ok(())
}

/// A line of a script that runs a command.
pub(crate) fn script(command: &str) -> String {
    script_of(&words(command))
}

/// As [`script`], word by word.
pub(crate) fn script_of(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("${{HAFNIA:-hafnia}} {}", quoted.join(" "))
}

fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}

impl Binary {
    /// Runs a command, its words separated by blanks, in a folder.
    pub(crate) fn run(&self, place: &Path, command: &str) -> anyhow::Result<Ended> {
        self.run_words(place, &words(command))
    }

    /// As [`run`](Self::run), on an instruction set.
    pub(crate) fn run_on(&self, place: &Path, command: &str, isa: &str) -> anyhow::Result<Ended> {
        let mut shell = self.shell("exec \"$0\" \"$@\"", &words(command));
        end(shell.env("HAFNIA_ISA", isa), place)
    }

    /// As [`run`](Self::run), word by word.
    pub(crate) fn run_words(&self, place: &Path, words: &[String]) -> anyhow::Result<Ended> {
        end(&mut self.shell("exec \"$0\" \"$@\"", words), place)
    }

    /// As [`run`](Self::run), with redirections of a shell.
    pub(crate) fn run_with(
        &self,
        place: &Path,
        command: &str,
        redirections: &str,
    ) -> anyhow::Result<Ended> {
        end(&mut self.shell(&format!("exec \"$0\" \"$@\" {redirections}"), &words(command)), place)
    }

    /// A shell that bounds its memory and then does this with the binary, `$0`, and the words.
    fn shell(&self, then: &str, words: &[String]) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -v {MEMORY}; {then}")).arg(&self.0).args(words);
        command
    }
}

/// Runs a command in a folder to its end, or to the bound on time.
pub(crate) fn end(command: &mut Command, place: &Path) -> anyhow::Result<Ended> {
    let [mut stdout, mut stderr] = [tempfile::tempfile()?, tempfile::tempfile()?];
    let mut child = command
        .current_dir(place)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()
        .context("sh cannot be run")?;
    let start = Instant::now();
    let mut is_late = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if !is_late && start.elapsed() > TIME {
            is_late = true;
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = |file: &mut File| -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Ended {
        code: status.code(),
        is_late,
        stdout: text(&mut stdout)?,
        stderr: text(&mut stderr)?,
    })
}

impl Ended {
    /// What is wrong about how it ended, if anything is.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault_of_code().or_else(|| self.fault_of_text())
    }

    /// What is wrong about the exit code, if anything is.
    pub(crate) fn fault_of_code(&self) -> Option<String> {
        match self.code {
            _ if self.is_late => Some(format!("it ran for {} s", TIME.as_secs())),
            Some(0..=2) => None,
            Some(101) => Some(format!("it panicked: {}", self.last_line())),
            Some(code) => Some(format!("exit code {code}: {}", self.last_line())),
            None => Some(format!("a signal ended it: {}", self.last_line())),
        }
    }

    /// What is wrong about what it said, if anything is.
    fn fault_of_text(&self) -> Option<String> {
        let Self { code, stdout, stderr, .. } = self;
        let errors = stderr.lines().filter(|line| line.starts_with("error:")).count();
        let is_control = |c: char| c.is_control() && c != '\n' && c != '\t';
        if stderr.contains("panicked at") || stderr.contains("bug in hafnia") {
            Some(format!("a bug in it: {}", self.last_line()))
        } else if *code == Some(1) && (errors != 1 || !self.last_line().starts_with("error:")) {
            Some(format!("an error of {errors} lines: {stderr:.300}"))
        } else if stderr.contains(is_control) || stdout.contains(is_control) {
            Some("control characters in what it says".to_owned())
        } else if stderr.lines().any(|line| line.chars().count() > LONGEST_LINE) {
            Some("a line of stderr that nobody reads".to_owned())
        } else {
            None
        }
    }

    fn last_line(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}
