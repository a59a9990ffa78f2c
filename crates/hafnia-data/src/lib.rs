//! Image data sets: found or fetched, verified by digest, parsed, split.
//!
//! ```
//! use hafnia_data::{SplitDataset, Split};
//!
//! // In the repository and in every binary: 2 000 training and 1 000 test images.
//! let mnist = SplitDataset::mnist_subset();
//! assert!(!mnist.is_mnist());
//! assert_eq!((mnist.train.len(), mnist.test.len()), (2_000, 1_000));
//! assert_eq!(mnist.train.image(0).len(), 28 * 28);
//!
//! let split = Split::standard(&mnist.train);
//! assert_eq!((split.train.len(), split.validation.len()), (1_834, 166));
//! ```
//!
//! [`load`] finds the full MNIST: in a folder, in the cache, on the network. Every file is checked
//! by the SHA-256 of its uncompressed content before a byte of it is used. Or it reads the data set
//! that it is given: in IDX files, NumPy's arrays, CIFAR-10's binary batches or PNG files.
//!
//! What this crate does not do: values stay as they are, the network's input reduction is
//! `hafnia-model`'s; and it prints nothing, [`Progress`] goes to a callback. It is the only crate
//! that touches the network.

mod arrays;
mod cifar;
mod dataset;
mod error;
mod given;
mod http;
pub mod idx;
mod mnist;
mod npm;
mod parts;
mod pictures;
mod samples;
mod sources;
mod split;
mod split_dataset;
mod view;

pub use dataset::Dataset;
pub use error::DataError;
pub use given::files_in;
pub use samples::{Samples, Values};
pub use sources::{Progress, Sources, cache_of, load};
pub use split::Split;
pub use split_dataset::{Origin, SplitDataset};
pub use view::View;
