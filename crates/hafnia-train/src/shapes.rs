//! The network of a recipe with all sizes worked out, for images of a given size.

use crate::block::Added;
use crate::config::{InputConfig, LayerConfig, TrainConfig};
use crate::error::TrainError;
use crate::images::{CALIBRATION, SHARD};
use crate::kernels::Shape;

/// The most memory that a training may take, by [`LayerShapes::check_size`].
const MOST_BYTES: u128 = 4 << 30;

/// Copies of the weights that are kept: the latents of now and of the best epoch with Adam's moments
/// and running means, and what a step makes of them.
const KEPT: u128 = 16;

/// Copies of the activations of a layer: what goes in, its sums, what goes out.
const COPIES: u128 = 3;

/// The largest value that a matrix is multiplied by.
const MOST_LEVELS: u128 = 255;

/// The largest sum: whole numbers up to it are exact in floats of 32 bits.
const MOST_SUM: u128 = 1 << 24;

/// The layers of a run.
#[derive(Debug, Clone)]
pub(crate) struct LayerShapes {
    pub(crate) input: InputConfig,
    pub(crate) blocks: Vec<Block>,
}

/// A layer and its sizes.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) config: LayerConfig,
    pub(crate) shape: Shape,
    /// The value that it takes.
    pub(crate) from: usize,
    /// The value that is added to its sums, and the factor.
    pub(crate) adds: Option<Added>,
}

/// What is known of a value before it is computed.
#[derive(Debug, Clone, Copy)]
struct Value {
    /// Channels, rows and columns.
    shape: [usize; 3],
    /// The largest magnitude that it can have.
    largest: u128,
    /// About how far its numbers lie apart.
    spread: f64,
}

impl Value {
    /// Activations that count so many thresholds, which lie as far apart as sums do or, if they are
    /// more than of 4 bits, nearer together.
    fn counted(shape: [usize; 3], thresholds: usize) -> Self {
        let spread = ((thresholds + 1) as f64 / 16.0).max(1.0);
        Self { shape, largest: thresholds as u128, spread }
    }
}

impl Block {
    /// The largest activation, if the layer has activations.
    pub(crate) fn top(&self) -> Option<usize> {
        self.config.activation_bits.map(|bits| (1 << bits) - 1)
    }

    /// Rows and columns of its matrix; no rows without one.
    pub(crate) fn matrix(&self) -> [usize; 2] {
        [self.shape.rows(), self.shape.outputs]
    }

    /// The values that it takes.
    fn values(&self) -> impl Iterator<Item = usize> {
        [self.from].into_iter().chain(self.adds.map(|added| added.value))
    }

    /// What comes out of a layer that takes and adds these values, and the factor of what it adds.
    fn output(
        config: &LayerConfig,
        shape: Shape,
        from: Value,
        adds: Option<Value>,
    ) -> (Value, u32) {
        let ([height, width], rows) = (shape.pooled(), shape.rows());
        let of_pixels = shape.average.map_or(1, |[rows, columns]| rows * columns);
        let (terms, weight, spread) = match shape.average {
            Some(_) => (of_pixels, 1, of_pixels as f64),
            None => {
                let largest = config.largest_weight();
                (rows, largest, libm::sqrt(rows as f64) * f64::from(largest + 1) / 2.0)
            }
        };
        let mut sums = Value {
            shape: [shape.outputs, height, width],
            largest: terms as u128 * weight as u128 * from.largest,
            spread: spread * from.spread,
        };
        let mut factor = 1;
        if let Some(added) = adds {
            factor = 1 << (libm::round(libm::log2(sums.spread / added.spread)).max(0.0) as u32);
            sums.largest += u128::from(factor) * added.largest;
        }
        (sums, factor)
    }
}

