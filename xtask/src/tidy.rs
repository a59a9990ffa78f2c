//! `cargo xtask tidy`: the invariants of docs/architecture.md, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

use crate::workspace;

pub(crate) fn run() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace().join("Cargo.toml"))
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
    ("ureq", &["hafnia-data", "hafnia-train", "hafnia-cli"]),
    ("hafnia-passes", &["hafnia-cli", "xtask"]),
    ("hafnia-sim", &["hafnia-cli"]),
    ("plotters", &["hafnia-report", "hafnia-cli", "xtask"]),
];

/// Who may name whom in its manifest, tests included.
const NAMED_BY: &[(&str, &[&str])] = &[
    ("bincode", &["hafnia-artifact"]),
    ("burn", &["hafnia-train"]),
    ("ureq", &["hafnia-data"]),
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

/// What the sources of a crate may not contain: the text, the crates that are free to, and why.
const FORBIDDEN: &[(&[&str], &[&str], &str)] = &[
    (
        &["println!(", "print!("],
        &["hafnia-cli", "xtask"],
        "only the command line prints; libraries report through callbacks",
    ),
    (
        &["Instant::now", "SystemTime"],
        &["hafnia-artifact", "hafnia-cli", "hafnia-data", "hafnia-train", "hafnia-sim", "xtask"],
        "no clock in what must be repeatable",
    ),
    (&["std::fs", "File::"], &["*but", "hafnia-passes"], "a pass does no I/O"),
    (&["use burn", "burn::"], &["hafnia-train"], "only hafnia-train knows burn"),
    (&["unsafe {", "unsafe fn"], &["hafnia-bits"], "unsafe code lives in hafnia-bits"),
    (&["todo!(", "unimplemented!(", "#[ignore"], &[], "no stubs and no skipped tests"),
];

fn check_sources(faults: &mut Vec<String>) -> anyhow::Result<()> {
    let root = workspace();
    let mut crates: Vec<PathBuf> = fs::read_dir(root.join("crates"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    crates.push(root.join("xtask"));
    crates.sort();
    for folder in crates {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in rust_files(&folder.join("src"))? {
            let text = fs::read_to_string(&file)?;
            for (line_number, line) in text.lines().enumerate() {
                if line.trim_start().starts_with("//") || file.ends_with("xtask/src/tidy.rs") {
                    continue;
                }
                for (texts, crates, why) in FORBIDDEN {
                    let is_free = match crates {
                        ["*but", bound @ ..] => !bound.contains(&name.as_str()),
                        free => free.contains(&name.as_str()),
                    };
                    if let (false, Some(text)) =
                        (is_free, texts.iter().find(|t| line.contains(**t)))
                    {
                        let file = file.strip_prefix(&root)?.display();
                        faults.push(format!("{file}:{}: `{text}`: {why}", line_number + 1));
                    }
                }
            }
        }
    }
    Ok(())
}

/// The Rust files below a folder.
fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}
