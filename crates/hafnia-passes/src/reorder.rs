//! `reorder`: puts the rows of a tile into the order in which noise does the least damage.
//!
//! The input control gathers active rows in scan order, so the order decides which rows share a
//! conversion, and with that how many ones a conversion counts and how far its code is off. No
//! fixed rule is best under all noise: below about 0.2 LSB balanced partial sums win, above it
//! polarised ones. So the order is searched for, under the code table in use, on the activations
//! of training images: this is profile-guided optimisation. What is made small is the expected
//! damage; its definition and assumptions are in `damage.rs`.
//!
//! Methods, all behind one trait:
//! - `anneal`, in three phases. The natural order, the order found, `frequency` and `chain` are
//!   compared, and the best starts. Some swaps are tried to learn the size of their changes, which
//!   sets the first temperature. Then two entries at a time are swapped, the temperature falling
//!   geometrically; the best order seen is kept. Several runs with draws of their own share the
//!   processors, and the best of them is taken. A swap that by the most damaged samples is almost
//!   surely refused is not worked out for the others.
//! - `exact`: branch and bound, for up to 16 rows without negative ones: the order of least damage
//!   and the proof, or a lower bound if the steps do not suffice. It does not look at `cycles`. How
//!   is in `exact/ends.rs`.
//! - Orders by a rule, without search: `natural` (by logical row), `random`, `frequency` (rows that
//!   are on most often come first) and `chain` (after every row comes the one that is on with it
//!   most often and has the most bits in common).
//!
//! Orders that break groups up are less noisy and slower: `cycles` says how many more conversion
//! cycles than in natural order annealing may use. Where no row is shared or negative and the scan
//! has no windows, every order takes the same cycles.
//!
//! An order that a search found is taken only where it does less damage than the natural one on
//! training images that the search did not see, by the option `sure` in standard errors: `guard.rs`.
//! Else the natural order is left.
//!
//! A search is bounded in steps, never in seconds, and gives the same order on any number of
//! threads.
//!
//! Assumes: samples are like the images to come. Every physical row of a tile is used by an entry.
//!
//! Cost: on the last tile of `frontier/2`, 84×10, the 2000 most damaged samples of 2 bit-planes, one
//! run of 20 000 steps took 3.2 s of processor time with a busy machine around it (Intel Xeon,
//! AVX-512), of which 1.0 s was spent before the first; 8.7 s where rows are read as if they were
//! shared or negative. It grows with samples near a flip, active rows, and pairs of groups of a sample.
//! `benches/reorder.rs` times it.

mod anneal;
mod exact;
mod gap;
mod rules;

use std::num::{NonZeroU32, NonZeroUsize};

use hafnia_ir::{Mapping, Stage, Tile};
use hafnia_rng::Seed;
use serde::{Deserialize, Serialize};

use self::anneal::Anneal;
use self::exact::Exact;
pub use self::gap::{AnnealGap, anneal_gaps};
use crate::damage::Damage;
use crate::guard::{self, Guard, Split};
use crate::profiled::{Profiled, Scanned, refuse_levels};
use crate::{Context, Pass, PassError, PassInfo, Statistics};

/// The pass `reorder`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReorderRows {
    /// How the order is found.
    pub method: ReorderMethod,
    /// Swaps that an annealing run tries, or parts of orders that `exact` looks at, per tile.
    pub steps: u64,
    /// Annealing runs, of which the best is taken; they share the processors.
    pub runs: NonZeroU32,
    /// Most conversion cycles that annealing may use, as a multiple of the natural order's, at
    /// least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub cycles: f64,
    /// Tells random orders and annealing runs apart.
    pub seed: u64,
    /// Names of the matrices to reorder; none is the last, `*` is all.
    pub matrices: Vec<String>,
    /// Samples of the profile to look at, at most: those most damaged in natural order.
    pub samples: NonZeroUsize,
    /// Images that are held back to judge the order that a search found, at most; with 0 it is taken
    /// unjudged.
    pub held_back: usize,
    /// Virtual chips on which it is judged.
    pub chips: NonZeroU32,
    /// Standard errors by which it must be better than the natural order there, at least 0.
    #[serde(deserialize_with = "at_least_zero")]
    pub sure: f64,
}

/// How an order of rows is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReorderMethod {
    /// By simulated annealing.
    #[default]
    Anneal,
    /// By logical row.
    Natural,
    /// Rows that are on most often come first.
    Frequency,
    /// At random.
    Random,
    /// After every row the one that is on with it most often and has the most bits in common.
    Chain,
    /// By branch and bound: the best there is, and a bound that proves it.
    Exact,
}

