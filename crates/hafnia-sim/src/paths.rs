//! [`Path`]: how the products of a matrix are computed, and why not faster. It changes no result.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the products of a matrix are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "path", content = "why", rename_all = "snake_case")]
pub enum Path {
    /// As the network says: it runs outside of the scope.
    Reference,
    /// As the network says, because no code errs; conversions are counted.
    Product,
    /// As the network says, corrected where a code errs.
    Corrected,
    /// Conversion by conversion, in vectors.
    Converted(Why),
    /// Conversion by conversion, each by an [`Engine`](crate::Engine): 15 to 35 times as long.
    Scalar(Why),
}

/// Why no faster path is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// [`Kernels::Scalar`](crate::Kernels::Scalar) was asked for.
    Requested,
    /// The engine is a user's own.
    OwnEngine,
    /// A tile has this many lines, more than 65 534.
    Lines(usize),
    /// The mapping does not hold every weight of the network once.
    Unproved,
    /// The converter clips partial sums.
    Clipped,
    /// The likeliest code of the table is not always the number of ones.
    Biased,
    /// More than half of the codes are in doubt after a byte of their draw.
    Noisy,
    /// Cells differ from each other.
    Cells,
}

/// A matrix and its path: `fc3: conversion by conversion, in vectors, because cells differ`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixPath {
    /// Name of the layer.
    pub layer: String,
    /// How its products are computed.
    #[serde(flatten)]
    pub path: Path,
}

impl fmt::Display for MatrixPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.layer, self.path)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference => f.write_str("the network's own product, outside of the scope"),
            Self::Product => f.write_str("the network's own product, because no code errs"),
            Self::Corrected => f.write_str("the network's own product, corrected where codes err"),
            Self::Converted(why) => {
                write!(f, "conversion by conversion, in vectors, because {why}")
            }
            Self::Scalar(why) => {
                write!(f, "conversion by conversion, without vectors, because {why}")
            }
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("that was asked for"),
            Self::OwnEngine => f.write_str("the engine is the user's own"),
            Self::Lines(lines) => write!(f, "a tile has {lines} lines, not at most 65534"),
            Self::Unproved => f.write_str("the mapping does not hold every weight once"),
            Self::Clipped => f.write_str("the converter clips partial sums"),
            Self::Biased => f.write_str("the likeliest code is not always the number of ones"),
            Self::Noisy => f.write_str("a byte leaves more than half of the codes in doubt"),
            Self::Cells => f.write_str("cells differ"),
        }
    }
}
