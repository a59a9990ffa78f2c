//! [`Tensor`]: a constant of a graph, read out of a file.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use hafnia_artifact::read_up_to;
use hafnia_text::quoted;

use crate::layout;
use crate::proto;

/// The most elements of a tensor: far above any layer here, far below what a product overflows.
pub(crate) const MOST_ELEMENTS: usize = 1 << 25;
/// The most sides of a tensor.
pub(crate) const MOST_SIDES: usize = 8;
/// The most bytes of a file that holds tensors: 1 GiB.
const MOST_BYTES: u64 = 1 << 30;

/// A constant: sides, type of the elements as the file has it, and the elements in C order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) dims: Vec<usize>,
    pub(crate) element: Element,
    pub(crate) data: Data,
}

/// Elements, as they are computed with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

/// The type of elements in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Float,
    Half,
    Brain,
    Double,
    Bool,
    /// Integers of this many bits, with a sign or without.
    Integer {
        bits: u32,
        signed: bool,
    },
}

impl Element {
    pub(crate) const INT64: Self = Self::Integer { bits: 64, signed: true };
    pub(crate) const UINT8: Self = Self::Integer { bits: 8, signed: false };

    /// The type that a number in a file stands for.
    pub(crate) fn of(number: i32) -> Result<Self, String> {
        let integer = |bits, signed| Ok(Self::Integer { bits, signed });
        match number {
            1 => Ok(Self::Float),
            2 => integer(8, false),
            3 => integer(8, true),
            4 => integer(16, false),
            5 => integer(16, true),
            6 => integer(32, true),
            7 => integer(64, true),
            9 => Ok(Self::Bool),
            10 => Ok(Self::Half),
            11 => Ok(Self::Double),
            12 => integer(32, false),
            13 => integer(64, false),
            16 => Ok(Self::Brain),
            21 => integer(4, false),
            22 => integer(4, true),
            25 => integer(2, false),
            26 => integer(2, true),
            8 => Err("its elements are texts, they must be numbers".to_owned()),
            17..=20 | 23 | 24 => Err(
                "its elements are floats of 8 bits or fewer, which lie on no grid; use integers"
                    .to_owned(),
            ),
            other => Err(format!("its element type is {other}, which is not known")),
        }
    }

    /// Bits of an element.
    fn bits(self) -> u32 {
        match self {
            Self::Float => 32,
            Self::Half | Self::Brain => 16,
            Self::Double => 64,
            Self::Bool => 8,
            Self::Integer { bits, .. } => bits,
        }
    }

    /// The least and the largest integer of this type, if it is one.
    pub(crate) fn range(self) -> Option<(f32, f32)> {
        let Self::Integer { bits, signed } = self else { return None };
        let half = 2f32.powi(bits as i32 - 1);
        Some(if signed { (-half, half - 1.0) } else { (0.0, 2.0 * half - 1.0) })
    }

    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Self::Integer { .. } | Self::Bool)
    }
}

impl Tensor {
    /// A number.
    pub(crate) fn scalar(value: f32) -> Self {
        Self { dims: Vec::new(), element: Element::Float, data: Data::Floats(vec![value]) }
    }

    /// Integers in a row, such as a shape.
    pub(crate) fn row(values: Vec<i64>) -> Self {
        Self { dims: vec![values.len()], element: Element::INT64, data: Data::Integers(values) }
    }

    /// Floats of these sides.
    pub(crate) fn floats(dims: Vec<usize>, values: Vec<f32>) -> Self {
        Self { dims, element: Element::Float, data: Data::Floats(values) }
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        match &self.data {
            Data::Floats(values) => values.len(),
            Data::Integers(values) => values.len(),
        }
    }

    /// An element as a float.
    pub(crate) fn float(&self, index: usize) -> f32 {
        match &self.data {
            Data::Floats(values) => values[index],
            Data::Integers(values) => values[index] as f32,
        }
    }

    /// All elements as floats.
    pub(crate) fn to_floats(&self) -> Vec<f32> {
        (0..self.len()).map(|index| self.float(index)).collect()
    }

    /// All elements, if they are integers or floats that are whole.
    pub(crate) fn to_integers(&self) -> Result<Vec<i64>, String> {
        match &self.data {
            Data::Integers(values) => Ok(values.clone()),
            Data::Floats(values) => match values.iter().find(|value| value.fract() != 0.0) {
                None => Ok(values.iter().map(|&value| value as i64).collect()),
                Some(value) => Err(format!("{value} is no integer")),
            },
        }
    }

    /// The only element, as a float.
    pub(crate) fn single(&self) -> Option<f32> {
        (self.len() == 1).then(|| self.float(0))
    }

