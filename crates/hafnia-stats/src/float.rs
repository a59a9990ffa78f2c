//! Floats as files and tables hold them.
//!
//! JSON has no number that is infinite or none: `#[serde(with = "hafnia_stats::float")]` writes these
//! as the strings `inf`, `-inf` and `nan`, and reads them back. Zero has no sign. What is null is read
//! as NaN, which is how it was written before.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A float as a text of JSON holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Float(pub f64);

/// What may stand for a float.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number, or one of \"inf\", \"-inf\", \"nan\"")]
enum Written {
    Number(f64),
    Other(Other),
    Null(()),
}

#[derive(Deserialize)]
enum Other {
    #[serde(rename = "inf")]
    Infinite,
    #[serde(rename = "-inf")]
    MinusInfinite,
    #[serde(rename = "nan")]
    NoNumber,
}

/// Writes a float.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match value.is_finite() || !serializer.is_human_readable() {
        true => serializer.serialize_f64(value + 0.0),
        false if value.is_nan() => serializer.serialize_str("nan"),
        false => serializer.serialize_str(if *value > 0.0 { "inf" } else { "-inf" }),
    }
}

/// Reads a float.
///
/// # Errors
/// Those of the deserializer, and if it is neither a number nor one of the three strings.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    if !deserializer.is_human_readable() {
        return f64::deserialize(deserializer);
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Number(number) => number,
        Written::Other(Other::Infinite) => f64::INFINITY,
        Written::Other(Other::MinusInfinite) => f64::NEG_INFINITY,
        Written::Other(Other::NoNumber) | Written::Null(()) => f64::NAN,
    })
}

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

/// A number with so many decimals; one that rounds to zero has no sign.
#[must_use]
pub fn fixed(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.bytes().all(|byte| matches!(byte, b'0' | b'.')) => zero.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_travel_whole() {
        let there = |value: f64| serde_json::to_string(&Float(value)).expect("JSON");
        let back = |text: &str| serde_json::from_str::<Float>(text).map(|Float(value)| value);
        for (value, text) in [
            (0.1, "0.1"),
            (-0.0, "0.0"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "\"inf\""),
            (f64::NEG_INFINITY, "\"-inf\""),
        ] {
            assert_eq!(there(value), text);
            assert_eq!(back(text).expect("a float"), value);
        }
        assert_eq!(there(f64::NAN), "\"nan\"");
        assert!(back("\"nan\"").expect("a float").is_nan());
        assert!(back("null").expect("a float").is_nan());
        let error = back("\"infinite\"").expect_err("no float").to_string();
        assert_eq!(error, "a number, or one of \"inf\", \"-inf\", \"nan\"");
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!(
            [fixed(-0.0, 0), fixed(-0.0004, 3), fixed(-0.0006, 3)],
            ["0", "0.000", "-0.001"]
        );
        assert_eq!([fixed(f64::NEG_INFINITY, 1), fixed(10.0, 1)], ["-inf", "10.0"]);
    }
}
