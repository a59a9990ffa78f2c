//! Prices a mapped network: area, energy and latency, with ranges.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use hafnia_artifact::write_whole;
use hafnia_cim::MacroSpec;
use hafnia_cost::{
    Assessment, BreakEven, Calibrated, Calibration, Cost, CostModel, DRAWS, Departure, Range, Scope,
};
use hafnia_ir::Mapping;
use hafnia_model::Network;
use hafnia_report::Interval;
use hafnia_report::plot::{Fitted, fit};
use hafnia_rng::Seed;
use hafnia_sim::{NoiseScope, Programmed, Reference};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::data::{self, DataSource, Part};
use crate::map::map_by;
use crate::outputs::{check_outputs, written};
use crate::record::Record;
use crate::request::{Request, Step};
use crate::session::Session;
use crate::source::{MacroSource, NetworkSource, PIPELINE, load_mapping, pipeline_file, resolved};

/// What is to be priced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostRequest {
    /// The network.
    #[serde(flatten)]
    pub network: NetworkSource,
    /// File of its mapping.
    pub mapping: Option<PathBuf>,
    /// Pipeline by which it is mapped in place of that; `compact` without either.
    pub pipeline: Option<String>,
    /// What area is compared with: a mapping (.map) or a pipeline.
    pub against: Option<String>,
    /// File of the plot of that comparison.
    pub plot: Option<PathBuf>,
    /// What parts take: a built-in model, or a TOML file.
    pub cost_model: String,
    /// Other values for constants of it, `KEY=VALUE` each.
    #[serde(rename = "constant")]
    pub constants: Vec<String>,
    /// Draws of what is assumed.
    pub draws: usize,
    /// The part of the data set.
    pub part: Part,
    /// How many of its images; 1000 without a number, or all if there are fewer.
    pub images: Option<usize>,
    /// Seed of everything drawn.
    pub seed: u64,
    /// File of the outcome.
    pub out: Option<PathBuf>,
    /// The macro.
    #[serde(flatten)]
    pub spec: MacroSource,
    /// Where images come from.
    #[serde(flatten)]
    pub data: DataSource,
}

/// Images over which events are counted, if there are as many.
const IMAGES: usize = 1000;

impl Default for CostRequest {
    fn default() -> Self {
        Self {
            network: NetworkSource::default(),
            mapping: None,
            pipeline: None,
            against: None,
            plot: None,
            cost_model: "gt-n40".to_owned(),
            constants: Vec::new(),
            draws: DRAWS,
            part: Part::Test,
            images: None,
            seed: 1,
            out: None,
            spec: MacroSource::default(),
            data: DataSource::default(),
        }
    }
}

/// What a mapped network takes and spends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostOutcome {
    /// The network.
    pub network: String,
    /// Its file, or the pipeline that made it.
    pub mapping: String,
    /// The part of the data set.
    pub part: Part,
    /// Images over which events were counted.
    pub images: usize,
    /// Seed of everything drawn.
    pub seed: u64,
    /// What parts take.
    pub cost_model: CostModel,
    /// The macro.
    #[serde(rename = "macro")]
    pub spec: BTreeMap<String, String>,
    /// What the model is calibrated on.
    pub calibration: Calibration,
    /// Where the macro is not the chip that it is calibrated on; prices follow the macro.
    #[serde(default)]
    pub departures: Vec<Departure>,
    /// The cost.
    pub cost: Cost,
    /// The comparison, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<CostAgainst>,
}

/// The mapping beside another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostAgainst {
    /// The other one: its file, or the pipeline that made it.
    pub mapping: String,
    /// Its cost.
    pub cost: Cost,
    /// By scope, for the network and for every layer whose area differs.
    pub savings: Vec<BreakEven>,
}

