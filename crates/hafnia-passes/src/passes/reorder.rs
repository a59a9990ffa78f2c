//! `reorder`: puts the rows of a tile into the order in which noise does the least damage.
//!
//! The input control gathers active rows in scan order, so the order decides which rows share a
//! conversion, and with that how many ones a conversion counts and how far its code is off. No
//! fixed rule is best under all noise: below about 0.2 LSB balanced partial sums win, above it
//! polarised ones. So the order is searched for, under the code table in use, on the activations
//! of training images: this is profile-guided optimisation. What is made small is the expected
//! damage; its definition and assumptions are in `analysis/damage.rs`.
//!
//! Methods:
//! - `anneal`, in three phases. The natural order, the order found, `frequency` and `chain` are
//!   compared, and the best starts. Some swaps are tried to learn the size of their changes, which
//!   sets the first temperature. Then two entries at a time are swapped, the temperature falling
//!   geometrically; the best order seen is kept. Several runs with draws of their own share the
//!   processors, and the best of them is taken. A swap that by the most damaged samples is almost
//!   surely refused is not worked out for the others.
//! - `exact`: branch and bound, for up to 16 rows that are neither shared nor negative, in one scan
//!   window: the order of least damage and the proof, or a lower bound if the steps do not suffice. It
//!   does not look at `cycles`. How is in `analysis/damage/optimum.rs`, why no more in
//!   `docs/decisions/0011-exact.md`.
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
//! A search is bounded in steps, never in seconds, and finds the same order on any number of
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
mod gap;
mod rules;

use std::num::{NonZeroU32, NonZeroUsize};

use hafnia_ir::{Mapping, Stage, Tile};
use serde::{Deserialize, Serialize};

pub use self::gap::{AnnealGap, anneal_gaps};
use crate::analysis::{Damage, Optimum, Profiled, Scanned, refuse_unknown_errors};
use crate::error::PassError;
use crate::options::{at_least_one, at_least_zero};
use crate::pass::{Context, Pass, PassInfo};
use crate::passes::annealing::Annealing;
use crate::passes::guard::{self, Guard, Split};
use crate::statistics::Statistics;

/// The pass `reorder`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReorderRows {
    /// How the order is found.
    pub method: ReorderMethod,
    /// Swaps that an annealing run tries, or ends of orders that `exact` looks at, per tile.
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
    /// Whether what it finds is fitted to samples.
    fn searches(self) -> bool {
        matches!(self, Self::Anneal | Self::Exact)
    }

    /// Its name, as messages call it.
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

impl Pass for ReorderRows {
    const INFO: PassInfo = PassInfo {
        name: "reorder",
        summary: "Puts rows into the order in which noise does the least damage.",
        takes: &[Stage::Tiled, Stage::Placed],
        leaves: None,
        options: &[
            (
                "method",
                "`anneal`: search by simulated annealing; `natural`: by logical row; `random`; `frequency`: most active rows first; `chain`: each row by the one most active with it and most alike; `exact`: the best order, by branch and bound, for up to 16 rows that are not shared. All but `natural` and `random` need a profile",
            ),
            (
                "steps",
                "swaps that an annealing run tries, or ends of orders that `exact` looks at, per tile",
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
            refuse_unknown_errors(self.method.what(), mapping, context)?;
        }
        let Profiled { tiles, profile } = Profiled::new(&self.matrices, mapping, context)?;
        let seed = context.seed.site("passes/reorder").index(self.seed);
        let mut statistics = Statistics::default();
        for (done, &index) in tiles.iter().enumerate() {
            let scanned = Scanned::new(&mapping.tiles[index], profile, mapping, context)?;
            let guard = self.guard();
            let Split { seen, held } = guard.split(&scanned, context);
            let (tile, whole) = (&*scanned.tile, scanned.damage_on(&seen, context));
            let natural = rules::natural(tile);
            let annealing = Annealing {
                runs: self.runs.get().into(),
                steps: self.steps,
                seed: seed.index(index as u64),
                progress: &|of_tile, all| {
                    (context.progress)(done as u64 * all + of_tile, tiles.len() as u64 * all);
                },
            };
            let name = &mapping.matrices[tile.matrix.index()].name;
            let (mut order, optimum) = self.find(tile, name, whole.as_ref(), &annealing)?;
            let found: Vec<usize> = (0..tile.rows.len()).collect();
            if let Some(whole) = &whole {
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
            if let Some(Optimum { damage, bound, .. }) = optimum {
                let gap = 100.0 * (damage / bound - 1.0);
                statistics = statistics
                    .found(format!("lower bound (t{index})"), bound)
                    .found(format!("optimality gap, % (t{index})"), gap);
            }
            mapping.tiles[index] = mapping.tiles[index].with_order(&scanned.entries(&order));
        }
        Ok(statistics)
    }
}

impl ReorderRows {
    fn guard(&self) -> Guard {
        // An order by a rule is not fitted to samples, and not judged.
        let held_back = if self.method.searches() { self.held_back } else { 0 };
        Guard { held_back, chips: self.chips.get(), sure: self.sure }
    }

    /// The order that the method finds for a tile of `matrix`, and what a search by bounds proves of it.
    fn find(
        &self,
        tile: &Tile,
        matrix: &str,
        damage: Option<&Damage<'_>>,
        annealing: &Annealing<'_>,
    ) -> Result<(Vec<usize>, Option<Optimum>), PassError> {
        let damage = || damage.ok_or(PassError::NoProfile { what: self.method.what() });
        let focus = || {
            let whole = damage()?.clone();
            Ok::<_, PassError>(whole.focus(&rules::natural(tile), self.samples.get()))
        };
        let order = match self.method {
            ReorderMethod::Natural => rules::natural(tile),
            ReorderMethod::Random => rules::random(tile, annealing.seed),
            ReorderMethod::Frequency => rules::frequency(tile, &damage()?.activity()),
            ReorderMethod::Chain => rules::chain(tile, &damage()?.activity()),
            ReorderMethod::Anneal => {
                let starts = rules::starts(tile, &damage()?.activity());
                anneal::anneal(&focus()?, starts, self.cycles, annealing)
            }
            ReorderMethod::Exact => {
                let starts = rules::starts(tile, &damage()?.activity());
                let focus = focus()?;
                let optimum = focus.optimum(&rules::least(&focus, &starts), self.steps);
                let not = || PassError::NotExact { matrix: matrix.to_owned() };
                let optimum = optimum.ok_or_else(not)?;
                return Ok((optimum.order.clone(), Some(optimum)));
            }
        };
        Ok((order, None))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use hafnia_cim::{CodeTable, MacroSpec};
    use hafnia_model::random::lenet5;
    use hafnia_rng::Seed;

    use super::*;
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
        let mut mapping = Mapping::logical(&network, &spec);
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
