//! Searches the integers near a trained network's.

use std::path::PathBuf;
use std::time::Instant;

use hafnia_artifact::save;
use hafnia_data::{SplitDataset, View};
use hafnia_model::Network;
use hafnia_rng::Seed;
use hafnia_tune::{Images, Options, Visit};
use serde::{Deserialize, Serialize};

use crate::data::{DataSource, Part, images, labelled};
use crate::evaluate::{Compared, Judged};
use crate::outputs::{check_outputs, written};
use crate::record::Record;
use crate::request::{Request, Step};
use crate::session::Session;
use crate::source::NetworkSource;

/// How integers are searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchOptions {
    /// Layers in the order in which a pass visits them; all linear layers from the last on if none
    /// is named.
    pub layers: Vec<String>,
    /// Passes over the layers; fewer if one changes nothing.
    pub passes: u32,
    /// How far a threshold may go in one move.
    pub reach: i32,
    /// How many standard errors a move must lower the loss by.
    pub sigmas: f64,
    /// Share of the training images that is held back.
    pub held_back: f64,
    /// The first training images, as many as are looked at; all without a number.
    pub images: Option<u32>,
    /// Seed of what is held back and of the order of visits.
    pub seed: u64,
}

impl Default for SearchOptions {
    fn default() -> Self {
        let Options { layers, passes, reach, sigmas, held_back, seed } = Options::default();
        Self { layers, passes, reach, sigmas, held_back, images: None, seed: seed.0 }
    }
}

impl SearchOptions {
    /// The training images that are looked at.
    pub(crate) fn train<'a>(&self, set: &'a SplitDataset) -> anyhow::Result<View<'a>> {
        Part::Train.first(set, self.images.map(|images| images as usize), usize::MAX)
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            layers: self.layers.clone(),
            passes: self.passes,
            reach: self.reach,
            sigmas: self.sigmas,
            held_back: self.held_back,
            seed: Seed(self.seed),
        }
    }
}

/// What is to be refined.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RefineRequest {
    /// The network.
    #[serde(flatten)]
    pub network: NetworkSource,
    /// File of the network that comes out.
    pub out: PathBuf,
    /// How.
    #[serde(flatten)]
    pub search: SearchOptions,
    /// Where images come from.
    #[serde(flatten)]
    pub data: DataSource,
}

/// What refining gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefineOutcome {
    /// The network.
    pub network: String,
    /// The factor of the outputs in the loss.
    pub scale: f64,
    /// Wall time of the search.
    pub seconds: f64,
    /// Moves that were tried.
    pub tried: u64,
    /// Moves that were made.
    pub made: u64,
    /// The network before and after, on three sets of images.
    pub parts: Vec<Compared>,
    /// Every visit of a layer.
    pub visits: Vec<Visit>,
}

impl Request for RefineRequest {
    const COMMAND: &'static str = "model refine";

    type Outcome = RefineOutcome;

    fn run(&self, session: &Session<'_>) -> anyhow::Result<RefineOutcome> {
        check_outputs(self, Some(&self.data))?;
        let named = self.network.load()?;
        let mut record = Record::of(self, &[], Some(self.search.seed))?;
        record.network(&named);
        let set = session.dataset(&self.data)?;
        record.data(&set);
        let train = labelled(&named.network, self.search.train(&set)?)?;
        let validation = labelled(&named.network, Part::Validation.of(&set))?;

        let options = self.search.options();
        let inputs = images(&named.network, train.clone())?;
        let images = Images { activations: &inputs.activations, labels: &inputs.labels };
        let bar = session.observer.bar("refine", "channels");
        let start = Instant::now();
        let moves = &mut |done, of| bar.moves(done, of);
        let refined = hafnia_tune::refine(&named.network, images, &options, moves)?;
        let seconds = start.elapsed().as_secs_f64();
        drop(bar);

        let (searched, held_back) = options.split(train.len());
        let parts: [(&str, View<'_>); 3] = [
            ("searched", train.select(&searched)),
            ("held back", train.select(&held_back)),
            ("validation", validation),
        ];
        let compare = |(part, data): &(&str, View<'_>)| {
            let judged = |network: &Network| Judged::of(network, data);
            judged(&named.network)?.then(part, &judged(&refined.network)?)
        };
        let parts = parts.iter().filter(|(_, data)| !data.is_empty());
        let parts = parts.map(compare).collect::<anyhow::Result<Vec<Compared>>>()?;
        let visits = refined.report.visits;
        let outcome = RefineOutcome {
            network: named.name,
            scale: refined.report.scale,
            seconds,
            tried: visits.iter().map(|visit| visit.tried).sum(),
            made: visits.iter().map(|visit| visit.made).sum(),
            parts,
            visits,
        };
        written(outcome, |_| {
            save(&self.out, &refined.network)?;
            record.end(&[&self.out])
        })
    }
}

impl Step for RefineRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        self.network.file().into_iter().collect()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        vec![self.out.clone()]
    }
}
