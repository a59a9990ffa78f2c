//! [`View`]: some of the images of a data set, without a copy of them.

use std::borrow::Cow;

use hafnia_text::counted;

use crate::{
    dataset::{Dataset, name_of_part, shown},
    error::DataError,
    samples::Values,
};

impl Dataset {
    /// All images, without a copy of them.
    pub fn view(&self) -> View<'_> {
        let which = Which::First(self.len());
        View { name: self.name.clone(), data: self, which, labels: None }
    }

    /// The values of all images as the bytes that all networks take ([`View::bytes`]).
    ///
    /// # Errors
    /// As [`View::bytes`].
    pub fn bytes(&self) -> Result<Vec<u8>, DataError> {
        let (view, mut bytes) = (self.view(), Vec::with_capacity(self.images.len()));
        (0..self.len()).try_for_each(|image| view.bytes(image, &mut bytes))?;
        Ok(bytes)
    }

    /// The class of each image.
    ///
    /// # Errors
    /// [`DataError::Unfit`] if the images have none.
    pub fn labels(&self) -> Result<&[u32], DataError> {
        self.labels.as_deref().ok_or_else(|| self.view().unfit("has no labels"))
    }
}

/// Some of the images of a data set, in some order.
#[derive(Debug, Clone)]
pub struct View<'a> {
    name: String,
    data: &'a Dataset,
    which: Which<'a>,
    /// The class of each image, if they were labelled anew.
    labels: Option<Vec<u32>>,
}

#[derive(Debug, Clone)]
enum Which<'a> {
    /// As many as that from the first on.
    First(usize),
    /// These.
    These(Cow<'a, [usize]>),
}

impl<'a> View<'a> {
    /// These images of a data set, under the name of a part: of `mnist/train`, `mnist/validation`.
    ///
    /// # Panics
    /// If there is no image of one of the indices.
    pub fn part(data: &'a Dataset, part: &str, indices: &'a [usize]) -> Self {
        assert!(indices.iter().all(|&index| index < data.len()), "images of the data set");
        let name = name_of_part(&data.name, part);
        Self { name, data, which: Which::These(indices.into()), labels: None }
    }

