//! Spellings that were found in files of exporters: of the tools of QONNX and FINN, of onnxruntime, of
//! Keras, and of PyTorch.

mod common;

use std::fs;

use common::{Build, QONNX, agrees, imported, int, ints, real};
use hafnia_artifact::npy;
use hafnia_model::{Conv, Layer};
use hafnia_onnx::proto::{Attribute, Function, Model, Node};
use hafnia_onnx::{Imported, Options, Pixels, check, import};
use prost::Message as _;

/// An image of 8 × 8 through a convolution of 4 channels: the graph so far, and the sums.
fn begun() -> (Build, String) {
    let mut build = Build::new(&[1, 1, 8, 8]);
    let weights = build.weights(&[4, 1, 3, 3], -3..=3, 1.0 / 1024.0);
    let sums = build.node("Conv", &["x", &weights], vec![]);
    (build, sums)
}

/// A last layer behind a tensor of so many values.
fn ended(mut build: Build, last: &str, values: i64) -> Model {
    let flat = build.node("Flatten", &[last], vec![]);
    let weights = build.weights(&[values, 5], -2..=2, 0.5);
    let logits = build.node("MatMul", &[&flat, &weights], vec![]);
    build.finish(&logits)
}

fn network_of(model: &Model) -> Imported {
    imported(model, Pixels::Raw).unwrap_or_else(|fault| panic!("{fault}"))
}

/// Weights (output, channel, y, x) of 3 outputs and 2 channels, and the same in another order of axes.
fn weights(build: &mut Build, order: [usize; 4]) -> String {
    let value =
        |at: [usize; 4]| ((at[0] * 31 + at[1] * 17 + at[2] * 5 + at[3] * 3) % 7) as f32 - 3.0;
    let sides = [3, 2, 3, 2];
    let dims = order.map(|axis| sides[axis]);
    let values: Vec<f32> = (0..36)
        .map(|index| {
            let (mut rest, mut at) = (index, [0; 4]);
            for axis in (0..4).rev() {
                at[order[axis]] = rest % dims[axis];
                rest /= dims[axis];
            }
            value(at)
        })
        .collect();
    build.floats(&dims.map(|side| side as i64), &values)
}

/// Two channels through a convolution, written by `product`, whose weights have this order of axes.
fn convolved(
    order: [usize; 4],
    product: impl FnOnce(&mut Build, &str, &str) -> String,
) -> Imported {
    let mut build = Build::new(&[1, 2, 6, 6]);
    let levels = build.quant("x", 32.0, 3.0, false);
    let weights = weights(&mut build, order);
    let sums = product(&mut build, &levels, &weights);
    let levels = build.quant(&sums, 64.0, 3.0, true);
    network_of(&ended(build, &levels, 45))
}

fn first(imported: &Imported) -> &Conv {
    match &imported.network.layers()[0] {
        Layer::Conv(conv) => conv,
        other => panic!("{other:?}"),
    }
}

#[test]
fn convolutions_with_their_channels_last_or_lowered_are_convolutions() {
    let options = || vec![ints("strides", &[2, 1]), ints("pads", &[1, 0, 1, 0])];
    let plain = convolved([0, 1, 2, 3], |build, x, weights| {
        let sums = build.node("Conv", &[x, weights], options());
        build.node("Transpose", &[&sums], vec![ints("perm", &[0, 2, 3, 1])])
    });
    let forth = |build: &mut Build, x: &str| {
        build.node("Transpose", &[x], vec![ints("perm", &[0, 2, 3, 1])])
    };
    let last = convolved([0, 2, 3, 1], |build, x, weights| {
        let image = forth(build, x);
        let domain = "qonnx.custom_op.channels_last";
        build.node_of(domain, "Conv", &[&image, weights], options())
    });
    let lowered = convolved([2, 3, 1, 0], |build, x, weights| {
        let image = forth(build, x);
        let options = vec![
            ints("kernel_size", &[3, 2]),
            ints("stride", &[2, 1]),
            ints("pad_amount", &[1, 0, 1, 0]),
        ];
        let columns = build.node_of(QONNX, "Im2Col", &[&image], options);
        let shape = build.integers(&[12, 3]);
        let matrix = build.node("Reshape", &[weights, &shape], vec![]);
        build.node("MatMul", &[&columns, &matrix], vec![])
    });
    for other in [last, lowered] {
        let (conv, expected) = (first(&other), first(&plain));
        assert_eq!((conv.window, &conv.weights), (expected.window, &expected.weights));
        assert_eq!(conv.thresholds, expected.thresholds);
        let last = |of: &Imported| of.network.layers()[2].weights().cloned();
        assert_eq!(last(&other), last(&plain));
    }
}

