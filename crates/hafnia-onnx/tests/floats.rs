//! Images of other types than bytes: floats, through a graph's own quantiser, and signed bytes.

mod common;

use std::path::Path;

use common::{Build, imported, int};
use hafnia_artifact::npy;
use hafnia_model::{Input, ReferenceProduct, run};
use hafnia_onnx::proto::Model;
use hafnia_onnx::{Imported, Options, Pixels, check, export, import};
use proptest::prelude::*;

/// What a byte stands for.
fn real(pixels: &Pixels, byte: u8) -> f32 {
    let byte = f32::from(byte);
    match pixels {
        Pixels::Raw => byte,
        Pixels::Signed => byte - 128.0,
        Pixels::Unit => byte / 255.0,
        Pixels::Normalised { means, deviations } => (byte / 255.0 - means[0]) / deviations[0],
    }
}

/// Images through a quantiser and a product.
fn quantised(scale: f32, bits: f32, signed: bool) -> Model {
    let mut build = Build::new(&[1, 1, 4, 4]);
    let levels = build.quant("x", scale, bits, signed);
    let weights = build.weights(&[3, 1, 4, 4], -3..=3, 0.25);
    let sums = build.node("Conv", &[&levels, &weights], vec![]);
    let logits = build.node("Flatten", &[&sums], vec![int("axis", 1)]);
    build.finish(&logits)
}

/// The activation that a float becomes.
fn activation(input: &Input, value: f32) -> f32 {
    let level = input.floats[0].level(value).expect("it is taken");
    (input.lowest + i32::from(level)) as f32
}

proptest! {
    #[test]
    fn floats_become_what_the_quantiser_makes_of_them(
        scale in 0.013f32..0.3,
        bits in 2u8..=8,
        signed: bool,
        is_unit: bool,
        shares in prop::collection::vec(0.0f32..=1.0, 64),
    ) {
        let pixels = match is_unit {
            true => Pixels::Unit,
            false => Pixels::Normalised { means: vec![0.1307], deviations: vec![0.3081] },
        };
        let of_bits = 2f32.powi((bits - u8::from(signed)).into());
        let (low, high) = if signed { (-of_bits, of_bits - 1.0) } else { (0.0, of_bits - 1.0) };
        let quantise = |x: f32| (x / scale).clamp(low, high).round_ties_even();
        let found = imported(&quantised(scale, bits.into(), signed), pixels.clone()).expect("imported");
        let input = found.network.input();
        let [floats] = &input.floats[..] else { panic!("{:?}", input.floats) };
        let bytes: Vec<u8> = (0..=255).collect();
        let reals: Vec<f32> = bytes.iter().map(|&byte| real(&pixels, byte)).collect();
        let rows = Input { height: 16, width: 16, ..input.clone() };
        prop_assert_eq!(rows.levels_of_floats(&reals), Ok(rows.levels_of(&bytes)));
        let span = floats.largest - floats.least;
        let edges = floats.cuts.iter().flat_map(|cut| [*cut, cut.next_down(), cut.next_up()]);
        let drawn = shares.iter().map(|share| floats.least + share * span);
        for value in edges.chain(drawn).filter(|value| floats.level(*value).is_some()) {
            prop_assert_eq!(activation(input, value), quantise(value), "{}", value);
        }
    }
}

/// A file of the tree, with its images.
fn file(name: &str) -> (Imported, npy::Array<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let options = Options { pixels: Pixels::Unit, shape: None, approximate: false };
    let imported = import(folder.join(format!("{name}.onnx")), &options).expect("imported");
    let images = std::fs::read(folder.join("images.npy")).expect("images");
    (imported, npy::decode(&images).expect("an array"))
}

#[test]
fn files_of_exporters_agree_with_executors_on_floats() {
    for name in ["brevitas-residual", "onnxruntime-int8", "larq-channels-last"] {
        let (imported, images) = file(name);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("floats.npy");
        let floats: Vec<f32> = images.values.iter().map(|&byte| f32::from(byte) / 255.0).collect();
        std::fs::write(&path, npy::encode(&images.shape, &floats)).expect("written");
        let outputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
        let found = check(&imported, &path, outputs.join(format!("{name}.npy")));
        let agreement = found.expect("compared");
        assert!(agreement.is_whole(), "{name}: {agreement:?}");
        assert_eq!((agreement.outputs, agreement.outputs_off), (200, 0), "{name}");
    }
}

