//! What can be wrong with a macro's description.

/// Why a spec, a preset or a code table was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CimError {
    /// A value of a spec is outside its range.
    #[error("macro `{name}`: {key} is {value}, it must lie in {range}")]
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
}
