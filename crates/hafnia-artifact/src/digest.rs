//! SHA-256 digests, by which files and values are told apart everywhere in hafnia.

use std::{
    fmt,
    io::{self, BufRead as _, BufReader},
    path::Path,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::codec;
use crate::error::ArtifactError;
use crate::whole::{LARGEST, open, unread};

/// A SHA-256 digest; as text, 64 lower-case hexadecimal digits.
///
/// In human-readable formats (JSON, TOML) it is that text, in others its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest written as 64 lower-case hexadecimal digits, or nothing for any other text.
    ///
    /// For constants; [`FromStr`] does the same with an error.
    pub const fn from_hex(text: &str) -> Option<Self> {
        const fn nibble(digit: u8) -> Option<u8> {
            match digit {
                b'0'..=b'9' => Some(digit - b'0'),
                b'a'..=b'f' => Some(digit - b'a' + 10),
                _ => None,
            }
        }
        let text = text.as_bytes();
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        let mut i = 0;
        while i < bytes.len() {
            let (Some(high), Some(low)) = (nibble(text[2 * i]), nibble(text[2 * i + 1])) else {
                return None;
            };
            bytes[i] = high << 4 | low;
            i += 1;
        }
        Some(Self(bytes))
    }

    /// The digest of a value: of its encoding in the codec of [`save`](crate::save).
    ///
    /// # Panics
    /// If the type cannot be encoded, which is a bug in the type (a map or sequence of unknown
    /// length): no value that came from outside can cause it.
    pub fn of_value<T: Serialize + ?Sized>(value: &T) -> Self {
        let bytes = codec::encode(value).unwrap_or_else(|error| {
            panic!("{} cannot be encoded: {error}", std::any::type_name::<T>())
        });
        Self::of(&bytes)
    }

    /// The digest of a file's content, read in pieces.
    ///
    /// # Errors
    /// As [`read`](crate::read).
    pub fn of_file(path: impl AsRef<Path>) -> Result<Self, ArtifactError> {
        let path = path.as_ref();
        digest_of_file(path).map_err(unread(path))
    }
}

fn digest_of_file(path: &Path) -> io::Result<Digest> {
    let mut file = BufReader::with_capacity(1 << 16, open(path, LARGEST)?);
    let mut hasher = Sha256::new();
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            return Ok(Digest(hasher.finalize().into()));
        }
        hasher.update(piece);
        let length = piece.len();
        file.consume(length);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = ArtifactError;

    fn from_str(text: &str) -> Result<Self, ArtifactError> {
        Self::from_hex(text).ok_or_else(|| ArtifactError::DigestText { found: text.to_owned() })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn known_answers() {
        // FIPS 180-4, examples: "abc" and the empty message.
        assert_eq!(Digest::of(b"abc").to_string(), ABC);
        assert_eq!(
            Digest::of(b"").to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(format!("{:?}", Digest::of(b"abc")), format!("Digest({ABC})"));
    }

    #[test]
    fn a_file_has_the_digest_of_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let bytes = vec![7; 100_000];
        std::fs::write(&path, &bytes).unwrap();
        #[cfg(target_os = "linux")]
        Digest::of_file("/dev/zero").unwrap_err();
        assert_eq!(Digest::of_file(&path).unwrap(), Digest::of(&bytes));
        let missing = dir.path().join("missing");
        assert!(Digest::of_file(&missing).unwrap_err().to_string().contains("missing"));
    }

    #[test]
    fn a_value_has_the_digest_of_its_encoding() {
        assert_eq!(Digest::of_value(&[1u8, 2]), Digest::of(&[1, 2]));
        assert_ne!(Digest::of_value(&1u32), Digest::of_value(&2u32));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "ba78", &ABC.to_uppercase(), &ABC[..63], &format!("{ABC}0"), "é"] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
            assert!(serde_json::from_value::<Digest>(text.into()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_json_and_bytes_round_trip(bytes: [u8; 32]) {
            let digest = Digest(bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
            let json = serde_json::to_string(&digest).unwrap();
            prop_assert_eq!(&json, &format!("\"{digest}\""));
            prop_assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
            let encoded = codec::encode(&digest).unwrap();
            prop_assert_eq!(encoded.as_slice(), &bytes);
            prop_assert_eq!(codec::decode::<Digest>(&encoded).unwrap(), digest);
        }
    }
}
