//! Every form of a data set that may be given, written here and read back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use hafnia_artifact::{Digest, npy};
use hafnia_data::{DataError, Origin, Samples, Sources, SplitDataset, files_in, load};
use tempfile::TempDir;

fn read(data: &Path) -> Result<SplitDataset, DataError> {
    load(&Sources { data: Some(data.to_owned()), ..Sources::default() }, &mut |_| ())
}

/// The names under which digests are kept, and whether those of files are theirs.
fn check_digests(set: &SplitDataset, data: &Path, expected: &[&str]) {
    assert_eq!(set.digests.keys().collect::<Vec<_>>(), expected);
    for path in files_in(data) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(set.digests[name], Digest::of_file(&path).unwrap(), "{name}");
    }
    assert_eq!(files_in(data).len(), expected.len());
}

#[test]
fn batches_of_cifar10() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("cifar-10-batches-bin");
    fs::create_dir(&data).unwrap();
    let record = |class: u8| [vec![class], vec![10 * class; 3072]].concat();
    let names = [1, 2, 3, 4, 5].map(|batch| format!("data_batch_{batch}.bin"));
    for (class, name) in (0..).zip(&names) {
        fs::write(data.join(name), [record(class), record(9)].concat()).unwrap();
    }
    let error = read(&data).unwrap_err().to_string();
    assert!(error.starts_with("cannot read ") && error.ends_with("test_batch.bin"), "{error}");
    fs::write(data.join("test_batch.bin"), record(7)).unwrap();
    let set = read(&data).unwrap();
    assert_eq!(set.origin, Origin::Folder(data.clone()));
    assert_eq!(set.train.labels().unwrap(), [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]);
    assert_eq!((set.train.shape, set.train.image(8)), ([3, 32, 32], &[40; 3072][..]));
    assert_eq!((set.test.name.as_str(), set.test.len()), ("cifar-10-batches-bin/test", 1));
    let mut expected: Vec<&str> = names.iter().map(String::as_str).collect();
    expected.push("test_batch.bin");
    check_digests(&set, &data, &expected);
}

#[test]
fn arrays_in_a_folder() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, bytes: Vec<u8>| fs::write(dir.path().join(name), bytes).unwrap();
    write("notes.txt", Vec::new());
    write("x_test.npy", npy::encode(&[2, 2, 3], &[-7i8; 12]));
    let set = read(dir.path()).unwrap();
    assert_eq!((set.test.images, set.test.labels), (Samples::I8(vec![-7; 12]), None));
    write("x_train.npy", npy::encode(&[1, 2, 3], &[-8i8; 6]));
    write("y_test.npy", npy::encode(&[2], &[3u64, 4]));
    write("y_train.npy", npy::encode(&[1], &[999i16]));
    let set = read(dir.path()).unwrap();
    assert_eq!(set.train.labels().unwrap(), [999]);
    assert_eq!((set.test.classes(), set.test.len(), set.train.len()), (5, 2, 1));
    let names = ["x_test.npy", "x_train.npy", "y_test.npy", "y_train.npy"];
    check_digests(&set, dir.path(), &names);

    write("x_train.npy", npy::encode(&[1, 2, 3], &[8u8; 6]));
    assert!(
        read(dir.path())
            .unwrap_err()
            .to_string()
            .ends_with("has training images of 1x2x3 uint8 and test images of 1x2x3 int8")
    );
}

#[test]
fn a_file_of_images_is_held_out() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("waves.npy");
    let images: Vec<f32> = (0..120).map(|value| value as f32 / 8.0).collect();
    fs::write(&data, npy::encode(&[30, 4], &images)).unwrap();
    let set = read(&data).unwrap();
    assert_eq!(set.origin, Origin::File(data.clone()));
    assert_eq!((set.test.name.as_str(), set.test.shape), ("waves/test", [1, 1, 4]));
    assert_eq!((set.test.images.clone(), set.test.labels.clone()), (Samples::F32(images), None));
    assert_eq!((set.train.len(), set.train.shape), (0, [1, 1, 4]));
    check_digests(&set, &data, &["waves.npy"]);

    let held_out = |count| {
        let sources =
            Sources { data: Some(data.clone()), hold_out: Some(count), ..Sources::default() };
        load(&sources, &mut |_| ())
    };
    let set = held_out(6).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (24, 6));
    assert_eq!((set.split.train.len(), set.split.validation.len()), (22, 2));
    assert_eq!(
        held_out(31).unwrap_err().to_string(),
        "cannot hold back 31 images of data set `waves/test`: it must lie in 1..=30 of them"
    );
}

#[test]
fn pictures_by_class() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("pets");
    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, 3, 2);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[5; 18]).unwrap();
    for path in ["train/cats/1.png", "train/dogs/1.png", "test/dogs/2.png"] {
        fs::create_dir_all(data.join(path).parent().unwrap()).unwrap();
        fs::write(data.join(path), &picture).unwrap();
    }
    let set = read(&data).unwrap();
    assert_eq!((set.train.labels().unwrap(), set.test.labels().unwrap()), (&[0, 1][..], &[1][..]));
    assert_eq!((set.test.shape, set.test.image(0)), ([3, 2, 3], &[5; 18][..]));
    assert_eq!(set.digests.keys().collect::<Vec<_>>(), ["pets/"]);
    assert_eq!(files_in(&data).len(), 3);
}

#[test]
fn what_is_no_data_set_is_told() {
    let dir = TempDir::new().unwrap();
    let text = dir.path().join("text");
    fs::write(&text, "text").unwrap();
    for path in [dir.path(), &text] {
        let error = read(path).unwrap_err();
        assert!(matches!(error, DataError::Form { .. }), "{error}");
    }
    let missing = read(&dir.path().join("missing")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read "), "{missing}");
    assert_eq!(files_in(dir.path()), Vec::<std::path::PathBuf>::new());
}
