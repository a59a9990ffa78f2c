//! Files of exporters beside what executors gave for them.

use std::path::Path;

use hafnia_model::Layer;
use hafnia_onnx::{Agreement, Imported, Options, Outputs, Pixels, check, import};

/// Imports a file, and compares it.
fn compared(name: &str) -> (Imported, Agreement) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let options = Options { pixels: Pixels::Unit, shape: None, approximate: false };
    let imported = import(folder.join(format!("{name}.onnx")), &options).expect("imported");
    let agreement = check(&imported, folder.join("images.npy"), folder.join(format!("{name}.npy")));
    (imported, agreement.expect("compared"))
}

#[test]
fn files_of_exporters_agree_with_executors() {
    for (name, outputs, compared_outputs) in [
        ("brevitas-residual", Outputs::Scores, 200),
        ("onnxruntime-int8", Outputs::Scores, 200),
        ("larq-channels-last", Outputs::Probabilities, 200),
    ] {
        let (imported, agreement) = compared(name);
        assert_eq!(imported.outputs, outputs, "{name}");
        assert!(agreement.is_whole(), "{name}: {agreement:?}");
        assert_eq!((agreement.images, agreement.outputs_off), (20, 0), "{name}");
        assert_eq!(agreement.outputs, compared_outputs, "{name}");
        assert!(agreement.largest_deviation < 1e-3, "{name}: {agreement:?}");
    }
}

#[test]
fn another_network_does_not_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let (imported, _) = compared("brevitas-residual");
    let agreement =
        check(&imported, folder.join("images.npy"), folder.join("onnxruntime-int8.npy"));
    let agreement = agreement.expect("compared");
    assert!(!agreement.is_whole() && agreement.outputs_off > 100, "{agreement:?}");
    let first = agreement.first_difference.expect("a difference");
    assert!(first.starts_with("image 0, output 0: the network gives "), "{first}");
    let wrong = check(&imported, folder.join("onnxruntime-int8.npy"), folder.join("images.npy"));
    let message = wrong.expect_err("no images").to_string();
    assert!(
        message.ends_with("its images have sides [10], the network takes 1x28x28"),
        "{message}"
    );
}

#[test]
fn residual_branches_meet_in_a_sum() {
    let (imported, _) = compared("brevitas-residual");
    let kinds = imported.network.layers().iter().map(|layer| match layer {
        Layer::Conv(_) => "conv",
        Layer::Linear(_) => "linear",
        Layer::Add(_) => "add",
        Layer::Activate(_) => "thresholds",
        Layer::MaxPool(_) => "max pool",
        Layer::Flatten => "flatten",
        Layer::SumPool(_) | Layer::Concat => "other",
    });
    let expected = ["conv", "conv", "conv", "add", "thresholds", "max pool", "flatten", "linear"];
    assert!(kinds.eq(expected));
}
