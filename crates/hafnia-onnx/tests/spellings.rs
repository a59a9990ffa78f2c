//! The same layers as exporters write them: whatever the spelling, the integers of the network are
//! those of the graph.

mod common;

use common::{Build, QONNX, agrees, imported, int, ints, real, text};
use hafnia_model::Layer;
use hafnia_onnx::Pixels;

/// An image of 8 × 8 through a convolution of 4 channels: the graph so far, and the sums.
fn begun() -> (Build, String) {
    let mut build = Build::new(&[1, 1, 8, 8]);
    let weights = build.weights(&[4, 1, 3, 3], -3..=3, 1.0 / 1024.0);
    let sums = build.node("Conv", &["x", &weights], vec![]);
    (build, sums)
}

/// A last layer behind a tensor of so many values.
fn ended(mut build: Build, last: &str, values: i64) -> hafnia_onnx::proto::Model {
    let flat = build.node("Flatten", &[last], vec![]);
    let weights = build.weights(&[values, 5], -2..=2, 0.5);
    let logits = build.node("MatMul", &[&flat, &weights], vec![]);
    build.finish(&logits)
}

#[test]
fn norms_of_either_sign_become_thresholds() {
    let (mut build, sums) = begun();
    let normed = build.norm(&sums, 4);
    let active = build.node("Relu", &[&normed], vec![]);
    let levels = build.quant(&active, 0.21, 3.0, false);
    let imported = agrees(&ended(build, &levels, 144));
    assert_eq!(imported.network.layers().len(), 3);
    assert_eq!(imported.network.layers()[0].thresholds().expect("thresholds").levels, 7);
}

#[test]
fn signed_activations_are_padded_with_0() {
    let (mut build, sums) = begun();
    let normed = build.norm(&sums, 4);
    let levels = build.quant(&normed, 0.3, 3.0, true);
    let weights = build.weights(&[6, 4, 3, 3], -7..=7, 0.03);
    let pads = vec![ints("pads", &[1, 2, 0, 1]), ints("strides", &[2, 1])];
    let sums = build.node("Conv", &[&levels, &weights], pads);
    let levels = build.quant(&sums, 0.2, 4.0, true);
    let imported = agrees(&ended(build, &levels, 6 * 3 * 7));
    let thresholds = imported.network.layers()[0].thresholds().expect("thresholds");
    assert_eq!((thresholds.levels, thresholds.lowest), (7, -4));
}

#[test]
fn groups_and_dilations_are_kept() {
    let (mut build, sums) = begun();
    let levels = build.quant(&sums, 0.2, 2.0, false);
    let weights = build.weights(&[8, 2, 2, 3], -1..=1, 0.5);
    let options = vec![int("group", 2), ints("dilations", &[2, 1])];
    let sums = build.node("Conv", &[&levels, &weights], options);
    let levels = build.quant(&sums, 0.5, 4.0, true);
    let imported = agrees(&ended(build, &levels, 8 * 4 * 4));
    assert!(matches!(&imported.network.layers()[1], Layer::Conv(conv) if conv.groups == 2));
}

/// Levels whose channels have scales of their own, through a convolution of so many groups.
fn scaled_by_channel(groups: i64, padded: i64, signed: bool) -> hafnia_onnx::proto::Model {
    let (mut build, sums) = begun();
    let levels = build.quant(&sums, 0.25, 3.0, signed);
    // Of the second channel all weights turn.
    let scales = build.floats(&[1, 4, 1, 1], &[0.31, -0.73, 1.17, 0.059]);
    let scaled = build.node("Mul", &[&levels, &scales], vec![]);
    let weights = build.weights(&[8, 4 / groups, 3, 3], -3..=3, 0.5);
    let options = vec![int("group", groups), ints("pads", &[padded; 4])];
    let sums = build.node("Conv", &[&scaled, &weights], options);
    let normed = build.norm(&sums, 8);
    let levels = build.quant(&normed, 0.4, 4.0, true);
    ended(build, &levels, 8 * (4 + 2 * padded) * (4 + 2 * padded))
}

#[test]
fn groups_may_have_scales_of_their_own() {
    for (padded, signed) in [(0, false), (1, false), (0, true), (1, true)] {
        let imported = agrees(&scaled_by_channel(4, padded, signed));
        assert!(matches!(&imported.network.layers()[1], Layer::Conv(conv) if conv.groups == 4));
    }
    let fault = imported(&scaled_by_channel(2, 0, false), Pixels::Raw).expect_err("two scales");
    assert!(fault.contains("lie on no common grid of 256 steps: one scale for all"), "{fault}");
}

