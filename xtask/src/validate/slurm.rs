//! A sweep on a Slurm cluster of two nodes, all on this machine.
//!
//! munge, slurmctld and two slurmd are started in a scratch folder and stopped again; nothing of the
//! machine's own configuration is used. Three things are asked of them:
//! - two nodes make the same shards, bit for bit, as two processes without Slurm, and how much longer
//!   they take is printed;
//! - a node that is killed in the middle loses no finished shard;
//! - submitting once more sends what is missing, and only that.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use crate::workspace;

/// Debian's packages that have them: munge, slurmctld, slurmd, slurm-client.
const PROGRAMS: [&str; 5] = ["munged", "slurmctld", "slurmd", "sbatch", "scontrol"];

/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// 16 shards of some seconds of work, on the subset that is part of hafnia: its test images, which are
/// the most and here choose nothing. So many times as long.
fn sweep_file(times: u32) -> String {
    let (chips, shard_chips) = (24 * times, 6 * times);
    format!(
        r#"
name = "two-nodes"
engine = "device"
part = "test"
chips = {chips}
shard_chips = {shard_chips}
[base]
model = "frontier"
noise_in = "all"
[axes]
pipeline = ["natural", "compact"]
"macro.sigma_lrs_rel" = [0.05, 0.1]
"#
    )
}

/// What is missing to run this; nothing if all is there.
pub(crate) fn missing() -> Vec<String> {
    let has = |program: &&str| find(program).is_some();
    let mut missing: Vec<String> =
        PROGRAMS.iter().filter(|program| !has(program)).map(|name| (*name).to_owned()).collect();
    if !is_root() {
        missing.push("root".to_owned());
    }
    missing
}

#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|of| of.uid() == 0)
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

