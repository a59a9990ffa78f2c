//! [`Op`]: operations on one element at a time, in `f32` as executors compute them.

use std::cmp::Ordering;

/// An operation that takes numbers and gives one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Min,
    Max,
    Negate,
    Absolute,
    Sign,
    Square,
    SquareRoot,
    Exponential,
    Logarithm,
    Tanh,
    Sigmoid,
    Softplus,
    /// x, or slope · x below 0: (x, slope).
    Slope,
    /// x, or a · (eˣ − 1) below 0: (x, a).
    Exponent,
    Round(Rounding),
    /// 1 if the first compares so with the second, else 0.
    Compare(Comparison),
    /// The second where the first is not 0, else the third.
    Choose,
    /// (x, scale, zero point, bits): QONNX's `Quant`.
    Quant {
        signed: bool,
        narrow: bool,
        rounding: Rounding,
    },
    /// (x, scale): QONNX's `BipolarQuant`.
    Bipolar,
    /// (x, scale, zero point, bits, output scale, output bits): QONNX's `Trunc`. Before its second
    /// version it neither clamped nor had an output scale of its own.
    Truncate {
        clamp: Option<(bool, bool)>,
        rounding: Rounding,
    },
    /// (x, scale, zero point), saturated to a range: ONNX's `QuantizeLinear`.
    Quantize {
        least: f32,
        largest: f32,
    },
    /// (x, scale, zero point): ONNX's `DequantizeLinear`.
    Dequantize,
    /// (x, gamma, beta, mean, variance).
    Normalize {
        epsilon: f32,
    },
    /// (x, T₁, T₂, …): how many of them x reaches.
    Count,
}

/// How a number becomes whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To the nearest, halves to the even one.
    Even,
    Up,
    Down,
    AwayFromZero,
    TowardsZero,
    /// To the nearest, halves away from 0.
    HalfAway,
    /// To the nearest, halves towards 0.
    HalfTowards,
}

impl Rounding {
    /// The rounding that QONNX calls so, in upper case.
    pub(crate) fn of(name: &str) -> Result<Self, String> {
        match name {
            "ROUND" | "HALF_EVEN" => Ok(Self::Even),
            "CEIL" => Ok(Self::Up),
            "FLOOR" => Ok(Self::Down),
            "UP" => Ok(Self::AwayFromZero),
            "DOWN" | "ROUND_TO_ZERO" => Ok(Self::TowardsZero),
            "HALF_UP" => Ok(Self::HalfAway),
            "HALF_DOWN" => Ok(Self::HalfTowards),
            other => Err(format!(
                "its rounding mode is {}, it must be ROUND, CEIL, FLOOR, UP, DOWN, HALF_UP or HALF_DOWN",
                hafnia_text::quoted(other)
            )),
        }
    }

    fn round(self, x: f32) -> f32 {
        match self {
            Self::Even => x.round_ties_even(),
            Self::Up => x.ceil(),
            Self::Down => x.floor(),
            Self::AwayFromZero => x.signum() * x.abs().ceil(),
            Self::TowardsZero => x.trunc(),
            Self::HalfAway => x.round(),
            Self::HalfTowards => {
                let whole = x.trunc();
                if (x - whole).abs() > 0.5 { whole + x.signum() } else { whole }
            }
        }
    }
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds(self, a: f32, b: f32) -> bool {
        match self {
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Equal => a == b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
        }
    }
}

/// The least and the largest integer of QONNX's quantisers.
fn range(signed: bool, narrow: bool, bits: f32) -> (f32, f32) {
    let narrow = f32::from(u8::from(narrow));
    match signed {
        true => (narrow - (bits - 1.0).exp2(), (bits - 1.0).exp2() - 1.0),
        false => (0.0, bits.exp2() - 1.0 - narrow),
    }
}

/// `x` brought into a range as executors do: not a number stays what it is.
fn clamp(x: f32, least: f32, largest: f32) -> f32 {
    let x = if x > largest { largest } else { x };
    if x < least { least } else { x }
}

