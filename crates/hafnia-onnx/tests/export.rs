//! Networks as QONNX files: an executor gives their integers, and what is imported again is the same.

mod common;

use std::path::Path;

use hafnia_model::{Input, Layer, Linear, Network, ReferenceProduct, Weights, random, run};
use hafnia_onnx::proto::Model;
use hafnia_onnx::{Options, Pixels, export, import};
use hafnia_rng::Seed;
use prost::Message as _;

/// A network as a file, and what is to be done with that.
fn exported<T>(network: &Network, of: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("network.onnx");
    export(network, &path).expect("exported");
    of(&path)
}

/// Random bytes for an input.
fn bytes(seed: u64, input: &Input) -> Vec<u8> {
    let whole = Input::upper_bits(input.channels, input.height, input.width, 8);
    random::image(Seed(seed), &whole)
}

fn scores(network: &Network, bytes: &[u8]) -> Vec<f64> {
    let levels = network.input().levels_of(bytes);
    network.scores().of(&run(network, &levels, &mut ReferenceProduct::new(network)))
}

#[test]
fn executors_compute_the_same_integers() {
    for seed in 0..100 {
        let network = random::graph(Seed(seed));
        let model = exported(&network, |path| {
            Model::decode(&*std::fs::read(path).expect("read")).expect("a model")
        });
        for image in 0..3 {
            let bytes = bytes(image, network.input());
            let expected = scores(&network, &bytes);
            let floats: Vec<f32> = bytes.iter().map(|&byte| byte.into()).collect();
            let found = common::execute(&model, &floats).values;
            assert_eq!(expected.len(), found.len(), "network {seed}");
            let largest = expected.iter().fold(1.0f64, |most, score| most.max(score.abs()));
            // Sums are exact, scores are rounded to 32 bits.
            let slack = if network.scores().is_plain() { 0.0 } else { largest * 1e-6 };
            for (expected, found) in expected.iter().zip(found) {
                let off = (expected - f64::from(found)).abs();
                assert!(off <= slack, "network {seed}: {expected}, not {found}");
            }
        }
    }
}

#[test]
fn what_is_imported_again_computes_the_same() {
    let options = Options { pixels: Pixels::Raw, shape: None, approximate: false };
    for seed in 0..40 {
        let network = random::network(Seed(seed), random::Limits::default());
        let again = exported(&network, |path| import(path, &options).expect("imported").network);
        for image in 0..4 {
            let bytes = bytes(image, network.input());
            assert_eq!(scores(&network, &bytes), scores(&again, &bytes), "network {seed}");
        }
    }
}

#[test]
fn sums_beyond_what_floats_hold_are_refused() {
    let weights = Weights::from_fn(1 << 10, 1, |_, _| 255);
    let linear = Linear { name: "wide".into(), weights, thresholds: None };
    let input = Input::upper_bits(1 << 10, 1, 1, 8);
    let network = Network::new(input, vec![Layer::Linear(linear)]).expect("a network");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("network.onnx");
    let fault = export(&network, &path).expect_err("too large").to_string();
    assert_eq!(
        fault,
        "the sums of layer 0 may reach 66585600, floats of 32 bits hold integers up to 16777216"
    );
    assert!(!path.exists());
}
