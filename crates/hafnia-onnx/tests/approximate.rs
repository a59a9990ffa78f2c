//! Weights that are rounded: what activations become other levels for it.

mod common;

use common::{Build, int, ints};
use hafnia_artifact::npy;
use hafnia_model::{ReferenceProduct, activations_before};
use hafnia_onnx::proto::Model;
use hafnia_onnx::{Activations, Options, Pixels, activations, import};
use prost::Message as _;

/// Two layers with quantised activations between, and weights of an integer and a share of one.
fn model(share: f32) -> Model {
    let mut build = Build::new(&[1, 1, 6, 6]);
    let levels = build.quant("x", 16.0, 4.0, false);
    let off: Vec<f32> =
        (0..4 * 9).map(|at| (at % 7 - 3) as f32 + share * (at as f32).sqrt().sin()).collect();
    let weights = build.floats(&[4, 1, 3, 3], &off);
    let sums = build.node("Conv", &[&levels, &weights], vec![ints("pads", &[1, 1, 1, 1])]);
    let active = build.node("Relu", &[&sums], vec![]);
    let levels = build.quant(&active, 40.0, 4.0, false);
    let pooled = build.node(
        "MaxPool",
        &[&levels],
        vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])],
    );
    let flat = build.node("Flatten", &[&pooled], vec![int("axis", 1)]);
    let weights = build.weights(&[36, 5], -3..=3, 0.5);
    let logits = build.node("MatMul", &[&flat, &weights], vec![]);
    build.finish(&logits)
}

/// What is counted over so many images, and how much of it by the executor of these tests.
fn counted(share: f32, images: usize) -> (Vec<Activations>, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    let model = model(share);
    std::fs::write(&path, model.encode_to_vec()).expect("written");
    let options = Options { pixels: Pixels::Raw, shape: None, approximate: true };
    let imported = import(&path, &options).expect("imported");
    let bytes: Vec<u8> = (0..images * 36).map(|at| (at * at * 31 % 251) as u8).collect();
    let inputs = folder.path().join("inputs.npy");
    std::fs::write(&inputs, npy::encode(&[images, 6, 6], &bytes)).expect("written");
    let found = activations(&imported, &path, &options, &inputs).expect("counted");

    // The pooled levels of the graph, which are whole numbers of steps of 40, beside the network's.
    let pooled = cut(&model, "t4");
    let mut different = 0;
    for image in bytes.chunks_exact(36) {
        let floats: Vec<f32> = image.iter().map(|&byte| byte.into()).collect();
        let expected = common::execute(&pooled, &floats).values;
        let levels = imported.network.input().levels_of(image);
        let network = &imported.network;
        let found = activations_before(network, 2, &levels, &mut ReferenceProduct::new(network));
        let differs = |(found, expected): (&u8, &f32)| f32::from(*found) != expected / 40.0;
        different += found.iter().zip(&expected).filter(|&pair| differs(pair)).count();
    }
    (found, different)
}

/// A model that ends with a tensor of another.
fn cut(model: &Model, output: &str) -> Model {
    let mut model = model.clone();
    let graph = model.graph.as_mut().expect("a graph");
    graph.output[0].name = output.into();
    graph.node.truncate(5);
    model
}

#[test]
fn activations_that_differ_are_counted() {
    let (found, different) = counted(0.02, 40);
    let [first, last] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&*first.node, first.all, first.different), ("Conv `/Conv_1`", 40 * 36, 0));
    assert_eq!((&*last.node, last.all), ("MatMul `/MatMul_6`", 40 * 36));
    assert_eq!(last.different, different);
    assert!((1..last.all / 10).contains(&different), "{different}");
}

#[test]
fn weights_on_a_grid_change_nothing() {
    let (found, different) = counted(0.0, 10);
    assert!(different == 0 && found.iter().all(|of| of.different == 0), "{found:?}");
}