    /// The same elements with other sides.
    ///
    /// # Panics
    /// If the sides have another number of elements.
    pub(crate) fn with_dims(&self, dims: Vec<usize>) -> Self {
        assert_eq!(dims.iter().product::<usize>(), self.len(), "elements of {dims:?}");
        Self { dims, ..self.clone() }
    }

    /// The elements at these places, in this order.
    pub(crate) fn pick(&self, dims: Vec<usize>, places: &[usize]) -> Self {
        let data = match &self.data {
            Data::Floats(values) => Data::Floats(places.iter().map(|&at| values[at]).collect()),
            Data::Integers(values) => Data::Integers(places.iter().map(|&at| values[at]).collect()),
        };
        Self { dims, element: self.element, data }
    }

    /// With its axes in another order.
    pub(crate) fn transposed(&self, order: &[usize]) -> Self {
        let dims = layout::permuted(&self.dims, order);
        let own = layout::strides(&self.dims);
        let from = layout::places(&dims, &layout::permuted(&own, order), 0);
        self.pick(dims, &from)
    }

    /// Reads a constant of a file; its elements may stand in another file.
    pub(crate) fn read(tensor: &proto::Tensor, files: &mut Files) -> Result<Self, String> {
        let element = Element::of(tensor.data_type)?;
        let dims = tensor.dims.iter().map(|&side| {
            usize::try_from(side).map_err(|_| format!("its sides are {:?}", tensor.dims))
        });
        let dims: Vec<usize> = dims.collect::<Result<_, _>>()?;
        let count = elements(&dims)?;
        if tensor.data_location == 1 {
            let bytes = files.part(&tensor.external_data)?;
            return Ok(Self { data: raw(element, count, bytes)?, dims, element });
        }
        if !tensor.raw_data.is_empty() || count == 0 {
            return Ok(Self { data: raw(element, count, &tensor.raw_data)?, dims, element });
        }
        Ok(Self { data: typed(element, count, tensor)?, dims, element })
    }
}

/// The number of elements of a tensor with these sides.
pub(crate) fn elements(dims: &[usize]) -> Result<usize, String> {
    if dims.len() > MOST_SIDES {
        return Err(format!("it has {} sides, at most {MOST_SIDES} may be", dims.len()));
    }
    let count = dims.iter().try_fold(1usize, |count, &side| count.checked_mul(side));
    count.filter(|&count| count <= MOST_ELEMENTS).ok_or_else(|| {
        format!("its sides {dims:?} have more than {MOST_ELEMENTS} elements, the most that is read")
    })
}

/// The files beside a network's, in which elements may stand; each is read once.
pub(crate) struct Files {
    folder: PathBuf,
    read: BTreeMap<PathBuf, Vec<u8>>,
}

impl Files {
    /// The files in a folder and below.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), read: BTreeMap::new() }
    }

    /// The bytes that these entries name.
    fn part(&mut self, entries: &[proto::Entry]) -> Result<&[u8], String> {
        let entry = |key: &str| entries.iter().find(|entry| entry.key == key).map(|e| &*e.value);
        let location = entry("location").ok_or("its external data name no location")?;
        let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        // A backslash parts folders on some systems only.
        if location.is_empty()
            || location.contains('\\')
            || !Path::new(location).components().all(is_plain)
        {
            return Err(format!(
                "its external data lie in {}, which must be a file beside or below the network's",
                quoted(location)
            ));
        }
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
                format!("the {key} of its external data is {}, no number", quoted(text))
            }),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let path = self.folder.join(location);
        if !self.read.contains_key(&path) {
            let bytes = read_up_to(&path, MOST_BYTES).map_err(|error| error.to_string())?;
            self.read.insert(path.clone(), bytes);
        }
        let bytes = &self.read[&path];
        let end = length.map_or(Some(bytes.len()), |length| offset.checked_add(length));
        end.and_then(|end| bytes.get(offset..end)).ok_or_else(|| {
            let length = length.map_or("the rest".to_owned(), |length| format!("{length} bytes"));
            format!("its external data are {length} from byte {offset} of {} bytes", bytes.len())
        })
    }
}

