//! Random affine maps of the training images, on their 8 bits, before the pixels are reduced.

use hafnia_rng::Counter;

use crate::Augmentation;
use crate::lenet::SIDE;

/// Zeros around an image, so that any neighbour of a pixel at -1 or 28 can be read.
const MARGIN: usize = 2;
const PADDED: usize = SIDE + 2 * MARGIN;

/// Where an output pixel is taken from: matrix · (x, y) + offset, from the image's centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Affine {
    matrix: [[f32; 2]; 2],
    offset: [f32; 2],
}

impl Affine {
    /// The map of an image in an epoch; `draws` belongs to the run.
    pub(crate) fn draw(
        augmentation: &Augmentation,
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
        Self {
            matrix: [
                [scale * cos, scale * (cos * shear - sin)],
                [scale * sin, scale * (sin * shear + cos)],
            ],
            offset: [x, y].map(|part| part * augmentation.shift_pixels as f32),
        }
    }

    /// The mapped image: bilinear between pixels, 0 outside, rounded to whole numbers.
    pub(crate) fn apply(&self, image: &[u8]) -> Vec<u8> {
        const CENTRE: f32 = (SIDE - 1) as f32 / 2.0;
        let mut padded = [0.0f32; PADDED * PADDED];
        for (y, row) in image.chunks_exact(SIDE).enumerate() {
            for (x, &pixel) in row.iter().enumerate() {
                padded[(y + MARGIN) * PADDED + x + MARGIN] = pixel.into();
            }
        }
        let [[xx, xy], [yx, yy]] = self.matrix;
        let mut mapped = Vec::with_capacity(SIDE * SIDE);
        for row in 0..SIDE {
            for column in 0..SIDE {
                let (u, v) = (column as f32 - CENTRE, row as f32 - CENTRE);
                // Beyond -1 and 28 all is 0, and so are the two rows there.
                let place = |at: f32| (at + CENTRE).clamp(-1.0, SIDE as f32) + MARGIN as f32;
                let x = place(xx * u + xy * v + self.offset[0]);
                let y = place(yx * u + yy * v + self.offset[1]);
                let (left, top) = (x as usize, y as usize);
                let (right, below) = (x - left as f32, y - top as f32);
                let corner = top * PADDED + left;
                let upper = padded[corner] + right * (padded[corner + 1] - padded[corner]);
                let lower = padded[corner + PADDED]
                    + right * (padded[corner + PADDED + 1] - padded[corner + PADDED]);
                mapped.push((upper + below * (lower - upper) + 0.5) as u8);
            }
        }
        mapped
    }
}

/// Uniform in (-1, 1).
fn signed_unit(word: u32) -> f32 {
    ((f64::from(word) + 0.5) / f64::from(1u32 << 31) - 1.0) as f32
}

#[cfg(test)]
mod tests {
    use hafnia_rng::Seed;

    use super::*;

    const STILL: Affine = Affine { matrix: [[1.0, 0.0], [0.0, 1.0]], offset: [0.0; 2] };

    fn image() -> Vec<u8> {
        (0..SIDE * SIDE).map(|i| (i * i % 251) as u8).collect()
    }

    #[test]
    fn nothing_drawn_is_nothing_changed() {
        let none = Augmentation {
            rotation_degrees: 0.0,
            scale: 0.0,
            shear: 0.0,
            shift_pixels: 0.0,
            last_epochs_clean: 0,
        };
        let drawn = Affine::draw(&none, &Seed(1).counter(), 0, 0);
        assert_eq!(drawn, STILL);
        assert_eq!(drawn.apply(&image()), image());
    }

    #[test]
    fn a_shift_moves_whole_pixels_and_blends_halves() {
        let image = image();
        let shifted = Affine { offset: [1.0, -2.0], ..STILL }.apply(&image);
        let blended = Affine { offset: [0.5, 0.0], ..STILL }.apply(&image);
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
        let turned = Affine { matrix: [[0.0, -1.0], [1.0, 0.0]], ..STILL }.apply(&image);
        for y in 0..SIDE {
            for x in 0..SIDE {
                assert_eq!(turned[y * SIDE + x], image[x * SIDE + (SIDE - 1 - y)]);
            }
        }
    }
}