impl ReorderMethod {
    fn name(self) -> &'static str {
        match self {
            Self::Anneal => "anneal",
            Self::Natural => "natural",
            Self::Frequency => "frequency",
            Self::Random => "random",
            Self::Chain => "chain",
            Self::Exact => "exact",
        }
    }
}

impl ReorderMethod {
    /// Whether what it finds is fitted to samples.
    fn searches(self) -> bool {
        matches!(self, Self::Anneal | Self::Exact)
    }

    /// As messages call it.
    fn what(self) -> &'static str {
        match self {
            Self::Anneal => "method `anneal`",
            Self::Natural => "method `natural`",
            Self::Frequency => "method `frequency`",
            Self::Random => "method `random`",
            Self::Chain => "method `chain`",
            Self::Exact => "method `exact`",
        }
    }
}

impl Default for ReorderRows {
    fn default() -> Self {
        let Guard { held_back, chips, sure } = Guard::default();
        Self {
            method: ReorderMethod::Anneal,
            steps: 50_000,
            runs: NonZeroU32::new(2).expect("not 0"),
            cycles: 1.25,
            seed: 0,
            matrices: Vec::new(),
            samples: NonZeroUsize::new(2000).expect("not 0"),
            held_back,
            chips: NonZeroU32::new(chips).expect("not 0"),
            sure,
        }
    }
}

/// Reads an option that is a multiple of something: a number of at least 1.
pub(crate) fn at_least_one<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<f64, D::Error> {
    at_least(1.0, f64::deserialize(deserializer)?)
}

/// Reads an option that is a number of at least 0.
pub(crate) fn at_least_zero<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<f64, D::Error> {
    at_least(0.0, f64::deserialize(deserializer)?)
}

fn at_least<E: serde::de::Error>(least: f64, value: f64) -> Result<f64, E> {
    if value >= least && value.is_finite() {
        return Ok(value);
    }
    Err(E::custom(format_args!("the value is {value}, it must be at least {least}")))
}

impl Pass for ReorderRows {
    const INFO: PassInfo = PassInfo {
        name: "reorder",
        summary: "Puts rows into the order in which noise does the least damage.",
        takes: &[Stage::Tiled, Stage::Placed],
        leaves: None,
        options: &[
            (
                "method",
                "`anneal`: search by simulated annealing; `natural`: by logical row; `random`; `frequency`: most active rows first; `chain`: each row by the one most active with it and most alike; `exact`: the best order, by branch and bound, for up to 16 rows and weights of 1 bit. All but `natural` and `random` need a profile",
            ),
            (
                "steps",
                "swaps that an annealing run tries, or parts of orders that `exact` looks at, per tile",
            ),
            ("runs", "annealing runs from the same start, side by side; the best is kept"),
            (
                "cycles",
                "most conversion cycles that annealing may use, as a multiple of the natural order's",
            ),
            ("seed", "tells random orders and annealing runs apart"),
            ("matrices", "names of the matrices to reorder; `[]`: the last, `[\"*\"]`: all"),
            (
                "samples",
                "samples of the profile to look at, at most: those most damaged in natural order",
            ),
            guard::HELP[0],
            guard::HELP[1],
            guard::HELP[2],
        ],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        if !matches!(self.method, ReorderMethod::Natural | ReorderMethod::Random) {
            refuse_levels(self.method.what(), mapping)?;
        }
        let Profiled { tiles, profile } = Profiled::new(&self.matrices, mapping, context)?;
        let seed = context.seed.site("passes/reorder").index(self.seed);
        let mut statistics = Statistics::default();
        for (done, &index) in tiles.iter().enumerate() {
            let of = &mapping.matrices[mapping.tiles[index].matrix.index()];
            if self.method == ReorderMethod::Exact && of.weight_bits > 1 {
                let (matrix, bits) = (of.name.clone(), of.weight_bits);
                return Err(PassError::Slices { matrix, bits });
            }
            let scanned = Scanned::new(&mapping.tiles[index], profile, mapping, context)?;
            let guard = self.guard();
            let Split { seen, held } = guard.split(&scanned, context);
            let (tile, whole) = (&*scanned.tile, scanned.damage_on(&seen, context));
            let natural = rules::natural(tile);
            let focus =
                whole.as_ref().map(|whole| whole.clone().focus(&natural, self.samples.get()));
            let task = Task {
                tile,
                name: self.method.name(),
                whole: whole.as_ref(),
                focus: focus.as_ref(),
                cycles: self.cycles.max(1.0),
                seed: seed.index(index as u64),
                progress: &|of_tile, all| {
                    (context.progress)(done as u64 * all + of_tile, tiles.len() as u64 * all);
                },
            };
            let Found { mut order, bound } = self.method(self.method).find(&task)?;
            let found = task.found();
            if let Some(whole) = &whole {
                let name = &mapping.matrices[tile.matrix.index()].name;
                let name = format!("{name}, t{index}");
                let ways = [&natural, &order].map(|order| tile.with_order(order));
                let ways = ways.map(|tile| scanned.with_tile(tile));
                let mut judged = Statistics::default();
                let takes = |judged: &mut _| {
                    guard.takes([&ways[0], &ways[1]], &held, context, &name, judged)
                };
                if self.method.searches() && !takes(&mut judged) {
                    let line = format!("{} of the order that is not taken ({name})", whole.unit());
                    judged = judged.found(line, whole.of(&order).damage);
                    order = natural;
                }
                let (before, after) = (whole.of(&found), whole.of(&order));
                let line = format!("{} ({name})", whole.unit());
                statistics = statistics.changed(line, before.damage, after.damage);
                statistics.lines.extend(judged.lines);
                if whole.is_independent() {
                    let name = format!("conversions taken as independent (t{index})");
                    statistics = statistics.found(name, 1.0);
                }
                let name = format!("conversion cycles a sample (t{index})");
                statistics = statistics.changed(name, before.cycles, after.cycles);
            }
            if let Some((best, bound)) = bound {
                statistics = statistics
                    .found(format!("lower bound (t{index})"), bound)
                    .found(format!("optimality gap, % (t{index})"), 100.0 * (best / bound - 1.0));
            }
            mapping.tiles[index] = mapping.tiles[index].with_order(&scanned.entries(&order));
        }
        Ok(statistics)
    }
}