#[test]
fn windows_are_taken_by_a_product_alone() {
    let mut build = Build::new(&[1, 6, 6, 1]);
    let options = vec![ints("kernel_size", &[3, 3]), ints("stride", &[1, 1])];
    let columns = build.node_of(QONNX, "Im2Col", &["x"], options);
    let levels = build.node("Relu", &[&columns], vec![]);
    let fault = imported(&build.finish(&levels), Pixels::Raw).expect_err("refused");
    assert_eq!(
        fault,
        "model.onnx: Relu `/Relu_1`: it takes an Im2Col, which only a MatMul with weights may"
    );
}

#[test]
fn padding_may_be_quantised_behind_it() {
    let (mut build, sums) = begun();
    let pads = build.integers(&[0, 0, 1, 0, 0, 0, 1, 2]);
    let (scale, zero) = (build.number(0.0213), build.bytes(2, &[], &[117]));
    let quantised = build.node("QuantizeLinear", &[&sums, &scale, &zero], vec![]);
    let levels = build.node("DequantizeLinear", &[&quantised, &scale, &zero], vec![]);
    let padded = build.node("Pad", &[&levels, &pads], vec![]);
    // 0 is 117 between the two.
    let quantised = build.node("QuantizeLinear", &[&padded, &scale, &zero], vec![]);
    let levels = build.node("DequantizeLinear", &[&quantised, &scale, &zero], vec![]);
    let weights = build.weights(&[2, 4, 3, 3], -1..=1, 1.0);
    let sums = build.node("Conv", &[&levels, &weights], vec![]);
    let levels = build.quant(&sums, 0.5, 4.0, true);
    agrees(&ended(build, &levels, 2 * 6 * 6));
}

#[test]
fn signs_may_be_padded_with_one_of_them() {
    for value in [1.0, -1.0] {
        let (mut build, sums) = begun();
        let normed = build.norm(&sums, 4);
        let one = build.number(1.0);
        let signs = build.node_of(QONNX, "BipolarQuant", &[&normed, &one], vec![]);
        let (pads, value) = (build.integers(&[0, 0, 1, 1, 0, 0, 1, 1]), build.number(value));
        let padded = build.node("Pad", &[&signs, &pads, &value], vec![]);
        let weights = build.weights(&[3, 4, 3, 3], -1..=1, 1.0);
        let sums = build.node("Conv", &[&padded, &weights], vec![]);
        let normed = build.norm(&sums, 3);
        let levels = build.quant(&normed, 0.5, 3.0, false);
        let imported = agrees(&ended(build, &levels, 108));
        assert_eq!(imported.network.layers()[0].thresholds().expect("thresholds").levels, 1);
    }
    // The convolution pads with 0 itself.
    let (mut build, sums) = begun();
    let one = build.number(1.0);
    let signs = build.node_of(QONNX, "BipolarQuant", &[&sums, &one], vec![]);
    let pads = build.integers(&[0, 0, 1, 1, 0, 0, 1, 1]);
    let padded = build.node("Pad", &[&signs, &pads, &one], vec![]);
    let weights = build.weights(&[3, 4, 3, 3], -1..=1, 1.0);
    let sums = build.node("Conv", &[&padded, &weights], vec![ints("pads", &[1; 4])]);
    let fault = imported(&ended(build, &sums, 300), Pixels::Raw).expect_err("refused");
    assert!(fault.ends_with("it pads with 0 what a Pad before it has padded with 1"), "{fault}");
}