#[test]
fn maxima_may_stand_before_a_norm_that_falls() {
    for padded in [0, 1] {
        let (mut build, sums) = begun();
        let window = vec![
            ints("kernel_shape", &[3, 3]),
            ints("strides", &[2, 2]),
            ints("pads", &[padded; 4]),
        ];
        let pooled = build.node("MaxPool", &[&sums], window);
        let normed = build.norm(&pooled, 4);
        let levels = build.quant(&normed, 0.4, 3.0, padded == 1);
        let weights = build.weights(&[3, 4, 3, 3], -1..=1, 1.0);
        let sums = build.node("Conv", &[&levels, &weights], vec![ints("pads", &[padded; 4])]);
        let levels = build.quant(&sums, 0.7, 4.0, true);
        let side = if padded == 0 { 1 } else { 3 };
        // A kernel of 3 needs 3 rows: without padding two are there.
        if padded == 0 {
            continue;
        }
        agrees(&ended(build, &levels, 3 * side * side));
    }
    let (mut build, sums) = begun();
    let window = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[1, 1])];
    let pooled = build.node("MaxPool", &[&sums], window);
    let normed = build.norm(&pooled, 4);
    let active = build.node("Relu", &[&normed], vec![]);
    let levels = build.quant(&active, 0.4, 3.0, false);
    agrees(&ended(build, &levels, 100));
}

#[test]
fn means_are_sums() {
    for global in [false, true] {
        let (mut build, sums) = begun();
        let levels = build.quant(&sums, 0.3, 3.0, true);
        let (mean, side) = match global {
            true => (build.node("GlobalAveragePool", &[&levels], vec![]), 1),
            false => {
                let window = vec![ints("kernel_shape", &[2, 3]), ints("strides", &[2, 3])];
                (build.node("AveragePool", &[&levels], window), 6)
            }
        };
        let again = if global { mean } else { build.quant(&mean, 0.17, 4.0, true) };
        let imported = agrees(&ended(build, &again, 4 * side));
        assert!(imported.network.layers().iter().any(|layer| matches!(layer, Layer::SumPool(_))));
    }
}

#[test]
fn a_mean_of_many_levels_is_taken_apart() {
    let (mut build, sums) = begun();
    let levels = build.quant(&sums, 0.3, 6.0, true);
    let mean = build.node("GlobalAveragePool", &[&levels], vec![]);
    let imported = agrees(&ended(build, &mean, 4));
    // 36 positions of up to 64 levels are more than 256: each position has the weight of its channel.
    let weights = imported.network.layers()[2].weights().expect("weights");
    assert_eq!((weights.rows(), weights.columns()), (144, 5));
    assert!((1..36).all(|row| weights.row(row) == weights.row(0)));
}

#[test]
fn a_mean_may_stand_before_the_quantiser() {
    let (mut build, sums) = begun();
    let window = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    let mean = build.node("AveragePool", &[&sums], window);
    let levels = build.quant(&mean, 0.37, 4.0, true);
    let imported = agrees(&ended(build, &levels, 36));
    assert!(matches!(imported.network.layers()[1], Layer::SumPool(_)));
}

#[test]
fn vectors_may_be_images() {
    let mut build = Build::new(&[1, 36]);
    let shape = build.integers(&[1, 1, 6, 6]);
    let image = build.node("Reshape", &["x", &shape], vec![]);
    let weights = build.weights(&[2, 1, 3, 3], -3..=3, 1.0 / 1024.0);
    let sums = build.node("Conv", &[&image, &weights], vec![]);
    let levels = build.quant(&sums, 0.21, 3.0, false);
    let imported = agrees(&ended(build, &levels, 32));
    assert_eq!(imported.network.input().shape().to_string(), "1x6x6");
}

#[test]
fn branches_of_one_scale_are_added() {
    let (mut build, sums) = begun();
    let first = build.quant(&sums, 0.5, 3.0, false);
    let weights = build.weights(&[4, 4, 1, 1], -2..=2, 0.25);
    let sums = build.node("Conv", &[&first, &weights], vec![]);
    let second = build.quant(&sums, 0.25, 4.0, true);
    let both = build.node("Add", &[&second, &first], vec![]);
    let levels = build.quant(&both, 0.5, 4.0, true);
    let imported = agrees(&ended(build, &levels, 144));
    // 0.5 is two steps of 0.25.
    let factors = imported.network.layers().iter().find_map(|layer| match layer {
        Layer::Add(factors) => Some(factors.clone()),
        _ => None,
    });
    assert_eq!(factors, Some(vec![1, 2]));
}

