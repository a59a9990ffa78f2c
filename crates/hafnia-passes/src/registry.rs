//! [`Registry`]: the passes there are. Pipelines, help and documentation come from it.

use std::fmt::Write;

use hafnia_ir::{Mapping, Stage};
use toml::{Table, Value};

use crate::{
    AllocateRows, Context, CutTiles, DuplicateMatrices, PackTiles, Pass, PassError, PassInfo,
    Pipeline, RenameComplements, RenameRows, RenameSegments, ReorderRows, SearchMappings,
    SetPolarity, Statistics, StripDead,
};

/// The passes that pipelines may use, by name.
#[derive(Clone)]
pub struct Registry {
    passes: Vec<Registered>,
}

/// A pass that is known by name, its options not yet chosen.
#[derive(Clone)]
pub struct Registered {
    info: PassInfo,
    defaults: Table,
    configure: fn(Table) -> Result<Box<dyn AnyPass>, toml::de::Error>,
}

/// A pass whose options are chosen and whose type is forgotten.
pub(crate) trait AnyPass: Send + Sync {
    fn info(&self) -> PassInfo;
    fn options(&self) -> Table;
    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError>;
}

impl<P: Pass> AnyPass for P {
    fn info(&self) -> PassInfo {
        P::INFO
    }

    fn options(&self) -> Table {
        Table::try_from(self).expect("checked when it was registered")
    }

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        Pass::run(self, mapping, context)
    }
}

impl Registered {
    /// What the pass is.
    pub fn info(&self) -> &PassInfo {
        &self.info
    }

    /// Its options as they are unless a pipeline says otherwise.
    pub fn defaults(&self) -> &Table {
        &self.defaults
    }

    pub(crate) fn configure(&self, options: Table) -> Result<Box<dyn AnyPass>, toml::de::Error> {
        (self.configure)(options)
    }
}

impl Registry {
    /// No pass at all.
    pub fn empty() -> Self {
        Self { passes: Vec::new() }
    }

    /// The passes of this crate.
    pub fn builtin() -> Self {
        Self::empty()
            .with::<StripDead>()
            .with::<RenameRows>()
            .with::<RenameComplements>()
            .with::<RenameSegments>()
            .with::<CutTiles>()
            .with::<SetPolarity>()
            .with::<ReorderRows>()
            .with::<AllocateRows>()
            .with::<PackTiles>()
            .with::<DuplicateMatrices>()
            .with::<SearchMappings>()
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
        let configure = |options: Table| -> Result<Box<dyn AnyPass>, toml::de::Error> {
            Ok(Box::new(options.try_into::<P>()?))
        };
        if let Err(error) = configure(Table::new()) {
            panic!("pass `{name}` has options without a default: {error}");
        }
        let unknown = Table::from_iter([("no such option".to_owned(), Value::Boolean(true))]);
        assert!(configure(unknown).is_err(), "pass `{name}` does not refuse unknown options");
        self.passes.push(Registered { info, defaults, configure });
        self
    }

    /// The pass of this name.
    pub fn get(&self, name: &str) -> Option<&Registered> {
        self.passes.iter().find(|pass| pass.info.name == name)
    }

    /// The passes in the order in which they were registered.
    pub fn passes(&self) -> impl ExactSizeIterator<Item = &Registered> {
        self.passes.iter()
    }

    /// What the passes are.
    pub fn infos(&self) -> impl ExactSizeIterator<Item = &PassInfo> {
        self.passes.iter().map(Registered::info)
    }

    /// The name that looks most like `name`, if one does.
    pub(crate) fn nearest(&self, name: &str) -> Option<&'static str> {
        let distances = self.infos().map(|info| (distance(name, info.name), info.name));
        let (distance, nearest) = distances.min()?;
        // Up to a third of the letters may be wrong, and two in any case.
        (distance <= (nearest.len() / 3).max(2)).then_some(nearest)
    }

    /// The page that documents the passes and the built-in pipelines.
    pub fn to_markdown(&self) -> String {
        let mut page = String::from("# Passes\n\n");
        page.push_str("This page is generated from the registry of passes.\n");
        page.push_str("How to write one: [new-pass.md](new-pass.md).\n\n");
        page.push_str("| pass | takes | leaves | what it does |\n|---|---|---|---|\n");
        for PassInfo { name, summary, takes, leaves, .. } in self.infos() {
            let takes: Vec<&str> = takes.iter().map(|stage| stage.name()).collect();
            let leaves = leaves.map_or("the same", Stage::name);
            let takes = takes.join(", ");
            writeln!(page, "| [`{name}`](#{name}) | {takes} | {leaves} | {summary} |")
                .expect(STRING);
        }
        for pass in &self.passes {
            let PassInfo { name, summary, options, .. } = pass.info;
            writeln!(page, "\n## {name}\n\n{summary}").expect(STRING);
            if options.is_empty() {
                page.push_str("It has no options.\n");
                continue;
            }
            page.push_str("\n| option | default | meaning |\n|---|---|---|\n");
            for (option, meaning) in options {
                let default = pass.defaults.get(*option);
                let default = default.map_or("none".to_owned(), |value| format!("`{value}`"));
                writeln!(page, "| `{option}` | {default} | {meaning} |").expect(STRING);
            }
        }
        page.push_str("\n## Built-in pipelines\n");
        for (name, text) in Pipeline::BUILTIN {
            writeln!(page, "\n### {name}\n\n```toml\n{}\n```", text.trim_end()).expect(STRING);
        }
        page
    }
}

const STRING: &str = "a string takes everything";

/// Letters to insert, delete or replace to turn one word into the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn every_option_is_described_once() {
        for pass in Registry::builtin().passes() {
            let mut described: Vec<&str> =
                pass.info.options.iter().map(|(name, _)| *name).collect();
            described.sort_unstable();
            let fields: Vec<&str> = pass.defaults.keys().map(String::as_str).collect();
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
    fn distances() {
        let check = |a, b, expected| assert_eq!(distance(a, b), expected, "{a} {b}");
        check("", "", 0);
        check("", "abc", 3);
        check("abc", "abc", 0);
        check("kitten", "sitting", 3);
        check("flaw", "lawn", 2);
    }

    #[test]
    #[should_panic(expected = "pass `tile` is registered twice")]
    fn a_name_is_taken_once() {
        let _ = Registry::builtin().with::<CutTiles>();
    }

    #[test]
    fn the_page_shows_stages_and_defaults() {
        let page = Registry::empty().with::<RenameRows>().with::<StripDead>().to_markdown();
        let passes = page.split("\n## Built-in").next().expect("a first part");
        expect![[r##"
            # Passes

            This page is generated from the registry of passes.
            How to write one: [new-pass.md](new-pass.md).

            | pass | takes | leaves | what it does |
            |---|---|---|---|
            | [`rename`](#rename) | logical, tiled | the same | Lets rows with equal bits share one physical row. |
            | [`strip-dead`](#strip-dead) | logical | the same | Takes rows that are never on, and columns that are constant, out of the cells. |

            ## rename

            Lets rows with equal bits share one physical row.

            | option | default | meaning |
            |---|---|---|
            | `mode` | `"repeat"` | `repeat`: the shared row is issued once for every logical row that is on; `pre-add`: activations of rows that share are added up first, and the shared row is issued for the bits of the sum |

            ## strip-dead

            Takes rows that are never on, and columns that are constant, out of the cells.
            It has no options.
        "##]].assert_eq(passes);
    }
}
