//! The IDX format of MNIST's files (LeCun, Cortes, Burges, *The MNIST database*).
//!
//! Images: magic `0x00000803`, count, rows, columns as big-endian 32-bit integers, then one byte a
//! pixel. Labels: magic `0x00000801`, count, then one byte a label. Files often come as gzip, which
//! is told by the content, never by the name.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use crate::{dataset::Dataset, error::DataError, samples::Samples};

const IMAGES: (u32, &str) = (0x0803, "images of one byte a pixel");
const LABELS: (u32, &str) = (0x0801, "labels of one byte each");

/// Images as they stand in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The number of images.
    pub count: usize,
    /// Height in pixels.
    pub rows: usize,
    /// Width in pixels.
    pub columns: usize,
    /// Grey levels, count × rows × columns.
    pub pixels: Vec<u8>,
}

/// The content of a file that may be gzip: decompressed if it is, as it stands if not.
///
/// All members of a gzip file are read, and no more than the header of an IDX file asks for.
///
/// # Errors
/// [`DataError::Content`] for damaged gzip or bytes behind it, or content above `limit` bytes or
/// above what an IDX header says.
pub fn uncompressed(file: &str, bytes: Vec<u8>, limit: usize) -> Result<Vec<u8>, DataError> {
    let content = if bytes.starts_with(&[0x1f, 0x8b]) {
        let damaged = |source| DataError::Content {
            file: file.to_owned(),
            fault: "is not intact gzip data".to_owned(),
            source: Some(source),
        };
        let mut content = Vec::new();
        let mut decoder = MultiGzDecoder::new(bytes.as_slice());
        decoder.by_ref().take(LONGEST_HEADER).read_to_end(&mut content).map_err(damaged)?;
        let most = claimed(&content).map_or(limit, |claimed| claimed.min(limit));
        let left = (most as u64 + 1).saturating_sub(content.len() as u64);
        decoder.take(left).read_to_end(&mut content).map_err(damaged)?;
        if most < limit && content.len() > most {
            let fault = format!("has more than the {most} bytes that its header says");
            return Err(DataError::content(file, fault));
        }
        content
    } else {
        bytes
    };
    if content.len() > limit {
        return Err(DataError::content(file, format!("has more than {limit} bytes")));
    }
    Ok(content)
}

/// Bytes of the longest header.
const LONGEST_HEADER: u64 = 16;

/// How many bytes an IDX file has that begins like this; none if it is no such file.
fn claimed(start: &[u8]) -> Option<usize> {
    let (words, _) = start.as_chunks::<4>();
    let mut words = words.iter().map(|word| u32::from_be_bytes(*word) as usize);
    let sizes = match words.next()? as u32 {
        magic if magic == IMAGES.0 => 3,
        magic if magic == LABELS.0 => 1,
        _ => return None,
    };
    let sizes: Vec<usize> = words.take(sizes).collect();
    let bytes = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size))?;
    bytes.checked_add(4 * (1 + sizes.len()))
}

/// The images of an uncompressed IDX file, whose bytes they keep; `file` names it in errors.
///
/// # Errors
/// [`DataError::Content`] for another kind of file, or another length than its header says.
pub fn parse_images(file: &str, mut bytes: Vec<u8>) -> Result<Images, DataError> {
    let ([count, rows, columns], pixels) = parse(file, &bytes, IMAGES)?;
    let header = bytes.len() - pixels.len();
    bytes.drain(..header);
    Ok(Images { count, rows, columns, pixels: bytes })
}

/// The labels of an uncompressed IDX file; `file` names it in errors.
///
/// # Errors
/// [`DataError::Content`] for another kind of file, or another length than its header says.
pub fn parse_labels(file: &str, bytes: &[u8]) -> Result<Vec<u8>, DataError> {
    let ([_count], labels) = parse(file, bytes, LABELS)?;
    Ok(labels.to_vec())
}