impl ReorderRows {
    fn guard(&self) -> Guard {
        // What a rule gives is not fitted to samples, and not judged.
        let held_back = if self.method.searches() { self.held_back } else { 0 };
        Guard { held_back, chips: self.chips.get(), sure: self.sure }
    }

    fn method(&self, method: ReorderMethod) -> Box<dyn Method> {
        match method {
            ReorderMethod::Anneal => {
                Box::new(Anneal { runs: self.runs.get().into(), steps: self.steps })
            }
            ReorderMethod::Exact => Box::new(Exact { steps: self.steps }),
            ReorderMethod::Natural => Box::new(Rule(|task| Ok(rules::natural(task.tile)))),
            ReorderMethod::Random => Box::new(Rule(|task| Ok(rules::random(task.tile, task.seed)))),
            ReorderMethod::Frequency => {
                Box::new(Rule(|task| Ok(rules::frequency(task.tile, &task.whole()?.activity()))))
            }
            ReorderMethod::Chain => {
                Box::new(Rule(|task| Ok(rules::chain(task.tile, &task.whole()?.activity()))))
            }
        }
    }
}

/// A way to find an order.
trait Method {
    fn find(&self, task: &Task<'_>) -> Result<Found, PassError>;
}

/// A way without search.
struct Rule(fn(&Task<'_>) -> Result<Vec<usize>, PassError>);

impl Method for Rule {
    fn find(&self, task: &Task<'_>) -> Result<Found, PassError> {
        Ok(Found::of((self.0)(task)?))
    }
}

/// What a method is given.
struct Task<'a> {
    tile: &'a Tile,
    /// Name of the method.
    name: &'static str,
    /// The damage, if there is a profile, and what of it counts.
    whole: Option<&'a Damage<'a>>,
    focus: Option<&'a Damage<'a>>,
    /// Most conversion cycles, as a multiple of the natural order's.
    cycles: f64,
    seed: Seed,
    /// Is told (steps done, steps in all).
    progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// What a method found.
struct Found {
    /// The entry of the tile at every position.
    order: Vec<usize>,
    /// Its damage and what no order can do less than, if that is known.
    bound: Option<(f64, f64)>,
}

impl Found {
    fn of(order: Vec<usize>) -> Self {
        Self { order, bound: None }
    }
}

impl Task<'_> {
    /// The order of the tile as it is.
    fn found(&self) -> Vec<usize> {
        (0..self.tile.rows.len()).collect()
    }

    fn whole(&self) -> Result<&Damage<'_>, PassError> {
        self.whole.ok_or(PassError::NoProfile { method: self.name })
    }

    fn focus(&self) -> Result<&Damage<'_>, PassError> {
        self.focus.ok_or(PassError::NoProfile { method: self.name })
    }

