//! `hafnia bench`: how fast the engines are on this machine.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use hafnia_data::Mnist;
use hafnia_passes::Registry;
use hafnia_report::{Align, Table};
use hafnia_rng::Seed;
use hafnia_sim::{EngineKind, Kernels, NoiseScope, Prepared, evaluate};
use rayon::ThreadPool;
use serde::Serialize;

use crate::data;
use crate::macros::SpecOptions;
use crate::map::{load_pipeline, map_by};
use crate::models::NetworkOptions;
use crate::output::Output;

/// Measure the engines on this machine: images a second of processor time, and what a second
/// thread gives.
///
/// The network runs with noise in all layers on test images of the small subset that is part of
/// hafnia, over and over; it is mapped by --pipeline.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia bench --model frontier
  hafnia bench net.hafnia --pipeline rename --set bits=4
  hafnia bench --model frontier --seconds 5 --format json")]
pub(crate) struct Bench {
    #[command(flatten)]
    network: NetworkOptions,
    /// Pipeline that maps the network, built-in or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "natural")]
    pipeline: String,
    /// Images of a run, 64 to 100 000.
    #[arg(long, value_name = "N", default_value_t = 2048)]
    images: usize,
    /// Processor time that every engine is given at least, in seconds, 0.1 to 600.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    #[command(flatten)]
    spec: SpecOptions,
}

/// What was measured.
#[derive(Serialize)]
struct Measured {
    /// Instruction set of the kernels.
    isa: String,
    /// Processors that this process may use.
    processors: usize,
    images: usize,
    engines: Vec<OfEngine>,
}

#[derive(Serialize)]
struct OfEngine {
    engine: EngineKind,
    /// Images a second of processor time, on one thread: the median of the runs.
    images_per_cpu_s: f64,
    runs: usize,
    /// Wall time on one thread over wall time on two, the median of pairs of runs; null where there
    /// is one processor.
    two_thread_speedup: Option<f64>,
}

/// Pairs of runs on one thread and on two.
const PAIRS: usize = 7;

impl Bench {
    pub(crate) fn run(&self, registry: &Registry, output: Output) -> anyhow::Result<()> {
        let Self { images, seconds, .. } = *self;
        ensure!(
            (64..=100_000).contains(&images),
            "--images is {images}, it must lie in 64..=100000"
        );
        ensure!(
            (0.1..=600.0).contains(&seconds),
            "--seconds is {seconds}, it must lie in 0.1..=600"
        );
        let spec = self.spec.load()?;
        let chosen = self.network.load()?;
        let network = &chosen.network;
        let pipeline = load_pipeline(&self.pipeline, registry)?;
        let mapping = map_by(&pipeline, network, &spec, Seed(1))?;
        let test = Mnist::subset().test;
        let again: Vec<usize> = (0..test.len()).cycle().take(images).collect();
        let images = data::images(network, &test.select(&again));
        let prepared = Prepared::new(network, &images, &NoiseScope::All)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let [one, two] = [pool(1)?, pool(2)?];
        let mut engines = Vec::new();
        for engine in EngineKind::ALL {
            let run = || {
                evaluate(&prepared, &mapping, &spec, engine, 0..1, Seed(1), &|_, _| ()).map(|_| ())
            };
            let mut rates = Vec::new();
            let mut spent = Duration::ZERO;
            one.install(|| -> anyhow::Result<()> {
                // The first run finds caches and page tables empty.
                run()?;
                while rates.len() < 3 || spent.as_secs_f64() < seconds {
                    let before = processor_time()?;
                    run()?;
                    let took = processor_time()? - before;
                    spent += took;
                    rates.push(self.images as f64 / took.as_secs_f64());
                }
                Ok(())
            })?;
            let wall = |pool: &ThreadPool| -> anyhow::Result<f64> {
                let start = Instant::now();
                pool.install(run)?;
                Ok(start.elapsed().as_secs_f64())
            };
            let two_thread_speedup = if processors < 2 {
                None
            } else {
                let pairs = (0..PAIRS).map(|_| Ok(wall(&one)? / wall(&two)?));
                Some(median(pairs.collect::<anyhow::Result<_>>()?))
            };
            let runs = rates.len();
            let images_per_cpu_s = median(rates);
            engines.push(OfEngine { engine, images_per_cpu_s, runs, two_thread_speedup });
        }
        let isa = match Kernels::default() {
            Kernels::Scalar => "plain".to_owned(),
            Kernels::Vectors(isa) => isa.to_string(),
        };
        let measured = Measured { isa, processors, images: self.images, engines };
        output.print(&measured, text)
    }
}

fn text(measured: &Measured) -> String {
    let mut table = Table::new([
        ("engine", Align::Left),
        ("images a CPU-second, one thread", Align::Right),
        ("runs", Align::Right),
        ("two threads against one", Align::Right),
    ]);
    for of in &measured.engines {
        table.row([
            of.engine.to_string(),
            format!("{:.0}", of.images_per_cpu_s),
            of.runs.to_string(),
            of.two_thread_speedup.map_or("-".to_owned(), |speedup| format!("x {speedup:.2}")),
        ]);
    }
    format!(
        "kernels for {}, {} processors, {} images a run, noise in all layers\n{table}",
        measured.isa, measured.processors, measured.images
    )
}

fn pool(threads: usize) -> anyhow::Result<ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("threads")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The time that this thread was on a processor where the system tells, or else the time.
fn processor_time() -> anyhow::Result<Duration> {
    const TOLD_BY_LINUX: &str = "/proc/thread-self/schedstat";
    let Ok(told) = std::fs::read_to_string(TOLD_BY_LINUX) else {
        return Ok(std::time::UNIX_EPOCH.elapsed()?);
    };
    let nanoseconds = told.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds.map(Duration::from_nanos).context(TOLD_BY_LINUX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_moves_on_with_work() {
        let before = processor_time().unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20) {}
        assert!(processor_time().unwrap() > before);
    }

    #[test]
    fn the_median_is_a_value_of_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
