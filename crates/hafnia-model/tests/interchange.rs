//! The interchange folder: what is written is read back, and every damage has its message.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};
use hafnia_artifact::npy;
use hafnia_model::interchange::{export, export_with_logits, import, read_reference_logits};
use hafnia_model::random::{self, Limits};
use hafnia_model::{
    BitMatrix, Conv, Input, InterchangeError, Layer, Linear, Network, ReferenceProduct, Thresholds,
    Weights, Window, run,
};
use hafnia_rng::Seed;
use proptest::prelude::*;
use proptest::sample::select;

/// The example of `docs/formats.md`.
fn example() -> Network {
    let weights = BitMatrix::from_fn(4, 2, |row, column| column == 0 || row % 2 == 0);
    let thresholds = Thresholds::new(3, vec![2, 4, 8, -1, 0, 1]);
    let conv = Conv::new("conv1", Window::square(2, 1, 0), weights, Some(thresholds));
    let linear = Linear {
        name: "fc1".into(),
        weights: BitMatrix::from_fn(2, 3, |row, column| row == 0 || column == 2).into(),
        thresholds: None,
    };
    let input = Input::upper_bits(1, 3, 3, 2);
    let layers = vec![Layer::Conv(conv), Layer::max_pool(2), Layer::Flatten, Layer::Linear(linear)];
    Network::new(input, layers).unwrap()
}

/// A network that takes floats too, half the time.
fn with_floats(network: Network, seed: Seed) -> Network {
    let input = network.input().clone();
    let floats = if seed.0.is_multiple_of(2) { Vec::new() } else { random::floats(seed, &input) };
    let layers = network.layers().iter().enumerate();
    let steps = layers.map(|(at, layer)| (layer.clone(), network.from(at).to_vec()));
    let scored = Network::graph(Input { floats, ..input }, steps.collect()).unwrap();
    scored.with_scores(network.scores().clone()).unwrap()
}

/// An error with its causes, the folder left out.
fn message(error: InterchangeError, folder: &Path) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text.replace(folder.to_str().unwrap(), "DIR")
}

/// Damages the folder of the example and expects the importer to say so.
#[track_caller]
fn check(damage: impl FnOnce(&Path), expected: Expect) {
    check_of(&example(), damage, expected);
}

/// Damages the folder of a network and expects the importer to say so.
#[track_caller]
fn check_of(network: &Network, damage: impl FnOnce(&Path), expected: Expect) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("network");
    export(network, &folder).unwrap();
    damage(&folder);
    expected.assert_eq(&message(import(&folder).unwrap_err(), &folder));
}

