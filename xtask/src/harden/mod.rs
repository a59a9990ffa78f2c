//! `cargo xtask harden`: changed files, forged artefacts, random command lines, kills at system calls
//! and closed streams, for as long as asked.
//!
//! Every trial runs the binary as a user would, in a folder of its own, with a bound on time and
//! memory, and judges what comes out: an exit code of 0, 1 or 2, no panic, an error of one line, no
//! control characters of a file on the terminal, no input changed. What goes wrong is kept, with a
//! script that shows it again.

mod change;
mod corpus;
mod kills;
mod trial;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use hafnia_rng::{ChaCha8Rng, Seed};
use rand::RngExt;
use rand::seq::IndexedRandom;

use self::corpus::{COMMANDS, FROM_PROGRAM, KINDS};
use self::trial::{Binary, Failure, copy, reset};
use crate::workspace::{build, target};

/// Try hafnia on changed and forged files, random command lines, kills and closed streams.
#[derive(Args)]
pub(crate) struct Options {
    /// Minutes to go on for.
    #[arg(long, default_value_t = 10.0, value_parser = minutes)]
    pub(crate) minutes: f64,
    /// Seed of everything that is drawn.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The binary to try, in place of one that is built for it.
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes| (0.0..=1e5).contains(minutes));
    minutes.ok_or_else(|| "a number of minutes from 0 to 100000".to_owned())
}

/// Failures after which it stops.
const MOST_FAILURES: usize = 20;

