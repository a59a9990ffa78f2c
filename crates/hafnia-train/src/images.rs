//! [`Images`]: the images of a run, as an epoch varies them and as networks take them.

use hafnia_data::{DataError, Dataset, Samples, Split, View};
use hafnia_model::Input;
use hafnia_rng::Seed;
use rayon::prelude::*;

use crate::augment::Warp;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::loss::hits;

/// Images that go through burn together. A batch is always cut like this and its gradients are
/// added in order, so that the number of threads changes nothing; and so few fit a core's cache.
pub(crate) const SHARD: usize = 32;

/// Training images from which the shifts are set.
pub(crate) const CALIBRATION: usize = 1000;

/// The images of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Images<'a> {
    pub(crate) config: &'a TrainConfig,
    pub(crate) dataset: &'a Dataset,
    pub(crate) split: &'a Split,
    /// The class of each image of the data set.
    labels: &'a [u32],
}

impl<'a> Images<'a> {
    /// Checks that the split names images of 8 bits and of these classes.
    pub(crate) fn new(
        config: &'a TrainConfig,
        dataset: &'a Dataset,
        split: &'a Split,
        classes: usize,
    ) -> Result<Self, TrainError> {
        let unfit = |error: DataError| TrainError::Images(error.to_string());
        for (part, indices) in [("train", &split.train), ("validation", &split.validation)] {
            if let Some(image) = indices.iter().find(|&&image| image >= dataset.len()) {
                let (name, images) = (&dataset.name, dataset.len());
                return Err(TrainError::Images(format!(
                    "the split names image {image}, data set `{name}` has {images}"
                )));
            }
            View::part(dataset, part, indices).check(dataset.shape, classes).map_err(unfit)?;
        }
        if !matches!(dataset.images, Samples::U8(_)) {
            let (name, of) = (&dataset.name, dataset.images.type_name());
            return Err(TrainError::Images(format!(
                "data set `{name}` has images of {of}, training takes uint8"
            )));
        }
        let labels = dataset.labels().map_err(unfit)?;
        Ok(Self { config, dataset, split, labels })
    }

    /// Pixels of images, as an epoch varies them or as they are.
    pub(crate) fn pixels(&self, images: &[usize], epoch: Option<usize>) -> Vec<u8> {
        let augmentation =
            epoch.and_then(|epoch| Some((epoch, self.config.augmentation_of(epoch)?)));
        let mut pixels = Vec::with_capacity(images.len() * self.dataset.size());
        let draws = Seed(self.config.seed).site("train/augmentation").counter();
        for &image in images {
            let original = self.dataset.image(image);
            match augmentation {
                None => pixels.extend_from_slice(original),
                Some((epoch, augmentation)) => {
                    let [_, height, width] = self.dataset.shape;
                    let warp = Warp::draw(augmentation, [height, width], &draws, epoch, image);
                    let channels = original.chunks_exact(height * width);
                    channels.for_each(|channel| warp.apply(channel, &mut pixels));
                }
            }
        }
        pixels
    }

    /// Images as they are, as activations of the network.
    pub(crate) fn activations(&self, images: &[usize], cuts: &[u8]) -> Vec<f32> {
        reduce(&self.pixels(images, None), cuts)
    }

    pub(crate) fn labels(&self, images: &[usize]) -> Vec<u32> {
        images.iter().map(|&image| self.labels[image]).collect()
    }

    /// How many of these images are classified right, given the outputs of a shard of them.
    pub(crate) fn hits(
        &self,
        images: &[usize],
        outputs: impl Fn(&[usize]) -> Vec<f32> + Sync,
    ) -> usize {
        let of_shard = |shard: &[usize]| hits(&outputs(shard), &self.labels(shard));
        images.par_chunks(SHARD).map(of_shard).sum()
    }
}

/// Pixels as activations.
pub(crate) fn reduce(pixels: &[u8], cuts: &[u8]) -> Vec<f32> {
    let input = Input::new(1, 1, pixels.len(), cuts);
    input.levels_of(pixels).into_iter().map(f32::from).collect()
}
