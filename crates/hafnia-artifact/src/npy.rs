//! NumPy's `.npy` files: arrays of integers and of `float32`.
//!
//! The format is documented at
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>: a magic, a version, the
//! length of the header, the header (a Python dictionary in ASCII, padded so that the data start at a
//! multiple of 64 bytes) and the elements. Version 1.0 is written, 1.0 and 2.0 are read.

/// Why the bytes of a file are not an array that can be taken, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NpyError(String);

/// An array in C order: the last index runs fastest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array<T> {
    /// Its sides.
    pub shape: Vec<usize>,
    /// Its elements.
    pub values: Vec<T>,
}

/// A type of elements.
pub trait Element: Copy {
    /// As NumPy calls it.
    const NAME: &'static str;
    /// As headers call it; the first is written, all are read.
    const DESCRS: &'static [&'static str];
    /// Bytes of an element.
    const SIZE: usize;

    /// The element that [`SIZE`](Self::SIZE) bytes hold.
    fn read(bytes: &[u8]) -> Self;
    /// Appends the bytes of an element.
    fn write(self, into: &mut Vec<u8>);
}

macro_rules! elements {
    ($($element:ty: $name:literal, $descrs:expr;)*) => {$(
        impl Element for $element {
            const NAME: &'static str = $name;
            const DESCRS: &'static [&'static str] = &$descrs;
            const SIZE: usize = size_of::<$element>();

            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("as many bytes as an element has"))
            }

            fn write(self, into: &mut Vec<u8>) {
                into.extend(self.to_le_bytes());
            }
        }
    )*};
}

// A byte has no order, so NumPy writes `|`; little endian says the same.
elements! {
    u8: "uint8", ["|u1", "<u1"];
    i8: "int8", ["|i1", "<i1"];
    u16: "uint16", ["<u2"];
    i16: "int16", ["<i2"];
    u32: "uint32", ["<u4"];
    i32: "int32", ["<i4"];
    u64: "uint64", ["<u8"];
    i64: "int64", ["<i8"];
    f32: "float32", ["<f4"];
}

const MAGIC: &[u8] = b"\x93NUMPY";
/// The most elements: far above any network here, far below what a product could overflow.
const MAX_ELEMENTS: usize = 1 << 28;
const MAX_SIDES: usize = 4;

/// The bytes of a file that holds `values` in C order.
///
/// # Panics
/// If the shape has another number of elements than there are values.
pub fn encode<T: Element>(shape: &[usize], values: &[T]) -> Vec<u8> {
    assert_eq!(shape.iter().product::<usize>(), values.len(), "elements of shape {shape:?}");
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    // A tuple of one keeps its comma, others lose the last one, as Python prints them.
    let sides = if shape.len() == 1 { sides.trim_end() } else { sides.trim_end_matches(", ") };
    let dictionary =
        format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({sides}), }}", T::DESCRS[0]);
    let before = MAGIC.len() + 4;
    let end = (before + dictionary.len() + 1).next_multiple_of(64);
    let header = format!("{dictionary:width$}\n", width = end - before - 1);
    let length = u16::try_from(header.len()).expect("a header of a few sides is short");

    let mut bytes = Vec::with_capacity(end + values.len() * T::SIZE);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[1, 0]);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    values.iter().for_each(|value| value.write(&mut bytes));
    bytes
}

/// How the header of a file calls its elements, such as `<f4`: one of [`Element::DESCRS`], or what
/// cannot be read.
///
/// # Errors
/// If the bytes are no such file.
pub fn descr(bytes: &[u8]) -> Result<String, NpyError> {
    Ok(header(bytes).map_err(NpyError)?.0.descr)
}

/// The array that the bytes of a file hold, brought into C order.
///
/// # Errors
/// If they are no such file, or hold elements of another type.
pub fn decode<T: Element>(bytes: &[u8]) -> Result<Array<T>, NpyError> {
    decoded(bytes).map_err(NpyError)
}

