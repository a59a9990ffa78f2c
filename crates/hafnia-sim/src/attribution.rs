//! [`Run::attribute`]: where the errors of a mapped network arise, by layer, column and partial sum.
//!
//! Every matrix is given what reaches it in the noiseless network, so that the errors of a layer are
//! its own and not those of the layers before. All counts and sums are whole numbers: the result
//! depends on no order of images and on no number of threads.

use std::sync::atomic::{AtomicU64, Ordering};

use hafnia_model::{Multiply, ReferenceProduct, run_from};
use rayon::prelude::*;

use crate::engine::{Conversion, Engine};
use crate::error::SimError;
use crate::mapped::Mapped;
use crate::programmed::Programmed;
use crate::run::{AnyEngine, Engines, Progress, Run};

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

impl Run<'_> {
    /// Where errors arise over the first `images` images, conversion by conversion.
    ///
    /// Matrices outside the scope are left out.
    ///
    /// # Errors
    /// As [`Run::on`], and if there are fewer images or none are wanted.
    pub fn attribute(
        &self,
        engines: &Engines<'_>,
        images: usize,
    ) -> Result<Vec<LayerErrors>, SimError> {
        let programmed = self.programmed;
        let (available, spec) = (programmed.reference.images(), programmed.spec);
        if !(1..=available).contains(&images) {
            return Err(SimError::Sample { wanted: images, available });
        }
        let trial = Trial {
            programmed,
            images,
            codes: spec.adc.max_code() + 1,
            most: spec.rows_per_conversion * spec.cell.top_level(),
            total: self.rounds(engines) * images as u64,
            done: AtomicU64::new(0),
            progress: self.progress,
        };
        let counts = self.each(engines, |engine| trial.run(engine))?;
        let counts = counts.into_iter().reduce(ErrorCounts::plus).expect("there is a chip");
        Ok(trial.layers(&counts))
    }
}

/// What all chips share.
struct Trial<'a> {
    programmed: &'a Programmed<'a>,
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
struct ErrorCounts {
    /// (matrix, column).
    columns: Vec<Vec<Sums>>,
    /// (matrix, ones): conversions, and those whose code is not the number of ones.
    codes: Vec<u64>,
}

/// Sums over the products of a column: how many, the products, their squares, the errors, theirs.
#[derive(Debug, Clone, Copy, Default)]
struct Sums([i64; 5]);

impl ErrorCounts {
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
    fn run(&self, engine: AnyEngine<'_>) -> ErrorCounts {
        let Programmed { reference, in_scope, plan, .. } = self.programmed;
        let (network, matrices) = (reference.network, reference.network.matrices());
        let counts = 2 * matrices.len() * (self.most + 1);
        let counting = Counting {
            engine,
            trial: self,
            counts: (0..counts).map(|_| AtomicU64::new(0)).collect(),
        };
        let run_block = |block: usize| {
            let columns = |matrix: &hafnia_model::MatrixLayer<'_>| matrix.weights.columns();
            let mut probe = Probe {
                in_scope,
                plain: reference.plain.clone(),
                mapped: Mapped::new(plan, &counting),
                columns: matrices.iter().map(|m| vec![Sums::default(); columns(m)]).collect(),
                noisy: Vec::new(),
            };
            let range = block * BLOCK..self.images.min((block + 1) * BLOCK);
            let (count, mut buffer) = (range.len() as u64, Vec::new());
            for image in range {
                probe.mapped.image = image as u32;
                let (first, reached) = self.programmed.begin(image, &mut buffer);
                run_from(network, first, reached, &mut probe);
            }
            let before = self.done.fetch_add(count, Ordering::Relaxed);
            (self.progress)(before + count, self.total);
            ErrorCounts { columns: probe.columns, codes: Vec::new() }
        };
        let blocks = (0..self.images.div_ceil(BLOCK)).into_par_iter().map(run_block);
        let mut counts = blocks.reduce_with(ErrorCounts::plus).expect("there are images");
        counts.codes = counting.counts.into_iter().map(AtomicU64::into_inner).collect();
        counts
    }

    fn layers(&self, counts: &ErrorCounts) -> Vec<LayerErrors> {
        let Programmed { reference, in_scope, .. } = self.programmed;
        let matrices = reference.network.matrices();
        let in_scope = matrices.iter().enumerate().filter(|(m, _)| in_scope[*m]);
        let of_ones = |(ones, counts): (usize, &[u64])| {
            let (conversions, errors) = (counts[0], counts[1]);
            let clipped = if ones < self.codes { 0 } else { conversions };
            CodeErrors { conversions, errors, clipped }
        };
        let layer = |(index, matrix): (usize, &hafnia_model::MatrixLayer<'_>)| {
            let length = 2 * (self.most + 1);
            let of_codes = &counts.codes[index * length..][..length];
            LayerErrors {
                matrix: index,
                layer: matrix.name.to_owned(),
                columns: counts.columns[index].iter().map(|sums| sums.errors()).collect(),
                codes: of_codes.chunks_exact(2).enumerate().map(of_ones).collect(),
            }
        };
        in_scope.map(layer).collect()
    }
}

/// Counts what an engine answers, by matrix and ones.
struct Counting<'a> {
    engine: AnyEngine<'a>,
    trial: &'a Trial<'a>,
    counts: Vec<AtomicU64>,
}

impl Engine for Counting<'_> {
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u16]) {
        self.engine.convert(conversion, codes);
        let Trial { programmed, most, .. } = self.trial;
        let matrix = programmed.mapping.tiles[conversion.tile.index()].matrix.index();
        for (&ones, &code) in conversion.ones.iter().zip(&*codes) {
            let at = 2 * (matrix * (most + 1) + usize::from(ones));
            self.counts[at].fetch_add(1, Ordering::Relaxed);
            self.counts[at + 1].fetch_add(u64::from(code != ones), Ordering::Relaxed);
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
