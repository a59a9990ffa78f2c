//! The command line as a user meets it: a way through all commands on the committed subset, and
//! what is said about wrong input.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use expect_test::{Expect, expect};
use hafnia_model::{Input, Layer, Linear, Network, Weights, random};
use hafnia_rng::Seed;
use hafnia_simd::Isa;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with a random LeNet-5 in `net.hafnia`.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        hafnia_artifact::save(folder.path().join("net.hafnia"), &random::lenet5(Seed(1))).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn call(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_hafnia"))
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", self.folder.path())
            .output()
            .unwrap()
    }

    /// Runs a command that succeeds; gives its stdout.
    fn run(&self, line: &str) -> String {
        let output = self.call(line);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "hafnia {line}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.run(&format!("{line} --format json"))).unwrap()
    }

    /// Runs a command that fails with this exit code and one line on stderr.
    fn fail(&self, line: &str, code: i32, expected: Expect) {
        let output = self.call(line);
        assert_eq!(output.status.code(), Some(code), "hafnia {line}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let folder = self.folder.path().display().to_string();
        expected.assert_eq(&stderr.replace(&folder, "[PLACE]"));
    }

    /// The files and folders there are, but for the network and what it was told to ignore.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A network with 2-bit weights.
fn wide_network() -> Network {
    let weights = Weights::from_fn(4, 2, |_, _| 3);
    let fc1 = Linear { name: "fc1".into(), weights, thresholds: None };
    let input = Input::upper_bits(4, 1, 1, 2);
    Network::new(input, vec![Layer::Linear(fc1)]).unwrap()
}

/// Weights of 2 bits are mapped too, a slice a column or two in a cell.
#[test]
fn wide_weights_are_mapped() {
    let place = Place::new();
    hafnia_artifact::save(place.path("wide.hafnia"), &wide_network()).unwrap();
    let check = |options: &str, line: &str| {
        place.run(&format!("map wide.hafnia --pipeline natural {options} --out wide.map"));
        let text = std::fs::read_to_string(place.path("wide.map")).unwrap();
        assert!(text.contains(line), "{text}");
        place.run("inspect wide.map");
    };
    check("", "\nmatrix m0 fc1 4x2 weights 2\n");
    check("--macro gt-n40-mlc", "\nmacro gt-n40-mlc 128x128 cells 2\n");
}

/// How every matrix is computed is in the outcome and, with --verbose, on stderr.
#[test]
fn paths_are_told() {
    let place = Place::new();
    let options = "--pipeline natural --images 2 --chips 1 --noise-in all --offline";
    let sim = |line: &str| {
        let output = place.call(&format!("sim {line} {options} --format json"));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        (String::from_utf8(output.stderr).unwrap(), found["mappings"][0]["paths"].clone())
    };
    let (stderr, paths) = sim("net.hafnia --engine exact --set adc.bits=8");
    assert!(!stderr.contains("conv1"), "{stderr}");
    assert_eq!(paths[0], json!({ "layer": "conv1", "path": "product" }));

    let (stderr, paths) = sim("net.hafnia --verbose");
    assert!(stderr.contains("natural: fc3: conversion by conversion, in vectors"), "{stderr}");
    assert_eq!(paths[0], json!({ "layer": "conv1", "path": "converted", "why": "cells" }));

    assert!(
        place.run("inspect net.hafnia").contains("\nfc1: conversion by conversion, in vectors")
    );
    assert_eq!(place.json("inspect net.hafnia")["paths"], paths);
}

#[test]
fn a_network_goes_all_the_way() {
    let place = Place::new();
    let found = place.json("data --offline");
    assert_eq!((&found["full"], &found["test"]), (&Value::from(false), &Value::from(1000)));

    place.run("profile net.hafnia --offline --images 40 --out net.profile");
    place.run("map net.hafnia --pipeline natural --out natural.map");
    place.run(
        "map net.hafnia --pipeline paper --profile net.profile --set sigma_lrs_rel=0.3 --out best.map",
    );

    // The mapped network computes what the reference computes.
    let evaluated = place.json("model evaluate net.hafnia --offline");
    let exact = place.json(
        "sim net.hafnia natural.map best.map --engine exact --noise-in all --chips 1 --offline",
    );
    for mapping in exact["mappings"].as_array().unwrap() {
        assert_eq!(mapping["accuracy_mean"], evaluated["accuracy"]["value"]);
        assert_eq!(mapping["drop_points"]["value"], 0.0);
    }

    let sim = "sim net.hafnia natural.map best.map --chips 3 --images 100 --set sigma_lrs_rel=0.3 \
               --offline --out sim.json";
    let noisy = place.json(sim);
    assert_eq!(noisy["mappings"].as_array().unwrap().len(), 2);
    assert!(place.path("sim.json.manifest.json").exists());
    assert_eq!(noisy, place.json(sim), "the same call gives the same numbers");

    for file in ["net.hafnia", "net.profile", "best.map", "best.map.manifest.json"] {
        place.run(&format!("inspect {file}"));
        place.json(&format!("inspect {file}"));
    }
}

#[test]
fn a_network_goes_out_and_comes_back() {
    let place = Place::new();
    place.run("model export net.hafnia exported --logits 3 --offline");
    place.run("model import exported --out back.hafnia");
    let bytes = |name: &str| std::fs::read(place.path(name)).unwrap();
    assert_eq!(bytes("net.hafnia"), bytes("back.hafnia"));

    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../hafnia-data/mnist-subset");
    let import = format!("model import exported --out back.hafnia --check-logits {data}");
    let agree = "3 images × 10 outputs agree with reference_logits.npy";
    assert!(place.run(&import).contains(agree));
    assert_eq!(place.json(&import)["logits_agree"], json!({ "images": 3, "outputs": 10 }));
    let path = place.path("exported/reference_logits.npy");
    let mut logits = std::fs::read(&path).unwrap();
    // The last output of the second image, which has 10 numbers of 4 bytes as the third has.
    let at = logits.len() - 40 - 4;
    logits[at] ^= 1;
    std::fs::write(&path, logits).unwrap();
    let refused = place.call(&import);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("test image 1, output 9: the network gives "), "{said}");
}

#[test]
fn a_recorded_network_needs_no_file() {
    let place = Place::new();
    let models = place.json("models");
    let frontier = models.as_array().unwrap().iter().find(|m| m["recipe"] == "frontier").unwrap();
    let (first, last) =
        (&frontier["runs"][0], frontier["runs"].as_array().unwrap().last().unwrap());
    assert!(place.run("models").contains(&first["digest"].as_str().unwrap()[..12]));

    // A name without a seed is the first one; what it gets right stands in its record.
    assert_eq!(place.json("inspect --model frontier")["digest"], first["digest"]);
    let evaluated = place.json("model evaluate --model frontier --offline");
    assert_eq!(evaluated["correct"], first["subset_correct"]);
    let name = format!("frontier/{}", last["seed"]);
    assert_eq!(place.json(&format!("inspect --model {name}"))["digest"], last["digest"]);

    // Mapped on the spot, or before: it is the same mapping.
    place.run("map --model frontier --pipeline compact --out compact.map");
    place.run("profile --model frontier --images 20 --offline --out frontier.profile");
    let sim = "--chips 2 --images 100 --set sigma_lrs_rel=0.3 --offline";
    let spot = place.json(&format!("sim --model frontier {sim}"));
    assert_eq!(spot["mappings"][0]["mapping"], "compact");
    let both = place.json(&format!("sim --model frontier compact.map --pipeline compact {sim}"));
    let mappings = both["mappings"].as_array().unwrap();
    assert_eq!(mappings[0]["mapping"], "compact.map");
    for mapping in mappings {
        assert_eq!(mapping["accuracy_mean"], spot["mappings"][0]["accuracy_mean"]);
    }

    // What is in no file can become one.
    place.run("model export --model frontier exported");
    place.run("model import exported --out back.hafnia");
    assert_eq!(place.json("inspect back.hafnia")["digest"], first["digest"]);
    let spot = place.json("sim back.hafnia --engine exact --images 100 --chips 1 --offline");
    assert_eq!(spot["mappings"][0]["drop_points"]["value"], 0.0);

    let output = place.call("sim --model best --offline");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.starts_with("error: no recorded network `best`: there are "), "{stderr}");
    assert!(stderr.contains("frontier (seed"), "{stderr}");
}