/// What one trial was of, and what was wrong with it.
type Trial = (&'static str, Option<Failure>);

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let binary = match &options.binary {
        Some(binary) => fs::canonicalize(binary).with_context(|| binary.display().to_string())?,
        None => build("dev")?,
    };
    let folder = target()?.join("harden");
    let (seeds, failures) = (folder.join("seeds"), folder.join("failures"));
    for folder in [&seeds, &failures] {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder)?;
    }
    let binary = Binary(binary);
    corpus::make(&binary, &seeds)?;

    let until = Instant::now() + Duration::from_secs_f64(60.0 * options.minutes);
    let counts = Mutex::new(BTreeMap::<&str, [usize; 2]>::new());
    let (trials, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let seed = Seed(options.seed).site("harden");
    let has_strace = kills::is_there();
    let work = |worker: usize| -> anyhow::Result<()> {
        let place = folder.join(format!("worker-{worker}"));
        let mut started = false;
        while Instant::now() < until && failed.load(Ordering::Relaxed) < MOST_FAILURES {
            let number = trials.fetch_add(1, Ordering::Relaxed);
            // Every trial is drawn by its number alone.
            let rng = &mut seed.index(number as u64).rng();
            if !started || number.is_multiple_of(64) {
                reset(&seeds, &place)?;
                started = true;
            }
            let (of, failure) = match number % 16 {
                0 => ("closed streams", streams(&binary, &place, rng)?),
                1 => ("instruction sets", instruction_sets(&binary, &place, rng)?),
                2 | 3 if has_strace => ("kills", kills::kill(&binary, &seeds, &place, rng)?),
                4 => ("two at once", kills::race(&binary, &seeds, &place, rng)?),
                5 | 6 => ("command lines", command_line(&binary, &place, rng)?),
                _ => changed_file(&binary, &seeds, &place, rng)?,
            };
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            let [tried, wrong] = counts.entry(of).or_default();
            *tried += 1;
            let Some(Failure { what, script }) = failure else { continue };
            *wrong += 1;
            drop(counts);
            let kept = failures.join(number.to_string());
            copy(&place, &kept)?;
            fs::write(kept.join("repro.sh"), format!("# {what}\n{script}\n"))?;
            eprintln!("{of}: {what}\n  {}", kept.join("repro.sh").display());
            failed.fetch_add(1, Ordering::Relaxed);
            started = false;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..2).map(|worker| scope.spawn(move || work(worker))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;

    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (of, [tried, wrong]) in &counts {
        println!("{of}: {tried} tried, {wrong} wrong");
    }
    if !has_strace {
        eprintln!("left out for want of strace: kills at system calls");
    }
    let wrong: usize = counts.values().map(|[_, wrong]| wrong).sum();
    ensure!(wrong == 0, "{wrong} trials went wrong: see {}", failures.display());
    Ok(())
}

/// Changes a file of some kind, with its checksum made right, and has a command read it.
fn changed_file(
    binary: &Binary,
    seeds: &Path,
    place: &Path,
    rng: &mut ChaCha8Rng,
) -> anyhow::Result<Trial> {
    let kind = KINDS.choose(rng).expect("there are kinds");
    let file = kind.files.choose(rng).expect("a kind has files");
    let command = kind.commands.choose(rng).expect("a kind has commands");
    let original = fs::read(seeds.join(file)).with_context(|| (*file).to_owned())?;
    let changed = change::change(kind.form, &original, rng);
    fs::write(place.join(file), &changed)?;
    let _ = fs::remove_dir_all(place.join("out"));
    let ended = binary.run(place, command)?;
    let mut fault = ended.fault();
    if fault.is_none() && fs::read(place.join(file)).ok().as_ref() != Some(&changed) {
        fault = Some("the file that was read is another one now".to_owned());
    }
    if *command == FROM_PROGRAM && ended.code == Some(0) && changed != original {
        fault = Some("a changed program is taken for one of the network".to_owned());
    }
    let failure = fault
        .map(|what| Failure { what: format!("{what} ({file})"), script: trial::script(command) });
    if failure.is_none() {
        fs::write(place.join(file), original)?;
        let _ = fs::remove_dir_all(place.join("out"));
    }
    Ok((kind.name, failure))
}

/// Options and values of a command line, drawn from what its help names.
fn command_line(
    binary: &Binary,
    place: &Path,
    rng: &mut ChaCha8Rng,
) -> anyhow::Result<Option<Failure>> {
    const VALUES: [&str; 30] = [
        "0",
        "1",
        "2",
        "-1",
        "4294967295",
        "4294967296",
        "18446744073709551615",
        "1e308",
        "inf",
        "nan",
        "",
        " ",
        "all",
        "final",
        "fc1",
        "compact",
        "network.hafnia",
        "natural.map",
        "macro.toml",
        "recipe.toml",
        "program",
        "data",
        "none",
        "/dev/null",
        "/dev/zero",
        "/nowhere/x",
        "a=b",
        "rows=0",
        "\u{1b}[2J",
        "1,2,3",
    ];
    let command = COMMANDS.choose(rng).expect("there are commands");
    let subcommand: Vec<&str> = command
        .split(' ')
        .take_while(|word| word.bytes().all(|b| b.is_ascii_lowercase()))
        .collect();
    let help = binary.run(place, &format!("{} --help", subcommand.join(" ")))?;
    let options: Vec<&str> = help
        .stdout
        .split([' ', '\n', ',', '=', '['])
        .filter(|word| word.starts_with("--") && *word != "--help" && *word != "--version")
        .collect();
    let mut words: Vec<String> = command.split(' ').map(str::to_owned).collect();
    for _ in 0..rng.random_range(1..4) {
        if rng.random_ratio(1, 3) && words.len() > subcommand.len() + 1 {
            words.remove(rng.random_range(subcommand.len()..words.len()));
        }
        if let Some(option) = options.choose(rng) {
            words.push((*option).to_owned());
        }
        words.push((*VALUES.choose(rng).expect("there are values")).to_owned());
    }
    let ended = binary.run_words(place, &words)?;
    // A legal number of chips may take longer than anybody waits here.
    let fault = if ended.is_late { None } else { ended.fault() };
    let _ = fs::remove_dir_all(place.join("out"));
    Ok(fault.map(|what| Failure { what, script: trial::script_of(&words) }))
}

/// Runs a command with stderr, or stdout too, as it should not be.
fn streams(binary: &Binary, place: &Path, rng: &mut ChaCha8Rng) -> anyhow::Result<Option<Failure>> {
    const STREAMS: [&str; 4] = ["2>/dev/full", "2>&-", "2>&- <&-", "</dev/null 2>/dev/full"];
    let command = COMMANDS.choose(rng).expect("there are commands");
    let stream = STREAMS.choose(rng).expect("there are streams");
    let _ = fs::remove_dir_all(place.join("out"));
    let open = binary.run(place, command)?;
    let _ = fs::remove_dir_all(place.join("out"));
    let closed = binary.run_with(place, command, stream)?;
    let _ = fs::remove_dir_all(place.join("out"));
    let fault = open.fault().or_else(|| closed.fault_of_code()).or_else(|| {
        let is_same =
            open.code == closed.code && open.stdout.is_empty() == closed.stdout.is_empty();
        let codes = (open.code, closed.code);
        (!is_same).then(|| format!("exit codes or output differ with stderr closed: {codes:?}"))
    });
    Ok(fault.map(|what| Failure { what, script: format!("{} {stream}", trial::script(command)) }))
}

/// Runs an evaluation or a training on every instruction set.
fn instruction_sets(
    binary: &Binary,
    place: &Path,
    rng: &mut ChaCha8Rng,
) -> anyhow::Result<Option<Failure>> {
    let seed = rng.random_range(0..1000);
    let engine = ["exact", "table", "device"].choose(rng).expect("there are engines");
    let commands = [
        format!(
            "sim network.hafnia natural.map compact.map --macro macro.toml --data data --chips 2 \
             --noise-in all --engine {engine} --seed {seed} --format json -q"
        ),
        format!("train --recipe recipe.toml --out out --data data --seed {seed} -q"),
    ];
    let command = commands.choose(rng).expect("there are commands");
    let mut results = Vec::new();
    for isa in ["portable", "avx2", "avx512", "neon"] {
        let _ = fs::remove_dir_all(place.join("out"));
        let ended = binary.run_on(place, command, isa)?;
        if ended.code == Some(2) {
            // This processor does not have it.
            continue;
        }
        let network = fs::read(place.join("out/network.hafnia")).unwrap_or_default();
        if let Some(what) = ended.fault() {
            let script = format!("HAFNIA_ISA={isa} {}", trial::script(command));
            return Ok(Some(Failure { what, script }));
        }
        // A training says how fast it was.
        let said = if network.is_empty() { ended.stdout } else { String::new() };
        results.push((isa, said, network));
    }
    let _ = fs::remove_dir_all(place.join("out"));
    let [(first, ..), ..] = &results[..] else { bail!("no instruction set is known") };
    let other = results
        .iter()
        .find(|(_, stdout, network)| (stdout, network) != (&results[0].1, &results[0].2));
    Ok(other.map(|(isa, ..)| Failure {
        what: format!("results on {first} and {isa} differ"),
        script: format!(
            "for isa in {first} {isa}; do HAFNIA_ISA=$isa {}; done",
            trial::script(command)
        ),
    }))
}
