//! [`Registry`]: the passes there are. Pipelines, help and documentation come from it.

use std::sync::Arc;

use hafnia_ir::Mapping;
use hafnia_text::{must, nearest};
use toml::{Table, Value};

use crate::error::{BoxError, PassError};
use crate::pass::{Context, Pass, PassInfo};
use crate::statistics::Statistics;

/// The passes that pipelines may use, by name.
#[derive(Clone)]
pub struct Registry {
    passes: Vec<Configured>,
}

/// A pass whose options are chosen and whose type is forgotten.
#[derive(Clone)]
pub struct Configured {
    info: PassInfo,
    options: Table,
    pass: Arc<dyn AnyPass>,
}

/// What is left of a pass whose type is forgotten.
trait AnyPass: Send + Sync {
    fn with(&self, options: Table) -> Result<Configured, BoxError>;
    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError>;
}

impl<P: Pass> AnyPass for P {
    fn with(&self, options: Table) -> Result<Configured, BoxError> {
        Configured::read::<P>(options)
    }

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        Pass::run(self, mapping, context)
    }
}

/// The largest whole number that an option may be: a billion steps take an hour.
const LARGEST: i64 = 1_000_000_000;

/// Checks the whole numbers of options, which are budgets and sizes, but for seeds.
fn check_numbers(options: &Table) -> Result<(), BoxError> {
    let numbers = options.iter().filter(|(name, _)| *name != "seed");
    for (name, number) in numbers.filter_map(|(name, value)| Some((name, value.as_integer()?))) {
        if number > LARGEST {
            let fault = format!("`{name}` is {number}, it {}", must(0, LARGEST));
            return Err(fault.into());
        }
    }
    Ok(())
}

impl Configured {
    /// A pass with the options that its fields are.
    ///
    /// # Errors
    /// If an option is outside its range.
    pub fn new<P: Pass>(pass: &P) -> Result<Self, BoxError> {
        Self::read::<P>(Table::try_from(pass)?)
    }

    /// A pass with these options; those that are not named have their defaults.
    fn read<P: Pass>(options: Table) -> Result<Self, BoxError> {
        check_numbers(&options)?;
        let pass: P = options.try_into()?;
        let options = Table::try_from(&pass)?;
        Ok(Self { info: P::INFO, options, pass: Arc::new(pass) })
    }

    /// What the pass is.
    pub fn info(&self) -> &PassInfo {
        &self.info
    }

    /// Its options, every one of them.
    pub fn options(&self) -> &Table {
        &self.options
    }

    /// The same pass with these options; those that are not named have their defaults.
    ///
    /// # Errors
    /// If an option is unknown or outside its range.
    pub fn with_options(&self, options: Table) -> Result<Self, BoxError> {
        self.pass.with(options)
    }

    pub(crate) fn run(
        &self,
        mapping: &mut Mapping,
        context: &Context<'_>,
    ) -> Result<Statistics, PassError> {
        self.pass.run(mapping, context)
    }
}

impl Registry {
    /// No pass at all.
    pub fn empty() -> Self {
        Self { passes: Vec::new() }
    }

    /// The same and one pass more.
    ///
    /// # Panics
    /// If the pass is not what [`Pass`] asks for: its name is taken, its struct is no TOML table, an
    /// option is not described, or unknown options are not refused.
    #[must_use]
    pub fn with<P: Pass>(mut self) -> Self {
        let (info, name) = (P::INFO, P::INFO.name);
        assert!(self.get(name).is_none(), "pass `{name}` is registered twice");
        let defaults = Table::try_from(P::default())
            .unwrap_or_else(|error| panic!("the options of pass `{name}` are no table: {error}"));
        for option in defaults.keys() {
            let is_described = info.options.iter().any(|(described, _)| described == option);
            assert!(is_described, "option `{option}` of pass `{name}` is not described");
        }
        let pass = Configured::read::<P>(Table::new())
            .unwrap_or_else(|error| panic!("pass `{name}` has options without a default: {error}"));
        let unknown = Table::from_iter([("no such option".to_owned(), Value::Boolean(true))]);
        let is_refused = pass.with_options(unknown).is_err();
        assert!(is_refused, "pass `{name}` does not refuse unknown options");
        self.passes.push(pass);
        self
    }

    /// The pass of this name, with its defaults.
    pub fn get(&self, name: &str) -> Option<&Configured> {
        self.passes.iter().find(|pass| pass.info.name == name)
    }

    /// The passes in the order in which they were registered, with their defaults.
    pub fn passes(&self) -> impl ExactSizeIterator<Item = &Configured> {
        self.passes.iter()
    }

    /// What the passes are.
    pub fn infos(&self) -> impl ExactSizeIterator<Item = &PassInfo> {
        self.passes.iter().map(Configured::info)
    }

    /// The name that looks most like `name`, if one does.
    pub(crate) fn nearest(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.infos().map(|info| info.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::tile::CutTiles;

    #[test]
    fn every_option_is_described_once() {
        for pass in Registry::builtin().passes() {
            let mut described: Vec<&str> =
                pass.info.options.iter().map(|(name, _)| *name).collect();
            described.sort_unstable();
            let fields: Vec<&str> = pass.options.keys().map(String::as_str).collect();
            assert_eq!(described, fields, "options of `{}`", pass.info.name);
        }
    }

    #[test]
    fn names_are_guessed() {
        let registry = Registry::builtin();
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(registry.nearest(name), expected, "{name}");
        };
        check("renam", Some("rename"));
        check("tiling", None);
        check("tiles", Some("tile"));
        check("re-order", Some("reorder"));
        check("polarity", Some("polarity"));
    }

    #[test]
    #[should_panic(expected = "pass `tile` is registered twice")]
    fn a_name_is_taken_once() {
        let _ = Registry::builtin().with::<CutTiles>();
    }
}
