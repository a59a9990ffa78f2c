//! Images with their labels.

use std::collections::BTreeMap;
use std::fmt;

use hafnia_text::counted;

use crate::{error::DataError, samples::Samples};

/// Images of one shape, with their labels or targets if they have any.
#[derive(Clone, PartialEq)]
pub struct Dataset {
    /// What it is, such as "mnist/train".
    pub name: String,
    /// (channels, height, width) of an image; a vector is (1, 1, length).
    pub shape: [usize; 3],
    /// The values of all images, (image, channel, y, x).
    pub images: Samples,
    /// The class of each image.
    pub labels: Option<Vec<u32>>,
    /// What the outputs of a network that tells no classes should be, (image, output).
    pub targets: Option<Vec<f32>>,
}

impl Dataset {
    /// Images and labels that belong together; `file` names them in errors.
    ///
    /// # Errors
    /// [`DataError::Content`] if an image has no values, there are not as many labels as images, or a
    /// value is not finite.
    pub(crate) fn new(
        file: &str,
        name: &str,
        shape: [usize; 3],
        images: Samples,
        labels: Option<Vec<u32>>,
    ) -> Result<Self, DataError> {
        let wrong = |fault: String| Err(DataError::content(file, fault));
        if shape.contains(&0) {
            return wrong(format!("has images of {}, no side may be 0", shown(shape)));
        }
        let data = Self { name: name.to_owned(), shape, images, labels, targets: None };
        if let Some(labels) = &data.labels
            && labels.len() != data.len()
        {
            let (images, labels) = (counted(data.len(), "image"), counted(labels.len(), "label"));
            return wrong(format!("has {images} and {labels}"));
        }
        if let Some(at) = data.images.first_not_finite() {
            let image = at / data.size();
            return wrong(format!("has a value that is not finite in image {image}"));
        }
        Ok(data)
    }

    /// The same with targets for `count` images, as many values for each.
    ///
    /// # Errors
    /// [`DataError::Content`] if there are not as many images, or a value is not finite.
    pub(crate) fn with_targets(
        self,
        file: &str,
        count: usize,
        targets: Vec<f32>,
    ) -> Result<Self, DataError> {
        let images = self.len();
        let fault = if count != images {
            format!("has {} and targets for {count}", counted(images, "image"))
        } else if let Some(at) = targets.iter().position(|value| !value.is_finite()) {
            let image = at / (targets.len() / images);
            format!("has a target that is not finite for image {image}")
        } else {
            return Ok(Self { targets: Some(targets), ..self });
        };
        Err(DataError::content(file, fault))
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.images.len() / self.size().max(1)
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of values of an image.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// The values of an image of 8-bit pixels, (channel, y, x).
    ///
    /// # Panics
    /// If there is no image of this index, or the images are not of `uint8`.
    pub fn image(&self, index: usize) -> &[u8] {
        let Samples::U8(pixels) = &self.images else {
            panic!("images of {}", self.images.type_name())
        };
        &pixels[index * self.size()..][..self.size()]
    }

    /// The number of classes: one more than the largest label; 0 without labels.
    pub fn classes(&self) -> usize {
        let largest = self.labels.iter().flatten().max();
        largest.map_or(0, |&largest| largest as usize + 1)
    }

    /// These images only, in this order.
    ///
    /// # Panics
    /// If there is no image of one of the indices.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let of = |labels: &Vec<u32>| indices.iter().map(|&index| labels[index]).collect();
        let targets = |targets: &Vec<f32>| {
            let each = targets.len() / self.len().max(1);
            indices.iter().flat_map(|&index| &targets[index * each..][..each]).copied().collect()
        };
        Self {
            name: self.name.clone(),
            shape: self.shape,
            images: self.images.select(self.size(), indices),
            labels: self.labels.as_ref().map(of),
            targets: self.targets.as_ref().map(targets),
        }
    }

    /// These images only, under the name of a part: of `mnist/train`, `mnist/validation`.
    ///
    /// # Panics
    /// As [`select`](Self::select).
    #[must_use]
    pub fn part(&self, part: &str, indices: &[usize]) -> Self {
        Self { name: name_of_part(&self.name, part), ..self.select(indices) }
    }

    /// These images and then others of the same shape; none if they have values of another type, or
    /// only one of both has labels or targets.
    pub(crate) fn and(self, others: Self) -> Option<Self> {
        fn both<T: Clone>(one: Option<Vec<T>>, other: Option<Vec<T>>) -> Option<Option<Vec<T>>> {
            match (one, other) {
                (None, None) => Some(None),
                (Some(one), Some(other)) => Some(Some([one, other].concat())),
                _ => None,
            }
        }
        Some(Self {
            images: self.images.and(others.images)?,
            labels: both(self.labels, others.labels)?,
            targets: both(self.targets, others.targets)?,
            ..self
        })
    }

    /// The first `count` images, or all if there are fewer.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        self.select(&(0..count.min(self.len())).collect::<Vec<_>>())
    }

    /// The first `count` images of each class (all of a class that has fewer), in their order; none
    /// without labels.
    ///
    /// This is how the committed subset was chosen.
    #[must_use]
    pub fn first_of_each_class(&self, count: usize) -> Self {
        let mut taken = BTreeMap::new();
        let labels = self.labels.iter().flatten().enumerate();
        let chosen: Vec<usize> = labels
            .filter(|&(_, label)| {
                let taken = taken.entry(label).or_insert(0);
                *taken += 1;
                *taken <= count
            })
            .map(|(index, _)| index)
            .collect();
        self.select(&chosen)
    }
}

