//! Work that is skipped when nothing it depends on has changed: the one place for resuming.
//!
//! A step has a name, a key (its configuration), files it reads and files it writes. After it
//! succeeded, a stamp is written with the digest of key and inputs and the digests of the outputs;
//! as long as all of these still hold, the step is skipped. What is compared are contents, never
//! times. A step that was interrupted has no stamp, or one that no longer fits, and runs again.
//!
//! ```
//! use hafnia_artifact::{ArtifactError, Outcome, Steps, write_whole};
//!
//! # fn main() -> Result<(), ArtifactError> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! let steps = Steps::open(dir)?;
//! let squares = dir.join("squares.txt");
//! let mut run = |count: u32| {
//!     steps.run("squares", &count, &[], &[&squares], || {
//!         let lines: String = (0..count).map(|i| format!("{}\n", i * i)).collect();
//!         write_whole(&squares, lines.as_bytes())
//!     })
//! };
//! assert_eq!(run(10)?, Outcome::Done);
//! assert_eq!(run(10)?, Outcome::Skipped);
//! assert_eq!(run(11)?, Outcome::Done);
//! # Ok(())
//! # }
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::ArtifactError;
use crate::lock::FolderLock;
use crate::whole::{read, write_whole};

/// The stamps of a folder's steps; see the [module](self).
///
/// May be shared by threads, as long as no two run a step of the same name at once.
#[derive(Debug)]
pub struct Steps {
    stamps: PathBuf,
    _lock: FolderLock,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was run.
    Done,
    /// Its outputs were there already.
    Skipped,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    made_from: Digest,
    outputs: Vec<Digest>,
}

impl Steps {
    /// Opens the stamps kept in a folder, `<folder>/.steps/`, which is made if it is missing.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] if the folder cannot be made, or another process has it open.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, ArtifactError> {
        let stamps = folder.as_ref().join(".steps");
        Ok(Self { _lock: FolderLock::take(&stamps)?, stamps })
    }

    /// Runs a step, or skips it if its stamp and its outputs still stand.
    ///
    /// `key` is everything but files that the outputs depend on, such as the resolved
    /// configuration and the version of the program; it is compared as JSON. `inputs` and
    /// `outputs` are files, not folders; their order counts, where they lie does not.
    ///
    /// # Errors
    /// The error of `work`; an input that cannot be read, before any work; an output that is not
    /// there after it; a name that cannot name a file.
    pub fn run<E: From<ArtifactError>>(
        &self,
        name: &str,
        key: &impl Serialize,
        inputs: &[&Path],
        outputs: &[&Path],
        work: impl FnOnce() -> Result<(), E>,
    ) -> Result<Outcome, E> {
        let path = self.stamp_path(name)?;
        let made_from = made_from(name, key, inputs)?;
        if stands(&path, made_from, outputs) {
            return Ok(Outcome::Skipped);
        }
        work()?;
        let stamp = Stamp { made_from, outputs: digests(outputs)? };
        write_whole(&path, &json(name, &stamp)?)?;
        Ok(Outcome::Done)
    }

    fn stamp_path(&self, name: &str) -> Result<PathBuf, ArtifactError> {
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if !name.split('/').all(is_part) {
            return Err(ArtifactError::StepName { found: name.to_owned() });
        }
        Ok(self.stamps.join(format!("{name}.json")))
    }
}

fn made_from(name: &str, key: &impl Serialize, inputs: &[&Path]) -> Result<Digest, ArtifactError> {
    let key = Digest::of(&json(name, key)?);
    Ok(Digest::of_value(&(key, digests(inputs)?)))
}

/// Whether the stamp is for this key and these inputs, and the outputs are as they were.
///
/// Whatever cannot be read does not stand: the step is simply run again.
fn stands(stamp: &Path, made_from: Digest, outputs: &[&Path]) -> bool {
    let Some(stamp) =
        read(stamp).ok().and_then(|bytes| serde_json::from_slice::<Stamp>(&bytes).ok())
    else {
        return false;
    };
    // The cheap half first: outputs can be large.
    stamp.made_from == made_from && digests(outputs).is_ok_and(|digests| digests == stamp.outputs)
}

fn digests(files: &[&Path]) -> Result<Vec<Digest>, ArtifactError> {
    files.iter().map(Digest::of_file).collect()
}

