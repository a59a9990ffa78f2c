//! [`attribute`]: where the errors of a mapped network arise, by layer, column and partial sum.
//!
//! Every matrix is given what reaches it in the noiseless network, so that the errors of a layer are
//! its own and not those of the layers before. All counts and sums are whole numbers: the result
//! depends on no order of images and on no number of threads.

use std::sync::atomic::{AtomicU64, Ordering};

use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::Mapping;
use hafnia_model::{Multiply, ReferenceProduct, run_from};
use hafnia_rng::Seed;
use rayon::prelude::*;

use crate::{
    Chip, Conversion, Device, Engine, EngineKind, Exact, Mapped, Plan, Prepared, Progress,
    SimError, Table,
};

/// The errors of a matrix that runs on the macro.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerErrors {
    /// Index of the matrix.
    pub matrix: usize,
    /// Name of its layer.
    pub layer: String,
    /// By column of the matrix.
    pub columns: Vec<ColumnErrors>,
    /// By partial sum: what conversions with 0, 1, … ones answered.
    pub codes: Vec<CodeErrors>,
}

/// The products of a column over images, positions and chips, and their errors.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ColumnErrors {
    /// Products.
    pub products: u64,
    /// Variance of the exact products.
    pub signal_variance: f64,
    /// Mean error of a product.
    pub error_mean: f64,
    /// Mean square of the error.
    pub error_square: f64,
}

impl ColumnErrors {
    /// Signal-to-noise ratio in dB: the variance of the exact products over the mean square of the
    /// errors; infinite without errors, and none if neither varies.
    pub fn snr_db(&self) -> Option<f64> {
        let varies = self.signal_variance > 0.0 || self.error_square > 0.0;
        varies.then(|| 10.0 * (self.signal_variance / self.error_square).log10())
    }
}

/// What conversions with a number of ones answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CodeErrors {
    /// Conversions.
    pub conversions: u64,
    /// Those whose code is not the number of ones.
    pub errors: u64,
    /// Those whose ones are more than the largest code.
    pub clipped: u64,
}

/// Images of one unit of work.
const BLOCK: usize = 16;

/// Runs the first `images` images of `prepared` on `chips` chips, conversion by conversion.
///
/// Chips and repetitions are those of [`evaluate`](crate::evaluate). Matrices outside the scope are
/// left out. `progress` is told of (chip, image) pairs.
///
/// # Errors
/// As [`evaluate`](crate::evaluate), and if there are fewer images or none are wanted.
#[expect(clippy::too_many_arguments, reason = "as `evaluate`, and how many images")]
pub fn attribute(
    prepared: &Prepared<'_>,
    mapping: &Mapping,
    spec: &MacroSpec,
    engine: EngineKind,
    chips: u32,
    images: usize,
    seed: Seed,
    progress: Progress<'_>,
) -> Result<Vec<LayerErrors>, SimError> {
    if chips == 0 {
        return Err(SimError::NoChips);
    }
    let available = prepared.images();
    if !(1..=available).contains(&images) {
        return Err(SimError::Sample { wanted: images, available });
    }
    let plan = Plan::new(prepared.network, mapping, spec)?;
    let trial = Trial {
        prepared,
        mapping,
        plan: &plan,
        images,
        codes: spec.adc.max_code() + 1,
        most: spec.rows_per_conversion * spec.cell.top_level(),
        total: u64::from(chips) * images as u64,
        done: AtomicU64::new(0),
        progress,
    };
    let numbers = 0..u64::from(chips);
    let tallies: Vec<Tally> = match engine {
        EngineKind::Exact => vec![trial.run(&Exact::new(spec))],
        EngineKind::Table => {
            spec.check_table().map_err(|error| SimError::Spec(Box::new(error)))?;
            let (table, tiles) = (CodeTable::from_spec(spec), mapping.tiles.len());
            let run = |number| trial.run(&Table::new(&table, spec, tiles, seed, number));
            numbers.into_par_iter().map(run).collect()
        }
        EngineKind::Device => {
            // One checks the mapping for all.
            let first = Chip::program(mapping, spec, seed, 0)?;
            let run = |number| match number {
                0 => trial.run(&Device::new(&first, spec, seed)),
                _ => {
                    let chip = Chip::program_checked(mapping, spec, seed, number);
                    trial.run(&Device::new(&chip, spec, seed))
                }
            };
            numbers.into_par_iter().map(run).collect()
        }
    };
    let tally = tallies.into_iter().reduce(Tally::plus).expect("there is a chip");
    Ok(trial.layers(&tally))
}

/// What all chips share.
struct Trial<'a> {
    prepared: &'a Prepared<'a>,
    mapping: &'a Mapping,
    plan: &'a Plan,
    images: usize,
    /// Codes of the converter.
    codes: usize,
    /// Most rows in a conversion.
    most: usize,
    /// (chip, image) pairs, all and done.
    total: u64,
    done: AtomicU64,
    progress: Progress<'a>,
}

/// What was counted.
#[derive(Debug, Clone, Default)]
struct Tally {
    /// (matrix, column).
    columns: Vec<Vec<Sums>>,
    /// (matrix, ones, code).
    codes: Vec<u64>,
}

/// Sums over the products of a column: how many, the products, their squares, the errors, theirs.
#[derive(Debug, Clone, Copy, Default)]
struct Sums([i64; 5]);