fn decoded<T: Element>(bytes: &[u8]) -> Result<Array<T>, String> {
    let (Header { descr, is_fortran, shape }, data) = header(bytes)?;
    if !T::DESCRS.contains(&descr.as_str()) {
        let (name, expected) = (T::NAME, T::DESCRS[0]);
        return Err(format!("its elements are `{descr}`, they must be {name} (`{expected}`)"));
    }
    let count = shape.iter().fold(1, |product: usize, &side| product.saturating_mul(side));
    if count > MAX_ELEMENTS {
        return Err(format!("its shape {shape:?} has more than {MAX_ELEMENTS} elements"));
    }
    let (expected, found) = (count * T::SIZE, data.len());
    if found != expected {
        return Err(format!(
            "its shape {shape:?} takes {expected} bytes of data, {found} are there"
        ));
    }
    let values: Vec<T> = data.chunks_exact(T::SIZE).map(T::read).collect();
    let values = if is_fortran { from_fortran(&shape, &values) } else { values };
    Ok(Array { shape, values })
}

/// What the header of a file says, and the data behind it.
fn header(bytes: &[u8]) -> Result<(Header, &[u8]), String> {
    let (text, data) = split(bytes)?;
    Ok((Header::parse(text).ok_or_else(|| not_a_header(text))?, data))
}

/// The text of the header and the data of a file.
fn split(bytes: &[u8]) -> Result<(&str, &[u8]), String> {
    let cut_short = |end: usize| {
        let found = bytes.len();
        Err(format!("it is cut short: the header ends at byte {end}, the file at byte {found}"))
    };
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err("it does not begin with the magic `\\x93NUMPY`".to_owned());
    };
    let (length, start) = match *rest {
        [1, 0, a, b, ..] => (usize::from(u16::from_le_bytes([a, b])), 4),
        [2, 0, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize, 6),
        [1 | 2, 0, ..] | [] | [_] => return cut_short(MAGIC.len() + 6),
        [major, minor, ..] => {
            return Err(format!("its npy version is {major}.{minor}, it must be 1.0 or 2.0"));
        }
    };
    let Some((header, data)) = rest[start..].split_at_checked(length) else {
        return cut_short((MAGIC.len() + start).saturating_add(length));
    };
    let header = std::str::from_utf8(header).map_err(|_| not_a_header("(not ASCII)"))?;
    Ok((header, data))
}

fn not_a_header(header: &str) -> String {
    let shown: String = header.trim_end().chars().take(200).collect();
    format!(
        "its header `{shown}` is not a dictionary of 'descr' (a string), 'fortran_order' and 'shape' (up to {MAX_SIDES} sides)"
    )
}

/// The values in C order, given those in Fortran order (the first index runs fastest).
fn from_fortran<T: Copy>(shape: &[usize], values: &[T]) -> Vec<T> {
    let mut index = vec![0; shape.len()];
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        let at = index.iter().zip(shape).rev().fold(0, |at, (&i, &side)| at * side + i);
        ordered.push(values[at]);
        for (i, &side) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < side {
                break;
            }
            *i = 0;
        }
    }
    ordered
}

/// What the dictionary says.
struct Header {
    descr: String,
    is_fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    /// Reads the dictionary; its entries may stand in any order.
    fn parse(text: &str) -> Option<Self> {
        let mut scan = Scan(text.trim_end());
        let (mut descr, mut is_fortran, mut shape) = (None, None, None);
        scan.take("{")?;
        while scan.take("}").is_none() {
            let key = scan.string()?;
            scan.take(":")?;
            match key {
                "descr" if descr.is_none() => descr = Some(scan.string()?.to_owned()),
                "fortran_order" if is_fortran.is_none() => is_fortran = Some(scan.boolean()?),
                "shape" if shape.is_none() => shape = Some(scan.tuple()?),
                _ => return None,
            }
            if scan.take(",").is_none() {
                scan.take("}")?;
                break;
            }
        }
        scan.0.trim().is_empty().then_some(())?;
        Some(Self { descr: descr?, is_fortran: is_fortran?, shape: shape? })
    }
}

