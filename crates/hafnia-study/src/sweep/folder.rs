//! [`Folder`]: a sweep on disk, and the protocol by which anybody computes its shards.
//!
//! | file | what it is |
//! |---|---|
//! | `sweep.json` | the plan; written first |
//! | `shards/p00012-c00020.shard` | the chips from 20 of point 12; whole or not there |
//! | `failed/p00012-c00020.json` | why that shard could not be computed; gone once it can |
//!
//! A shard holds what it was computed from: the program and the digests of files. A folder goes on as
//! long as these are as they are now; inputs from which no shard was computed, such as a file that was
//! missing or wrong at first, may change.
//!
//! Nothing but the plan is locked while it is written. Who computes a shard that is there loses time,
//! not data: shards of a plan are the same bit for bit, and each is written under another name and
//! renamed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hafnia_artifact::{Artifact, ArtifactError, Digest, FolderLock, load, read, save, write_whole};
use hafnia_sim::Evaluation;
use hafnia_text::quoted;
use serde::{Deserialize, Serialize};

use crate::sweep::error::SweepError;
use crate::sweep::plan::{Inputs, PROGRAM, Plan, Point, ShardId};

/// A sweep in a folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    plan: Plan,
    digest: Digest,
}

/// What is computed of some chips of a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Computed {
    /// What they were computed from.
    pub inputs: Inputs,
    /// What they do to the accuracy.
    pub evaluation: Evaluation,
    /// What else is known, by column: the mean over these chips.
    pub facts: BTreeMap<String, f64>,
}

/// A shard as it is kept. It holds nothing that depends on who computed it, or when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    sweep: Digest,
    point: usize,
    chips: Range<u32>,
    /// What was computed.
    pub computed: Computed,
}

impl Artifact for Shard {
    const KIND: &'static str = "shard";
    const SCHEMA: u32 = 3;
    const REMAKE: &'static str = "hafnia sweep";

    fn validate(&self) -> Result<(), String> {
        let Computed { evaluation, facts, inputs: _ } = &self.computed;
        evaluation.validate()?;
        match facts.iter().find(|(_, value)| value.is_nan()) {
            Some((column, _)) => Err(format!("{} is NaN", quoted(column))),
            None => Ok(()),
        }
    }
}

/// Why a shard could not be computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The error and its causes.
    pub error: String,
}

/// Every N-th of a list of shards, from the K-th: as text `K/N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share {
    first: usize,
    of: usize,
}

impl Share {
    /// Its part of a list.
    pub fn take<T>(self, list: Vec<T>) -> Vec<T> {
        list.into_iter().skip(self.first).step_by(self.of).collect()
    }
}

impl TryFrom<String> for Share {
    type Error = SweepError;

    fn try_from(text: String) -> Result<Self, SweepError> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.of)
    }
}

impl FromStr for Share {
    type Err = SweepError;

    fn from_str(text: &str) -> Result<Self, SweepError> {
        let parse = |(first, of): (&str, &str)| {
            let (first, of) = (first.parse().ok()?, of.parse().ok()?);
            (first < of).then_some(Self { first, of })
        };
        let share = text.split_once('/').and_then(parse);
        share.ok_or_else(|| {
            let fault =
                format!("share `{text}` must be K/N with K from 0 to N − 1, such as 0/2 and 1/2");
            SweepError::Invalid(fault)
        })
    }
}

/// What became of shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCounts {
    /// They were there already.
    pub skipped: usize,
    /// They were computed.
    pub done: usize,
    /// They could not be.
    pub failed: usize,
}

