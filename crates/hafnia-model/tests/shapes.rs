//! Every way that layers fail to make a network, with its message.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use expect_test::{Expect, expect};
use hafnia_model::{
    BitMatrix, Conv, Input, Layer, Linear, Network, ShapeError, Thresholds, Weights,
};

fn input() -> Input {
    Input::upper_bits(1, 6, 6, 2)
}

fn conv(kernel: usize, padding: usize) -> Conv {
    Conv {
        name: "conv".into(),
        kernel,
        stride: 1,
        padding,
        weights: BitMatrix::zeros(kernel * kernel, 2).into(),
        thresholds: Some(Thresholds::shift(2, 2, 1)),
    }
}

fn linear(rows: usize, columns: usize) -> Linear {
    let weights = BitMatrix::zeros(rows, columns).into();
    Linear { name: "out".into(), weights, thresholds: None }
}

fn hidden(name: &str, rows: usize, thresholds: Thresholds) -> Layer {
    let weights = BitMatrix::zeros(rows, 2).into();
    Layer::Linear(Linear { name: name.into(), weights, thresholds: Some(thresholds) })
}

#[track_caller]
fn check(input: Input, layers: Vec<Layer>, expected: Expect) {
    let error: ShapeError = Network::new(input, layers).unwrap_err();
    expected.assert_eq(&error.to_string());
}

#[test]
fn the_layers_of_these_tests_fit() {
    let layers = vec![
        Layer::Conv(conv(3, 0)),
        Layer::MaxPool { size: 2 },
        Layer::Flatten,
        Layer::Linear(linear(8, 3)),
    ];
    let network = Network::new(input(), layers).unwrap();
    assert_eq!(network.classes(), 3);
    assert_eq!(network.shape_before(1).to_string(), "2x4x4");
}

#[test]
fn range() {
    let check = |input, expected| {
        check(input, vec![Layer::Flatten, Layer::Linear(linear(36, 3))], expected);
    };
    check(
        Input { channels: 0, ..input() },
        expect!["input channels is 0, it must lie in 1..=16384"],
    );
    check(
        Input { height: 20_000, ..input() },
        expect!["input height is 20000, it must lie in 1..=16384"],
    );
    check(Input { width: 0, ..input() }, expect!["input width is 0, it must lie in 1..=16384"]);
    let cuts = |cuts: &[u8]| Input { cuts: cuts.to_vec(), ..input() };
    check(cuts(&[]), expect!["number of input cuts is 0, it must lie in 1..=255"]);
    check(cuts(&[0, 64]), expect!["input cut 1 is 0, it must lie in 1..=255"]);
    check(
        cuts(&[64, 64]),
        expect!["input cuts are [64, 64], they must ascend, each above the one before"],
    );
    check(
        Input { channels: 16_384, height: 16_384, ..input() },
        expect!["size of the input is 1610612736, it must lie in 1..=67108864"],
    );
}

#[test]
fn range_of_a_layer() {
    let check =
        |layer, expected| check(input(), vec![layer, Layer::Linear(linear(1, 1))], expected);
    check(
        Layer::Conv(Conv { kernel: 0, ..conv(1, 0) }),
        expect!["layer 0 (`conv`): kernel is 0, it must lie in 1..=16384"],
    );
    check(
        Layer::Conv(Conv { stride: 0, ..conv(3, 0) }),
        expect!["layer 0 (`conv`): stride is 0, it must lie in 1..=16384"],
    );
    check(Layer::Conv(conv(3, 3)), expect!["layer 0 (`conv`): padding is 3, it must lie in 0..=2"]);
    check(
        Layer::Conv(Conv { weights: BitMatrix::zeros(9, 0).into(), ..conv(3, 0) }),
        expect!["layer 0 (`conv`): number of outputs is 0, it must lie in 1..=16384"],
    );
    check(Layer::MaxPool { size: 0 }, expect!["layer 0: pool size is 0, it must lie in 1..=16384"]);
    // Rows that no memory would hold are refused before a product overflows.
    let huge = Conv { kernel: 16_384, padding: 16_383, ..conv(1, 0) };
    check(
        Layer::Conv(huge.clone()),
        expect!["layer 0 (`conv`): number of inputs is 268435456, it must lie in 1..=4194304"],
    );
    // A sum of weights up to ±3 has room for fewer.
    check(
        Layer::Conv(Conv { weights: Weights::from_fn(1, 2, 2, |_, _| 3), ..huge }),
        expect!["layer 0 (`conv`): number of inputs is 268435456, it must lie in 1..=1398101"],
    );
}

