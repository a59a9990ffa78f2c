//! `cargo xtask tidy`: the invariants of docs/architecture.md, checked.

mod circles;
mod documents;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

use crate::workspace::root;

pub(crate) fn run() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked".to_owned()])
        .exec()?;
    let mut faults = Vec::new();
    check_names(&metadata, &mut faults);
    check_dependencies(&metadata, &mut faults)?;
    check_sources(&mut faults)?;
    if !faults.is_empty() {
        bail!("the workspace is not tidy:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

/// The folder of a crate has the crate's name.
fn check_names(metadata: &Metadata, faults: &mut Vec<String>) {
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().and_then(|folder| folder.file_name());
        if folder != Some(package.name.as_str()) {
            faults.push(format!("crate `{}` lies in {}", package.name, package.manifest_path));
        }
    }
}

/// Who may know whom. A rule names a package and those of the workspace that may reach it, through
/// whatever lies between, by normal and build dependencies.
const REACHED_BY: &[(&str, &[&str])] = &[
    ("burn", &["hafnia-train", "hafnia-cli"]),
    ("hafnia-train", &["hafnia-cli"]),
    ("ureq", &["hafnia", "hafnia-data", "hafnia-train", "hafnia-study", "hafnia-cli", "xtask"]),
    ("hafnia-passes", &["hafnia", "hafnia-study", "hafnia-cli", "xtask"]),
    ("hafnia-sim", &["hafnia", "hafnia-cost", "hafnia-study", "hafnia-cli", "xtask"]),
    ("hafnia-cost", &["hafnia", "hafnia-study", "hafnia-cli", "xtask"]),
    ("hafnia-onnx", &["hafnia", "hafnia-study", "hafnia-cli", "xtask"]),
    ("hafnia-tune", &["hafnia-study", "hafnia-cli", "xtask"]),
    ("hafnia-zoo", &["hafnia-study", "hafnia-cli", "xtask"]),
    ("plotters", &["hafnia-report", "hafnia-study", "hafnia-cli", "xtask"]),
];

/// Who may name whom in its manifest, tests included.
const NAMED_BY: &[(&str, &[&str])] = &[
    ("bincode", &["hafnia-artifact"]),
    ("burn", &["hafnia-train"]),
    ("ureq", &["hafnia-data"]),
    ("prost", &["hafnia-onnx"]),
    ("plotters", &["hafnia-report"]),
    ("cargo_metadata", &["xtask"]),
];

fn check_dependencies(metadata: &Metadata, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata gave no dependency graph")?;
    let packages: BTreeMap<&PackageId, &Package> =
        metadata.packages.iter().map(|package| (&package.id, package)).collect();
    let normal: BTreeMap<&PackageId, Vec<&PackageId>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let is_normal = |dependency: &&cargo_metadata::NodeDep| {
                dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
            };
            (&node.id, node.deps.iter().filter(is_normal).map(|dep| &dep.pkg).collect())
        })
        .collect();
    for package in metadata.workspace_packages() {
        let mut reached = BTreeSet::new();
        let mut open = vec![&package.id];
        while let Some(id) = open.pop() {
            if reached.insert(id) {
                open.extend(normal[id].iter().copied());
            }
        }
        for (target, allowed) in REACHED_BY {
            let reaches = reached
                .iter()
                .any(|id| packages[*id].name.as_str() == *target && **id != package.id);
            if reaches && !allowed.contains(&package.name.as_str()) {
                faults.push(format!("`{}` reaches `{target}`: only {allowed:?} may", package.name));
            }
        }
        for (target, allowed) in NAMED_BY {
            let names = package.dependencies.iter().any(|dependency| dependency.name == *target);
            if names && !allowed.contains(&package.name.as_str()) {
                faults.push(format!("`{}` names `{target}`: only {allowed:?} may", package.name));
            }
        }
    }
    Ok(())
}

/// What sources may not contain.
struct Forbidden {
    texts: &'static [&'static str],
    /// Whether the rule holds for a file, given its crate and its text.
    holds_for: fn(&str, &str) -> bool,
    /// Whether the tests at the end of a file may do it.
    spares_tests: bool,
    why: &'static str,
}

