//! Data sets in NumPy's arrays: in an `.npz` archive, in a folder of `.npy` files, or a single `.npy`
//! file of images without labels.
//!
//! Arrays of images are (image, value), (image, y, x) or (image, channel, y, x), of `uint8`, `int8` or
//! `float32`; arrays of labels are (image) or (image, 1), of any type of integers. Labels of `float32`
//! are targets, (image) or (image, …): what the outputs of a network that tells no classes should be.

use std::{
    borrow::Cow,
    fmt::Display,
    io::{Cursor, Read as _},
};

use hafnia_artifact::npy::{self, Array, Element, NpyError};
use hafnia_text::quoted;
use zip::ZipArchive;

use crate::{dataset::Dataset, error::DataError, parts::Parts, samples::Samples};

/// What the names of files of arrays end in, in archives too.
pub(crate) const ENDING: &str = ".npy";

/// By part, the names of the arrays of its images and of its labels, in two conventions; images that
/// are of no part judge.
const NAMES: [(&str, [[&str; 2]; 2]); 4] = [
    ("train", [["train_images", "train_labels"], ["x_train", "y_train"]]),
    ("validation", [["val_images", "val_labels"], ["x_val", "y_val"]]),
    ("test", [["test_images", "test_labels"], ["x_test", "y_test"]]),
    ("test", [["images", "labels"], ["x", "y"]]),
];

/// Most bytes of the arrays of an archive together.
const LARGEST: u64 = hafnia_artifact::LARGEST;

/// Gives the content of the file of an array, by the name of the array.
pub(crate) type Open<'a> = dyn FnMut(&str) -> Result<Vec<u8>, DataError> + 'a;

