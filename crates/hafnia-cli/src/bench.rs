//! `hafnia bench`.

use clap::Args;
use hafnia_study::{BenchRequest, PIPELINE, Request, Session, name_of};
use serde::Serialize;

use crate::options::{MacroOptions, NetworkOptions, number, request};
use crate::output::{Output, table};

/// Measure the engines on this machine: images per second of processor time, and what a second
/// thread gives.
///
/// The network runs with noise in all layers on test images of the small subset that is part of
/// hafnia, over and over; it is mapped by --pipeline.
#[derive(Args, Serialize)]
#[command(after_help = "Examples:
  hafnia bench --model frontier
  hafnia bench net.hafnia --pipeline rename --set bits=4
  hafnia bench --model frontier --seconds 5 --format json")]
pub(crate) struct Bench {
    #[command(flatten)]
    #[serde(flatten)]
    network: NetworkOptions,
    /// Pipeline that maps the network, built-in or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = PIPELINE)]
    pipeline: String,
    /// Images of a run, 64 to 100 000.
    #[arg(long, value_name = "N", default_value_t = 2048)]
    images: usize,
    /// Processor time that every engine is given at least, in seconds, 0.1 to 600.
    #[arg(long, value_parser = number, default_value_t = 2.0)]
    seconds: f64,
    #[command(flatten)]
    #[serde(flatten)]
    spec: MacroOptions,
}

impl Bench {
    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        output.answer(request::<BenchRequest>(self)?.run(session), |measured| {
            let columns = [
                "engine",
                ">images per CPU-second, one thread",
                ">runs",
                ">two threads against one",
            ];
            let mut table = table(columns);
            for of in &measured.engines {
                table.row([
                    name_of(&of.engine),
                    format!("{:.0}", of.images_per_cpu_s),
                    of.runs.to_string(),
                    of.two_thread_speedup
                        .map_or("-".to_owned(), |speedup| format!("x {speedup:.2}")),
                ]);
            }
            format!(
                "kernels for {}, {} processors, {} images a run, noise in all layers\n{table}",
                measured.isa, measured.processors, measured.images
            )
        })
    }
}
