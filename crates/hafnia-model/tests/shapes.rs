//! Every way that layers fail to make a network, with its message.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use expect_test::{Expect, expect};
use hafnia_model::{
    Activate, BitMatrix, Conv, Floats, Input, Layer, Linear, Network, Scores, ShapeError,
    Thresholds, Weights, Window,
};

fn input() -> Input {
    Input::upper_bits(1, 6, 6, 2)
}

fn conv(kernel: usize, padding: usize) -> Conv {
    Conv::new(
        "conv",
        Window::square(kernel, 1, padding),
        BitMatrix::zeros(kernel * kernel, 2),
        Some(Thresholds::shift(2, 2, 1)),
    )
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
        Layer::max_pool(2),
        Layer::Flatten,
        Layer::Linear(linear(8, 3)),
    ];
    let network = Network::new(input(), layers).unwrap();
    assert_eq!(network.classes(), 3);
    assert_eq!(network.shape_after(0).to_string(), "2x4x4");
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
    let cuts = |cuts: &[u8]| Input { cuts: vec![cuts.to_vec()], ..input() };
    check(cuts(&[]), expect!["number of input cuts is 0, it must lie in 1..=255"]);
    check(cuts(&[65, 64]), expect!["input cuts are [65, 64], they must ascend"]);
    check(
        Input { cuts: vec![vec![1], vec![2]], ..input() },
        expect!["1 input channels have 2 lists of cuts"],
    );
    check(
        Input { lowest: 1, ..input() },
        expect!["the lowest activation of the input is 1, it must lie in -255..=0"],
    );
    let floats = |lists, cuts: &[f32], least, largest| {
        let floats = Floats { least, largest, cuts: cuts.to_vec() };
        Input { floats: vec![floats; lists], ..input() }
    };
    check(floats(2, &[], 0.0, 1.0), expect!["1 input channels have floats of 2"]);
    check(
        floats(1, &[0.5, f32::NAN], 0.0, 1.0),
        expect!["a cut or an end of the floats of the input is no number"],
    );
    check(floats(1, &[], 1.0, 0.0), expect!["the floats of the input are from 1 to 0"]);
    check(
        floats(1, &[0.5, 0.25], 0.0, 1.0),
        expect!["the cuts of floats are [0.5, 0.25], they must ascend"],
    );
    check(
        floats(1, &[0.5; 4], 0.0, 1.0),
        expect!["there are 4 cuts of floats, an input of 3 levels has at most as many"],
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
        Layer::Conv(Conv { window: Window::square(0, 1, 0), ..conv(1, 0) }),
        expect!["layer 0 (`conv`): kernel is 0, it must lie in 1..=16384"],
    );
    check(
        Layer::Conv(Conv { window: Window::square(3, 0, 0), ..conv(3, 0) }),
        expect!["layer 0 (`conv`): stride is 0, it must lie in 1..=16384"],
    );
    check(Layer::Conv(conv(3, 3)), expect!["layer 0 (`conv`): padding is 3, it must lie in 0..=2"]);
    check(
        Layer::Conv(Conv { weights: BitMatrix::zeros(9, 0).into(), ..conv(3, 0) }),
        expect!["layer 0 (`conv`): number of outputs is 0, it must lie in 1..=16384"],
    );
    check(Layer::max_pool(0), expect!["layer 0: kernel is 0, it must lie in 1..=16384"]);
    check(
        Layer::Conv(Conv { groups: 2, ..conv(3, 0) }),
        expect!["layer 0 (`conv`): number of groups is 2, it must be 1"],
    );
    // Rows that no memory would hold are refused before a product overflows.
    check(
        Layer::Conv(Conv { window: Window::square(16_384, 1, 16_383), ..conv(1, 0) }),
        expect!["layer 0 (`conv`): number of inputs is 268435456, it must lie in 1..=4194304"],
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
        vec![Layer::max_pool(7), Layer::Linear(linear(1, 1))],
        expect!["layer 0: a 7x7 window with stride 7 does not fit activations of 1x6x6"],
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
        Thresholds::new(2, vec![0; 3]),
        expect!["layer 1 (`hidden`): 2 channels have 3 thresholds, not 2 each"],
    );
    check(
        Thresholds::new(256, vec![0; 512]),
        expect![
            "layer 1 (`hidden`): number of levels above the lowest is 256, it must lie in 1..=255"
        ],
    );
}

