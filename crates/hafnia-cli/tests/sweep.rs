//! Sweeps that are killed, go on, and are done in parts.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hafnia_rng::Seed;
use rand::RngExt;
use tempfile::TempDir;

/// Twelve points, three of which have no pipeline: 54 shards that can be computed.
const SWEEP: &str = r#"
name = "small"
engine = "table"
chips = 6
shard_chips = 1
images = 40
pareto = ["max accuracy", "min cells"]
[base]
model = "frontier"
[axes]
pipeline = ["natural", "rename", "compact", "missing.toml"]
"macro.cell.sigma_lrs_rel" = [0.05, 0.1, 0.2]
"#;

fn place() -> TempDir {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("sweep.toml"), SWEEP).unwrap();
    place
}

fn hafnia(place: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hafnia"));
    command.args(line.split_whitespace()).current_dir(place).env("XDG_CACHE_HOME", place);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// All files of a folder, by name, but for its lock.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        // A name that is not there any more was that of a file being written.
        fs::read(entry.path()).ok().map(|bytes| (name, bytes))
    };
    entries.filter_map(|entry| read(entry.unwrap())).filter(|(name, _)| name != ".lock").collect()
}

#[test]
fn twenty_kills_lose_nothing_and_break_nothing() {
    let place = place();
    let place = place.path();
    let whole = hafnia(place, "sweep sweep.toml --offline --out whole");
    let start = Instant::now();
    let output = { whole }.output().unwrap();
    let took = start.elapsed();
    // Three points fail, which is said; all others are done.
    assert_eq!(output.status.code(), Some(1));
    let mut expected = files(&place.join("whole/shards"));
    expected.retain(|name, _| name.ends_with(".shard"));
    assert_eq!(expected.len(), 54);

    let rng = &mut Seed(6).site("tests/sweep/kills").rng();
    let mut before = BTreeMap::new();
    for _ in 0..20 {
        let mut child = hafnia(place, "sweep sweep.toml --offline --out killed").spawn().unwrap();
        // All moments between the start and a third of the way, so that something is left to do.
        std::thread::sleep(took.mul_f64(rng.random_range(0.0..0.35)).max(Duration::from_millis(1)));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = files(&place.join("killed/shards"));
        for (name, bytes) in &before {
            assert_eq!(now.get(name), Some(bytes), "{name} was finished before");
        }
        for (name, bytes) in now.iter().filter(|(name, _)| name.ends_with(".shard")) {
            assert_eq!(expected.get(name), Some(bytes), "{name} is whole");
            before.insert(name.clone(), bytes.clone());
        }
    }
    let output = hafnia(place, "sweep --offline --out killed").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "the failed points are tried again, in vain");
    for name in ["results.csv", "results.jsonl", "sweep.json"] {
        let read = |folder: &str| fs::read(place.join(folder).join(name)).unwrap();
        assert_eq!(read("whole"), read("killed"), "{name}");
    }
    let mut now = files(&place.join("killed/shards"));
    now.retain(|name, _| name.ends_with(".shard"));
    assert_eq!(now, expected);
}

#[test]
fn shares_are_collected_into_the_same_results() {
    let place = place();
    let place = place.path();
    let run = |line: &str| hafnia(place, line).output().unwrap();
    run("sweep sweep.toml --offline --out whole");
    for share in ["1/3", "0/3", "2/3"] {
        run(&format!("sweep sweep.toml --offline --out parts --share {share}"));
    }
    assert!(!place.join("parts/results.csv").exists());
    let collected = run("sweep --out parts --collect");
    assert!(collected.status.success());
    let text = String::from_utf8(collected.stdout).unwrap();
    assert!(text.contains("12 points in 72 shards, 18 of them missing"), "{text}");
    assert!(text.contains("missing.toml"), "{text}");
    let csv = |folder: &str| fs::read_to_string(place.join(folder).join("results.csv")).unwrap();
    assert_eq!(csv("whole"), csv("parts"));
    assert_eq!(csv("whole").lines().count(), 13);
    // On this engine, and with this noise, it is measured what is left out.
    assert!(text.contains("table_error_points: how much more is lost on device"), "{text}");
    let header = csv("whole").lines().next().unwrap().to_owned();
    assert!(header.contains(",table_error_points,table_error_points_hi,table_error_points_lo,"));
    let is_key = |column: &str| {
        ["network", "model", "pipeline"].contains(&column) || column.starts_with("macro")
    };
    for column in header.split(',').filter(|column| !is_key(column)) {
        assert!(hafnia_study::sweep::is_column(column), "docs/keys.md lacks {column}");
    }
    assert!(text.contains("not the chip of the calibration:\n  cell.on_off_ratio"), "{text}");
    // Designs are weighed at each deviation by itself: there is a star at every one.
    assert!(
        text.contains("* no other point at the same macro.cell.sigma_lrs_rel beats it"),
        "{text}"
    );
    let whole = csv("whole");
    let rows: Vec<Vec<&str>> = whole.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|column| *column == name).unwrap();
    let (sigma, pareto) = (column("macro.cell.sigma_lrs_rel"), column("pareto"));
    for value in ["0.05", "0.1", "0.2"] {
        assert!(rows.iter().any(|row| row[sigma] == value && row[pareto] == "true"), "{value}");
    }
}

