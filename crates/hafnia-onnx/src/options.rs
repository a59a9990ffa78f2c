//! [`Options`]: what a file does not say.

use std::fmt;
use std::str::FromStr;

use hafnia_model::Shape;

/// What a graph expects for a byte of an image: a file does not say.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// The byte p itself, 0 to 255.
    Raw,
    /// p − 128: what an image of signed bytes holds.
    Signed,
    /// p / 255.
    Unit,
    /// (p / 255 − mean) / deviation, one pair for all channels or one for each.
    Normalised {
        /// Means.
        means: Vec<f32>,
        /// Standard deviations.
        deviations: Vec<f32>,
    },
}

impl fmt::Display for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |of: &[f32]| of.iter().map(f32::to_string).collect::<Vec<_>>().join("/");
        match self {
            Self::Raw => f.write_str("raw"),
            Self::Signed => f.write_str("signed"),
            Self::Unit => f.write_str("unit"),
            Self::Normalised { means, deviations } => {
                write!(f, "{},{}", list(means), list(deviations))
            }
        }
    }
}

/// Reads what is displayed: `raw`, `signed`, `unit` or `MEAN,STD`, of several channels joined by `/`.
impl FromStr for Pixels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|number: &f32| number.is_finite());
        let list = |text: &str| text.split('/').map(number).collect::<Option<Vec<f32>>>();
        let normalised = || {
            let (means, deviations) = text.split_once(',')?;
            Some(Self::Normalised { means: list(means)?, deviations: list(deviations)? })
        };
        match text {
            "raw" => Ok(Self::Raw),
            "signed" => Ok(Self::Signed),
            "unit" => Ok(Self::Unit),
            _ => normalised().ok_or_else(|| "it must be raw, signed, unit or MEAN,STD".to_owned()),
        }
    }
}

/// How a file is imported.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What the graph expects for a byte.
    pub pixels: Pixels,
    /// Channels, rows and columns of the images, if they are not those that the file names: vectors of
    /// 784 may be images of 28 × 28.
    pub shape: Option<Shape>,
    /// Whether weights that lie on no grid are rounded to 8 bits.
    pub approximate: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_read_as_they_are_displayed() {
        let normalised = |means: &[f32], deviations: &[f32]| Pixels::Normalised {
            means: means.to_vec(),
            deviations: deviations.to_vec(),
        };
        for (text, pixels) in [
            ("raw", Pixels::Raw),
            ("signed", Pixels::Signed),
            ("unit", Pixels::Unit),
            ("0.1307,0.3081", normalised(&[0.1307], &[0.3081])),
            ("1/2,3/0.25", normalised(&[1.0, 2.0], &[3.0, 0.25])),
        ] {
            assert_eq!(pixels.to_string(), text);
            assert_eq!(text.parse(), Ok(pixels));
        }
        for wrong in ["", "0.5", "norm", "a,b", "0.5,", "nan,1", "1,2,3"] {
            assert!(wrong.parse::<Pixels>().is_err(), "{wrong}");
        }
    }
}
