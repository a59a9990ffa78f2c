//! The arithmetic of a block on the processor: product, pool and quantiser, forward and back.
//!
//! A block is a convolution with its pool window, a linear layer or a sum over windows of pixels, and
//! the quantiser after it. They are loops over vectors of floats, compiled for several instruction sets; the widest that the
//! processor has is chosen when the program runs. Every sum has one order, fused multiply-adds
//! included, so that the choice changes no bit of a result.
//!
//! **Forward**, sums are whole numbers below 2²⁴ and exact.
//!
//! **Back**, a gradient reaches a sum only if it won its pool window and its activation was not
//! clamped: of a 2×2 window at most one of four sums, and not all of those. They are listed, and only
//! they are worked on.

mod average;
mod conv;
mod linear;
mod shape;

use hafnia_simd::{Isa, Kernel, Simd};

use crate::noise::Disturbance;
pub(crate) use shape::{Operands, Shape, Sums};

/// The sums of a block, pooled.
pub(crate) fn forward(operands: Operands<'_>, disturbance: Option<Disturbance<'_>>) -> Sums {
    Isa::chosen().run(Forward { operands, disturbance })
}

#[derive(Clone, Copy)]
struct Forward<'a> {
    operands: Operands<'a>,
    disturbance: Option<Disturbance<'a>>,
}

impl Kernel for Forward<'_> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Sums {
        let Self { operands, disturbance } = self;
        match operands.shape.average {
            Some(_) => average::forward(operands),
            None if operands.shape.is_linear() => {
                linear::forward(simd.floats(), operands, disturbance)
            }
            None => conv::forward(simd.floats(), operands, disturbance),
        }
    }
}

/// Derivatives by the weights and, where wanted, by the input, from those by the pooled sums; `place`
/// is that of [`Sums`].
pub(crate) fn backward(
    operands: Operands<'_>,
    place: &[u8],
    by_sums: &[f32],
    wants_input: bool,
) -> (Vec<f32>, Option<Vec<f32>>) {
    Isa::chosen().run(Backward { operands, place, by_sums, wants_input })
}

#[derive(Clone, Copy)]
struct Backward<'a> {
    operands: Operands<'a>,
    place: &'a [u8],
    by_sums: &'a [f32],
    wants_input: bool,
}

impl Kernel for Backward<'_> {
    type Output = (Vec<f32>, Option<Vec<f32>>);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let Self { operands, place, by_sums, wants_input } = self;
        match operands.shape.average {
            Some(_) => (Vec::new(), wants_input.then(|| average::backward(operands, by_sums))),
            None if operands.shape.is_linear() => {
                linear::backward(simd.floats(), operands, by_sums, wants_input)
            }
            None => conv::backward(simd.floats(), operands, place, by_sums, wants_input),
        }
    }
}

#[cfg(test)]
mod tests {
    use hafnia_model::{Window, arithmetic};
    use hafnia_rng::Seed;
    use rand::RngExt;

    use super::*;
    use crate::config::Noise;
    use crate::noise::{Errors, On};

    /// Convolutions, some with steps, linear layers of awkward widths, and windows that overlap the
    /// padding.
    const SHAPES: [Shape; 9] = [
        Shape { padding: 2, pool: 2, ..Shape::conv([1, 28, 28], 6, 5) },
        Shape { pool: 2, ..Shape::conv([6, 14, 14], 16, 5) },
        Shape { padding: 1, ..Shape::conv([3, 7, 11], 19, 3) },
        Shape { padding: 3, pool: 3, ..Shape::conv([2, 9, 9], 5, 4) },
        Shape { padding: 1, stride: 2, ..Shape::conv([5, 14, 11], 18, 3) },
        Shape { stride: 3, pool: 2, ..Shape::conv([2, 13, 20], 7, 2) },
        Shape { stride: 2, ..Shape::conv([4, 8, 8], 9, 1) },
        Shape::conv([130, 1, 1], 84, 1),
        Shape::conv([9, 1, 1], 3, 1),
    ];

    /// Calls `visit(weight, feature, sum)`, all indices, for every product of an image.
    fn products(shape: &Shape, mut visit: impl FnMut(usize, usize, usize)) {
        let [channels, height, width] = shape.input;
        let [rows, columns] = shape.sums();
        for y in 0..rows {
            for x in 0..columns {
                for channel in 0..channels {
                    for ky in 0..shape.kernel {
                        for kx in 0..shape.kernel {
                            let row = (y * shape.stride + ky).wrapping_sub(shape.padding);
                            let column = (x * shape.stride + kx).wrapping_sub(shape.padding);
                            if row >= height || column >= width {
                                continue;
                            }
                            let feature = (channel * height + row) * width + column;
                            let weight = (channel * shape.kernel + ky) * shape.kernel + kx;
                            for output in 0..shape.outputs {
                                let sum = (output * rows + y) * columns + x;
                                visit(weight * shape.outputs + output, feature, sum);
                            }
                        }
                    }
                }
            }
        }
    }

