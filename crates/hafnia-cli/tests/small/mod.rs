//! A folder with small files of every kind, and the commands that can be run in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use hafnia_model::{Input, Layer, Linear, Network, Thresholds, Weights};
use tempfile::TempDir;

/// Every command once or more, with the files of [`place`], and commands that fail.
pub(crate) const COMMANDS: [&str; 46] = [
    "data --data data",
    "train --recipe recipe.toml --data data --out new",
    "train --recipe recipe.toml --data data --out new --seeds 2",
    "model import folder --out new.hafnia",
    "model import folder --out new.hafnia --check-logits data",
    "model export net.hafnia new --logits 3 --data data",
    "model evaluate net.hafnia --data data",
    "model refine net.hafnia --data data --out new.hafnia",
    "model merge net.hafnia --layer fc2 --rows 4 --data data --out new.hafnia",
    "model merge net.hafnia --layer fc2 --curve 2,4 --data data",
    "profile net.hafnia --data data --out new.profile",
    "map net.hafnia --pipeline compact --out new.map --emit program --explain --dump-ir",
    "map net.hafnia --from-program program --out new.map",
    "sim net.hafnia net.map --data data --chips 2 --out new.json --attribute --attribute-images=4 --attribute-plot=new.svg",
    "sim net.hafnia --pipeline natural --engine table --data data --chips 2 --verbose",
    "sweep sweep.toml --data data --out new",
    "sweep sweep.toml --data data --out new --share 0/2",
    "sweep sweep.toml --data data --out new --plan",
    "cost net.hafnia net.map --against natural --plot new.svg --data data --draws 10 --out new.json",
    "frontier net.hafnia --profile net.profile --data data --steps 10 --chips 2 --out new",
    "passes",
    "models",
    "macros",
    "macros show gt-n40",
    "macros new new.toml",
    "macros codes --out new.csv --plot new.svg",
    "bench --model frontier --images 64 --seconds 0.1",
    "shapes lenet5 --seconds 0.01",
    "chip program net.map --out new.chip",
    "chip show net.chip",
    "chip export net.chip --out new",
    "fit cells cells.csv --out new.toml --plot new.svg",
    "fit codes codes.csv --out new.csv",
    "inspect net.hafnia",
    "inspect --model frontier",
    "completions bash",
    "man --out new",
    "report run",
    "report run run --out new.html",
    "--help",
    "--version",
    "sweep wrong.toml --data data --out new",
    "reproduce --offline --out new",
    "inspect missing",
    "map net.hafnia --pipeline missing --out new.map",
    "sim --bogus",
];

const SWEEP: &str = r#"
name = "small"
chips = 2
shard_chips = 1
images = 3
replicates = 10
[base]
network = "net.hafnia"
[axes]
pipeline = ["natural", "compact"]
"#;

const RECIPE: &str = r#"
epochs = 2
batch = 8
[[layer]]
name = "fc1"
outputs = 6
activation_bits = 1
[[layer]]
name = "fc2"
outputs = 3
"#;

pub(crate) fn hafnia(place: &Path, line: &str, end: &str) -> Output {
    let script = format!("exec {} {line} {end}", env!("CARGO_BIN_EXE_hafnia"));
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir(place).env("XDG_CACHE_HOME", place);
    command.output().unwrap()
}