/// Replaces text in `network.json`.
fn edit(from: &str, to: &str) -> impl FnOnce(&Path) {
    move |folder| {
        let path = folder.join("network.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
    }
}

/// Changes the bytes of a file.
fn change(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> impl FnOnce(&Path) {
    move |folder| {
        let path = folder.join(name);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

proptest! {
    // Every case writes files through to the disk.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn networks_round_trip(seed: u64, weight_bits in select(vec![0u8, 1, 8])) {
        let network = match weight_bits {
            0 => random::graph(Seed(seed)),
            _ => random::network(Seed(seed), Limits { weight_bits, ..Limits::default() }),
        };
        let network = with_floats(network, Seed(seed));
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("above/network");
        export(&network, &folder).unwrap();
        prop_assert_eq!(&import(&folder).unwrap(), &network);
        let file = parent.path().join("above/network.hafnia");
        hafnia_artifact::save(&file, &network).unwrap();
        prop_assert_eq!(hafnia_artifact::load::<Network>(&file).unwrap(), network);
        fs::remove_file(file).unwrap();
        prop_assert_eq!(names(&parent.path().join("above")), ["network"]);
    }

    #[test]
    fn damage_never_panics(file in 0usize..4, at: prop::sample::Index, byte: u8, cut: bool) {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("network");
        export(&example(), &folder).unwrap();
        let path = folder.join(&names(&folder)[file]);
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        fs::write(&path, bytes).unwrap();
        let _ = import(&folder);
    }
}

#[test]
fn the_example_is_that_of_the_documentation() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("network");
    export(&example(), &folder).unwrap();
    assert_eq!(
        names(&folder),
        ["conv1.thresholds.npy", "conv1.weights.npy", "fc1.weights.npy", "network.json"]
    );
    let image = [0, 1, 2, 3, 0, 1, 0, 0, 1];
    assert_eq!(run(&example(), &image, &mut ReferenceProduct::new(&example())), [-1, -1, 5]);
    let json = fs::read_to_string(folder.join("network.json")).unwrap();
    let page = include_str!("../../../docs/formats.md");
    assert!(page.contains(&format!("```json\n{json}```")), "docs/formats.md lacks\n{json}");
}

#[test]
fn weights_are_in_the_order_of_the_documentation() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("network");
    let mut weights = BitMatrix::zeros(2 * 3 * 3, 2);
    // Out channel 1, in channel 1, ky 2, kx 0.
    weights.set(9 + 2 * 3, 1, true);
    let thresholds = Some(Thresholds::shift(2, 1, 0));
    let conv = Conv::new("c", Window::square(3, 1, 0), weights, thresholds);
    let out = Linear { name: "o".into(), weights: BitMatrix::zeros(2, 1).into(), thresholds: None };
    let input = Input::upper_bits(2, 3, 3, 8);
    let network = Network::new(input, vec![Layer::Conv(conv), Layer::Linear(out)]).unwrap();
    export(&network, &folder).unwrap();
    let bytes = fs::read(folder.join("c.weights.npy")).unwrap();
    let values = &bytes[bytes.len() - 2 * 2 * 3 * 3..];
    let ones: Vec<_> = (0..values.len()).filter(|&at| values[at] == 1).collect();
    let (inputs, side, out, channel, ky, kx) = (2, 3, 1, 1, 2, 0);
    assert_eq!(ones, [((out * inputs + channel) * side + ky) * side + kx]);
}

/// Folders of before say how many bits odd weights have.
#[test]
fn weights_of_two_bits_may_say_so() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("network");
    let weights = Weights::from_fn(4, 1, |row, _| [-3, -1, 1, 3][row]);
    let layer = Layer::Linear(Linear { name: "fc1".into(), weights, thresholds: None });
    let input = Input::upper_bits(4, 1, 1, 2);
    let network = Network::new(input, vec![layer]).unwrap();
    export(&network, &folder).unwrap();
    let bytes = fs::read(folder.join("fc1.weights.npy")).unwrap();
    assert_eq!(bytes[128..], [-3, -1, 1, 3].map(|value: i8| value as u8));
    assert_eq!(import(&folder).unwrap(), network);
    let says = |bits: &str| {
        let named = format!("\"weight_bits\": {bits}, \"weights\"");
        move |folder: &Path| edit("\"weights\"", &named)(folder)
    };
    says("2")(&folder);
    assert_eq!(import(&folder).unwrap(), network);

    let check_bits = |bits: &str, expected| check_of(&network, says(bits), expected);
    check_bits(
        "1",
        expect![
            "DIR/fc1.weights.npy: the weight at [0, 0] is -3, with 1 bits it must be an odd number in -1..=1"
        ],
    );
    check_bits(
        "3",
        expect!["DIR/network.json: layer `fc1` has weights of 3 bits, they must have 1, 2, 4 or 8"],
    );
    check_bits(
        "null",
        expect![
            "DIR/network.json: layer 0 (`fc1`): `weight_bits`: invalid type: null, expected u8"
        ],
    );
}

/// Weights go to ±255, which `int8` does not hold.
#[test]
fn wide_weights_are_int16() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("network");
    let weights = Weights::from_fn(4, 1, |row, _| [-255, 0, 126, 255][row]);
    let layer = Layer::Linear(Linear { name: "fc1".into(), weights, thresholds: None });
    let input = Input::upper_bits(4, 1, 1, 2);
    let network = Network::new(input, vec![layer]).unwrap();
    export(&network, &folder).unwrap();
    let bytes = fs::read(folder.join("fc1.weights.npy")).unwrap();
    assert_eq!(bytes[128..], [-255i16, 0, 126, 255].map(i16::to_le_bytes).concat());
    assert_eq!(import(&folder).unwrap(), network);
    check_of(
        &network,
        change("fc1.weights.npy", |bytes| bytes[135] = 1),
        expect!["DIR/fc1.weights.npy: the weight at [0, 3] is 511, it must lie in -255..=255"],
    );
}

