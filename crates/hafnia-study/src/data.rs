//! Where images come from: [`DataSource`], the [`Part`] of a data set, and images as networks take
//! them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, ensure};
use hafnia_artifact::Digest;
use hafnia_data::{Dataset, Origin, SplitDataset, cache_of};
use hafnia_model::{FloatError, Network};
use hafnia_sim::{Images, Reference};
use hafnia_text::must;
use serde::{Deserialize, Serialize};

/// Where MNIST, or the data set in its stead, is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSource {
    /// The folder or file of the data set, if it is not to be looked for elsewhere.
    pub data: Option<PathBuf>,
    /// How many images of a data set that is in one part judge; the others are to train on.
    pub hold_out: Option<usize>,
    /// Folder where downloads are kept.
    pub cache: PathBuf,
    /// Never touch the network: the cache, or else the subset that is part of hafnia.
    pub offline: bool,
    /// Take the subset if no source answers.
    pub or_subset: bool,
}

impl Default for DataSource {
    fn default() -> Self {
        Self::of_checkout(Path::new(""))
    }
}

impl DataSource {
    /// Everywhere, downloads being kept as they are for a program that runs in this folder.
    pub fn of_checkout(root: &Path) -> Self {
        Self { data: None, hold_out: None, cache: cache_of(root), offline: false, or_subset: false }
    }

    /// The files that are there already.
    pub fn files(&self) -> Vec<PathBuf> {
        hafnia_data::files_in(self.data.as_ref().unwrap_or(&self.cache))
    }
}

/// A part of the data set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The images that networks are trained on.
    Train,
    /// The images by which choices are made.
    Validation,
    /// The images that judge, and choose nothing.
    #[default]
    Test,
}

impl Part {
    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The images of this part.
    pub fn of(self, set: &SplitDataset) -> Dataset {
        match self {
            Self::Train => set.train.part(self.name(), &set.split.train),
            Self::Validation => set.train.part(self.name(), &set.split.validation),
            Self::Test => set.test.clone(),
        }
    }

    /// The first images of this part: as many as are asked for, or else `usual`, or all if there are
    /// fewer.
    pub(crate) fn first(
        self,
        set: &SplitDataset,
        images: Option<usize>,
        usual: usize,
    ) -> anyhow::Result<Dataset> {
        let dataset = self.of(set);
        let of = format!("the {} images", self.name());
        Ok(dataset.first(count("--images", images, usual, &dataset, &of)?))
    }
}

/// How many images of a data set are taken: as many as an option asks for, or else `usual`, or all if
/// there are fewer. `of` says what images there are.
pub(crate) fn count(
    option: &str,
    asked: Option<usize>,
    usual: usize,
    data: &Dataset,
    of: &str,
) -> anyhow::Result<usize> {
    data.check_any()?;
    let most = data.len();
    let count = asked.unwrap_or(usual.min(most));
    ensure!((1..=most).contains(&count), "{option} is {count}, it {}, {of}", must(1, most));
    Ok(count)
}

/// The images of a data set as a network takes them, (image, channel, y, x): the one place where they
/// are held against it.
pub(crate) fn activations(network: &Network, data: &Dataset) -> anyhow::Result<Vec<u8>> {
    let input = network.input();
    data.check([input.channels, input.height, input.width], network.classes())?;
    let Some(values) = data.images.as_floats().filter(|_| !input.floats.is_empty()) else {
        return Ok(input.levels_of(&data.bytes()?));
    };
    input.levels_of_floats(values).map_err(|FloatError { at, value, least, largest }| {
        let (name, image) = (&data.name, at / data.size());
        anyhow!(
            "data set `{name}` has the value {value} in image {image}, the network takes floats of \
             {least} to {largest}, as its ONNX file does for bytes, or bytes as uint8"
        )
    })
}

/// The images of a data set as a network takes them, with their labels or, if they have none, with
/// what it answers itself.
pub(crate) fn images(network: &Network, data: &Dataset) -> anyhow::Result<Images> {
    let activations = activations(network, data)?;
    Ok(match &data.labels {
        Some(labels) => Images { activations, labels: labels.clone() },
        None => Images::labelled_by(network, activations)?,
    })
}

/// A network on the images of a data set, with its targets if it has any.
pub(crate) fn reference<'n>(network: &'n Network, data: &Dataset) -> anyhow::Result<Reference<'n>> {
    let reference = Reference::new(network, &images(network, data)?)?;
    Ok(match &data.targets {
        Some(targets) => reference.with_targets(targets.clone())?,
        None => reference,
    })
}

/// A data set with its labels or, if it has none, with what a network answers: other networks are then
/// held against this one.
pub(crate) fn labelled(network: &Network, data: Dataset) -> anyhow::Result<Dataset> {
    if data.labels.is_some() || data.is_empty() {
        return Ok(data);
    }
    let labels = Some(images(network, &data)?.labels);
    Ok(Dataset { labels, ..data })
}

/// The data set that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataOutcome {
    /// Where.
    pub origin: Origin,
    /// Whether it is the full MNIST, by its digests.
    pub full: bool,
    /// Images of the part that networks are trained on.
    pub train: usize,
    /// Images by which choices are made.
    pub validation: usize,
    /// Images that judge.
    pub test: usize,
    /// (channels, height, width) of an image.
    pub shape: [usize; 3],
    /// The type of its values, as NumPy calls it.
    pub values: String,
    /// One more than the largest label, if there are labels.
    pub classes: Option<usize>,
    /// Targets of an image, if there are any.
    pub targets: Option<usize>,
    /// The digests of its files.
    pub digests: BTreeMap<String, Digest>,
    /// Sources that did not answer, and why.
    pub notes: Vec<String>,
}

impl DataOutcome {
    /// What is said of a data set.
    pub fn of(set: &SplitDataset) -> Self {
        let SplitDataset { train, split, test, .. } = set;
        let classes = [train, test].map(|part| part.labels.as_ref().map(|_| part.classes()));
        Self {
            origin: set.origin.clone(),
            full: set.is_mnist(),
            train: split.train.len(),
            validation: split.validation.len(),
            test: test.len(),
            shape: test.shape,
            values: test.images.type_name().to_owned(),
            classes: classes.into_iter().flatten().max(),
            targets: test.targets.as_ref().map(|targets| targets.len() / test.len().max(1)),
            digests: set.digests.clone(),
            notes: set.notes.clone(),
        }
    }
}
