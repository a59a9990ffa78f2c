//! Seconds of an epoch of LeNet-5: 60 000 images of MNIST, batch 128, nothing augmented, nothing
//! validated, on one and on two threads; beside another program's, where one is given.
//!
//! ```sh
//! cargo bench -p hafnia-train --bench epoch -- --data DIR \
//!     --against 'python speed.py --data DIR --threads {threads} --mode shift --epochs 2' \
//!     --out epoch.json
//! ```
//!
//! The other program is run in turn with ours, `{threads}` replaced, and must print lines that hold
//! "epoch", a space and its seconds. The ratio is that of the medians.

use std::path::PathBuf;
use std::process::Command;

use hafnia_data::{Sources, Split, SplitDataset};
use hafnia_train::{TrainConfig, train};

/// Turns, each of two epochs of ours and a run of theirs.
const ROUNDS: usize = 3;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut sources = Sources { offline: true, ..Sources::default() };
    let (mut against, mut out) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--bench" => {}
            "--data" => sources.data = Some(PathBuf::from(value()?)),
            "--against" => against = Some(value()?),
            "--out" => out = Some(PathBuf::from(value()?)),
            _ => return Err(format!("unknown argument {argument}").into()),
        }
    }
    let set = hafnia_data::load(&sources, &mut |_| ())?;
    if !set.is_mnist() {
        println!("note: not the full MNIST: the times are of {} images", set.train.len());
    }
    let mut fields = Vec::new();
    for threads in [1, 2] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.extend(epochs(&set, threads)?);
            if let Some(command) = &against {
                theirs.extend(other(&command.replace("{threads}", &threads.to_string()))?);
            }
        }
        let seconds = median(&mut ours);
        println!("{threads} threads: {seconds:.2} s an epoch, of {ours:.2?}");
        fields.push(format!("\"seconds_{threads}t\": {seconds:.3}"));
        if against.is_some() {
            let other = median(&mut theirs);
            let ratio = seconds / other;
            println!("           against {other:.2} s, of {theirs:.2?}: ratio {ratio:.3}");
            fields.push(format!("\"torch_seconds_{threads}t\": {other:.3}"));
            fields.push(format!("\"ratio_{threads}t\": {ratio:.4}"));
        }
    }
    if let Some(out) = out {
        std::fs::write(out, format!("{{{}}}\n", fields.join(", ")))?;
    }
    Ok(())
}

/// Two epochs of ours, on all training images.
fn epochs(set: &SplitDataset, threads: usize) -> Outcome<Vec<f64>> {
    let config = TrainConfig { epochs: 2, ..TrainConfig::default() };
    let split = Split { train: (0..set.train.len()).collect(), validation: vec![0] };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let report = pool.install(|| train(&config, &set.train, &split, None, &mut |_| ()))?;
    Ok(report.epochs.iter().map(|epoch| epoch.seconds).collect())
}

/// The epochs that another program tells of.
fn other(command: &str) -> Outcome<Vec<f64>> {
    let output = Command::new("sh").args(["-c", command]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let seconds = |line: &str| {
        let (_, rest) = line.split_once("epoch ")?;
        rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?.parse().ok()
    };
    let epochs: Vec<f64> = text.lines().filter_map(seconds).collect();
    if epochs.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("`{command}` tells of no epoch: {text}{said}").into());
    }
    Ok(epochs)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
