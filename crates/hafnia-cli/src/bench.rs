//! `hafnia bench`.

use std::path::PathBuf;

use clap::Args;
use hafnia_study::{BENCH_MODEL, BenchRequest, NetworkSource, PIPELINE, Request, Session, name_of};

use crate::options::{MacroOptions, number};
use crate::output::{Output, table};

/// Measure the engines on this machine: images per second of processor time, and what a second
/// thread gives.
///
/// The network runs with noise in all layers on test images of the small subset that is part of
/// hafnia, over and over; it is mapped by --pipeline. A run is long enough that its start and its
/// end, where threads wait for each other, are little of it.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia bench
  hafnia bench net.hafnia --pipeline rename --set bits=4
  hafnia bench --model frontier --seconds 5 --format json")]
pub(crate) struct Bench {
    /// Network file; without it --model.
    #[arg(value_name = "NETWORK", conflicts_with = "model")]
    file: Option<PathBuf>,
    /// Recorded network: RECIPE, or RECIPE/SEED (hafnia models).
    #[arg(long, value_name = "NAME", default_value = BENCH_MODEL)]
    model: String,
    /// Pipeline that maps the network, built-in or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = PIPELINE)]
    pipeline: String,
    /// Images of a run, 64 to 1 000 000; without it, for every engine, as many as take half a second
    /// of processor time.
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Processor time that runs of an engine on one thread take at least together, in seconds, 0.1
    /// to 600; each is followed by one on two threads.
    #[arg(long, value_parser = number, default_value_t = 2.0)]
    seconds: f64,
    #[command(flatten)]
    spec: MacroOptions,
}

impl Bench {
    pub(crate) fn request(&self) -> BenchRequest {
        let network = match &self.file {
            Some(file) => NetworkSource::File(file.clone()),
            None => NetworkSource::Model(self.model.clone()),
        };
        let Self { images, seconds, .. } = *self;
        let (pipeline, spec) = (self.pipeline.clone(), self.spec.source());
        BenchRequest { network, pipeline, images, seconds, spec }
    }

    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        output.answer(self.request().run(session), |measured| {
            let columns = [
                "engine",
                ">images per CPU-second, one thread",
                ">images a run",
                ">runs",
                ">two threads against one",
            ];
            let mut table = table(columns);
            for of in &measured.engines {
                table.row([
                    name_of(&of.engine),
                    format!("{:.0}", of.images_per_cpu_s),
                    of.images.to_string(),
                    of.runs.to_string(),
                    of.two_thread_speedup
                        .map_or("-".to_owned(), |speedup| format!("x {speedup:.2}")),
                ]);
            }
            format!(
                "kernels for {}, {} processors, noise in all layers\n{table}",
                measured.isa, measured.processors
            )
        })
    }
}
