//! Time and memory of mapping, over sizes: one binary matrix of 256×256 to 4096×4096 through tile,
//! rename and pack, the same with sides that leave slivers (4100×4100), and LeNet-5 through the
//! pipelines without annealing; with verifier and proof after every pass.
//!
//! Every case runs in a process of its own, so that its most memory can be told, as often as makes a
//! second. Prints a table in CSV: cells, macros, processor time of a run, time of the quickest by the
//! clock, most memory in use. Asserts the cells and macros that come out, that LeNet-5 takes at most
//! 50 ms, and 4096×4096 at most 5 s and 1 GiB.

use std::process::Command;
use std::time::Instant;

use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::Mapping;
use hafnia_model::{BitMatrix, Input, Layer, Linear, Network, random};
use hafnia_passes::{Context, Pipeline, Registry};
use hafnia_rng::Seed;
use rand::RngExt;

const CASES: [&str; 10] = [
    "lenet5/natural",
    "lenet5/rename",
    "lenet5/compact",
    "256",
    "512",
    "1024",
    "2048",
    "4096",
    "4100",
    "8192",
];

/// Rename finds more in tiles, which is more work.
const PIPELINE: &str = "name = \"scaling\"\n[[pass]]\nuse = \"tile\"\n[[pass]]\nuse = \"rename\"\n\
                        [[pass]]\nuse = \"pack\"\n";

fn main() {
    let given = |argument: String| argument.strip_prefix("--case=").map(str::to_owned);
    match std::env::args().find_map(given) {
        Some(case) => println!("{}", run(&case)),
        None => all(),
    }
}

/// Runs every case in its own process.
fn all() {
    println!("case,cells,macros,processor_s,clock_s,memory_mib");
    for case in CASES {
        let this = std::env::current_exe().expect("a bench is a file");
        let output = Command::new(this).arg(format!("--case={case}")).output().expect("it runs");
        let row = String::from_utf8(output.stdout).expect("a table is text");
        assert!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
        print!("{case},{row}");
        let values: Vec<f64> = row.trim().split(',').filter_map(|v| v.parse().ok()).collect();
        match (case, values.as_slice()) {
            ("4096", [_, _, processor_s, _, memory_mib]) => {
                assert!(*processor_s <= 5.0 && *memory_mib <= 1024.0, "{row}");
            }
            (case, [_, _, processor_s, ..]) if case.starts_with("lenet5") => {
                assert!(*processor_s <= 0.05, "{row}");
            }
            _ => {}
        }
    }
}

/// A network of one matrix with random weights.
fn square(side: usize) -> Network {
    let rng = &mut Seed(1).site("passes/benches/scaling").rng();
    let weights = BitMatrix::from_fn(side, side, |_, _| rng.random()).into();
    let only = Linear { name: "only".into(), weights, thresholds: None };
    let input = Input::upper_bits(side, 1, 1, 2);
    Network::new(input, vec![Layer::Flatten, Layer::Linear(only)]).expect("one layer")
}

/// Maps a case again and again; gives its row.
fn run(case: &str) -> String {
    let registry = Registry::builtin();
    let (network, pipeline) = match case.split_once('/') {
        Some((_, pipeline)) => (random::lenet5(Seed(1)), Pipeline::load(pipeline, &registry)),
        None => (square(case.parse().expect("a side")), Pipeline::parse(PIPELINE, &registry)),
    };
    let pipeline = pipeline.expect("a pipeline");
    let spec = MacroSpec::preset("gt-n40").expect("a preset");
    let context = Context {
        network: &network,
        spec: &spec,
        profile: None,
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    let once = || {
        let logical = Mapping::logical(&network, &spec);
        let outcome = pipeline.run(logical, &context, &mut |_| Ok(()));
        let mapping = outcome.expect("it maps").mapping;
        (mapping.cells(), mapping.macros())
    };
    let (cells, macros) = once();
    // Random rows of 128 columns are never equal; those of LeNet-5 and slivers are.
    let side = case.parse().unwrap_or(0usize);
    match side % 128 {
        0 if side > 0 => assert_eq!((cells, macros), (side * side, side * side / (128 * 128))),
        _ => assert!(macros >= cells.div_ceil(128 * 128), "{cells} cells on {macros} macros"),
    }
    let (mut runs, mut clock) = (0, f64::INFINITY);
    let before = processor_s();
    while processor_s() - before < 1.0 {
        let start = Instant::now();
        assert_eq!(once(), (cells, macros), "the same every time");
        clock = clock.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    let processor = (processor_s() - before) / f64::from(runs);
    format!("{cells},{macros},{processor:.4},{clock:.4},{:.0}", peak_mib())
}

/// Processor time of this process so far, from Linux: in steps of 10 ms.
fn processor_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // Times stand after the name in parentheses, in hundredths of a second.
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    [11, 12].map(|field| fields[field].parse::<f64>().expect("a number")).iter().sum::<f64>()
        / 100.0
}

/// The most memory that was in use.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok());
    kib.expect("a number") / 1024.0
}