    /// The index of the first largest sum of every pool window, (output, y, x).
    fn winners(shape: &Shape, sums: &[f32]) -> Vec<usize> {
        let ([rows, columns], [height, width]) = (shape.sums(), shape.pooled());
        let mut winners = Vec::new();
        for output in 0..shape.outputs {
            for y in 0..height {
                for x in 0..width {
                    let window = (0..shape.pool * shape.pool).map(|place| {
                        let (dy, dx) = (place / shape.pool, place % shape.pool);
                        (output * rows + y * shape.pool + dy) * columns + x * shape.pool + dx
                    });
                    let first_larger = |best, at| if sums[at] > sums[best] { at } else { best };
                    winners.push(window.reduce(first_larger).unwrap());
                }
            }
        }
        winners
    }

    #[test]
    fn sums_and_derivatives_are_those_of_plain_loops() {
        const IMAGES: usize = 3;
        let mut rng = Seed(5).site("test/kernels").rng();
        for shape in SHAPES {
            let weights: Vec<f32> = (0..shape.rows() * shape.outputs)
                .map(|_| if rng.random() { 1.0 } else { -1.0 })
                .collect();
            // The first image is sparse, the others are not.
            let sparse = |i| if i < shape.features_in() { 24 } else { 4 };
            let input: Vec<f32> = (0..IMAGES * shape.features_in())
                .map(|i| (rng.random_range(0..sparse(i)) % 22 % 7) as f32)
                .map(|activation| if activation > 3.0 { 0.0 } else { activation })
                .collect();
            // Eighths, so that sums are exact in any order; most are 0.
            let by_sums: Vec<f32> = (0..IMAGES * shape.features_out())
                .map(|_| (rng.random_range(-40..8i32).max(0) - 3).max(-1) as f32 / 8.0)
                .collect();
            let operands = Operands { shape: &shape, input: &input, weights: &weights };
            let sums = forward(operands, None);
            let (by_weights, by_input) = backward(operands, &sums.place, &by_sums, true);
            let (only_weights, none) = backward(operands, &sums.place, &by_sums, false);
            assert_eq!((only_weights, none), (by_weights.clone(), None));

            let mut expected_by_weights = vec![0.0; weights.len()];
            let mut expected_by_input = Vec::new();
            let mut largest = Vec::new();
            for image in 0..IMAGES {
                let input = &input[image * shape.features_in()..][..shape.features_in()];
                let by_sums = &by_sums[image * shape.features_out()..][..shape.features_out()];
                let [rows, columns] = shape.sums();
                let mut all = vec![0.0; shape.outputs * rows * columns];
                products(&shape, |weight, feature, sum| {
                    all[sum] += weights[weight] * input[feature]
                });
                let winners = winners(&shape, &all);
                largest.extend(winners.iter().map(|&winner| all[winner]));
                let mut by_all = vec![0.0; all.len()];
                winners.iter().zip(by_sums).for_each(|(&winner, &by)| by_all[winner] = by);
                let mut by_image = vec![0.0; input.len()];
                products(&shape, |weight, feature, sum| {
                    expected_by_weights[weight] += by_all[sum] * input[feature];
                    by_image[feature] += by_all[sum] * weights[weight];
                });
                expected_by_input.extend(by_image);
            }
            assert_eq!(sums.largest, largest, "{shape:?}");
            assert_eq!(by_weights, expected_by_weights, "{shape:?}");
            assert_eq!(by_input, Some(expected_by_input), "{shape:?}");
        }
    }

    /// Sums over windows are the reference's, and their derivatives those of a linear map.
    #[test]
    fn averages_are_sums_over_windows() {
        const IMAGES: usize = 2;
        let mut rng = Seed(5).site("test/kernels/average").rng();
        for (input, [rows, columns]) in
            [([4, 9, 11], [4, 5]), ([3, 7, 6], [7, 6]), ([2, 4, 4], [1, 1])]
        {
            let shape = Shape::average(input, [rows, columns]);
            let [channels, height, width] = input;
            let of = hafnia_model::Shape { channels, height, width };
            let window = Window {
                kernel: (rows, columns),
                stride: (rows, columns),
                ..Window::square(1, 1, 0)
            };
            let images: Vec<i32> =
                (0..IMAGES * of.len()).map(|_| rng.random_range(0..256)).collect();
            let expected: Vec<f32> = images
                .chunks_exact(of.len())
                .flat_map(|image| arithmetic::sum_pool(image, of, &window))
                .map(|sum| sum as f32)
                .collect();
            let images: Vec<f32> = images.into_iter().map(|value| value as f32).collect();
            let operands = Operands { shape: &shape, input: &images, weights: &[] };
            assert_eq!(forward(operands, None).largest, expected, "{shape:?}");
            let by_sums: Vec<f32> =
                expected.iter().map(|_| rng.random_range(-4..4) as f32).collect();
            let (none, by_input) = backward(operands, &[], &by_sums, true);
            assert!(none.is_empty());
            let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            assert_eq!(product(&by_input.unwrap(), &images), product(&by_sums, &expected));
        }
    }

