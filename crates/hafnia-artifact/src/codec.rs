//! The binary codec: the only file of hafnia that names bincode.
//!
//! The configuration is fixed, because it is part of every file: bincode 2 "standard", that is
//! little endian, integers above 8 bits of variable length, serde's data model.
//! The codec does not describe itself. Types that go through it must not use serde's `tag`,
//! `untagged` or `flatten` (they do not decode), nor `skip_serializing_if` (it decodes to wrong
//! values without a word).

use bincode::config::{self, Config};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::Cause;

/// Bytes that decoding may ask for; a damaged length then fails and does not exhaust the memory.
const LIMIT: usize = 1 << 30;

fn config() -> impl Config {
    config::standard().with_limit::<LIMIT>()
}

/// The encoding of a value.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Cause> {
    Ok(bincode::serde::encode_to_vec(value, config())?)
}

/// The value whose encoding is exactly these bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Cause> {
    let (value, read) = bincode::serde::decode_from_slice(bytes, config())?;
    match bytes.len() - read {
        0 => Ok(value),
        left => Err(format!("{left} bytes are left over after {read}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_over_bytes_are_refused() {
        assert_eq!(decode::<u8>(&[3]).unwrap(), 3);
        let error = decode::<u8>(&[3, 4, 5]).unwrap_err().to_string();
        assert_eq!(error, "2 bytes are left over after 1");
        assert!(decode::<u8>(&[]).is_err());
    }

    #[test]
    fn absurd_lengths_are_refused() {
        // A length of 2^63: marker 253, then eight bytes.
        let bytes = [253, 0, 0, 0, 0, 0, 0, 0, 0x80];
        assert!(decode::<String>(&bytes).is_err());
        assert!(decode::<Vec<u64>>(&bytes).is_err());
    }
}
