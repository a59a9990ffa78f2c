//! What cannot be imported is refused by one message, whatever the bytes.

mod common;

use common::{Build, QONNX, imported, imported_bytes, int, ints, text};
use hafnia_onnx::Pixels;
use hafnia_onnx::proto::{Graph, Model, Node, Sparse, Tensor, ValueInfo};
use proptest::prelude::*;
use prost::Message as _;

/// A small network of two products.
fn whole() -> Model {
    let mut build = Build::new(&[1, 1, 5, 5]);
    let weights = build.weights(&[2, 1, 3, 3], -1..=1, 0.5);
    let sums = build.node("Conv", &["x", &weights], vec![]);
    let levels = build.quant(&sums, 0.5, 2.0, false);
    let flat = build.node("Flatten", &[&levels], vec![]);
    let weights = build.weights(&[18, 3], -1..=1, 1.0);
    let logits = build.node("MatMul", &[&flat, &weights], vec![]);
    build.finish(&logits)
}

fn refused(model: &Model, message: &str) {
    match imported(model, Pixels::Unit) {
        Ok(_) => panic!("imported, expected: {message}"),
        Err(found) => assert_eq!(found, format!("model.onnx: {message}")),
    }
}

/// A graph with a node behind two bits of activations of 2 × 3 × 3.
fn behind(add: impl FnOnce(&mut Build, &str) -> String) -> Model {
    let mut build = Build::new(&[1, 1, 5, 5]);
    let weights = build.weights(&[2, 1, 3, 3], -1..=1, 0.5);
    let sums = build.node("Conv", &["x", &weights], vec![]);
    let levels = build.quant(&sums, 0.5, 2.0, false);
    let output = add(&mut build, &levels);
    build.finish(&output)
}

#[test]
fn nodes_that_compute_something_else_are_named() {
    let cases: Vec<(Model, &str)> = vec![
        (
            behind(|build, x| build.node("Frobnicate", &[x], vec![])),
            "Frobnicate `/Frobnicate_2`: it is not one of the operators that are taken, which docs/import.md \
             lists; write it by those",
        ),
        (
            behind(|build, x| build.node_of("example.org", "Quant", &[x], vec![])),
            "Quant `/Quant_2`: an operator of domain `example.org` is not taken; write it by those that \
             docs/import.md lists",
        ),
        (
            behind(|build, x| {
                build.node_of("finn.custom_op.fpgadataflow", "Thresholding", &[x], vec![])
            }),
            "Thresholding `/Thresholding_2`: its domain `finn.custom_op.fpgadataflow` is of a later stage \
             of FINN; take the model before its layers are specialised",
        ),
        (
            behind(|build, x| build.node("QLinearConv", &[x], vec![])),
            "QLinearConv `/QLinearConv_2`: it is in operator form; quantise with QuantFormat.QDQ",
        ),
        (
            behind(|build, x| build.node("Loop", &[x], vec![])),
            "Loop `/Loop_2`: it decides by data what is computed; unroll it before the export",
        ),
        (
            behind(|build, x| build.node("MatMul", &[x, x], vec![])),
            "MatMul `/MatMul_2`: its weights depend on the image, they must be constants: products of two \
             activations are not taken",
        ),
        (
            behind(|build, x| build.node("Mul", &[x, "x"], vec![])),
            "Mul `/Mul_2`: it takes two tensors that depend on the image in ways of their own (sides [1, 2, \
             3, 3] and [1, 1, 5, 5]): only sums of such are taken",
        ),
        (
            behind(|build, x| build.node("Conv", &[x], vec![])),
            "Conv `/Conv_2`: it lacks its weights",
        ),
        (
            behind(|build, x| {
                let weights = build.weights(&[4, 3, 3, 3], -1..=1, 0.5);
                build.node("Conv", &[x, &weights], vec![])
            }),
            "Conv `/Conv_2`: its 1 groups of weights [4, 3, 3, 3] do not fit an input of 2 channels",
        ),
        (
            behind(|build, x| {
                let weights = build.weights(&[4, 2, 5, 5], -1..=1, 0.5);
                build.node("Conv", &[x, &weights], vec![])
            }),
            "Conv `/Conv_2`: a 5x5 window with stride 1 does not fit images of 2x3x3",
        ),
        (
            behind(|build, x| {
                let weights = build.floats(&[1, 2, 1, 1], &[1.0, std::f32::consts::PI]);
                build.node("Conv", &[x, &weights], vec![])
            }),
            "Conv `/Conv_2`: the 2 weights of output 0 take 2 values that are no integer multiples, up to \
             255, of one step: they are not quantised to 8 bits or fewer; quantise them in training or by \
             `quantize_static`, or import with --approximate",
        ),
        (
            behind(|build, x| {
                let (scale, bits) = (build.number(0.5), build.floats(&[2], &[2.0, 3.0]));
                build.node_of(QONNX, "Quant", &[x, &scale, &scale, &bits], vec![])
            }),
            "Quant `/Quant_2`: its bit width differs from channel to channel, it must be one",
        ),
        (
            behind(|build, x| {
                let number = build.number(1.0);
                let rounding = vec![text("rounding_mode", "NEAREST")];
                build.node_of(QONNX, "Quant", &[x, &number, &number, &number], rounding)
            }),
            "Quant `/Quant_2`: its rounding mode is `NEAREST`, it must be ROUND, CEIL, FLOOR, UP, DOWN, \
             HALF_UP or HALF_DOWN",
        ),
        (
            behind(|build, x| {
                let pads = build.integers(&[0, 0, 1, 1, 0, 0, 1, 1]);
                let pad = build.node("Pad", &[x, &pads], vec![text("mode", "reflect")]);
                build.node("Flatten", &[&pad], vec![])
            }),
            "Pad `/Pad_2`: its mode is reflect, it must be constant",
        ),
        (
            behind(|build, x| {
                let window = vec![ints("kernel_shape", &[2, 2]), ints("pads", &[1, 1, 0, 0])];
                build.node("AveragePool", &[x], window)
            }),
            "AveragePool `/AveragePool_2`: it pads, but counts only what is not padding, so that windows \
             differ in what they are divided by; use count_include_pad, or no padding",
        ),
        (
            behind(|build, x| {
                let shape = build.integers(&[1, 7]);
                build.node("Reshape", &[x, &shape], vec![])
            }),
            "Reshape `/Reshape_2`: it brings 18 elements of sides [1, 2, 3, 3] to sides [1, 7]",
        ),
        (
            behind(|build, x| {
                let soft = build.node("Softmax", &[x], vec![]);
                build.node("Relu", &[&soft], vec![])
            }),
            "Relu `/Relu_3`: Softmax stands before it, which may only end a network",
        ),
        (
            behind(|build, x| build.node("Transpose", &[x], vec![ints("perm", &[0, 0, 1, 2])])),
            "Transpose `/Transpose_2`: its perm is [0, 0, 1, 2], no order of 4 axes",
        ),
        (
            behind(|build, x| build.node("Concat", &[x, "x"], vec![int("axis", 1)])),
            "Concat `/Concat_2`: it joins tensors of sides [1, 2, 3, 3] and [1, 1, 5, 5] along axis 1",
        ),
    ];
    for (model, message) in cases {
        refused(&model, message);
    }
}

