//! Data sets of a user's own, in other forms than MNIST's: what commands make of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod small;

use std::fs;
use std::path::Path;

use hafnia_artifact::{Digest, npy};
use serde_json::Value;
use small::{hafnia, place};

/// What a command prints as JSON, and what it notes.
fn json(place: &Path, line: &str) -> (Value, String) {
    let output = hafnia(place, line, "--format json");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{line}: {said}");
    (serde_json::from_slice(&output.stdout).unwrap(), said)
}

fn refused(place: &Path, line: &str, expected: &str) {
    let output = hafnia(place, line, "--quiet");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{line}: {said}");
    assert_eq!(said, format!("error: {expected}\n"), "{line}");
}

#[test]
fn arrays_are_the_same_data_as_idx_files() {
    let place = place();
    let place = place.path();
    let read = |file: &str, header: usize| fs::read(place.join(file)).unwrap()[header..].to_vec();
    let write = |file: &str, bytes: Vec<u8>| fs::write(place.join(file), bytes).unwrap();
    let pixels = read("data/t10k-images-idx3-ubyte", 16);
    let labels: Vec<i64> =
        read("data/t10k-labels-idx1-ubyte", 8).into_iter().map(i64::from).collect();
    fs::create_dir(place.join("own")).unwrap();
    let images = |shape: &[usize]| write("own/images.npy", npy::encode(shape, &pixels));
    write("own/labels.npy", npy::encode(&[10], &labels));
    let sim = |data: &str| format!("sim net.hafnia net.map --chips 3 --data {data}");
    let expected = json(place, &sim("data")).0;
    // Images of the network's shape, with their channel, and as vectors.
    for shape in [&[10, 4, 4][..], &[10, 1, 4, 4], &[10, 16]] {
        images(shape);
        let (found, said) = json(place, &sim("own"));
        assert_eq!(found, expected, "{shape:?}");
        assert!(!said.contains("no labels"), "{said}");
    }
    let found = json(place, "data --data own").0;
    assert_eq!(
        (&found["test"], &found["train"], &found["classes"]),
        (&10.into(), &0.into(), &3.into())
    );
    assert_eq!((found["values"].as_str(), found["shape"][2].as_u64()), (Some("uint8"), Some(16)));

    // Bytes in other types are the same bytes.
    let floats: Vec<f32> = pixels.iter().map(|&pixel| pixel.into()).collect();
    write("own/images.npy", npy::encode(&[10, 16], &floats));
    assert_eq!(json(place, &sim("own")).0, expected);
    let integers: Vec<i8> = pixels.iter().map(|&pixel| (i16::from(pixel) - 128) as i8).collect();
    write("own/images.npy", npy::encode(&[10, 16], &integers));
    assert_eq!(json(place, &sim("own")).0, expected);

    // Manifests hold the digests of what was read.
    json(place, &format!("{} --out o.json", sim("own")));
    let manifest = fs::read(place.join("o.json.manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    for file in ["images.npy", "labels.npy"] {
        let digest = Digest::of_file(place.join("own").join(file)).unwrap().to_string();
        assert_eq!(manifest["inputs"][file].as_str(), Some(digest.as_str()), "{file}");
    }
    refused(
        place,
        &format!("{} --out own/images.npy", sim("own")),
        "cannot write own/images.npy: it is an input of the same command: choose another output",
    );
}

#[test]
fn without_labels_a_network_is_held_against_itself() {
    let place = place();
    let place = place.path();
    let pixels: Vec<u8> = (0..16 * 60u32).map(|at| (at * 97 % 251) as u8).collect();
    fs::write(place.join("own.npy"), npy::encode(&[60, 16], &pixels)).unwrap();
    let (found, said) = json(place, "model evaluate net.hafnia --data own.npy --images 50");
    assert!(said.contains("note: the images have no labels: "), "{said}");
    assert_eq!((&found["images"], &found["correct"]), (&50.into(), &50.into()));
    let sim = "sim net.hafnia net.map --chips 5 --set sigma_lrs_rel=0.6 --data own.npy";
    let found = json(place, sim).0;
    assert_eq!(
        (&found["exact_accuracy"]["value"], &found["labelled"]),
        (&1.0.into(), &false.into())
    );
    let error = &found["mappings"][0]["mean_squared_error"]["value"];
    assert!(error.as_f64().unwrap() > 0.0, "{found}");
    let text = hafnia(place, sim, "--quiet").stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("mean squared error of the outputs of net.map: "), "{text}");
    assert!(!text.contains("top 5"), "there are three classes: {text}");
    assert!(found["mappings"][0]["accuracy_mean"].as_f64().unwrap() < 1.0, "{found}");

    // Another network is held against the first.
    let (refined, _) = json(
        place,
        "model refine net.hafnia --out refined.hafnia --sigmas 0 --data own.npy --hold-out 10",
    );
    assert_eq!(refined["parts"][0]["accuracy_before"]["first"]["value"], 1.0);
    json(place, "profile net.hafnia --out own.profile --data own.npy --hold-out 10");
    refused(
        place,
        "profile net.hafnia --out own.profile --data own.npy",
        "data set `own/train` has no images, at least 1 is needed",
    );
    refused(
        place,
        "train --recipe recipe.toml --out out --data own.npy --hold-out 10",
        "data set `own/train` has no labels",
    );
}

