//! The fast path: what [`Mapped`](crate::Mapped) and the engines define, in bits and vectors.
//!
//! One idea on four floors, *lines that are on → groups → codes → sums*:
//!
//! ```text
//!  activations of a layer, or the codes of its inputs, cut into bit-planes
//!        │
//!  lines │  patches: [plane][word of lines][position]      streams: [channel][dx], bits of positions
//!        │  any layer                                      convolutions, 512 positions at once
//!        ▼
//!  groups│  patches: position by position                  slices: for all positions at once
//!        │  the input control: counted, or listed as conversion cycles (list)
//!        ▼
//!  codes │  exact, table, device, signals: what the converters answer in every cycle
//!        │  steps: a tile in whole numbers   open: columns that one byte of their draw leaves open
//!        ▼
//!  sums  │  packed: AND and popcount, a row of positions   sliced: full adders, all positions
//!        │  thresholds and pools
//!        ▼
//!  activations of the next layer
//! ```
//!
//! The walk over an image, by the strategy of each matrix ([`plan::Strategy`]):
//!
//! ```text
//! for each matrix:
//!     lines = bit-planes of the activations; of the codes of inputs, for groups
//!     Reference:  sums = W · activations
//!     Product:    sums = W · activations;  count groups(lines)
//!     Corrected:  sums = W · activations;  for group in groups(lines), column:
//!                     sums += ± factor · weight · (code − ones)  where that is not 0
//!     Converted:  for tile, group in groups(lines of the tile), column:
//!                     raw += weight · code                       of the bit-plane, signed
//!                 sums = Σ over tiles, columns of ± factor · raw + what is known digitally
//!     activations = pool(thresholds(sums))
//! ```
//!
//! Where the first three give the same sums as the last is known before any image is run: [`plan`]
//! chooses the strategy of a matrix, how its sums are computed, and the grouper of every tile, and
//! [`runner`] walks without a choice. Every floor knows those above it here, none knows the plan.
//! `tests/kernels.rs` holds all of it to the definitions, bit for bit, on every instruction set.
//!
//! Arrays are written by their dimensions, the fastest last, and what a vector holds behind: `[line]
//! [block] × 16 columns` is an array of vectors of 16 columns, by block within line.

pub(crate) mod codes;
pub(crate) mod groups;
pub(crate) mod lines;
pub(crate) mod plan;
pub(crate) mod runner;
pub(crate) mod sums;
