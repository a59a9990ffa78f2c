//! Measures the engines on this machine.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hafnia_cim::MacroSpec;
use hafnia_data::{Dataset, SplitDataset};
use hafnia_ir::Mapping;
use hafnia_model::Network;
use hafnia_rng::Seed;
use hafnia_sim::{EngineKind, Engines, Kernels, NoiseScope, Programmed};
use rayon::ThreadPool;
use serde::{Deserialize, Serialize};

use crate::data;
use crate::limits;
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
    /// Images of a run, 64 to 1 000 000; without a number as many as take half a second of processor
    /// time, for every engine its own.
    pub images: Option<usize>,
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
        Self { network, pipeline: PIPELINE.to_owned(), images: None, seconds: 2.0, spec }
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchOutcome {
    /// Instruction set of the kernels.
    pub isa: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// The engines.
    pub engines: Vec<EngineSpeed>,
}

/// The speed of an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineSpeed {
    /// The engine.
    pub engine: EngineKind,
    /// Images of a run.
    pub images: usize,
    /// Images per second of processor time, on one thread, once the mapping is laid out: the median of
    /// measurements of one run or, of short ones, some.
    pub images_per_cpu_s: f64,
    /// How many runs.
    pub runs: usize,
    /// Wall time of a run on one thread over that of the next on two, the median; null where there is
    /// one processor. Short runs tell little: their start and end are on one.
    pub two_thread_speedup: Option<f64>,
}

/// Processor time of a run: enough that its start and its end, where threads wait, are little of it.
const LONG: Duration = Duration::from_millis(500);

/// Time of the runs that are measured together, where they are short: the system tells the time on a
/// processor in steps of milliseconds.
const LEAST: Duration = Duration::from_millis(50);

/// Images of a run, if that is asked for.
const IMAGES: RangeInclusive<usize> = 64..=1_000_000;

impl Request for BenchRequest {
    const COMMAND: &'static str = "bench";

    type Outcome = BenchOutcome;

    fn run(&self, session: &Session<'_>) -> anyhow::Result<BenchOutcome> {
        let seconds = self.seconds;
        if let Some(images) = self.images {
            limits::check("--images", images, &IMAGES)?;
        }
        ensure!(
            (0.1..=600.0).contains(&seconds),
            "--seconds is {seconds}, it must lie in 0.1..=600"
        );
        let spec = self.spec.load()?;
        let named = self.network.load()?;
        let network = &named.network;
        let pipeline = session.pipeline(&self.pipeline)?;
        let mapping = map_by(session, &pipeline, network, &spec, Seed(1))?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let subject = Subject {
            network,
            mapping: &mapping,
            spec: &spec,
            test: SplitDataset::mnist_subset().test,
            threads: [pool(1)?, pool(2)?],
        };
        let mut engines = Vec::new();
        for engine in EngineKind::ALL {
            let built_in = engine.try_into()?;
            let images = self.images.map_or_else(|| subject.enough(&built_in), Ok)?;
            let (mut rates, mut speedups) = (Vec::new(), Vec::new());
            let (mut runs, mut spent) = (0, 0.0);
            subject.programmed(images, |programmed| {
                // The first run finds caches and page tables empty.
                subject.run(programmed, &built_in, 1)?;
                while rates.len() < 3 || spent < seconds {
                    let one = subject.run(programmed, &built_in, 1)?;
                    runs += one.runs;
                    spent += one.processor * one.runs as f64;
                    rates.push(images as f64 / one.processor);
                    if processors >= 2 {
                        speedups.push(one.wall / subject.run(programmed, &built_in, 2)?.wall);
                    }
                }
                Ok(())
            })?;
            engines.push(EngineSpeed {
                engine,
                images,
                runs,
                images_per_cpu_s: median(rates).context("runs")?,
                two_thread_speedup: median(speedups),
            });
        }
        let isa = match Kernels::default() {
            Kernels::Scalar => "scalar".to_owned(),
            Kernels::Vectors(isa) => isa.to_string(),
        };
        Ok(BenchOutcome { isa, processors, engines })
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

/// What is run, and on how many threads.
struct Subject<'a> {
    network: &'a Network,
    mapping: &'a Mapping,
    spec: &'a MacroSpec,
    test: Dataset,
    /// One thread, and two.
    threads: [ThreadPool; 2],
}

/// How long a run took, in seconds: the mean of some.
struct Took {
    wall: f64,
    /// Of the thread that began it.
    processor: f64,
    runs: usize,
}

impl Subject<'_> {
    /// Calls `run` with the mapping on so many images.
    fn programmed<T>(
        &self,
        images: usize,
        run: impl FnOnce(&Programmed<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let again: Vec<usize> = (0..self.test.len()).cycle().take(images).collect();
        let reference = data::reference(self.network, self.test.view().select(&again))?;
        run(&Programmed::new(&reference, self.mapping, self.spec, &NoiseScope::All)?)
    }

    /// Runs once, or until that can be told.
    fn run(
        &self,
        programmed: &Programmed<'_>,
        engines: &Engines<'_>,
        threads: usize,
    ) -> anyhow::Result<Took> {
        self.threads[threads - 1].install(|| {
            let (start, before, mut runs) = (Instant::now(), processor_time()?, 0);
            while start.elapsed() < LEAST {
                programmed.run(0..1, Seed(1)).on(engines)?;
                runs += 1;
            }
            let each = |took: Duration| took.as_secs_f64() / runs as f64;
            let processor = each(processor_time()? - before);
            Ok(Took { wall: each(start.elapsed()), processor, runs })
        })
    }

    /// How many images a run takes that is long enough.
    fn enough(&self, engines: &Engines<'_>) -> anyhow::Result<usize> {
        let mut images = *IMAGES.start();
        loop {
            let took = self.programmed(images, |programmed| self.run(programmed, engines, 1))?;
            let more = longer(images, took.processor, LONG.as_secs_f64());
            if more == images || images == *IMAGES.end() {
                return Ok(images);
            }
            images = more.min(*IMAGES.end());
        }
    }
}

/// How many images to try after so many that took so many seconds, where they are to take `wanted` at
/// least: as many if they did, else a tenth more than they tell, but not over 16 times as many, as a
/// short run tells little of a long one.
pub(crate) fn longer(images: usize, took: f64, wanted: f64) -> usize {
    if took >= wanted {
        return images;
    }
    let needed = (images as f64 * 1.1 * wanted / took).ceil();
    // What takes no time, or less by chance, tells nothing.
    if took > 0.0 { (needed as usize).min(16 * images) } else { 16 * images }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
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
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn longer_runs_are_found_by_shorter_ones() {
        // 3 ms an image, and 20 ms to begin.
        let took = |images: usize| 0.02 + 0.003 * images as f64;
        let (mut images, mut tried) = (1, 0);
        loop {
            match longer(images, took(images), 10.0) {
                more if more == images => break,
                more => (images, tried) = (more, tried + 1),
            }
        }
        assert!((3_327..5_000).contains(&images) && tried <= 4, "{images} images, {tried} trials");
    }
}