#[test]
fn a_branch_of_sums_is_added_by_thresholds() {
    for (op, scale) in [("Add", 0.5), ("Add", 0.25), ("Sub", 0.5)] {
        let (mut build, sums) = begun();
        let first = build.quant(&sums, 0.5, 2.0, false);
        let weights = build.weights(&[4, 4, 1, 1], -2..=2, 0.25);
        let sums = build.node("Conv", &[&first, &weights], vec![]);
        let normed = build.norm(&sums, 4);
        let both = build.node(op, &[&normed, &first], vec![]);
        let levels = build.quant(&both, scale, 3.0, true);
        agrees(&ended(build, &levels, 144));
    }
}

#[test]
fn a_sum_may_be_normed_before_it_is_quantised() {
    // Norms of either sign behind the addition: channels fall with both branches, or rise.
    let (mut build, sums) = begun();
    let first = build.quant(&sums, 0.5, 3.0, true);
    let weights = build.weights(&[4, 4, 1, 1], -2..=2, 0.25);
    let sums = build.node("Conv", &[&first, &weights], vec![]);
    let normed = build.norm(&sums, 4);
    let both = build.node("Add", &[&first, &normed], vec![]);
    let (ones, zeros) =
        (build.floats(&[4], &[1.5, -0.75, 1.0, -2.0]), build.floats(&[4], &[0.0; 4]));
    let (mean, variance) =
        (build.floats(&[4], &[0.25, 0.5, -0.5, 0.0]), build.floats(&[4], &[1.0; 4]));
    let all: [&str; 5] = [&both, &ones, &zeros, &mean, &variance];
    let normed = build.node("BatchNormalization", &all, vec![real("epsilon", 0.0)]);
    let levels = build.quant(&normed, 0.5, 3.0, true);
    agrees(&ended(build, &levels, 144));
}

#[test]
fn branches_of_bytes_are_added_whatever_their_scales() {
    let mut build = Build::new(&[1, 1, 8, 8]);
    let branch = |build: &mut Build, scale: f32| {
        let weights = build.weights(&[3, 1, 3, 3], -100..=100, 1.0 / 131072.0);
        let sums = build.node("Conv", &["x", &weights], vec![]);
        let (scale, zero) = (build.number(scale), build.bytes(2, &[], &[128]));
        let quantised = build.node("QuantizeLinear", &[&sums, &scale, &zero], vec![]);
        build.node("DequantizeLinear", &[&quantised, &scale, &zero], vec![])
    };
    let (first, second) = (branch(&mut build, 0.0123), branch(&mut build, 0.0071));
    let both = build.node("Add", &[&first, &second], vec![]);
    let (scale, zero) = (build.number(0.0157), build.bytes(2, &[], &[99]));
    let quantised = build.node("QuantizeLinear", &[&both, &scale, &zero], vec![]);
    let levels = build.node("DequantizeLinear", &[&quantised, &scale, &zero], vec![]);
    agrees(&ended(build, &levels, 108));
}

#[test]
fn joined_branches_share_a_grid() {
    let (mut build, sums) = begun();
    let shared = build.quant(&sums, 0.5, 2.0, false);
    let weights = build.weights(&[3, 4, 1, 1], -2..=2, 0.25);
    let sums = build.node("Conv", &[&shared, &weights], vec![]);
    let other = build.quant(&sums, 0.25, 3.0, true);
    let joined = build.node("Concat", &[&other, &shared], vec![int("axis", 1)]);
    let weights = build.weights(&[2, 7, 3, 3], -2..=2, 0.25);
    let sums = build.node("Conv", &[&joined, &weights], vec![ints("pads", &[1; 4])]);
    let levels = build.quant(&sums, 0.5, 4.0, true);
    agrees(&ended(build, &levels, 72));
}

#[test]
fn bipolar_activations_lie_between_integers() {
    let (mut build, sums) = begun();
    let normed = build.norm(&sums, 4);
    let one = build.number(1.0);
    let signs = build.node_of(QONNX, "BipolarQuant", &[&normed, &one], vec![]);
    let weights = build.weights(&[3, 4, 3, 3], -1..=1, 1.0);
    let sums = build.node("Conv", &[&signs, &weights], vec![]);
    let normed = build.norm(&sums, 3);
    let signs = build.node_of(QONNX, "BipolarQuant", &[&normed, &one], vec![]);
    let imported = agrees(&ended(build, &signs, 48));
    assert_eq!(imported.network.layers()[0].thresholds().expect("thresholds").levels, 1);
}

