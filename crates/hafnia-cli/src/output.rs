//! What every command prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io::{self, Write};

use anyhow::Context;
use clap::ValueEnum;
use hafnia_report::{Align, Table};
use hafnia_stats::Interval;
use hafnia_study::Unwritten;
use hafnia_text::escaped_lines;
use serde::Serialize;
use serde_json::Value;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables for people.
    Text,
    /// One JSON document for machines.
    Json,
    /// The list that the JSON document is about, a line an entry, after what holds for all of them; of
    /// names within names the parts are joined by dots.
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
            // What names of files and networks hold is not for the terminal to obey.
            Format::Text => escaped_lines(&text(result)).into_owned(),
            Format::Json => serde_json::to_string_pretty(result)?,
            Format::Csv => to_csv(&serde_json::to_value(result)?),
        };
        if !printed.ends_with('\n') {
            printed.push('\n');
        }
        print(printed.as_bytes())
    }
}

impl Output {
    /// Prints what a request found, also if it could not be written, which is then the error.
    pub(crate) fn answer<T: Serialize + Debug + Send + Sync + 'static>(
        self,
        found: anyhow::Result<T>,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        answer(found, |outcome| self.print(outcome, text))
    }
}

/// Shows what a request found, also if it could not be written, which is then the error.
pub(crate) fn answer<T: Debug + Send + Sync + 'static>(
    found: anyhow::Result<T>,
    show: impl FnOnce(&T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (outcome, written) = Unwritten::split(found)?;
    show(&outcome)?;
    written
}

/// Columns of the terminal that stdout is; 80 if it is none.
pub(crate) fn columns() -> usize {
    let size = terminal_size::terminal_size_of(io::stdout());
    size.map_or(80, |(width, _)| usize::from(width.0))
}

/// Writes to stdout.
pub(crate) fn print(bytes: &[u8]) -> anyhow::Result<()> {
    printed(io::stdout().write_all(bytes))
}

/// What came of writing to stdout, once all of it is on its way.
pub(crate) fn printed(outcome: io::Result<()>) -> anyhow::Result<()> {
    match outcome.and_then(|()| io::stdout().flush()) {
        // The reader has seen enough, as in `hafnia inspect … | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("stdout cannot be written"),
    }
}

/// The command line as it was typed, word by word.
pub(crate) fn typed() -> impl Iterator<Item = String> {
    std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned())
}

/// A table of these columns; those that begin with `>` are of numbers.
pub(crate) fn table<const N: usize>(columns: [&str; N]) -> Table {
    Table::of(columns)
}

/// `97.12 (96.62 to 97.55)` of an interval, its numbers multiplied by `scale`.
pub(crate) fn ranged(interval: Interval, scale: f64) -> String {
    format!("{:.2}", interval.scaled(scale))
}

/// The entries of a list as CSV, a row each: of the document if it is one, or else of its first field
/// that is a list of objects, with what else the document says in columns before. A document without
/// such a list is one entry. No cell is JSON: lists of numbers or words are joined by blanks, and lists
/// within an entry left out.
fn to_csv(document: &Value) -> String {
    let (rest, entries) = match document {
        Value::Array(list) => (BTreeMap::new(), list.iter().collect()),
        Value::Object(fields) => match fields.iter().find(|(_, value)| is_list_of_objects(value)) {
            None => (BTreeMap::new(), vec![document]),
            Some((name, list)) => {
                let mut rest = BTreeMap::new();
                for (field, value) in fields.iter().filter(|(field, _)| *field != name) {
                    flatten(value, field, &mut rest);
                }
                (rest, list.as_array().into_iter().flatten().collect())
            }
        },
        _ => (BTreeMap::new(), vec![document]),
    };
    let rows: Vec<BTreeMap<String, String>> = entries
        .into_iter()
        .map(|entry| {
            let mut row = BTreeMap::new();
            flatten(entry, "", &mut row);
            row
        })
        .collect();
    let of_entries: BTreeSet<&String> = rows.iter().flat_map(BTreeMap::keys).collect();
    let before = rest.keys().filter(|column| !of_entries.contains(column));
    let columns: Vec<&String> = before.chain(of_entries.iter().copied()).collect();
    let mut table = Table::new(columns.iter().map(|column| (column.as_str(), Align::Left)));
    for row in &rows {
        let cell = |column: &&String| {
            let value = row.get(*column).or_else(|| match of_entries.contains(column) {
                true => None,
                false => rest.get(*column),
            });
            value.cloned().unwrap_or_default()
        };
        table.row(columns.iter().map(cell));
    }
    table.to_csv()
}

fn is_list_of_objects(value: &Value) -> bool {
    value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_object))
}

/// Puts a value under its name, objects under the names of their fields.
fn flatten(value: &Value, name: &str, row: &mut BTreeMap<String, String>) {
    let word = |value: &Value| match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    };
    let text = match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(value, &format!("{name}{dot}{field}"), row);
            }
            return;
        }
        Value::Array(list) => {
            let words: Option<Vec<String>> = list.iter().map(word).collect();
            let Some(words) = words else { return };
            words.join(" ")
        }
        other => word(other).unwrap_or_default(),
    };
    let name = if name.is_empty() { "value" } else { name };
    row.insert(name.to_owned(), text);
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
            &json!({ "seed": 1, "chip": { "bits": 3 }, "mappings": [
                { "mapping": "a,b", "drop": { "lo": 0.5, "hi": null } },
                { "mapping": "c", "rows": [1, 2], "paths": [{ "layer": "fc1" }] },
            ] }),
            expect![[r#"
                chip.bits,seed,drop.hi,drop.lo,mapping,rows
                3,1,,0.5,"a,b",
                3,1,,,c,1 2
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
