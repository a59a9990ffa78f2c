//! How fast the engines are where the run takes place: `hafnia bench`.

use std::path::Path;

use hafnia_report::{Align, Metrics, ReportError, Section, Table};
use serde::Deserialize;

use super::plan::Plan;

/// `hafnia bench`.
#[derive(Debug, Deserialize)]
pub(crate) struct Speed {
    pub(crate) isa: String,
    pub(crate) processors: usize,
    images: usize,
    engines: Vec<OfEngine>,
}

#[derive(Debug, Deserialize)]
struct OfEngine {
    engine: String,
    images_per_cpu_s: f64,
    two_thread_speedup: Option<f64>,
}

pub(crate) fn run(plan: &Plan<'_>, network: &Path) -> anyhow::Result<Speed> {
    let arguments = vec!["bench".to_owned(), network.display().to_string()];
    plan.calls.json("bench", arguments, vec![network.to_owned()])
}

impl Speed {
    /// `sim/<engine>/images_per_cpu_s` and `sim/device/two_thread_speedup`.
    pub(crate) fn add_metrics(&self, metrics: &mut Metrics) -> Result<(), ReportError> {
        for of in &self.engines {
            metrics.insert(format!("sim/{}/images_per_cpu_s", of.engine), of.images_per_cpu_s)?;
            if let (Some(speedup), "device") = (of.two_thread_speedup, of.engine.as_str()) {
                metrics.insert("sim/device/two_thread_speedup", speedup)?;
            }
        }
        Ok(())
    }

    pub(crate) fn section(&self) -> Section {
        let mut table = Table::new([
            ("engine", Align::Left),
            ("images a CPU-second, one thread", Align::Right),
            ("two threads against one", Align::Right),
        ]);
        for of in &self.engines {
            let speedup = of.two_thread_speedup.map_or("-".to_owned(), |s| format!("× {s:.2}"));
            table.row([of.engine.clone(), format!("{:.0}", of.images_per_cpu_s), speedup]);
        }
        Section {
            title: "Speed of the engines".to_owned(),
            text: format!(
                "The deployed network with noise in all layers, natural order, {} images a run; kernels for {}, {} processors.\n\
                 Other work on the machine slows the second thread and hardly the first, whose time is that on a processor.",
                self.images, self.isa, self.processors
            ),
            tables: vec![table],
            ..Section::default()
        }
    }
}