/// Folders of before say how pixels are reduced by bits and a shift.
#[test]
fn a_shift_is_read_as_cuts() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("network");
    export(&example(), &folder).unwrap();
    let path = folder.join("network.json");
    let cuts = fs::read_to_string(&path).unwrap();
    let list = cuts.split_once("\"cuts\": ").unwrap().1.split_once(']').unwrap().0;
    let with = |input: &str| {
        fs::write(&path, cuts.replace(&format!("\"cuts\": {list}]"), input)).unwrap();
        import(&folder).unwrap()
    };
    assert_eq!(with("\"bits\": 2, \"shift\": 6"), example());
    assert_eq!(with("\"bits\": 8, \"shift\": 0").input().levels(), 255);
    // One bit is never reached: 255 >> 7 is 1.
    assert_eq!(with("\"bits\": 2, \"shift\": 7").input().cuts, [[128]]);
    assert_eq!(with("\"cuts\": [65]").input().cuts, [[65]]);
}

#[test]
fn descriptions_that_are_refused() {
    let input = |with: &'static str| {
        move |folder: &Path| {
            let path = folder.join("network.json");
            let text = fs::read_to_string(&path).unwrap();
            let (before, rest) = text.split_once("\"cuts\": ").unwrap();
            let (_, after) = rest.split_once(']').unwrap();
            fs::write(&path, format!("{before}{with}{after}")).unwrap();
        }
    };
    check(
        input("\"cuts\": [64, 256]"),
        expect!["DIR/network.json: a cut of the input is 256, it must lie in 0..=255"],
    );
    check(
        input("\"cuts\": [-1]"),
        expect!["DIR/network.json: a cut of the input is -1, it must lie in 0..=255"],
    );
    check(
        input("\"cuts\": [128, 64]"),
        expect!["DIR/network.json: input cuts are [128, 64], they must ascend"],
    );
    check(
        input("\"cuts\": []"),
        expect!["DIR/network.json: number of input cuts is 0, it must lie in 1..=255"],
    );
    check(
        input("\"bits\": 2"),
        expect!["DIR/network.json: the input needs `cuts`, or `bits` and `shift`"],
    );
    check(
        input("\"bits\": 2, \"shift\": 5"),
        expect!["DIR/network.json: `shift` of the input is 5, it must lie in 6..=7"],
    );
    check(
        input("\"bits\": 9, \"shift\": 0"),
        expect!["DIR/network.json: `bits` of the input is 9, it must lie in 1..=8"],
    );
    check(
        |folder| fs::remove_file(folder.join("network.json")).unwrap(),
        expect!["cannot read DIR/network.json: No such file or directory (os error 2)"],
    );
    check(
        |folder| fs::remove_dir_all(folder).unwrap(),
        expect!["cannot read DIR/network.json: No such file or directory (os error 2)"],
    );
    check(edit("{", "["), expect!["DIR/network.json: expected `,` or `]` at line 2 column 11"]);
    check(
        edit("hafnia-network/1", "hafnia-network/2"),
        expect!["DIR/network.json: `format` is `hafnia-network/2`, it must be `hafnia-network/1`"],
    );
    check(edit("\"format\"", "\"forma\""), expect!["DIR/network.json: `format` is missing"]);
    check(
        edit("\"cuts\"", "\"cups\""),
        expect![
            "DIR/network.json: `input`: `cups` is not a field, fields are `channels`, `height`, `width`, `cuts`, `lowest` and `floats`, or `bits` and `shift`"
        ],
    );
    check(
        edit("\"conv\"", "\"depthwise\""),
        expect![
            "DIR/network.json: layer 0 (`conv1`): `kind` is `depthwise`, it must be conv, linear, max_pool, sum_pool, add, concat, flatten or activate"
        ],
    );
    check(
        edit("\"stride\": 1,", "\"stride\": 1, \"dilatation\": 2,"),
        expect![
            "DIR/network.json: layer 0 (`conv1`): `dilatation` is not a field, fields are `kind`, `name`, `kernel`, `stride`, `dilation`, `padding`, `groups`, `weight_bits`, `weights`, `thresholds`, `lowest` and `from`"
        ],
    );
    check(
        edit("\"flatten\"", "\"flatten\", \"axis\": 1"),
        expect!["DIR/network.json: layer 2: `axis` is not a field, fields are `kind` and `from`"],
    );
    check(
        edit("\"stride\": 1", "\"stride\": -1"),
        expect![
            "DIR/network.json: layer 0 (`conv1`): `stride`: it must be a whole number or a list of them"
        ],
    );
    check(
        edit("\"height\": 3", "\"height\": 5"),
        expect![
            "DIR/network.json: layer 3 (`fc1`): 2 weight rows for 4 inputs (activations of 4x1x1)"
        ],
    );
    check(
        edit("\"channels\": 1", "\"channels\": 2"),
        expect![
            "DIR/network.json: layer 0 (`conv1`): 4 weight rows for 8 inputs (activations of 2x3x3)"
        ],
    );
}

