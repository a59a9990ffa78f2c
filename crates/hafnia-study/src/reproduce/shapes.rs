//! Networks of published shapes, with random weights: `hafnia shapes`.

use hafnia_cost::Range;
use hafnia_report::{Interval, Metrics, Part, Section, Table};

use crate::reproduce::lab::{Lab, add};
use crate::shapes::{MeasuredShape, ShapesOutcome, ShapesRequest};

/// Those whose speed and cost are metrics; the largest takes most of a minute, and is left out where
/// little is done.
const NAMES: [&str; 4] = ["lenet5", "lenet5-int4", "cnv", "vgg8"];
const QUICK: [&str; 2] = ["lenet5", "cnv"];

/// What was measured.
pub(super) struct Shapes(ShapesOutcome);

pub(super) fn run(lab: &Lab<'_>) -> anyhow::Result<Shapes> {
    let names = if lab.effort.all_shapes { &NAMES[..] } else { &QUICK };
    let names = names.iter().map(|&name| name.to_owned()).collect();
    Ok(Shapes(lab.ask("shapes", &ShapesRequest { names, ..ShapesRequest::default() })?))
}

impl Shapes {
    /// `sim/device/ns_per_conversion/<shape>`, and `cost/vgg8/tops_per_w` with its range.
    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> anyhow::Result<()> {
        for MeasuredShape { name, ns_per_conversion, tops_per_w, .. } in &self.0.networks {
            metrics.insert(format!("sim/device/ns_per_conversion/{name}"), *ns_per_conversion)?;
            if name == "vgg8" {
                let Range { typical: value, lo, hi } = *tops_per_w;
                add(metrics, "cost/vgg8/tops_per_w", Interval { value, lo, hi })?;
            }
        }
        Ok(())
    }

    pub(super) fn section(&self) -> Section {
        let mut table = Table::of([
            "network",
            ">weights",
            ">macros",
            ">cells",
            ">conversions per image",
            ">ns per conversion",
            ">images per CPU-second",
            ">TOPS/W",
        ]);
        for of in &self.0.networks {
            table.row([
                of.name.clone(),
                of.weights.to_string(),
                of.macros.to_string(),
                of.cells.to_string(),
                format!("{:.0}", of.conversions_per_image),
                format!("{:.2}", of.ns_per_conversion),
                format!("{:.1}", of.images_per_cpu_s),
                of.tops_per_w.to_string(),
            ]);
        }
        Section {
            part: Part::Cost,
            title: "Networks of published shapes".to_owned(),
            text: "Random weights, mapped by `compact`, random images, engine `device` with noise in all layers, one thread.\n\
                   TOPS/W is of 1×1-bit operations of the rows that were on, on one image, with the range that what is assumed leaves; the chip was published at 36.4 TOPS/W with binary VGG-8 and 44.5 with ternary VGG-8."
                .to_owned(),
            tables: vec![table],
            ..Section::default()
        }
    }
}
