//! Presets: macros as TOML files in which every value carries its source.

/// A value of a preset and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcedValue {
    /// Key, as in `cell.sigma_lrs_rel`.
    pub key: String,
    /// Value, as written in the file.
    pub value: String,
    /// Unit; empty for a pure number.
    pub unit: String,
    /// A citation, or `assumed` and why.
    pub source: String,
}