/// Runs a command that fails, and gives what it says.
#[track_caller]
fn fails(place: &Path, line: &str, expected: &str) {
    let output = hafnia(place, line).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(expected), "`{said}` does not say `{expected}`");
}

#[test]
fn what_cannot_be_swept_is_said() {
    let place = place();
    let place = place.path();
    let put = |text: &str| fs::write(place.join("wrong.toml"), text).unwrap();
    let run = "sweep wrong.toml --offline --out out";
    put("name = \"x\"\n[axes]\n\"macro.sigma_lsr_rel\" = [0.1]");
    fails(
        place,
        run,
        "no key `macro.sigma_lsr_rel` can be swept: did you mean `macro.sigma_lrs_rel`?",
    );
    put("name = \"x\"\n[axes]\n\"macro.sigma_lrs_rel\" = [0.1, 700.0]");
    fails(place, run, "cell.sigma_lrs_rel is 700, it must be in 0..=100");
    put("name = \"x\"\n[axes]\npipeline = []");
    fails(place, run, "axis `pipeline`: it has no values");
    put("name = \"x\"\n[axes]\n\"macro.rows\" = { from = 1.0, to = 9.0, steps = 20000 }");
    fails(place, run, "the sweep has 20000 points, more than 10000: give --yes if that is meant");
    put("name = \"x\"\nimages = 0\n[axes]\nmodel = [\"frontier\"]");
    fails(place, run, "`images` is 0, it must lie in 1..=166, the validation images");
    put("name = \"x\"\npart = \"test\"\nimages = 1001\n[axes]\nmodel = [\"frontier\"]");
    fails(place, run, "`images` is 1001, it must lie in 1..=1000, the test images");
    put("name = \"x\"\npart = \"tests\"\n[axes]\nmodel = [\"frontier\"]");
    fails(place, run, "part = \"tests\"");
    fails(place, run, "unknown variant `tests`, expected one of `train`, `validation`, `test`");
    fails(place, "sweep --offline --out nothing", "holds no sweep");
    put("name = \"x\"\nimages = 9\n[axes]\nmodel = [\"frontier\"]");
    let slurm = hafnia(place, "sweep wrong.toml --offline --out cluster --on slurm")
        .env("PATH", place)
        .output()
        .unwrap();
    let said = String::from_utf8(slurm.stderr).unwrap();
    assert!(said.contains("sbatch cannot be run"), "{said}");
    let by_hand = "submit by hand: sbatch cluster/slurm/array.sh, then, with its number, \
                   sbatch --dependency=afterany:NUMBER cluster/slurm/collect.sh; or run --on local";
    assert!(said.contains(by_hand), "{said}");
    for script in ["array.sh", "collect.sh"] {
        let script = place.join("cluster/slurm").join(script);
        assert!(Command::new("sh").arg("-n").arg(script).status().unwrap().success());
    }
    let refused = Command::new(env!("CARGO_BIN_EXE_hafnia"))
        .args(["sweep", "wrong.toml", "--offline", "--on", "slurm", "--out", "s\ntouch PWNED\n#"])
        .current_dir(place)
        .env("XDG_CACHE_HOME", place)
        .output()
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains(r#"--out is "s\ntouch PWNED\n#", which no script for Slurm"#), "{said}");
    assert_eq!(said.lines().count(), 1);

    // A folder that holds another sweep, and a shard that is not its own.
    hafnia(place, "sweep sweep.toml --offline --out out --share 0/60").output().unwrap();
    fails(place, "sweep wrong.toml --offline --out out", "holds another sweep");
    fails(place, "sweep wrong.toml --offline --out out --plan", "holds another sweep");
    // As before sweeps had a part.
    let plan = fs::read_to_string(place.join("out/sweep.json")).unwrap();
    let before = plan.replace("    \"part\": \"validation\",\n", "");
    fs::write(place.join("out/sweep.json"), &before).unwrap();
    for more in ["", " --plan", " --collect"] {
        let run = format!("sweep sweep.toml --offline --out out{more}");
        fails(place, &run, "out holds a sweep of another revision of hafnia");
    }
    fs::write(place.join("out/sweep.json"), plan).unwrap();
    let shards = place.join("out/shards");
    fs::copy(shards.join("p00000-c00000.shard"), shards.join("p00000-c00001.shard")).unwrap();
    fails(place, "sweep --offline --out out", "p00000-c00001.shard is not a shard of this sweep");
}

/// A row of results by column.
fn first_row(place: &Path, folder: &str) -> BTreeMap<String, String> {
    let csv = fs::read_to_string(place.join(folder).join("results.csv")).unwrap();
    let mut lines = csv.lines().map(|line| line.split(',').map(str::to_owned));
    lines.next().unwrap().zip(lines.next().unwrap()).collect()
}

#[test]
fn designs_are_chosen_on_validation_images_unless_said_otherwise() {
    let place = place();
    let place = place.path();
    let sweep = |part: &str, out: &str| {
        let text = format!(
            "name = \"x\"\n{part}engine = \"table\"\nchips = 1\nimages = 40\n\
             [base]\nmodel = \"final12\"\npipeline = \"rename\"\n[axes]\n\"macro.sigma_lrs_rel\" = [0.3]"
        );
        fs::write(place.join("one.toml"), text).unwrap();
        let run = format!("sweep one.toml --offline --out {out}");
        let output = hafnia(place, &run).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (is_done, said) = sweep("", "usual");
    assert!(is_done && said.contains("every chip is shown 40 validation images"), "{said}");
    let (is_done, said) = sweep("part = \"test\"\n", "test");
    assert!(is_done && said.contains("every chip is shown 40 test images"), "{said}");
    assert!(!sweep("part = \"test\"\n", "usual").0, "the folder is of another part");

    // What a row says is what the command for one point says of the same images.
    for (folder, part) in [("usual", "validation"), ("test", "test")] {
        let row = first_row(place, folder);
        assert_eq!(row["part"], part);
        let sim = format!(
            "sim --model final12 --pipeline rename --engine table --chips 1 --part {part} \
             --images 40 --set sigma_lrs_rel=0.3 --offline --format json"
        );
        let output = hafnia(place, &sim).output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let number = |column: &str| row[column].parse::<f64>().unwrap();
        assert_eq!(told["exact_accuracy"]["value"], number("exact_accuracy"), "{part}");
        assert_eq!(told["mappings"][0]["accuracy_mean"], number("accuracy"), "{part}");
        assert_eq!(told["mappings"][0]["per_image"]["groups"], number("cycles"), "{part}");
        let cost = format!(
            "cost --model final12 --pipeline rename --part {part} --images 40 \
             --set sigma_lrs_rel=0.3 --offline --format json"
        );
        let output = hafnia(place, &cost).output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let cost = &told["cost"];
        for (column, range, unit) in [
            ("area_mm2", &cost["whole_um2"], 1e-6),
            ("energy_nj", &cost["energy_fj"]["total"], 1e-6),
            ("latency_us", &cost["latency_ns"]["total"], 1e-3),
            ("tops_per_w", &cost["tops_per_w"], 1.0),
        ] {
            for (end, name) in [("", "typical"), ("_lo", "lo"), ("_hi", "hi")] {
                let expected = unit * range[name].as_f64().unwrap();
                let found = number(&format!("{column}{end}"));
                // JSON is read to a unit in the last place, which the product may round again.
                let close = (found - expected).abs() <= 2.0 * f64::EPSILON * expected;
                assert!(close, "{part} {column}{end}: {found}, not {expected}");
            }
        }
    }
}

/// A disk that takes no more: finished shards stay, and the error names the file.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_keeps_what_is_finished() {
    let place = place();
    let place = place.path();
    hafnia(place, "sweep sweep.toml --offline --out out --share 0/60").output().unwrap();
    let before = files(&place.join("out/shards"));
    assert!(!before.is_empty());
    // No file may become larger than 0 bytes, as on a full disk.
    let binary = env!("CARGO_BIN_EXE_hafnia");
    let script = format!("trap '' XFSZ; ulimit -f 0; exec {binary} sweep --offline --out out");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(place).env("XDG_CACHE_HOME", place);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("out") && said.contains("cannot"), "{said}");
    let after = files(&place.join("out/shards"));
    assert_eq!(after, before);
}

