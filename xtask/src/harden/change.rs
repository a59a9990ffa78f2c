//! Changes of a file that leave it one of its form, with lengths and checksums made right.

use hafnia_artifact::Digest;
use hafnia_rng::ChaCha8Rng;
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::Value;

/// The form of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    Text,
    Toml,
    Json,
    /// The envelope of `hafnia_artifact`.
    Sealed,
    Npy,
    Bytes,
}

/// Texts and numbers at which limits lie.
const EXTREMES: [&str; 28] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "7",
    "255",
    "256",
    "65535",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e-320",
    "-1e308",
    "1.0000000000000002",
    "inf",
    "-inf",
    "nan",
    "true",
    "",
    "..",
    "../secret",
    "\u{1b}[2J\u{7}",
    "\u{feff}",
];

/// A changed copy of a file.
pub(crate) fn change(form: Form, original: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..rng.random_range(1..4) {
        bytes = match form {
            Form::Text => text(&bytes, rng),
            // Half of the time as a tree, so that it stays well formed.
            Form::Toml if rng.random() => toml_tree(&bytes, rng),
            Form::Json if rng.random() => json_tree(&bytes, rng),
            Form::Toml | Form::Json => text(&bytes, rng),
            Form::Sealed => sealed(&bytes, rng),
            Form::Npy => npy(&bytes, rng),
            Form::Bytes => raw(&bytes, rng),
        };
    }
    bytes
}

/// A few bytes set, taken out, put in or repeated; or the end cut off or repeated.
fn raw(bytes: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = rng.random_range(0..=bytes.len());
    let end = (at + rng.random_range(1..9)).min(bytes.len());
    match rng.random_range(0..7) {
        0 => bytes.truncate(at),
        1 => bytes.extend_from_within(at..),
        2 => drop(bytes.drain(at..end)),
        3 => bytes[at..end].fill(0xff),
        4 => bytes[at..end].fill(0),
        5 => {
            let put_in: Vec<u8> = (0..rng.random_range(1..9)).map(|_| rng.random()).collect();
            bytes.splice(at..at, put_in);
        }
        _ => {
            // Of headers too, which are a small part of a file.
            let at = if rng.random() { at } else { at % 32 };
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
    }
    bytes
}

/// Words exchanged for others or for extremes; lines doubled, dropped or made long.
fn text(bytes: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"._-+~".contains(b);
    let words: Vec<(usize, usize)> = {
        let mut words = Vec::new();
        let mut start = None;
        for (at, byte) in bytes.iter().chain(b" ").enumerate() {
            match (start, is_word(byte)) {
                (None, true) => start = Some(at),
                (Some(from), false) => {
                    words.push((from, at));
                    start = None;
                }
                _ => {}
            }
        }
        words
    };
    let (Some(&(from, to)), Some(&(other, end))) = (words.choose(rng), words.choose(rng)) else {
        return raw(bytes, rng);
    };
    let put = |new: &[u8]| [&bytes[..from], new, &bytes[to..]].concat();
    match rng.random_range(0..8) {
        0 => raw(bytes, rng),
        1 => put(&bytes[other..end]),
        2 => put(&[b'9'; 5000]),
        3 | 4 => {
            let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
            let at = rng.random_range(0..lines.len());
            let times = if rng.random() { 0 } else { 2 };
            let line = lines[at].repeat(times);
            [lines[..at].concat(), line, lines[at + 1..].concat()].concat()
        }
        _ => put(EXTREMES.choose(rng).expect("there are extremes").as_bytes()),
    }
}

/// The payload of an artefact changed, its length and digest made right; sometimes the header.
fn sealed(bytes: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    // magic, length of the kind, kind, schema; then length and digest of the payload.
    let kind = bytes.get(8).map_or(0, |&length| usize::from(length));
    let (length, payload) = (9 + kind + 4, 9 + kind + 4 + 8 + 32);
    if bytes.len() < payload || rng.random_ratio(1, 10) {
        return raw(bytes, rng);
    }
    let mut changed = bytes[payload..].to_vec();
    let at = rng.random_range(0..changed.len().max(1));
    match rng.random_range(0..4) {
        // What stands before a number of 2, 4 or 8 bytes, in the encoding of bincode.
        0 => {
            let long: &[u8] = match rng.random_range(0..3) {
                0 => &[0xfb, 0xff, 0xff],
                1 => &[0xfc, 0xff, 0xff, 0xff, 0x7f],
                _ => &[0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            };
            changed.splice(at..(at + 1).min(changed.len()), long.iter().copied());
        }
        // The fields come first, lists after them.
        1 => {
            let at = at % 64;
            if let Some(byte) = changed.get_mut(at) {
                *byte = rng.random();
            }
        }
        _ => changed = raw(&changed, rng),
    }
    let header = [
        &bytes[..length],
        &(changed.len() as u64).to_le_bytes(),
        &Digest::of(&changed).0,
        &changed,
    ];
    header.concat()
}

/// The header of a NumPy array changed, its length made right, or the array.
fn npy(bytes: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let length = bytes.get(8..10).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    if bytes.len() < 10 + length || rng.random() {
        return raw(bytes, rng);
    }
    let header = text(&bytes[10..10 + length], rng);
    let length = (header.len() as u16).to_le_bytes();
    [
        &bytes[..8],
        &length,
        &header,
        &bytes[10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))..],
    ]
    .concat()
}

fn json_tree(bytes: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let Ok(mut tree) = serde_json::from_slice::<Value>(bytes) else { return text(bytes, rng) };
    change_tree(&mut tree, rng);
    serde_json::to_vec_pretty(&tree).expect("a tree has a text")
}

fn toml_tree(bytes: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let tree = std::str::from_utf8(bytes).ok().and_then(|text| toml::from_str::<Value>(text).ok());
    let Some(mut tree) = tree else { return text(bytes, rng) };
    change_tree(&mut tree, rng);
    toml::to_string(&tree).map_or_else(|_| text(bytes, rng), String::into_bytes)
}

/// Changes a value somewhere in a tree.
fn change_tree(tree: &mut Value, rng: &mut ChaCha8Rng) {
    if rng.random_ratio(3, 4) {
        match tree {
            Value::Object(fields) if !fields.is_empty() => {
                let at = rng.random_range(0..fields.len());
                let (name, value) = fields.iter_mut().nth(at).expect("it is there");
                if rng.random_ratio(1, 8) {
                    let (name, value) = (name.clone(), value.take());
                    fields.remove(&name);
                    if rng.random() {
                        fields.insert(format!("{name}\u{1b}[31m"), value);
                    }
                    return;
                }
                return change_tree(value, rng);
            }
            Value::Array(values) if !values.is_empty() => {
                let at = rng.random_range(0..values.len());
                match rng.random_range(0..6) {
                    0 => drop(values.remove(at)),
                    1 => values.insert(at, values[at].clone()),
                    _ => change_tree(&mut values[at], rng),
                }
                return;
            }
            _ => {}
        }
    }
    *tree = match rng.random_range(0..5) {
        0 => Value::Array((0..rng.random_range(0..4)).map(|_| extreme(rng)).collect()),
        1 => (0..rng.random_range(1..500)).fold(Value::Null, |inner, _| Value::Array(vec![inner])),
        _ => extreme(rng),
    };
}

/// A number or a text at which a limit lies.
fn extreme(rng: &mut ChaCha8Rng) -> Value {
    let text = *EXTREMES.choose(rng).expect("there are extremes");
    match serde_json::from_str(text) {
        Ok(value) if rng.random_ratio(3, 4) => value,
        _ => Value::String(text.to_owned()),
    }
}
