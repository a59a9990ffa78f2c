//! [`Gradients`]: loss and derivatives of a batch, summed over its images in a fixed order.

use std::sync::Arc;

use rayon::prelude::*;

use crate::images::{SHARD, reduce};
use crate::loss::{Judge, Verdict};
use crate::net::{Derivatives, Net, Parameters, PerParameter};
use crate::noise::Suffered;

/// Loss and derivatives, summed over images.
#[derive(Debug, Clone)]
pub(crate) struct Gradients {
    pub(crate) verdict: Verdict,
    pub(crate) by_parameters: PerParameter,
    /// By the cuts of the input; all 0 if they are not learned.
    pub(crate) by_cuts: Vec<f32>,
}

/// Images of a shard, with the cuts by which the network takes them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reduced<'a> {
    pub(crate) pixels: &'a [u8],
    pub(crate) cuts: &'a [u8],
    pub(crate) labels: &'a [u32],
}

impl Gradients {
    /// The sum over a batch's shards, in their order; they are numbered.
    pub(crate) fn of_batch(
        batch: &[usize],
        of_shard: impl Fn(usize, &[usize]) -> Self + Send + Sync,
    ) -> Self {
        let shards = batch.par_chunks(SHARD).enumerate();
        let shards: Vec<Self> = shards.map(|(i, shard)| of_shard(i, shard)).collect();
        shards.into_iter().reduce(Self::plus).expect("a batch has images")
    }

    /// Those of activations that suffer these errors, `by_cuts` left out; and the derivatives by the
    /// activations, if the network learns its cuts.
    pub(crate) fn of_activations(
        net: &Net,
        parameters: &Parameters,
        activations: Vec<f32>,
        labels: &[u32],
        suffered: &Arc<Suffered>,
        judge: Judge<'_>,
    ) -> (Self, Option<Vec<f32>>) {
        let mut verdict = Verdict::default();
        let Derivatives { by_parameters, by_images } =
            net.gradients(parameters, activations, suffered, |outputs| {
                verdict = judge.verdict(outputs, labels);
                std::mem::take(&mut verdict.by_outputs)
            });
        (Self { verdict, by_parameters, by_cuts: Vec::new() }, by_images)
    }

    /// Those of images as a network takes them.
    pub(crate) fn of_images(
        net: &Net,
        parameters: &Parameters,
        images: Reduced<'_>,
        suffered: &Arc<Suffered>,
        judge: Judge<'_>,
    ) -> Self {
        let Reduced { pixels, cuts, labels } = images;
        let activations = reduce(pixels, cuts);
        let (gradients, by_images) =
            Self::of_activations(net, parameters, activations, labels, suffered, judge);
        let by_cuts = match by_images {
            Some(by_images) => by_cuts(pixels, cuts, &by_images),
            None => vec![0.0; cuts.len()],
        };
        Self { by_cuts, ..gradients }
    }

    /// All derivatives but that by the scale.
    pub(crate) fn derivatives(&mut self) -> impl Iterator<Item = &mut Vec<f32>> {
        let PerParameter { weights, slopes } = &mut self.by_parameters;
        weights.iter_mut().chain(slopes).chain([&mut self.by_cuts])
    }

    fn plus(mut self, mut other: Self) -> Self {
        self.verdict.loss += other.verdict.loss;
        self.verdict.hits += other.verdict.hits;
        self.verdict.by_scale += other.verdict.by_scale;
        for (sums, terms) in self.derivatives().zip(other.derivatives()) {
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += *term);
        }
        self
    }
}

/// Derivatives by the cuts from those by the activations: a cut that rises takes 1 from the pixels
/// that it passes, as if the step there were a slope as wide as the way to the next cuts.
fn by_cuts(pixels: &[u8], cuts: &[u8], by_images: &[f32]) -> Vec<f32> {
    let at = |index: usize| f32::from(cuts[index]);
    let slope = |index: usize| {
        let from = if index == 0 { 0.0 } else { at(index - 1) };
        let to = if index + 1 == cuts.len() { 256.0 } else { at(index + 1) };
        ((from + at(index)) / 2.0, (at(index) + to) / 2.0)
    };
    let mut by_cuts = Vec::with_capacity(cuts.len());
    for (from, to) in (0..cuts.len()).map(slope) {
        let is_near = |&(&pixel, _): &(&u8, &f32)| (from..to).contains(&f32::from(pixel));
        let sum: f32 = pixels.iter().zip(by_images).filter(is_near).map(|(_, by)| by).sum();
        by_cuts.push(-sum / (to - from));
    }
    by_cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cut that rises takes activation from the pixels that it passes: those nearer to it than to
    /// the next cuts count, over the width of that range.
    #[test]
    fn derivatives_by_cuts_are_those_of_the_pixels_near_them() {
        let cuts = [100, 200];
        let pixels = [0, 49, 50, 149, 150, 227, 228];
        let by_images = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
        // Of cut 100 that is 50..150, of cut 200 it is 150..228.
        assert_eq!(by_cuts(&pixels, &cuts, &by_images), [-12.0 / 100.0, -48.0 / 78.0]);
    }
}
