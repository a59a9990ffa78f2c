//! Searches over mappings: what rows, cycles and noise can be had together.

use std::path::PathBuf;

use hafnia_artifact::{FolderLock, load, write_whole};
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, Profile};
use hafnia_passes::{Candidate, Context, SearchMappings};
use hafnia_report::{Frontier, FrontierCandidate};
use hafnia_rng::Seed;
use hafnia_sim::{Engines, Programmed};
use hafnia_stats::{Bootstrap, Interval, drop_points};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::data::{self, DataSource, Part};
use crate::limits;
use crate::outputs::{check_outputs, places, written};
use crate::record::Record;
use crate::request::{Request, Step};
use crate::session::Session;
use crate::simulate::noise_scope;
use crate::source::{MacroSource, NetworkSource, resolved};

/// What is to be searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontierRequest {
    /// The network.
    #[serde(flatten)]
    pub network: NetworkSource,
    /// Profile of training images.
    pub profile: PathBuf,
    /// Folder that is written to.
    pub out: PathBuf,
    /// Swaps that annealing tries, per tile and candidate.
    pub steps: u64,
    /// Virtual chips for every mapping of the frontier.
    pub chips: u32,
    /// Where there is noise: `all`, `final`, or names of layers, separated by commas.
    pub noise_in: String,
    /// The part of the data set.
    pub part: Part,
    /// Seed of everything drawn.
    pub seed: u64,
    /// The macro.
    #[serde(flatten)]
    pub spec: MacroSource,
    /// Where images come from.
    #[serde(flatten)]
    pub data: DataSource,
}

impl Default for FrontierRequest {
    fn default() -> Self {
        Self {
            network: NetworkSource::default(),
            profile: PathBuf::new(),
            out: PathBuf::new(),
            steps: SearchMappings::default().steps,
            chips: 20,
            noise_in: "all".to_owned(),
            part: Part::Validation,
            seed: 1,
            spec: MacroSource::default(),
            data: DataSource::default(),
        }
    }
}

impl FrontierRequest {
    /// The plot of the candidates.
    pub fn svg(&self) -> PathBuf {
        self.out.join("frontier.svg")
    }
}

impl Request for FrontierRequest {
    const COMMAND: &'static str = "frontier";

    type Outcome = Frontier;

    fn run(&self, session: &Session<'_>) -> anyhow::Result<Frontier> {
        limits::check("--chips", self.chips, &limits::CHIPS)?;
        limits::check("--steps", self.steps, &limits::STEPS)?;
        let spec = self.spec.load()?;
        let search = SearchMappings { steps: self.steps, ..SearchMappings::default() };
        check_outputs(self, Some(&self.data))?;
        let _lock = FolderLock::take(&self.out)?;
        let mut record = Record::of(
            self,
            &[("search", json!(search)), ("macro", json!(resolved(&spec)))],
            Some(self.seed),
        )?;
        let named = self.network.load()?;
        record.network(&named);
        let network = &named.network;
        let scope = noise_scope(&self.noise_in, network)?;
        record.input(&self.profile)?;
        record.inputs(self.spec.files())?;
        let profile: Profile = load(&self.profile)?;
        let set = session.dataset(&self.data)?;
        record.data(&set);
        let reference = data::reference(network, self.part.of(&set))?;

        let bar = session.observer.bar("search", "steps");
        let context = Context {
            network,
            spec: &spec,
            profile: Some(&profile),
            code_table: &CodeTable::from_spec(&spec),
            seed: Seed(self.seed),
            progress: &|done, of| bar.moves(done, of),
        };
        let candidates = search.candidates(&Mapping::logical(network, &spec), &context)?;
        drop(bar);

        let labels = labels(&candidates);
        let (mut all, mut mappings) = (Vec::new(), Vec::new());
        for (candidate, label) in candidates.iter().zip(labels) {
            let mut drop_on_chips = None;
            if let Some(label) = &label {
                let spec = MacroSpec { input_control: candidate.input_control, ..spec.clone() };
                let bar = session.observer.bar(&format!("chips of {label}"), "images");
                let (mapping, seed) = (&candidate.mapping, Seed(self.seed));
                let programmed = Programmed::new(&reference, mapping, &spec, &scope)?;
                let moves = |done, of| bar.moves(done, of);
                let run = programmed.run(0..self.chips, seed).progress(&moves);
                let evaluation = run.on(&Engines::Device)?;
                let bootstrap =
                    Bootstrap { replicates: 2000, seed: seed.site("frontier/bootstrap") };
                drop_on_chips = Some(drop_points(evaluation.outcomes(), bootstrap));
                let path = self.out.join(format!("{label}.map"));
                mappings.push((path, mapping));
            }
            all.push(found(candidate, label, drop_on_chips));
        }
        let found = Frontier {
            noise_in: self.noise_in.clone(),
            part: self.part.name().to_owned(),
            images: reference.images(),
            chips: self.chips,
            candidates: all,
        };
        written(found, |found| {
            let maps: Vec<&PathBuf> = mappings.iter().map(|(path, _)| path).collect();
            places(self, Some(&self.data)).writes(maps).check()?;
            let mut files = self.outputs();
            for (path, mapping) in mappings {
                hafnia_ir::write_mapping(&path, mapping)?;
                files.push(path);
            }
            write_whole(&files[0], found.table_of_all().to_csv().as_bytes())?;
            write_whole(&files[1], found.plot()?.as_bytes())?;
            record.end(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>())
        })
    }
}

impl Step for FrontierRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        let files = self.network.file().into_iter().chain([self.profile.clone()]);
        files.chain(self.spec.files()).collect()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        vec![self.out.join("frontier.csv"), self.svg()]
    }
}

/// a, b, … for the candidates on the frontier, by cells and then cycles.
fn labels(candidates: &[Candidate]) -> Vec<Option<String>> {
    let mut order: Vec<usize> =
        (0..candidates.len()).filter(|&index| candidates[index].is_frontier).collect();
    let cells = |index: usize| candidates[index].size.cells;
    let cycles = |index: usize| candidates[index].cycles;
    order.sort_by(|&a, &b| cells(a).cmp(&cells(b)).then(cycles(a).total_cmp(&cycles(b))));
    let mut labels = vec![None; candidates.len()];
    for (number, index) in order.into_iter().enumerate() {
        let letter = char::from(b'a' + (number % 26) as u8);
        let round = number / 26;
        labels[index] = Some(if round == 0 { letter.into() } else { format!("{letter}{round}") });
    }
    labels
}

fn found(
    candidate: &Candidate,
    label: Option<String>,
    drop_points: Option<Interval>,
) -> FrontierCandidate {
    FrontierCandidate {
        label,
        input_control: candidate.input_control.to_string(),
        passes: candidate.what.clone(),
        pipeline: candidate.pipeline.clone(),
        rows: candidate.size.physical_rows,
        cells: candidate.size.cells,
        table_bits: candidate.size.table_bits,
        macros: candidate.macros,
        cycles: candidate.cycles,
        noise: candidate.noise,
        drop_points,
    }
}
