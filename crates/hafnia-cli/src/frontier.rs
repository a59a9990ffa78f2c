//! `hafnia frontier`.

use std::path::PathBuf;

use clap::Args;
use hafnia_passes::SearchMappings;
use hafnia_study::{FrontierRequest, Part, Request, Session, limits};
use serde::Serialize;

use crate::options::{DataOptions, MacroOptions, NetworkOptions, part, request, within};
use crate::output::Output;

/// Search over rename, polarity, order and input control, and show what rows, cycles and noise can
/// be had together.
///
/// The search is that of the pass `best`; what no candidate beats is then run on virtual chips, shown
/// validation images, since a mapping is chosen by them. Writes OUT/frontier.csv, OUT/frontier.svg and every mapping of the
/// frontier as OUT/<letter>.map, which is for a macro with the input control that stands beside it.
#[derive(Args, Serialize)]
#[command(after_help = "Examples:
  hafnia profile --model frontier --out out/frontier.profile
  hafnia frontier --model frontier --profile out/frontier.profile \\
      --set sigma_lrs_rel=0.2 --set offset_lsb=0.2 --out out/frontier
  hafnia frontier net.hafnia --profile net.profile --chips 100 --out out/net")]
pub(crate) struct Frontier {
    #[command(flatten)]
    #[serde(flatten)]
    network: NetworkOptions,
    /// Profile of training images (hafnia profile).
    #[arg(long, value_name = "FILE")]
    profile: PathBuf,
    /// Folder to write to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Swaps that annealing tries, per tile and candidate.
    #[arg(long, value_parser = within(limits::STEPS), default_value_t = SearchMappings::default().steps)]
    steps: u64,
    /// Virtual chips for every mapping of the frontier.
    #[arg(long, value_parser = within(limits::CHIPS), default_value_t = 20)]
    chips: u32,
    /// Where there is noise: `all`, `final`, or names of layers, separated by commas.
    #[arg(long, default_value = "all", value_name = "SCOPE")]
    noise_in: String,
    /// Which images the chips are shown.
    #[arg(long, value_parser = part(), default_value = "validation")]
    part: Part,
    /// Seed of everything drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    #[serde(flatten)]
    spec: MacroOptions,
    #[command(flatten)]
    #[serde(flatten)]
    data: DataOptions,
}

impl Frontier {
    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        output.answer(request::<FrontierRequest>(self)?.run(session), |found| {
            format!(
                "{} candidates; those that none beats, noise in: {}, {} chips, {} {} images:\n{}",
                found.candidates.len(),
                found.noise_in,
                found.chips,
                found.images,
                found.part,
                found.table()
            )
        })
    }
}