/// The text of a header that is still to be read.
struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    fn take(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(token)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|&c| c == '\'' || c == '"')?;
        let (string, rest) = text[1..].split_once(quote)?;
        self.0 = rest;
        Some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        let is_true = self.take("True").is_some();
        (is_true || self.take("False").is_some()).then_some(is_true)
    }

    fn tuple(&mut self) -> Option<Vec<usize>> {
        let mut sides = Vec::new();
        self.take("(")?;
        while self.take(")").is_none() {
            let text = self.0.trim_start();
            let digits = text.find(|c: char| !c.is_ascii_digit())?;
            sides.push(text[..digits].parse().ok()?);
            self.0 = &text[digits..];
            if self.take(",").is_none() {
                self.take(")")?;
                break;
            }
        }
        (sides.len() <= MAX_SIDES).then_some(sides)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    /// A file with this header and these data, in version 1.0.
    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap();
        [MAGIC, &[1, 0], &length.to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn bytes_are_those_that_numpy_writes() {
        // numpy.save of numpy.array([[1, -1, 1]], numpy.int8), NumPy 2.
        let header = b"{'descr': '|i1', 'fortran_order': False, 'shape': (1, 3), }";
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        expected.extend_from_slice(header);
        expected.resize(127, b' ');
        expected.extend_from_slice(&[b'\n', 1, 0xff, 1]);
        assert_eq!(encode(&[1, 3], &[1i8, -1, 1]), expected);
    }

    #[test]
    fn what_numpy_may_write_is_read() {
        let check = |header: &str, expected: [i8; 6]| {
            let array = decode::<i8>(&file(header, &[1, 2, 3, 4, 5, 6])).unwrap();
            assert_eq!(array, Array { shape: vec![2, 3], values: expected.to_vec() }, "{header}");
        };
        let rows = [1, 2, 3, 4, 5, 6];
        check("{'descr': '|i1', 'fortran_order': False, 'shape': (2, 3), }          \n", rows);
        check("{\"shape\":(2,3),'descr':'<i1','fortran_order':False}", rows);
        check("{'descr': '|i1', 'fortran_order': True, 'shape': (2, 3)}", [1, 3, 5, 2, 4, 6]);
        let header = b"{'descr': '<i4', 'fortran_order': False, 'shape': (), }";
        let length = (header.len() as u32).to_le_bytes();
        let version_2 = [MAGIC, &[2, 0], &length, header, &[1, 0, 0, 0x80]].concat();
        let expected = Array { shape: vec![], values: vec![i32::MIN + 1] };
        assert_eq!(decode::<i32>(&version_2).unwrap(), expected);
    }

    #[test]
    fn other_files_are_refused() {
        let check = |bytes: &[u8], expected: Expect| {
            expected.assert_eq(&decode::<i32>(bytes).unwrap_err().to_string());
        };
        let good = encode(&[2], &[3i32, 4]);
        check(b"", expect![[r#"it does not begin with the magic `\x93NUMPY`"#]]);
        check(
            b"PK\x03\x04 an npz file",
            expect![[r#"it does not begin with the magic `\x93NUMPY`"#]],
        );
        check(
            b"\x93NUMPY\x03\x00\x76\x00\x00\x00",
            expect!["its npy version is 3.0, it must be 1.0 or 2.0"],
        );
        check(
            &good[..9],
            expect!["it is cut short: the header ends at byte 12, the file at byte 9"],
        );
        check(
            &good[..100],
            expect!["it is cut short: the header ends at byte 128, the file at byte 100"],
        );
        check(&good[..good.len() - 1], expect!["its shape [2] takes 8 bytes of data, 7 are there"]);
        check(
            &[&good[..], &[0]].concat(),
            expect!["its shape [2] takes 8 bytes of data, 9 are there"],
        );
        check(
            b"\x93NUMPY\x01\x00\x01\x00\xff",
            expect![
                "its header `(not ASCII)` is not a dictionary of 'descr' (a string), 'fortran_order' and 'shape' (up to 4 sides)"
            ],
        );
        check(
            &encode(&[2], &[3i8, 4]),
            expect!["its elements are `|i1`, they must be int32 (`<i4`)"],
        );
        let header = |text: &str| file(text, &[0; 4]);
        check(
            &header("{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}"),
            expect!["its elements are `<i8`, they must be int32 (`<i4`)"],
        );
        check(
            &header("{'descr': '>i4', 'fortran_order': False, 'shape': (1,)}"),
            expect!["its elements are `>i4`, they must be int32 (`<i4`)"],
        );
        check(
            &header("{'descr': [('a', '<i4')], 'shape': (1,)}"),
            expect![
                "its header `{'descr': [('a', '<i4')], 'shape': (1,)}` is not a dictionary of 'descr' (a string), 'fortran_order' and 'shape' (up to 4 sides)"
            ],
        );
        check(
            &header("{'descr': '<i4', 'shape': (1,)}"),
            expect![
                "its header `{'descr': '<i4', 'shape': (1,)}` is not a dictionary of 'descr' (a string), 'fortran_order' and 'shape' (up to 4 sides)"
            ],
        );
        check(
            &header("{'descr': '<i4', 'fortran_order': False, 'shape': (-1,)}"),
            expect![
                "its header `{'descr': '<i4', 'fortran_order': False, 'shape': (-1,)}` is not a dictionary of 'descr' (a string), 'fortran_order' and 'shape' (up to 4 sides)"
            ],
        );
        check(
            &header("{'descr': '<i4', 'fortran_order': False, 'shape': (1,1,1,1,1)}"),
            expect![
                "its header `{'descr': '<i4', 'fortran_order': False, 'shape': (1,1,1,1,1)}` is not a dictionary of 'descr' (a string), 'fortran_order' and 'shape' (up to 4 sides)"
            ],
        );
        check(
            &header("{'descr': '<i4', 'fortran_order': False, 'shape': (99999999, 9999999999)}"),
            expect!["its shape [99999999, 9999999999] has more than 268435456 elements"],
        );
    }

    #[test]
    fn elements_are_called_as_numpy_calls_them() {
        let check = |bytes: Vec<u8>, expected: &str| assert_eq!(descr(&bytes).unwrap(), expected);
        check(encode(&[1], &[0u8]), "|u1");
        check(encode(&[1], &[0u16]), "<u2");
        check(encode(&[1], &[0u32]), "<u4");
        check(encode(&[1], &[0u64]), "<u8");
        check(encode(&[1], &[0i64]), "<i8");
        check(encode(&[1], &[0f32]), "<f4");
        check(file("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", &[]), "<f8");
        assert!(descr(b"").is_err());
        let halves = Array { shape: vec![2, 1], values: vec![0.5f32, -1.5] };
        assert_eq!(decode(&encode(&halves.shape, &halves.values)), Ok(halves));
    }

    proptest! {
        #[test]
        fn arrays_round_trip(
            shape in prop::collection::vec(0usize..5, 0..=4),
            value: i32,
        ) {
            let count = shape.iter().product::<usize>();
            let values: Vec<i32> = (0..count as i32).map(|i| value.wrapping_mul(i | 1)).collect();
            let bytes = encode(&shape, &values);
            prop_assert_eq!((bytes.len() - 4 * count) % 64, 0);
            prop_assert_eq!(decode::<i32>(&bytes).unwrap(), Array { shape, values });
        }

        #[test]
        fn damage_is_an_error_or_another_array(
            at in 0usize..136,
            byte: u8,
            length in 0usize..140,
        ) {
            let mut bytes = encode(&[1, 2], &[3i32, 4]);
            bytes[at] = byte;
            bytes.truncate(length);
            let _ = decode::<i32>(&bytes);
        }
    }
}