/// The data set `name` in an `.npz` archive; `place` names it in errors.
///
/// # Errors
/// [`DataError::Content`] for a damaged archive, one of more than 1 GiB, and as [`parse`].
pub(crate) fn parse_archive(place: &str, name: &str, bytes: &[u8]) -> Result<Parts, DataError> {
    let damaged = |source: zip::result::ZipError| DataError::Content {
        file: place.to_owned(),
        fault: "is not an intact archive".to_owned(),
        source: Some(source.into()),
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let files: Result<Vec<String>, _> =
        archive.file_names().map(|name| name.map(Cow::into_owned)).collect();
    let files = files.map_err(damaged)?;
    let mut left = LARGEST;
    parse(place, name, &files, &mut |array| {
        let mut content = Vec::new();
        let entry = archive.by_name(&format!("{array}{ENDING}")).map_err(damaged)?;
        entry.take(left + 1).read_to_end(&mut content).map_err(|error| damaged(error.into()))?;
        left = left.checked_sub(content.len() as u64).ok_or_else(|| {
            DataError::content(place, format!("has arrays of more than {LARGEST} bytes"))
        })?;
        Ok(content)
    })
}

/// The data set `name` in a single array of images; `place` names it in errors.
///
/// # Errors
/// [`DataError::Content`] for what is no such array.
pub(crate) fn parse_images(place: &str, name: &str, bytes: &[u8]) -> Result<Parts, DataError> {
    let (shape, images) = images(bytes).map_err(|fault| DataError::content(place, fault))?;
    let test = Dataset::new(place, &format!("{name}/test"), shape, images, None)?;
    Ok(Parts { test: Some(test), ..Parts::default() })
}

/// The data set `name` in arrays, whose files have these names; `place` names what holds them in errors.
///
/// # Errors
/// [`DataError::Content`] if there are no images or an array has a name that none may have; if it is
/// of another type or shape, or has a label above 2^32 − 1; and what `open` refuses.
pub(crate) fn parse(
    place: &str,
    name: &str,
    files: &[String],
    open: &mut Open<'_>,
) -> Result<Parts, DataError> {
    let wrong = |fault: String| Err(DataError::content(place, fault));
    let known = NAMES.map(|(_, pairs)| pairs);
    let known = known.as_flattened();
    let is_known = |file: &&String| {
        file.strip_suffix(ENDING).is_some_and(|array| known.as_flattened().contains(&array))
    };
    if let Some(file) = files.iter().find(|file| !is_known(file)) {
        let pair = |[images, labels]: &[&str; 2]| format!("{images} and {labels}");
        let all = known.iter().map(pair).collect::<Vec<_>>().join(", ");
        return wrong(format!("has {}, its arrays may be {all}", quoted(file)));
    }
    let has = |array: &str| files.iter().any(|file| file.strip_suffix(ENDING) == Some(array));
    let mut parts = Parts::default();
    for (part, pairs) in NAMES {
        for [of_images, of_labels] in pairs {
            if !has(of_images) {
                if has(of_labels) {
                    return wrong(format!("has `{of_labels}` but no `{of_images}`"));
                }
                continue;
            }
            let of_array = |array: &str| {
                let array = format!("{place}: `{array}`");
                move |fault: String| DataError::content(&array, fault)
            };
            let (shape, images) = images(&open(of_images)?).map_err(of_array(of_images))?;
            let answers = match has(of_labels) {
                false => Answers::None,
                true => answers(&open(of_labels)?).map_err(of_array(of_labels))?,
            };
            let new =
                |labels| Dataset::new(place, &format!("{name}/{part}"), shape, images, labels);
            let data = match answers {
                Answers::None => new(None)?,
                Answers::Labels(labels) => new(Some(labels))?,
                Answers::Targets(count, targets) => {
                    new(None)?.with_targets(place, count, targets)?
                }
            };
            let into = match part {
                "train" => &mut parts.train,
                "validation" => &mut parts.validation,
                _ => &mut parts.test,
            };
            if into.replace(data).is_some() {
                return wrong(format!("has {part} images twice, `{of_images}` are the second"));
            }
        }
    }
    Ok(parts)
}

/// The shape of an image, and all of them.
fn images(bytes: &[u8]) -> Result<([usize; 3], Samples), String> {
    let descr = npy::descr(bytes).map_err(refused)?;
    let (shape, images) = match descr.as_str() {
        of if u8::DESCRS.contains(&of) => samples(bytes, Samples::U8),
        of if i8::DESCRS.contains(&of) => samples(bytes, Samples::I8),
        of if f32::DESCRS.contains(&of) => samples(bytes, Samples::F32),
        of => {
            let of = quoted(of);
            return Err(format!("has elements {of}, images must be uint8, int8 or float32"));
        }
    }?;
    match shape[..] {
        [_, values] => Ok(([1, 1, values], images)),
        [_, height, width] => Ok(([1, height, width], images)),
        [_, channels, height, width] => Ok(([channels, height, width], images)),
        _ => Err(format!(
            "has the shape {shape:?}, images must be (n, values), (n, y, x) or (n, channel, y, x)"
        )),
    }
}

fn samples<T: Element>(
    bytes: &[u8],
    samples: fn(Vec<T>) -> Samples,
) -> Result<(Vec<usize>, Samples), String> {
    let Array { shape, values } = npy::decode(bytes).map_err(refused)?;
    Ok((shape, samples(values)))
}

/// What a network should answer.
enum Answers {
    None,
    /// The class of each image.
    Labels(Vec<u32>),
    /// The outputs for so many images.
    Targets(usize, Vec<f32>),
}

fn answers(bytes: &[u8]) -> Result<Answers, String> {
    if !f32::DESCRS.contains(&npy::descr(bytes).map_err(refused)?.as_str()) {
        return Ok(Answers::Labels(labels(bytes)?));
    }
    let Array { shape, values } = npy::decode(bytes).map_err(refused)?;
    match shape.first() {
        None => Err("has the shape [], targets must be (n) or (n, outputs)".to_owned()),
        Some(&count) => Ok(Answers::Targets(count, values)),
    }
}

/// The class of each image.
fn labels(bytes: &[u8]) -> Result<Vec<u32>, String> {
    type Decode = fn(&[u8]) -> Result<Array<u32>, String>;
    const OF: [(&[&str], Decode); 8] = [
        (u8::DESCRS, narrowed::<u8>),
        (i8::DESCRS, narrowed::<i8>),
        (u16::DESCRS, narrowed::<u16>),
        (i16::DESCRS, narrowed::<i16>),
        (u32::DESCRS, narrowed::<u32>),
        (i32::DESCRS, narrowed::<i32>),
        (u64::DESCRS, narrowed::<u64>),
        (i64::DESCRS, narrowed::<i64>),
    ];
    let descr = npy::descr(bytes).map_err(refused)?;
    let Some((_, decode)) = OF.iter().find(|(descrs, _)| descrs.contains(&descr.as_str())) else {
        return Err(format!(
            "has elements {}, labels must be integers, or targets float32",
            quoted(&descr)
        ));
    };
    let Array { shape, values } = decode(bytes)?;
    match shape[..] {
        [_] | [_, 1] => Ok(values),
        _ => Err(format!("has the shape {shape:?}, labels must be (n) or (n, 1)")),
    }
}

/// Labels of another type.
fn narrowed<T: Element + Display + TryInto<u32>>(bytes: &[u8]) -> Result<Array<u32>, String> {
    let Array { shape, values } = npy::decode::<T>(bytes).map_err(refused)?;
    let narrow = |(image, &label): (usize, &T)| {
        let most = u32::MAX;
        label
            .try_into()
            .map_err(|_| format!("has label {label} at image {image}, it must lie in 0..={most}"))
    };
    let values = values.iter().enumerate().map(narrow).collect::<Result<_, _>>()?;
    Ok(Array { shape, values })
}

fn refused(error: NpyError) -> String {
    format!("is no such array: {error}")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use expect_test::{Expect, expect};
    use hafnia_artifact::npy::encode;
    use proptest::prelude::*;
    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// An archive of arrays, as `numpy.savez` writes it or, compressed, `numpy.savez_compressed`.
    fn archive(is_compressed: bool, arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let method = match is_compressed {
            true => CompressionMethod::Deflated,
            false => CompressionMethod::Stored,
        };
        let options = SimpleFileOptions::default().compression_method(method).large_file(true);
        for (name, content) in arrays {
            writer.start_file(format!("{name}.npy"), options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn read(arrays: &[(&str, Vec<u8>)]) -> Result<Parts, DataError> {
        parse_archive("a.npz", "a", &archive(false, arrays))
    }

    #[test]
    fn images_have_their_shape_and_type() {
        let check = |images: Vec<u8>, shape: [usize; 3], expected: Samples| {
            for is_compressed in [false, true] {
                let arrays = [("images", images.clone()), ("labels", encode(&[2], &[300i64, 0]))];
                let bytes = archive(is_compressed, &arrays);
                let test = parse_archive("a.npz", "a", &bytes).unwrap().test.unwrap();
                assert_eq!((test.name.as_str(), test.shape, test.len()), ("a/test", shape, 2));
                assert_eq!(
                    (&test.images, test.labels().unwrap()),
                    (&expected, [300, 0].as_slice())
                );
            }
            let test = parse_images("a.npy", "a", &images).unwrap().test.unwrap();
            assert_eq!((test.shape, test.images, test.labels), (shape, expected, None));
        };
        let pixels: Vec<u8> = (0..24).collect();
        check(encode(&[2, 12], &pixels), [1, 1, 12], Samples::U8(pixels.clone()));
        check(encode(&[2, 3, 4], &pixels), [1, 3, 4], Samples::U8(pixels.clone()));
        check(encode(&[2, 3, 2, 2], &pixels), [3, 2, 2], Samples::U8(pixels));
        check(encode(&[2, 1], &[-128i8, 127]), [1, 1, 1], Samples::I8(vec![-128, 127]));
        check(encode(&[2, 1, 1], &[0.5f32, -3.0]), [1, 1, 1], Samples::F32(vec![0.5, -3.0]));
    }

    #[test]
    fn labels_may_be_any_integers() {
        let check = |labels: Vec<u8>| {
            let parts = read(&[("x", encode(&[2, 1], &[7u8, 8])), ("y", labels)]).unwrap();
            assert_eq!(parts.test.unwrap().labels().unwrap(), [1, 100]);
        };
        check(encode(&[2], &[1u8, 100]));
        check(encode(&[2], &[1i8, 100]));
        check(encode(&[2], &[1u16, 100]));
        check(encode(&[2], &[1i16, 100]));
        check(encode(&[2], &[1u32, 100]));
        check(encode(&[2], &[1i32, 100]));
        check(encode(&[2], &[1u64, 100]));
        check(encode(&[2, 1], &[1i64, 100]));
    }

    #[test]
    fn floats_are_targets() {
        let images = || ("x", encode(&[2, 1], &[7u8, 8]));
        let test = |targets| read(&[images(), ("y", targets)]).map(|parts| parts.test.unwrap());
        let pairs = test(encode(&[2, 2], &[0.5f32, -1.0, 2.0, 3.0])).unwrap();
        assert_eq!((pairs.labels.clone(), pairs.targets.clone().unwrap().len()), (None, 4));
        assert_eq!(pairs.select(&[1]).targets, Some(vec![2.0, 3.0]));
        assert_eq!(test(encode(&[2], &[0.5f32, 1.0])).unwrap().targets, Some(vec![0.5, 1.0]));
        let says = |targets| test(targets).unwrap_err().to_string();
        assert_eq!(says(encode(&[3], &[0f32; 3])), "a.npz has 2 images and targets for 3");
        assert_eq!(says(encode(&[4, 1], &[0f32; 4])), "a.npz has 2 images and targets for 4");
        assert_eq!(
            says(encode(&[2, 2], &[0.0, 0.0, f32::INFINITY, 0.0])),
            "a.npz has a target that is not finite for image 1"
        );
        assert_eq!(
            says(encode(&[], &[0f32])),
            "a.npz: `y` has the shape [], targets must be (n) or (n, outputs)"
        );
    }

    #[test]
    fn parts_are_told_by_names() {
        let of = |value: u8| encode(&[1, 1], &[value]);
        let value = |part: Option<Dataset>| part.map(|data| (data.name.clone(), data.image(0)[0]));
        let found = read(&[("x_test", of(1)), ("x_train", of(2)), ("x_val", of(3))]).unwrap();
        assert_eq!(value(found.train), Some(("a/train".to_owned(), 2)));
        assert_eq!(value(found.validation), Some(("a/validation".to_owned(), 3)));
        assert_eq!(value(found.test), Some(("a/test".to_owned(), 1)));
        let found = read(&[("images", of(1)), ("train_images", of(2))]).unwrap();
        assert_eq!((value(found.train).unwrap().1, value(found.test).unwrap().1), (2, 1));
        assert!(found.validation.is_none());
    }

    #[test]
    fn wrong_arrays_are_told_by_name() {
        let check = |arrays: &[(&str, Vec<u8>)], expected: Expect| {
            expected.assert_eq(&read(arrays).unwrap_err().to_string());
        };
        let images = || ("images", encode(&[2, 1], &[1u8, 2]));
        check(
            &[images(), ("label", encode(&[2], &[1u8, 2]))],
            expect![
                "a.npz has `label.npy`, its arrays may be train_images and train_labels, x_train and y_train, val_images and val_labels, x_val and y_val, test_images and test_labels, x_test and y_test, images and labels, x and y"
            ],
        );
        check(
            &[images(), ("images\n", vec![])],
            expect![[
                r#"a.npz has `images\n.npy`, its arrays may be train_images and train_labels, x_train and y_train, val_images and val_labels, x_val and y_val, test_images and test_labels, x_test and y_test, images and labels, x and y"#
            ]],
        );
        check(
            &[("labels", encode(&[2], &[1u8, 2]))],
            expect!["a.npz has `labels` but no `images`"],
        );
        check(
            &[images(), ("x_test", encode(&[2, 1], &[1u8, 2]))],
            expect!["a.npz has test images twice, `images` are the second"],
        );
        check(
            &[("images", vec![])],
            expect![[
                r#"a.npz: `images` is no such array: it does not begin with the magic `\x93NUMPY`"#
            ]],
        );
        check(
            &[("images", images().1[..128].to_vec())],
            expect![
                "a.npz: `images` is no such array: its shape [2, 1] takes 2 bytes of data, 0 are there"
            ],
        );
        check(
            &[("images", encode(&[2], &[1u8, 2]))],
            expect![
                "a.npz: `images` has the shape [2], images must be (n, values), (n, y, x) or (n, channel, y, x)"
            ],
        );
        check(
            &[("images", encode(&[1, 2, 0], &[0u8; 0]))],
            expect!["a.npz has images of 1x2x0, no side may be 0"],
        );
        check(
            &[("images", encode(&[1, 2], &[1i32, 2]))],
            expect!["a.npz: `images` has elements `<i4`, images must be uint8, int8 or float32"],
        );
        check(
            &[("images", encode(&[2, 2], &[1.0f32, 2.0, 3.0, f32::NAN]))],
            expect!["a.npz has a value that is not finite in image 1"],
        );
        check(
            &[images(), ("labels", encode(&[2], &[1i64, -1]))],
            expect!["a.npz: `labels` has label -1 at image 1, it must lie in 0..=4294967295"],
        );
        check(
            &[images(), ("labels", encode(&[2], &[u64::from(u32::MAX), 1 << 32]))],
            expect![
                "a.npz: `labels` has label 4294967296 at image 1, it must lie in 0..=4294967295"
            ],
        );
        check(
            &[images(), ("labels", encode(&[1, 2], &[1u8, 2]))],
            expect!["a.npz: `labels` has the shape [1, 2], labels must be (n) or (n, 1)"],
        );
        check(
            &[images(), ("labels", encode(&[1], &[1u8]))],
            expect!["a.npz has 2 images and 1 label"],
        );
    }

    #[test]
    fn damaged_archives_are_refused() {
        let good = archive(true, &[("images", encode(&[2, 50], &[7u8; 100]))]);
        for length in 0..good.len() {
            let error = parse_archive("a.npz", "a", &good[..length]).unwrap_err();
            assert_eq!(error.to_string(), "a.npz is not an intact archive", "{length}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_another_set(
            is_compressed: bool,
            at in 0usize..600,
            byte: u8,
        ) {
            let arrays = [("x", encode(&[2, 3], &[7u8; 6])), ("y", encode(&[2], &[0i32, 1]))];
            let mut bytes = archive(is_compressed, &arrays);
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(parts) = parse_archive("a.npz", "a", &bytes) {
                let test = parts.test.unwrap();
                prop_assert_eq!((test.len() * test.size(), test.labels().is_ok()), (6, true));
            }
        }

        #[test]
        fn hostile_shapes_are_errors(sides in prop::collection::vec(any::<u64>(), 1..5)) {
            let shape = sides.iter().map(|side| format!("{side},")).collect::<String>();
            let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape})}}");
            let length = (header.len() as u16).to_le_bytes();
            let bytes = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &[0; 8]].concat();
            if let Ok(parts) = parse_images("a.npy", "a", &bytes) {
                prop_assert_eq!(parts.test.unwrap().images.len(), 8);
            }
        }
    }
}