#[test]
fn thresholds_may_be_written_out() {
    let (mut build, sums) = begun();
    let cuts: Vec<f32> =
        (0..12).map(|at| (at % 3) as f32 * 0.31 - 0.2 + (at / 3) as f32 * 0.1).collect();
    let cuts = build.floats(&[4, 3], &cuts);
    let levels =
        build.node_of(QONNX, "MultiThreshold", &[&sums, &cuts], vec![text("data_layout", "NCHW")]);
    let imported = agrees(&ended(build, &levels, 144));
    assert_eq!(imported.network.layers()[0].thresholds().expect("thresholds").levels, 3);
}

#[test]
fn quantisers_may_be_written_out() {
    // Round, between Max and Min, and as training writes it: x + (q − x).
    let (mut build, sums) = begun();
    let numbers = [0.0, 1.0, 7.0].map(|value| build.number(value));
    let [zero, one, seven] = &numbers;
    let low = build.node("Max", &[&sums, zero], vec![]);
    let clipped = build.node("Min", &[&low, one], vec![]);
    let scaled = build.node("Mul", &[&clipped, seven], vec![]);
    let rounded = build.node("Round", &[&scaled], vec![]);
    let levels = build.node("Div", &[&rounded, seven], vec![]);
    let less = build.node("Sub", &[&levels, &clipped], vec![]);
    let levels = build.node("Add", &[&clipped, &less], vec![]);
    agrees(&ended(build, &levels, 144));
}

#[test]
fn bytes_are_quantised_by_output() {
    let mut build = Build::new(&[1, 1, 8, 8]);
    let integers: Vec<i32> = (0..36).map(|_| build.draw(-127..=127)).collect();
    let weights = build.bytes(3, &[4, 1, 3, 3], &integers);
    let (scales, zeros) = (
        build.floats(&[4], &[0.01 / 256.0, 0.02 / 256.0, 0.005 / 256.0, 0.03 / 256.0]),
        build.bytes(3, &[4], &[0; 4]),
    );
    let weights =
        build.node("DequantizeLinear", &[&weights, &scales, &zeros], vec![int("axis", 0)]);
    let bias = build.floats(&[4], &[0.1, -0.2, 0.33, 0.0]);
    let sums = build.node("Conv", &["x", &weights, &bias], vec![]);
    let (scale, zero) = (build.number(0.0217), build.bytes(2, &[], &[17]));
    let quantised = build.node("QuantizeLinear", &[&sums, &scale, &zero], vec![]);
    let levels = build.node("DequantizeLinear", &[&quantised, &scale, &zero], vec![]);
    let imported = agrees(&ended(build, &levels, 144));
    let thresholds = imported.network.layers()[0].thresholds().expect("thresholds");
    assert_eq!((thresholds.levels, thresholds.lowest), (255, -17));
}

#[test]
fn channels_may_come_last() {
    let mut build = Build::new(&[1, 8, 8, 3]);
    let image = build.node("Transpose", &["x"], vec![ints("perm", &[0, 3, 1, 2])]);
    let weights = build.weights(&[4, 3, 3, 3], -1..=1, 0.5);
    let sums = build.node("Conv", &[&image, &weights], vec![]);
    let last = build.node("Transpose", &[&sums], vec![ints("perm", &[0, 2, 3, 1])]);
    let bias = build.floats(&[4], &[0.1, 0.2, -0.3, 0.4]);
    let biased = build.node("Add", &[&last, &bias], vec![]);
    let levels = build.quant(&biased, 0.3, 3.0, false);
    // A product with the channels of every position, then rows in order (y, x, channel).
    let weights = build.weights(&[4, 2], -2..=2, 0.5);
    let sums = build.node("MatMul", &[&levels, &weights], vec![]);
    let levels = build.quant(&sums, 0.5, 3.0, false);
    let model = ended(build, &levels, 72);
    let imported = imported(&model, Pixels::Unit).expect("imported");
    assert!(imported.channels_last);
    // The executor is given (y, x, channel), the network (channel, y, x).
    let pixels: Vec<u8> = (0..192).map(|at| (at * 37 % 256) as u8).collect();
    let turned: Vec<f32> =
        (0..192).map(|at| f32::from(pixels[at % 3 * 64 + at / 3]) / 255.0).collect();
    let expected = common::execute(&model, &turned).values;
    let network = &imported.network;
    let sums = hafnia_model::run(
        network,
        &network.input().levels_of(&pixels),
        &mut hafnia_model::ReferenceProduct::new(network),
    );
    for (sum, expected) in sums.iter().zip(expected) {
        let found = imported.scales[0] * f64::from(*sum);
        assert!(
            (found - f64::from(expected)).abs() < 1e-3 * imported.scales[0],
            "{found}, not {expected}"
        );
    }
}

