//! [`ImageSource`]: images that are taken one at a time, so that only what they come from is held.

use std::fmt;

use hafnia_model::Network;

/// Images as a network takes them, each made when it is run.
pub trait ImageSource: fmt::Debug + Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The levels of an image below [`ImageSource::len`], (channel, y, x): either held, or put into
    /// `buffer` in place of what is there.
    fn image<'a>(&'a self, index: usize, buffer: &'a mut Vec<u8>) -> &'a [u8];

    /// The class of an image; of none of them, or of each.
    fn label(&self, index: usize) -> Option<u32>;

    /// What the outputs for an image should be, if that is known; of none of them, or of each.
    fn targets(&self, _index: usize) -> Option<&[f32]> {
        None
    }
}

impl<S: ImageSource + ?Sized> ImageSource for &S {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn image<'a>(&'a self, index: usize, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        (**self).image(index, buffer)
    }

    fn label(&self, index: usize) -> Option<u32> {
        (**self).label(index)
    }

    fn targets(&self, index: usize) -> Option<&[f32]> {
        (**self).targets(index)
    }
}

/// Images that are held as the network takes them, with their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// (image, channel, y, x): activations, already reduced to the bits of the network's input.
    pub activations: Vec<u8>,
    /// The class of every image.
    pub labels: Vec<u32>,
}

impl ImageSource for Images {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image<'a>(&'a self, index: usize, _: &'a mut Vec<u8>) -> &'a [u8] {
        // Where they do not divide, some image is too long.
        let end = |image: usize| image * self.activations.len() / self.labels.len();
        &self.activations[end(index)..end(index + 1)]
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some(self.labels[index])
    }
}

impl Images {
    /// Images of 8-bit pixels, (image, channel, y, x), reduced as `network` takes them.
    pub fn from_pixels(network: &Network, pixels: &[u8], labels: &[u32]) -> Self {
        let activations = network.input().levels_of(pixels);
        Self { activations, labels: labels.to_vec() }
    }
}