    /// These images only, in this order.
    ///
    /// # Panics
    /// If there is no image of one of the indices.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        assert!(indices.iter().all(|&index| index < self.len()), "images of the view");
        let of = |labels: &Vec<u32>| indices.iter().map(|&index| labels[index]).collect();
        Self {
            name: self.name.clone(),
            data: self.data,
            which: Which::These(indices.iter().map(|&index| self.at(index)).collect()),
            labels: self.labels.as_ref().map(of),
        }
    }

    /// The first `count` images, or all if there are fewer.
    #[must_use]
    pub fn first(mut self, count: usize) -> Self {
        match &mut self.which {
            Which::First(images) => *images = count.min(*images),
            Which::These(Cow::Borrowed(indices)) => *indices = &indices[..count.min(indices.len())],
            Which::These(Cow::Owned(indices)) => indices.truncate(count),
        }
        if let Some(labels) = &mut self.labels {
            labels.truncate(count);
        }
        self
    }

    /// The same images with these labels in place of any they have.
    ///
    /// # Panics
    /// If there are not as many labels as images.
    #[must_use]
    pub fn labelled(self, labels: Vec<u32>) -> Self {
        assert_eq!(labels.len(), self.len(), "labels and images");
        Self { labels: Some(labels), ..self }
    }

    /// What it is, such as "mnist/train".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// (channels, height, width) of an image.
    pub fn shape(&self) -> [usize; 3] {
        self.data.shape
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        match &self.which {
            Which::First(images) => *images,
            Which::These(indices) => indices.len(),
        }
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where an image is in the data set.
    fn at(&self, image: usize) -> usize {
        match &self.which {
            Which::First(_) => image,
            Which::These(indices) => indices[image],
        }
    }

    /// The values of an image, (channel, y, x).
    ///
    /// # Panics
    /// If there is no image of this index.
    pub fn values(&self, image: usize) -> Values<'a> {
        let (first, size) = (self.at(image) * self.data.size(), self.data.size());
        self.data.images.values(first..first + size)
    }

    /// Puts the values of an image behind those in `bytes`, as all networks take them: those of `uint8`
    /// as they are, those of `int8` plus 128, and those of `float32` where all of them are whole numbers
    /// of 0 to 255.
    ///
    /// # Errors
    /// [`DataError::Unfit`] for other floats.
    ///
    /// # Panics
    /// If there is no image of this index.
    pub fn bytes(&self, image: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        self.values(image).bytes(bytes).map_err(|at| {
            let value = self.data.images.get(self.at(image) * self.data.size() + at);
            self.unfit(&format!(
                "has the value {value} in image {image}, the network takes whole numbers of 0 to 255"
            ))
        })
    }

    /// Whether the images have labels.
    pub fn has_labels(&self) -> bool {
        self.labels.is_some() || self.data.labels.is_some()
    }

    /// The class of an image, if the images have labels.
    ///
    /// # Panics
    /// If there is no image of this index.
    pub fn label(&self, image: usize) -> Option<u32> {
        match &self.labels {
            Some(labels) => Some(labels[image]),
            None => self.data.labels.as_ref().map(|labels| labels[self.at(image)]),
        }
    }

    /// Whether the images have targets.
    pub fn has_targets(&self) -> bool {
        self.data.targets.is_some()
    }

    /// What the outputs of a network should be for an image, if the images have targets.
    ///
    /// # Panics
    /// If there is no image of this index.
    pub fn targets(&self, image: usize) -> Option<&'a [f32]> {
        let targets = self.data.targets.as_ref()?;
        let each = targets.len() / self.data.len();
        Some(&targets[self.at(image) * each..][..each])
    }

    /// Checks that there is an image.
    ///
    /// # Errors
    /// [`DataError::Unfit`] if not.
    pub fn check_any(&self) -> Result<(), DataError> {
        match self.is_empty() {
            true => Err(self.unfit("has no images, at least 1 is needed")),
            false => Ok(()),
        }
    }

    /// Checks that a network which takes images of this shape, (channels, height, width), and tells so
    /// many classes apart can be shown these.
    ///
    /// A vector, whose values all lie along one side, is an image of every shape of as many values, in
    /// the order (channel, y, x), and an image is such a vector. The rows of an image are the channels of
    /// a signal, which has no rows.
    ///
    /// # Errors
    /// [`DataError::Unfit`] if there are no images, they have another shape, one has a label that is
    /// none of the classes, or they have targets for another number of outputs.
    pub fn check(&self, shape: [usize; 3], classes: usize) -> Result<(), DataError> {
        self.check_any()?;
        let size = shape.iter().product();
        let is_vector = |shape: [usize; 3]| shape.contains(&size);
        let is_signal = self.shape() == [1, shape[0], shape[2]] && shape[1] == 1;
        let is_plain = is_signal || is_vector(self.shape()) || is_vector(shape);
        let fits = self.data.size() == size && is_plain;
        if self.shape() != shape && !fits {
            let [height, width, channels] = self.shape();
            let last = [channels, height, width] == shape;
            let hint = if last { ": put the channels before the rows" } else { "" };
            let (own, shape) = (shown(self.shape()), shown(shape));
            return Err(
                self.unfit(&format!("has images of {own}, the network takes {shape}{hint}"))
            );
        }
        if let Some(each) = self.targets(0).map(<[f32]>::len)
            && each != classes
        {
            let hint = if each == 1 { ": numbers of classes must be integers" } else { "" };
            let (each, outputs) = (counted(each, "target"), counted(classes, "output"));
            return Err(
                self.unfit(&format!("has {each} for an image, the network has {outputs}{hint}"))
            );
        }
        let mut labels = (0..self.len()).map_while(|image| self.label(image)).enumerate();
        match labels.find(|&(_, label)| label as usize >= classes) {
            None => Ok(()),
            Some((image, label)) => {
                let last = classes.saturating_sub(1);
                Err(self.unfit(&format!(
                    "has label {label} at image {image}, the network tells classes 0..={last} apart"
                )))
            }
        }
    }

    fn unfit(&self, fault: &str) -> DataError {
        DataError::Unfit { name: self.name.clone(), fault: fault.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples::Samples;

    proptest! {
        /// A view shows what a selection holds.
        #[test]
        fn views_show_what_selections_hold(
            indices in prop::collection::vec(0usize..9, 1..12),
            count in 1usize..12,
            again in prop::collection::vec(any::<prop::sample::Index>(), 1..9),
            labelled: bool,
        ) {
            let data = Dataset {
                name: "set/train".to_owned(),
                shape: [1, 1, 2],
                images: Samples::I8((-9..9).collect()),
                labels: labelled.then(|| (0..9).collect()),
                targets: (!labelled).then(|| (0..27).map(|at| at as f32).collect()),
            };
            let view = View::part(&data, "test", &indices).first(count);
            let again: Vec<usize> = again.iter().map(|index| index.index(view.len())).collect();
            let held = data.part("test", &indices).first(count).select(&again);
            let view = view.select(&again);
            prop_assert_eq!((view.name(), view.len()), (held.name.as_str(), held.len()));
            let mut bytes = Vec::new();
            for image in 0..view.len() {
                prop_assert_eq!(view.values(image), held.images.values(2 * image..2 * image + 2));
                view.bytes(image, &mut bytes).unwrap();
                prop_assert_eq!(view.label(image), held.view().label(image));
                prop_assert_eq!(view.targets(image), held.view().targets(image));
            }
            prop_assert_eq!(bytes, held.bytes().unwrap());

            let labels: Vec<u32> = (100..).take(view.len()).collect();
            let last = view.labelled(labels).select(&[again.len() - 1]);
            prop_assert_eq!(last.label(0), Some(99 + again.len() as u32));
        }
    }
}