    /// What a search may begin with: the orders of the rules, the natural one first, and the one
    /// found.
    fn starts(&self) -> Result<[Vec<usize>; 4], PassError> {
        let activity = self.whole()?.activity();
        let natural = rules::natural(self.tile);
        let frequency = rules::frequency(self.tile, &activity);
        Ok([natural, self.found(), frequency, rules::chain(self.tile, &activity)])
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use hafnia_cim::{CodeTable, MacroSpec};
    use hafnia_model::random::lenet5;

    use super::*;
    use crate::Statistics;
    use crate::tests::profile;

    /// LeNet-5 cut into tiles, its last matrix reordered on `threads` threads.
    fn reordered(pass: &ReorderRows, threads: usize) -> (Mapping, Statistics) {
        let network = lenet5(Seed(1));
        let mut spec = MacroSpec::preset("gt-n40").unwrap();
        (spec.adc.offset_lsb, spec.cell.sigma_lrs_rel) = (0.2, 0.2);
        let profile = profile(Seed(1), &network, 200);
        let context = Context {
            network: &network,
            spec: &spec,
            profile: Some(&profile),
            code_table: &CodeTable::from_spec(&spec),
            seed: Seed(1),
            progress: &|_, _| {},
        };
        let mut mapping = Mapping::logical(&network, &spec).unwrap();
        mapping.stage = Stage::Tiled;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let statistics = pool.install(|| Pass::run(pass, &mut mapping, &context)).unwrap();
        (mapping, statistics)
    }

    fn damage(pass: &ReorderRows) -> f64 {
        reordered(pass, 1).1.lines[0].after
    }

    #[test]
    fn annealing_is_better_than_every_rule_and_repeatable() {
        let anneal = ReorderRows { steps: 300, held_back: 0, ..ReorderRows::default() };
        let (mapping, statistics) = reordered(&anneal, 1);
        expect![[r#"
            expected flips a sample (fc3, t4): 0.2813 -> 0.2545 (-9.5 %)
            conversion cycles a sample (t4): 6.820 -> 6.820 (+0.0 %)
        "#]]
        .assert_eq(&statistics.to_string());
        assert_eq!(reordered(&anneal, 2), (mapping.clone(), statistics.clone()));
        let annealed = statistics.lines[0].after;
        let rules = [
            ReorderMethod::Natural,
            ReorderMethod::Frequency,
            ReorderMethod::Chain,
            ReorderMethod::Random,
        ];
        for method in rules {
            let other = ReorderRows { method, ..anneal.clone() };
            assert!(annealed < damage(&other), "{method:?}");
        }
        let other = ReorderRows { seed: 1, ..anneal };
        assert_ne!(reordered(&other, 1).0, mapping);
    }

    #[test]
    fn annealing_is_near_the_optimum() {
        let mut spec = MacroSpec::preset("gt-n40").unwrap();
        (spec.adc.offset_lsb, spec.cell.sigma_lrs_rel) = (0.2, 0.2);
        for rows in [8, 16] {
            for gap in anneal_gaps(&spec, Seed(1), 20, rows, 1_000_000).unwrap() {
                assert_eq!(gap.best, gap.bound, "not closed");
                assert!((0.0..=0.02).contains(&(gap.relative() + 1e-12)), "{gap:?}");
            }
        }
    }

    #[test]
    fn without_steps_the_best_rule_is_left() {
        let none = damage(&ReorderRows { steps: 0, held_back: 0, ..ReorderRows::default() });
        let rules = [ReorderMethod::Natural, ReorderMethod::Frequency, ReorderMethod::Chain];
        let best = rules
            .map(|method| damage(&ReorderRows { method, held_back: 0, ..ReorderRows::default() }));
        assert_eq!(none, best.into_iter().fold(f64::INFINITY, f64::min));
    }

    #[test]
    fn the_natural_order_comes_back() {
        let natural = ReorderRows { method: ReorderMethod::Natural, ..ReorderRows::default() };
        let (mapping, _) = reordered(&natural, 1);
        assert!(mapping.tiles[4].rows.logical().is_sorted());
        let random = ReorderRows { method: ReorderMethod::Random, ..ReorderRows::default() };
        let (mapping, _) = reordered(&random, 1);
        assert!(!mapping.tiles[4].rows.logical().is_sorted());
        assert!(mapping.tiles[3].rows.logical().is_sorted(), "only the last matrix");
    }
}
