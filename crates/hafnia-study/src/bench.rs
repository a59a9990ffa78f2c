//! Measures the engines on this machine.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hafnia_data::SplitDataset;
use hafnia_rng::Seed;
use hafnia_sim::{EngineKind, Kernels, NoiseScope, Programmed};
use rayon::ThreadPool;
use serde::{Deserialize, Serialize};

use crate::data;
use crate::map::map_by;
use crate::request::{Request, Step};
use crate::session::Session;
use crate::source::{MacroSource, NetworkSource, PIPELINE, pipeline_file};

/// The network that is measured if none is named.
pub const BENCH_MODEL: &str = "frontier";

/// What is to be measured: a network with noise in all layers, on test images of the subset, over
/// and over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchRequest {
    /// The network.
    #[serde(flatten)]
    pub network: NetworkSource,
    /// Pipeline that maps it.
    pub pipeline: String,
    /// Images of a run, 64 to 100 000.
    pub images: usize,
    /// Processor time that every engine is given at least, in seconds, 0.1 to 600.
    pub seconds: f64,
    /// The macro.
    #[serde(flatten)]
    pub spec: MacroSource,
}

impl Default for BenchRequest {
    fn default() -> Self {
        let network = NetworkSource::Model(BENCH_MODEL.to_owned());
        let spec = MacroSource::default();
        Self { network, pipeline: PIPELINE.to_owned(), images: 2048, seconds: 2.0, spec }
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchOutcome {
    /// Instruction set of the kernels.
    pub isa: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Images of a run.
    pub images: usize,
    /// The engines.
    pub engines: Vec<EngineSpeed>,
}

/// The speed of an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineSpeed {
    /// The engine.
    pub engine: EngineKind,
    /// Images per second of processor time, on one thread, once the mapping is laid out: the median of
    /// measurements of one run or more.
    pub images_per_cpu_s: f64,
    /// How many runs.
    pub runs: usize,
    /// Wall time on one thread over wall time on two, the median of pairs of runs; null where there
    /// is one processor.
    pub two_thread_speedup: Option<f64>,
}

/// Processor time of a measurement at least: the system tells it in steps of milliseconds.
const LEAST: Duration = Duration::from_millis(50);

/// Pairs of runs on one thread and on two.
const PAIRS: usize = 7;

impl Request for BenchRequest {
    const COMMAND: &'static str = "bench";

    type Outcome = BenchOutcome;

    fn run(&self, session: &Session<'_>) -> anyhow::Result<BenchOutcome> {
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
        let named = self.network.load()?;
        let network = &named.network;
        let pipeline = session.pipeline(&self.pipeline)?;
        let mapping = map_by(session, &pipeline, network, &spec, Seed(1))?;
        let test = SplitDataset::mnist_subset().test;
        let again: Vec<usize> = (0..test.len()).cycle().take(images).collect();
        let reference = data::reference(network, test.view().select(&again))?;
        let programmed = Programmed::new(&reference, &mapping, &spec, &NoiseScope::All)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let [one, two] = [pool(1)?, pool(2)?];
        let mut engines = Vec::new();
        for engine in EngineKind::ALL {
            let built_in = engine.try_into()?;
            let run = || programmed.run(0..1, Seed(1)).on(&built_in).map(|_| ());
            let (mut rates, mut runs, mut spent) = (Vec::new(), 0, Duration::ZERO);
            one.install(|| -> anyhow::Result<()> {
                // The first run finds caches and page tables empty.
                run()?;
                while rates.len() < 3 || spent.as_secs_f64() < seconds {
                    let before = processor_time()?;
                    let (mut count, mut took) = (0, Duration::ZERO);
                    while took < LEAST {
                        run()?;
                        (count, took) = (count + 1, processor_time()? - before);
                    }
                    (runs, spent) = (runs + count, spent + took);
                    rates.push((count * self.images) as f64 / took.as_secs_f64());
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
            let images_per_cpu_s = median(rates);
            engines.push(EngineSpeed { engine, images_per_cpu_s, runs, two_thread_speedup });
        }
        let isa = match Kernels::default() {
            Kernels::Scalar => "scalar".to_owned(),
            Kernels::Vectors(isa) => isa.to_string(),
        };
        Ok(BenchOutcome { isa, processors, images: self.images, engines })
    }
}

impl Step for BenchRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        let files = self.network.file().into_iter().chain(pipeline_file(&self.pipeline));
        files.chain(self.spec.files()).collect()
    }
}

pub(crate) fn pool(threads: usize) -> anyhow::Result<ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("threads")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The time that this thread was on a processor where the system tells, or else the time.
pub(crate) fn processor_time() -> anyhow::Result<Duration> {
    const TOLD_BY_LINUX: &str = "/proc/thread-self/schedstat";
    let Ok(told) = hafnia_artifact::read_text(TOLD_BY_LINUX) else {
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
