//! The envelope around every binary file.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic: `89 68 61 66 6e 69 61 0a`, "hafnia" between a byte above 127 and a line feed |
//! | 1 | length of the kind |
//! | so many | kind, UTF-8 |
//! | 4 | schema version, little endian |
//! | 8 | length of the payload, little endian |
//! | 32 | SHA-256 of the payload |
//! | so many | payload, in the codec's encoding |
//!
//! The two odd bytes of the magic show files that went through a 7-bit or a text channel.

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};

use crate::codec;
use crate::digest::Digest;
use crate::error::ArtifactError;
use crate::whole::{read, write_whole};

const MAGIC: [u8; 8] = *b"\x89hafnia\n";

/// A type that is kept in a file of its own.
///
/// It travels through bincode 2 in its standard configuration, which does not describe itself: its
/// serde implementation must not use `tag`, `untagged` or `flatten` (they do not decode), nor
/// `skip_serializing_if` (it decodes to wrong values without a word).
pub trait Artifact: Serialize + DeserializeOwned {
    /// What the file holds, such as `"network"`; at most 255 bytes.
    const KIND: &'static str;
    /// The version of the type's layout: to be raised whenever a field comes, goes or changes.
    const SCHEMA: u32;
    /// The command that makes such a file, for the error on a file of another version.
    const REMAKE: &'static str = "hafnia";