#[test]
fn activations_off_a_grid_are_refused() {
    // A scale for each channel inside a product's input.
    let model = behind(|build, x| {
        let scales = build.floats(&[1, 2, 1, 1], &[1.0, std::f32::consts::SQRT_2]);
        let scaled = build.node("Mul", &[x, &scales], vec![]);
        let weights = build.weights(&[1, 2, 1, 1], 1..=1, 1.0);
        build.node("Conv", &[&scaled, &weights], vec![])
    });
    refused(
        &model,
        "Conv `/Conv_3`: its values 0, 0.5, 0.7071067690849304, 1, 1.4142135381698608, 1.5, … lie on no \
         common grid of 256 steps: one scale for all channels is needed",
    );
    // Nothing quantises the sums.
    let mut build = Build::new(&[1, 1, 5, 5]);
    let weights = build.weights(&[2, 1, 3, 3], -1..=1, 0.5);
    let sums = build.node("Conv", &["x", &weights], vec![]);
    let weights = build.weights(&[1, 2, 1, 1], 1..=1, 1.0);
    let again = build.node("Conv", &[&sums, &weights], vec![]);
    refused(
        &build.finish(&again),
        "Conv `/Conv_1`: it takes more than 256 different values: it is not quantised to 8 bits or fewer; \
         put a quantiser before it",
    );
    // The padding lies between −1 and 1.
    let model = behind(|build, x| {
        let (one, less) = (build.number(1.0), build.number(-0.75));
        let shifted = build.node("Add", &[x, &less], vec![]);
        let signs = build.node_of(QONNX, "BipolarQuant", &[&shifted, &one], vec![]);
        let weights = build.weights(&[1, 2, 3, 3], 1..=1, 1.0);
        build.node("Conv", &[&signs, &weights], vec![ints("pads", &[1; 4])])
    });
    refused(
        &model,
        "Conv `/Conv_4`: it pads with 0, which lies between the levels -1 + 2·n of its activations; use \
         activations of which 0 is one, or no padding",
    );
}