#[test]
fn file_names_that_are_refused() {
    let check = |name: &str, expected| check(edit("fc1.weights.npy", name), expected);
    check(
        "../fc1.weights.npy",
        expect![
            "DIR/network.json: file name `../fc1.weights.npy` must be made of a-z, A-Z, 0-9, `_`, `-` and `.`, must not begin with `.` and must end in `.npy`"
        ],
    );
    check(
        "/tmp/fc1.weights.npy",
        expect![
            "DIR/network.json: file name `/tmp/fc1.weights.npy` must be made of a-z, A-Z, 0-9, `_`, `-` and `.`, must not begin with `.` and must end in `.npy`"
        ],
    );
    check(
        "a\\\\b.npy",
        expect![[
            r#"DIR/network.json: file name `a\b.npy` must be made of a-z, A-Z, 0-9, `_`, `-` and `.`, must not begin with `.` and must end in `.npy`"#
        ]],
    );
    check(
        ".npy",
        expect![
            "DIR/network.json: file name `.npy` must be made of a-z, A-Z, 0-9, `_`, `-` and `.`, must not begin with `.` and must end in `.npy`"
        ],
    );
    check(
        "fc1.weights",
        expect![
            "DIR/network.json: file name `fc1.weights` must be made of a-z, A-Z, 0-9, `_`, `-` and `.`, must not begin with `.` and must end in `.npy`"
        ],
    );
    check(
        "",
        expect![
            "DIR/network.json: file name `` must be made of a-z, A-Z, 0-9, `_`, `-` and `.`, must not begin with `.` and must end in `.npy`"
        ],
    );
    check(
        "fc2.weights.npy",
        expect!["cannot read DIR/fc2.weights.npy: No such file or directory (os error 2)"],
    );
}

