//! Turns what the sections found into the report and its manifest.

use std::collections::BTreeMap;

use hafnia_artifact::{Digest, Manifest, read_text};
use hafnia_report::{Report, Scope, Section};
use hafnia_text::counted;

use crate::reproduce::lab::Lab;
use crate::reproduce::options::ReproduceRequest;
use crate::reproduce::run::Results;
use crate::request::command_line;

/// The report of a run.
pub(super) fn report(
    lab: &Lab<'_>,
    results: &Results,
    request: &ReproduceRequest,
    seconds: f64,
) -> anyhow::Result<Report> {
    let scope = Scope { subset: !lab.data.full, quick: request.quick };
    let metrics = results.metrics(lab)?;
    let mut report = Report::new("Reproduction", scope, &lab.claims, metrics)?;
    report.sections = results.sections(lab)?;
    report.sections.push(reading());
    report.manifest = lines(lab, results, request, seconds);
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
fn lines(
    lab: &Lab<'_>,
    results: &Results,
    request: &ReproduceRequest,
    seconds: f64,
) -> Vec<String> {
    let mut lines = vec![
        format!("hafnia {}, git revision {}", env!("CARGO_PKG_VERSION"), revision(lab)),
        format!("command: {}", command_line(&request.words())),
        format!("seed {}", request.seed),
        format!("data: {}", lab.data.origin),
        format!("took {seconds:.0} s; steps whose inputs had not changed were skipped"),
    ];
    lines.extend(inputs(lab, results).iter().map(|(name, digest)| format!("{name} {digest}")));
    lines
}

/// The digests of what the run was given: the data set, and the records it looked at.
fn inputs(lab: &Lab<'_>, results: &Results) -> BTreeMap<String, Digest> {
    let mut inputs = lab.data.digests.clone();
    inputs.extend(results.recorded.iter().flat_map(|recorded| recorded.inputs.clone()));
    inputs
}

/// The git revision of the work tree, with `-dirty` if it was changed since.
fn revision(lab: &Lab<'_>) -> String {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .args(arguments)
            .current_dir(&lab.root)
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let described = git(&["describe", "--always", "--dirty", "--abbrev=12"]);
    described.unwrap_or_else(|| "unknown".to_owned())
}

/// What the run took place on, such as `linux x86_64, Intel Xeon, 2 processors, kernels avx512`.
fn host(results: &Results) -> String {
    let speed = &results.speed.0;
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    // Where the system tells it so.
    let cpus = read_text("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let parts = [
        Some(system),
        cpu.map(|(_, name)| name.to_owned()),
        Some(counted(speed.processors, "processor")),
        Some(format!("kernels for {}", speed.isa)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The manifest of the run, of which only the beginning is known.
pub(super) fn manifest(
    lab: &Lab<'_>,
    results: &Results,
    request: &ReproduceRequest,
    begun: Manifest,
    seconds: f64,
) -> anyhow::Result<Manifest> {
    let mut manifest = Manifest { seconds, ..begun };
    manifest.git_revision = Some(revision(lab));
    manifest.seed = Some(request.seed);
    manifest.inputs = inputs(lab, results);
    for file in ["docs/claims.toml", "recipes/lenet5.toml", "recipes/lenet5-tied.toml"] {
        let digest = Digest::of_file(lab.root.join(file))?;
        manifest.inputs.insert(file.to_owned(), digest);
    }
    manifest.config = serde_json::json!({
        "quick": request.quick,
        "full": request.is_full(),
        "retrain": request.retrain,
        "offline": request.offline,
        "host": host(results),
        "isa": results.speed.0.isa,
        "threads": results.speed.0.processors,
        "recipes": results.accuracy.tied.iter().chain(&results.accuracy.untied).map(|t| &t.config).collect::<Vec<_>>(),
    });
    Ok(manifest)
}
