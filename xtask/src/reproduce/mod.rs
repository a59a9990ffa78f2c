//! `cargo xtask reproduce`: from MNIST to the table of claims.
//!
//! Every number comes from a step: one call of the release binary `hafnia`, whose outputs are kept
//! and which is skipped as long as nothing it depends on has changed. From the ground up:
//!
//! - [`runner`] runs steps, [`calls`] makes them of calls on a data set, and [`plan`] has the calls
//!   that sections share; [`zoo`] finds recorded networks, [`deployed`] prepares the one of ours.
//! - The claims, each by networks like the paper's and by ours: [`accuracy`], [`rename`] and
//!   [`reorder`].
//! - What else is said of ours: [`all_layers`], [`mapping`], [`cells`], [`frontier`],
//!   [`attribution`], [`cost`] and [`speed`]; [`recorded`] are the networks that are part of hafnia.
//! - [`mod@run`] is the run from top to bottom, [`write_up`] makes the report of what it found.

mod accuracy;
mod all_layers;
mod attribution;
pub(crate) mod calls;
pub(crate) mod cells;
mod cost;
mod deployed;
mod frontier;
mod mapping;
mod options;
pub(crate) mod plan;
mod recorded;
mod rename;
mod reorder;
mod run;
pub(crate) mod runner;
mod speed;
mod write_up;
pub(crate) mod zoo;

use std::time::Instant;

use anyhow::{Context, bail};
use hafnia_report::Claims;

pub(crate) use options::Options;

use crate::workspace::root;

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let start = Instant::now();
    let claims = Claims::load(root().join("docs/claims.toml"))?;
    let out = std::path::absolute(&options.out)?;
    std::fs::create_dir_all(&out)
        .and_then(|()| {
            let probe = out.join(".writable");
            std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe))
        })
        .with_context(|| format!("output folder {} cannot be written", out.display()))?;
    let hafnia = runner::build()?;
    let runner = runner::Runner::new(hafnia, &out)?;
    let (plan, results) = run::run(&runner, options, &claims)?;
    let mut report = write_up::report(&plan, &results, options, start.elapsed().as_secs_f64())?;
    let manifest = write_up::manifest(&results, options)?;
    // By way of text, as whoever reads the run again gets it: the last digit of a number may differ.
    report.record = Some(serde_json::from_str(&serde_json::to_string(&manifest)?)?);
    for (name, bytes) in hafnia_report::files(&report) {
        hafnia_artifact::write_whole(out.join(name), &bytes)?;
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
    let missed = report.missed();
    if !missed.is_empty() {
        bail!(
            "--check: claims that networks like the paper's do not meet, or that were not judged: {}",
            missed.join(", ")
        );
    }
    Ok(())
}