#[test]
fn tensors_that_are_refused() {
    let weights = "conv1.weights.npy";
    check(
        change(weights, |bytes| bytes.truncate(131)),
        expect!["DIR/conv1.weights.npy: its shape [2, 1, 2, 2] takes 8 bytes of data, 3 are there"],
    );
    check(
        change(weights, |bytes| bytes.push(1)),
        expect!["DIR/conv1.weights.npy: its shape [2, 1, 2, 2] takes 8 bytes of data, 9 are there"],
    );
    check(
        change(weights, |bytes| *bytes = b"text".to_vec()),
        expect![[r#"DIR/conv1.weights.npy: it does not begin with the magic `\x93NUMPY`"#]],
    );
    check(
        edit(weights, "fc1.weights.npy"),
        expect!["DIR/fc1.weights.npy: its shape is [3, 2], it must be (out, in, 2, 2), not empty"],
    );
    check(
        edit("fc1.weights.npy", weights),
        expect![
            "DIR/conv1.weights.npy: its shape is [2, 1, 2, 2], it must be (out, in), not empty"
        ],
    );
    check(
        edit(weights, "conv1.thresholds.npy"),
        expect!["DIR/conv1.thresholds.npy: its elements are `<i4`, they must be int8 (`|i1`)"],
    );
    check(
        edit("\"kernel\": 2", "\"kernel\": 3"),
        expect![
            "DIR/conv1.weights.npy: its shape is [2, 1, 2, 2], it must be (out, in, 3, 3), not empty"
        ],
    );

    let thresholds = "conv1.thresholds.npy";
    check(
        change(thresholds, |bytes| bytes[128] = 5),
        expect!["DIR/conv1.thresholds.npy: thresholds [5, 4, 8] of channel 0 do not ascend"],
    );
    check(
        edit(thresholds, "fc1.weights.npy"),
        expect!["DIR/fc1.weights.npy: its elements are `|i1`, they must be int32 (`<i4`)"],
    );
    let text = |bytes: &mut Vec<u8>, from: &str, to: &str| {
        let header = String::from_utf8(bytes[10..128].to_vec()).unwrap();
        bytes.splice(10..128, header.replace(from, to).bytes());
    };
    check(
        change(thresholds, |bytes| text(bytes, "(2, 3)", "(3, 2)")),
        expect!["DIR/conv1.thresholds.npy: its shape is [3, 2], it must be (2, 1 to 255)"],
    );
    check(
        change(thresholds, |bytes| text(bytes, "(2, 3)", "(6,  )")),
        expect!["DIR/conv1.thresholds.npy: its shape is [6], it must be (2, 1 to 255)"],
    );
    check(
        change(thresholds, |bytes| text(bytes, "<i4", "<f4")),
        expect!["DIR/conv1.thresholds.npy: its elements are `<f4`, they must be int32 (`<i4`)"],
    );
    check(
        change(weights, |bytes| {
            text(bytes, "(2, 1, 2, 2)", "(0, 1, 2, 2)");
            bytes.truncate(128);
        }),
        expect![
            "DIR/conv1.weights.npy: its shape is [0, 1, 2, 2], it must be (out, in, 2, 2), not empty"
        ],
    );
}

#[cfg(unix)]
#[test]
fn a_file_without_end_is_refused() {
    let endless = |folder: &Path| {
        fs::File::create(folder.join("fc1.weights.npy")).unwrap().set_len((1 << 28) + 1).unwrap();
    };
    check(endless, expect!["cannot read DIR/fc1.weights.npy: it has more than 268435456 bytes"]);
}

#[test]
fn only_interchange_folders_are_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("network");
    fs::create_dir(&folder).unwrap();
    export_with_logits(&random::lenet5(Seed(1)), &[vec![1, 2]], &folder).unwrap();
    export(&example(), &folder).unwrap();
    assert_eq!(import(&folder).unwrap(), example());
    assert_eq!(names(&folder).len(), 4, "nothing is left of the first network");

    let check = |name: &str, text: &str, expected: Expect| {
        let before = names(&folder);
        fs::write(folder.join(name), text).unwrap();
        let error = export(&example(), &folder).unwrap_err();
        expected.assert_eq(&message(error, &folder));
        fs::remove_file(folder.join(name)).unwrap();
        assert_eq!(names(&folder), before);
    };
    check(
        "thesis.tex",
        "",
        expect!["cannot write DIR: it holds `thesis.tex`, which would be lost"],
    );
    check("mine.npy", "", expect!["cannot write DIR: it holds `mine.npy`, which would be lost"]);
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    check(
        "network.json",
        "{}",
        expect!["cannot write DIR: it holds `network.json`, which would be lost"],
    );
    fs::remove_dir(&folder).unwrap();
    fs::write(&folder, "a file").unwrap();
    expect!["cannot write DIR: it is a file, which is not replaced by a folder"]
        .assert_eq(&message(export(&example(), &folder).unwrap_err(), &folder));
    assert_eq!(fs::read_to_string(&folder).unwrap(), "a file");
    assert_eq!(names(parent.path()), ["network"]);
}

#[test]
fn reference_logits_round_trip() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("network");
    export(&example(), &folder).unwrap();
    assert_eq!(read_reference_logits(&folder).unwrap(), None);
    let logits = vec![vec![1, -2, 3], vec![i32::MIN, i32::MAX, 0]];
    export_with_logits(&example(), &logits, &folder).unwrap();
    assert_eq!(read_reference_logits(&folder).unwrap(), Some(logits));
    fs::write(folder.join("reference_logits.npy"), npy::encode::<i32>(&[0, 0], &[])).unwrap();
    let error = read_reference_logits(&folder).unwrap_err();
    expect![
        "DIR/reference_logits.npy: its shape is [0, 0], it must be (images, classes), not empty"
    ]
    .assert_eq(&message(error, &folder));
}