#[test]
fn outputs_are_held_against_targets() {
    let place = place();
    let place = place.path();
    fs::create_dir(place.join("own")).unwrap();
    let write =
        |file: &str, bytes: Vec<u8>| fs::write(place.join("own").join(file), bytes).unwrap();
    let pixels: Vec<u8> = (0..16 * 20u32).map(|at| (at * 97 % 251) as u8).collect();
    write("x.npy", npy::encode(&[20, 16], &pixels));
    // The network's own outputs, and a quarter more.
    let exported = "model export net.hafnia outputs --logits 20 --data own";
    assert!(hafnia(place, exported, "").status.success());
    let outputs = fs::read(place.join("outputs/reference_logits.npy")).unwrap();
    let outputs: npy::Array<i32> = npy::decode(&outputs).unwrap();
    let targets: Vec<f32> = outputs.values.iter().map(|&output| output as f32 + 0.25).collect();
    write("y.npy", npy::encode(&[20, 3], &targets));
    assert_eq!(json(place, "data --data own").0["targets"], 3);

    let (found, said) = json(place, "model evaluate net.hafnia --data own");
    assert!(said.contains("note: the images have targets and no labels: "), "{said}");
    assert_eq!(found["mean_squared_error"], 0.0625);
    let sim = "sim net.hafnia net.map --chips 3 --data own";
    let exact = json(place, &format!("{sim} --engine exact")).0;
    assert_eq!(exact["exact_mean_squared_error"], 0.0625);
    assert_eq!(exact["mappings"][0]["mean_squared_error"]["value"], 0.0625);
    let noisy = json(place, &format!("{sim} --set sigma_lrs_rel=0.6")).0;
    let error = &noisy["mappings"][0]["mean_squared_error"];
    assert!(error["value"].as_f64().unwrap() > 0.0625, "{noisy}");
    let text = String::from_utf8(hafnia(place, sim, "--quiet").stdout).unwrap();
    assert!(
        text.starts_with("mean squared error 0.0625 without noise on 20 test images"),
        "{text}"
    );
    assert!(!text.contains("accuracy"), "{text}");

    write("y.npy", npy::encode(&[20], &[0.5f32; 20]));
    refused(
        place,
        sim,
        "data set `own/test` has 1 target for an image, the network has 3 outputs: numbers of classes \
         must be integers",
    );
}

#[test]
fn data_that_do_not_fit_are_refused() {
    let place = place();
    let place = place.path();
    fs::create_dir(place.join("own")).unwrap();
    let write =
        |file: &str, bytes: Vec<u8>| fs::write(place.join("own").join(file), bytes).unwrap();
    let sim = "sim net.hafnia net.map --chips 1 --data own";
    write("x.npy", npy::encode(&[2, 3, 2, 4], &[0u8; 48]));
    refused(place, sim, "data set `own/test` has images of 3x2x4, the network takes 1x4x4");
    write("x.npy", npy::encode(&[2, 16], &[0u8; 32]));
    write("y.npy", npy::encode(&[2], &[0u32, 70_000]));
    refused(
        place,
        sim,
        "data set `own/test` has label 70000 at image 1, the network tells classes 0..=2 apart",
    );
    write("y.npy", npy::encode(&[2], &[0u8, 1]));
    write("x.npy", npy::encode(&[2, 16], &[0.5f32; 32]));
    refused(
        place,
        sim,
        "data set `own/test` has the value 0.5 in image 0, the network takes whole numbers of 0 to 255",
    );
    refused(
        place,
        &format!("{sim} --hold-out 3"),
        "cannot hold back 3 images of data set `own/test`: it must lie in 1..=2 of them",
    );
    fs::remove_file(place.join("own/x.npy")).unwrap();
    refused(place, sim, "own has `y` but no `x`");
    fs::write(place.join("text"), "text").unwrap();
    let output = hafnia(place, "data --data text", "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("error: text holds no data set: give "), "{said}");
}
