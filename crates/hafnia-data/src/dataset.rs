//! Images with their labels.

use std::fmt;

use crate::error::DataError;

/// Labelled 8-bit grey images of one size.
#[derive(Clone, PartialEq, Eq)]
pub struct Dataset {
    /// What it is, such as "mnist/train".
    pub name: String,
    /// Height of an image in pixels.
    pub rows: usize,
    /// Width of an image in pixels.
    pub columns: usize,
    /// Grey levels, images × rows × columns, 0 is the background.
    pub images: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u8>,
}

impl Dataset {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pixels of an image, row after row.
    ///
    /// # Panics
    /// If there is no image of this index.
    pub fn image(&self, index: usize) -> &[u8] {
        let pixels = self.rows * self.columns;
        &self.images[index * pixels..][..pixels]
    }

    /// The number of classes: one more than the largest label.
    pub fn classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |&largest| usize::from(largest) + 1)
    }

    /// These images only, in this order.
    ///
    /// # Panics
    /// If there is no image of one of the indices.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            name: self.name.clone(),
            rows: self.rows,
            columns: self.columns,
            images: indices.iter().flat_map(|&index| self.image(index)).copied().collect(),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
        }
    }

    /// These images only, under the name of a part: of `mnist/train`, `mnist/validation`.
    ///
    /// # Panics
    /// As [`select`](Self::select).
    #[must_use]
    pub fn part(&self, part: &str, indices: &[usize]) -> Self {
        let set = self.name.rsplit_once('/').map_or(self.name.as_str(), |(set, _)| set);
        Self { name: format!("{set}/{part}"), ..self.select(indices) }
    }

    /// Checks that there is an image.
    ///
    /// # Errors
    /// [`DataError::Unfit`] if not.
    pub fn check_any(&self) -> Result<(), DataError> {
        self.fits(!self.is_empty(), || "has no images, at least 1 is needed".to_owned())
    }

    /// Checks that a network which takes images of this shape, (channels, height, width), and tells so
    /// many classes apart can be shown these.
    ///
    /// # Errors
    /// [`DataError::Unfit`] if there are no images, they have another shape, or one has a label that
    /// is none of the classes.
    pub fn check(&self, shape: [usize; 3], classes: usize) -> Result<(), DataError> {
        self.check_any()?;
        let own = [1, self.rows, self.columns];
        let shown = |shape: [usize; 3]| shape.map(|side| side.to_string()).join("x");
        self.fits(own == shape, || {
            format!("has images of {}, the network takes {}", shown(own), shown(shape))
        })?;
        let wrong = self.labels.iter().position(|&label| usize::from(label) >= classes);
        self.fits(wrong.is_none(), || {
            let image = wrong.unwrap_or_default();
            let (label, last) = (self.labels[image], classes.saturating_sub(1));
            format!(
                "has label {label} at image {image}, the network tells classes 0..={last} apart"
            )
        })
    }

    fn fits(&self, fits: bool, fault: impl FnOnce() -> String) -> Result<(), DataError> {
        match fits {
            true => Ok(()),
            false => Err(DataError::Unfit { name: self.name.clone(), fault: fault() }),
        }
    }

    /// The first `count` images, or all if there are fewer.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        self.select(&(0..count.min(self.len())).collect::<Vec<_>>())
    }

    /// The first `count` images of each class (all of a class that has fewer), in their order.
    ///
    /// This is how the committed subset was chosen.
    #[must_use]
    pub fn first_of_each_class(&self, count: usize) -> Self {
        let mut taken = [0; 256];
        let chosen: Vec<usize> = (0..self.len())
            .filter(|&index| {
                let taken = &mut taken[usize::from(self.labels[index])];
                *taken += 1;
                *taken <= count
            })
            .collect();
        self.select(&chosen)
    }
}

/// Without the pixels, which nobody wants in a message.
impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, rows, columns, .. } = self;
        write!(f, "Dataset({name}: {} images of {rows}×{columns})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset() -> Dataset {
        Dataset {
            name: "test".to_owned(),
            rows: 1,
            columns: 2,
            images: vec![0, 1, 10, 11, 20, 21, 30, 31],
            labels: vec![3, 0, 3, 3],
        }
    }

    #[test]
    fn images_are_found_by_index() {
        let data = dataset();
        assert_eq!((data.len(), data.classes(), data.is_empty()), (4, 4, false));
        assert_eq!(data.image(2), [20, 21]);
        assert_eq!(format!("{data:?}"), "Dataset(test: 4 images of 1×2)");
        let none = data.select(&[]);
        assert_eq!((none.len(), none.classes(), none.is_empty()), (0, 0, true));
    }

    #[test]
    fn what_a_network_cannot_be_shown_is_said() {
        let data = Dataset { name: "mnist/train".to_owned(), ..dataset() };
        let says = |data: &Dataset, shape, classes| match data.check(shape, classes) {
            Ok(()) => "fits".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(says(&data, [1, 1, 2], 4), "fits");
        // Their product is the same.
        for (shape, shown) in [([1, 2, 1], "1x2x1"), ([2, 1, 1], "2x1x1")] {
            let expected =
                format!("data set `mnist/train` has images of 1x1x2, the network takes {shown}");
            assert_eq!(says(&data, shape, 4), expected);
        }
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
    fn selections_keep_image_and_label_together() {
        let chosen = dataset().select(&[3, 1]);
        assert_eq!((chosen.images, chosen.labels), (vec![30, 31, 10, 11], vec![3, 0]));
        let first = dataset().first(2);
        assert_eq!((first.images, first.labels), (vec![0, 1, 10, 11], vec![3, 0]));
        assert_eq!(dataset().first(9), dataset());
        let first = dataset().first_of_each_class(2);
        assert_eq!((first.images, first.labels), (vec![0, 1, 10, 11, 20, 21], vec![3, 0, 3]));
    }
}