    /// With float weights and derivatives rounding shows any other order of summation.
    #[test]
    fn vector_instructions_change_no_bit() {
        let mut rng = Seed(7).site("test/instructions").rng();
        for shape in SHAPES {
            let mut random = |count: usize| -> Vec<f32> {
                (0..count).map(|_| rng.random_range(-1.0f32..1.0).max(-0.5) + 0.5).collect()
            };
            let (input, weights) =
                (random(2 * shape.features_in()), random(shape.rows() * shape.outputs));
            let by_sums = random(2 * shape.features_out());
            let operands = Operands { shape: &shape, input: &input, weights: &weights };
            let forward = Forward { operands, disturbance: None };
            let all = Isa::all();
            let [portable, others @ ..] = &all[..] else { unreachable!() };
            let sums = portable.run(forward);
            let (place, by_sums) = (&sums.place[..], &by_sums[..]);
            let back = Backward { operands, place, by_sums, wants_input: true };
            for isa in others {
                let vectors = isa.run(forward);
                assert_eq!((vectors.largest, &vectors.place[..]), (sums.largest.clone(), place));
                assert_eq!(isa.run(back), portable.run(back), "{isa}");
            }
        }
    }

    #[test]
    fn what_is_on_is_weighed_as_plain_loops_do() {
        let mut rng = Seed(6).site("test/weights-on").rng();
        for shape in &SHAPES[..7] {
            let input: Vec<f32> =
                (0..shape.features_in()).map(|_| rng.random_range(0..16) as f32).collect();
            let [rows, columns] = shape.sums();
            let mut expected = vec![On::default(); rows * columns];
            products(&Shape { outputs: 1, ..*shape }, |_, feature, position| {
                expected[position] = expected[position].plus(On::of(input[feature]));
            });
            assert_eq!(conv::windows_on(shape, &input), expected);
        }
    }

    /// A pool window keeps the derivative of the sum that it keeps.
    #[test]
    fn the_pool_keeps_the_derivatives_of_its_winners() {
        const IMAGES: usize = 3;
        let noise = Noise {
            macro_name: "gt-n40".into(),
            sigma_lrs: 0.15,
            adc_offset_lsb: 0.1,
            strength: 1.0,
            from_epoch: 1,
        };
        let errors = Errors::new(&noise).unwrap();
        let mut rng = Seed(6).site("test/kernels/errors").rng();
        for shape in [SHAPES[0], SHAPES[1], SHAPES[3], SHAPES[5]] {
            let input: Vec<f32> = (0..IMAGES * shape.features_in())
                .map(|_| rng.random_range(-2..4i32).max(0) as f32)
                .collect();
            let numbers: Vec<[f32; 2]> = (0..shape.rows() * shape.outputs)
                .map(|_| [rng.random_range(-1.2..1.2), rng.random_range(-0.3..0.3)])
                .collect();
            let [weights, deviations]: [Vec<f32>; 2] =
                [0, 1].map(|i| numbers.iter().map(|numbers| numbers[i]).collect());
            let draws = [1, 2, 3].map(|image| Seed(image).counter());
            let disturbance =
                Disturbance { errors: &errors, draws: &draws, deviations: &deviations };
            let operands = Operands { shape: &shape, input: &input, weights: &weights };
            let pooled = forward(operands, Some(disturbance));
            let unpooled = Shape { pool: 1, ..shape };
            let every = forward(Operands { shape: &unpooled, ..operands }, Some(disturbance));
            assert!(every.by_exact.iter().any(|&by_exact| by_exact != 1.0));
            let sums = every.largest.chunks_exact(unpooled.features_out());
            let winners = sums.enumerate().flat_map(|(image, sums)| {
                let at = image * unpooled.features_out();
                winners(&shape, sums).into_iter().map(move |winner| at + winner)
            });
            for (index, winner) in winners.enumerate() {
                assert_eq!(pooled.largest[index], every.largest[winner], "{shape:?}");
                assert_eq!(pooled.by_exact[index], every.by_exact[winner], "{shape:?}");
            }
        }
    }
}