/// A small sweep over files, and the files.
fn files_to_sweep(place: &Path) {
    let write = |name: &str, text: &str| {
        fs::create_dir_all(place.join(name).parent().unwrap()).unwrap();
        fs::write(place.join(name), text).unwrap();
    };
    let pipeline = |passes: &[&str]| {
        let passes = passes.iter().map(|pass| format!("[[pass]]\nuse = \"{pass}\"\n"));
        format!("name = \"own\"\n{}", passes.collect::<String>())
    };
    write("a/own.toml", &pipeline(&["tile", "pack"]));
    write("b/own.toml", &pipeline(&["rename", "tile", "pack"]));
    write("macros/base.toml", &base(0.2));
    write("macros/own.toml", "inherits = \"base.toml\"\n");
    write("macros/map.csv", "macro,row,column,state\n0,0,0,LRS\n");
    write(
        "files.toml",
        "name = \"files\"\nchips = 2\nshard_chips = 1\nimages = 20\nreplicates = 10\n\
         [base]\nnetwork = \"net.hafnia\"\nmacro = \"macros/own.toml\"\n\
         [axes]\npipeline = [\"a/own.toml\", \"b/own.toml\"]\n",
    );
}

/// A macro that others inherit.
fn base(sigma: f64) -> String {
    let value = |value: String| format!("{{ value = {value}, source = \"assumed: a test\" }}");
    format!(
        "inherits = \"gt-n40\"\n[cell]\nsigma_lrs_rel = {}\n[faults]\nmap = {}\n",
        value(sigma.to_string()),
        value("\"map.csv\"".to_owned())
    )
}