#[test]
fn weights_are_rounded_where_that_is_asked_for() {
    let mut build = Build::new(&[1, 1, 2, 2]);
    let flat = build.node("Flatten", &["x"], vec![]);
    let weights = build.floats(&[4, 1], &[1.0, -0.4142, 0.7321, 0.0]);
    let output = build.node("MatMul", &[&flat, &weights], vec![]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, build.finish(&output).encode_to_vec()).expect("written");
    let import = |approximate| {
        let options = hafnia_onnx::Options { pixels: Pixels::Unit, shape: None, approximate };
        hafnia_onnx::import(&path, &options)
    };
    let fault = import(false).expect_err("no grid").to_string();
    assert!(fault.contains("the 4 weights of output 0 take 4 values"), "{fault}");
    let rounded = import(true).expect("imported");
    assert_eq!(rounded.notes, ["/MatMul_1: weights rounded to 8 bits for each output"]);
    let weights = rounded.network.layers()[1].weights().expect("weights");
    assert_eq!(weights.values(), [127, -53, 93, 0]);
}

#[test]
fn graphs_that_are_none_are_refused() {
    let changed = |change: fn(&mut Graph)| {
        let mut model = whole();
        change(model.graph.as_mut().expect("a graph"));
        model
    };
    let shape = |graph: &mut Graph| graph.input[0].r#type = None;
    refused(
        &changed(shape),
        "its input `x` has no shape: write one into the file (`onnx.shape_inference`, or `qonnx.util.cleanup`)",
    );
    let huge = |graph: &mut Graph| {
        let kind = graph.input[0].r#type.as_mut().and_then(|kind| kind.tensor_type.as_mut());
        let dims = &mut kind.and_then(|kind| kind.shape.as_mut()).expect("a shape").dim;
        dims.iter_mut().skip(1).for_each(|dim| dim.dim_value = Some(1 << 14));
    };
    refused(&changed(huge), "its input is 16384x16384x16384, at most 16777216 elements may be");
    refused(&changed(|graph| graph.output.clear()), "its graph gives nothing");
    refused(&changed(|graph| graph.input.clear()), "its output depends on no input");
    refused(
        &changed(|graph| graph.node[0].input[0] = "y".into()),
        "its output depends on no input",
    );
    refused(
        &changed(|graph| graph.node[1].input[1] = "y".into()),
        "Quant `/Quant_1` takes `y`, which nothing gives",
    );
    refused(
        &changed(|graph| {
            let last = graph.node[3].output[0].clone();
            graph.node[1].input[0] = last;
        }),
        "MatMul `/MatMul_3` takes what depends on itself: the graph is a loop",
    );
    refused(
        &changed(|graph| graph.node[1].output = graph.node[0].output.clone()),
        "`t0` is given twice, again by Quant `/Quant_1`",
    );
    refused(
        &changed(|graph| {
            graph.input.push(ValueInfo { name: "z".into(), r#type: None });
            graph.node[1].input[1] = "z".into();
        }),
        "it takes `x` and `z`: a network has one input",
    );
    refused(
        &changed(|graph| graph.initializer[0].dims = vec![1 << 40, 1 << 40]),
        "constant `c0`: its sides [1099511627776, 1099511627776] have more than 33554432 elements, the most \
         that is read",
    );
    let sparse = |graph: &mut Graph| {
        let values = Some(graph.initializer.remove(0));
        graph.sparse_initializer.push(Sparse { values });
    };
    refused(
        &changed(sparse),
        "Conv `/Conv_0` takes `c0`, which is sparse: write constants with all their elements",
    );
    let folder = |graph: &mut Graph| {
        graph.initializer[0].data_location = 1;
        let entry = |key: &str, value: &str| hafnia_onnx::proto::Entry {
            key: key.into(),
            value: value.into(),
        };
        graph.initializer[0].external_data = vec![entry("location", "../secret")];
    };
    refused(
        &changed(folder),
        "constant `c0`: its external data lie in `../secret`, which must be a file beside or below the network's",
    );
}

#[test]
fn bytes_that_are_no_file_are_refused() {
    let message = |bytes: &[u8]| imported_bytes(bytes, Pixels::Unit).expect_err("refused");
    assert_eq!(message(b""), "model.onnx: it holds no graph: it is no ONNX file, or a damaged one");
    assert!(
        message(b"\x89PNG\r\n\x1a\n")
            .starts_with("model.onnx: it is no ONNX file, or a damaged one: ")
    );
    // Nodes of two bytes each, which would take far more memory.
    let node = Node::default().encode_to_vec().len() as u8;
    let nodes = [0x0a, node].repeat(1 << 21);
    let mut bytes = vec![0x3a];
    prost::encoding::encode_varint(nodes.len() as u64, &mut bytes);
    bytes.extend(nodes);
    assert_eq!(
        message(&bytes),
        "model.onnx: it has more than 1048576 nodes, inputs and attributes"
    );
    // A chain of a million operations between two products.
    let mut build = Build::new(&[1, 1, 5, 5]);
    let mut last = "x".to_owned();
    for _ in 0..100_000 {
        last = build.node("Relu", &[&last], vec![]);
    }
    let weights = build.weights(&[2, 1, 3, 3], -1..=1, 0.5);
    let sums = build.node("Conv", &[&last, &weights], vec![]);
    let deep = message(&build.finish(&sums).encode_to_vec());
    assert_eq!(
        deep,
        "model.onnx: Conv `/Conv_100000`: more than 4096 operations stand between two products"
    );
    // A constant that doubles with every node.
    let mut build = Build::new(&[1, 1, 5, 5]);
    let mut last = build.integers(&[1; 1024]);
    for _ in 0..40 {
        last = build.node("Concat", &[&last, &last], vec![int("axis", 0)]);
    }
    let output = build.node("Add", &["x", &last], vec![]);
    let wide = message(&build.finish(&output).encode_to_vec());
    assert!(wide.ends_with("have more than 33554432 elements, the most that is read"), "{wide}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_files_end_in_a_message_or_a_network(
        cut in 0.0f64..1.0,
        changes in proptest::collection::vec((0.0f64..1.0, any::<u8>()), 0..8),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = whole().encode_to_vec();
        for (at, value) in changes {
            let at = (at * bytes.len() as f64) as usize;
            bytes[at] = value;
        }
        if is_cut {
            bytes.truncate((cut * bytes.len() as f64) as usize);
        }
        if let Err(message) = imported_bytes(&bytes, Pixels::Unit) {
            prop_assert!(message.starts_with("model.onnx: ") && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn graphs_of_odd_parts_end_in_a_message_or_a_network(
        ops in proptest::collection::vec((0usize..OPS.len(), 0usize..12, 0usize..12, -3i64..5), 1..10),
    ) {
        let mut build = Build::new(&[1, 2, 4, 4]);
        let mut names = vec!["x".to_owned()];
        names.push(build.weights(&[2, 2, 3, 3], -2..=2, 0.5));
        names.push(build.weights(&[32, 4], -2..=2, 0.5));
        names.push(build.number(0.5));
        names.push(build.integers(&[1, -1]));
        names.push(build.integers(&[0, 0, 1, 1, 0, 0, 1, 1]));
        names.push(build.tensor(Tensor { dims: vec![0], data_type: 1, ..Tensor::default() }));
        for (op, a, b, value) in ops {
            let (a, b) = (names[a % names.len()].clone(), names[b % names.len()].clone());
            let attributes = vec![
                int("axis", value),
                ints("kernel_shape", &[value, 2]),
                ints("kernel_size", &[value, 2]),
                ints("perm", &[0, value, 2, 1]),
                int("group", value),
                int("ceil_mode", value),
                ints("strides", &[value, 1]),
            ];
            let domain = if ["Quant", "Im2Col"].iter().any(|own| OPS[op].ends_with(own)) { QONNX } else { "" };
            names.push(build.node_of(domain, OPS[op], &[&a, &b, &b, &b], attributes));
        }
        let last = names[names.len() - 1].clone();
        if let Err(message) = imported(&build.finish(&last), Pixels::Unit) {
            prop_assert!(message.starts_with("model.onnx: ") && !message.contains('\n'), "{message}");
        }
    }
}

/// Operators that are joined at random.
const OPS: &[&str] = &[
    "Conv",
    "MatMul",
    "Gemm",
    "Add",
    "Mul",
    "Sub",
    "Div",
    "Quant",
    "BipolarQuant",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Concat",
    "Flatten",
    "Reshape",
    "Transpose",
    "Relu",
    "Clip",
    "Pad",
    "Gather",
    "Slice",
    "Split",
    "ReduceMean",
    "ReduceMax",
    "ReduceSum",
    "Im2Col",
    "Squeeze",
    "Unsqueeze",
    "Softmax",
    "QuantizeLinear",
    "DequantizeLinear",
    "BatchNormalization",
    "Expand",
    "Range",
    "Shape",
    "Where",
    "Pow",
    "Min",
    "Max",
    "TopK",
    "ConstantOfShape",
];
