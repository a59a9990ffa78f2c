//! Samples which rows are on together, on training images.

use std::path::PathBuf;

use anyhow::ensure;
use hafnia_artifact::save;
use hafnia_model::{MatrixLayer, Network};
use hafnia_rng::Seed;
use hafnia_sim::ProfileOptions;
use serde::{Deserialize, Serialize};

use crate::data::{self, DataSource, Part, count};
use crate::describe::ProfileOutcome;
use crate::limits;
use crate::outputs::{check_outputs, written};
use crate::record::Record;
use crate::request::{Request, Step};
use crate::session::Session;
use crate::source::NetworkSource;

/// Images of a profile, if there are as many.
pub(crate) const PROFILE_IMAGES: usize = 30_000;

/// What is to be sampled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRequest {
    /// The network.
    #[serde(flatten)]
    pub network: NetworkSource,
    /// File of the profile.
    pub out: PathBuf,
    /// Training images to sample; 30 000 without a number, or all if there are fewer.
    pub images: Option<usize>,
    /// Positions to sample of an image in a convolution.
    pub positions: usize,
    /// Seed of the sampling.
    pub seed: u64,
    /// Where images come from.
    #[serde(flatten)]
    pub data: DataSource,
}

impl Default for ProfileRequest {
    fn default() -> Self {
        let (network, data) = Default::default();
        Self { network, out: PathBuf::new(), images: None, positions: 1, seed: 1, data }
    }
}

/// The most bytes of activations in a profile, whose file is then one that can be read.
const MOST_BYTES: u128 = 1000 << 20;

impl ProfileRequest {
    /// Bytes of activations of a network in the profile of so many images.
    fn size(&self, network: &Network, images: usize) -> u128 {
        let of = |matrix: &MatrixLayer<'_>| {
            matrix.weights.rows() as u128 * self.positions.min(matrix.positions) as u128
        };
        let per_image: u128 = network.matrices().iter().map(of).sum();
        images as u128 * per_image
    }
}

impl Request for ProfileRequest {
    const COMMAND: &'static str = "profile";

    type Outcome = ProfileOutcome;

    fn run(&self, session: &Session<'_>) -> anyhow::Result<ProfileOutcome> {
        limits::check("--positions", self.positions, &(1..=usize::MAX))?;
        check_outputs(self, Some(&self.data))?;
        let mut record = Record::of(self, &[], Some(self.seed))?;
        let named = self.network.load()?;
        record.network(&named);
        let set = session.dataset(&self.data)?;
        record.data(&set);
        let train = Part::Train.of(&set);
        let reference = data::reference(&named.network, train.clone())?;
        let count = count("--images", self.images, PROFILE_IMAGES, &train, "the train images")?;
        let bytes = self.size(&named.network, count);
        ensure!(
            bytes <= MOST_BYTES,
            "a profile of {count} images at {} positions takes {} MiB, at most {} may be: take fewer",
            self.positions,
            bytes >> 20,
            MOST_BYTES >> 20
        );
        let options = ProfileOptions { images: count, positions_per_image: self.positions };
        let bar = session.observer.bar("profile", "images");
        let moves = |done, of| bar.moves(done, of);
        let taken = reference.profile(options, Seed(self.seed), &moves)?;
        written(ProfileOutcome::of(&taken), |_| {
            save(&self.out, &taken)?;
            record.end(&[&self.out])
        })
    }
}

impl Step for ProfileRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        self.network.file().into_iter().collect()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        vec![self.out.clone()]
    }
}