impl LayerShapes {
    /// The layers of a recipe on images of so many channels, rows and columns; `widen` times as many
    /// outputs in all but the last.
    pub(crate) fn new(
        config: &TrainConfig,
        image: [usize; 3],
        widen: usize,
    ) -> Result<Self, TrainError> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut values = vec![Value::counted(image, config.input.cuts.len())];
        for (index, (layer, links)) in config.layer.iter().zip(config.links()?).enumerate() {
            let name = &layer.name;
            let wrong = |what: String| Err(TrainError::Conflict(format!("layer `{name}` {what}")));
            if blocks.iter().any(|block| block.config.name == *name) {
                return wrong("has the name of another".into());
            }
            let is_last = index + 1 == config.layer.len();
            let outputs = layer.outputs * if is_last { 1 } else { widen };
            let from = values[links.from];
            let [channels, rows, columns] = from.shape;
            let shape = match (layer.kernel, layer.average) {
                (None, None) => Shape::linear(channels * rows * columns, outputs),
                (_, Some(side)) => {
                    let window = if side == 0 { [rows, columns] } else { [side; 2] };
                    if !rows.is_multiple_of(window[0]) || !columns.is_multiple_of(window[1]) {
                        return wrong(format!(
                            "gets {rows}x{columns} pixels, which its average of {side} does not divide"
                        ));
                    }
                    Shape::average(from.shape, window)
                }
                (Some(kernel), None) => {
                    let LayerConfig { padding, stride, pool, .. } = *layer;
                    let fits = |side: usize| {
                        let left = (side + 2 * padding).checked_sub(kernel);
                        left.is_some_and(|left| (left / stride + 1).is_multiple_of(pool))
                    };
                    if !fits(rows) || !fits(columns) {
                        return wrong(format!(
                            "gets {rows}x{columns} pixels, which its kernel of {kernel}, padding \
                             of {padding} and pool of {pool} do not divide"
                        ));
                    }
                    let conv = Shape::conv(from.shape, outputs, kernel);
                    Shape { padding, stride, pool, ..conv }
                }
            };
            if layer.patterns.is_some_and(|patterns| patterns > shape.rows()) {
                return wrong(format!("has {} rows, its `patterns` must be no more", shape.rows()));
            }
            if shape.average.is_none() && from.largest > MOST_LEVELS {
                let (largest, taken) = (from.largest, &blocks[links.from - 1].config.name);
                return wrong(format!(
                    "takes values up to {largest} of `{taken}`, at most {MOST_LEVELS} may be: give \
                     `{taken}` activation_bits"
                ));
            }
            let added = links.adds.map(|value| values[value]);
            let (sums, factor) = Block::output(layer, shape, from, added);
            if let Some((added, other)) = added.zip(layer.adds.as_ref())
                && added.shape != sums.shape
            {
                let [own, added] = [sums.shape, added.shape]
                    .map(|[channels, rows, columns]| format!("{channels}x{rows}x{columns}"));
                return wrong(format!("gives {own} and adds `{other}`, which gives {added}"));
            }
            if sums.largest > MOST_SUM {
                return wrong(format!(
                    "may have sums of {}, beyond the {MOST_SUM} up to which floats are exact: take \
                     fewer inputs, or smaller weights or activations",
                    sums.largest
                ));
            }
            let adds = links.adds.map(|value| Added { value, factor: factor as f32 });
            let block = Block { config: layer.clone(), shape, from: links.from, adds };
            values.push(match block.top() {
                Some(top) => Value::counted(sums.shape, top),
                None => sums,
            });
            blocks.push(block);
        }
        Ok(Self { input: config.input.clone(), blocks })
    }

    /// Checks that a training of these layers in batches of so many images takes no more than
    /// [`MOST_BYTES`], as far as that can be told: weights with what is kept of them, their
    /// derivatives for every shard of a batch, and the activations of [`CALIBRATION`] images.
    pub(crate) fn check_size(&self, batch: usize) -> Result<(), TrainError> {
        let shards = batch.div_ceil(SHARD) as u128;
        let product = |sides: &[usize]| sides.iter().map(|&side| side as u128).product::<u128>();
        let weights: u128 = self.blocks.iter().map(|block| product(&block.matrix())).sum();
        let activations = self
            .blocks
            .iter()
            .map(|block| block.shape.features_in().max(block.shape.features_out()));
        let largest = activations.max().unwrap_or(0) as u128;
        // What is taken once more, after the layer that follows, is kept until then.
        let held = (1..).zip(&self.blocks).map(|(value, block)| {
            let later = self.blocks.iter().skip(value + 1);
            match later.flat_map(Block::values).any(|taken| taken == value) {
                true => block.shape.features_out() as u128,
                false => 0,
            }
        });
        let held = held.sum::<u128>() + COPIES * largest;
        let bytes = 4 * (weights * (shards + KEPT) + CALIBRATION as u128 * held);
        if bytes <= MOST_BYTES {
            return Ok(());
        }
        Err(TrainError::Conflict(format!(
            "a training of {weights} weights in batches of {batch}, whose largest layer has {largest} \
             activations an image, takes about {} GiB, at most {} may be: take smaller layers or batches",
            bytes >> 30,
            MOST_BYTES >> 30
        )))
    }

    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.blocks.last().map_or(0, |block| block.shape.outputs)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn the_sizes_of_lenet5_follow_from_its_layers() {
        let shapes = LayerShapes::new(&TrainConfig::default(), [1, 28, 28], 1).unwrap();
        let matrices: Vec<_> = shapes.blocks.iter().map(Block::matrix).collect();
        assert_eq!(matrices, [[25, 6], [150, 16], [400, 120], [120, 84], [84, 10]]);
        assert_eq!(shapes.classes(), 10);
        let wide = LayerShapes::new(&TrainConfig::default(), [1, 28, 28], 2).unwrap();
        let matrices: Vec<_> = wide.blocks.iter().map(Block::matrix).collect();
        assert_eq!(matrices, [[25, 12], [300, 32], [800, 240], [240, 168], [168, 10]]);
    }

    #[test]
    fn layers_that_do_not_fit_are_named() {
        let check = |change: fn(&mut TrainConfig), expected: Expect| {
            let mut config = TrainConfig::default();
            change(&mut config);
            expected.assert_eq(&LayerShapes::new(&config, [1, 28, 28], 1).unwrap_err().to_string());
        };
        check(
            |config| config.layer[0].padding = 1,
            expect![
                "layer `conv2` gets 13x13 pixels, which its kernel of 5, padding of 0 and pool of 2 do not divide"
            ],
        );
        check(
            |config| config.layer[0].kernel = Some(15),
            expect![
                "layer `conv2` gets 9x9 pixels, which its kernel of 5, padding of 0 and pool of 2 do not divide"
            ],
        );
        check(
            |config| config.layer[4].patterns = Some(85),
            expect!["layer `fc3` has 84 rows, its `patterns` must be no more"],
        );
        check(
            |config| config.layer[3].name = "fc1".into(),
            expect!["layer `fc1` has the name of another"],
        );
    }

    #[test]
    fn branches_that_do_not_fit_are_named() {
        let check = |layers: &str, expected: Expect| {
            let config = TrainConfig::from_toml(layers).unwrap();
            let error = LayerShapes::new(&config, [3, 32, 32], 1).unwrap_err();
            expected.assert_eq(&error.to_string());
        };
        let conv = "kernel = 3\npadding = 1\nactivation_bits = 4";
        let layer =
            |name: &str, rest: &str| format!("[[layer]]\nname = '{name}'\noutputs = 8\n{rest}\n");
        let [a, last] = [layer("a", conv), layer("z", "")];
        check(
            &[&a, &layer("b", &format!("stride = 2\nadds = 'a'\n{conv}")), &last[..]].concat(),
            expect!["layer `b` gives 8x16x16 and adds `a`, which gives 8x32x32"],
        );
        let average = |side: usize| format!("[[layer]]\nname = 'mean'\naverage = {side}\n");
        check(
            &[&a, &average(5), &last[..]].concat(),
            expect!["layer `mean` gets 32x32 pixels, which its average of 5 does not divide"],
        );
        check(
            &[&a, &average(8), &last[..]].concat(),
            expect![
                "layer `z` takes values up to 960 of `mean`, at most 255 may be: give `mean` activation_bits"
            ],
        );
        let wide = a.replace("activation_bits = 4", "activation_bits = 8");
        let last = last.replace("outputs", "weight_bits = 4\nzero_weights = true\noutputs");
        check(
            &[wide.replace("outputs = 8", "outputs = 64"), last].concat(),
            expect![
                "layer `z` may have sums of 116981760, beyond the 16777216 up to which floats are exact: take fewer inputs, or smaller weights or activations"
            ],
        );
    }

    /// A residual block adds activations times about the deviation of its sums: √72 is near 8.
    #[test]
    fn what_is_added_is_of_the_size_of_sums() {
        let conv = "outputs = 8\nkernel = 3\npadding = 1\nactivation_bits = 2";
        let config = format!(
            "[[layer]]\nname = 'a'\n{conv}\n[[layer]]\nname = 'b'\n{conv}\nadds = 'a'\n\
             [[layer]]\nname = 'c'\noutputs = 8\nkernel = 1\n[[layer]]\nname = 'd'\n{conv}\n\
             from = 'b'\nadds = 'c'\n[[layer]]\nname = 'z'\noutputs = 10"
        );
        let config = TrainConfig::from_toml(&config).unwrap();
        let shapes = LayerShapes::new(&config, [1, 28, 28], 1).unwrap();
        let adds: Vec<_> = shapes.blocks.iter().map(|block| (block.from, block.adds)).collect();
        let added = |value, factor| Some(Added { value, factor });
        let expected = [(0, None), (1, added(1, 8.0)), (2, None), (2, added(3, 4.0)), (4, None)];
        assert_eq!(adds, expected);
    }

    #[test]
    fn what_takes_too_much_memory_is_refused() {
        let check = |change: fn(&mut TrainConfig), expected: Expect| {
            let mut config = TrainConfig::default();
            change(&mut config);
            let shapes = LayerShapes::new(&config, [1, 28, 28], 1).unwrap();
            expected.assert_eq(&shapes.check_size(config.batch).unwrap_err().to_string());
        };
        check(
            |config| {
                config.batch = 60_000;
                config.layer[2].outputs = 4096;
            },
            expect![
                "a training of 1985854 weights in batches of 60000, whose largest layer has 4096 activations an image, takes about 14 GiB, at most 4 may be: take smaller layers or batches"
            ],
        );
        check(
            |config| (config.layer[0].outputs, config.layer[1].outputs) = (4096, 4096),
            expect![
                "a training of 431831720 weights in batches of 128, whose largest layer has 802816 activations an image, takes about 41 GiB, at most 4 may be: take smaller layers or batches"
            ],
        );
    }
}
