//! A quantised network on an RRAM compute-in-memory macro: mapped, proved, simulated with its noise.
//!
//! From an array of weights to an accuracy with its interval:
//!
//! ```
//! use hafnia::prelude::*;
//!
//! // Four inputs that are on or off, three classes; the pixels of two images and their classes.
//! let weights = [[1, -1, -1], [1, -1, 1], [-1, 1, 1], [-1, 1, -1]];
//! let (pixels, labels) = ([200, 180, 10, 0, 0, 30, 220, 190], [0, 1]);
//! let network = Network::classifier(Weights::from_rows(&weights)?, &[128])?;
//! let images = Images::from_pixels(&network, &pixels, &labels);
//! let spec = MacroSpec::preset("gt-n40")?;
//! let mapping = hafnia::map(&network, &spec, "compact", None)?;
//! let outcome = hafnia::simulate(&network, &mapping, &spec, &images, 50)?;
//! println!("accuracy {:.3} on {} chips", outcome.accuracy(), outcome.chips());
//! # assert_eq!(outcome.exact_accuracy(), 1.0);
//! # assert!(outcome.accuracy().lo <= 1.0);
//! # Ok::<(), hafnia::Error>(())
//! ```
//!
//! # What is where
//! Each module is a crate that also stands alone:
//!
//! | module | what it has | start with |
//! |---|---|---|
//! | [`model`] | networks of integers and their arithmetic; reading and writing them | [`model::Network`] |
//! | [`cim`] | the macro: cells, converters, input control; presets with their sources | [`cim::MacroSpec`] |
//! | [`onnx`] | networks out of ONNX and QONNX files, and back | [`onnx::import`] |
//! | [`ir`] | mappings: text, verifier, proof | [`ir::Mapping`] |
//! | [`passes`] | the mapping compiler; pipelines; what a pass of your own may ask | [`passes::Pipeline`] |
//! | [`sim`] | virtual chips and the engines; a noise model of your own | [`sim::Programmed`] |
//! | [`cost`] | area, energy and latency with their ranges | [`cost::CostModel`] |
//! | [`stats`] | intervals, paired comparisons, power | [`stats::Interval`] |
//! | [`data`] | MNIST and other data sets | [`data::Dataset`] |
//! | [`rng`] | seeds and addressed random numbers | [`rng::Seed`] |
//!
//! [`map`], [`simulate`] and [`cost_of`] are the short ways through them, with the defaults of the
//! command line. Training is the crate `hafnia-train`, which builds burn; the flows of the command
//! line, with files and caches, are `hafnia-study`.

use hafnia_cost::{Cost, CostModel, DRAWS};
use hafnia_ir::{Mapping, Profile};
use hafnia_model::Network;
use hafnia_passes::{Context, Pipeline, Registry};
use hafnia_rng::Seed;
use hafnia_sim::{Engines, Evaluation, Images, NoiseScope, Programmed, Reference};

pub use hafnia_cim as cim;
pub use hafnia_cost as cost;
pub use hafnia_data as data;
pub use hafnia_ir as ir;
pub use hafnia_model as model;
pub use hafnia_onnx as onnx;
pub use hafnia_passes as passes;
pub use hafnia_rng as rng;
pub use hafnia_sim as sim;
pub use hafnia_stats as stats;

use cim::{CodeTable, MacroSpec};

/// The examples of the repository's README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// What most programs use.
pub mod prelude {
    pub use hafnia_cim::MacroSpec;
    pub use hafnia_cost::CostModel;
    pub use hafnia_ir::{Mapping, Profile};
    pub use hafnia_model::{Conv, Input, Layer, Linear, Network, Thresholds, Weights};
    pub use hafnia_passes::{Pass, Pipeline, Registry};
    pub use hafnia_rng::Seed;
    pub use hafnia_sim::{Engines, Evaluation, Images, NoiseScope, Programmed, Reference};
    pub use hafnia_stats::Interval;
}

/// The seed that the short ways draw from; other seeds are a matter of the crates themselves.
pub const SEED: Seed = Seed(1);

/// What can go wrong on the short ways: the error of the crate that refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network is not well formed, or its weights have values that no cell holds.
    #[error(transparent)]
    Network(#[from] hafnia_model::ShapeError),
    /// There is no such macro, or a value of it is out of range.
    #[error(transparent)]
    Macro(#[from] hafnia_cim::CimError),
    /// A pipeline cannot be made or run.
    #[error(transparent)]
    Pipeline(#[from] hafnia_passes::PipelineError),
    /// A mapping does not compute what its network computes: a fault of a pass.
    #[error(transparent)]
    Mapping(#[from] hafnia_sim::Disagreement),
    /// Images, mapping and macro do not fit each other, or the engine lacks an effect.
    #[error(transparent)]
    Simulation(#[from] hafnia_sim::SimError),
    /// The cost cannot be told.
    #[error(transparent)]
    Cost(#[from] hafnia_cost::CostError),
}

/// Maps `network` onto macros of `spec` by a pipeline: the name of one or the path of its file.
///
/// Every pass is verified, proved and checked on random images, as on the command line. Pipelines
/// that order rows need a profile of the network: [`Reference::profile`].
///
/// # Errors
/// If there is no such pipeline, it needs a profile that is not given, or a pass fails.
pub fn map(
    network: &Network,
    spec: &MacroSpec,
    pipeline: &str,
    profile: Option<&Profile>,
) -> Result<Mapping, Error> {
    let pipeline = Pipeline::load(pipeline, &Registry::builtin())?;
    let code_table = CodeTable::from_spec(spec);
    let (code_table, progress) = (&code_table, &|_, _| {});
    let context = Context { network, spec, profile, code_table, seed: SEED, progress };
    let mapping = pipeline.run(Mapping::logical(network, spec), &context, &mut |_| Ok(()))?.mapping;
    hafnia_sim::check_equivalence(network, &mapping, spec, SEED)?;
    Ok(mapping)
}

/// Runs all matrices of a mapped network over `images` on this many virtual chips.
///
/// # Errors
/// If the images do not fit the network, the mapping is of another network or macro or is not
/// placed, or there are no chips.
pub fn simulate(
    network: &Network,
    mapping: &Mapping,
    spec: &MacroSpec,
    images: &Images,
    chips: u32,
) -> Result<Evaluation, Error> {
    let reference = Reference::new(network, images)?;
    let programmed = Programmed::new(&reference, mapping, spec, &NoiseScope::All)?;
    Ok(programmed.run(0..chips, SEED).on(&Engines::Device)?)
}

/// Area, energy and latency of a mapped network over `images`, by the cost model of the 40 nm chip.
///
/// # Errors
/// As [`simulate`], and if the model has no constants for a part of the macro.
pub fn cost_of(
    network: &Network,
    mapping: &Mapping,
    spec: &MacroSpec,
    images: &Images,
) -> Result<Cost, Error> {
    let reference = Reference::new(network, images)?;
    let programmed = Programmed::new(&reference, mapping, spec, &NoiseScope::All)?;
    let counts = programmed.count_events(&|_, _| {});
    let calibrated = CostModel::gt_n40().calibrate(DRAWS, SEED)?;
    Ok(calibrated.assess(network, mapping, spec, &counts)?.cost())
}
