//! `cargo xtask reproduce`: from MNIST to the table of claims.
//!
//! Every number comes from a step: one call of the release binary `hafnia`, whose outputs are kept
//! and which is skipped as long as nothing it depends on has changed. [`plan`] is the run from top
//! to bottom, [`mapping`] its part on the mapping compiler, [`frontier`] that on what can be had
//! together, [`attribution`] that on where accuracy goes,
//! [`cost`] that on area, energy and time, [`speed`] that on the engines, [`recorded`]
//! what `--full` adds, [`calls`] makes steps of calls and [`runner`] runs them, [`write_up`] turns
//! their outputs into the report, [`cells`] mappings into pictures.

mod attribution;
pub(crate) mod calls;
pub(crate) mod cells;
mod cost;
mod frontier;
mod mapping;
pub(crate) mod plan;
mod recorded;
pub(crate) mod runner;
mod speed;
mod write_up;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use hafnia_report::{Claims, Verdict, exporters};

pub(crate) use recorded::networks;

use crate::workspace;

/// What to reproduce, and where to.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A few epochs and a few chips: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Also evaluate every recorded network again and hold it against its record.
    #[arg(long)]
    full: bool,
    /// Train the recorded networks again, every recipe and seed, which takes long, and evaluate
    /// what comes out instead; implies --full.
    #[arg(long, conflicts_with = "quick")]
    retrain: bool,
    /// Never touch the network: cached MNIST, or the small subset that is part of hafnia.
    #[arg(long)]
    offline: bool,
    /// Folder with the four IDX files of MNIST.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where everything is written.
    #[arg(long, value_name = "DIR", default_value = "out/reproduce")]
    out: PathBuf,
    /// Seed of the run; the trainings take this one and those that follow.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=u64::from(u32::MAX)))]
    seed: u64,
    /// Exit 1 unless every claim was judged and none was missed; readings that disagree, because the
    /// paper's unit is ambiguous, are no miss.
    #[arg(long)]
    check: bool,
}

impl Options {
    fn is_full(&self) -> bool {
        self.full || self.retrain
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let start = Instant::now();
    let claims = Claims::load(workspace().join("docs/claims.toml"))?;
    let out = std::path::absolute(&options.out)?;
    std::fs::create_dir_all(&out)
        .and_then(|()| {
            let probe = out.join(".writable");
            std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe))
        })
        .with_context(|| format!("output folder {} cannot be written", out.display()))?;
    let hafnia = runner::build()?;
    let runner = runner::Runner::new(hafnia, &out)?;
    let results = plan::run(&runner, options, &claims)?;
    results.check()?;
    let mut report = write_up::report(&results, &claims, options, start.elapsed().as_secs_f64())?;
    let manifest = write_up::manifest(&results, options)?;
    // By way of text, as whoever reads the run again gets it: the last digit of a number may differ.
    report.record = Some(serde_json::from_str(&serde_json::to_string(&manifest)?)?);
    for exporter in exporters() {
        for (name, bytes) in exporter.export(&report) {
            hafnia_artifact::write_whole(out.join(name), &bytes)?;
        }
    }
    manifest.write(out.join("manifest.json"))?;
    eprintln!(
        "{} and report.html written in {:.0} s",
        out.join("report.md").display(),
        start.elapsed().as_secs_f64()
    );
    if !results.data.full {
        println!("Made on the committed subset of MNIST: no claim is judged.");
    }
    println!("{}", report.verdict_table());
    if options.check {
        check(&report)?;
    }
    Ok(())
}

fn check(report: &hafnia_report::Report) -> anyhow::Result<()> {
    let missed: Vec<&str> = report
        .claims()
        .iter()
        .filter(|claim| matches!(claim.verdict, Verdict::NotReproduced | Verdict::NotJudged))
        .map(|claim| claim.id.as_str())
        .collect();
    if !missed.is_empty() {
        bail!("--check: claims not reproduced or not judged: {}", missed.join(", "));
    }
    Ok(())
}
