//! What documents say of files: the files are there, and a list of implementations is whole.
//!
//! A rule of the macro has one definition; whatever else computes it says so in its header, and is on
//! the list under "Implementations of a rule" in docs/architecture.md with the test that holds it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A rule of the macro.
struct Rule {
    name: &'static str,
    /// What the header of a file says that implements it.
    says: &'static str,
    /// What code contains, all of it, that implements it, said or not.
    signs: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        name: "grouping",
        says: "Implements the rule of grouping",
        signs: &["rows_per_conversion", "FixedWindow", "ScanEntry"],
    },
    Rule {
        name: "threshold",
        says: "Implements the threshold of a comparator",
        signs: &["comparator", "as f64 + 0.5"],
    },
];

/// The faults of the documents below `root`; `sources` are the sources of all crates.
pub(super) fn check(root: &Path, sources: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for folder in ["docs", "docs/decisions"] {
        for entry in fs::read_dir(root.join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                missing_files(root, &path, &mut faults)?;
            }
        }
    }
    let page = fs::read_to_string(root.join("docs/architecture.md"))?;
    let section = page.split("## Implementations of a rule").nth(1);
    let section = section.context("docs/architecture.md has no \"Implementations of a rule\"")?;
    let listed = rows(section);
    for (rule, file, test) in &listed {
        if !RULES.iter().any(|known| known.name == *rule) {
            faults.push(format!("docs/architecture.md: `{rule}` is not a rule that tidy knows"));
        }
        let is_tested = sources.iter().any(|source| {
            fs::read_to_string(source).is_ok_and(|text| text.contains(&format!("fn {test}(")))
        });
        if !is_tested && test != "the definition" {
            faults.push(format!(
                "docs/architecture.md: {file} is held by `{test}`, which is no test"
            ));
        }
    }
    for source in sources.iter().filter(|source| is_library(root, source)) {
        let text = fs::read_to_string(source)?;
        let library = text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code: String = library.lines().filter(is_code).collect();
        let shown = source.strip_prefix(root)?.display().to_string();
        for rule in RULES {
            let implements =
                library.contains(rule.says) || rule.signs.iter().all(|sign| code.contains(sign));
            let is_listed =
                listed.iter().any(|(name, file, _)| *name == rule.name && *file == shown);
            if implements && !is_listed {
                faults.push(format!(
                    "{shown} looks like an implementation of the rule of {}: list it in \
                     docs/architecture.md with the test that holds it",
                    rule.name
                ));
            }
        }
    }
    Ok(faults)
}

/// Names of files in `backticks` that are not there.
fn missing_files(root: &Path, page: &Path, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let text = fs::read_to_string(page)?;
    for word in text.split('`').skip(1).step_by(2) {
        let is_file = ["crates/", "xtask/", "recipes/", "docs/", "datasets/"]
            .iter()
            .any(|folder| word.starts_with(folder));
        if is_file && !word.contains(['*', ' ', '{', '<', '…']) && !root.join(word).exists() {
            faults.push(format!("{}: `{word}` is not there", page.strip_prefix(root)?.display()));
        }
    }
    Ok(())
}

/// Rule, file and test of every row of the first table.
fn rows(section: &str) -> Vec<(String, String, String)> {
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let table = lines.take_while(|line| line.starts_with('|')).skip(2);
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(cell);
        Some((cells.next()?, cells.next()?, cells.next()?))
    };
    table.filter_map(row).collect()
}

/// Whether a file is part of a library, and not of its tests.
fn is_library(root: &Path, source: &Path) -> bool {
    let Ok(path) = source.strip_prefix(root.join("crates")) else { return false };
    let in_source = path.components().nth(1).is_some_and(|folder| folder.as_os_str() == "src");
    in_source
        && !path.ends_with("tests.rs")
        && !path.components().any(|part| part.as_os_str() == "tests")
}
