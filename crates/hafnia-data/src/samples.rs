//! The values of images, of the type in which they come.

use std::ops::Range;

use hafnia_artifact::npy::Element;
use serde::Serialize;

/// The values of images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Samples {
    /// Pixels of 8 bits.
    U8(Vec<u8>),
    /// Integers of 8 bits, −128 to 127.
    I8(Vec<i8>),
    /// Finite floats of 32 bits.
    F32(Vec<f32>),
}

/// Some values of images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values<'a> {
    /// Of [`Samples::U8`].
    U8(&'a [u8]),
    /// Of [`Samples::I8`].
    I8(&'a [i8]),
    /// Of [`Samples::F32`].
    F32(&'a [f32]),
}

impl Values<'_> {
    /// Puts the values behind those in `bytes`: integers of −128 on plus 128; or says where the first
    /// float is that is no whole number of 0 to 255.
    pub(crate) fn bytes(self, bytes: &mut Vec<u8>) -> Result<(), usize> {
        match self {
            Self::U8(values) => bytes.extend_from_slice(values),
            Self::I8(values) => {
                bytes.extend(values.iter().map(|&value| value.cast_unsigned() ^ 0x80));
            }
            Self::F32(values) => {
                for (at, &value) in values.iter().enumerate() {
                    // A cast cuts off and saturates: what it leaves alone is a byte.
                    let byte = value as u8;
                    if f32::from(byte) != value {
                        return Err(at);
                    }
                    bytes.push(byte);
                }
            }
        }
        Ok(())
    }
}

impl Samples {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type as NumPy calls it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => u8::NAME,
            Self::I8(_) => i8::NAME,
            Self::F32(_) => f32::NAME,
        }
    }

    /// A value as a number.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn get(&self, at: usize) -> f32 {
        match self {
            Self::U8(values) => values[at].into(),
            Self::I8(values) => values[at].into(),
            Self::F32(values) => values[at],
        }
    }

    /// Where the first value is that is infinite or no number.
    pub(crate) fn first_not_finite(&self) -> Option<usize> {
        match self {
            Self::U8(_) | Self::I8(_) => None,
            Self::F32(values) => values.iter().position(|value| !value.is_finite()),
        }
    }

    /// Some of the values.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn values(&self, range: Range<usize>) -> Values<'_> {
        match self {
            Self::U8(values) => Values::U8(&values[range]),
            Self::I8(values) => Values::I8(&values[range]),
            Self::F32(values) => Values::F32(&values[range]),
        }
    }

    /// The values of these images of `size` values, in this order.
    pub(crate) fn select(&self, size: usize, images: &[usize]) -> Self {
        fn select<T: Copy>(values: &[T], size: usize, images: &[usize]) -> Vec<T> {
            let mut selected = Vec::with_capacity(size * images.len());
            images.iter().for_each(|&at| selected.extend_from_slice(&values[at * size..][..size]));
            selected
        }
        match self {
            Self::U8(values) => Self::U8(select(values, size, images)),
            Self::I8(values) => Self::I8(select(values, size, images)),
            Self::F32(values) => Self::F32(select(values, size, images)),
        }
    }

    /// These values and then others; none if they are of another type.
    pub(crate) fn and(self, others: Self) -> Option<Self> {
        match (self, others) {
            (Self::U8(values), Self::U8(others)) => Some(Self::U8([values, others].concat())),
            (Self::I8(values), Self::I8(others)) => Some(Self::I8([values, others].concat())),
            (Self::F32(values), Self::F32(others)) => Some(Self::F32([values, others].concat())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(values: Values<'_>) -> Result<Vec<u8>, usize> {
        let mut bytes = Vec::new();
        values.bytes(&mut bytes).map(|()| bytes)
    }

    #[test]
    fn numbers_become_bytes_in_their_order() {
        let integers: Vec<i8> = (i8::MIN..=i8::MAX).collect();
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(bytes(Values::I8(&integers)), Ok(all));
        assert_eq!(bytes(Values::F32(&[0.0, -0.0, 255.0])), Ok(vec![0, 0, 255]));
    }

    proptest! {
        #[test]
        fn floats_are_bytes_or_are_named(values in prop::collection::vec(
            prop_oneof![(0u8..=255).prop_map(f32::from), -2.0f32..300.0], 1..9,
        )) {
            let is_byte = |value: &f32| value.fract() == 0.0 && (0.0..=255.0).contains(value);
            match bytes(Values::F32(&values)) {
                Ok(bytes) => {
                    let back: Vec<f32> = bytes.iter().map(|&byte| byte.into()).collect();
                    prop_assert_eq!(back, values);
                }
                Err(at) => prop_assert_eq!(values.iter().position(|v| !is_byte(v)), Some(at)),
            }
        }
    }
}