#[test]
fn what_results_depend_on_is_what_a_folder_is_of() {
    let place = TempDir::new().unwrap();
    let place = place.path();
    files_to_sweep(place);
    let run = |more: &str| {
        let line = format!("sweep files.toml --offline --out out {more}");
        hafnia(place, &line).output().unwrap()
    };
    // What is not there yet, or wrong, fails its points; the same command tries them again.
    let output = run("");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot read net.hafnia: No such file"), "{said}");
    hafnia(place, "model export --model frontier net").output().unwrap();
    hafnia(place, "model import net --out net.hafnia").output().unwrap();
    fs::write(place.join("macros/base.toml"), base(700.0)).unwrap();
    assert_eq!(run("").status.code(), Some(1));
    fs::write(place.join("macros/base.toml"), base(0.2)).unwrap();
    // Two pipelines of one name are two; half of the shards are computed.
    let output = run("--share 0/2");
    assert!(output.status.success(), "{output:?}");

    // Each edit is refused by name, and undone goes on.
    let edits = [
        ("macros/base.toml", base(0.3)),
        ("macros/map.csv", "macro,row,column,state\n0,0,0,HRS\n".to_owned()),
        ("a/own.toml", fs::read_to_string(place.join("b/own.toml")).unwrap()),
        ("b/own.toml", fs::read_to_string(place.join("a/own.toml")).unwrap()),
    ];
    for (name, text) in edits {
        let before = fs::read(place.join(name)).unwrap();
        fs::write(place.join(name), text).unwrap();
        for more in ["--share 1/2", "--plan"] {
            let output = run(more);
            assert_eq!(output.status.code(), Some(1), "{name}");
            let said = String::from_utf8(output.stderr).unwrap();
            let expected = format!(
                "out holds shards that were computed from another `{name}`: put it back as it was, \
                 give another --out, or remove the folder to start over"
            );
            assert!(said.contains(&expected), "{said}");
        }
        fs::write(place.join(name), before).unwrap();
    }
    assert!(run("").status.success());
    let cells = |row: &BTreeMap<String, String>| row["cells"].clone();
    let csv = fs::read_to_string(place.join("out/results.csv")).unwrap();
    let mut lines = csv.lines().map(|line| line.split(',').map(str::to_owned));
    let header: Vec<String> = lines.next().unwrap().collect();
    let rows: Vec<BTreeMap<String, String>> =
        lines.map(|line| header.iter().cloned().zip(line).collect()).collect();
    assert_eq!(rows.len(), 2);
    assert_ne!(cells(&rows[0]), cells(&rows[1]), "each is mapped by its own pipeline");
}