fn json(name: &str, value: &impl Serialize) -> Result<Vec<u8>, ArtifactError> {
    serde_json::to_vec(value).map_err(|source| ArtifactError::Unencodable {
        what: format!("the key of step \"{name}\""),
        source: source.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A folder with one input and a step that copies it, counting how often it works.
    struct Copying {
        dir: tempfile::TempDir,
        steps: Steps,
        worked: AtomicUsize,
    }

    impl Copying {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let steps = Steps::open(dir.path()).unwrap();
            let copying = Self { dir, steps, worked: AtomicUsize::new(0) };
            fs::write(copying.path("in"), "content").unwrap();
            copying
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn run(&self, name: &str, key: &str) -> Result<Outcome, ArtifactError> {
            let (input, output) = (self.path("in"), self.path(name).with_extension("out"));
            self.steps.run(name, &key, &[&input], &[&output], || {
                self.worked.fetch_add(1, Ordering::Relaxed);
                write_whole(&output, &crate::read(&input)?)
            })
        }

        #[track_caller]
        fn check(&self, key: &str, expected: Outcome) {
            assert_eq!(self.run("copy", key).unwrap(), expected);
        }
    }

    #[test]
    fn a_step_is_skipped_only_while_everything_stands() {
        let copying = Copying::new();
        copying.check("a", Outcome::Done);
        copying.check("a", Outcome::Skipped);
        copying.check("b", Outcome::Done);
        copying.check("a", Outcome::Done);
        fs::write(copying.path("in"), "other").unwrap();
        copying.check("a", Outcome::Done);
        copying.check("a", Outcome::Skipped);
        fs::write(copying.path("copy.out"), "damaged").unwrap();
        copying.check("a", Outcome::Done);
        fs::remove_file(copying.path("copy.out")).unwrap();
        copying.check("a", Outcome::Done);
        fs::write(copying.path(".steps/copy.json"), "{").unwrap();
        copying.check("a", Outcome::Done);
        copying.check("a", Outcome::Skipped);
        assert_eq!(copying.worked.into_inner(), 7);
    }

    #[test]
    fn a_failed_step_runs_again() {
        let copying = Copying::new();
        let failing = |output: &Path| {
            copying.steps.run("fails", &(), &[], &[output], || {
                Err(ArtifactError::DigestText { found: "work".to_owned() })
            })
        };
        // The output is there, from elsewhere; without a stamp it counts for nothing.
        for _ in 0..2 {
            assert!(failing(&copying.path("in")).is_err());
        }
        assert!(!copying.path(".steps/fails.json").exists());
    }

    #[test]
    fn missing_files_are_named() {
        let copying = Copying::new();
        let steps = &copying.steps;
        let missing = copying.path("missing");
        let expected = format!("cannot read {}", missing.display());

        let input = steps.run("input", &(), &[&missing], &[], || -> Result<(), ArtifactError> {
            panic!("an input is missing")
        });
        assert_eq!(input.unwrap_err().to_string(), expected);
        let output = steps.run("output", &(), &[], &[&missing], || Ok::<_, ArtifactError>(()));
        assert_eq!(output.unwrap_err().to_string(), expected);
    }

    #[test]
    fn names_stay_in_the_folder() {
        let copying = Copying::new();
        for name in ["", "..", "../copy", "/copy", "a//b", "a\\b", ".hidden", "a b"] {
            let error = copying.run(name, "").unwrap_err();
            assert!(matches!(error, ArtifactError::StepName { .. }), "{name}");
        }
        assert_eq!(copying.run("sweep/point-3.sigma_0.1", "").unwrap(), Outcome::Done);
    }

    #[test]
    fn one_process_at_a_time_has_the_steps() {
        let copying = Copying::new();
        Steps::open(copying.dir.path()).unwrap_err();
        let Copying { dir, steps, .. } = copying;
        drop(steps);
        Steps::open(dir.path()).unwrap();
    }

    #[test]
    fn threads_share_the_steps() {
        let copying = Copying::new();
        for expected in [Outcome::Done, Outcome::Skipped] {
            std::thread::scope(|scope| {
                for i in 0..8 {
                    let copying = &copying;
                    scope.spawn(move || {
                        let outcome = copying.run(&format!("sweep/{i}"), "key").unwrap();
                        assert_eq!(outcome, expected);
                    });
                }
            });
        }
        assert_eq!(copying.worked.into_inner(), 8);
    }
}