impl Tally {
    fn plus(mut self, other: Self) -> Self {
        let columns = self.columns.iter_mut().flatten().zip(other.columns.iter().flatten());
        columns.for_each(|(sums, more)| sums.add(more.0));
        self.codes.iter_mut().zip(other.codes).for_each(|(count, more)| *count += more);
        self
    }
}

impl Sums {
    fn add(&mut self, more: [i64; 5]) {
        self.0.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }

    fn errors(self) -> ColumnErrors {
        let [products, signal, signal_square, error, error_square] = self.0;
        if products == 0 {
            return ColumnErrors::default();
        }
        let mean = |sum: i64| sum as f64 / products as f64;
        ColumnErrors {
            products: products as u64,
            signal_variance: (mean(signal_square) - mean(signal).powi(2)).max(0.0),
            error_mean: mean(error),
            error_square: mean(error_square),
        }
    }
}

impl Trial<'_> {
    /// One chip, over all images.
    fn run(&self, engine: &impl Engine) -> Tally {
        let Prepared { network, first, .. } = self.prepared;
        let matrices = network.matrices();
        let counts = matrices.len() * (self.most + 1) * self.codes;
        let counting = Counting {
            engine,
            trial: self,
            counts: (0..counts).map(|_| AtomicU64::new(0)).collect(),
        };
        let run_block = |block: usize| {
            let columns = |matrix: &hafnia_model::MatrixLayer<'_>| matrix.weights.columns();
            let mut probe = Probe {
                in_scope: &self.prepared.in_scope,
                plain: self.prepared.plain.clone(),
                mapped: Mapped::new(self.plan, &counting),
                columns: matrices.iter().map(|m| vec![Sums::default(); columns(m)]).collect(),
                noisy: Vec::new(),
            };
            let range = block * BLOCK..self.images.min((block + 1) * BLOCK);
            let count = range.len() as u64;
            for image in range {
                probe.mapped.image = image as u32;
                run_from(network, *first, self.prepared.reached(image), &mut probe);
            }
            let before = self.done.fetch_add(count, Ordering::Relaxed);
            (self.progress)(before + count, self.total);
            Tally { columns: probe.columns, codes: Vec::new() }
        };
        let blocks = (0..self.images.div_ceil(BLOCK)).into_par_iter().map(run_block);
        let mut tally = blocks.reduce_with(Tally::plus).expect("there are images");
        tally.codes = counting.counts.into_iter().map(AtomicU64::into_inner).collect();
        tally
    }

    fn layers(&self, tally: &Tally) -> Vec<LayerErrors> {
        let matrices = self.prepared.network.matrices();
        let in_scope = matrices.iter().enumerate().filter(|(m, _)| self.prepared.in_scope[*m]);
        let of_ones = |(ones, counts): (usize, &[u64])| {
            let conversions = counts.iter().sum();
            CodeErrors {
                conversions,
                errors: conversions - counts.get(ones).copied().unwrap_or(0),
                clipped: if ones < self.codes { 0 } else { conversions },
            }
        };
        let layer = |(index, matrix): (usize, &hafnia_model::MatrixLayer<'_>)| {
            let length = (self.most + 1) * self.codes;
            let counts = &tally.codes[index * length..][..length];
            LayerErrors {
                matrix: index,
                layer: matrix.name.to_owned(),
                columns: tally.columns[index].iter().map(|sums| sums.errors()).collect(),
                codes: counts.chunks_exact(self.codes).enumerate().map(of_ones).collect(),
            }
        };
        in_scope.map(layer).collect()
    }
}

/// Counts what an engine answers, by matrix, ones and code.
struct Counting<'a, E> {
    engine: &'a E,
    trial: &'a Trial<'a>,
    counts: Vec<AtomicU64>,
}

impl<E: Engine> Engine for Counting<'_, E> {
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u8]) {
        self.engine.convert(conversion, codes);
        let Trial { mapping, most, codes: of, .. } = self.trial;
        let matrix = mapping.tiles[conversion.tile.index()].matrix.index();
        for (&ones, &code) in conversion.ones.iter().zip(&*codes) {
            let at = (matrix * (most + 1) + usize::from(ones)) * of + usize::from(code);
            self.counts[at].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Multiplies plainly, and on the macro beside it.
struct Probe<'a, E> {
    in_scope: &'a [bool],
    plain: ReferenceProduct,
    mapped: Mapped<'a, E>,
    columns: Vec<Vec<Sums>>,
    noisy: Vec<i32>,
}

impl<E: Engine> Multiply for Probe<'_, E> {
    fn multiply(&mut self, matrix: usize, position: usize, activations: &[u8], sums: &mut [i32]) {
        self.plain.multiply(matrix, position, activations, sums);
        if !self.in_scope[matrix] {
            return;
        }
        self.noisy.clear();
        self.noisy.resize(sums.len(), 0);
        self.mapped.multiply(matrix, position, activations, &mut self.noisy);
        for ((column, &sum), &noisy) in self.columns[matrix].iter_mut().zip(&*sums).zip(&self.noisy)
        {
            let (sum, error) = (i64::from(sum), i64::from(noisy - sum));
            column.add([1, sum, sum * sum, error, error * error]);
        }
    }
}