/// Elements out of bytes.
fn raw(element: Element, count: usize, bytes: &[u8]) -> Result<Data, String> {
    let bits = element.bits();
    let expected = (count * bits as usize).div_ceil(8);
    if bytes.len() != expected {
        let found = bytes.len();
        return Err(format!("it has {count} elements of {bits} bits, but {found} bytes of data"));
    }
    let words = |size: usize| bytes.chunks_exact(size);
    Ok(match element {
        Element::Float => Data::Floats(words(4).map(|b| f32::from_bits(word(b) as u32)).collect()),
        Element::Half => Data::Floats(words(2).map(|b| half(word(b) as u16)).collect()),
        Element::Brain => {
            Data::Floats(words(2).map(|b| f32::from_bits((word(b) as u32) << 16)).collect())
        }
        Element::Double => Data::Floats(words(8).map(|b| f64::from_bits(word(b)) as f32).collect()),
        Element::Bool => Data::Integers(bytes.iter().map(|&b| i64::from(b != 0)).collect()),
        Element::Integer { bits: bits @ (2 | 4), signed } => {
            // Several a byte, the lowest bits first.
            let each = 8 / bits as usize;
            let field = |index: usize| bytes[index / each] >> (index % each * bits as usize);
            Data::Integers((0..count).map(|i| extended(field(i).into(), bits, signed)).collect())
        }
        Element::Integer { bits, signed } => Data::Integers(
            words(bits as usize / 8).map(|b| extended(word(b), bits, signed)).collect(),
        ),
    })
}

/// Elements out of the field for their type.
fn typed(element: Element, count: usize, tensor: &proto::Tensor) -> Result<Data, String> {
    let narrow = |bits: u32, signed: bool| {
        let each = |value: &i32| extended(*value as u64, bits, signed);
        tensor.int32_data.iter().map(each).collect::<Vec<_>>()
    };
    let data = match element {
        Element::Float => Data::Floats(tensor.float_data.clone()),
        Element::Double => Data::Floats(tensor.double_data.iter().map(|&v| v as f32).collect()),
        Element::Half => Data::Floats(tensor.int32_data.iter().map(|&v| half(v as u16)).collect()),
        Element::Brain => {
            let wide = |&value: &i32| f32::from_bits((value as u32) << 16);
            Data::Floats(tensor.int32_data.iter().map(wide).collect())
        }
        Element::Bool => {
            Data::Integers(tensor.int32_data.iter().map(|&v| (v != 0).into()).collect())
        }
        Element::Integer { bits: bits @ (2 | 4), signed } => {
            let each = 8 / bits as usize;
            let fields = tensor.int32_data.iter().flat_map(|&byte| {
                (0..each).map(move |i| extended(byte as u64 >> (i * bits as usize), bits, signed))
            });
            let mut values: Vec<i64> = fields.collect();
            if values.len() >= count && values.len() - count < each {
                values.truncate(count);
            }
            Data::Integers(values)
        }
        Element::Integer { bits: 64, signed: true } => Data::Integers(tensor.int64_data.clone()),
        Element::Integer { bits: bits @ (32 | 64), signed: false } => {
            let each = |&value: &u64| extended(value, bits, false);
            Data::Integers(tensor.uint64_data.iter().map(each).collect())
        }
        Element::Integer { bits, signed } => Data::Integers(narrow(bits, signed)),
    };
    let found = match &data {
        Data::Floats(values) => values.len(),
        Data::Integers(values) => values.len(),
    };
    match found == count {
        true => Ok(data),
        false => {
            Err(format!("its sides {:?} take {count} elements, {found} are there", tensor.dims))
        }
    }
}

/// Up to eight bytes, little endian.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The integer that the lowest bits of a word hold.
fn extended(word: u64, bits: u32, signed: bool) -> i64 {
    let up = 64 - bits;
    match signed {
        true => (word << up) as i64 >> up,
        false => (word << up >> up) as i64,
    }
}

