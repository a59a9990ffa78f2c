//! `cargo xtask instructions`: how many instructions the engines take an image, held to what is
//! committed, so that a slowdown is seen on a machine whose clock says nothing.
//!
//! Counted by callgrind within `Run::on`, without the layout, which is made once before it, on one
//! thread, for the instruction sets that valgrind knows: AVX2 and the portable one. AVX-512 is the same
//! code over wider vectors.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::workspace::{cargo, root, target};

#[derive(Args)]
pub(crate) struct Options {
    /// Write what was counted in place of comparing it.
    #[arg(long)]
    pub(crate) bless: bool,
}

const FILE: &str = "docs/bench/instructions.toml";
const ENGINES: [&str; 3] = ["exact", "table", "device"];
const MAPPINGS: [&str; 2] = ["natural", "shared"];
const ISAS: [&str; 2] = ["avx2", "portable"];
/// Enough for the start of an evaluation to be a few percent.
const IMAGES: u64 = 256;

/// One build counts the same every time. Other versions of the C library and changes elsewhere move
/// the counts by some percent, a loop that is no longer inlined or no longer vectors by tens.
const TOLERANCE_REL: f64 = 0.05;

/// Per instruction set, engine and mapping, instructions an image.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Committed {
    /// Version of the compiler they were counted with.
    rustc: String,
    instructions_per_image: Counts,
}

/// Whether valgrind is there.
pub(crate) fn is_there() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let build = ["build", "--release", "--package", "hafnia-sim", "--example", "workload"];
    crate::workspace::run(&mut cargo(&build))?;
    let mut counts = Counts::new();
    for isa in ISAS {
        for engine in ENGINES {
            for mapping in MAPPINGS {
                let count = count(engine, mapping, isa)? / IMAGES;
                let of_isa = counts.entry(isa.to_owned()).or_default();
                of_isa.insert(format!("{engine}-{mapping}"), count);
            }
        }
    }
    let path = root().join(FILE);
    let rustc = Command::new("rustc").arg("--version").output().context("rustc")?;
    let rustc = String::from_utf8(rustc.stdout)?.trim().to_owned();
    if options.bless {
        let committed = Committed { rustc, instructions_per_image: counts };
        let text =
            "# By `cargo xtask instructions --bless`; docs/performance.md says what they are.\n";
        fs::write(&path, text.to_owned() + &toml::to_string(&committed)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        return Ok(());
    }
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let committed: Committed =
        toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    let faults = compare(&counts, &committed.instructions_per_image);
    if rustc != committed.rustc {
        eprintln!("not held to {FILE}, which is by another compiler: {}", committed.rustc);
        faults.iter().for_each(|fault| eprintln!("  {fault}"));
        return Ok(());
    }
    if !faults.is_empty() {
        bail!(
            "instructions an image differ by more than {} % from {FILE}, counted with {rustc}; \
             `cargo xtask instructions --bless` writes them anew:\n  {}",
            TOLERANCE_REL * 100.0,
            faults.join("\n  ")
        );
    }
    Ok(())
}

/// What lies outside of the tolerance, fewer instructions too: what is committed is then out of date.
fn compare(counted: &Counts, committed: &Counts) -> Vec<String> {
    let mut faults = Vec::new();
    for (isa, engines) in counted {
        for (engine, &now) in engines {
            let before = committed.get(isa).and_then(|engines| engines.get(engine));
            let Some(&before) = before else {
                faults.push(format!("{engine} {isa}: {now}, of which nothing is committed"));
                continue;
            };
            let change = now as f64 / before as f64 - 1.0;
            if change.abs() > TOLERANCE_REL {
                faults.push(format!(
                    "{engine} {isa}: {before} became {now} ({:+.1} %)",
                    change * 100.0
                ));
            }
        }
    }
    faults
}

/// Instructions of an evaluation.
fn count(engine: &str, mapping: &str, isa: &str) -> anyhow::Result<u64> {
    let target = target()?;
    let out = target.join(format!("callgrind-{engine}-{mapping}-{isa}"));
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg("--toggle-collect=hafnia_sim::run::Run::on")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(target.join("release/examples/workload"))
        .args([engine, mapping, isa, &IMAGES.to_string()])
        .output()
        .context("cannot run valgrind")?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("valgrind failed on {engine} {mapping} {isa}:\n{told}");
    }
    let profile =
        fs::read_to_string(&out).with_context(|| format!("cannot read {}", out.display()))?;
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.context("callgrind gave no totals")?.trim().parse()?;
    if total == 0 {
        bail!("callgrind did not meet the evaluation of {engine} {mapping} {isa}");
    }
    eprintln!("{engine} {mapping} {isa}: {} instructions an image", total / IMAGES);
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_outside_of_the_tolerance_are_told() {
        let counts = |count| Counts::from([("avx2".into(), [("exact".into(), count)].into())]);
        assert!(compare(&counts(1_049), &counts(1_000)).is_empty());
        assert_eq!(
            compare(&counts(1_060), &counts(1_000)),
            ["exact avx2: 1000 became 1060 (+6.0 %)"]
        );
        assert_eq!(
            compare(&counts(900), &counts(1_000)),
            ["exact avx2: 1000 became 900 (-10.0 %)"]
        );
        assert_eq!(compare(&counts(1), &Counts::new()).len(), 1);
    }
}