#[test]
fn threshold_order() {
    let thresholds = Thresholds::new(3, vec![0, 0, 1, 5, -1, 7]);
    let layers =
        vec![Layer::Flatten, hidden("hidden", 36, thresholds), Layer::Linear(linear(2, 3))];
    check(
        input(),
        layers,
        expect!["layer 1 (`hidden`): thresholds [5, -1, 7] of channel 1 do not ascend"],
    );
}

#[test]
fn levels_of_a_product() {
    let weights = Weights::from_fn(36, 36, |_, _| 3);
    let wide = Linear { name: "wide".into(), weights, thresholds: None };
    check(
        input(),
        vec![Layer::Flatten, Layer::Linear(wide), Layer::Linear(linear(36, 3))],
        expect![
            "layer 2 (`out`): it multiplies integers of 0 to 324, which are over 256 levels: put thresholds before it"
        ],
    );
}

#[test]
fn what_layers_take() {
    let graph = |layers: Vec<(Layer, Vec<usize>)>| {
        Network::graph(input(), layers).map_err(|error| error.to_string())
    };
    let check = |layers, expected: Expect| expected.assert_eq(&graph(layers).unwrap_err());
    let out = |from: usize| (Layer::Linear(linear(36, 3)), vec![from]);
    let flat = (Layer::Flatten, vec![0]);
    graph(vec![flat.clone(), (Layer::Add(vec![1, 2]), vec![1, 1]), out(2)]).unwrap();
    check(
        vec![flat.clone(), (Layer::Add(vec![1, 1]), vec![1]), out(2)],
        expect!["layer 1: it takes 1 values, it must take as many values as factors, at least 2"],
    );
    check(
        vec![flat.clone(), (Layer::Add(vec![1, 1]), vec![1, 0]), out(2)],
        expect!["layer 1: it adds values of 36x1x1 and 1x6x6"],
    );
    check(
        vec![flat.clone(), (Layer::Concat, vec![1, 0]), out(2)],
        expect!["layer 1: it joins values of 36x1x1 and 1x6x6"],
    );
    check(
        vec![flat.clone(), out(2)],
        expect!["layer 1 (`out`): it takes value 2, it must lie in 0..=1"],
    );
    check(
        vec![flat.clone(), flat.clone(), out(2)],
        expect!["layer 0: no layer takes what it gives, only the last gives the outputs"],
    );
    check(
        vec![flat, (Layer::Add(vec![1 << 28, 1 << 28]), vec![1, 1])],
        expect![
            "layer 1: its sums may be 0 to 1610612736, they must lie in -1073741823..=1073741823"
        ],
    );
}

#[test]
fn activations_below_zero() {
    let thresholds = Thresholds { lowest: -1, ..Thresholds::new(2, vec![0, 1]) };
    let activate = Activate { name: "signs".into(), thresholds };
    let layers =
        vec![Layer::Flatten, Layer::Activate(activate.clone()), Layer::Linear(linear(36, 3))];
    // Thresholds of one channel, for 36.
    check(input(), layers, expect!["layer 1 (`signs`): 36 channels have 2 thresholds, not 2 each"]);
    let network = Network::new(
        input(),
        vec![Layer::Activate(activate), Layer::Flatten, Layer::Linear(linear(36, 3))],
    )
    .unwrap();
    assert_eq!((network.range_of(1), network.lowest_of(1)), ((-1, 1), -1));
    assert_eq!(network.matrices()[0].lowest, -1);
}

#[test]
fn scores_fit_the_outputs() {
    let network =
        Network::new(input(), vec![Layer::Flatten, Layer::Linear(linear(36, 3))]).unwrap();
    let scores = Scores { scales: vec![1.0; 2], biases: vec![0.0; 2] };
    let error = network.with_scores(scores).unwrap_err();
    expect!["3 outputs have 2 scales and 2 biases, not one each"].assert_eq(&error.to_string());
}

#[test]
fn no_product() {
    check(input(), vec![], expect!["the network has no convolution or linear layer"]);
    check(input(), vec![Layer::Flatten], expect!["the network has no convolution or linear layer"]);
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
    expect!["bit plane 1 of weights is 36x3, plane 0 is 0x3"]
        .assert_eq(&error.unwrap_err().to_string());
}