    /// What is wrong with a value that was decoded, in words: lengths that do not fit each other,
    /// indices of what is not there, numbers out of their range or not finite.
    ///
    /// It is asked of every value that is read, and of the bytes of every value before they are
    /// written: what else it must fit, such as a network, is checked where both are known.
    ///
    /// # Errors
    /// What is wrong.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Writes a value in its envelope, whole or not at all, and returns the digest of the file.
///
/// The bytes are read back before they are put in place: what [`load`] would refuse is not written.
///
/// # Errors
/// [`ArtifactError::Io`], [`ArtifactError::Unencodable`] for a type that the codec refuses, or those
/// of [`load`].
pub fn save<T: Artifact>(path: impl AsRef<Path>, value: &T) -> Result<Digest, ArtifactError> {
    let bytes = seal(value)?;
    load_bytes::<T>(&path, &bytes)?;
    write_whole(path, &bytes)?;
    Ok(Digest::of(&bytes))
}

/// Reads a value from its envelope.
///
/// # Errors
/// Each way a file can be wrong has its own variant of [`ArtifactError`]. No file makes it panic.
pub fn load<T: Artifact>(path: impl AsRef<Path>) -> Result<T, ArtifactError> {
    let path = path.as_ref();
    load_bytes(path, &read(path)?)
}

/// A value in its envelope, as the bytes of its file, unchecked: [`save`] writes what can be read
/// back, and tests of readers forge what cannot.
///
/// # Errors
/// [`ArtifactError::Unencodable`] for a type that the codec refuses.
pub fn seal<T: Artifact>(value: &T) -> Result<Vec<u8>, ArtifactError> {
    let kind_length = const {
        assert!(T::KIND.len() <= 255, "the kind of an artifact has at most 255 bytes");
        T::KIND.len() as u8
    };
    let payload = codec::encode(value)
        .map_err(|source| ArtifactError::Unencodable { what: T::KIND.to_owned(), source })?;
    let mut bytes = MAGIC.to_vec();
    bytes.push(kind_length);
    bytes.extend(T::KIND.as_bytes());
    bytes.extend(T::SCHEMA.to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(Digest::of(&payload).0);
    bytes.extend(payload);
    Ok(bytes)
}

/// Reads a value from the bytes of its file, such as one that is part of the binary; errors call it
/// `path`.
///
/// # Errors
/// As [`load`], but for [`ArtifactError::Io`].
pub fn load_bytes<T: Artifact>(path: impl AsRef<Path>, bytes: &[u8]) -> Result<T, ArtifactError> {
    let path = path.as_ref();
    let Some(header) = bytes.strip_prefix(&MAGIC) else {
        let found = &bytes[..bytes.len().min(MAGIC.len())];
        return Err(ArtifactError::NotHafnia {
            path: path.into(),
            found: hex(found),
            expected: hex(&MAGIC),
        });
    };
    let mut header = Header { path, bytes, rest: header };

    let [kind_length] = header.take()?;
    let kind = header.slice(kind_length.into())?;
    if kind != T::KIND.as_bytes() {
        return Err(ArtifactError::Kind {
            path: path.into(),
            found: String::from_utf8_lossy(kind).escape_debug().collect(),
            expected: T::KIND,
        });
    }
    let schema = u32::from_le_bytes(header.take()?);
    if schema != T::SCHEMA {
        return Err(ArtifactError::Schema {
            path: path.into(),
            kind: T::KIND,
            found: schema,
            expected: T::SCHEMA,
            remake: T::REMAKE,
        });
    }
    let length = u64::from_le_bytes(header.take()?);
    let digest = Digest(header.take()?);

    let payload = header.rest;
    let found = bytes.len() as u64;
    let expected = length.saturating_add(found - payload.len() as u64);
    if found < expected {
        return Err(ArtifactError::Truncated { path: path.into(), found, expected });
    }
    if found > expected {
        return Err(ArtifactError::TooLong { path: path.into(), found, expected });
    }
    let found = Digest::of(payload);
    if found != digest {
        let [found, expected] = [found, digest].map(|digest| digest.to_string());
        return Err(ArtifactError::Checksum { path: path.into(), found, expected });
    }
    let value: T = codec::decode(payload).map_err(|source| ArtifactError::Undecodable {
        path: path.into(),
        kind: T::KIND,
        schema,
        source,
    })?;
    value.validate().map_err(|fault| ArtifactError::Invalid {
        path: path.into(),
        kind: T::KIND,
        fault,
    })?;
    Ok(value)
}

/// What is left to read of a header.
struct Header<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Header<'a> {
    fn slice(&mut self, length: usize) -> Result<&'a [u8], ArtifactError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(ArtifactError::Truncated {
                path: self.path.into(),
                found: self.bytes.len() as u64,
                expected: (self.bytes.len() - self.rest.len() + length) as u64,
            });
        };
        self.rest = rest;
        Ok(taken)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ArtifactError> {
        let mut taken = [0; N];
        taken.copy_from_slice(self.slice(N)?);
        Ok(taken)
    }
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use expect_test::{Expect, expect};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Tiny {
        name: String,
        levels: Vec<i32>,
        gain: f32,
        digest: Option<Digest>,
    }

    impl Artifact for Tiny {
        const KIND: &'static str = "tiny";
        const SCHEMA: u32 = 3;
        const REMAKE: &'static str = "hafnia tiny";

        fn validate(&self) -> Result<(), String> {
            match self.gain.is_finite() {
                true => Ok(()),
                false => Err(format!("its gain is {}, it must be finite", self.gain)),
            }
        }
    }

    fn tiny() -> Tiny {
        Tiny { name: "ox".to_owned(), levels: vec![-1, 0, 70_000], gain: 0.5, digest: None }
    }

    #[test]
    fn the_bytes_are_pinned() {
        // Files of earlier runs must stay readable: if this changes, the format has changed.
        let bytes = seal(&tiny()).unwrap();
        let lines: Vec<_> = bytes.chunks(16).map(hex).collect();
        expect![[r#"
            89 68 61 66 6e 69 61 0a 04 74 69 6e 79 03 00 00
            00 10 00 00 00 00 00 00 00 a5 44 65 25 6b e2 34
            fc 74 b2 00 eb e7 5c 94 ab 24 ec 71 fb 3e 72 72
            28 7c 08 12 9b 49 81 55 8f 02 6f 78 03 01 00 fc
            e0 22 02 00 00 00 00 3f 00"#]]
        .assert_eq(&lines.join("\n"));
        assert_eq!(load_bytes::<Tiny>("x", &bytes).unwrap(), tiny());
    }

    #[test]
    fn save_returns_the_digest_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/tiny.hafnia");
        let digest = save(&path, &tiny()).unwrap();
        assert_eq!(digest, Digest::of_file(&path).unwrap());
        assert_eq!(load::<Tiny>(&path).unwrap(), tiny());
        fs::remove_file(&path).unwrap();
        let error = load::<Tiny>(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read {}", path.display()));
    }

    #[test]
    fn what_reading_refuses_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tiny.hafnia");
        let forged = Tiny { gain: f32::NAN, ..tiny() };
        let expected = "t.hafnia holds no valid \"tiny\": its gain is NaN, it must be finite";
        let error = load_bytes::<Tiny>("t.hafnia", &seal(&forged).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(save(&path, &forged).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = seal(&tiny()).unwrap();
        for length in 0..bytes.len() {
            let error = load_bytes::<Tiny>("x", &bytes[..length]).unwrap_err();
            match error {
                ArtifactError::NotHafnia { .. } => assert!(length < MAGIC.len()),
                ArtifactError::Truncated { found, expected, .. } => {
                    assert!(length >= MAGIC.len() && found == length as u64 && found < expected);
                }
                other => panic!("{length} bytes: {other}"),
            }
        }
    }

    #[test]
    fn every_damaged_byte_is_an_error() {
        let bytes = seal(&tiny()).unwrap();
        for position in 0..bytes.len() {
            for flip in 1..=255 {
                let mut bytes = bytes.clone();
                bytes[position] ^= flip;
                assert!(load_bytes::<Tiny>("x", &bytes).is_err(), "{position} {flip}");
            }
        }
    }

    #[test]
    fn no_payload_panics() {
        // As if the checksum had been made for the damaged payload.
        let start = MAGIC.len() + 1 + Tiny::KIND.len() + 4 + 8 + 32;
        let bytes = seal(&tiny()).unwrap();
        for position in start..bytes.len() {
            for value in 0..=255 {
                let mut bytes = bytes.clone();
                bytes[position] = value;
                let digest = Digest::of(&bytes[start..]).0;
                bytes[start - 32..start].copy_from_slice(&digest);
                let _either = load_bytes::<Tiny>("x", &bytes);
            }
        }
    }

    #[test]
    fn each_failure_says_what_is_wrong() {
        let check = |change: fn(&mut Vec<u8>), expected: Expect| {
            let mut bytes = seal(&tiny()).unwrap();
            change(&mut bytes);
            let error = load_bytes::<Tiny>("out/t.hafnia", &bytes).unwrap_err();
            expected.assert_eq(&format!("{error}\n"));
        };
        check(
            Vec::clear,
            expect![[r#"
            out/t.hafnia is not a hafnia file: it begins with nothing, not 89 68 61 66 6e 69 61 0a
        "#]],
        );
        check(
            |bytes| *bytes = b"{\"layers\": []}".to_vec(),
            expect![[r#"
            out/t.hafnia is not a hafnia file: it begins with 7b 22 6c 61 79 65 72 73, not 89 68 61 66 6e 69 61 0a
        "#]],
        );
        check(
            |bytes| bytes[9] = b'T',
            expect![[r#"
            out/t.hafnia holds "Tiny", expected "tiny"
        "#]],
        );
        check(
            |bytes| bytes[9] = b'\n',
            expect![[r#"
            out/t.hafnia holds "\niny", expected "tiny"
        "#]],
        );
        check(
            |bytes| bytes[13] = 2,
            expect![[r#"
                out/t.hafnia has schema 2 of "tiny", expected 3: made by another version; make it again with `hafnia tiny`
            "#]],
        );
        check(
            |bytes| bytes.truncate(20),
            expect![[r#"
            out/t.hafnia is truncated: 20 bytes, expected 25
        "#]],
        );
        check(
            |bytes| bytes.truncate(bytes.len() - 1),
            expect![[r#"
            out/t.hafnia is truncated: 72 bytes, expected 73
        "#]],
        );
        check(
            |bytes| bytes.push(0),
            expect![[r#"
            out/t.hafnia is too long: 74 bytes, expected 73
        "#]],
        );
        check(
            |bytes| bytes[17..25].fill(255),
            expect![[r#"
            out/t.hafnia is truncated: 73 bytes, expected 18446744073709551615
        "#]],
        );
        check(
            |bytes| bytes[58] ^= 1,
            expect![[r#"
            out/t.hafnia is damaged: its payload has SHA-256 15498774bf7ca6cfba4a03ddb8117cbfaa34bd454dacc6b0216c99544f319c30, expected a54465256be234fc74b200ebe75c94ab24ec71fb3e7272287c08129b4981558f
        "#]],
        );
        check(
            |bytes| {
                // An option is 0 or 1; the checksum is right.
                *bytes.last_mut().unwrap() = 2;
                let digest = Digest::of(&bytes[57..]).0;
                bytes[25..57].copy_from_slice(&digest);
            },
            expect![[r#"
                out/t.hafnia does not decode as "tiny" of schema 3
            "#]],
        );
    }
}