#[test]
fn window() {
    check(
        input(),
        vec![Layer::Conv(conv(7, 0)), Layer::Linear(linear(1, 1))],
        expect!["layer 0 (`conv`): a 7x7 window with stride 1 does not fit activations of 1x6x6"],
    );
    check(
        input(),
        vec![Layer::MaxPool { size: 4 }, Layer::Linear(linear(1, 1))],
        expect!["layer 0: a 4x4 window with stride 4 does not fit activations of 1x6x6"],
    );
}

#[test]
fn rows() {
    check(
        input(),
        vec![Layer::Flatten, Layer::Linear(linear(35, 3))],
        expect!["layer 1 (`out`): 35 weight rows for 36 inputs (activations of 36x1x1)"],
    );
    let thin = Conv { weights: BitMatrix::zeros(8, 2).into(), ..conv(3, 0) };
    check(
        input(),
        vec![Layer::Conv(thin), Layer::Linear(linear(1, 1))],
        expect!["layer 0 (`conv`): 8 weight rows for 9 inputs (activations of 1x6x6)"],
    );
}

#[test]
fn not_flat() {
    check(
        input(),
        vec![Layer::Linear(linear(36, 3))],
        expect![
            "layer 0 (`out`): a linear layer cannot take activations of 1x6x6: put a flatten layer before it"
        ],
    );
}

#[test]
fn threshold_count() {
    let check = |thresholds, expected| {
        let layers =
            vec![Layer::Flatten, hidden("hidden", 36, thresholds), Layer::Linear(linear(2, 3))];
        check(input(), layers, expected);
    };
    check(
        Thresholds { levels: 2, values: vec![0; 4] },
        expect!["layer 1 (`hidden`): 2 channels have 4 thresholds, not 2 times 1, 3, 7 or 15"],
    );
    check(
        Thresholds { levels: 3, values: vec![0; 3] },
        expect!["layer 1 (`hidden`): 2 channels have 3 thresholds, not 2 times 1, 3, 7 or 15"],
    );
}

#[test]
fn threshold_order() {
    let thresholds = Thresholds { levels: 3, values: vec![0, 0, 1, 5, -1, 7] };
    let layers =
        vec![Layer::Flatten, hidden("hidden", 36, thresholds), Layer::Linear(linear(2, 3))];
    check(
        input(),
        layers,
        expect!["layer 1 (`hidden`): thresholds [5, -1, 7] of channel 1 do not ascend"],
    );
}

#[test]
fn threshold_place() {
    let last = hidden("last", 36, Thresholds::shift(2, 2, 1));
    check(
        input(),
        vec![Layer::Flatten, last],
        expect!["layer 1 (`last`): the last layer must have no thresholds"],
    );
    let raw = Layer::Linear(linear(36, 3));
    check(
        input(),
        vec![Layer::Flatten, raw.clone(), raw],
        expect!["layer 1 (`out`): thresholds are missing, only the last layer has none"],
    );
}

#[test]
fn no_output() {
    check(input(), vec![], expect!["the network must end in a linear layer"]);
    check(
        input(),
        vec![Layer::Conv(conv(3, 0))],
        expect!["the network must end in a linear layer"],
    );
}

#[test]
fn name() {
    let check = |name: &str, expected| {
        let first = hidden(name, 36, Thresholds::shift(2, 1, 0));
        check(input(), vec![Layer::Flatten, first, Layer::Linear(linear(2, 3))], expected);
    };
    check("out", expect!["layer 2 (`out`): its name is taken by an earlier layer"]);
    check("", expect!["layer 1 (``): its name must be made of a-z, A-Z, 0-9, `_` and `-`"]);
    check(
        "../out",
        expect!["layer 1 (`../out`): its name must be made of a-z, A-Z, 0-9, `_` and `-`"],
    );
}

#[test]
fn a_network_that_is_read_is_checked() {
    let network =
        Network::new(input(), vec![Layer::Flatten, Layer::Linear(linear(36, 3))]).unwrap();
    let json = serde_json::to_string(&network).unwrap();
    assert_eq!(serde_json::from_str::<Network>(&json).unwrap(), network);
    let error = serde_json::from_str::<Network>(&json.replace("\"height\":6", "\"height\":7"));
    expect!["layer 1 (`out`): 36 weight rows for 42 inputs (activations of 42x1x1)"]
        .assert_eq(&error.unwrap_err().to_string());
    let uneven = r#""planes":[{"rows":0,"columns":3,"words":[]},"#;
    let error = serde_json::from_str::<Network>(&json.replace("\"planes\":[", uneven));
    expect!["bit plane 1 of weights is 36x3, plane 0 is 0x3 at line 1 column 271"]
        .assert_eq(&error.unwrap_err().to_string());
}
