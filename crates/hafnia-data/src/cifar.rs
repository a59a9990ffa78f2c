//! The binary batches of CIFAR-10 (Krizhevsky, *Learning multiple layers of features from tiny
//! images*).
//!
//! A record is a byte that names the class, 0 to 9, and 3 × 32 × 32 pixels: all of red, of green and of
//! blue, row after row. Five batches are to train on, one tests.

use crate::{dataset::Dataset, error::DataError, samples::Samples};

/// The batches: those to train on, then the one that tests.
pub(crate) const BATCHES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

const SHAPE: [usize; 3] = [3, 32, 32];
const RECORD: usize = 1 + 3 * 32 * 32;
const LAST_CLASS: u8 = 9;

/// The images of batches, each of which is read once those before it are done, with its name for
/// errors.
///
/// # Errors
/// Those of reading; [`DataError::Content`] for a batch that does not consist of whole records, and for
/// a class above 9.
pub(crate) fn parse(
    name: &str,
    batches: impl IntoIterator<Item = Result<(String, Vec<u8>), DataError>>,
) -> Result<Dataset, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for batch in batches {
        let (file, bytes) = batch?;
        let (records, rest) = bytes.as_chunks::<RECORD>();
        if records.is_empty() || !rest.is_empty() {
            let found = bytes.len();
            let fault = format!("has {found} bytes, expected records of {RECORD}, at least 1");
            return Err(DataError::content(&file, fault));
        }
        for (image, [label, values @ ..]) in records.iter().enumerate() {
            if *label > LAST_CLASS {
                let fault =
                    format!("has label {label} at image {image}, it must lie in 0..={LAST_CLASS}");
                return Err(DataError::content(&file, fault));
            }
            labels.push(u32::from(*label));
            pixels.extend_from_slice(values);
        }
    }
    Dataset::new(name, name, SHAPE, Samples::U8(pixels), Some(labels))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    /// Records of these classes, whose pixels count on.
    fn batch(classes: &[u8]) -> Vec<u8> {
        let record = |&class| [vec![class], (1..RECORD).map(|at| at as u8).collect()].concat();
        classes.iter().flat_map(record).collect()
    }

    #[test]
    fn records_of_all_batches_follow_each_other() {
        let batches = [("a".to_owned(), batch(&[3, 9])), ("b".to_owned(), batch(&[0]))];
        let data = parse("c/train", batches.map(Ok)).unwrap();
        assert_eq!((data.name.as_str(), data.shape, data.len()), ("c/train", [3, 32, 32], 3));
        assert_eq!(data.labels().unwrap(), [3, 9, 0]);
        assert_eq!(data.image(2), &batch(&[0])[1..]);
    }

    #[test]
    fn wrong_batches_are_told_by_name_and_number() {
        let check = |bytes: &[u8], expected: Expect| {
            let batches = [("good".to_owned(), batch(&[1])), ("bad".to_owned(), bytes.to_vec())];
            expected.assert_eq(&parse("c", batches.map(Ok)).unwrap_err().to_string());
        };
        check(&[], expect!["bad has 0 bytes, expected records of 3073, at least 1"]);
        check(
            &batch(&[1, 2])[1..],
            expect!["bad has 6145 bytes, expected records of 3073, at least 1"],
        );
        check(&batch(&[9, 10]), expect!["bad has label 10 at image 1, it must lie in 0..=9"]);
    }

    proptest! {
        #[test]
        fn whole_records_are_read_and_nothing_else(
            length in prop_oneof![0..3 * RECORD, (0usize..4).prop_map(|count| count * RECORD)],
            byte: u8,
        ) {
            let found = parse("c", [Ok(("b".to_owned(), vec![byte; length]))]);
            let is_good = length > 0 && length % RECORD == 0 && byte <= LAST_CLASS;
            prop_assert_eq!(found.ok().map(|data| data.len()), is_good.then_some(length / RECORD));
        }
    }
}