/// The name of a part of the data set that another part belongs to: of `mnist/train`,
/// `mnist/validation`.
pub(crate) fn name_of_part(other: &str, part: &str) -> String {
    let set = other.rsplit_once('/').map_or(other, |(set, _)| set);
    format!("{set}/{part}")
}

/// The sides of an image, as in `3x32x32`.
pub(crate) fn shown(shape: [usize; 3]) -> String {
    shape.map(|side| side.to_string()).join("x")
}

/// Without the values, which nobody wants in a message.
impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, shape, images, .. } = self;
        let (count, shape, of) = (self.len(), shown(*shape), images.type_name());
        write!(f, "Dataset({name}: {count} images of {shape}, {of})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset() -> Dataset {
        Dataset {
            name: "test".to_owned(),
            shape: [1, 1, 2],
            images: Samples::U8(vec![0, 1, 10, 11, 20, 21, 30, 31]),
            labels: Some(vec![3, 0, 3, 3]),
            targets: None,
        }
    }

    #[test]
    fn images_are_found_by_index() {
        let data = dataset();
        assert_eq!((data.len(), data.classes(), data.is_empty()), (4, 4, false));
        assert_eq!(data.image(2), [20, 21]);
        assert_eq!(format!("{data:?}"), "Dataset(test: 4 images of 1x1x2, uint8)");
        let none = data.select(&[]);
        assert_eq!((none.len(), none.classes(), none.is_empty()), (0, 0, true));
    }

    #[test]
    fn what_a_network_cannot_be_shown_is_said() {
        let data = Dataset { name: "mnist/train".to_owned(), ..dataset() };
        let says = |data: &Dataset, shape, classes| match data.view().check(shape, classes) {
            Ok(()) => "fits".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(says(&data, [1, 1, 2], 4), "fits");
        // A vector has no shape, and an image is one in its order.
        assert_eq!(says(&data, [2, 1, 1], 4), "fits");
        assert_eq!(
            says(&data, [1, 1, 3], 4),
            "data set `mnist/train` has images of 1x1x2, the network takes 1x1x3"
        );
        let image = |shape| Dataset {
            shape,
            images: Samples::U8((0..12).collect()),
            labels: None,
            ..data.clone()
        };
        for shape in [[3, 2, 2], [1, 1, 12], [12, 1, 1]] {
            assert_eq!(says(&image([3, 2, 2]), shape, 4), "fits");
            assert_eq!(says(&image(shape), [3, 2, 2], 4), "fits");
        }
        // Rows are the channels of a signal.
        assert_eq!(says(&image([1, 4, 3]), [4, 1, 3], 4), "fits");
        assert_eq!(
            says(&image([2, 2, 3]), [2, 3, 2], 4),
            "data set `mnist/train` has images of 2x2x3, the network takes 2x3x2"
        );
        assert_eq!(
            says(&image([2, 2, 3]), [3, 2, 2], 4),
            "data set `mnist/train` has images of 2x2x3, the network takes 3x2x2: put the channels \
             before the rows"
        );
        let targets = Dataset { targets: Some(vec![0.5; 4]), ..data.clone() };
        assert_eq!(
            says(&targets, [1, 1, 2], 4),
            "data set `mnist/train` has 1 target for an image, the network has 4 outputs: numbers of \
             classes must be integers"
        );
        assert_eq!(
            says(&data.part("validation", &[1, 2]), [1, 1, 2], 3),
            "data set `mnist/validation` has label 3 at image 1, the network tells classes 0..=2 apart"
        );
        assert_eq!(
            says(&data.part("validation", &[]), [1, 1, 2], 4),
            "data set `mnist/validation` has no images, at least 1 is needed"
        );
    }

    #[test]
    fn what_is_no_byte_is_said() {
        let floats =
            |values: [f32; 4]| Dataset { images: Samples::F32(values.into()), ..dataset() };
        assert_eq!(*floats([0.0, 1.0, 254.0, 255.0]).bytes().unwrap(), [0, 1, 254, 255]);
        assert_eq!(
            floats([0.0, 1.0, 2.0, 0.5]).bytes().unwrap_err().to_string(),
            "data set `test` has the value 0.5 in image 1, the network takes whole numbers of 0 to 255"
        );
        let none = Dataset { labels: None, ..dataset() };
        assert_eq!(none.labels().unwrap_err().to_string(), "data set `test` has no labels");
    }

    #[test]
    fn selections_keep_image_and_label_together() {
        let check = |data: Dataset, images: &[u8], labels: &[u32]| {
            assert_eq!(data.images, Samples::U8(images.to_vec()));
            assert_eq!(data.labels, Some(labels.to_vec()));
        };
        check(dataset().select(&[3, 1]), &[30, 31, 10, 11], &[3, 0]);
        check(dataset().first(2), &[0, 1, 10, 11], &[3, 0]);
        assert_eq!(dataset().first(9), dataset());
        check(dataset().first_of_each_class(2), &[0, 1, 10, 11, 20, 21], &[3, 0, 3]);
    }
}
