//! [`RunOptions`]: what the commands that run mapped networks on images are given alike.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use hafnia_data::Dataset;

use crate::data::{DataOptions, Part};
use crate::macros::SpecOptions;
use crate::output::Record;

/// On what a mapped network is run, and where the result goes.
#[derive(Args, Debug, Clone)]
pub(crate) struct RunOptions {
    /// Which images.
    #[arg(long, value_enum, default_value_t = Part::Test)]
    pub(crate) part: Part,
    /// Use only the first so many images.
    #[arg(long, value_name = "N")]
    pub(crate) images: Option<usize>,
    /// Seed of everything drawn.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Also write the result as JSON, with a manifest.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) spec: SpecOptions,
    #[command(flatten)]
    data: DataOptions,
}

impl RunOptions {
    /// The first images of the part: as many as are asked for, or else `usual`, or all if there are
    /// fewer.
    pub(crate) fn load(&self, usual: usize, record: &mut Record) -> anyhow::Result<Dataset> {
        let mnist = self.data.load()?;
        record.data(&mnist);
        let dataset = self.part.of(&mnist);
        let most = dataset.len();
        let images = self.images.unwrap_or(usual.min(most));
        ensure!((1..=most).contains(&images), "--images is {images}, it must lie in 1..={most}");
        Ok(dataset.first(images))
    }
}
