//! [`Slurm`]: a sweep as a job array.
//!
//! The folder of the sweep is shared by all nodes. What is missing is listed in a file, each task of
//! the array takes its share of that list, and a second job, which waits for all tasks however they
//! end, collects what is there. Nothing else is asked of the cluster: a task that is killed leaves
//! shards missing, and submitting once more lists those only.

use std::path::{Path, PathBuf};
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
    /// If files cannot be written, or [`SweepError::Sbatch`]: the script is there to be submitted by
    /// hand.
    pub fn submit(&self, folder: &Folder) -> Result<Job, SweepError> {
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
        let array = self.sbatch(&script, &[])?;
        let collect = place.join("collect.sh");
        write_whole(&collect, self.collect_script(folder.path()).as_bytes())?;
        let collection = self.sbatch(&collect, &[format!("--dependency=afterany:{array}")])?;
        Ok(Job { array: Some(array), collection: Some(collection), tasks, shards })
    }

    /// The script of the array.
    fn script(&self, folder: &Path, list: &Path, tasks: usize) -> String {
        let log = folder.join("slurm").join("task-%a.log");
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
            log = log.display(),
            options = self.options(),
            command = self.command(),
            folder = quoted(&folder.display().to_string()),
            list = quoted(&list.display().to_string()),
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
            log = folder.join("slurm").join("collect.log").display(),
            options = self.options(),
            command = self.command(),
            folder = quoted(&folder.display().to_string()),
        )
    }

    fn options(&self) -> String {
        self.options.iter().map(|option| format!("#SBATCH {option}\n")).collect()
    }

    fn command(&self) -> String {
        self.command.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(" ")
    }

    /// Submits a script; gives the job's number.
    fn sbatch(&self, script: &PathBuf, options: &[String]) -> Result<String, SweepError> {
        let problem = |problem: String| SweepError::Sbatch { problem, script: script.clone() };
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
    }
}