#[test]
fn what_no_byte_stands_for_is_refused() {
    let (imported, _) = file("onnxruntime-int8");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("floats.npy");
    let mut floats = vec![0.5f32; 2 * 784];
    floats[784] = 255.0;
    std::fs::write(&path, npy::encode(&[2, 28, 28], &floats)).expect("written");
    let fault = check(&imported, &path, &path).expect_err("beyond").to_string();
    let fault = fault.split_once(": ").expect("a path").1;
    assert_eq!(fault, "image 1: 255 is not taken, -0.0019607844 to 1.0019608 are");
}

#[test]
fn what_is_exported_takes_the_same_floats() {
    let pixels = Pixels::Normalised { means: vec![0.1307], deviations: vec![0.3081] };
    let network = imported(&quantised(0.07, 4.0, true), pixels.clone()).expect("imported").network;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("back.onnx");
    export(&network, &path).expect("exported");
    let options = Options { pixels, shape: None, approximate: false };
    let back = import(&path, &options).expect("imported").network;
    assert_eq!(back.input(), network.input());
}

#[test]
fn signed_bytes_are_bytes_less_128() {
    let model = |elem_type| {
        let mut build = Build::new(&[1, 1, 4, 4]).taking(elem_type);
        let floats = build.node("Cast", &["x"], vec![int("to", 1)]);
        let weights = build.weights(&[3, 1, 4, 4], -3..=3, 0.25);
        let sums = build.node("Conv", &[&floats, &weights], vec![]);
        let logits = build.node("Flatten", &[&sums], vec![int("axis", 1)]);
        build.finish(&logits)
    };
    let imported_as = |elem_type, pixels| imported(&model(elem_type), pixels);
    let of_bytes = imported_as(2, Pixels::Raw).expect("imported");
    let signed = imported_as(3, Pixels::Signed).expect("imported");
    // Floats that nothing quantises are no levels.
    assert!(of_bytes.network.input().floats.is_empty());
    let image: Vec<u8> = (0..16).map(|at| at * 16 + 7).collect();
    let outputs = |of: &Imported| {
        let sums = run(&of.network, &image, &mut ReferenceProduct::new(&of.network));
        let reals = sums.iter().zip(&of.scales).zip(&of.biases);
        reals.map(|((&sum, scale), bias)| scale * f64::from(sum) + bias).collect::<Vec<_>>()
    };
    let executed = |less: f32| {
        let floats: Vec<f32> = image.iter().map(|&byte| f32::from(byte) - less).collect();
        common::execute(&model(1), &floats).values.into_iter().map(f64::from).collect::<Vec<_>>()
    };
    assert_eq!(outputs(&of_bytes), executed(0.0));
    assert_eq!(outputs(&signed), executed(128.0));

    let fault = imported_as(3, Pixels::Raw).expect_err("signed");
    assert_eq!(fault, "model.onnx: its input `x` is of int8: pixels must be signed");
    let fault = imported_as(2, Pixels::Unit).expect_err("unsigned");
    assert_eq!(fault, "model.onnx: its input `x` is of uint8: pixels must be raw");
}

#[test]
fn every_pixel_of_a_vector_may_have_a_quantiser_of_its_own() {
    let mut build = Build::new(&[1, 1, 4, 4]);
    let flat = build.node("Flatten", &["x"], vec![int("axis", 1)]);
    let means: Vec<f32> = (0..16).map(|at| at as f32 * 0.031).collect();
    let less = build.floats(&[16], &means);
    let centred = build.node("Sub", &[&flat, &less], vec![]);
    let levels = build.quant(&centred, 0.13, 4.0, true);
    let weights = build.weights(&[16, 3], -3..=3, 0.25);
    let logits = build.node("MatMul", &[&levels, &weights], vec![]);
    let found = imported(&build.finish(&logits), Pixels::Unit).expect("imported");
    let input = found.network.input();
    assert_eq!((found.network.layers().len(), input.floats.len()), (1, 16));
    for (floats, mean) in input.floats.iter().zip(means) {
        for share in 0..=1000 {
            let value = share as f32 / 1000.0;
            let level = ((value - mean) / 0.13).clamp(-8.0, 7.0).round_ties_even();
            let taken = floats.level(value).expect("it is taken");
            assert_eq!((input.lowest + i32::from(taken)) as f32, level, "{value} less {mean}");
        }
    }
}