/// The data set in two uncompressed IDX files, each with its name.
///
/// # Errors
/// Those of both files, and [`DataError::Content`] if they do not belong together.
pub fn parse_dataset(
    name: &str,
    (images_file, images): (&str, Vec<u8>),
    (labels_file, labels): (&str, &[u8]),
) -> Result<Dataset, DataError> {
    let images = parse_images(images_file, images)?;
    let labels = parse_labels(labels_file, labels)?;
    if images.count != labels.len() {
        let (images, labels) = (images.count, labels.len());
        let fault = format!("has {images} images but {labels_file} has {labels} labels");
        return Err(DataError::content(images_file, fault));
    }
    let labels = labels.into_iter().map(u32::from).collect();
    let shape = [1, images.rows, images.columns];
    Dataset::new(images_file, name, shape, Samples::U8(images.pixels), Some(labels))
}

/// The sizes in the header and the bytes after it, which are as many as the sizes say.
fn parse<'a, const SIZES: usize>(
    file: &str,
    bytes: &'a [u8],
    (magic, what): (u32, &'static str),
) -> Result<([usize; SIZES], &'a [u8]), DataError> {
    let length = |expected: u128| {
        DataError::content(file, format!("has {} bytes, expected {expected}", bytes.len()))
    };
    let header = 4 * (1 + SIZES);

    let [first, words @ ..] = bytes.as_chunks::<4>().0 else {
        return Err(length(header as u128));
    };
    let found = u32::from_be_bytes(*first);
    if found != magic {
        let fault = format!("begins with {found:#010x}, expected {magic:#010x} ({what})");
        return Err(DataError::content(file, fault));
    }
    let Some(words) = words.first_chunk::<SIZES>() else { return Err(length(header as u128)) };
    let sizes = words.map(u32::from_be_bytes);

    // Three 32-bit sizes multiply to less than 2^96.
    let expected = header as u128 + sizes.iter().map(|&size| u128::from(size)).product::<u128>();
    if bytes.len() as u128 != expected {
        return Err(length(expected));
    }
    Ok((sizes.map(|size| size as usize), &bytes[header..]))
}

/// The images of a data set as an uncompressed IDX file.
///
/// # Panics
/// If the images are not grey ones of `uint8`, or a size does not fit in 32 bits.
pub fn encode_images(data: &Dataset) -> Vec<u8> {
    match (data.shape, &data.images) {
        ([1, rows, columns], Samples::U8(pixels)) => {
            encode(IMAGES.0, &[data.len(), rows, columns], pixels)
        }
        _ => panic!("{data:?} are not grey images of uint8"),
    }
}

/// The labels of a data set as an uncompressed IDX file.
///
/// # Panics
/// If there are none, one is above 255, or there are more than fit in 32 bits.
pub fn encode_labels(data: &Dataset) -> Vec<u8> {
    let byte = |&label| u8::try_from(label).unwrap_or_else(|_| panic!("label {label} is no byte"));
    let labels: Vec<u8> = data.labels.iter().flatten().map(byte).collect();
    assert_eq!(labels.len(), data.len(), "labels of {data:?}");
    encode(LABELS.0, &[data.len()], &labels)
}

