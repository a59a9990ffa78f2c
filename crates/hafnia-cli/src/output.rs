//! What every command prints and leaves beside its files.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use clap::ValueEnum;
use hafnia_artifact::{Digest, Manifest};
use hafnia_report::{Align, Table};
use serde::Serialize;
use serde_json::Value;

use crate::models::Chosen;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables for people.
    Text,
    /// One JSON document for machines.
    Json,
    /// The list that the JSON document is about, a line an entry; of names within names the parts
    /// are joined by dots.
    Csv,
}

/// Where results go: stdout, in one of two forms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) format: Format,
}

impl Output {
    /// Prints a result: as JSON, or as what `text` makes of it.
    pub(crate) fn print<T: Serialize>(
        self,
        result: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let mut printed = match self.format {
            Format::Text => text(result),
            Format::Json => serde_json::to_string_pretty(result)?,
            Format::Csv => to_csv(&serde_json::to_value(result)?),
        };
        if !printed.ends_with('\n') {
            printed.push('\n');
        }
        print(printed.as_bytes())
    }
}

/// Writes to stdout.
pub(crate) fn print(bytes: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(bytes) {
        // The reader has seen enough, as in `hafnia inspect … | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("stdout cannot be written"),
    }
}

/// The entries of a list as CSV: of the document if it is one, or else of its first field that is a
/// list of objects. A document without such a list is one entry.
fn to_csv(document: &Value) -> String {
    let is_list = |value: &&Value| {
        value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_object))
    };
    let list = match document {
        Value::Object(fields) => fields.values().find(is_list),
        document => Some(document),
    };
    let entries = match list.and_then(Value::as_array) {
        Some(list) => list.iter().collect(),
        None => vec![document],
    };
    let rows: Vec<BTreeMap<String, String>> = entries
        .into_iter()
        .map(|entry| {
            let mut row = BTreeMap::new();
            flatten(entry, "", &mut row);
            row
        })
        .collect();
    let columns: BTreeSet<&String> = rows.iter().flat_map(BTreeMap::keys).collect();
    let mut table = Table::new(columns.iter().map(|column| (column.as_str(), Align::Left)));
    for row in &rows {
        table.row(columns.iter().map(|column| row.get(*column).cloned().unwrap_or_default()));
    }
    table.to_csv()
}

/// Puts a value under its name, objects under the names of their fields; lists stay JSON.
fn flatten(value: &Value, name: &str, row: &mut BTreeMap<String, String>) {
    let text = match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(value, &format!("{name}{dot}{field}"), row);
            }
            return;
        }
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let name = if name.is_empty() { "value" } else { name };
    row.insert(name.to_owned(), text);
}

/// An error and its causes in one line.
pub(crate) fn in_one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.split('\n').map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The manifest of a command that writes a file: begun when the command begins, written beside its
/// first output when it ends.
pub(crate) struct Record {
    manifest: Manifest,
    start: Instant,
}

impl Record {
    /// Begins the record of a command with this configuration.
    pub(crate) fn begin(config: &impl Serialize, seed: Option<u64>) -> anyhow::Result<Self> {
        let command = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned());
        let mut manifest = Manifest::new("hafnia", env!("CARGO_PKG_VERSION"), command);
        manifest.git_revision = option_env!("HAFNIA_GIT_REVISION").map(str::to_owned);
        manifest.config = serde_json::to_value(config)?;
        manifest.seed = seed;
        Ok(Self { manifest, start: Instant::now() })
    }

    /// Notes a file that is read.
    pub(crate) fn input(&mut self, path: &Path) -> anyhow::Result<()> {
        self.manifest.inputs.insert(path.display().to_string(), Digest::of_file(path)?);
        Ok(())
    }

    /// Notes a network.
    pub(crate) fn network(&mut self, chosen: &Chosen) {
        self.manifest.inputs.insert(chosen.name.clone(), chosen.digest);
    }

    /// Notes the files of a data set.
    pub(crate) fn data(&mut self, mnist: &hafnia_data::Mnist) {
        self.manifest.inputs.extend(mnist.digests.clone());
    }

    /// Notes the outputs and writes the manifest beside the first, as `<name>.manifest.json`.
    pub(crate) fn end(mut self, outputs: &[&Path]) -> anyhow::Result<()> {
        for output in outputs {
            let name = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.manifest.outputs.insert(name, Digest::of_file(output)?);
        }
        self.manifest.seconds = self.start.elapsed().as_secs_f64();
        let beside = outputs.first().context("a record has an output")?;
        let mut name = beside.file_name().unwrap_or_default().to_owned();
        name.push(".manifest.json");
        self.manifest.write(beside.with_file_name(name))?;
        Ok(())
    }
}

/// Refuses an output that cannot be written, before any work is done for it.
pub(crate) fn check_writable(path: &Path) -> anyhow::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let probe = folder.join(format!(".writable-{}", std::process::id()));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe))
        .with_context(|| format!("output folder {} cannot be written", folder.display()))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(document: &Value, expected: Expect) {
        expected.assert_eq(&to_csv(document));
    }

    #[test]
    fn csv_is_the_list_of_a_document() {
        check(
            &json!({ "seed": 1, "mappings": [
                { "mapping": "a,b", "drop": { "lo": 0.5, "hi": null } },
                { "mapping": "c", "rows": [1, 2] },
            ] }),
            expect![[r#"
                drop.hi,drop.lo,mapping,rows
                ,0.5,"a,b",
                ,,c,"[1,2]"
            "#]],
        );
        check(
            &json!({ "full": true, "test": { "images": 3 } }),
            expect![[r#"
            full,test.images
            true,3
        "#]],
        );
        check(
            &json!(["gt-n40", "ideal"]),
            expect![[r#"
            value
            gt-n40
            ideal
        "#]],
        );
    }
}
