//! Turns what the sections found into the report and its manifest.

use std::collections::BTreeMap;

use hafnia_artifact::{Digest, Manifest};
use hafnia_report::{Report, Scope, Section};

use super::options::Options;
use super::plan::Plan;
use super::run::Results;

/// The report of a run.
pub(crate) fn report(
    plan: &Plan<'_>,
    results: &Results,
    options: &Options,
    seconds: f64,
) -> anyhow::Result<Report> {
    let scope = Scope { subset: !results.data.full, quick: options.quick };
    let metrics = results.metrics(plan)?;
    let mut report = Report::new("Reproduction", scope, plan.claims, metrics)?;
    report.sections = results.sections(plan)?;
    report.sections.push(reading());
    report.manifest = lines(results, options, seconds)?;
    Ok(report)
}

fn reading() -> Section {
    Section {
        title: "How to read this".to_owned(),
        text: "In report.json shares are fractions of 1 and keys that end in `_points` are percentage points; `_lo` and `_hi` are the ends of 95 % intervals.\n\
               In keys of noise `like` are networks like the paper's and `final` is the final layer of ours; `random_percentile` is the percentage of random orders that lose less than the order found: 0 is best.\n\
               Test images chose nothing: recipes and operating points come from validation images, row orders from training images."
            .to_owned(),
        ..Section::default()
    }
}

/// How to repeat the run.
fn lines(results: &Results, options: &Options, seconds: f64) -> anyhow::Result<Vec<String>> {
    let mut lines = vec![
        format!("hafnia {}, git revision {}", env!("CARGO_PKG_VERSION"), revision()),
        format!("command: cargo xtask reproduce{}", arguments(options)),
        format!("seed {}", options.seed),
        format!("data: {}", results.data.origin),
        format!("took {seconds:.0} s; steps whose inputs had not changed were skipped"),
    ];
    lines.extend(inputs(results).iter().map(|(name, digest)| format!("{name} {digest}")));
    Ok(lines)
}

/// The digests of what the run was given: the data set, and the records it looked at.
fn inputs(results: &Results) -> BTreeMap<String, Digest> {
    let mut inputs = results.data.digests.clone();
    inputs.extend(results.recorded.iter().flat_map(|recorded| recorded.inputs.clone()));
    inputs
}

fn arguments(options: &Options) -> String {
    let mut text = String::new();
    let flags = [
        (options.quick, " --quick"),
        (options.full, " --full"),
        (options.retrain, " --retrain"),
        (options.offline, " --offline"),
    ];
    text.extend(flags.iter().filter(|(given, _)| *given).map(|(_, flag)| *flag));
    if options.data.is_some() {
        text += " --data DIR";
    }
    format!("{text} --seed {}", options.seed)
}

/// The git revision of the work tree, with `-dirty` if it was changed since.
fn revision() -> String {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .args(arguments)
            .current_dir(crate::workspace::root())
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let described = git(&["describe", "--always", "--dirty", "--abbrev=12"]);
    described.unwrap_or_else(|| "unknown".to_owned())
}

/// The manifest of the run.
pub(crate) fn manifest(results: &Results, options: &Options) -> anyhow::Result<Manifest> {
    let mut manifest = Manifest::new("xtask", env!("CARGO_PKG_VERSION"), std::env::args().skip(1));
    manifest.git_revision = Some(revision());
    manifest.seed = Some(options.seed);
    manifest.inputs = inputs(results);
    for file in ["docs/claims.toml", "recipes/lenet5.toml", "recipes/lenet5-tied.toml"] {
        let digest = Digest::of_file(crate::workspace::root().join(file))?;
        manifest.inputs.insert(file.to_owned(), digest);
    }
    manifest.config = serde_json::json!({
        "quick": options.quick,
        "full": options.is_full(),
        "retrain": options.retrain,
        "offline": options.offline,
        "isa": results.speed.isa,
        "threads": results.speed.processors,
        "recipes": results.accuracy.tied.iter().chain(&results.accuracy.untied).map(|t| &t.config).collect::<Vec<_>>(),
    });
    Ok(manifest)
}
