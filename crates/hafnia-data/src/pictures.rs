//! Data sets as folders of PNG files, one folder for each class.
//!
//! A class is numbered by the place of its name among all, in the order of their bytes. In the folders
//! `train`, `val` or `validation`, and `test`, if there is nothing else, lie the classes of that part.

use std::{
    collections::BTreeSet,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use hafnia_artifact::{ArtifactError, Digest, LARGEST, read};
use hafnia_text::quoted;
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use crate::{
    dataset::{Dataset, shown},
    error::DataError,
    parts::Parts,
    samples::Samples,
};

/// The names of the folders of parts.
const PARTS: [&str; 4] = ["train", "val", "validation", "test"];

/// What is in a folder, by name and in the order of names, without what is hidden.
fn list(folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let list = || {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                entries.push((name, entry.path()));
            }
        }
        entries.sort();
        Ok(entries)
    };
    list().map_err(|source| {
        DataError::File(ArtifactError::Io { action: "read", path: folder.into(), source })
    })
}

/// The folders in a folder, as [`list`].
fn folders(folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let mut entries = list(folder)?;
    entries.retain(|(_, path)| path.is_dir());
    Ok(entries)
}

/// The folders of parts in a folder, or itself as the only part, which judges.
fn parts(folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let folders = folders(folder)?;
    Ok(match folders.iter().all(|(name, _)| PARTS.contains(&name.as_str())) {
        true => folders,
        false => vec![("test".to_owned(), folder.to_owned())],
    })
}

/// The files of a data set in a folder.
///
/// # Errors
/// [`DataError::File`] if a folder cannot be read.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    for (_, part) in parts(folder)? {
        for (_, class) in folders(&part)? {
            files.extend(list(&class)?.into_iter().map(|(_, path)| path));
        }
    }
    Ok(files)
}

/// The data set `name` in a folder, and the digest of the paths in it and the contents of all files.
///
/// # Errors
/// [`DataError::File`] for what cannot be read, and [`DataError::Content`] for what is no PNG file of 8
/// bits, has parts that are transparent, or is of another size or number of colours than those before
/// it; also if all together have more than 1 GiB of pixels.
pub(crate) fn read_folder(folder: &Path, name: &str) -> Result<(Parts, Digest), DataError> {
    let found = parts(folder)?;
    let mut classes = BTreeSet::new();
    for (_, part) in &found {
        classes.extend(folders(part)?.into_iter().map(|(class, _)| class));
    }
    let classes: Vec<String> = classes.into_iter().collect();
    let mut reader = Reader { folder, left: LARGEST as usize, digests: Vec::new() };
    let mut parts = Parts::default();
    for (part, path) in &found {
        let (part, into) = match part.as_str() {
            "train" => ("train", &mut parts.train),
            "test" => ("test", &mut parts.test),
            _ => ("validation", &mut parts.validation),
        };
        let data = reader.read_part(&format!("{name}/{part}"), path, &classes)?;
        if into.replace(data).is_some() {
            let fault = "has both `val` and `validation`".to_owned();
            return Err(DataError::content(&folder.display().to_string(), fault));
        }
    }
    Ok((parts, Digest::of_value(&reader.digests)))
}

/// Reads the pictures of a folder.
struct Reader<'a> {
    folder: &'a Path,
    /// Bytes of pixels that may still come.
    left: usize,
    /// The path of each file in the folder, and the digest of its content.
    digests: Vec<(String, Digest)>,
}

impl Reader<'_> {
    /// The pictures of a part: the first of every class, then the second, and so on, so that as many
    /// of each are among the first.
    fn read_part(
        &mut self,
        name: &str,
        part: &Path,
        classes: &[String],
    ) -> Result<Dataset, DataError> {
        let mut files = Vec::new();
        for (class, folder) in folders(part)? {
            let number = classes.binary_search(&class).expect("every class of a part is listed");
            let of_class = list(&folder)?.into_iter().enumerate();
            files.extend(of_class.map(|(index, (_, path))| (index, number as u32, path)));
        }
        files.sort();
        let mut size: Option<[usize; 3]> = None;
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for (_, class, path) in files {
            let (place, bytes) = (path.display().to_string(), read(&path)?);
            let (shape, values) = decode(&place, &bytes, self.left)?;
            if let Some(size) = size.filter(|&size| size != shape) {
                let (size, shape) = (shown(size), shown(shape));
                let fault = format!("is a picture of {shape}, those before it are of {size}");
                return Err(DataError::content(&place, fault));
            }
            size = Some(shape);
            self.left -= values.len();
            pixels.extend_from_slice(&values);
            labels.push(class);
            let below = path.strip_prefix(self.folder).unwrap_or(&path);
            self.digests.push((below.to_string_lossy().into_owned(), Digest::of(&bytes)));
        }
        let place = part.display().to_string();
        let Some(shape) = size else {
            return Err(DataError::content(&place, "has no pictures".to_owned()));
        };
        Dataset::new(&place, name, shape, Samples::U8(pixels), Some(labels))
    }
}