impl Op {
    /// What it gives of these numbers.
    pub(crate) fn eval(self, of: &[f32]) -> f32 {
        let x = of[0];
        match self {
            Self::Add => x + of[1],
            Self::Subtract => x - of[1],
            Self::Multiply => x * of[1],
            Self::Divide => x / of[1],
            Self::Power => x.powf(of[1]),
            Self::Min => {
                if of[1] < x {
                    of[1]
                } else {
                    x
                }
            }
            Self::Max => {
                if of[1] > x {
                    of[1]
                } else {
                    x
                }
            }
            Self::Negate => -x,
            Self::Absolute => x.abs(),
            Self::Sign => match x.partial_cmp(&0.0) {
                Some(Ordering::Less) => -1.0,
                Some(Ordering::Greater) => 1.0,
                _ => 0.0,
            },
            Self::Square => x * x,
            Self::SquareRoot => x.sqrt(),
            Self::Exponential => x.exp(),
            Self::Logarithm => x.ln(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Softplus => x.exp().ln_1p(),
            Self::Slope => {
                if x < 0.0 {
                    x * of[1]
                } else {
                    x
                }
            }
            Self::Exponent => {
                if x < 0.0 {
                    of[1] * x.exp_m1()
                } else {
                    x
                }
            }
            Self::Round(rounding) => rounding.round(x),
            Self::Compare(comparison) => comparison.holds(x, of[1]).into(),
            Self::Choose => {
                if x != 0.0 {
                    of[1]
                } else {
                    of[2]
                }
            }
            Self::Quant { signed, narrow, rounding } => {
                let (scale, zero, bits) = (of[1], of[2], of[3]);
                let y = x / scale + zero;
                let y = if signed && bits == 1.0 {
                    if y >= 0.0 { 1.0 } else { -1.0 }
                } else {
                    // Clipped first, then rounded.
                    let (least, largest) = range(signed, narrow, bits);
                    rounding.round(clamp(y, least, largest))
                };
                (y - zero) * scale
            }
            Self::Bipolar => {
                if x >= 0.0 {
                    of[1]
                } else {
                    -of[1]
                }
            }
            Self::Truncate { clamp: ends, rounding } => {
                let (scale, zero, bits, out_scale, out_bits) = (of[1], of[2], of[3], of[4], of[5]);
                let y = (x / scale + zero).round_ties_even();
                match ends {
                    None => {
                        let y = rounding.round(y / (bits - out_bits).exp2());
                        (y - zero) * scale
                    }
                    Some((signed, narrow)) => {
                        let by = (out_scale / scale).log2().round_ties_even().exp2();
                        let (least, largest) = range(signed, narrow, out_bits);
                        let y = rounding.round(clamp(y / by, least, largest));
                        (y - zero / by) * out_scale
                    }
                }
            }
            Self::Quantize { least, largest } => {
                clamp((x / of[1]).round_ties_even() + of[2], least, largest)
            }
            Self::Dequantize => (x - of[2]) * of[1],
            Self::Normalize { epsilon } => {
                let (gamma, beta, mean, variance) = (of[1], of[2], of[3], of[4]);
                let factor = 1.0 / (variance + epsilon).sqrt() * gamma;
                x * factor + (beta - mean * factor)
            }
            Self::Count => {
                of[1..].iter().map(|&threshold| f32::from(u8::from(x >= threshold))).sum()
            }
        }
    }

    /// Whether it only rises, or only falls, as the argument `varying` grows and the others, which are
    /// given, stay.
    pub(crate) fn is_monotone(self, varying: usize, others: &[f32]) -> bool {
        match self {
            Self::Add
            | Self::Subtract
            | Self::Multiply
            | Self::Min
            | Self::Max
            | Self::Negate
            | Self::Sign
            | Self::SquareRoot
            | Self::Exponential
            | Self::Logarithm
            | Self::Tanh
            | Self::Sigmoid
            | Self::Softplus
            | Self::Round(_) => true,
            Self::Compare(comparison) => comparison != Comparison::Equal,
            Self::Slope | Self::Exponent => varying == 0 && others[1] >= 0.0,
            Self::Power => varying == 0 && others[1] % 2.0 == 1.0 && others[1] > 0.0,
            Self::Absolute | Self::Square => false,
            Self::Divide
            | Self::Choose
            | Self::Quant { .. }
            | Self::Bipolar
            | Self::Truncate { .. }
            | Self::Quantize { .. }
            | Self::Dequantize
            | Self::Normalize { .. }
            | Self::Count => varying == 0,
        }
    }

    /// Factor and summand if it gives factor · x + summand of the argument `varying`, the others being
    /// given.
    pub(crate) fn as_affine(self, varying: usize, others: &[f32]) -> Option<(f64, f64)> {
        let other = |index: usize| f64::from(others[index]);
        let pair = match (self, varying) {
            (Self::Add, index) => (1.0, other(1 - index)),
            (Self::Subtract, 0) => (1.0, -other(1)),
            (Self::Subtract, _) => (-1.0, other(0)),
            (Self::Multiply, index) => (other(1 - index), 0.0),
            (Self::Divide, 0) => (1.0 / other(1), 0.0),
            (Self::Power, 0) if others[1] == 1.0 => (1.0, 0.0),
            (Self::Negate, _) => (-1.0, 0.0),
            (Self::Dequantize, 0) => (other(1), -other(2) * other(1)),
            (Self::Normalize { epsilon }, 0) => {
                let factor = other(1) / (other(4) + f64::from(epsilon)).sqrt();
                (factor, other(2) - other(3) * factor)
            }
            _ => return None,
        };
        (pair.0.is_finite() && pair.1.is_finite()).then_some(pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quant_clips_then_rounds_halves_to_even() {
        let quant = |x: f32, signed, narrow, bits| {
            Op::Quant { signed, narrow, rounding: Rounding::Even }.eval(&[x, 0.5, 0.0, bits])
        };
        assert_eq!([0.25, 0.75, 1.25].map(|x| quant(x, false, false, 4.0)), [0.0, 1.0, 1.0]);
        assert_eq!([-9.0, 9.0].map(|x| quant(x, true, false, 3.0)), [-2.0, 1.5]);
        assert_eq!([-9.0, 9.0].map(|x| quant(x, true, true, 3.0)), [-1.5, 1.5]);
        assert_eq!([-9.0, 9.0].map(|x| quant(x, false, true, 3.0)), [0.0, 3.0]);
        assert_eq!([-0.1, -0.0, 0.1].map(|x| quant(x, true, false, 1.0)), [-0.5, 0.5, 0.5]);
        assert_eq!([-0.1, 0.2, 9.0].map(|x| quant(x, false, false, 1.0)), [0.0, 0.0, 0.5]);
    }

    #[test]
    fn roundings_are_those_of_their_names() -> Result<(), String> {
        for (name, expected) in [
            ("ROUND", [-2.0, -2.0, 0.0, 2.0, 2.0, 2.0]),
            ("CEIL", [-2.0, -1.0, 1.0, 2.0, 2.0, 3.0]),
            ("FLOOR", [-3.0, -2.0, 0.0, 1.0, 1.0, 2.0]),
            ("UP", [-3.0, -2.0, 1.0, 2.0, 2.0, 3.0]),
            ("DOWN", [-2.0, -1.0, 0.0, 1.0, 1.0, 2.0]),
            ("HALF_UP", [-3.0, -2.0, 1.0, 2.0, 2.0, 2.0]),
            ("HALF_DOWN", [-2.0, -1.0, 0.0, 1.0, 2.0, 2.0]),
        ] {
            let rounding = Rounding::of(name)?;
            let found = [-2.5, -1.5, 0.5, 1.5, 1.75, 2.25].map(|x| rounding.round(x));
            assert_eq!(found, expected, "{name}");
        }
        assert!(Rounding::of("NEAREST").is_err());
        Ok(())
    }

    #[test]
    fn quantize_saturates_behind_the_zero_point() {
        let quantize = Op::Quantize { least: 0.0, largest: 255.0 };
        assert_eq!(
            [-1.0, 0.25, 0.75, 99.0].map(|x| quantize.eval(&[x, 0.5, 3.0])),
            [1.0, 3.0, 5.0, 201.0]
        );
        assert_eq!(quantize.eval(&[-9.0, 0.5, 3.0]), 0.0);
        assert_eq!(quantize.eval(&[999.0, 0.5, 3.0]), 255.0);
        assert_eq!(Op::Dequantize.eval(&[5.0, 0.5, 3.0]), 1.0);
    }

    #[test]
    fn affine_is_what_is_computed() {
        let others = [f32::NAN, 3.0, 0.5, -1.0, 0.25];
        for op in [
            Op::Add,
            Op::Subtract,
            Op::Multiply,
            Op::Divide,
            Op::Negate,
            Op::Dequantize,
            Op::Normalize { epsilon: 1e-5 },
        ] {
            let (factor, summand) = op.as_affine(0, &others).expect("affine");
            for x in [-2.0, 0.0, 7.5] {
                let mut of = others;
                of[0] = x;
                let found = f64::from(op.eval(&of));
                assert!((found - (factor * f64::from(x) + summand)).abs() < 1e-5, "{op:?} {x}");
            }
        }
        assert_eq!(Op::Subtract.as_affine(1, &[2.0, f32::NAN]), Some((-1.0, 2.0)));
        assert_eq!(Op::Divide.as_affine(1, &[2.0, f32::NAN]), None);
        assert_eq!(Op::Max.as_affine(0, &[f32::NAN, 0.0]), None);
    }
}
