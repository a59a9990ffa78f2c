//! Random maps of the training images, on their 8 bits, before the pixels are reduced: an affine
//! map, and a smooth displacement on top.

use hafnia_rng::Counter;

use crate::config::Augmentation;

/// Zeros around an image, so that any neighbour of a pixel at -1 or past the end can be read.
const MARGIN: usize = 2;
/// One pixel of a coordinate.
const FIXED: i32 = 1 << 16;
/// Pixels between the knots of the displacement.
const SPACING: f32 = 7.0;

/// Where an output pixel is taken from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Warp {
    size: [usize; 2],
    /// matrix · (x, y) + offset, from the image's centre.
    matrix: [[f32; 2]; 2],
    offset: [f32; 2],
    /// Displacement of every pixel, x and y, (row, column); empty for none.
    displacement: Vec<[f32; 2]>,
}

impl Warp {
    /// The map of an image in an epoch; `draws` belongs to the run.
    pub(crate) fn draw(
        augmentation: &Augmentation,
        size: [usize; 2],
        draws: &Counter,
        epoch: usize,
        image: usize,
    ) -> Self {
        let draw = |part| draws.block([epoch as u32, image as u32, part, 0]).map(signed_unit);
        let [[angle, scale, shear, _], [x, y, ..]] = [draw(0), draw(1)];
        let angle = angle * (augmentation.rotation_degrees as f32).to_radians();
        let (sin, cos) = (libm::sinf(angle), libm::cosf(angle));
        let scale = 1.0 + scale * augmentation.scale as f32;
        let shear = shear * augmentation.shear as f32;
        let knot = |index: usize| {
            let [a, b, c, d] = draw(2 + index as u32 / 2);
            if index.is_multiple_of(2) { [a, b] } else { [c, d] }
        };
        let displacement = if augmentation.elastic_pixels == 0.0 {
            Vec::new()
        } else {
            displacement(size, augmentation.elastic_pixels as f32, knot)
        };
        Self {
            size,
            matrix: [
                [scale * cos, scale * (cos * shear - sin)],
                [scale * sin, scale * (sin * shear + cos)],
            ],
            offset: [x, y].map(|part| part * augmentation.shift_pixels as f32),
            displacement,
        }
    }

    /// Appends the mapped image: bilinear between pixels, 0 outside, rounded to whole numbers.
    ///
    /// Coordinates are whole multiples of 2^-16 pixel, and weights of 2^-8: the same on every
    /// machine, and quick.
    pub(crate) fn apply(&self, image: &[u8], mapped: &mut Vec<u8>) {
        let [height, width] = self.size;
        let stride = width + 2 * MARGIN;
        let mut padded = vec![0u8; (height + 2 * MARGIN) * stride];
        for (y, row) in image.chunks_exact(width).enumerate() {
            padded[(y + MARGIN) * stride + MARGIN..][..width].copy_from_slice(row);
        }
        let fixed = |value: f32| libm::rintf(value * FIXED as f32) as i32;
        let centre = self.size.map(|side| (side - 1) as f32 / 2.0);
        let [xx, xy, yx, yy] =
            [self.matrix[0][0], self.matrix[0][1], self.matrix[1][0], self.matrix[1][1]];
        let origin = [
            fixed(centre[1] - xx * centre[1] - xy * centre[0] + self.offset[0]),
            fixed(centre[0] - yx * centre[1] - yy * centre[0] + self.offset[1]),
        ];
        let [xx, xy, yx, yy] = [xx, xy, yx, yy].map(fixed);
        // Beyond -1 and the last pixel all is 0, and so are the two rows there.
        let place = |at: i32, side: usize| {
            let at = at.clamp(-FIXED, side as i32 * FIXED) + MARGIN as i32 * FIXED;
            ((at >> 16) as usize, (at >> 8 & 0xff) as u32)
        };
        for row in 0..height {
            let mut x = origin[0] + xy * row as i32;
            let mut y = origin[1] + yy * row as i32;
            for column in 0..width {
                let [dx, dy] = match self.displacement.get(row * width + column) {
                    Some(displacement) => displacement.map(fixed),
                    None => [0; 2],
                };
                let (left, right) = place(x + dx, width);
                let (top, below) = place(y + dy, height);
                let corner = &padded[top * stride + left..][..stride + 2];
                let blend = |a: u8, b: u8| u32::from(a) * (256 - right) + u32::from(b) * right;
                let upper = blend(corner[0], corner[1]);
                let lower = blend(corner[stride], corner[stride + 1]);
                mapped.push(((upper * (256 - below) + lower * below + (1 << 15)) >> 16) as u8);
                x += xx;
                y += yx;
            }
        }
    }
}

/// A smooth field: uniform cubic B-splines over knots `SPACING` pixels apart, each displaced by up
/// to `largest` along both axes.
fn displacement(
    [height, width]: [usize; 2],
    largest: f32,
    knot: impl Fn(usize) -> [f32; 2],
) -> Vec<[f32; 2]> {
    let knots = |side: usize| ((side - 1) as f32 / SPACING) as usize + 4;
    let (rows, columns) = (knots(height), knots(width));
    // Along x for every row of knots, then along y.
    let mut along_x = vec![[0.0f32; 2]; rows * width];
    for row in 0..rows {
        let of_row: Vec<[f32; 2]> =
            (0..columns).map(|column| knot(row * columns + column).map(|d| d * largest)).collect();
        for x in 0..width {
            let (first, weights) = spline(x);
            along_x[row * width + x] = blend(weights, |tap| of_row[first + tap]);
        }
    }
    let mut field = Vec::with_capacity(height * width);
    for y in 0..height {
        let (first, weights) = spline(y);
        field.extend((0..width).map(|x| blend(weights, |tap| along_x[(first + tap) * width + x])));
    }
    field
}