/// A folder with a small network, images for it, and all that commands make of them.
pub(crate) fn place() -> TempDir {
    let place = TempDir::new().unwrap();
    let path = |name: &str| place.path().join(name);
    let write = |name: &str, content: &[u8]| fs::write(path(name), content).unwrap();
    let fc1 = Linear {
        name: "fc1".into(),
        weights: Weights::from_fn(16, 6, |row, column| [1, -1][(row * 5 + column * 3) % 7 % 2]),
        thresholds: Some(Thresholds::new(1, vec![0, 2, -2, 0, 1, 0])),
    };
    let fc2 = Linear {
        name: "fc2".into(),
        weights: Weights::from_fn(6, 3, |row, column| [1, -1][(row + column) % 3 % 2]),
        thresholds: None,
    };
    let layers = vec![Layer::Flatten, Layer::Linear(fc1), Layer::Linear(fc2)];
    let network = Network::new(Input::upper_bits(1, 4, 4, 1), layers).unwrap();
    hafnia_artifact::save(path("net.hafnia"), &network).unwrap();

    fs::create_dir(path("data")).unwrap();
    for (part, images) in [("train", 40u8), ("t10k", 10)] {
        let pixels = (0..16 * u32::from(images)).map(|i| (i * 97 % 256) as u8);
        let header = [0, 0, 8, 3, 0, 0, 0, images, 0, 0, 0, 4, 0, 0, 0, 4];
        let bytes: Vec<u8> = header.into_iter().chain(pixels).collect();
        write(&format!("data/{part}-images-idx3-ubyte"), &bytes);
        let header = [0, 0, 8, 1, 0, 0, 0, images];
        let bytes: Vec<u8> = header.into_iter().chain((0..images).map(|i| i % 3)).collect();
        write(&format!("data/{part}-labels-idx1-ubyte"), &bytes);
    }
    let cell = |state: &str, i: usize, mean: f64| {
        format!("{state},{}\n", mean * (1.0 + 0.01 * (i % 9) as f64))
    };
    let cells: String = (0..90).map(|i| cell("LRS", i, 40.0) + &cell("HRS", i, 2.0)).collect();
    write("cells.csv", format!("state,g_us\n{cells}").as_bytes());
    let mut codes = "n,m,code,count\n".to_owned();
    for (n, m) in (1..=7).flat_map(|n| (0..=n).map(move |m| (n, m))) {
        (0..8).for_each(|code| codes += &format!("{n},{m},{code},{}\n", 99 * i32::from(code == m)));
    }
    write("codes.csv", codes.as_bytes());
    write("sweep.toml", SWEEP.as_bytes());
    write("wrong.toml", SWEEP.replace("compact", "missing").as_bytes());
    write("recipe.toml", RECIPE.as_bytes());
    let claims = include_str!("../../../../docs/claims.toml");
    let claims = hafnia_report::Claims::parse(claims, Path::new("claims.toml")).unwrap();
    let (scope, metrics) = Default::default();
    let report = hafnia_report::Report::new("run", scope, &claims, metrics).unwrap();
    fs::create_dir(path("run")).unwrap();
    for (name, bytes) in hafnia_report::files(&report) {
        write(&format!("run/{name}"), &bytes);
    }
    write("run/report.html", b"an older page");
    for line in [
        "map net.hafnia --pipeline compact --out net.map --emit program=program",
        "profile net.hafnia --data data --out net.profile",
        "chip program net.map --out net.chip",
        "model export net.hafnia folder --logits 3 --data data",
    ] {
        let output = hafnia(place.path(), line, "");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    place
}

/// A copy of a folder.
pub(crate) fn copy(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    let from = folder.join(".");
    let status = Command::new("cp").arg("-r").args([&from, copy.path()]).status().unwrap();
    assert!(status.success());
    copy
}

/// All files below a folder by their paths, with those contents in which no time is.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(below).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            let has_times = [".manifest.json", "training.json", "training.csv", "summary.json"];
            let has_times = has_times.iter().any(|end| name.ends_with(end));
            // A pipe would never end.
            let is_read = path.is_file() && !has_times;
            let content = if is_read { fs::read(&path).unwrap() } else { Vec::new() };
            found.insert(name, content);
        }
    }
    found
}

/// What is printed, without the numbers, some of which are times.
pub(crate) fn words(stdout: &[u8]) -> String {
    let text = String::from_utf8_lossy(stdout);
    let words = text.split(|c: char| c.is_ascii_digit() || "., s-".contains(c));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
