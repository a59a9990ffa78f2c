//! Measures networks of published shapes, with random weights: how large they are, how fast they run,
//! what they cost.

use anyhow::Context as _;
use hafnia_cim::MacroSpec;
use hafnia_cost::{Calibrated, CostModel, DRAWS, Range};
use hafnia_ir::Mapping;
use hafnia_model::{Network, random, shapes};
use hafnia_rng::Seed;
use hafnia_sim::{Engines, Images, NoiseScope, Programmed, Reference};
use hafnia_text::quoted;
use serde::{Deserialize, Serialize};

use crate::bench::{longer, pool, processor_time};
use crate::map::map_by;
use crate::request::{Request, Step};
use crate::session::Session;
use crate::source::{MacroSource, PIPELINE};

/// Which networks are to be measured: mapped by `compact`, on one virtual chip, with noise in all
/// layers, on random images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapesRequest {
    /// Names of [`hafnia_model::shapes::ALL`]; all of them if none is named.
    pub names: Vec<String>,
    /// Processor time in seconds that images beyond the first take at least, 0.01 to 600.
    pub seconds: f64,
    /// The macro.
    #[serde(flatten)]
    pub spec: MacroSource,
}

impl Default for ShapesRequest {
    fn default() -> Self {
        Self { names: Vec::new(), seconds: 0.5, spec: MacroSource::default() }
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapesOutcome {
    /// The networks.
    pub networks: Vec<MeasuredShape>,
}

/// A network of a published shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasuredShape {
    /// Its name.
    pub name: String,
    /// Its matrices, those of every group of a convolution.
    pub matrices: usize,
    /// Its weights.
    pub weights: usize,
    /// Macros that its mapping takes.
    pub macros: usize,
    /// Cells that its mapping takes.
    pub cells: usize,
    /// Processor time in seconds that mapping it took, with its proofs.
    pub map_cpu_s: f64,
    /// Conversions of an image.
    pub conversions_per_image: f64,
    /// Images per second of processor time on engine `device`, on one thread: of those beyond the first.
    pub images_per_cpu_s: f64,
    /// Processor time in nanoseconds of a conversion of these.
    pub ns_per_conversion: f64,
    /// Energy of an image, in µJ.
    pub energy_uj_per_image: Range,
    /// Latency of an image, in ms.
    pub latency_ms_per_image: Range,
    /// TOPS/W of 1×1-bit operations of the rows that were on.
    pub tops_per_w: Range,
}

impl Request for ShapesRequest {
    const COMMAND: &'static str = "shapes";
    const POSITIONAL: &'static [&'static str] = &["names"];

    type Outcome = ShapesOutcome;

    fn run(&self, session: &Session<'_>) -> anyhow::Result<ShapesOutcome> {
        anyhow::ensure!(
            (0.01..=600.0).contains(&self.seconds),
            "--seconds is {}, it must lie in 0.01..=600",
            self.seconds
        );
        let spec = self.spec.load()?;
        let known = || shapes::ALL.map(|(name, _)| name).join(", ");
        let of = |name: &String| {
            let found = shapes::ALL.into_iter().find(|(known, _)| known == name);
            found.with_context(|| format!("no shape {}: there are {}", quoted(name), known()))
        };
        let wanted = match &self.names[..] {
            [] => shapes::ALL.to_vec(),
            names => names.iter().map(of).collect::<anyhow::Result<_>>()?,
        };
        let calibrated = CostModel::gt_n40().calibrate(DRAWS, Seed(1))?;
        let bar = session.observer.bar("shapes", "networks");
        let one = pool(1)?;
        let mut networks = Vec::new();
        for (done, &(name, make)) in wanted.iter().enumerate() {
            bar.message(name);
            let network = make(Seed(1));
            let measured = one.install(|| {
                self.measure(
                    session,
                    name,
                    &Shape { network, spec: &spec, calibrated: &calibrated },
                )
            });
            networks.push(measured?);
            bar.moves(done as u64 + 1, wanted.len() as u64);
        }
        Ok(ShapesOutcome { networks })
    }
}

impl Step for ShapesRequest {
    fn inputs(&self) -> Vec<std::path::PathBuf> {
        self.spec.files()
    }
}

/// Images beyond the first of a run, at most.
const MOST_IMAGES: usize = 1 << 16;