#[test]
fn where_accuracy_goes_is_told() {
    let place = Place::new();
    let call = "sim net.hafnia --offline --noise-in conv2,fc3 --images 8 --chips 2 --attribute \
                --attribute-images 4 --attribute-plot drops.svg";
    let told = &place.json(call)["attribution"];
    let layers: Vec<&str> =
        told["layers"].as_array().unwrap().iter().map(|of| of["layer"].as_str().unwrap()).collect();
    assert_eq!(layers, ["conv2", "fc3"]);
    let effects: Vec<&str> =
        told["effects"].as_array().unwrap().iter().map(|of| of["keys"].as_str().unwrap()).collect();
    assert!(effects.contains(&"adc.offset_lsb"), "{effects:?}");
    let columns = told["layers"][1]["columns"].as_array().unwrap().len();
    assert_eq!(columns, 10);
    let by_ones = told["layers"][0]["by_ones"].as_array().unwrap();
    assert!(by_ones.iter().map(|of| of[0].as_u64().unwrap()).sum::<u64>() > 1_000);
    assert!(std::fs::read_to_string(place.path("drops.svg")).unwrap().starts_with("<svg "));
    assert!(place.run(&format!("{call} --attribute-chips 1 --wide")).contains("codes that err"));
    place.fail(
        "sim net.hafnia --offline --images 8 --attribute --attribute-images 9",
        1,
        expect![[r#"
            note: this is the small subset of MNIST that is part of hafnia
            error: --attribute-images is 9, it must lie in 1..=8, the images that are shown
        "#]],
    );
}

/// Several networks give what each gives alone, and their mean.
#[test]
fn several_networks_are_pooled() {
    let place = Place::new();
    let mut files = Vec::new();
    for seed in 1..=3 {
        let name = format!("n{seed}");
        let network = random::lenet5(Seed(seed));
        hafnia_artifact::save(place.path(&format!("{name}.hafnia")), &network).unwrap();
        for pipeline in ["natural", "rename"] {
            place.run(&format!(
                "map {name}.hafnia --pipeline {pipeline} --out {name}-{pipeline}.map"
            ));
        }
        files.push(format!("{name}.hafnia {name}-natural.map {name}-rename.map"));
    }
    let options = "--chips 3 --images 60 --set sigma_lrs_rel=0.4 --replicates 50 --offline";
    let all = place.json(&format!("sim {} {options} --out all.json", files.join(" ")));
    let networks = all["networks"].as_array().unwrap();
    assert_eq!((networks.len(), &all["mappings"]), (3, &Value::Null));
    for (network, files) in networks.iter().zip(&files) {
        let alone = place.json(&format!("sim {files} {options}"));
        assert_eq!(network["mappings"], alone["mappings"]);
        assert_eq!(network["exact_accuracy"], alone["exact_accuracy"]);
        assert!(files.starts_with(network["name"].as_str().unwrap()));
    }
    let pooled = &all["pooled"];
    let counts = ["networks", "chips", "images"].map(|what| pooled[what].as_u64().unwrap());
    assert_eq!(counts, [3, 3, 60]);
    for position in 0..2 {
        let found = &pooled["mappings"][position];
        let mean = |value: &dyn Fn(&Value) -> f64| {
            networks.iter().map(|network| value(&network["mappings"][position])).sum::<f64>() / 3.0
        };
        let drop = mean(&|mapping| mapping["drop_points"]["value"].as_f64().unwrap());
        let accuracy = mean(&|mapping| mapping["accuracy_mean"].as_f64().unwrap());
        assert!((found["drop_points"]["value"].as_f64().unwrap() - drop).abs() < 1e-9);
        assert!((found["accuracy_mean"].as_f64().unwrap() - accuracy).abs() < 1e-9);
        assert_eq!(found["mapping"], format!("mapping {}", position + 1));
        assert_eq!(found["reduction"].is_null(), position == 0);
    }
    assert!(pooled["mappings"][1]["reduction"]["points"]["value"].is_number());
    let manifest: Value = serde_json::from_str(
        &std::fs::read_to_string(place.path("all.json.manifest.json")).unwrap(),
    )
    .unwrap();
    assert!(manifest["inputs"]["n2.hafnia"].is_string());
    assert!(manifest["inputs"]["n3-rename.map"].is_string());

    // A line for every mapping of every network and for every position, in text and in CSV.
    let text = place.run(&format!("sim {} {options}", files.join(" ")));
    assert!(text.contains("all 3"), "{text}");
    let csv = place.run(&format!("sim {} {options} --format csv", files.join(" ")));
    assert_eq!(csv.lines().count(), 1 + 3 * 2 + 2, "{csv}");
    assert!(csv.lines().next().unwrap().contains("network"), "{csv}");

    // Chips are added for all networks alike.
    let more = "--chips 2 --until 0.01 --most-chips 4 --images 40 --replicates 5 --noise-in all \
                --set sigma_lrs_rel=0.4 --offline";
    let more = place.json(&format!("sim {} {more}", files.join(" ")));
    assert_eq!((&more["chips"], &more["until"]["reached"]), (&4.into(), &false.into()));

    let fail =
        |line: &str, expected: Expect| place.fail(&format!("sim {line} --offline"), 1, expected);
    fail(
        "n1.hafnia n1-natural.map n2.hafnia",
        expect![[r#"
            error: n2.hafnia has 0 mappings, n1.hafnia has 1: every network takes as many, in the same order
        "#]],
    );
    fail(
        "n1.hafnia n1.hafnia",
        expect![[r#"
            error: n1.hafnia is the same network as n1.hafnia: each is given once
        "#]],
    );
    fail(
        "n1.hafnia n2-natural.map n2.hafnia n1-natural.map",
        expect![[r#"
        error: n2-natural.map: mapping: it is of network 19ab80db937193aa4f9b7cca5699338dfde00c143b6aeef63d07f6398a58a6e5, not of 2e07c64e492157767c4474b7e277873d2586ca804fb64ca58f6a35bdb8ef95a0 (rule 14)
    "#]],
    );
    fail(
        "n1-natural.map n1.hafnia",
        expect![[r#"
        error: n1-natural.map is not a hafnia file: it begins with 68 61 66 6e 69 61 2d 6d, not 89 68 61 66 6e 69 61 0a
    "#]],
    );
    fail(
        "n1.hafnia n2.hafnia --attribute",
        expect![[r#"
            error: --attribute is of one network, here are 2
        "#]],
    );
    fail(
        "n1.hafnia --power",
        expect![[r#"
            error: --power takes at least 2 networks, 2 mappings of each and 2 chips, here are 1, 1 and 50
        "#]],
    );
    fail(
        "--model frontier --model final12 n1-natural.map",
        expect![[r#"
        error: n1-natural.map: of which of the 2 recorded networks is this mapping? map them by --pipeline, or give one --model
    "#]],
    );
    place.fail(
        "sim --chips 3",
        2,
        expect![[r#"
        error: the following required arguments were not provided:
          <NETWORK|MAPPING|--model <NAME>>

        Usage: hafnia sim --chips <CHIPS> <NETWORK|MAPPING|--model <NAME>>

        For more information, try '--help'.
    "#]],
    );
}

/// All seeds of a recipe, mapped on the spot, tell how many networks and chips it takes.
#[test]
fn power_is_told_from_a_pilot() {
    let place = Place::new();
    let line = "sim --model frontier/* --pipeline natural --pipeline rename --noise-in all --chips 3 \
                --images 60 --set sigma_lrs_rel=0.3 --replicates 20 --offline --power \
                --power-networks 3,10 --power-chips 10,100,1000";
    let told = place.json(line);
    let names: Vec<&str> = told["networks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|network| network["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 5);
    assert_eq!(names[4], "model frontier/5");
    assert_eq!(told["pooled"]["mappings"][1]["mapping"], "rename");
    let power = &told["power"][0];
    assert_eq!((&power["mapping"], &power["networks"]), (&"rename".into(), &5.into()));
    let rows = power["rows"].as_array().unwrap();
    let half = |index: usize| rows[index]["half_width"].as_f64().unwrap();
    assert_eq!(rows.len(), 6);
    assert!(half(0) > half(2) && half(0) > half(3) && half(3) > half(5), "{rows:?}");
    assert!(place.run(line).contains("10 chips"));
    place.fail(
        "sim --model frontier/* --power --power-chips 1",
        2,
        expect![[r#"
        error: invalid value '1' for '--power-chips <N,…>': give a number from 2 to 100000

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn table_says_what_it_leaves_out_of_static_noise() {
    let place = Place::new();
    let sim = "sim net.hafnia --pipeline natural --pipeline compact --offline --images 60 \
               --chips 10 --replicates 20 --set sigma_lrs_rel=0.3";
    let mappings = |engine: &str, more: &str| {
        let found = place.json(&format!("{sim} --engine {engine} {more}"));
        (found["table_check"].clone(), found["mappings"].as_array().unwrap().clone())
    };
    let (check, on_table) = mappings("table", "");
    let noise = ["programming variation, normal", "comparator offset"];
    assert_eq!(check, json!({ "noise": noise, "chips": 10, "images": 60 }));
    let (none, on_device) = mappings("device", "");
    assert!(none.is_null());
    let value = |mapping: &Value, key: &str| mapping[key]["value"].as_f64().unwrap();
    for (table, device) in on_table.iter().zip(&on_device) {
        // As many chips and images as it is measured on.
        let more = value(device, "drop_points") - value(table, "drop_points");
        let error = &table["table_error_points"];
        assert!((error["value"].as_f64().unwrap() - more).abs() < 1e-9, "{error}, not {more}");
        assert!(error["lo"].as_f64() < error["value"].as_f64());
        assert!(device.get("table_error_points").is_none());
    }
    assert!(on_table.iter().any(|mapping| value(mapping, "table_error_points") != 0.0));
    // What is drawn anew for every read on a chip too is no static noise.
    let fresh = "--set sigma_lrs_rel=0 --set sigma_hrs_rel=0 --set offset_lsb=0";
    let fresh = format!("{} --engine table {fresh}", sim.replace("--set sigma_lrs_rel=0.3", ""));
    assert!(place.json(&fresh).get("table_check").is_none());
    let said = place.run(&format!("{sim} --engine table"));
    assert!(said.contains("device loses more, on 10 chips and 60 images, by points:"), "{said}");
    assert!(!place.run(&fresh).contains("device loses more"));
}

#[test]
fn every_instruction_set_gives_the_same() {
    let place = Place::new();
    let line = "sim net.hafnia --pipeline compact --offline --images 60 --chips 2 --noise-in all \
                --replicates 20 --format json";
    let run = |isa: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hafnia"));
        command.args(line.split_whitespace()).current_dir(place.folder.path());
        command.env("XDG_CACHE_HOME", place.folder.path());
        command.env(Isa::VARIABLE, isa).output().unwrap()
    };
    let widest = run("");
    assert!(widest.status.success());
    for isa in Isa::all() {
        assert_eq!(run(&isa.to_string()).stdout, widest.stdout, "{isa}");
    }
    let unknown = run("abacus");
    assert_eq!(unknown.status.code(), Some(2));
    let all: Vec<String> = Isa::all().iter().map(Isa::to_string).collect();
    let expected =
        format!("error: HAFNIA_ISA is \"abacus\"; this processor has {}\n", all.join(", "));
    assert_eq!(String::from_utf8(unknown.stderr).unwrap(), expected);
}

#[test]
fn engines_are_measured() {
    let place = Place::new();
    let told = place.json("bench net.hafnia --images 64 --seconds 0.1");
    let engines = told["engines"].as_array().unwrap();
    let names: Vec<&str> = engines.iter().map(|of| of["engine"].as_str().unwrap()).collect();
    assert_eq!(names, ["exact", "table", "device"]);
    assert!(engines.iter().all(|of| of["images_per_cpu_s"].as_f64().unwrap() > 0.0));
    assert!(engines.iter().all(|of| of["images"] == 64));
    place.fail(
        "bench net.hafnia --images 1",
        1,
        expect![[r#"
            error: --images is 1, it must lie in 64..=1000000
        "#]],
    );
}

#[test]
fn a_chip_is_kept_and_run_again() {
    let place = Place::new();
    place.run("map net.hafnia --pipeline natural --out natural.map");
    place.run("map net.hafnia --pipeline rename --out rename.map");
    let set = "--seed 1 --set sigma_lrs_rel=0.3 --set stuck_hrs_rate=0.01";
    for (number, mapping) in [(0, "natural"), (1, "natural"), (0, "rename"), (1, "rename")] {
        let out = format!("--number {number} --out {mapping}-{number}.chip");
        place.run(&format!("chip program {mapping}.map {set} {out}"));
    }
    let shown = place.json("chip show natural-1.chip --mapping natural.map");
    assert_eq!((&shown["number"], &shown["stuck_lrs"]), (&Value::from(1), &Value::from(0)));
    assert!(shown["stuck_hrs"].as_u64().unwrap() > 0);
    assert!(shown["states"][1]["sd_lsb"].as_f64().unwrap() > 0.2);
    place.run("chip export natural-1.chip --out chip1");
    let stuck = std::fs::read_to_string(place.path("chip1/stuck.csv")).unwrap();
    assert_eq!(stuck.lines().count() as u64, 1 + shown["stuck_hrs"].as_u64().unwrap());
    place.run("chip program natural.map --set faults.map=chip1/stuck.csv --out mapped.chip");
    assert!(place.path("chip1/offsets.csv").exists());

    // The same chips, saved or fresh, under two mappings.
    let fresh = place.json(&format!(
        "sim net.hafnia natural.map rename.map --chips 2 --images 60 --offline {set}"
    ));
    let chips: Vec<_> = ["natural-0", "rename-1", "natural-1", "rename-0"]
        .map(|name| format!("--chip {name}.chip"))
        .into();
    let sim = "sim net.hafnia natural.map rename.map --images 60 --offline";
    let saved = place.json(&format!("{sim} {}", chips.join(" ")));
    assert_eq!(saved["mappings"], fresh["mappings"]);
    assert_eq!(saved["chips"], fresh["chips"]);

    let output = place.call("sim net.hafnia rename.map --chip natural-0.chip --images 9 --offline");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("chip 0 was programmed with mapping "), "{stderr}");
}

#[test]
fn measurements_become_presets_and_tables() {
    let place = Place::new();
    let cell = |state: &str, i: usize, mean: f64| {
        format!("{state},{}\n", mean * (1.0 + 0.01 * (i % 9) as f64))
    };
    let cells: String = (0..90).map(|i| cell("LRS", i, 40.0) + &cell("HRS", i, 2.0)).collect();
    std::fs::write(place.path("cells.csv"), format!("state,g_us\n{cells}")).unwrap();
    let fitted = place.json("fit cells cells.csv --out cells.toml --plot cells.svg");
    assert_eq!((&fitted[0]["state"], &fitted[0]["cells"]), (&"HRS".into(), &90.into()));
    assert!(std::fs::read_to_string(place.path("cells.svg")).unwrap().starts_with("<svg"));
    assert!(place.run("macros show cells.toml --wide").contains("fitted to cells.csv: 90 cells"));

    let mut counts = "n,m,code,count\n".to_owned();
    for n in 1..=7 {
        for m in 0..=n {
            for code in 0..8 {
                counts += &format!("{n},{m},{code},{}\n", if code == m { 99 } else { 0 });
            }
        }
    }
    std::fs::write(place.path("codes.csv"), counts).unwrap();
    let rates = place.json("fit codes codes.csv --out codes-table.csv --plot codes.svg");
    assert_eq!(rates.as_array().unwrap().len(), 35);
    assert_eq!(rates[34]["wrong"], 0.0);
    assert!(rates[34]["hi"].as_f64().unwrap() > 0.03);
    place.run("map net.hafnia --pipeline natural --out natural.map");
    let sim = "sim net.hafnia natural.map --engine table --code-table codes-table.csv --chips 2 \
               --images 50 --noise-in all --offline";
    assert_eq!(place.json(sim)["mappings"][0]["drop_points"]["value"], 0.0);
    place.fail(
        "sim net.hafnia natural.map --engine table --set lrs_distribution=log-normal --offline",
        1,
        expect![[r#"
            error: macro `gt-n40` has programming variation, log-normal or from points (programming.lrs_distribution, programming.hrs_distribution), which engine `table` cannot show: the sum of such cells is not normal, which a code table takes it for
        "#]],
    );
}

#[test]
fn costs_add_up_and_are_compared() {
    let place = Place::new();
    place.run("map net.hafnia --pipeline natural --out natural.map");
    let call = "cost net.hafnia --pipeline rename --against natural.map --draws 50 --images 8 \
                --offline --out cost.json --plot saving.svg";
    let told = place.json(call);
    assert_eq!(told, place.json(call), "the same call gives the same numbers");
    let text = std::fs::read_to_string(place.path("cost.json")).unwrap();
    assert_eq!(told, serde_json::from_str::<Value>(&text).unwrap());
    assert!(place.path("cost.json.manifest.json").exists());
    assert!(std::fs::read_to_string(place.path("saving.svg")).unwrap().contains("<svg"));

    let number = |value: &Value| value.as_f64().unwrap();
    let cost = &told["cost"];
    for kind in ["area_um2", "energy_fj", "latency_ns"] {
        let layers = cost["layers"].as_array().unwrap().iter();
        let sum: f64 = layers.map(|layer| number(&layer[kind]["total"]["typical"])).sum();
        let total = &cost[kind]["total"];
        assert!((sum / number(&total["typical"]) - 1.0).abs() < 1e-12, "{kind}");
        assert!(number(&total["lo"]) < number(&total["hi"]), "{kind}");
    }
    assert_eq!(told["calibration"]["figures"].as_array().unwrap().len(), 5);
    assert_eq!(told["against"]["savings"][0]["scope"], "cells");
    assert!(place.run(call).contains("foretold"));
    // A row for every layer, and no cell that is JSON.
    let csv = place.run(&format!("{call} --format csv"));
    let header = csv.lines().next().unwrap();
    assert_eq!(csv.lines().count(), 1 + cost["layers"].as_array().unwrap().len(), "{csv}");
    assert!(header.contains(",latency_ns.total.typical,") && header.contains("macro.rows,"));
    assert!(!csv.contains("{\"") && !csv.contains("[{"), "{csv}");

    place.fail(
        "cost net.hafnia natural.map --constant area=1 --draws 0 --offline",
        1,
        expect![[r#"
        error: --draws is 0, it must lie in 1..=1000000
    "#]],
    );
    place.fail(
        "cost net.hafnia natural.map --constant energy.read_v=x --offline",
        1,
        expect![[r#"
        error: --constant is `energy.read_v=x`, it must be KEY=NUMBER: invalid float literal
    "#]],
    );
    place.fail(
        "cost net.hafnia natural.map --constant energy.read_v=-1 --offline",
        1,
        expect![[r#"
        error: cost model `gt-n40`: energy.read_v is -1 V, it must lie in 0.001..=10
    "#]],
    );
    place.fail(
        "cost net.hafnia natural.map --pipeline rename --offline",
        1,
        expect![[r#"
        error: give one mapping, or --pipeline
    "#]],
    );
    place.fail(
        "cost net.hafnia natural.map --cost-model gt-41 --offline",
        1,
        expect![[r#"
        error: cost model `gt-41` does not exist: there is gt-n40, and a path has a `/` or ends in `.toml`
    "#]],
    );
}

#[test]
fn what_there_is_can_be_listed() {
    let place = Place::new();
    let listed = place.json("passes");
    let names: Vec<&str> =
        listed["passes"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    for name in ["rename", "tile", "reorder", "pack"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    assert_eq!(place.json("passes reorder")["name"], "reorder");
    assert!(place.run("macros").contains("gt-n40"));
    assert!(place.run("macros show gt-n40").contains("assumed"));
    assert_eq!(place.json("macros show gt-n40"), place.json("macros gt-n40"));
}

#[test]
fn a_macro_is_started_and_its_codes_are_written() {
    let place = Place::new();
    assert!(place.run("macros new my.toml --from foundry-b").contains("inherits from foundry-b"));
    place.fail(
        "macros new my.toml",
        1,
        expect![[
            "error: my.toml is there already: choose another name, or replace it with --force\n"
        ]],
    );
    place.fail(
        "macros new mine",
        1,
        expect![["error: a macro is told from a preset by its path: `mine` must end in .toml\n"]],
    );
    let text = std::fs::read_to_string(place.path("my.toml")).unwrap();
    let own = text.replace("# rows_per_conversion = 7", "rows_per_conversion = 2");
    std::fs::write(place.path("my.toml"), own.replace("# bits = 3", "bits = 2")).unwrap();
    let shown = place.json("macros my.toml");
    let rows = &shown.as_array().unwrap()[2];
    assert_eq!((&rows["value"], &rows["source"]), (&"2".into(), &"unstated".into()));

    let entries = place.json("macros codes --macro my.toml --out codes.csv --plot codes.svg");
    // Of up to 2 rows: (0, 0), two of one row, three of two; codes 0 to 3 of each.
    assert_eq!(entries.as_array().unwrap().len(), 6 * 4);
    let table = std::fs::read_to_string(place.path("codes.csv")).unwrap();
    let table = hafnia_cim::CodeTable::from_csv(&table, "codes.csv").unwrap();
    let spec = hafnia_cim::MacroSpec::load(place.path("my.toml").to_str().unwrap()).unwrap();
    assert_eq!(table, hafnia_cim::CodeTable::from_spec(&spec));
    for entry in entries.as_array().unwrap() {
        let [n, m, code] = ["n", "m", "code"].map(|key| entry[key].as_u64().unwrap() as usize);
        assert_eq!(entry["probability"].as_f64(), Some(table.probabilities(n, m)[code]));
    }
    let plot = std::fs::read_to_string(place.path("codes.svg")).unwrap();
    assert!(plot.contains("ones among 2 rows on"));
}

#[test]
fn runs_are_shown_again_and_side_by_side() {
    let place = Place::new();
    for (run, saving) in [("a", 0.5), ("b", 0.25)] {
        let claims = include_str!("../../../docs/claims.toml");
        let claims = hafnia_report::Claims::parse(claims, Path::new("claims.toml")).unwrap();
        let mut metrics = hafnia_report::Metrics::default();
        metrics.insert("rename/final/saving", saving).unwrap();
        for end in ["", "_lo", "_hi"] {
            metrics.insert(format!("rename/final/accuracy_cost_points{end}"), 0.1).unwrap();
        }
        let scope = hafnia_report::Scope::default();
        let report = hafnia_report::Report::new(run, scope, &claims, metrics).unwrap();
        std::fs::create_dir(place.path(run)).unwrap();
        for (name, bytes) in hafnia_report::files(&report) {
            std::fs::write(place.path(run).join(name), bytes).unwrap();
        }
    }
    let page = place.path("a/report.html");
    let first = std::fs::read(&page).unwrap();
    std::fs::remove_file(&page).unwrap();
    assert!(place.run("report a --wide").contains("50.00 %"));
    assert_eq!(std::fs::read(&page).unwrap(), first);

    let compared = place.json("report a b --out both.html");
    assert_eq!(compared["metrics"]["rename/final/saving"]["differences"][1], -0.25);
    let both = std::fs::read_to_string(place.path("both.html")).unwrap();
    assert!(both.contains("2 runs side by side"));
    assert!(place.run("report a b --wide").contains("-25.00"));
    place.fail(
        "report a .",
        1,
        expect!["error: . holds no report.json: make one with `cargo xtask reproduce --out .`\n"],
    );
}

#[test]
fn every_command_has_examples() {
    let place = Place::new();
    let commands = [
        "data", "train", "profile", "map", "sim", "passes", "models", "macros", "inspect", "chip",
        "fit", "cost", "report", "sweep", "shapes",
    ];
    for command in commands {
        assert!(place.run(&format!("{command} --help")).contains("Examples:"), "{command}");
    }
    for command in ["import", "export", "evaluate", "refine", "merge"] {
        assert!(place.run(&format!("model {command} --help")).contains("Examples:"), "{command}");
    }
}

#[test]
fn wrong_input_is_named_and_nothing_is_written() {
    let place = Place::new();
    place.run("map net.hafnia --pipeline natural --out natural.map");
    std::fs::write(
        place.path("cut.hafnia"),
        &std::fs::read(place.path("net.hafnia")).unwrap()[..99],
    )
    .unwrap();
    std::fs::write(place.path("text.map"), "hafnia-mapping 1\nnetwrk\n").unwrap();
    hafnia_artifact::save(place.path("other.hafnia"), &random::lenet5(Seed(2))).unwrap();
    std::fs::write(place.path("file"), "").unwrap();
    std::fs::write(place.path("wrong-pass.toml"), "name = \"x\"\n[[pass]]\nuse = \"renmae\"\n")
        .unwrap();
    std::fs::write(
        place.path("wrong-option.toml"),
        "name = \"x\"\n[[pass]]\nuse = \"tile\"\n[[pass]]\nuse = \"reorder\"\nstep = 5\n",
    )
    .unwrap();
    std::fs::write(
        place.path("wrong-range.toml"),
        "name = \"x\"\n[[pass]]\nuse = \"reorder\"\ncycles = 0.5\n",
    )
    .unwrap();
    std::fs::write(place.path("wrong-stage.toml"), "name = \"x\"\n[[pass]]\nuse = \"pack\"\n")
        .unwrap();
    let before = place.files();

    place.fail(
        "inspect missing.hafnia",
        1,
        expect![[r#"
        error: cannot read missing.hafnia: No such file or directory (os error 2)
    "#]],
    );
    place.fail(
        "inspect net.hafnia --model frontier",
        1,
        expect![[r#"
            error: give either a network file or --model
        "#]],
    );
    place.fail(
        "map --pipeline natural --out x.map",
        2,
        expect![[r#"
            error: the following required arguments were not provided:
              <NETWORK|--model <NAME>>

            Usage: hafnia map --out <FILE> <NETWORK|--model <NAME>> <--pipeline <NAME|FILE>|--from-program <DIR>>

            For more information, try '--help'.
        "#]],
    );
    place.fail(
        "inspect cut.hafnia",
        1,
        expect![[r#"
        error: cut.hafnia is truncated: 99 bytes, expected 10394
    "#]],
    );
    place.fail(
        "sim net.hafnia text.map --offline",
        1,
        expect![[r#"
        error: text.map:2:1: expected `network`, found `netwrk`
    "#]],
    );
    place.fail("sim other.hafnia natural.map --offline", 1, expect![[r#"
        error: natural.map: mapping: it is of network 2e07c64e492157767c4474b7e277873d2586ca804fb64ca58f6a35bdb8ef95a0, not of 19ab80db937193aa4f9b7cca5699338dfde00c143b6aeef63d07f6398a58a6e5 (rule 14)
    "#]]);
    place.fail(
        "sim net.hafnia natural.map --chips 0 --offline",
        2,
        expect![[r#"
            error: invalid value '0' for '--chips <CHIPS>': it must lie in 1..=100000

            For more information, try '--help'.
        "#]],
    );
    place.fail(
        "sim net.hafnia natural.map --set sigma_lrs_rel=-0.1 --offline",
        1,
        expect![[r#"
        error: macro `gt-n40`: cell.sigma_lrs_rel is -0.1, it must be in 0..=100
        "#]],
    );
    place.fail("sim net.hafnia natural.map --set sigma=0.1 --offline", 1, expect![[r#"
        error: macro `gt-n40`: sigma is not a key, did you mean `cell.sigma_lrs_rel`? Keys are rows, columns, rows_per_conversion, columns_per_adc, input_control, adc.bits, adc.offset_lsb, adc.comparator_noise_lsb, adc.kind, adc.gain_error_rel, adc.mismatch_lsb, cell.on_off_ratio, cell.sigma_lrs_rel, cell.sigma_hrs_rel, cell.read_noise_rel, cell.bits_per_cell, cell.level_sigmas, programming.lrs_distribution, programming.hrs_distribution, telegraph.rate, telegraph.lrs_rel, telegraph.hrs_rel, faults.stuck_lrs_rate, faults.stuck_hrs_rate, faults.map, temperature.celsius, temperature.lrs_per_k, temperature.hrs_per_k, temperature.reference_per_k, retention.sigma_lrs, retention.sigma_hrs, retention.drift_lrs, retention.drift_hrs, retention.time_s, disturb.lrs_rel_per_decade, disturb.hrs_rel_per_decade, disturb.reads, wires.bit_line_ohm, wires.word_line_ohm, wires.g_lrs_us
    "#]]);
    place.fail("sim net.hafnia natural.map --macro gt-n41 --offline", 1, expect![[r#"
        error: macro `gt-n41` is not a preset, did you mean `gt-n40`? Presets are gt-n40, gt-n40-mlc, foundry-b, foundry-c, neurram-130, nthu-22, ideal, and a path has a `/` or ends in `.toml`
    "#]]);
    place.fail(
        "sim net.hafnia natural.map --noise-in fc9 --offline",
        1,
        expect![[r#"
        error: noise in layer `fc9`: give all, final, or some of conv1, conv2, fc1, fc2, fc3
    "#]],
    );
    place.fail(
        "sim net.hafnia natural.map --images 5000 --offline",
        1,
        expect![[r#"
            note: this is the small subset of MNIST that is part of hafnia
            error: --images is 5000, it must lie in 1..=1000, the test images
        "#]],
    );
    place.fail(
        "sim net.hafnia natural.map --set rows=64 --offline",
        1,
        expect![[r#"
            note: this is the small subset of MNIST that is part of hafnia
            error: natural.map: the mapping is for macros of 128x128 1-bit cells, `gt-n40` has 64x128 1-bit cells
        "#]],
    );
    place.fail("map net.hafnia --pipeline paper --out x.map", 1, expect![[r#"
        error: pass `reorder` stopped: method `anneal` needs a profile of training images: make one with `hafnia profile`
    "#]]);
    place.fail("map net.hafnia --pipeline best-of-all --out x.map", 1, expect![[r#"
        error: pipeline best-of-all is none of the built-in ones (natural, rename, reorder, reorder-polarity, paper, allocate, compact, segments, best): cannot read best-of-all: No such file or directory (os error 2)
    "#]]);
    place.fail(
        "map net.hafnia --pipeline wrong-pass.toml --out x.map",
        1,
        expect![[r#"
            error: wrong-pass.toml: unknown pass `renmae` (pass 1); did you mean `rename`?
        "#]],
    );
    place.fail("map net.hafnia --pipeline wrong-option.toml --out x.map", 1, expect![[r#"
        error: wrong-option.toml: wrong option of pass `reorder` (pass 2): unknown field `step`, expected one of `method`, `steps`, `runs`, `cycles`, `seed`, `matrices`, `samples`, `held_back`, `chips`, `sure`
    "#]]);
    place.fail(
        "map net.hafnia --pipeline wrong-range.toml --out x.map",
        1,
        expect![[r#"
            error: wrong-range.toml: wrong option of pass `reorder` (pass 1): the value is 0.5, it must be at least 1 in `cycles`
        "#]],
    );
    place.fail(
        "map net.hafnia --pipeline wrong-stage.toml --out x.map",
        1,
        expect![[r#"
        error: pass `pack` (pass 1) takes a mapping that is tiled, but here it is logical
    "#]],
    );
    place.fail(
        "map net.hafnia --pipeline natural --until reorder --out x.map",
        1,
        expect![[r#"
        error: pipeline `natural` has no pass `reorder`, it has tile, pack
    "#]],
    );
    place.fail(
        "map net.hafnia --pipeline natural --out file/x.map",
        1,
        expect![[r#"
            error: cannot write file/x.map: Not a directory (os error 20)
        "#]],
    );
    place.fail(
        "train --epochs 0 --offline --out trained",
        1,
        expect![[r#"
        error: `epochs` is 0, it must lie in 1..=10000
    "#]],
    );
    place.fail(
        "train --recipe missing.toml --offline --out trained",
        1,
        expect![[r#"
        error: cannot read missing.toml: No such file or directory (os error 2)
        "#]],
    );
    place.fail(
        "train --backend tpu --offline --out trained",
        1,
        expect![[r#"
        error: --backend is `tpu`: unknown variant `tpu`, expected `flex` or `ndarray`
    "#]],
    );
    place.fail(
        "data --data missing",
        1,
        expect![[r#"
        error: cannot read missing: No such file or directory (os error 2)
    "#]],
    );
    place.fail(
        "model import natural.map --out x.hafnia",
        1,
        expect![[r#"
        error: cannot read natural.map/network.json: Not a directory (os error 20)
    "#]],
    );
    place.fail(
        "sim net.hafnia natural.map --chips many",
        2,
        expect![[r#"
        error: invalid value 'many' for '--chips <CHIPS>': invalid digit found in string

        For more information, try '--help'.
    "#]],
    );
    place.fail(
        "simulate",
        2,
        expect![[r#"
        error: unrecognized subcommand 'simulate'

          tip: a similar subcommand exists: 'sim'

        Usage: hafnia [OPTIONS] <COMMAND>

        For more information, try '--help'.
    "#]],
    );

    assert_eq!(place.files(), before);
}

/// Whatever a file holds, an error about it is a line that a terminal does not obey.
#[test]
fn text_of_files_is_escaped_and_cut() {
    let place = Place::new();
    let long = "x".repeat(3_000_000);
    let write = |name: &str, text: &str| std::fs::write(place.path(name), text).unwrap();
    write("key.toml", "inherits = \"gt-n40\"\n\"\\u001b[31mred\\u202e\" = 1\n");
    write("long.toml", &format!("inherits = \"gt-n40\"\n{long} = 1\n"));
    write(
        "value.toml",
        &format!("inherits = \"gt-n40\"\nrows = {{ value = \"{long}\", source = \"x\" }}\n"),
    );
    write("raw.toml", &format!("inherits = \"gt-n40\"\nrows = \u{1b}[2J{long}\n"));
    write("deep.toml", &format!("a = {}\n", "[".repeat(100_000)));
    write("header.csv", &format!("\u{1b}]0;mine\u{7}{long}\n"));
    write("name.toml", "name = \"x\"\n[axes]\n\"\\u001b[2J\" = [1]\n");
    for (line, said) in [
        ("macros show key.toml", "\\u{1b}[31mred\\u{202e} is not a key"),
        ("macros show long.toml", "xxx … 2999800 characters … xxx"),
        ("macros show value.toml", "rows is `xxx"),
        ("macros show raw.toml", "rows = \\u{1b}[2Jxxx"),
        ("macros show deep.toml", "is not TOML"),
        ("train --recipe raw.toml --out t --offline", "not a training recipe"),
        ("map net.hafnia --pipeline raw.toml --out x.map", "not a pipeline"),
        ("fit cells header.csv --out x.toml", "the header is `\\u{1b}]0;mine\\u{7}xxx"),
        ("sweep name.toml --out s --offline", "no key `\\u{1b}[2J` can be swept"),
    ] {
        let output = place.call(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(said), "{line}: {}", &stderr[..stderr.len().min(500)]);
        assert!(!stderr.contains(|c: char| c.is_control() && c != '\n'), "{line}");
        assert!(stderr.len() < 5000, "{line}: {} bytes", stderr.len());
    }
}

#[test]
fn a_mapping_goes_out_as_a_program_and_comes_back() {
    let place = Place::new();
    place.run("map net.hafnia --pipeline compact --emit program --out net.map");
    let explained =
        place.run("map net.hafnia --pipeline compact --emit program=chips/a --explain --out b.map");
    assert!(explained.contains("fc1: tiles 1 -> 4"), "{explained}");
    assert!(
        explained.contains("t3 from t2: 400x120 -> 128x120, entries 400 -> 128"),
        "{explained}"
    );
    let bytes = |name: &str| std::fs::read(place.path(name)).unwrap();
    for program in ["net.program", "chips/a"] {
        let back = place.json(&format!("map net.hafnia --from-program {program} --out back.map"));
        assert_eq!((&back["stage"], &back["total"]["macros"]), (&"placed".into(), &4.into()));
        assert_eq!(bytes("net.map"), bytes("back.map"));
    }
    let passes = place.json("map net.hafnia --pipeline natural --explain --out c.map");
    let pack = &passes["passes"][1]["explanation"]["matrices"][4];
    assert_eq!((&pack["matrix"], &pack["tiles"][0]["from"]), (&"fc3".into(), &"t8".into()));

    // A program is inspected as its mapping is; a long list is shown in full on demand only.
    let inspected = place.run("inspect chips/a");
    assert_eq!(inspected, place.run("inspect net.map"));
    assert!(inspected.contains("# … 126 more lines"), "{inspected}");
    let text = String::from_utf8(bytes("net.map")).unwrap();
    assert!(place.run("inspect net.map --full").ends_with(&text));

    // A changed cell is found, wherever it stands, as is a folder that is none.
    let cells = place.path("chips/a/macro-0/cells.csv");
    let changed = std::fs::read_to_string(&cells).unwrap().replacen("0,", "1,", 1);
    std::fs::write(&cells, changed).unwrap();
    std::fs::create_dir(place.path("folder")).unwrap();
    std::fs::write(place.path("folder/precious"), "").unwrap();
    std::fs::write(
        place.path("half.toml"),
        "name = \"half\"\n[[pass]]\nuse = \"tile\"\n[[pass]]\nuse = \"rename\"\n",
    )
    .unwrap();
    hafnia_artifact::save(place.path("other.hafnia"), &random::lenet5(Seed(2))).unwrap();
    let before = place.files();
    let out = "--out x.map";
    place.fail(&format!("map net.hafnia --from-program chips/a {out}"), 1, expect![[r#"
        error: chips/a/macro-0/cells.csv:1:1: expected `0,1,1,1,0,1,0,0,1,0,1,0,1,1,0,0,0,0,1,0,…`, found `1,1,1,1,0,1,0,0,1,0,1,0,1,1,0,0,0,0,1,0,…`: the other files of the program say so
    "#]]);
    place.fail(
        &format!("map net.hafnia --from-program folder {out}"),
        1,
        expect![[r#"
        error: cannot read folder/program.json: No such file or directory (os error 2)
    "#]],
    );
    place.fail(&format!("map other.hafnia --from-program net.program {out}"), 1, expect![[r#"
        error: net.program: mapping: it is of network 2e07c64e492157767c4474b7e277873d2586ca804fb64ca58f6a35bdb8ef95a0, not of 19ab80db937193aa4f9b7cca5699338dfde00c143b6aeef63d07f6398a58a6e5 (rule 14)
    "#]]);
    place.fail(
        &format!("map net.hafnia --from-program net.program --set rows=64 {out}"),
        1,
        expect![[r#"
            error: net.program: the program is for macro `gt-n40` of 128x128, --macro is `gt-n40` of 64x128
        "#]],
    );
    place.fail(
        &format!("map net.hafnia --from-program net.program --pipeline natural {out}"),
        2,
        expect![[r#"
            error: the argument '--from-program <DIR>' cannot be used with '--pipeline <NAME|FILE>'

            Usage: hafnia map --out <FILE> <NETWORK|--model <NAME>> <--pipeline <NAME|FILE>|--from-program <DIR>>

            For more information, try '--help'.
        "#]],
    );
    place.fail(
        &format!("map net.hafnia --pipeline half.toml --emit program {out}"),
        1,
        expect![[r#"
            error: --emit program takes a placed mapping, but the pipeline ends tiled: let it end with `pack`
        "#]],
    );
    place.fail(
        &format!("map net.hafnia --pipeline natural --emit chips {out}"),
        1,
        expect![[r#"
        error: --emit is `chips`, it must be program or program=DIR
    "#]],
    );
    place.fail(
        &format!("map net.hafnia --pipeline natural --emit program=folder {out}"),
        1,
        expect![[r#"
            error: cannot write folder: it holds `precious`, which would be lost
        "#]],
    );
    place.fail(
        &format!("map net.hafnia --pipeline natural --until tile --emit program {out}"),
        1,
        expect![[r#"
            error: --emit program takes a placed mapping, but the pipeline ends tiled: let it end with `pack`
        "#]],
    );
    assert_eq!(place.files(), before);
}

#[test]
fn wrong_mappings_and_networks_are_named() {
    let place = Place::new();
    place.run("map net.hafnia --pipeline natural --out natural.map");
    place.run("profile net.hafnia --offline --images 10 --out net.profile");
    place.run("model export net.hafnia exported");
    hafnia_artifact::save(place.path("other.hafnia"), &random::lenet5(Seed(2))).unwrap();
    let text = std::fs::read_to_string(place.path("natural.map")).unwrap();
    let write = |name: &str, old: &str, new: &str| {
        assert!(text.contains(old), "`{old}` is in the mapping");
        std::fs::write(place.path(name), text.replacen(old, new, 1)).unwrap();
    };
    write("cut.map", &text[text.len() / 2..], "");
    write("macro.map", "gt-n40 128x128", "gt-n40 100x128");
    write("large.map", "gt-n40 128x128", "gt-n40 16x128");
    write("rows.map", "rows 0..25", "rows 0..24 23");
    write("bit.map", "  bits\n    ", "  bits\n    0");
    write("version.map", "hafnia-mapping 3", "hafnia-mapping 9");
    std::fs::write(place.path("bytes.map"), b"hafnia-mapping\xff").unwrap();
    std::fs::write(place.path("empty.map"), "").unwrap();
    std::fs::write(
        place.path("late.toml"),
        "name = \"x\"\n[[pass]]\nuse = \"tile\"\n[[pass]]\nuse = \"pack\"\n[[pass]]\nuse = \"tile\"\n",
    )
    .unwrap();
    std::fs::write(place.path("none.toml"), "name = \"x\"\nuse = \"tile\"\n").unwrap();
    let none = hafnia_artifact::npy::encode(&[0, 84], &[0i8; 0]);
    std::fs::write(place.path("exported/fc3.weights.npy"), none).unwrap();
    let before = place.files();

    for (mapping, expected) in [
        (
            "cut",
            expect![[r#"
            error: cut.map:329:27: expected no more cells than 3556 characters hold, found `128x120`
        "#]],
        ),
        (
            "macro",
            expect![[r#"
            error: macro.map breaks the rules of mappings: 5 violations: tile t1 of m1: 128 physical rows do not fit the 100 of macro `gt-n40` (rule 11); tile t3 of m2: 128 physical rows do not fit the 100 of macro `gt-n40` (rule 11); tile t4 of m2: 128 physical rows do not fit the 100 of macro `gt-n40` (rule 11); tile t5 of m2: 128 physical rows do not fit the 100 of macro `gt-n40` (rule 11); tile t7 of m3: 120 physical rows do not fit the 100 of macro `gt-n40` (rule 11)
        "#]],
        ),
        (
            "large",
            expect![[r#"
            error: large.map breaks the rules of mappings: 8 violations: tile t0 of m0: 25 physical rows do not fit the 16 of macro `gt-n40` (rule 11); tile t1 of m1: 128 physical rows do not fit the 16 of macro `gt-n40` (rule 11); tile t2 of m1: 22 physical rows do not fit the 16 of macro `gt-n40` (rule 11); tile t3 of m2: 128 physical rows do not fit the 16 of macro `gt-n40` (rule 11); tile t4 of m2: 128 physical rows do not fit the 16 of macro `gt-n40` (rule 11); tile t5 of m2: 128 physical rows do not fit the 16 of macro `gt-n40` (rule 11); tile t7 of m3: 120 physical rows do not fit the 16 of macro `gt-n40` (rule 11); tile t8 of m4: 84 physical rows do not fit the 16 of macro `gt-n40` (rule 11)
        "#]],
        ),
        (
            "rows",
            expect![[r#"
            error: rows.map breaks the rules of mappings: tile t0 of m0, entry 24: logical row 23 is held twice (rule 5)
        "#]],
        ),
        (
            "bit",
            expect![[r#"
            error: bit.map:14:5: expected row 0 as hexadecimal digits (0-9, a-f), length 2, found `0d2`
        "#]],
        ),
        (
            "version",
            expect![[r#"
            error: version.map:1:16: expected version 1 to 3, found `9`
        "#]],
        ),
        (
            "bytes",
            expect![[r#"
                error: cannot read bytes.map: byte 14 is not UTF-8, the file must be text
            "#]],
        ),
        (
            "empty",
            expect![[r#"
            error: empty.map:1:1: expected `hafnia-mapping`, found the end
        "#]],
        ),
    ] {
        place.fail(&format!("inspect {mapping}.map"), 1, expected);
    }
    place.fail("sim net.hafnia macro.map --offline", 1, expect![[r#"
        error: macro.map breaks the rules of mappings: 5 violations: tile t1 of m1: 128 physical rows do not fit the 100 of macro `gt-n40` (rule 11); tile t3 of m2: 128 physical rows do not fit the 100 of macro `gt-n40` (rule 11); tile t4 of m2: 128 physical rows do not fit the 100 of macro `gt-n40` (rule 11); tile t5 of m2: 128 physical rows do not fit the 100 of macro `gt-n40` (rule 11); tile t7 of m3: 120 physical rows do not fit the 100 of macro `gt-n40` (rule 11)
    "#]]);
    let map = "map net.hafnia --out x.map";
    place.fail(
        "map other.hafnia --pipeline paper --profile net.profile --out x.map",
        1,
        expect![[r#"
            error: net.profile: profile is of network 2e07c64e492157767c4474b7e277873d2586ca804fb64ca58f6a35bdb8ef95a0, not of 19ab80db937193aa4f9b7cca5699338dfde00c143b6aeef63d07f6398a58a6e5
        "#]],
    );
    place.fail(&format!("{map} --pipeline natural --profile natural.map"), 1, expect![[r#"
        error: natural.map is not a hafnia file: it begins with 68 61 66 6e 69 61 2d 6d, not 89 68 61 66 6e 69 61 0a
    "#]]);
    place.fail(
        &format!("{map} --pipeline late.toml"),
        1,
        expect![[r#"
            error: late.toml: pass `tile` (pass 3) takes a mapping that is logical, but here it is placed
        "#]],
    );
    place.fail(&format!("{map} --pipeline none.toml"), 1, expect![[r#"
        error: none.toml: not a pipeline: TOML parse error at line 2, column 1 | 2 | use = "tile" | ^^^ unknown field `use`, expected one of `name`, `summary`, `pass`
    "#]]);
    place.fail(
        &format!("{map} --pipeline natural --set rows=0"),
        1,
        expect![[r#"
        error: macro `gt-n40`: rows is 0, it must be in 1..=4096
    "#]],
    );
    place.fail(
        &format!("{map} --pipeline natural --dump-ir=rename"),
        1,
        expect![[r#"
        error: --dump-ir names pass `rename`, the pipeline has tile, pack
    "#]],
    );
    place.fail(map, 2, expect![[r#"
        error: the following required arguments were not provided:
          <--pipeline <NAME|FILE>|--from-program <DIR>>

        Usage: hafnia map --out <FILE> <NETWORK|--model <NAME>> <--pipeline <NAME|FILE>|--from-program <DIR>>

        For more information, try '--help'.
    "#]]);
    place.fail(
        "model import exported --out x.hafnia",
        1,
        expect![[r#"
        error: exported/fc3.weights.npy: its shape is [0, 84], it must be (out, in), not empty
    "#]],
    );
    assert_eq!(place.files(), before);
}

#[test]
fn the_first_of_two_trainings_is_repeated_by_the_second() {
    let place = Place::new();
    let recipe = "epochs = 1\nbatch = 512\n";
    std::fs::write(place.path("short.toml"), recipe).unwrap();
    for out in ["a", "b"] {
        place.run(&format!("train --recipe short.toml --offline --out {out}"));
    }
    let bytes = |name: &str| std::fs::read(place.path(name)).unwrap();
    assert_eq!(bytes("a/network.hafnia"), bytes("b/network.hafnia"));
    assert!(Path::new(&place.path("a/training.json")).exists());
    let curve = String::from_utf8(bytes("a/training.csv")).unwrap();
    assert_eq!(curve.lines().count(), 2, "{curve}");
    assert!(bytes("a/training.svg").starts_with(b"<svg"));
}

#[test]
fn seeds_side_by_side_give_what_each_gives_alone() {
    let place = Place::new();
    std::fs::write(place.path("short.toml"), "epochs = 1\nbatch = 512\n").unwrap();
    place.run("train --recipe short.toml --offline --out alone --seed 8");
    place.run("train --recipe short.toml --offline --out both --seed 7 --seeds 2");
    let bytes = |name: &str| std::fs::read(place.path(name)).unwrap();
    assert_eq!(bytes("alone/network.hafnia"), bytes("both/seed-8/network.hafnia"));
    assert_ne!(bytes("both/seed-7/network.hafnia"), bytes("both/seed-8/network.hafnia"));
    let summary: serde_json::Value = serde_json::from_slice(&bytes("both/summary.json")).unwrap();
    let accuracy = |seed: usize| summary["seeds"][seed]["validation_accuracy"].as_f64().unwrap();
    let mean = summary["validation_accuracy_mean"].as_f64().unwrap();
    let sd = summary["validation_accuracy_sd"].as_f64().unwrap();
    assert!((mean - (accuracy(0) + accuracy(1)) / 2.0).abs() < 1e-12);
    assert!((sd - (accuracy(0) - accuracy(1)).abs() / 2.0f64.sqrt()).abs() < 1e-12);
}

/// Images, or numbers of them, that a network cannot be shown: one message, whoever is asked.
#[test]
fn what_a_network_cannot_be_shown_is_said_by_all_alike() {
    let place = Place::new();
    place.run("map net.hafnia --pipeline natural --out net.map");
    place.run("profile net.hafnia --offline --images 20 --out net.profile");
    let one = "name = \"x\"\n[base]\nnetwork = \"net.hafnia\"\n[axes]\npipeline = [\"natural\"]\n";
    std::fs::write(place.path("one.toml"), one).unwrap();
    let commands = |data: &str, part: &str| {
        let data = format!("--data {data}");
        let mut commands = vec![
            format!("sim net.hafnia net.map --chips 1 --part {part} {data}"),
            format!("cost net.hafnia net.map --part {part} {data}"),
            format!("model evaluate net.hafnia --part {part} {data}"),
            format!("frontier net.hafnia --profile net.profile --part {part} {data} --out f"),
            format!(
                "model merge net.hafnia --layer fc3 --rows 40 --part {part} {data} --out m.hafnia"
            ),
        ];
        match part {
            "train" => {
                commands.push(format!("profile net.hafnia {data} --out p.profile"));
                commands.push(format!("model refine net.hafnia {data} --out r.hafnia"));
            }
            "validation" => {
                commands.push(format!("sweep one.toml {data} --out s-{}", commands.len()));
                commands.push(format!("train {data} --epochs 1 --out t"));
            }
            _ => {}
        }
        commands
    };
    let check = |data: &str, part: &str, fault: &str| {
        for command in commands(data, part) {
            // Training takes images of another size, and so do all others that do not see them.
            if command.starts_with("train") && fault.contains("takes") {
                continue;
            }
            let output = place.call(&command);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{command}: {said}");
            assert!(said.contains(fault), "{command}: {said}");
        }
        let _ = std::fs::remove_dir_all(place.path("s-5"));
    };
    // (images, rows, columns, label of the last) of both halves.
    let write = |name: &str, images: usize, rows: usize, columns: usize, last: u8| {
        let folder = place.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        for half in ["train", "t10k"] {
            let be = |number: usize| (number as u32).to_be_bytes();
            let mut pixels = [be(0x803), be(images), be(rows), be(columns)].concat();
            pixels.resize(16 + images * rows * columns, 7);
            let mut labels = [be(0x801), be(images)].concat();
            labels.extend((0..images).map(|image| if image + 1 == images { last } else { 0 }));
            std::fs::write(folder.join(format!("{half}-images-idx3-ubyte")), pixels).unwrap();
            std::fs::write(folder.join(format!("{half}-labels-idx1-ubyte")), labels).unwrap();
        }
    };
    write("flat", 30, 14, 56, 0);
    write("few", 5, 28, 28, 0);
    write("labels", 12, 28, 28, 12);
    for part in ["train", "validation", "test"] {
        let fault = "has images of 1x14x56, the network takes 1x28x28";
        check("flat", part, fault);
    }
    check("few", "validation", "data set `few/validation` has no images, at least 1 is needed");
    // Merging sees the training images first, of which the wrong one is number 10.
    check("labels", "test", "has label 12 at image 1");
    for (command, fault) in [
        (
            "sim net.hafnia net.map --chips 1 --data labels",
            "data set `labels/test` has label 12 at image 11, the network tells classes 0..=9 apart",
        ),
        // Numbers of images.
        (
            "sim net.hafnia net.map --images 6 --data few",
            "--images is 6, it must lie in 1..=5, the test images",
        ),
        (
            "cost net.hafnia net.map --images 0 --data few",
            "--images is 0, it must lie in 1..=5, the test images",
        ),
        (
            "profile net.hafnia --images 6 --data few --out p",
            "--images is 6, it must lie in 1..=5, the train images",
        ),
        (
            "model refine net.hafnia --images 6 --data few --out p",
            "--images is 6, it must lie in 1..=5, the train images",
        ),
        (
            "sim net.hafnia net.map --attribute --attribute-images 6 --data few",
            "--attribute-images is 6, it must lie in 1..=5, the images that are shown",
        ),
    ] {
        let output = place.call(command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(fault), "{command}: {said}");
    }
    // By default there are as many as there are.
    place.run("sim net.hafnia net.map --attribute --chips 1 --replicates 5 --data few");
    place.run("profile net.hafnia --data few --out few.profile");
    place.run("cost net.hafnia net.map --data few");
}
