//! [`Slurm`]: a sweep as a job array.
//!
//! The folder of the sweep is shared by all nodes. What is missing is listed in a file, each task of
//! the array takes its share of that list, and a second job, which waits for all tasks however they
//! end, collects what is there. Nothing else is asked of the cluster: a task that is killed leaves
//! shards missing, and submitting once more lists those only.

use std::path::Path;
use std::process::Command;

use hafnia_artifact::write_whole;

use crate::request::quoted;
use crate::sweep::error::SweepError;
use crate::sweep::folder::Folder;
use crate::sweep::plan::ShardId;

/// How a sweep is submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slurm {
    /// The command to run: the program and what it needs beside the folder, such as `--data`.
    pub command: Vec<String>,
    /// Most tasks of the array.
    pub tasks: usize,
    /// Cores of a task.
    pub cores: usize,
    /// More options of `sbatch`, such as a partition.
    pub options: Vec<String>,
    /// Wait until the array and the collection have ended.
    pub wait: bool,
}

/// What was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The array's number; none if nothing was missing.
    pub array: Option<String>,
    /// The number of the job that collects.
    pub collection: Option<String>,
    /// Tasks of the array.
    pub tasks: usize,
    /// Shards they compute.
    pub shards: usize,
}

impl Slurm {
    /// Submits what is missing of a sweep.
    ///
    /// # Errors
    /// As [`check`](Self::check); if files cannot be written; or [`SweepError::Sbatch`]: both scripts
    /// are there to be submitted by hand.
    pub fn submit(&self, folder: &Folder) -> Result<Job, SweepError> {
        self.check(folder.path())?;
        let missing = folder.missing()?;
        let (tasks, shards) = (self.tasks.min(missing.len()).max(1), missing.len());
        if missing.is_empty() {
            return Ok(Job { array: None, collection: None, tasks: 0, shards: 0 });
        }
        let place = folder.path().join("slurm");
        let list = place.join("missing.txt");
        let lines: String = missing.iter().map(|id: &ShardId| format!("{id}\n")).collect();
        write_whole(&list, lines.as_bytes())?;
        let script = place.join("array.sh");
        write_whole(&script, self.script(folder.path(), &list, tasks).as_bytes())?;
        let collect = place.join("collect.sh");
        write_whole(&collect, self.collect_script(folder.path()).as_bytes())?;
        let second = |array: &str| {
            let dependency = format!("--dependency=afterany:{array}");
            (dependency.clone(), format!("sbatch {dependency} {}", quoted_path(&collect)))
        };
        let (_, collecting) = second("NUMBER");
        let by_hand =
            format!("sbatch {}, then, with its number, {collecting}", quoted_path(&script));
        let array = self.sbatch(&script, &[], by_hand)?;
        let (dependency, by_hand) = second(&array);
        let collection = self.sbatch(&collect, &[dependency], by_hand)?;
        Ok(Job { array: Some(array), collection: Some(collection), tasks, shards })
    }

    /// Checks that a script can name this folder and these options: the lines that are for `sbatch`
    /// hold no control characters, and a backslash has a meaning of its own in its names of files.
    ///
    /// # Errors
    /// [`SweepError::Invalid`] with the first that it cannot.
    pub fn check(&self, folder: &Path) -> Result<(), SweepError> {
        let folder = folder.display().to_string();
        let options = self.options.iter().map(|option| ("--sbatch", option));
        for (name, text) in std::iter::once(("--out", &folder)).chain(options) {
            if text.contains(|c: char| c.is_control() || (c == '\\' && name == "--out")) {
                let fault = "which no script for Slurm can name: leave out control characters and \
                             backslashes";
                return Err(SweepError::Invalid(format!("{name} is {text:?}, {fault}")));
            }
        }
        Ok(())
    }

    /// The script of the array.
    fn script(&self, folder: &Path, list: &Path, tasks: usize) -> String {
        format!(
            "#!/bin/sh\n\
             #SBATCH --job-name=hafnia-sweep\n\
             #SBATCH --array=0-{last}\n\
             #SBATCH --cpus-per-task={cores}\n\
             #SBATCH --output={log}\n\
             {options}\
             # Every task computes its share of what was missing; a shard is a file, whole or not there.\n\
             export RAYON_NUM_THREADS={cores}\n\
             exec {command} --out {folder} --shards {list} --share \"$SLURM_ARRAY_TASK_ID/{tasks}\"\n",
            last = tasks - 1,
            cores = self.cores,
            log = log(folder, "task-%a.log"),
            options = self.options(),
            command = self.command(),
            folder = quoted_path(folder),
            list = quoted_path(list),
        )
    }

