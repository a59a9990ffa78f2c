//! What can be wrong with a macro's description.

use std::path::PathBuf;

use crate::CsvFault;

/// Why a spec, a preset or a code table was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CimError {
    /// A value of a spec is outside its range.
    #[error("macro `{name}`: {key} is {value}, it must be {range}")]
    Range {
        /// Name of the spec.
        name: String,
        /// Key of the value, as in the TOML file.
        key: &'static str,
        /// The value.
        value: String,
        /// The allowed range, in words.
        range: &'static str,
    },
    /// A value of a spec is not of its kind.
    #[error("macro `{name}`: {key} is `{value}`, it must be {expected}")]
    Value {
        /// Name of the spec.
        name: String,
        /// Key of the value.
        key: &'static str,
        /// The value.
        value: String,
        /// What it must be, in words.
        expected: &'static str,
    },
    /// A key that a spec does not have.
    #[error("macro `{name}`: no key `{key}`, the nearest is `{nearest}`; keys are {keys}")]
    UnknownKey {
        /// Name of the spec.
        name: String,
        /// The key.
        key: String,
        /// The key that is spelled most alike.
        nearest: &'static str,
        /// All keys.
        keys: String,
    },
    /// A file lacks a key; there are no defaults.
    #[error("macro `{name}`: key `{key}` is missing")]
    MissingKey {
        /// Name of the spec.
        name: String,
        /// The key.
        key: &'static str,
    },
    /// A value of a file is not written with its source.
    #[error("macro `{name}`: {key} is not of the form `{{ value = …, source = \"…\" }}`")]
    Unsourced {
        /// Name of the spec.
        name: String,
        /// The key.
        key: String,
        /// What the parser met; none if the source is empty.
        source: Option<Box<toml::de::Error>>,
    },
    /// A file is not TOML.
    #[error("macro `{name}` is not TOML")]
    Syntax {
        /// Name of the spec.
        name: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no preset of that name.
    #[error("no preset `{name}`; presets are {presets}, and a path has a `/` or ends in `.toml`")]
    UnknownPreset {
        /// The name.
        name: String,
        /// All presets.
        presets: String,
    },
    /// Text that names no input control.
    #[error("input control is `{text}`, it must be {}", crate::input_control::FORMS)]
    InputControl {
        /// The text.
        text: String,
    },
    /// A code table's file is wrong.
    #[error("code table `{name}`, line {line}: {fault}")]
    Table {
        /// Name of the table, mostly its path.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong on it.
        fault: TableFault,
    },
    /// A CSV file is wrong.
    #[error("`{name}`, line {line}: {fault}")]
    Csv {
        /// Name of the file.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong on it.
        fault: CsvFault,
    },
    /// Presets inherit from one another in a circle.
    #[error("macro `{name}` inherits from itself: {circle}")]
    Circle {
        /// Name of the preset or file.
        name: String,
        /// The way around, as in `a.toml -> b.toml -> a.toml`.
        circle: String,
    },
    /// `inherits` is no text.
    #[error("macro `{name}`: inherits is {value}, it must be the name of a preset or a path")]
    Inherits {
        /// Name of the preset or file.
        name: String,
        /// What stands there.
        value: String,
    },
    /// An engine cannot show an effect that is on.
    #[error("macro `{name}`: engine `{engine}` cannot show {effect} ({keys}): {why}")]
    Unsupported {
        /// Name of the spec.
        name: String,
        /// The engine.
        engine: &'static str,
        /// The effect.
        effect: &'static str,
        /// Keys that switch it.
        keys: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// A code table is for another macro.
    #[error(
        "macro `{name}` turns on up to {rows} rows and has codes up to {max_code}, \
         the code table has {table_rows} rows and codes up to {table_max_code}"
    )]
    TableSize {
        /// Name of the spec.
        name: String,
        /// Most rows on of the spec.
        rows: usize,
        /// Largest code of the spec.
        max_code: usize,
        /// Most rows on of the table.
        table_rows: usize,
        /// Largest code of the table.
        table_max_code: usize,
    },
}

/// What is wrong on a line of a code table's CSV file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TableFault {
    /// The header is another one.
    #[error("the header is `{found}`, it must be `n,m,code,probability`")]
    Header {
        /// The header.
        found: String,
    },
    /// A line of fewer or more than four fields.
    #[error("there are {found} fields, it must be 4")]
    Fields {
        /// Number of fields.
        found: usize,
    },
    /// A field is no number or lies outside its range.
    #[error("{column} is `{text}`, it must be a number in {min}..={max}")]
    Number {
        /// The column.
        column: &'static str,
        /// The field.
        text: String,
        /// The smallest allowed.
        min: String,
        /// The largest allowed.
        max: String,
    },
    /// An entry is given a second time.
    #[error("n {rows}, m {ones}, code {code} stands there twice")]
    Twice {
        /// Rows on.
        rows: usize,
        /// Ones among them.
        ones: usize,
        /// The code.
        code: usize,
    },
    /// An entry is not given.
    #[error("the table ends without n {rows}, m {ones}, code {code}")]
    Missing {
        /// Rows on.
        rows: usize,
        /// Ones among them.
        ones: usize,
        /// The code.
        code: usize,
    },
    /// Probabilities do not sum to 1; the line is that of the largest code.
    #[error("the probabilities of n {rows}, m {ones} sum to {sum}, it must be 1 within 1e-6")]
    Sum {
        /// Rows on.
        rows: usize,
        /// Ones among them.
        ones: usize,
        /// The sum.
        sum: f64,
    },
}