/// A network, and what it is measured with.
struct Shape<'a> {
    network: Network,
    spec: &'a MacroSpec,
    calibrated: &'a Calibrated,
}

impl ShapesRequest {
    fn measure(
        &self,
        session: &Session<'_>,
        name: &str,
        shape: &Shape<'_>,
    ) -> anyhow::Result<MeasuredShape> {
        let Shape { network, spec, calibrated } = shape;
        let start = processor_time()?;
        let mapping = map_by(session, &session.pipeline(PIPELINE)?, network, spec, Seed(1))?;
        let map_cpu_s = (processor_time()? - start).as_secs_f64();

        // Most of a short run is its start: the difference of two tells how long an image takes.
        let (least, first) = shape.run(&mapping, 1)?;
        let mut images = 1;
        let (conversions, seconds) = loop {
            let (conversions, seconds) = shape.run(&mapping, 1 + images)?;
            let more = longer(images, seconds - first, self.seconds);
            if more == images || images == MOST_IMAGES {
                break ((conversions - least) as f64, seconds - first);
            }
            images = more.min(MOST_IMAGES);
        };
        let image = Images { activations: image(network, 0), labels: vec![0] };
        let reference = Reference::new(network, image)?;
        let programmed = Programmed::new(&reference, &mapping, spec, &NoiseScope::All)?;
        let events = programmed.count_events(&|_, _| {});
        let cost = calibrated.assess(network, &mapping, spec, &events)?.cost();
        Ok(MeasuredShape {
            name: name.to_owned(),
            matrices: network.matrices().len(),
            weights: network.matrices().iter().map(|of| of.weights.values().len()).sum(),
            macros: mapping.macros(),
            cells: mapping.cells(),
            map_cpu_s,
            conversions_per_image: conversions / images as f64,
            images_per_cpu_s: images as f64 / seconds,
            ns_per_conversion: 1e9 * seconds / conversions,
            energy_uj_per_image: cost.energy_fj.total.scaled(1e-9),
            latency_ms_per_image: cost.latency_ns.total.scaled(1e-6),
            tops_per_w: cost.tops_per_w,
        })
    }
}

impl Shape<'_> {
    /// Conversions, and processor time in seconds, of so many random images on a new chip.
    fn run(&self, mapping: &Mapping, count: usize) -> anyhow::Result<(u64, f64)> {
        let activations = (0..count as u64).flat_map(|index| image(&self.network, index)).collect();
        let images = Images { activations, labels: vec![0; count] };
        let reference = Reference::new(&self.network, images)?;
        let programmed = Programmed::new(&reference, mapping, self.spec, &NoiseScope::All)?;
        let start = processor_time()?;
        let evaluation = programmed.run(0..1, Seed(1)).on(&Engines::Device)?;
        let seconds = (processor_time()? - start).as_secs_f64();
        Ok((evaluation.events.iter().map(|events| events.conversions).sum(), seconds))
    }
}

fn image(network: &Network, index: u64) -> Vec<u8> {
    random::image(Seed(index), network.input())
}

#[cfg(test)]
mod tests {
    use hafnia_passes::Registry;

    use super::*;

    fn asked(name: &str) -> anyhow::Result<ShapesOutcome> {
        let registry = Registry::builtin();
        let names = vec![name.to_owned()];
        let request = ShapesRequest { names, seconds: 0.01, ..ShapesRequest::default() };
        request.run(&Session::new(&registry, &()))
    }

    #[test]
    fn a_shape_is_measured() {
        let found = asked("lenet5").unwrap();
        let [of] = &found.networks[..] else { panic!("{found:?}") };
        assert_eq!((of.matrices, of.weights, of.macros), (5, 61_470, 4));
        assert!(of.cells <= of.weights, "rows are shared: {of:?}");
        let time_of_images = of.conversions_per_image * of.ns_per_conversion * of.images_per_cpu_s;
        assert!((time_of_images / 1e9 - 1.0).abs() < 1e-9, "{of:?}");
        assert!(
            of.tops_per_w.lo < of.tops_per_w.typical && of.tops_per_w.typical < of.tops_per_w.hi
        );
    }

    #[test]
    fn a_shape_that_is_not_there_is_named() {
        let error = asked("vgg9").unwrap_err().to_string();
        assert!(error.starts_with("no shape `vgg9`: there are lenet5, "), "{error}");
    }
}
