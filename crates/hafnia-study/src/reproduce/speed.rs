//! How fast the engines are where the run takes place: `hafnia bench`.

use std::path::Path;

use hafnia_report::{Metrics, ReportError, Section, Table};
use hafnia_sim::EngineKind;

use crate::bench::{BenchOutcome, BenchRequest};
use crate::reproduce::lab::Lab;
use crate::request::name_of;
use crate::source::NetworkSource;

/// What was measured.
pub(super) struct Speed(pub(super) BenchOutcome);

pub(super) fn run(lab: &Lab<'_>, network: &Path) -> anyhow::Result<Speed> {
    let request = BenchRequest {
        pipeline: "natural".to_owned(),
        network: NetworkSource::File(network.to_owned()),
        ..BenchRequest::default()
    };
    Ok(Speed(lab.ask("bench", &request)?))
}

impl Speed {
    /// `sim/<engine>/images_per_cpu_s` and `sim/device/two_thread_speedup`.
    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> Result<(), ReportError> {
        for of in &self.0.engines {
            let key = format!("sim/{}/images_per_cpu_s", name_of(&of.engine));
            metrics.insert(key, of.images_per_cpu_s)?;
            if let (Some(speedup), EngineKind::Device) = (of.two_thread_speedup, of.engine) {
                metrics.insert("sim/device/two_thread_speedup", speedup)?;
            }
        }
        Ok(())
    }

    pub(super) fn section(&self) -> Section {
        let mut table = Table::of([
            "engine",
            ">images per CPU-second, one thread",
            ">images a run",
            ">two threads against one",
        ]);
        for of in &self.0.engines {
            let speedup = of.two_thread_speedup.map_or("-".to_owned(), |s| format!("× {s:.2}"));
            table.row([
                name_of(&of.engine),
                format!("{:.0}", of.images_per_cpu_s),
                of.images.to_string(),
                speedup,
            ]);
        }
        Section {
            title: "Speed of the engines".to_owned(),
            text: format!(
                "The deployed network with noise in all layers, natural order; kernels for {}, {} processors.\n\
                 Other work on the machine slows the second thread and hardly the first, whose time is that on a processor.",
                self.0.isa, self.0.processors
            ),
            tables: vec![table],
            ..Section::default()
        }
    }
}