/// The first of the four knots that reach a pixel, and their weights.
fn spline(pixel: usize) -> (usize, [f32; 4]) {
    let at = pixel as f32 / SPACING;
    let first = at as usize;
    let t = at - first as f32;
    let s = 1.0 - t;
    let weights = [
        s * s * s,
        4.0 - 6.0 * t * t + 3.0 * t * t * t,
        4.0 - 6.0 * s * s + 3.0 * s * s * s,
        t * t * t,
    ];
    (first, weights.map(|weight| weight / 6.0))
}

fn blend(weights: [f32; 4], tap: impl Fn(usize) -> [f32; 2]) -> [f32; 2] {
    let mut sum = [0.0; 2];
    for (index, weight) in weights.into_iter().enumerate() {
        let [x, y] = tap(index);
        sum = [sum[0] + weight * x, sum[1] + weight * y];
    }
    sum
}

/// Uniform in (-1, 1).
fn signed_unit(word: u32) -> f32 {
    ((f64::from(word) + 0.5) / f64::from(1u32 << 31) - 1.0) as f32
}

#[cfg(test)]
mod tests {
    use hafnia_rng::Seed;

    use super::*;

    const SIDE: usize = 28;

    fn still() -> Warp {
        Warp {
            size: [SIDE; 2],
            matrix: [[1.0, 0.0], [0.0, 1.0]],
            offset: [0.0; 2],
            displacement: Vec::new(),
        }
    }

    fn image() -> Vec<u8> {
        (0..SIDE * SIDE).map(|i| (i * i % 251) as u8).collect()
    }

    fn apply(warp: &Warp) -> Vec<u8> {
        let mut mapped = Vec::new();
        warp.apply(&image(), &mut mapped);
        mapped
    }

    fn none() -> Augmentation {
        Augmentation {
            rotation_degrees: 0.0,
            scale: 0.0,
            shear: 0.0,
            shift_pixels: 0.0,
            elastic_pixels: 0.0,
            last_epochs_clean: 0,
        }
    }

    #[test]
    fn nothing_drawn_is_nothing_changed() {
        let drawn = Warp::draw(&none(), [SIDE; 2], &Seed(1).counter(), 0, 0);
        assert_eq!(drawn, still());
        assert_eq!(apply(&drawn), image());
    }

    #[test]
    fn a_shift_moves_whole_pixels_and_blends_halves() {
        let image = image();
        let shifted = apply(&Warp { offset: [1.0, -2.0], ..still() });
        let blended = apply(&Warp { offset: [0.5, 0.0], ..still() });
        for y in 0..SIDE {
            for x in 0..SIDE {
                let pixel = |y: usize, x: usize| {
                    if y < SIDE && x < SIDE { u16::from(image[y * SIDE + x]) } else { 0 }
                };
                let at = y * SIDE + x;
                assert_eq!(u16::from(shifted[at]), pixel(y.wrapping_sub(2), x + 1), "{y}, {x}");
                let half = (pixel(y, x) + pixel(y, x + 1)).div_ceil(2);
                assert_eq!(u16::from(blended[at]), half, "{y}, {x}");
            }
        }
    }

    #[test]
    fn a_quarter_turn_turns() {
        let image = image();
        let turned = apply(&Warp { matrix: [[0.0, -1.0], [1.0, 0.0]], ..still() });
        for y in 0..SIDE {
            for x in 0..SIDE {
                assert_eq!(turned[y * SIDE + x], image[x * SIDE + (SIDE - 1 - y)]);
            }
        }
    }

    /// Knots that all move alike move the whole image, because the weights of a spline sum to 1;
    /// and drawn ones stay inside their range and differ from image to image.
    #[test]
    fn a_field_is_smooth_and_bounded() {
        let field = displacement([SIDE; 2], 3.0, |_| [1.0, -0.5]);
        let close = |a: f32, b: f32| (a - b).abs() < 1e-5;
        assert!(field.iter().all(|&[x, y]| close(x, 3.0) && close(y, -1.5)));

        let elastic = Augmentation { elastic_pixels: 2.0, ..none() };
        let of = |image| Warp::draw(&elastic, [SIDE; 2], &Seed(1).counter(), 0, image).displacement;
        let field = of(0);
        assert_eq!(field.len(), SIDE * SIDE);
        assert!(field.iter().flatten().all(|d| d.abs() <= 2.0));
        // Neighbours differ by little: a spline's slope is at most the knots' difference a spacing.
        let is_smooth = |a: &[f32; 2], b: &[f32; 2]| {
            (0..2).all(|axis| (a[axis] - b[axis]).abs() <= 4.0 / SPACING)
        };
        assert!(field.chunks(SIDE).all(|row| row.windows(2).all(|w| is_smooth(&w[0], &w[1]))));
        assert_ne!(field, of(1));
    }
}