#[test]
fn padding_may_stand_by_itself() {
    let (mut build, sums) = begun();
    let levels = build.quant(&sums, 0.3, 3.0, true);
    let pads = build.integers(&[0, 0, 1, 0, 0, 0, 2, 1]);
    let padded = build.node("Pad", &[&levels, &pads], vec![]);
    let weights = build.weights(&[2, 4, 3, 3], -1..=1, 1.0);
    let sums = build.node("Conv", &[&padded, &weights], vec![]);
    let levels = build.quant(&sums, 0.5, 4.0, true);
    agrees(&ended(build, &levels, 2 * 7 * 5));
}

#[test]
fn a_norm_may_stand_behind_flatten() {
    let (mut build, sums) = begun();
    let flat = build.node("Flatten", &[&sums], vec![]);
    let normed = build.norm(&flat, 144);
    let levels = build.quant(&normed, 0.3, 3.0, true);
    agrees(&ended(build, &levels, 144));
}

#[test]
fn outputs_may_be_quantised() {
    let (mut build, sums) = begun();
    let levels = build.quant(&sums, 0.3, 3.0, true);
    let flat = build.node("Flatten", &[&levels], vec![]);
    let weights = build.weights(&[144, 5], -2..=2, 0.5);
    let bias = build.floats(&[5], &[0.1, 0.2, 0.3, 0.4, 0.5]);
    let logits = build.node("Gemm", &[&flat, &weights, &bias], vec![]);
    let logits = build.quant(&logits, 0.75, 5.0, true);
    let imported = agrees(&build.finish(&logits));
    assert_eq!(imported.notes[0], "the outputs are quantised, which makes ties");
}

#[test]
fn classes_have_scales_and_biases_of_their_own() {
    let (mut build, sums) = begun();
    let levels = build.quant(&sums, 0.3, 3.0, true);
    let flat = build.node("Flatten", &[&levels], vec![]);
    let weights = build.weights(&[144, 5], -2..=2, 0.5);
    let logits = build.node("MatMul", &[&flat, &weights], vec![]);
    // A scale below 0 turns the weights.
    let scales = build.floats(&[5], &[0.3, -0.7, 1.1, 0.9, 0.2]);
    let logits = build.node("Mul", &[&logits, &scales], vec![]);
    let bias = build.floats(&[5], &[0.1, 0.2, 0.3, -0.4, 0.5]);
    let logits = build.node("Add", &[&logits, &bias], vec![]);
    let imported = agrees(&build.finish(&logits));
    assert!(!imported.network.scores().is_plain());
    assert!(imported.scales.iter().all(|&scale| scale > 0.0));
}

#[test]
fn the_same_integers_come_of_every_opset() {
    let network = |opset: i64| {
        let mut build = Build::new(&[1, 1, 8, 8]).opset(opset);
        let weights = build.weights(&[4, 1, 3, 3], -3..=3, 0.25);
        let sums = build.node("Conv", &["x", &weights], vec![]);
        let clipped = if opset < 11 {
            build.node("Clip", &[&sums], vec![real("min", 0.0), real("max", 2.0)])
        } else {
            let (low, high) = (build.number(0.0), build.number(2.0));
            build.node("Clip", &[&sums, &low, &high], vec![])
        };
        let levels = build.quant(&clipped, 0.5, 4.0, false);
        let axes = if opset < 13 {
            build.node("Unsqueeze", &[&levels], vec![ints("axes", &[0])])
        } else {
            let axes = build.integers(&[0]);
            build.node("Unsqueeze", &[&levels, &axes], vec![])
        };
        let shape = build.integers(&[1, -1]);
        let flat = build.node("Reshape", &[&axes, &shape], vec![]);
        let weights = Build::new(&[1]).weights(&[1], 1..=1, 1.0);
        let _ = weights;
        let values: Vec<f32> = (0..288).map(|at| (at % 5) as f32 - 2.0).collect();
        let weights = build.floats(&[144, 2], &values);
        let logits = build.node("MatMul", &[&flat, &weights], vec![]);
        imported(&build.finish(&logits), Pixels::Unit).expect("imported").network
    };
    assert_eq!(network(9).layers()[1..], network(17).layers()[1..]);
}