/// The shape of a picture and its pixels, (channel, y, x); of at most `most` bytes.
fn decode(place: &str, bytes: &[u8], most: usize) -> Result<([usize; 3], Vec<u8>), DataError> {
    let damaged = |error: png::DecodingError| DataError::Content {
        file: place.to_owned(),
        fault: "is not an intact PNG file".to_owned(),
        source: Some(error.into()),
    };
    let wrong = |fault: String| Err(DataError::content(place, fault));
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: most });
    // Palettes become colours, and grey of fewer bits grey of 8.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (width, height) = reader.info().size();
    if reader.info().bit_depth == BitDepth::Sixteen {
        return wrong("has pixels of 16 bits, at most 8 are taken".to_owned());
    }
    let length = reader.output_buffer_size().filter(|&length| length <= most);
    let Some(length) = length else {
        return wrong(format!("makes more than {LARGEST} bytes of pixels, with those before it"));
    };
    let mut values = vec![0; length];
    let kind = reader.next_frame(&mut values).map_err(damaged)?.color_type;
    reader.finish().map_err(damaged)?;
    let (colours, has_alpha) = match kind {
        ColorType::Grayscale => (1, false),
        ColorType::GrayscaleAlpha => (1, true),
        ColorType::Rgb => (3, false),
        ColorType::Rgba => (3, true),
        kind => return wrong(format!("has colours of the type {}", quoted(&format!("{kind:?}")))),
    };
    let of_pixel = colours + usize::from(has_alpha);
    let pixels = || values.chunks_exact(of_pixel);
    if has_alpha && pixels().any(|pixel| pixel[colours] != u8::MAX) {
        return wrong("is transparent in part, all of it must be opaque".to_owned());
    }
    let plane = |colour: usize| pixels().map(move |pixel| pixel[colour]);
    let shape = [colours, height as usize, width as usize];
    Ok((shape, (0..colours).flat_map(plane).collect()))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use expect_test::{Expect, expect};
    use png::Encoder;
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    /// A PNG file.
    fn png(size: [u32; 2], colour: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, size[0], size[1]);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == ColorType::Indexed {
            encoder.set_palette(vec![10, 20, 30, 40, 50, 60]);
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn grey(pixel: u8) -> Vec<u8> {
        png([1, 1], ColorType::Grayscale, BitDepth::Eight, &[pixel])
    }

    /// A folder of these files.
    fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
        let dir = TempDir::new().unwrap();
        for (path, bytes) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        dir
    }

    #[test]
    fn colours_become_planes() {
        let check = |bytes: Vec<u8>, shape: [usize; 3], pixels: &[u8]| {
            assert_eq!(decode("p", &bytes, 99).unwrap(), (shape, pixels.to_vec()));
        };
        let eight = |colour, data: &[u8]| png([2, 1], colour, BitDepth::Eight, data);
        check(eight(ColorType::Grayscale, &[1, 2]), [1, 1, 2], &[1, 2]);
        check(eight(ColorType::Rgb, &[1, 2, 3, 4, 5, 6]), [3, 1, 2], &[1, 4, 2, 5, 3, 6]);
        check(eight(ColorType::GrayscaleAlpha, &[1, 255, 2, 255]), [1, 1, 2], &[1, 2]);
        let opaque = [1, 2, 3, 255, 4, 5, 6, 255];
        check(eight(ColorType::Rgba, &opaque), [3, 1, 2], &[1, 4, 2, 5, 3, 6]);
        let palette = png([2, 1], ColorType::Indexed, BitDepth::One, &[0b1000_0000]);
        check(palette, [3, 1, 2], &[40, 10, 50, 20, 60, 30]);
        let two_bits = png([4, 1], ColorType::Grayscale, BitDepth::Two, &[0b0001_1011]);
        check(two_bits, [1, 1, 4], &[0, 85, 170, 255]);
    }

    #[test]
    fn classes_are_numbered_by_name_and_take_turns() {
        let dir = folder(&[
            ("b/2.png", grey(22)),
            ("b/1.png", grey(21)),
            ("a/z.png", grey(1)),
            ("c/x.png", grey(31)),
            ("c/y.png", grey(32)),
            ("c/.hidden", vec![]),
            (".git/config", vec![]),
            ("README", vec![]),
        ]);
        let (parts, digest) = read_folder(dir.path(), "letters").unwrap();
        assert!(parts.train.is_none() && parts.validation.is_none());
        let test = parts.test.unwrap();
        assert_eq!((test.name.as_str(), test.shape), ("letters/test", [1, 1, 1]));
        assert_eq!(test.images, Samples::U8(vec![1, 21, 31, 22, 32]));
        assert_eq!(test.labels().unwrap(), [0, 1, 2, 1, 2]);
        assert_eq!(files(dir.path()).unwrap().len(), 5);
        // The digest holds names and contents.
        fs::rename(dir.path().join("c/y.png"), dir.path().join("c/z.png")).unwrap();
        let (_, renamed) = read_folder(dir.path(), "letters").unwrap();
        fs::write(dir.path().join("c/z.png"), grey(33)).unwrap();
        let (_, changed) = read_folder(dir.path(), "letters").unwrap();
        assert!(digest != renamed && renamed != changed);
    }

    #[test]
    fn classes_are_those_of_all_parts() {
        let dir = folder(&[
            ("train/a/1.png", grey(1)),
            ("train/b/1.png", grey(2)),
            ("val/a/1.png", grey(3)),
            ("test/b/1.png", grey(4)),
        ]);
        let (parts, _) = read_folder(dir.path(), "letters").unwrap();
        let labels = |part: Option<Dataset>| part.unwrap().labels.unwrap();
        assert_eq!(labels(parts.train), [0, 1]);
        assert_eq!(labels(parts.validation), [0]);
        assert_eq!(labels(parts.test), [1]);
        assert_eq!(files(dir.path()).unwrap().len(), 4);
    }

    #[test]
    fn wrong_pictures_are_told_by_path() {
        let check = |path: &str, bytes: Vec<u8>, expected: Expect| {
            let dir = folder(&[("a/1.png", grey(1)), (path, bytes)]);
            let error = read_folder(dir.path(), "p").unwrap_err();
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            let said = format!("{error}{cause}");
            expected.assert_eq(&said.replace(&dir.path().display().to_string(), "DIR"));
        };
        let eight = |colour, data: &[u8]| png([1, 1], colour, BitDepth::Eight, data);
        check(
            "b/2.png",
            png([1, 2], ColorType::Grayscale, BitDepth::Eight, &[1, 2]),
            expect!["DIR/b/2.png is a picture of 1x2x1, those before it are of 1x1x1"],
        );
        check(
            "b/2.png",
            eight(ColorType::Rgb, &[1, 2, 3]),
            expect!["DIR/b/2.png is a picture of 3x1x1, those before it are of 1x1x1"],
        );
        check(
            "b/2.png",
            eight(ColorType::Rgba, &[1, 2, 3, 254]),
            expect!["DIR/b/2.png is transparent in part, all of it must be opaque"],
        );
        check(
            "b/2.png",
            png([1, 1], ColorType::Grayscale, BitDepth::Sixteen, &[1, 2]),
            expect!["DIR/b/2.png has pixels of 16 bits, at most 8 are taken"],
        );
        check(
            "b/2.txt",
            b"text".to_vec(),
            expect!["DIR/b/2.txt is not an intact PNG file: Invalid PNG signature."],
        );
        check("b/c/2.png", grey(1), expect!["cannot read DIR/b/c: it is a folder, not a file"]);
        check(
            "b/2.png",
            grey(1)[..60].to_vec(),
            expect!["DIR/b/2.png is not an intact PNG file: unexpected end of file"],
        );
        // A header that claims sides of 2^31 − 1, with its checksum.
        let mut header =
            [b"IHDR", &[0x7f, 0xff, 0xff, 0xff].repeat(2)[..], &grey(1)[24..29]].concat();
        let mut checksum = flate2::Crc::new();
        checksum.update(&header);
        header.extend(checksum.sum().to_be_bytes());
        let huge = [&grey(1)[..12], &header, &grey(1)[33..]].concat();
        check(
            "b/2.png",
            huge,
            expect!["DIR/b/2.png is not an intact PNG file: limits are exceeded"],
        );
        let dir = folder(&[("a/.hidden", vec![])]);
        let error = read_folder(dir.path(), "p").unwrap_err().to_string();
        assert!(error.ends_with(" has no pictures"), "{error}");
        let parts = folder(&[("val/a/1.png", grey(1)), ("validation/a/1.png", grey(1))]);
        let error = read_folder(parts.path(), "p").unwrap_err().to_string();
        assert!(error.ends_with(" has both `val` and `validation`"), "{error}");
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_another_picture(at in 0usize..100, byte: u8, length in 0usize..100) {
            let mut bytes = png([2, 2], ColorType::Grayscale, BitDepth::Eight, &[1, 2, 3, 4]);
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(length);
            if let Ok((shape, pixels)) = decode("p", &bytes, 1 << 16) {
                prop_assert_eq!(shape.iter().product::<usize>(), pixels.len());
            }
        }
    }
}