const FORBIDDEN: &[Forbidden] = &[
    Forbidden {
        texts: &["println!(", "print!("],
        holds_for: |name, _| name != "xtask",
        spares_tests: false,
        why: "libraries report through callbacks; the command line prints by `print` and `say`, which \
              mind that stdout and stderr can be full or closed",
    },
    Forbidden {
        texts: &["fs::read(", "fs::read_to_string(", "fs::write(", "fs::File", "fs::{File"],
        holds_for: |name, _| !["hafnia-artifact", "xtask"].contains(&name),
        spares_tests: true,
        why: "files are read and written by hafnia-artifact, which is bounded and writes them whole",
    },
    Forbidden {
        texts: &["Instant::now", "SystemTime", "std::fs", "File::", "rand::rng("],
        // A pipeline is not a pass: it reads its TOML file.
        holds_for: |name, text| {
            text.contains("impl Pass for")
                || (name == "hafnia-passes" && !text.contains("pub struct Pipeline"))
        },
        spares_tests: false,
        why: "a pass does no I/O, reads no clock and draws only from its context's seed",
    },
    Forbidden {
        texts: &["use burn", "burn::"],
        holds_for: |name, _| name != "hafnia-train",
        spares_tests: false,
        why: "only hafnia-train knows burn",
    },
    Forbidden {
        texts: &["unsafe {", "unsafe fn"],
        holds_for: |name, _| name != "hafnia-simd",
        spares_tests: false,
        why: "unsafe code lives in hafnia-simd",
    },
    Forbidden {
        texts: &["todo!(", "unimplemented!(", "#[ignore"],
        holds_for: |_, _| true,
        spares_tests: false,
        why: "no stubs and no skipped tests",
    },
];

fn check_sources(faults: &mut Vec<String>) -> anyhow::Result<()> {
    let root = root();
    let entries = fs::read_dir(root.join("crates"))?;
    let mut crates: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    crates.push(root.join("xtask"));
    crates.sort();
    let mut all = Vec::new();
    for folder in crates {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sources = folder.join("src");
        let files = rust_files(&sources)?;
        faults.extend(circles::check(&sources, &files)?);
        all.extend(files.iter().cloned());
        if folder.join("tests").exists() {
            all.extend(rust_files(&folder.join("tests"))?);
        }
        for file in files {
            // This file names what it forbids.
            if !file.ends_with("xtask/src/tidy.rs") {
                let text = fs::read_to_string(&file)?;
                let shown = file.strip_prefix(&root)?.display().to_string();
                faults.extend(forbidden(&name, &text).map(|fault| format!("{shown}:{fault}")));
            }
        }
    }
    faults.extend(documents::check(&root, &all)?);
    Ok(())
}

/// The lines of a source file that break a rule: number, what stands there, why not.
fn forbidden(name: &str, text: &str) -> impl Iterator<Item = String> {
    let rules = FORBIDDEN.iter().filter(|rule| (rule.holds_for)(name, text));
    let tests = text.find("mod tests {").unwrap_or(text.len());
    let lines =
        |text| (1..).zip(str::lines(text)).filter(|(_, l)| !l.trim_start().starts_with("//"));
    let faults = rules.flat_map(move |rule| {
        let text = if rule.spares_tests { &text[..tests] } else { text };
        lines(text).filter_map(|(number, line)| {
            let found = rule.texts.iter().find(|text| line.contains(**text))?;
            Some(format!("{number}: `{found}`: {}", rule.why))
        })
    });
    faults.collect::<Vec<_>>().into_iter()
}

/// The Rust files below a folder, by name.
pub(crate) fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forbidden_is_found_where_the_rule_holds() {
        let found = |name, text| forbidden(name, text).count();
        assert_eq!(found("hafnia-sim", "fn f() { println!(\"x\") }"), 1);
        assert_eq!(found("hafnia-cli", "fn f() { eprintln!(\"x\") }"), 1);
        assert_eq!(found("xtask", "fn f() { println!(\"x\") }"), 0);
        assert_eq!(found("hafnia-ir", "std::fs::read(path)\nmod tests {\nfs::write(path)"), 1);
        assert_eq!(found("hafnia-artifact", "std::fs::read(path)"), 0);
        assert_eq!(found("hafnia-sim", "// println!(\"x\")"), 0);
        assert_eq!(found("mine", "impl Pass for P {}\nuse std::fs;\nInstant::now()"), 2);
        assert_eq!(found("mine", "use std::fs;"), 0);
        assert_eq!(found("hafnia-model", "use burn::tensor::Tensor;"), 1);
        assert_eq!(found("any", "todo!()"), 1);
    }
}