#[test]
fn groups_may_take_shuffled_channels() {
    let (mut build, sums) = begun();
    let levels = build.quant(&sums, 0.25, 3.0, false);
    let halves = build.integers(&[1, 2, 2, 36]);
    let halves = build.node("Reshape", &[&levels, &halves], vec![]);
    let shuffled = build.node("Transpose", &[&halves], vec![ints("perm", &[0, 2, 1, 3])]);
    let whole = build.integers(&[1, 4, 6, 6]);
    let image = build.node("Reshape", &[&shuffled, &whole], vec![]);
    let weights = build.weights(&[6, 2, 3, 3], -3..=3, 0.25);
    let sums = build.node("Conv", &[&image, &weights], vec![int("group", 2)]);
    let levels = build.quant(&sums, 0.5, 4.0, true);
    let imported = agrees(&ended(build, &levels, 96));
    // Every output meets all channels, those of the other group with weight 0.
    let conv = imported.network.layers()[1].weights().expect("weights");
    assert_eq!((conv.rows(), conv.columns()), (36, 6));
}

#[test]
fn all_positions_may_be_reduced_at_once() {
    for op in ["ReduceMax", "ReduceSum"] {
        let (mut build, sums) = begun();
        let levels = build.quant(&sums, 0.3, 4.0, false);
        let options = vec![ints("axes", &[2, 3]), int("keepdims", 0)];
        let reduced = build.node(op, &[&levels], options);
        agrees(&ended(build, &reduced, 4));
    }
}

#[test]
fn some_outputs_may_be_left_out() {
    let (mut build, sums) = begun();
    let levels = build.quant(&sums, 0.3, 3.0, true);
    let flat = build.node("Flatten", &[&levels], vec![]);
    let weights = build.weights(&[144, 5], -2..=2, 0.5);
    let bias = build.floats(&[5], &[0.1, 0.2, 0.3, 0.4, 0.5]);
    let logits = build.node("Gemm", &[&flat, &weights, &bias], vec![]);
    let wanted = build.integers(&[4, 1]);
    let some = build.node("Gather", &[&logits, &wanted], vec![int("axis", 1)]);
    let imported = agrees(&build.finish(&some));
    assert_eq!((imported.network.classes(), &imported.order[..]), (2, &[0, 1][..]));
}

#[test]
fn masks_that_several_nodes_take_are_functions_of_the_same_sums() {
    // As Keras writes `where(x < 2, relu(x), 2)`.
    let (mut build, sums) = begun();
    let [one, two] = [1.0, 2.0].map(|value| build.number(value));
    let is_less = build.node("Less", &[&sums, &two], vec![]);
    let mask = build.node("Cast", &[&is_less], vec![int("to", 1)]);
    let other = build.node("Sub", &[&one, &mask], vec![]);
    let active = build.node("Relu", &[&sums], vec![]);
    let below = build.node("Mul", &[&active, &mask], vec![]);
    let above = build.node("Mul", &[&other, &two], vec![]);
    let both = build.node("Add", &[&below, &above], vec![]);
    let levels = build.quant(&both, 0.25, 4.0, false);
    let imported = agrees(&ended(build, &levels, 144));
    assert_eq!(imported.network.layers()[0].thresholds().expect("thresholds").levels, 8);
}

#[test]
fn weights_may_stand_on_the_left() {
    let network = |is_left: bool| {
        let (mut build, sums) = begun();
        let levels = build.quant(&sums, 0.3, 3.0, true);
        let flat = build.node("Flatten", &[&levels], vec![]);
        let weights = build.weights(&[144, 5], -2..=2, 0.5);
        let turn = || vec![ints("perm", &[1, 0])];
        let logits = match is_left {
            false => build.node("MatMul", &[&flat, &weights], vec![]),
            true => {
                let x = build.node("Transpose", &[&flat], turn());
                let weights = build.node("Transpose", &[&weights], turn());
                let sums = build.node("MatMul", &[&weights, &x], vec![]);
                build.node("Transpose", &[&sums], turn())
            }
        };
        network_of(&build.finish(&logits)).network
    };
    let weights = |is_left| network(is_left).layers()[2].weights().cloned();
    assert_eq!(weights(true), weights(false));
}

