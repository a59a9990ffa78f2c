//! Where images come from: [`DataSource`], the [`Part`] of a data set, and images as networks take
//! them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, ensure};
use hafnia_artifact::Digest;
use hafnia_data::{Origin, SplitDataset, Values, View, cache_of};
use hafnia_model::{FloatError, Input, Levels, Network};
use hafnia_sim::{ImageSource, Images, Reference};
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
    pub fn of(self, set: &SplitDataset) -> View<'_> {
        match self {
            Self::Train => View::part(&set.train, self.name(), &set.split.train),
            Self::Validation => View::part(&set.train, self.name(), &set.split.validation),
            Self::Test => set.test.view(),
        }
    }

    /// The first images of this part: as many as are asked for, or else `usual`, or all if there are
    /// fewer.
    pub(crate) fn first(
        self,
        set: &SplitDataset,
        images: Option<usize>,
        usual: usize,
    ) -> anyhow::Result<View<'_>> {
        let part = self.of(set);
        let of = format!("the {} images", self.name());
        let count = count("--images", images, usual, &part, &of)?;
        Ok(part.first(count))
    }
}

/// How many images of a data set are taken: as many as an option asks for, or else `usual`, or all if
/// there are fewer. `of` says what images there are.
pub(crate) fn count(
    option: &str,
    asked: Option<usize>,
    usual: usize,
    data: &View<'_>,
    of: &str,
) -> anyhow::Result<usize> {
    data.check_any()?;
    let most = data.len();
    let count = asked.unwrap_or(usual.min(most));
    ensure!((1..=most).contains(&count), "{option} is {count}, it {}, {of}", must(1, most));
    Ok(count)
}

/// Images of a data set as a network takes them, each made when it is run: the one place where they are
/// held against it.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    images: View<'a>,
    levels: Levels,
    /// (image, channel, y, x): what floats became, which takes longer.
    held: Option<Vec<u8>>,
}

impl<'a> Shown<'a> {
    /// Images that fit the network.
    pub(crate) fn new(network: &Network, images: View<'a>) -> anyhow::Result<Self> {
        let input = network.input();
        images.check([input.channels, input.height, input.width], network.classes())?;
        let mut shown = Self { levels: Levels::of(input), images, held: None };
        if matches!(shown.images.values(0), Values::F32(_)) {
            let mut held = Vec::with_capacity(shown.images.len() * input.shape().len());
            for image in 0..shown.images.len() {
                shown.put_floats(input, image, &mut held)?;
            }
            shown.held = Some(held);
        }
        Ok(shown)
    }

    /// Puts the levels of an image of floats behind those that are held.
    fn put_floats(&self, input: &Input, image: usize, held: &mut Vec<u8>) -> anyhow::Result<()> {
        let Values::F32(values) = self.images.values(image) else { unreachable!("floats") };
        if input.floats.is_empty() {
            let first = held.len();
            self.images.bytes(image, held)?;
            self.levels.image(&mut held[first..]);
            return Ok(());
        }
        let refused = |FloatError { value, least, largest, .. }| {
            let name = self.images.name();
            anyhow!(
                "data set `{name}` has the value {value} in image {image}, the network takes floats \
                 of {least} to {largest}, as its ONNX file does for bytes, or bytes as uint8"
            )
        };
        held.extend(input.levels_of_floats(values).map_err(refused)?);
        Ok(())
    }

    /// All images at once, (image, channel, y, x).
    pub(crate) fn activations(&self) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), Vec::new());
        (0..self.len()).for_each(|image| all.extend_from_slice(self.image(image, &mut buffer)));
        all
    }
}

impl ImageSource for Shown<'_> {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn image<'b>(&'b self, index: usize, buffer: &'b mut Vec<u8>) -> &'b [u8] {
        if let Some(held) = &self.held {
            let size = held.len() / self.len();
            return &held[index * size..][..size];
        }
        buffer.clear();
        self.images.bytes(index, buffer).expect("integers are bytes");
        self.levels.image(buffer);
        buffer
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(index)
    }

    fn targets(&self, index: usize) -> Option<&[f32]> {
        self.images.targets(index)
    }
}

/// The images of a data set, all at once as a network takes them, with their labels or, if they have
/// none, with what it answers itself.
pub(crate) fn images(network: &Network, data: View<'_>) -> anyhow::Result<Images> {
    let shown = Shown::new(network, data)?;
    let (activations, labels) = (shown.activations(), (0..shown.len()).map(|at| shown.label(at)));
    Ok(match labels.collect() {
        Some(labels) => Images { activations, labels },
        None => Images::labelled_by(network, activations)?,
    })
}

/// A network on the images of a data set.
pub(crate) fn reference<'a>(network: &'a Network, data: View<'a>) -> anyhow::Result<Reference<'a>> {
    Ok(Reference::new(network, Shown::new(network, data)?)?)
}

/// Images with their labels or, if they have none, with what a network answers: other networks are then
/// held against this one.
pub(crate) fn labelled<'a>(network: &Network, data: View<'a>) -> anyhow::Result<View<'a>> {
    if data.has_labels() || data.is_empty() {
        return Ok(data);
    }
    let labels = reference(network, data.clone())?.labels();
    Ok(data.labelled(labels))
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
