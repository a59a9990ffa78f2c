//! Why a statistic was refused.

/// Why a statistic was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// A statistic over no image.
    #[error("there are no images, at least 1 is needed")]
    NoImages,
    /// A statistic over no chip.
    #[error("there are no chips, at least 1 is needed")]
    NoChips,
    /// A pooled statistic without a network or a mapping, or a forecast from too few networks.
    #[error("there are {found} {what}, at least {least} are needed")]
    TooFew {
        /// What there are too few of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are needed.
        least: usize,
    },
    /// Two results that are to be compared image by image and chip by chip do not match.
    #[error("paired results differ in their {what}")]
    Unpaired {
        /// In what they differ.
        what: &'static str,
    },
    /// A network that does not match the first.
    #[error("network {network} has {found} {what}, network 1 has {expected}")]
    Uneven {
        /// Its number, the first being 1.
        network: usize,
        /// What it has too few or too many of.
        what: &'static str,
        /// How many it has.
        found: usize,
        /// How many the first has.
        expected: usize,
    },
    /// The baseline loses nothing, so that no part of its loss can be saved.
    #[error("the first mapping loses nothing: there is no effect to plan for")]
    NoLoss,
}
