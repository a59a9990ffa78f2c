//! [`anneal_gaps`]: how far annealing ends from the best order, where that can be known.

use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Coding, Column, MatrixId, MatrixProfile, Planes, RowEntry, Tile};
use hafnia_model::{BitMatrix, Weights};
use hafnia_rng::Seed;
use rand::RngExt;

use super::{anneal, rules};
use crate::analysis::Answers;
use crate::analysis::Damage;
use crate::error::PassError;
use crate::passes::annealing::Annealing;

/// Outputs of a small tile, and samples of its inputs.
const COLUMNS: usize = 4;
const SAMPLES: usize = 30;

/// One small tile, ordered in two ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnnealGap {
    /// Expected flips per sample in the order that annealing found.
    pub annealed: f64,
    /// The same in the best order known.
    pub best: f64,
    /// What no order does less than: `best` if the search came to its end.
    pub bound: f64,
}

impl AnnealGap {
    /// The damage of the annealed order above the bound, relative to the bound.
    pub fn relative(&self) -> f64 {
        self.annealed / self.bound - 1.0
    }
}

/// Orders `cases` random tiles of `rows` rows, each by annealing and by branch and bound with `steps`
/// steps.
///
/// A tile is the last of a network: random weights, 4 classes, 30 samples of 2-bit activations of
/// which a third is 0, on the macro `spec`.
///
/// # Errors
/// [`PassError::NotExact`] for more than 16 rows, or if the macro scans in windows.
pub fn anneal_gaps(
    spec: &MacroSpec,
    seed: Seed,
    cases: u64,
    rows: usize,
    steps: u64,
) -> Result<Vec<AnnealGap>, PassError> {
    (0..cases).map(|case| gap(spec, seed.site("passes/gap").index(case), rows, steps)).collect()
}

fn gap(spec: &MacroSpec, seed: Seed, rows: usize, steps: u64) -> Result<AnnealGap, PassError> {
    let mut rng = seed.rng();
    let bits = BitMatrix::from_fn(rows, COLUMNS, |_, _| rng.random());
    let activation = |_| if rng.random_ratio(1, 3) { 0 } else { rng.random_range(1..=3) };
    let activations = (0..SAMPLES * rows).map(activation).collect();
    let profile = MatrixProfile { rows, bits: 2, activations };
    let entry = |row| RowEntry { logical: row, physical: row, negative: false };
    let tile = Tile {
        matrix: MatrixId(0),
        replica: 0,
        bits: bits.clone(),
        rows: (0..rows as u32).map(entry).collect(),
        columns: (0..COLUMNS as u32)
            .map(|column| Column { logical: column, inverted: false })
            .collect(),
        place: None,
        pre_add: false,
    };
    let noise = (spec, &CodeTable::from_spec(spec));
    let samples: Vec<usize> = (0..SAMPLES).collect();
    let last = Weights::from(bits);
    let codings = (&Coding::odd(1), &Planes::of_levels(2));
    let answers = Answers::plain(&last);
    let damage = Damage::new(&tile, (&profile, &samples), noise, Some(&answers), codings);
    let starts = rules::starts(&tile, &damage.activity());
    let start = rules::least(&damage, &starts);
    let tile = || PassError::NotExact { matrix: "random".to_owned() };
    let best = damage.optimum(&start, steps).ok_or_else(tile)?;
    let annealing = Annealing { runs: 1, steps: 1000, seed, progress: &|_, _| {} };
    let annealed = anneal::anneal(&damage, starts, 1.0, &annealing);
    Ok(AnnealGap { annealed: damage.of(&annealed).damage, best: best.damage, bound: best.bound })
}