impl Request for CostRequest {
    const COMMAND: &'static str = "cost";
    const POSITIONAL: &'static [&'static str] = &["file", "mapping"];

    type Outcome = CostOutcome;

    fn run(&self, session: &Session<'_>) -> anyhow::Result<CostOutcome> {
        let spec = self.spec.load()?;
        let model = self.model()?;
        let named = self.network.load()?;
        let network = &named.network;
        ensure!(
            self.mapping.is_none() || self.pipeline.is_none(),
            "give one mapping, or --pipeline"
        );
        let name = match &self.mapping {
            Some(file) => file.display().to_string(),
            None => self.pipeline.clone().unwrap_or_else(|| PIPELINE.to_owned()),
        };
        check_outputs(self, Some(&self.data))?;
        let mut record = Record::of(
            self,
            &[("cost_model", json!(model)), ("macro", json!(resolved(&spec)))],
            Some(self.seed),
        )?;
        record.network(&named);
        record.inputs(self.spec.files().into_iter().chain(CostModel::file(&self.cost_model)))?;
        let mut mapped = |name: &str, is_file| {
            if is_file {
                record.input(Path::new(name))?;
                return load_mapping(Path::new(name), network);
            }
            record.inputs(pipeline_file(name))?;
            map_by(session, &session.pipeline(name)?, network, &spec, Seed(self.seed))
        };
        let mapping = mapped(&name, self.mapping.is_some())?;
        let other = match &self.against {
            None => None,
            Some(other) => Some((other, mapped(other, other.ends_with(".map"))?)),
        };
        let set = session.dataset(&self.data)?;
        record.data(&set);
        let images = self.part.first(&set, self.images, IMAGES)?;
        let calibrated = model.calibrate(self.draws, Seed(self.seed))?;
        let reference = &data::reference(network, images)?;
        let prices = Prices { session, network, spec: &spec, reference, calibrated: &calibrated };
        let assessment = prices.assess(&name, &mapping)?;
        let mut against = None;
        if let Some((other, mapping)) = other {
            let natural = prices.assess(other, &mapping)?;
            let savings = savings(&natural, &assessment)?;
            against = Some(CostAgainst { mapping: other.clone(), cost: natural.cost(), savings });
        }
        let outcome = CostOutcome {
            network: named.name,
            mapping: name,
            part: self.part,
            images: reference.images(),
            seed: self.seed,
            cost_model: model,
            spec: resolved(&spec),
            calibration: calibrated.calibration(),
            departures: calibrated.departures(&spec),
            cost: assessment.cost(),
            against,
        };
        written(outcome, |outcome| {
            if let Some(out) = &self.out {
                let json = serde_json::to_string_pretty(outcome)? + "\n";
                write_whole(out, json.as_bytes())?;
            }
            if let (Some(path), Some(against)) = (&self.plot, &outcome.against) {
                write_whole(path, plot(&against.savings)?.as_bytes())?;
            }
            match &self.outputs()[..] {
                [] => Ok(()),
                files => record.end(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>()),
            }
        })
    }
}

impl Step for CostRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        let pipelines = self.pipeline.iter().chain(&self.against);
        let pipelines = pipelines.filter_map(|name| pipeline_file(name));
        let files = self.network.file().into_iter().chain(self.mapping.clone());
        let files = files.chain(pipelines).chain(CostModel::file(&self.cost_model));
        files.chain(self.spec.files()).collect()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        self.out.iter().chain(&self.plot).cloned().collect()
    }
}

impl CostRequest {
    fn model(&self) -> anyhow::Result<CostModel> {
        ensure!(
            (1..=1_000_000).contains(&self.draws),
            "--draws is {}, it must lie in 1..=1000000",
            self.draws
        );
        let mut model = CostModel::load(&self.cost_model)?;
        for constant in &self.constants {
            let form = || format!("--constant is `{constant}`, it must be KEY=NUMBER");
            let (key, value) = constant.split_once('=').with_context(form)?;
            model = model.with(key, value.parse().with_context(form)?)?;
        }
        Ok(model)
    }
}

/// What mappings are priced by.
struct Prices<'a> {
    session: &'a Session<'a>,
    network: &'a Network,
    spec: &'a MacroSpec,
    reference: &'a Reference<'a>,
    calibrated: &'a Calibrated,
}

impl Prices<'_> {
    fn assess(&self, name: &str, mapping: &Mapping) -> anyhow::Result<Assessment> {
        let bar = self.session.observer.bar(name, "images");
        let moves = |done, of| bar.moves(done, of);
        let programmed = Programmed::new(self.reference, mapping, self.spec, &NoiseScope::All)?;
        let events = programmed.count_events(&moves);
        Ok(self.calibrated.assess(self.network, mapping, self.spec, &events)?)
    }
}

/// Ratios of the curve of a comparison: the area of a table's bit over that of a weight's cells.
pub fn ratios() -> Vec<f64> {
    (0..=20).map(|step| 0.5 * f64::from(step)).collect()
}

/// The savings of the network, and of every layer whose cells or tables differ.
fn savings(natural: &Assessment, other: &Assessment) -> anyhow::Result<Vec<BreakEven>> {
    let layers = natural.typical.layers.iter().zip(&other.typical.layers);
    let differs = layers.enumerate().filter(|(_, (natural, other))| {
        (natural.cells, natural.table_bits) != (other.cells, other.table_bits)
    });
    let mut of: Vec<(Scope, Option<usize>)> = Scope::ALL.map(|scope| (scope, None)).into();
    of.extend(
        differs
            .flat_map(|(layer, _)| [Scope::Cells, Scope::InUse].map(|scope| (scope, Some(layer)))),
    );
    let saving = |(scope, layer)| BreakEven::of(natural, other, scope, layer, &ratios());
    Ok(of.into_iter().map(saving).collect::<Result<_, _>>()?)
}

/// The curves of the network, by scope.
fn plot(savings: &[BreakEven]) -> anyhow::Result<String> {
    let of_network = savings.iter().filter(|saving| saving.layer.is_none());
    let series: Vec<Fitted> = of_network
        .map(|saving| Fitted {
            label: format!("area: {}", saving.scope.name()),
            measured: saving
                .curve
                .iter()
                .map(|at| {
                    let Range { typical: value, lo, hi } = at.net.scaled(100.0);
                    (at.ratio, Interval { value, lo, hi })
                })
                .collect(),
            curve: saving.curve.iter().map(|at| (at.ratio, 100.0 * at.net.typical)).collect(),
        })
        .collect();
    let x = "area of a table bit / area of the cells of a weight";
    Ok(fit(x, "net area saving, %", &series)?)
}
