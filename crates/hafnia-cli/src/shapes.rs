//! `hafnia shapes`.

use clap::Args;
use hafnia_study::{Request, Session, ShapesRequest};
use serde::Serialize;

use crate::options::{MacroOptions, number, request};
use crate::output::{Output, table};

/// Measure networks of published shapes with random weights: size, speed on engine device, cost.
///
/// Each is mapped by `compact` and runs on one virtual chip, with noise in all layers, on one thread.
/// A short run is mostly its start: times are those of the images beyond the first.
#[derive(Args, Serialize)]
#[command(after_help = "Examples:
  hafnia shapes lenet5 cnv
  hafnia shapes vgg8 --format json")]
pub(crate) struct Shapes {
    /// Their names; all of them if none is named, which takes minutes and 400 MiB.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Processor time in seconds that images beyond the first take at least, 0.01 to 600.
    #[arg(long, value_parser = number, default_value_t = ShapesRequest::default().seconds)]
    seconds: f64,
    #[command(flatten)]
    #[serde(flatten)]
    spec: MacroOptions,
}

impl Shapes {
    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        output.answer(request::<ShapesRequest>(self)?.run(session), |measured| {
            let mut table = table([
                "network",
                ">weights",
                ">macros",
                ">conversions",
                ">ns each",
                ">TOPS/W",
                ">images/CPU-s",
                ">uJ/image",
                ">ms/image",
                ">cells",
                ">matrices",
                ">map, CPU-s",
            ]);
            for of in &measured.networks {
                table.row([
                    of.name.clone(),
                    of.weights.to_string(),
                    of.macros.to_string(),
                    format!("{:.0}", of.conversions_per_image),
                    format!("{:.2}", of.ns_per_conversion),
                    of.tops_per_w.to_string(),
                    format!("{:.1}", of.images_per_cpu_s),
                    of.energy_uj_per_image.to_string(),
                    of.latency_ms_per_image.to_string(),
                    of.cells.to_string(),
                    of.matrices.to_string(),
                    format!("{:.2}", of.map_cpu_s),
                ]);
            }
            table.to_string()
        })
    }
}