/// Sets the permissions that munge asks for.
#[cfg(unix)]
fn allow(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn allow(_path: &Path, _mode: u32) -> std::io::Result<()> {
    Ok(())
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Daemons lie where only root looks.
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

/// Where the daemons do not start, which a container may forbid, that is an error only if
/// `must_start`; the release binary is then measured, otherwise that of the tests runs.
pub(crate) fn run(times: u32, must_start: bool) -> anyhow::Result<()> {
    let missing = missing();
    if !missing.is_empty() {
        bail!(
            "missing: {}; the packages of Debian are slurmctld, slurmd, slurm-client and munge",
            missing.join(", ")
        );
    }
    let hafnia = workspace::build(if must_start { "release" } else { "dev" })?;
    let scratch = TempDir::new().context("a scratch folder")?;
    let place = scratch.path();
    fs::write(place.join("sweep.toml"), sweep_file(times))?;
    let sweep = |out: &str, more: &[&str]| {
        let mut command = Command::new(&hafnia);
        command.current_dir(place).env("RAYON_NUM_THREADS", "1");
        command.args(["sweep", "sweep.toml", "--offline", "--out", out]).args(more);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };

    let start = Instant::now();
    let mut halves = Vec::new();
    for share in ["0/2", "1/2"] {
        halves.push(sweep("local", &["--share", share]).spawn().context("hafnia")?);
    }
    for half in &mut halves {
        ensure!(half.wait()?.success(), "a local process failed");
    }
    let local = start.elapsed();
    let expected = shards(&place.join("local"))?;
    println!("two processes:   {} shards in {:.1} s", expected.len(), local.as_secs_f64());

    let mut cluster = match Cluster::start(place) {
        Err(error) if !must_start => {
            eprintln!("left out, Slurm does not start here: {error:#}");
            return Ok(());
        }
        started => started?,
    };
    let start = Instant::now();
    let submit = |out: &str, more: &[&str]| {
        let mut command = sweep(out, &["--on", "slurm"]);
        command.args(more).env("SLURM_CONF", place.join("slurm.conf"));
        crate::workspace::run(&mut command)
    };
    submit("cluster", &["--tasks", "2"])?;
    wait(
        "the shards of two nodes",
        || Ok(shards(&place.join("cluster"))?.len() == expected.len()),
    )?;
    let slurm = start.elapsed();
    ensure!(shards(&place.join("cluster"))? == expected, "shards differ from those made locally");
    wait("the collection", || Ok(place.join("cluster/results.csv").exists()))?;
    println!(
        "two Slurm nodes: {} shards in {:.1} s, × {:.2}; bit for bit the same; collected",
        expected.len(),
        slurm.as_secs_f64(),
        slurm.as_secs_f64() / local.as_secs_f64()
    );

    submit("killed", &["--tasks", "4"])?;
    let killed = place.join("killed");
    wait("a third of the shards", || Ok(shards(&killed)?.len() * 3 >= expected.len()))?;
    cluster.kill_node(1)?;
    let before = shards(&killed)?;
    ensure!(before.len() < expected.len(), "the node was killed too late");
    // Slurm may send the task that was on it to the other node.
    wait("the other node", || cluster.is_idle())?;
    let kept = shards(&killed)?;
    let is_kept = |(name, bytes): (&String, &Vec<u8>)| kept.get(name) == Some(bytes);
    ensure!(before.iter().all(is_kept), "a finished shard is lost");
    let left = expected.len() - kept.len();
    println!("a node killed after {} shards: none lost, {left} missing in the end", before.len());

    cluster.start_node(1)?;
    for name in kept.keys().take(3) {
        fs::remove_file(killed.join("shards").join(name))?;
    }
    let gone: Vec<String> = missing_of(&expected, &shards(&killed)?);
    submit("killed", &["--tasks", "2"])?;
    let list = fs::read_to_string(killed.join("slurm/missing.txt"))?;
    ensure!(list.lines().eq(gone.iter()), "submitted: {list}, missing: {gone:?}");
    wait("what was missing", || Ok(shards(&killed)?.len() == expected.len()))?;
    ensure!(shards(&killed)? == expected, "shards differ from those made locally");
    println!("three shards removed, submitted again: {} and no more; the same", gone.len());
    Ok(())
}

/// The names of shards that are missing.
fn missing_of(all: &BTreeMap<String, Vec<u8>>, there: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let missing = all.keys().filter(|name| !there.contains_key(*name));
    missing.map(|name| name.trim_end_matches(".shard").to_owned()).collect()
}

/// The shards of a sweep, by name.
fn shards(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut shards = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder.join("shards")) else { return Ok(shards) };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Others are being written.
        if name.ends_with(".shard") && !name.starts_with('.') {
            shards.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(shards)
}

fn wait(what: &str, mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let start = Instant::now();
    while !is_so()? {
        ensure!(start.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The daemons, which end with it.
struct Cluster<'a> {
    place: &'a Path,
    services: Vec<Child>,
    nodes: [Option<Child>; 2],
}

impl<'a> Cluster<'a> {
    fn start(place: &'a Path) -> anyhow::Result<Self> {
        allow(place, 0o755)?;
        for folder in ["munge", "state"] {
            fs::create_dir_all(place.join(folder))?;
            allow(&place.join(folder), 0o755)?;
        }
        let mut key = vec![0; 1024];
        std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut key)?;
        let key_file = place.join("munge/key");
        fs::File::create(&key_file)?.write_all(&key)?;
        allow(&key_file, 0o600)?;
        let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
        fs::write(place.join("slurm.conf"), configuration(place, host.trim()))?;

        let mut cluster = Self { place, services: Vec::new(), nodes: [None, None] };
        let file = |name: &str| place.join("munge").join(name).display().to_string();
        let munge = [
            "--foreground".to_owned(),
            "--force".to_owned(),
            format!("--key-file={}", key_file.display()),
            format!("--socket={}", file("socket")),
            format!("--pid-file={}", file("pid")),
            format!("--log-file={}", file("log")),
            format!("--seed-file={}", file("seed")),
        ];
        let child = cluster.daemon("munged", &munge)?;
        cluster.services.push(child);
        wait("munged", || Ok(place.join("munge/socket").exists()))?;
        let child = cluster.daemon("slurmctld", &["-D".to_owned()])?;
        cluster.services.push(child);
        for node in 0..2 {
            cluster.start_node(node)?;
        }
        wait("two idle nodes", || cluster.is_idle())?;
        Ok(cluster)
    }

    fn daemon(&self, name: &str, arguments: &[String]) -> anyhow::Result<Child> {
        let program = find(name).with_context(|| format!("{name} is missing"))?;
        let log = fs::File::create(self.place.join(format!("{name}{}.out", arguments.len())))?;
        Command::new(program)
            .args(arguments)
            .env("SLURM_CONF", self.place.join("slurm.conf"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{name} cannot be run"))
    }

    fn start_node(&mut self, node: usize) -> anyhow::Result<()> {
        let arguments = ["-D", "-N", NODES[node]].map(str::to_owned);
        self.nodes[node] = Some(self.daemon("slurmd", &arguments)?);
        // A node that was down says so until it is told otherwise.
        let update = format!("nodename={}", NODES[node]);
        wait("the node", || {
            let _ = self.client("scontrol", &["update", &update, "state=resume"]);
            Ok(self
                .client("sinfo", &["-h", "-N", "-o", "%N %t"])?
                .contains(&format!("{} idle", NODES[node])))
        })
    }

    /// Kills a node's daemon and all that runs on it, at once.
    fn kill_node(&mut self, node: usize) -> anyhow::Result<()> {
        let mark = format!("SLURMD_NODENAME={}\0", NODES[node]);
        if let Some(mut daemon) = self.nodes[node].take() {
            daemon.kill()?;
            daemon.wait()?;
        }
        for entry in fs::read_dir("/proc")?.flatten() {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let is_on_it = environment.windows(mark.len()).any(|part| part == mark.as_bytes());
            if let (true, Some(pid)) = (is_on_it, entry.file_name().to_str()) {
                let _ = Command::new("kill").args(["-9", pid]).stderr(Stdio::null()).status();
            }
        }
        let update = format!("nodename={}", NODES[node]);
        self.client("scontrol", &["update", &update, "state=down", "reason=killed"])?;
        Ok(())
    }

    /// Whether nothing runs or waits any more.
    fn is_idle(&self) -> anyhow::Result<bool> {
        let nodes = self.client("sinfo", &["-h", "-N", "-o", "%t"]).unwrap_or_default();
        let jobs = self.client("squeue", &["-h"]).unwrap_or_else(|_| "unknown".to_owned());
        let up = self.nodes.iter().flatten().count();
        Ok(jobs.trim().is_empty() && nodes.lines().filter(|state| *state == "idle").count() == up)
    }

    fn client(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.args(arguments).env("SLURM_CONF", self.place.join("slurm.conf"));
        let output = command.output().with_context(|| format!("{program} cannot be run"))?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), error.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        let nodes = self.nodes.iter_mut().flatten();
        for daemon in nodes.chain(self.services.iter_mut().rev()) {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

const NODES: [&str; 2] = ["n1", "n2"];

/// Two nodes of one core on this host, without control groups.
fn configuration(place: &Path, host: &str) -> String {
    let place = place.display();
    format!(
        "ClusterName=hafnia\n\
         SlurmctldHost={host}(127.0.0.1)\n\
         SlurmctldPort=16817\n\
         SlurmUser=root\n\
         AuthType=auth/munge\n\
         AuthInfo=socket={place}/munge/socket\n\
         CredType=cred/munge\n\
         ProctrackType=proctrack/linuxproc\n\
         TaskPlugin=task/none\n\
         JobAcctGatherType=jobacct_gather/none\n\
         SelectType=select/cons_tres\n\
         SelectTypeParameters=CR_Core\n\
         SchedulerParameters=sched_interval=2,batch_sched_delay=0\n\
         ReturnToService=2\n\
         MpiDefault=none\n\
         StateSaveLocation={place}/state\n\
         SlurmdSpoolDir={place}/spool-%n\n\
         SlurmctldPidFile={place}/slurmctld.pid\n\
         SlurmdPidFile={place}/slurmd-%n.pid\n\
         SlurmctldLogFile={place}/slurmctld.log\n\
         SlurmdLogFile={place}/slurmd-%n.log\n\
         NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[16818-16819] CPUs=1 RealMemory=500\n\
         PartitionName=p Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP\n"
    )
}
