//! Random maps of the training images, on their 8 bits, before the pixels are reduced: an affine
//! map, and a smooth displacement on top.

use hafnia_rng::Counter;

use crate::Augmentation;

/// Zeros around an image, so that any neighbour of a pixel at -1 or past the end can be read.
const MARGIN: usize = 2;
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
            if index % 2 == 0 { [a, b] } else { [c, d] }
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
    pub(crate) fn apply(&self, image: &[u8], mapped: &mut Vec<u8>) {
        let [height, width] = self.size;
        let stride = width + 2 * MARGIN;
        let mut padded = vec![0.0f32; (height + 2 * MARGIN) * stride];
        for (y, row) in image.chunks_exact(width).enumerate() {
            for (x, &pixel) in row.iter().enumerate() {
                padded[(y + MARGIN) * stride + x + MARGIN] = pixel.into();
            }
        }
        let centre = self.size.map(|side| (side - 1) as f32 / 2.0);
        let [[xx, xy], [yx, yy]] = self.matrix;
        for row in 0..height {
            for column in 0..width {
                let (u, v) = (column as f32 - centre[1], row as f32 - centre[0]);
                let [dx, dy] = match self.displacement.get(row * width + column) {
                    Some(&displacement) => displacement,
                    None => [0.0; 2],
                };
                // Beyond -1 and the last pixel all is 0, and so are the two rows there.
                let place = |at: f32, centre: f32, side: usize| {
                    (at + centre).clamp(-1.0, side as f32) + MARGIN as f32
                };
                let x = place(xx * u + xy * v + self.offset[0] + dx, centre[1], width);
                let y = place(yx * u + yy * v + self.offset[1] + dy, centre[0], height);
                let (left, top) = (x as usize, y as usize);
                let (right, below) = (x - left as f32, y - top as f32);
                let corner = top * stride + left;
                let upper = padded[corner] + right * (padded[corner + 1] - padded[corner]);
                let lower = padded[corner + stride]
                    + right * (padded[corner + stride + 1] - padded[corner + stride]);
                mapped.push((upper + below * (lower - upper) + 0.5) as u8);
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