/// The float that the 16 bits of a half hold.
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, i32::from(bits >> 10 & 31), bits & 1023);
    let magnitude = match exponent {
        0 => f32::from(fraction) * 2f32.powi(-24),
        31 if fraction == 0 => f32::INFINITY,
        31 => f32::NAN,
        _ => f32::from(1024 + fraction) * 2f32.powi(exponent - 25),
    };
    if sign == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tensor: &proto::Tensor) -> Result<Tensor, String> {
        Tensor::read(tensor, &mut Files::new(Path::new(".")))
    }

    fn of(data_type: i32, dims: &[i64]) -> proto::Tensor {
        proto::Tensor { data_type, dims: dims.to_vec(), ..proto::Tensor::default() }
    }

    #[test]
    fn elements_stand_in_bytes_or_in_the_field_of_their_type() -> Result<(), String> {
        let floats = Data::Floats(vec![1.5, -2.0]);
        let raw_data = [1.5f32, -2.0].map(f32::to_le_bytes).concat();
        assert_eq!(read(&proto::Tensor { raw_data, ..of(1, &[2]) })?.data, floats);
        let float_data = vec![1.5, -2.0];
        assert_eq!(read(&proto::Tensor { float_data, ..of(1, &[2]) })?.data, floats);
        let double_data = vec![1.5, -2.0];
        assert_eq!(read(&proto::Tensor { double_data, ..of(11, &[2]) })?.data, floats);
        let int32_data = vec![0x3e00, 0xc000];
        assert_eq!(read(&proto::Tensor { int32_data, ..of(10, &[2]) })?.data, floats);
        let int32_data = vec![-3, 127];
        let integers = Data::Integers(vec![-3, 127]);
        assert_eq!(read(&proto::Tensor { int32_data, ..of(3, &[2]) })?.data, integers);
        let raw_data = vec![0xfd, 0x7f];
        assert_eq!(read(&proto::Tensor { raw_data, ..of(3, &[2]) })?.data, integers);
        let uint64_data = vec![1 << 31];
        let read = read(&proto::Tensor { uint64_data, ..of(12, &[1]) })?;
        assert_eq!(read.data, Data::Integers(vec![1 << 31]));
        Ok(())
    }

    #[test]
    fn small_integers_stand_several_in_a_byte() -> Result<(), String> {
        // -3 and 5, then -8
        let nibbles = Data::Integers(vec![-3, 5, -8]);
        let raw_data = vec![0x5d, 0x08];
        assert_eq!(read(&proto::Tensor { raw_data, ..of(22, &[3]) })?.data, nibbles);
        let int32_data = vec![0x5d, 0x08];
        assert_eq!(read(&proto::Tensor { int32_data, ..of(22, &[3]) })?.data, nibbles);
        let raw_data = vec![0b11_10_01_00];
        let quarters = read(&proto::Tensor { raw_data, ..of(26, &[4]) })?;
        assert_eq!(quarters.data, Data::Integers(vec![0, 1, -2, -1]));
        Ok(())
    }

    #[test]
    fn halves_are_floats() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xbc00, -1.0),
            (0x7bff, 65504.0),
            (0x0001, 2f32.powi(-24)),
            (0x0400, 2f32.powi(-14)),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:x}");
        }
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn what_does_not_hold_its_elements_is_refused() {
        let refused = |tensor: proto::Tensor, fault: &str| {
            assert_eq!(read(&tensor), Err(fault.to_owned()), "{tensor:?}");
        };
        refused(
            of(1, &[1 << 62, 1 << 62]),
            "its sides [4611686018427387904, 4611686018427387904] have more than 33554432 elements, the most that is read",
        );
        refused(of(1, &[-1]), "its sides are [-1]");
        refused(of(1, &[1; 9]), "it has 9 sides, at most 8 may be");
        refused(of(1, &[2]), "its sides [2] take 2 elements, 0 are there");
        refused(of(99, &[2]), "its element type is 99, which is not known");
        refused(of(8, &[2]), "its elements are texts, they must be numbers");
        let raw_data = vec![0; 7];
        refused(
            proto::Tensor { raw_data, ..of(1, &[2]) },
            "it has 2 elements of 32 bits, but 7 bytes of data",
        );
    }

    #[test]
    fn external_data_lie_beside_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("data"), [0, 0, 0, 0, 0, 0, 192, 63]).expect("written");
        let entry = |key: &str, value: &str| proto::Entry { key: key.into(), value: value.into() };
        let read = |entries: &[(&str, &str)]| {
            let external_data = entries.iter().map(|(key, value)| entry(key, value)).collect();
            let tensor = proto::Tensor { external_data, data_location: 1, ..of(1, &[1]) };
            Tensor::read(&tensor, &mut Files::new(folder.path()))
        };
        let found = read(&[("location", "data"), ("offset", "4"), ("length", "4")]);
        assert_eq!(found.expect("read").data, Data::Floats(vec![1.5]));
        assert_eq!(read(&[("location", "./data"), ("offset", "4")]).expect("read").len(), 1);
        for location in ["../data", "/etc/passwd", "a/../../data", "", "..\\data"] {
            let fault = read(&[("location", location)]).expect_err(location);
            assert!(fault.ends_with("must be a file beside or below the network's"), "{fault}");
        }
        for (offset, length) in [("5", "4"), ("18446744073709551615", "4")] {
            let fault = read(&[("location", "data"), ("offset", offset), ("length", length)]);
            assert!(fault.expect_err("beyond").ends_with("of 8 bytes"));
        }
        assert_eq!(
            read(&[("location", "data"), ("offset", "x")]),
            Err("the offset of its external data is `x`, no number".to_owned())
        );
    }
}
