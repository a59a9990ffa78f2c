//! The parts of a data set as they are read, before they are put together.

use crate::{
    dataset::{Dataset, shown},
    error::DataError,
    split::Split,
};

/// The parts that a data set comes in; there is at least one.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Images to train on.
    pub(crate) train: Option<Dataset>,
    /// Images to choose by, where they are kept apart; else they are drawn from those to train on.
    pub(crate) validation: Option<Dataset>,
    /// Images that judge.
    pub(crate) test: Option<Dataset>,
}

impl Parts {
    /// The images to train on and to choose by, which are which of them, and the images that judge.
    ///
    /// # Errors
    /// [`DataError::Content`] if there are no images, or images of different shapes or types.
    pub(crate) fn joined(self, name: &str) -> Result<(Dataset, Split, Dataset), DataError> {
        let wrong = |fault: String| DataError::content(&format!("data set `{name}`"), fault);
        let Self { train, validation, test } = self;
        let named = [("training", &train), ("validation", &validation), ("test", &test)];
        let mut first = None;
        for (part, data) in named {
            let Some(data) = data else { continue };
            let images =
                format!("{part} images of {} {}", shown(data.shape), data.images.type_name());
            let kind = (data.shape, data.images.type_name());
            match &first {
                None => first = Some((kind, images, data.part("none", &[]))),
                Some((of_first, first, _)) if *of_first != kind => {
                    return Err(wrong(format!("has {first} and {images}")));
                }
                Some(_) => {}
            }
        }
        let Some((.., none)) = first else {
            return Err(wrong("has no images".to_owned()));
        };
        let train = train.unwrap_or_else(|| none.part("train", &[]));
        let test = test.unwrap_or_else(|| none.part("test", &[]));
        let (train, split) = match validation {
            None => {
                let split = Split::standard(&train);
                (train, split)
            }
            Some(validation) => {
                let (of_train, of_validation) = (train.len(), validation.len());
                let train = train.and(validation).ok_or_else(|| {
                    wrong(
                        "has labels or targets for some of its training and validation images"
                            .to_owned(),
                    )
                })?;
                let split = Split {
                    train: (0..of_train).collect(),
                    validation: (of_train..of_train + of_validation).collect(),
                };
                (train, split)
            }
        };
        Ok((train, split, test))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Samples;

    /// Grey images of 1×2, which count on from a value.
    fn images(part: &str, values: std::ops::Range<u8>) -> Option<Dataset> {
        let labels = Some(values.clone().step_by(2).map(u32::from).collect());
        let (name, images) = (format!("set/{part}"), Samples::U8(values.collect()));
        Some(Dataset { name, shape: [1, 1, 2], images, labels, targets: None })
    }

    #[test]
    fn validation_images_are_those_given_or_drawn() {
        let given = Parts {
            train: images("train", 0..6),
            validation: images("validation", 6..8),
            test: None,
        };
        let (train, split, test) = given.joined("set").unwrap();
        assert_eq!(Some(train), images("train", 0..8));
        assert_eq!(split, Split { train: vec![0, 1, 2], validation: vec![3] });
        assert_eq!((test.name.as_str(), test.len(), test.shape), ("set/test", 0, [1, 1, 2]));

        let drawn =
            Parts { train: images("train", 0..48), test: images("test", 0..2), ..Parts::default() };
        let (train, split, test) = drawn.joined("set").unwrap();
        assert_eq!(split, Split::standard(&train));
        assert_eq!((split.train.len(), split.validation.len(), test.len()), (22, 2, 1));

        let (train, split, _) =
            Parts { test: images("test", 0..2), ..Parts::default() }.joined("set").unwrap();
        assert_eq!((train.name.as_str(), train.len(), split.train.len()), ("set/train", 0, 0));
    }

    #[test]
    fn parts_that_differ_are_no_set() {
        let says = |parts: Parts| parts.joined("set").unwrap_err().to_string();
        assert_eq!(says(Parts::default()), "data set `set` has no images");
        let test = images("test", 0..2).map(|data| Dataset { shape: [1, 2, 1], ..data });
        assert_eq!(
            says(Parts { train: images("train", 0..2), validation: None, test }),
            "data set `set` has training images of 1x1x2 uint8 and test images of 1x2x1 uint8"
        );
        let validation = images("validation", 0..2).map(|data| Dataset { labels: None, ..data });
        assert_eq!(
            says(Parts { train: images("train", 0..2), validation, test: None }),
            "data set `set` has labels or targets for some of its training and validation images"
        );
    }
}
