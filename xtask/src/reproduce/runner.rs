//! Runs steps: calls of `hafnia` whose outputs are kept, skipped while nothing they depend on has
//! changed, with what they say on stderr in a log and, on a terminal, beside a spinner.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hafnia_artifact::{Digest, Outcome, Steps, write_whole};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::workspace::{cargo, root, run, target};

/// Builds the release binary; gives its path.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    run(&mut cargo(&["build", "--release", "--package", "hafnia-cli"]))?;
    let name = format!("hafnia{}", std::env::consts::EXE_SUFFIX);
    Ok(target()?.join("release").join(name))
}

/// One call of `hafnia`.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Unique name, such as `train/tied-1`.
    pub(crate) name: String,
    /// The command line.
    pub(crate) arguments: Vec<String>,
    /// Files it reads.
    pub(crate) inputs: Vec<PathBuf>,
    /// Files it writes.
    pub(crate) outputs: Vec<PathBuf>,
    /// Where its stdout goes, one of the outputs; nowhere without it.
    pub(crate) stdout: Option<PathBuf>,
    /// Threads it may use; as many as there are cores without it. Changes no result.
    pub(crate) threads: Option<usize>,
}

/// Runs steps in one output folder.
pub(crate) struct Runner {
    hafnia: PathBuf,
    binary: Digest,
    out: PathBuf,
    steps: Steps,
    bars: MultiProgress,
}

impl Runner {
    pub(crate) fn new(hafnia: PathBuf, out: &Path) -> anyhow::Result<Self> {
        let binary = Digest::of_file(&hafnia)?;
        let (steps, bars) = (Steps::open(out)?, MultiProgress::new());
        Ok(Self { hafnia, binary, out: out.to_owned(), steps, bars })
    }

    /// The digest of the binary.
    pub(crate) fn binary(&self) -> Digest {
        self.binary
    }

    /// The binary.
    pub(crate) fn hafnia(&self) -> &Path {
        &self.hafnia
    }

    /// A path in the output folder.
    pub(crate) fn out(&self, name: impl AsRef<Path>) -> PathBuf {
        self.out.join(name)
    }

    /// Runs one step, unless its outputs stand. `key` is what else it depends on.
    pub(crate) fn run(&self, step: &Step, key: &impl serde::Serialize) -> anyhow::Result<()> {
        let inputs: Vec<&Path> = step.inputs.iter().map(PathBuf::as_path).collect();
        let outputs: Vec<&Path> = step.outputs.iter().map(PathBuf::as_path).collect();
        let key = (self.binary, &step.arguments, key);
        let start = Instant::now();
        let outcome = self
            .steps
            .run(&step.name, &key, &inputs, &outputs, || self.call(step).map_err(Error::Step))
            .map_err(Error::into_anyhow)
            .with_context(|| format!("step {}", step.name))?;
        let done = match outcome {
            Outcome::Done => format!("{:<28} {:.1} s", step.name, start.elapsed().as_secs_f64()),
            Outcome::Skipped => format!("{:<28} unchanged", step.name),
        };
        self.bars.suspend(|| eprintln!("{done}"));
        Ok(())
    }

    /// Runs steps that do not depend on each other, as many at a time as there are cores.
    pub(crate) fn run_side_by_side(
        &self,
        steps: &[Step],
        key: &(impl serde::Serialize + Sync),
    ) -> anyhow::Result<()> {
        let workers = thread::available_parallelism().map_or(1, usize::from).min(steps.len());
        let next = std::sync::atomic::AtomicUsize::new(0);
        let work = || -> anyhow::Result<()> {
            while let Some(step) =
                steps.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
            {
                self.run(step, key)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            handles.into_iter().try_for_each(|handle| match handle.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }

    fn call(&self, step: &Step) -> anyhow::Result<()> {
        let log = self.out("logs").join(format!("{}.log", step.name.replace('/', "-")));
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder)?;
        }
        let stderr = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(&self.hafnia);
        command.args(&step.arguments).current_dir(root());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        if let Some(threads) = step.threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        let mut child = command.spawn().context("hafnia cannot be run")?;
        let mut pipe = child.stdout.take().context("stdout is piped")?;
        let reader = thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).map(|_| text)
        });
        let bar = self.bars.add(spinner(&step.name));
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            bar.set_message(last_line(&log));
            thread::sleep(Duration::from_millis(100));
        };
        bar.finish_and_clear();
        let stdout = match reader.join() {
            Ok(stdout) => stdout?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        if !status.success() {
            let arguments = step.arguments.join(" ");
            bail!(
                "`hafnia {arguments}` failed ({status}): {}; see {}",
                last_line(&log),
                log.display()
            );
        }
        if let Some(path) = &step.stdout {
            write_whole(path, &stdout)?;
        }
        Ok(())
    }
}

fn spinner(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg}");
    let bar = ProgressBar::new_spinner().with_style(style.expect("a valid template"));
    bar.set_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The last line that is there.
fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
}

/// An error of a step or of the skipping of steps.
enum Error {
    Step(anyhow::Error),
    Stamp(hafnia_artifact::ArtifactError),
}

impl From<hafnia_artifact::ArtifactError> for Error {
    fn from(error: hafnia_artifact::ArtifactError) -> Self {
        Self::Stamp(error)
    }
}

impl Error {
    fn into_anyhow(self) -> anyhow::Error {
        match self {
            Self::Step(error) => error,
            Self::Stamp(error) => error.into(),
        }
    }
}