impl Folder {
    /// The folder of a plan: an empty or new one takes it, another must hold the same.
    ///
    /// # Errors
    /// If the folder holds another sweep, or shards that were computed from other inputs, or cannot
    /// be read or written.
    pub fn create(path: impl Into<PathBuf>, plan: Plan) -> Result<Self, SweepError> {
        let path = path.into();
        let file = path.join("sweep.json");
        let digest = plan.digest();
        // Of those who begin at once one writes the plan, and the others compare theirs.
        let _lock = FolderLock::wait(path.join("shards"))?;
        if file.exists() {
            let folder = Self::open(path)?;
            if folder.digest != digest {
                return Err(SweepError::Invalid(format!(
                    "{} holds another sweep ({}), not this one ({digest}): \
                     give another --out or remove the folder",
                    folder.path.display(),
                    folder.digest
                )));
            }
            if folder.plan.inputs == plan.inputs {
                return Ok(folder);
            }
            let folder = Self { plan, ..folder };
            folder.missing()?;
            folder.write_plan()?;
            return Ok(folder);
        }
        let folder = Self { path, plan, digest };
        folder.write_plan()?;
        Ok(folder)
    }

    fn write_plan(&self) -> Result<(), SweepError> {
        let text = serde_json::to_string_pretty(&self.plan).unwrap_or_default() + "\n";
        Ok(write_whole(self.path.join("sweep.json"), text.as_bytes())?)
    }

    /// The folder of a sweep that was begun.
    ///
    /// # Errors
    /// [`SweepError::NoSweep`], or if its plan is of another revision of hafnia or cannot be read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, SweepError> {
        let path = path.into();
        let file = path.join("sweep.json");
        if !file.exists() {
            return Err(SweepError::NoSweep { path });
        }
        let bytes = read(&file)?;
        let no_sweep = |_| SweepError::NoSweep { path: path.clone() };
        let plan: Plan = serde_json::from_slice(&bytes).map_err(no_sweep)?;
        plan.validate()?;
        // A plan is written in full. What is filled in here, such as the part of the data set, is not
        // what its shards were computed with.
        let written: serde_json::Value = serde_json::from_slice(&bytes).map_err(no_sweep)?;
        if serde_json::to_value(&plan).map_err(no_sweep)? != written {
            return Err(SweepError::Invalid(format!(
                "{} holds a sweep of another revision of hafnia, whose plan does not say all that \
                 results depend on: give another --out or remove the folder",
                path.display()
            )));
        }
        let digest = plan.digest();
        Ok(Self { path, plan, digest })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The file of a shard.
    pub fn shard_path(&self, id: &ShardId) -> PathBuf {
        self.path.join("shards").join(format!("{id}.shard"))
    }

    fn failure_path(&self, id: &ShardId) -> PathBuf {
        self.path.join("failed").join(format!("{id}.json"))
    }