#[test]
fn signals_may_have_their_channels_last() {
    let network = |is_last: bool| {
        let mut build = Build::new(if is_last { &[1, 9, 3] } else { &[1, 3, 9] });
        let turn = || vec![ints("perm", &[0, 2, 1])];
        let x = if is_last { build.node("Transpose", &["x"], turn()) } else { "x".to_owned() };
        let levels = build.quant(&x, 32.0, 3.0, false);
        let weights = build.weights(&[4, 3, 3], -3..=3, 1.0);
        let sums = build.node("Conv", &[&levels, &weights], vec![]);
        let levels = build.quant(&sums, 64.0, 3.0, true);
        network_of(&ended(build, &levels, 28))
    };
    let (last, plain) = (network(true), network(false));
    assert_eq!((last.channels_last, &last.sides[..]), (true, &[9, 3][..]));
    assert_eq!(last.network.input(), plain.network.input());
    let weights = |of: &Imported| of.network.layers()[0].weights().cloned();
    assert_eq!(weights(&last), weights(&plain));
}

#[test]
fn images_are_compared_in_the_shape_of_the_graph() {
    // Rows that become channels: (1, 4, 4) is no image of 4 channels that come last.
    let mut build = Build::new(&[1, 1, 4, 4]);
    let axes = build.integers(&[1]);
    let rows = build.node("Squeeze", &["x", &axes], vec![]);
    let values: Vec<f32> = (0..24).map(|at| (at % 7) as f32 - 3.0).collect();
    let weights = build.floats(&[2, 4, 3], &values);
    let sums = build.node("Conv", &[&rows, &weights], vec![]);
    let model = build.finish(&sums);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("model.onnx"), model.encode_to_vec()).expect("written");
    let image: [u8; 16] = std::array::from_fn(|at| (at * at % 251) as u8);
    let sum = |output: usize, at: usize| -> f32 {
        let products = (0..12)
            .map(|row| values[output * 12 + row] * f32::from(image[row / 3 * 4 + at + row % 3]));
        products.sum()
    };
    let outputs = [sum(0, 0), sum(0, 1), sum(1, 0), sum(1, 1)];
    fs::write(path("x.npy"), npy::encode(&[1, 1, 4, 4], &image)).expect("written");
    fs::write(path("y.npy"), npy::encode(&[1, 4], &outputs)).expect("written");
    let options = Options { pixels: Pixels::Raw, shape: None, approximate: false };
    let imported = import(path("model.onnx"), &options).expect("imported");
    assert_eq!(imported.network.input().shape().to_string(), "4x1x4");
    let agreement = check(&imported, path("x.npy"), path("y.npy")).expect("compared");
    assert!(agreement.is_whole(), "{agreement}");
    assert_eq!((agreement.outputs, agreement.outputs_off), (4, 0));
}

#[test]
fn floats_of_16_bits_and_cut_images_are_refused() {
    let build = || Build::new(&[1, 1, 6, 6]);
    let halves = build().taking(10).finish("x");
    assert_eq!(
        imported(&halves, Pixels::Raw).expect_err("refused"),
        "model.onnx: its input `x` is of floats of 16 bits, whose roundings are not taken over; export in floats \
         of 32 bits"
    );
    let mut build = build();
    let [starts, ends, axes] = [[1, 1], [5, 5], [2, 3]].map(|values| build.integers(&values));
    let cut = build.node("Slice", &["x", &starts, &ends, &axes], vec![]);
    let weights = build.weights(&[2, 1, 3, 3], -1..=1, 1.0);
    let sums = build.node("Conv", &[&cut, &weights], vec![]);
    assert_eq!(
        imported(&build.finish(&sums), Pixels::Raw).expect_err("refused"),
        "model.onnx: Conv `/Conv_1`: it takes a tensor of sides [1, 1, 4, 4] that is no image of (1, channel, \
         y, x) as the layer before gives it; a Slice before it leaves out positions, cut the images before \
         the network"
    );
}

