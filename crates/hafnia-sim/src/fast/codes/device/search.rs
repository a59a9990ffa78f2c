//! [`Search`]: codes, times the weights of their groups, and where they are left open.

use hafnia_simd::{LANES, Simd};

/// The weights of the groups of a vector: once, twice and four times.
pub(super) struct Weights<S: Simd>([S::I16; 3]);

impl<S: Simd> Weights<S> {
    #[inline(always)]
    pub(super) fn of_all(simd: S, weight: i16) -> Self {
        Self([simd.splat_i16(weight); 3])
    }

    #[inline(always)]
    pub(super) fn new<const GROUPS: usize>(simd: S, weights: &[i32; GROUPS]) -> Self {
        let weight = |group: usize| weights[group] as i16;
        let once = if GROUPS == 2 {
            simd.join([simd.splat_half(weight(0)), simd.splat_half(weight(1))])
        } else {
            let quarter = |group| simd.splat_quarter(weight(group));
            simd.join_quarters([quarter(0), quarter(1), quarter(2), quarter(3)])
        };
        let twice = simd.add_i16(once, once);
        Self([once, twice, simd.add_i16(twice, twice)])
    }
}

/// What all groups of a vector have in common.
#[inline(always)]
pub(super) fn repeated<S: Simd, const GROUPS: usize>(simd: S, lanes: &[i16; LANES]) -> S::I16 {
    if GROUPS == 2 {
        let half = simd.load_half(lanes);
        simd.join([half, half])
    } else {
        simd.join_quarters([simd.load_quarter(lanes.first_chunk().expect("a quarter")); 4])
    }
}

/// Thresholds, which ascend.
pub(super) trait Search<S: Simd, const GROUPS: usize> {
    /// How many of them the lower bound of a signal exceeds, times the weight of its group, and where
    /// the upper bound exceeds more.
    fn search(
        &self,
        simd: S,
        low: S::I16,
        high: S::I16,
        weights: &Weights<S>,
    ) -> (S::I16, S::Mask16);
}

/// Seven, searched in three steps.
pub(super) struct Seven<S: Simd>(pub(super) [S::I16; 7]);

impl<S: Simd, const GROUPS: usize> Search<S, GROUPS> for Seven<S> {
    #[inline(always)]
    fn search(
        &self,
        simd: S,
        low: S::I16,
        high: S::I16,
        weights: &Weights<S>,
    ) -> (S::I16, S::Mask16) {
        let ([t1, t2, t3, t4, t5, t6, t7], [once, twice, four_times]) = (self.0, weights.0);
        // `next` is the lowest threshold that is not exceeded, as far as is known.
        let four = simd.greater_i16(low, t4);
        let codes = simd.add_i16_where(four, simd.splat_i16(0), four_times);
        let next = simd.select_i16(four, simd.splat_i16(i16::MAX), t4);
        let middle = simd.select_i16(four, t6, t2);
        let two = simd.greater_i16(low, middle);
        let codes = simd.add_i16_where(two, codes, twice);
        let next = simd.select_i16(two, next, middle);
        let lower = simd.select_i16(two, t3, t1);
        let last = simd.select_i16(four, simd.select_i16(two, t7, t5), lower);
        let one = simd.greater_i16(low, last);
        let codes = simd.add_i16_where(one, codes, once);
        let next = simd.select_i16(one, next, last);
        (codes, simd.greater_i16(high, next))
    }
}

/// Any number, counted one by one.
pub(super) struct Any<'a>(pub(super) &'a [[i16; LANES]]);

impl<S: Simd, const GROUPS: usize> Search<S, GROUPS> for Any<'_> {
    #[inline(always)]
    fn search(
        &self,
        simd: S,
        low: S::I16,
        high: S::I16,
        weights: &Weights<S>,
    ) -> (S::I16, S::Mask16) {
        let (zero, one) = (simd.splat_i16(0), simd.splat_i16(1));
        let (mut codes, mut others) = (zero, zero);
        for threshold in self.0 {
            let threshold = repeated::<S, GROUPS>(simd, threshold);
            codes = simd.add_i16_where(simd.greater_i16(low, threshold), codes, one);
            others = simd.add_i16_where(simd.greater_i16(high, threshold), others, one);
        }
        (simd.mul_i16(codes, weights.0[0]), simd.greater_i16(others, codes))
    }
}