    /// A shard, if it is there. One that is damaged or of another version counts as missing: it is
    /// computed again.
    ///
    /// # Errors
    /// If it is of another sweep, not the one that its name says, computed from other inputs, or
    /// intact and yet no shard that this program wrote.
    pub fn shard(&self, id: &ShardId) -> Result<Option<Shard>, SweepError> {
        let path = self.shard_path(id);
        let shard = match load::<Shard>(&path) {
            Ok(shard) => shard,
            Err(error @ ArtifactError::Invalid { .. }) => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        let is_it = shard.sweep == self.digest
            && shard.point == id.point
            && shard.chips == self.plan.chips(id)?
            && shard.computed.evaluation.differences.len() == shard.chips.len();
        if !is_it {
            return Err(SweepError::Invalid(format!(
                "{} is not a shard of this sweep: remove it",
                path.display()
            )));
        }
        match self.other_input(&shard.computed.inputs) {
            None => Ok(Some(shard)),
            Some(fault) => Err(SweepError::Invalid(format!(
                "{} holds shards that were computed {fault}, give another --out, or remove the folder \
                 to start over",
                self.path.display()
            ))),
        }
    }

    /// An input that was another one than the plan's, as the end of a sentence that says so.
    fn other_input(&self, inputs: &Inputs) -> Option<String> {
        let now = |name: &String| self.plan.inputs.get(name);
        let (name, was) =
            inputs.iter().find(|(name, was)| now(name).is_some_and(|is| is != *was))?;
        Some(match (name.as_str(), now(name)) {
            (PROGRAM, Some(is)) => format!("by hafnia {was}, this is {is}: go on with that one"),
            _ => format!("from another `{name}`: put it back as it was"),
        })
    }

    /// Why a shard could not be computed, if that was tried.
    pub fn failure(&self, id: &ShardId) -> Option<Failure> {
        let bytes = read(self.failure_path(id)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The shards that are not there.
    ///
    /// # Errors
    /// As [`shard`](Self::shard).
    pub fn missing(&self) -> Result<Vec<ShardId>, SweepError> {
        let mut missing = Vec::new();
        for id in self.plan.shards() {
            if self.shard(&id)?.is_none() {
                missing.push(id);
            }
        }
        Ok(missing)
    }

    /// Computes those of these shards that are not there, in order. An error of `compute` is noted
    /// as the shard's [`Failure`], and the next is begun; `done` is told of every shard.
    ///
    /// # Errors
    /// If a shard is of another sweep or a file cannot be written: what is finished stays.
    pub fn compute(
        &self,
        shards: &[ShardId],
        mut compute: impl FnMut(&Point, Range<u32>) -> Result<Computed, String>,
        mut done: impl FnMut(&ShardId, Option<&Failure>),
    ) -> Result<ShardCounts, SweepError> {
        let mut tally = ShardCounts::default();
        for id in shards {
            let chips = self.plan.chips(id)?;
            if self.shard(id)?.is_some() {
                tally.skipped += 1;
                done(id, None);
                continue;
            }
            let computed = compute(&self.plan.points[id.point], chips.clone());
            match computed.and_then(|computed| self.unchanged(computed)) {
                Ok(computed) => {
                    let shard = Shard { sweep: self.digest, point: id.point, chips, computed };
                    save(self.shard_path(id), &shard)?;
                    // Where there was none there is nothing to remove.
                    let _ = fs::remove_file(self.failure_path(id));
                    tally.done += 1;
                    done(id, None);
                }
                Err(error) => {
                    let failure = Failure { error };
                    let text = serde_json::to_string(&failure).unwrap_or_default() + "\n";
                    write_whole(self.failure_path(id), text.as_bytes())?;
                    tally.failed += 1;
                    done(id, Some(&failure));
                }
            }
        }
        Ok(tally)
    }

    /// What was computed, unless an input changed since the plan was made.
    fn unchanged(&self, computed: Computed) -> Result<Computed, String> {
        let is_of_plan = |(name, digest)| self.plan.inputs.get(name) == Some(digest);
        match computed.inputs.iter().find(|input| !is_of_plan(*input)) {
            None => Ok(computed),
            Some((name, _)) => {
                Err(format!("`{name}` changed while the sweep ran: run the same command again"))
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use hafnia_artifact::seal;
    use hafnia_sim::{EngineKind, Nearness};

    use super::*;
    use crate::sweep::config::Sweep;

    /// Six points of five chips in shards of two.
    pub(crate) fn plan() -> Plan {
        let text = "name = \"x\"\nchips = 5\nshard_chips = 2\npareto = [\"max accuracy\", \"min cells\"]\n\
            [axes]\na = [1, 2, 3]\nb = [\"u\", \"v\"]";
        let keys = ["a", "b"].map(str::to_owned);
        Plan::of(Sweep::parse(text).unwrap(), &keys, inputs(&[("m.toml", "1")])).unwrap()
    }

    fn inputs(inputs: &[(&str, &str)]) -> Inputs {
        let inputs = [(PROGRAM, "0.1.0")].iter().chain(inputs);
        inputs.map(|&(name, digest)| (name.to_owned(), digest.to_owned())).collect()
    }

    /// 20 images of which 2 are wrong without noise; chip k loses image k, of point `a` = 3 more.
    pub(crate) fn compute(point: &Point, chips: Range<u32>) -> Result<Computed, String> {
        let number = |key: &str| point[key].to_string();
        if number("a") == "2" && number("b") == "v" {
            return Err("no such thing".to_owned());
        }
        let lost = |chip: u32| if number("a") == "3" { vec![chip, chip + 5] } else { vec![chip] };
        let evaluation = Evaluation {
            engine: EngineKind::Device,
            exact_correct: (0..20).map(|image| image % 10 != 9).collect(),
            differences: chips.clone().map(lost).collect(),
            events: Vec::new(),
            nearness: Nearness {
                exact_in_five: 20,
                in_five: vec![20; chips.len()],
                exact_squared_error: 0.0,
                squared_error: vec![0.0; chips.len()],
            },
            is_lossy: false,
            chips_differ: true,
        };
        let cells = f64::from(chips.start) + if number("b") == "u" { 100.0 } else { 90.0 };
        let facts = BTreeMap::from([("cells".to_owned(), cells)]);
        Ok(Computed { inputs: inputs(&[("m.toml", "1")]), evaluation, facts })
    }

    fn files(folder: &Folder) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for name in ["shards", "failed"] {
            for entry in fs::read_dir(folder.path().join(name)).unwrap() {
                let path = entry.unwrap().path();
                let bytes = fs::read(&path).unwrap();
                files.insert(path.strip_prefix(folder.path()).unwrap().to_owned(), bytes);
            }
        }
        files
    }

    #[test]
    fn shares_make_the_same_files_as_one_process() {
        let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = Folder::create(one.path(), plan()).unwrap();
        let all = one.missing().unwrap();
        let tally = one.compute(&all, compute, |_, _| ()).unwrap();
        assert_eq!(tally, ShardCounts { skipped: 0, done: 15, failed: 3 });
        let again = one.compute(&all, |_, _| Err("not again".to_owned()), |_, _| ()).unwrap();
        assert_eq!(again, ShardCounts { skipped: 15, done: 0, failed: 3 });
        let failed: ShardId = "p00003-c00000".parse().unwrap();
        assert_eq!(one.failure(&failed), Some(Failure { error: "not again".to_owned() }));

        let many = Folder::create(many.path(), plan()).unwrap();
        for share in ["2/3", "0/3", "1/3"] {
            let share: Share = share.parse().unwrap();
            let part = share.take(many.plan().shards().collect());
            many.compute(&part, compute, |_, _| ()).unwrap();
        }
        one.compute(&all, compute, |_, _| ()).unwrap();
        assert_eq!(files(&one), files(&many));
        assert_eq!(many.missing().unwrap().len(), 3);
    }

    #[test]
    fn what_is_of_another_sweep_is_refused_and_what_is_damaged_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path(), plan()).unwrap();
        let all = folder.missing().unwrap();
        folder.compute(&all[..2], compute, |_, _| ()).unwrap();

        fs::write(folder.shard_path(&all[1]), b"half").unwrap();
        assert_eq!(folder.missing().unwrap()[0], all[1]);

        fs::copy(folder.shard_path(&all[0]), folder.shard_path(&all[2])).unwrap();
        let error = folder.missing().unwrap_err().to_string();
        assert!(error.contains("p00000-c00004.shard is not a shard of this sweep"), "{error}");

        let mut other = plan();
        other.sweep.seed = 2;
        let error = Folder::create(dir.path(), other).unwrap_err().to_string();
        assert!(error.contains("holds another sweep"), "{error}");
        // As before sweeps had a part.
        let file = dir.path().join("sweep.json");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("    \"part\": \"validation\",\n", "")).unwrap();
        let error = Folder::create(dir.path(), plan()).unwrap_err().to_string();
        assert!(error.contains("of another revision of hafnia"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        let error = Folder::open(empty.path()).unwrap_err().to_string();
        assert!(error.contains("holds no sweep"), "{error}");
    }

    #[test]
    fn shards_are_not_mixed_with_those_of_other_inputs() {
        let dir = tempfile::tempdir().unwrap();
        let with = |given: &[(&str, &str)]| Plan { inputs: inputs(given), ..plan() };
        let open = |given: &[(&str, &str)]| Folder::create(dir.path(), with(given));
        // Nothing is computed from an input yet: it may come, change and go.
        open(&[]).unwrap();
        open(&[("m.toml", "0")]).unwrap();
        let folder = open(&[("m.toml", "1"), ("n.toml", "1")]).unwrap();
        let all = folder.missing().unwrap();
        folder.compute(&all[..1], compute, |_, _| ()).unwrap();
        open(&[("m.toml", "1"), ("n.toml", "2")]).unwrap();
        let error = open(&[("m.toml", "2"), ("n.toml", "2")]).unwrap_err().to_string();
        let folder_says = format!("{} holds shards that were computed", dir.path().display());
        assert_eq!(
            error,
            format!(
                "{folder_says} from another `m.toml`: put it back as it was, give another --out, \
                 or remove the folder to start over"
            )
        );
        let newer = [(PROGRAM, "0.2.0"), ("m.toml", "1")];
        let error = open(&newer).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{folder_says} by hafnia 0.1.0, this is 0.2.0: go on")));
        // What changes while it runs is not kept.
        let folder = open(&[("m.toml", "1")]).unwrap();
        let changed = |point: &Point, chips| {
            let computed = compute(point, chips)?;
            Ok(Computed { inputs: inputs(&[("m.toml", "2")]), ..computed })
        };
        folder.compute(&all[1..2], changed, |_, _| ()).unwrap();
        let failure = folder.failure(&all[1]).unwrap().error;
        assert_eq!(failure, "`m.toml` changed while the sweep ran: run the same command again");
        assert!(Folder::open(dir.path()).unwrap().shard(&all[1]).unwrap().is_none());
    }

    #[test]
    fn a_shard_with_a_right_checksum_and_wrong_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path(), plan()).unwrap();
        let all = folder.missing().unwrap();
        folder.compute(&all[..1], compute, |_, _| ()).unwrap();
        let path = folder.shard_path(&all[0]);
        let right: Shard = load(&path).unwrap();
        let check = |change: &dyn Fn(&mut Computed), expected: &str| {
            let mut forged = right.clone();
            change(&mut forged.computed);
            fs::write(&path, seal(&forged).unwrap()).unwrap();
            let error = folder.missing().unwrap_err().to_string();
            let found = error.strip_prefix(&format!("{} ", path.display()));
            assert_eq!(found, Some(&*format!("holds no valid \"shard\": {expected}")));
        };
        check(
            &|computed| computed.evaluation.differences[0] = vec![20],
            "the images on which chip 0 differs must ascend below 20",
        );
        check(
            &|computed| computed.evaluation.differences[1] = vec![4, 4],
            "the images on which chip 1 differs must ascend below 20",
        );
        check(&|computed| computed.evaluation.differences.clear(), "it is of no chip");
        check(
            &|computed| computed.evaluation.exact_correct.clear(),
            "it is of 0 images, it must lie in 1..=4294967294",
        );
        check(&|computed| *computed.facts.get_mut("cells").unwrap() = f64::NAN, "`cells` is NaN");
    }

    #[test]
    fn a_share_is_one_of_n() {
        let take = |text: &str| text.parse::<Share>().map(|share| share.take(vec![0, 1, 2, 3, 4]));
        assert_eq!(take("1/2").unwrap(), [1, 3]);
        assert_eq!(take("0/1").unwrap(), [0, 1, 2, 3, 4]);
        for wrong in ["2/2", "1", "0/0", "a/b", "-1/2"] {
            assert!(take(wrong).is_err(), "{wrong}");
        }
    }
}