fn encode(magic: u32, sizes: &[usize], bytes: &[u8]) -> Vec<u8> {
    let mut file = magic.to_be_bytes().to_vec();
    for &size in sizes {
        let Ok(size) = u32::try_from(size) else {
            panic!("{size} is more than an IDX file can hold")
        };
        file.extend(size.to_be_bytes());
    }
    file.extend(bytes);
    file
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use expect_test::{Expect, expect};
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn dataset() -> Dataset {
        Dataset {
            name: "test".to_owned(),
            shape: [1, 1, 2],
            images: Samples::U8(vec![1, 2, 3, 4]),
            labels: Some(vec![7, 9]),
            targets: None,
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let data = dataset();
        assert_eq!(
            encode_images(&data),
            [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4]
        );
        assert_eq!(encode_labels(&data), [0, 0, 8, 1, 0, 0, 0, 2, 7, 9]);
    }

    #[test]
    fn wrong_files_are_told_by_name_and_number() {
        let check = |images: &[u8], labels: &[u8], expected: Expect| {
            let error = parse_dataset("x", ("i", images.to_vec()), ("l", labels)).unwrap_err();
            expected.assert_eq(&format!("{error}\n"));
        };
        let images = encode_images(&dataset());
        let labels = encode_labels(&dataset());
        check(
            &labels,
            &images,
            expect![[r#"
            i begins with 0x00000801, expected 0x00000803 (images of one byte a pixel)
        "#]],
        );
        check(
            &images,
            &images,
            expect![[r#"
            l begins with 0x00000803, expected 0x00000801 (labels of one byte each)
        "#]],
        );
        check(
            &images[..19],
            &labels,
            expect![[r#"
            i has 19 bytes, expected 20
        "#]],
        );
        check(
            &[&images[..], &[0]].concat(),
            &labels,
            expect![[r#"
            i has 21 bytes, expected 20
        "#]],
        );
        check(
            &images,
            &labels[..7],
            expect![[r#"
            l has 7 bytes, expected 8
        "#]],
        );
        check(
            &images,
            &[],
            expect![[r#"
            l has 0 bytes, expected 8
        "#]],
        );
        check(
            &images,
            &encode_labels(&dataset().select(&[0])),
            expect![[r#"
            i has 2 images but l has 1 labels
        "#]],
        );
        let flat = [&images[..8], &[0; 8]].concat();
        check(
            &flat,
            &labels,
            expect![[r#"
            i has images of 1x0x0, no side may be 0
        "#]],
        );
        let huge = [&images[..4], &[0xff; 12]].concat();
        check(
            &huge,
            &labels,
            expect![[r#"
            i has 16 bytes, expected 79228162458924105385300197391
        "#]],
        );
    }

    #[test]
    fn gzip_is_told_by_content() {
        let plain = encode_images(&dataset());
        assert_eq!(uncompressed("x", plain.clone(), 20).unwrap(), plain);
        assert_eq!(uncompressed("x", gzip(&plain), 20).unwrap(), plain);
        for bytes in [plain.clone(), gzip(&plain)] {
            let error = uncompressed("x", bytes, 19).unwrap_err().to_string();
            assert_eq!(error, "x has more than 19 bytes");
        }
        let compressed = gzip(&plain);
        for length in 2..compressed.len() {
            let error = uncompressed("x", compressed[..length].to_vec(), 20).unwrap_err();
            assert_eq!(error.to_string(), "x is not intact gzip data");
        }
    }

    #[test]
    fn all_members_of_gzip_are_read_and_nothing_behind_them() {
        let plain = encode_images(&dataset());
        let members = [gzip(&plain[..7]), gzip(&plain[7..])].concat();
        assert_eq!(uncompressed("x", members.clone(), 20).unwrap(), plain);
        let error = uncompressed("x", [&members[..], b"more"].concat(), 20).unwrap_err();
        assert_eq!(error.to_string(), "x is not intact gzip data");
        // A bomb behind a header that claims little is not unpacked.
        let bomb = [&plain[..], &vec![0; 1 << 20]].concat();
        let error = uncompressed("x", gzip(&bomb), 1 << 28).unwrap_err();
        assert_eq!(error.to_string(), "x has more than the 20 bytes that its header says");
        let huge = [&plain[..4], &[0xff; 12]].concat();
        assert_eq!(uncompressed("x", gzip(&huge), 1 << 28).unwrap(), huge);
    }

    proptest! {
        #[test]
        fn data_sets_round_trip(
            rows in 1usize..4,
            columns in 1usize..4,
            labels in prop::collection::vec(any::<u8>(), 0..5),
        ) {
            let pixels = labels.len() * rows * columns;
            let images = Samples::U8((0..pixels).map(|i| i as u8).collect());
            let labels = Some(labels.into_iter().map(u32::from).collect());
            let shape = [1, rows, columns];
            let data =
                Dataset { name: "test".to_owned(), shape, images, labels, targets: None };
            let images = encode_images(&data);
            let labels = encode_labels(&data);
            prop_assert_eq!(parse_dataset("test", ("i", images), ("l", &labels)).unwrap(), data);
        }

        #[test]
        fn no_bytes_panic(start in 0usize..20, bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            // Random bytes behind a true beginning reach every check.
            let bytes = [&encode_images(&dataset())[..start], &bytes].concat();
            let _either = (parse_labels("x", &bytes), parse_images("x", bytes));
        }
    }
}