    /// The script that collects.
    fn collect_script(&self, folder: &Path) -> String {
        format!(
            "#!/bin/sh\n\
             #SBATCH --job-name=hafnia-collect\n\
             #SBATCH --output={log}\n\
             {options}\
             exec {command} --out {folder} --collect\n",
            log = log(folder, "collect.log"),
            options = self.options(),
            command = self.command(),
            folder = quoted_path(folder),
        )
    }

    fn options(&self) -> String {
        let line = |option: &String| match option.split_once('=') {
            Some((name, value)) => format!("#SBATCH {name}={}\n", quoted_for_sbatch(value)),
            None => format!("#SBATCH {option}\n"),
        };
        self.options.iter().map(line).collect()
    }

    fn command(&self) -> String {
        self.command.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(" ")
    }

    /// Submits a script; gives the job's number.
    fn sbatch(
        &self,
        script: &Path,
        options: &[String],
        by_hand: String,
    ) -> Result<String, SweepError> {
        let problem = |problem: String| SweepError::Sbatch { problem, by_hand };
        let mut command = Command::new("sbatch");
        command.arg("--parsable").args(options);
        // Of the two jobs the collection ends last.
        if self.wait && !options.is_empty() {
            command.arg("--wait");
        }
        let output = match command.arg(script).output() {
            Ok(output) => output,
            Err(error) => return Err(problem(format!("cannot be run ({error})"))),
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let number = said.trim().split(';').next().unwrap_or_default();
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        match is_number {
            // With --wait its status is that of the job.
            true => Ok(number.to_owned()),
            false => {
                let error = String::from_utf8_lossy(&output.stderr);
                Err(problem(format!("says: {}", error.trim())))
            }
        }
    }
}

/// A path as a shell takes it.
fn quoted_path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// A file of logs beside the scripts, as a line for `sbatch` takes it, to which `%` means more than
/// itself.
fn log(folder: &Path, name: &str) -> String {
    let place = folder.join("slurm").display().to_string().replace('%', "%%");
    quoted_for_sbatch(&format!("{place}/{name}"))
}

/// A word as a line for `sbatch` takes it.
fn quoted_for_sbatch(word: &str) -> String {
    match word.contains(|c: char| c.is_whitespace() || "\"'#\\".contains(c)) {
        true => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")),
        false => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_script_runs_a_share_a_task() {
        let slurm = Slurm {
            command: ["hafnia", "sweep", "--data", "my data"].map(str::to_owned).to_vec(),
            tasks: 8,
            cores: 2,
            options: vec!["--partition=p".to_owned()],
            wait: false,
        };
        let text = slurm.script(Path::new("/s/out"), Path::new("/s/out/slurm/missing.txt"), 8);
        expect![[r##"
            #!/bin/sh
            #SBATCH --job-name=hafnia-sweep
            #SBATCH --array=0-7
            #SBATCH --cpus-per-task=2
            #SBATCH --output=/s/out/slurm/task-%a.log
            #SBATCH --partition=p
            # Every task computes its share of what was missing; a shard is a file, whole or not there.
            export RAYON_NUM_THREADS=2
            exec hafnia sweep --data 'my data' --out /s/out --shards /s/out/slurm/missing.txt --share "$SLURM_ARRAY_TASK_ID/8"
        "##]].assert_eq(&text);
        let odd = Slurm { options: vec!["--comment=it's #1 \"x\"".to_owned()], ..slurm };
        let folder = Path::new("/s/100 %/it's");
        odd.check(folder).unwrap();
        expect![[r##"
            #!/bin/sh
            #SBATCH --job-name=hafnia-collect
            #SBATCH --output="/s/100 %%/it's/slurm/collect.log"
            #SBATCH --comment="it's #1 \"x\""
            exec hafnia sweep --data 'my data' --out '/s/100 %/it'\''s' --collect
        "##]]
        .assert_eq(&odd.collect_script(folder));
        for (folder, option, expected) in [
            ("s\ntouch PWNED\n#", "", r#"--out is "s\ntouch PWNED\n#", which no script"#),
            ("s\\%a", "", r#"--out is "s\\%a", which no script"#),
            ("s", "-p x\nrm", r#"--sbatch is "-p x\nrm", which no script"#),
        ] {
            let slurm = Slurm { options: vec![option.to_owned()], ..odd.clone() };
            let error = slurm.check(Path::new(folder)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
