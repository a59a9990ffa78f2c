//! Options that several commands share.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::bail;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use hafnia_study::{DataSource, MacroSource, NetworkSource, Part};
use hafnia_text::{Bound, must};
use serde::de::DeserializeOwned;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// The request whose fields these options are, by name.
pub(crate) fn request<R: DeserializeOwned>(options: &impl Serialize) -> anyhow::Result<R> {
    Ok(serde_json::from_value(serde_json::to_value(options)?)?)
}

/// Reads a finite number: JSON, and so a request, has no other.
pub(crate) fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if number.is_finite() { Ok(number) } else { Err(format!("{number} is not finite")) }
}

/// Reads a number of this range, which requests are held to as well.
pub(crate) fn within<T: Bound + Copy + FromStr<Err: Display> + Send + Sync + 'static>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number: T = text.parse().map_err(|error| format!("{error}"))?;
        match range.contains(&number) {
            true => Ok(number),
            false => Err(format!("it {}", must(*range.start(), *range.end()))),
        }
    }
}

/// Reads one of these words as the value that has this name in JSON.
pub(crate) fn one_of<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    words: impl IntoIterator<Item = &'static str>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words).try_map(|word| serde_json::from_value(Value::String(word)))
}

/// The parts of the data set.
pub(crate) fn part() -> impl TypedValueParser<Value = Part> {
    one_of(["train", "validation", "test"])
}

/// The network of a command: a file, or one that is part of hafnia.
#[derive(Args, Debug, Clone)]
#[group(required = true)]
pub(crate) struct NetworkOptions {
    /// Network file; none with --model.
    #[arg(value_name = "NETWORK", index = 1)]
    pub(crate) file: Option<PathBuf>,
    /// Recorded network in place of a file: RECIPE, or RECIPE/SEED (hafnia models).
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
}

impl Serialize for NetworkOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source().map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl NetworkOptions {
    /// The network that is named.
    pub(crate) fn source(&self) -> anyhow::Result<NetworkSource> {
        match (&self.file, &self.model) {
            (Some(path), None) => Ok(NetworkSource::File(path.clone())),
            (None, Some(name)) => Ok(NetworkSource::Model(name.clone())),
            _ => bail!("give either a network file or --model"),
        }
    }
}

/// What help calls [`DataOptions`].
const DATA: &str = "Data";

/// What help calls [`MacroOptions`].
const MACRO: &str = "Macro";

/// Where images come from.
#[derive(Args, Debug, Clone, Serialize)]
pub(crate) struct DataOptions {
    /// Data set in place of MNIST: a folder with four files in MNIST's form, plain or .gz, with
    /// CIFAR-10's binary batches, with arrays (.npy) or with a folder of PNG files for each class, or
    /// a file of arrays (.npz) or of images (.npy); docs/formats.md says which names they have.
    /// Nothing else is tried.
    #[arg(long, value_name = "PATH", help_heading = DATA)]
    data: Option<PathBuf>,
    /// Of a data set that is in one part, draw N images to judge by; the others are to train on.
    /// Without it all of them judge.
    #[arg(long, value_name = "N", help_heading = DATA)]
    hold_out: Option<usize>,
    /// Folder where downloads are kept; without it `datasets/cache` if that is there, or else `hafnia`
    /// in the user's cache folder.
    #[arg(long, value_name = "DIR", default_value_os_t = DataSource::default().cache)]
    #[arg(hide_default_value = true, help_heading = DATA)]
    cache: PathBuf,
    /// Never touch the network: use the cache, or else the small subset that is part of hafnia.
    #[arg(long, help_heading = DATA)]
    offline: bool,
    /// Use the small subset if no source answers, instead of giving up.
    #[arg(long, help_heading = DATA)]
    or_subset: bool,
}

impl DataOptions {
    pub(crate) fn source(&self) -> DataSource {
        let Self { data, hold_out, cache, offline, or_subset } = self.clone();
        DataSource { data, hold_out, cache, offline, or_subset }
    }
}

/// The macro that is simulated.
#[derive(Args, Debug, Clone, Serialize)]
pub(crate) struct MacroOptions {
    /// Preset, or a TOML file of the same form (hafnia macros).
    #[arg(long = "macro", value_name = "NAME|FILE", default_value = "gt-n40", help_heading = MACRO)]
    #[serde(rename = "macro")]
    name: String,
    /// Override a value of the macro, such as sigma_lrs_rel=0.2 or input_control=fixed-group.
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = MACRO)]
    set: Vec<String>,
}

impl MacroOptions {
    pub(crate) fn source(&self) -> MacroSource {
        MacroSource { name: self.name.clone(), set: self.set.clone() }
    }
}

/// On what a mapped network is run, and where the result goes.
#[derive(Args, Debug, Clone, Serialize)]
pub(crate) struct RunOptions {
    /// Which images.
    #[arg(long, value_parser = part(), default_value = "test")]
    pub(crate) part: Part,
    /// Use only the first N images.
    #[arg(long, value_name = "N")]
    pub(crate) images: Option<usize>,
    /// Seed of everything drawn.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Also write the result as JSON, with a manifest.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) spec: MacroOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) data: DataOptions,
}
