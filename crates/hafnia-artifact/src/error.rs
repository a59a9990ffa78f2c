//! What can be wrong with a file, one variant each.

use std::{io, path::PathBuf};

/// The cause of a failed encoding or decoding; boxed so that the codec stays private.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong with an artifact, a manifest, a digest or a step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, such as "read".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The first bytes are not those of a hafnia file.
    #[error("{} is not a hafnia file: it begins with {found}, not {expected}", path.display())]
    NotHafnia {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: String,
        /// The magic bytes.
        expected: String,
    },
    /// A hafnia file of another kind.
    #[error("{} holds \"{found}\", expected \"{expected}\"", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The kind it holds.
        found: String,
        /// The kind asked for.
        expected: &'static str,
    },
    /// The right kind, in a schema that this version does not read.
    #[error(
        "{} has schema {found} of \"{kind}\", expected {expected}: made by another version; \
         make it again with `{remake}`",
        path.display()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// The kind it holds.
        kind: &'static str,
        /// The schema version it was written in.
        found: u32,
        /// The schema version that is read.
        expected: u32,
        /// The command that makes such a file.
        remake: &'static str,
    },
    /// The file ends early.
    #[error("{} is truncated: {found} bytes, expected {expected}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The length its header asks for, as far as it could be read.
        expected: u64,
    },
    /// The file goes on after its end.
    #[error("{} is too long: {found} bytes, expected {expected}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The length its header asks for.
        expected: u64,
    },
    /// The payload is not the one that was written.
    #[error("{} is damaged: its payload has SHA-256 {found}, expected {expected}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The digest of the payload, in hexadecimal.
        found: String,
        /// The digest in the header, in hexadecimal.
        expected: String,
    },
    /// The payload is intact but is not a value of the type.
    #[error("{} does not decode as \"{kind}\" of schema {schema}", path.display())]
    Undecodable {
        /// The file.
        path: PathBuf,
        /// The kind it holds.
        kind: &'static str,
        /// Its schema version.
        schema: u32,
        /// What the codec says.
        source: Cause,
    },
    /// The payload is a value of the type that breaks its rules.
    #[error("{} holds no valid \"{kind}\": {fault}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The kind it holds.
        kind: &'static str,
        /// What is wrong, in words.
        fault: String,
    },
    /// The value cannot be encoded.
    #[error("cannot encode {what}")]
    Unencodable {
        /// The kind of artifact, or the step.
        what: String,
        /// What the codec says.
        source: Cause,
    },
    /// A manifest that is not one.
    #[error("{} is not a manifest", path.display())]
    NotManifest {
        /// The file.
        path: PathBuf,
        /// Where the JSON goes wrong.
        source: serde_json::Error,
    },
    /// A text that is not a digest.
    #[error("\"{found}\" is not a SHA-256 digest: expected 64 lower-case hexadecimal digits")]
    DigestText {
        /// The text.
        found: String,
    },
    /// A name that cannot name a stamp file.
    #[error(
        "\"{found}\" cannot name a step: expected parts of letters, digits, '-', '_' and '.', \
         not beginning with '.', joined by '/'"
    )]
    StepName {
        /// The name.
        found: String,
    },
}
