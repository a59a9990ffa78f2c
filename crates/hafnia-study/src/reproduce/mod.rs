//! The whole run: from MNIST to the table of claims.
//!
//! Every number comes from a step: a request whose outcome is kept, and which is skipped as long as
//! nothing it depends on has changed. From the ground up:
//!
//! - `lab` answers requests as steps and has what sections share; `zoo` finds recorded networks,
//!   `deployed` prepares the one of ours.
//! - The claims, each by networks like the paper's and by ours: `accuracy`, `rename` and
//!   `reorder`.
//! - `build` says what to build, of all recorded networks.
//! - What else is said of ours: `all_layers`, `mapping`, `cells`, `frontier`,
//!   `attribution`, `cost` and `speed`; `recorded` are the networks that are part of hafnia, `shapes`
//!   those of published shapes, and `import` takes those of other tools.
//! - `run` is the run from top to bottom, `write_up` makes the report of what it found.

mod accuracy;
mod all_layers;
mod attribution;
mod build;
mod cells;
mod cost;
mod deployed;
mod frontier;
mod import;
mod lab;
mod mapping;
mod options;
mod recorded;
mod rename;
mod reorder;
mod run;
mod shapes;
mod speed;
mod write_up;
mod zoo;

use std::path::Path;
use std::time::Instant;

use hafnia_artifact::{Manifest, Places, write_whole};
use hafnia_report::Report;

use self::lab::Lab;
pub use self::options::{ReproduceRequest, Train};
use crate::session::Session;

/// Runs everything in a checkout, and writes report.md, report.json, report.html and what they are
/// made of; `commands.txt` is what would be typed to repeat every step by hand.
///
/// # Errors
/// If a step fails, or something cannot be read or written.
pub fn reproduce(
    session: &Session<'_>,
    request: &ReproduceRequest,
    checkout: &Path,
    train: &Train<'_>,
) -> anyhow::Result<Report> {
    let start = Instant::now();
    let begun = Manifest::new("hafnia", env!("CARGO_PKG_VERSION"), request.words());
    let written = ["report.json", "report.md", "report.html", "manifest.json", "commands.txt"];
    let data = request.data.as_deref().map(hafnia_data::files_in).unwrap_or_default();
    Places::new().reads(data).writes(written.map(|name| request.out.join(name))).check()?;
    let lab = Lab::open(session, request, checkout, train)?;
    let results = run::run(&lab, request.retrain)?;
    let seconds = start.elapsed().as_secs_f64();
    let mut report = write_up::report(&lab, &results, request, seconds)?;
    let manifest = write_up::manifest(&lab, &results, request, begun, seconds)?;
    // By way of text, as whoever reads the run again gets it: the last digit of a number may differ.
    report.record = Some(serde_json::from_str(&serde_json::to_string(&manifest)?)?);
    for (name, bytes) in hafnia_report::files(&report) {
        write_whole(lab.out(name), &bytes)?;
    }
    write_whole(lab.out("commands.txt"), lab.commands().as_bytes())?;
    manifest.write(lab.out("manifest.json"))?;
    let written = lab.out("report.md");
    let note = format!("{} and report.html written in {seconds:.0} s", written.display());
    session.observer.note(&note);
    Ok(report)
}