/// What writes an activation of a tensor.
type Writes = fn(&mut Build, &str) -> String;

#[test]
fn activations_may_rise_and_fall() {
    let gated: Writes = |build, x| {
        // x · min(1, max(0, x / 2 + 1)), as HardSwish.
        let [half, one, zero] = [0.5, 1.0, 0.0].map(|value| build.number(value));
        let halved = build.node("Mul", &[x, &half], vec![]);
        let raised = build.node("Add", &[&halved, &one], vec![]);
        let low = build.node("Min", &[&raised, &one], vec![]);
        let gate = build.node("Max", &[&low, &zero], vec![]);
        build.node("Mul", &[x, &gate], vec![])
    };
    let squared: Writes = |build, x| build.node("Mul", &[x, x], vec![]);
    for (write, scale) in [(gated, 0.125), (gated, 0.0625), (squared, 0.0625)] {
        for is_pooled in [false, true] {
            let (mut build, sums) = begun();
            let mut last = write(&mut build, &sums);
            let window = || vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
            if is_pooled {
                last = build.node("MaxPool", &[&last], window());
            }
            let levels = build.quant(&last, scale, 8.0, true);
            let side = if is_pooled { 3 } else { 6 };
            let imported = agrees(&ended(build, &levels, 4 * side * side));
            let layers = imported.network.layers();
            assert!(layers.iter().any(|layer| matches!(layer, Layer::Add(_))), "{layers:?}");
        }
    }
}

#[test]
fn functions_of_a_file_are_what_they_are_made_of() {
    let (mut build, sums) = begun();
    let (low, high) = (build.number(0.0), build.number(2.0));
    let clipped = build.node_of("local", "Limited", &[&sums, &low, &high], vec![real("bias", 0.5)]);
    let levels = build.quant(&clipped, 0.25, 4.0, false);
    let own = |op: &str, input: &[&str], output: &str| Node {
        input: input.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        name: op.into(),
        op_type: op.into(),
        ..Node::default()
    };
    let bias = Attribute { ref_attr_name: "bias".into(), ..real("value_float", 0.0) };
    let constant = Node { attribute: vec![bias], ..own("Constant", &[], "t0") };
    let function = Function {
        name: "Limited".into(),
        domain: "local".into(),
        input: ["x", "low", "high"].map(Into::into).to_vec(),
        output: vec!["y".into()],
        attribute: vec!["bias".into()],
        node: vec![
            constant,
            own("Add", &["x", "t0"], "t1"),
            own("Clip", &["t1", "low", "high"], "y"),
        ],
        opset_import: Vec::new(),
    };
    let mut model = ended(build, &levels, 144);
    model.functions.push(function.clone());
    let called = network_of(&model).network;
    let (mut build, sums) = begun();
    let numbers = [0.5, 0.0, 2.0].map(|value| build.number(value));
    let biased = build.node("Add", &[&sums, &numbers[0]], vec![]);
    let clipped = build.node("Clip", &[&biased, &numbers[1], &numbers[2]], vec![]);
    let levels = build.quant(&clipped, 0.25, 4.0, false);
    let plain = network_of(&ended(build, &levels, 144)).network;
    assert_eq!(called.layers()[0].thresholds(), plain.layers()[0].thresholds());
    // One that calls itself.
    let call = Node { domain: "local".into(), ..own("Limited", &["x", "low", "high"], "y") };
    model.functions[0] = Function { node: vec![call], ..function };
    assert_eq!(
        imported(&model, Pixels::Raw).expect_err("refused"),
        "model.onnx: its function `Limited` is called within itself, or makes more than 1048576 nodes"
    );
}
