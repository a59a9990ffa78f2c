//! The network of a recipe with all sizes worked out, for images of a given size.

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
}

impl Block {
    /// The largest activation, if the layer has activations.
    pub(crate) fn top(&self) -> Option<usize> {
        self.config.activation_bits.map(|bits| (1 << bits) - 1)
    }

    /// Rows and columns of its matrix.
    pub(crate) fn matrix(&self) -> [usize; 2] {
        [self.shape.rows(), self.shape.outputs]
    }
}

impl LayerShapes {
    /// The layers of a recipe on images of `height`×`width` pixels; `widen` times as many outputs
    /// in all but the last.
    pub(crate) fn new(
        config: &TrainConfig,
        [height, width]: [usize; 2],
        widen: usize,
    ) -> Result<Self, TrainError> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut at = [1, height, width];
        for (index, layer) in config.layer.iter().enumerate() {
            let name = &layer.name;
            let wrong = |what: String| Err(TrainError::Conflict(format!("layer `{name}` {what}")));
            if blocks.iter().any(|block| block.config.name == *name) {
                return wrong("has the name of another".into());
            }
            let is_last = index + 1 == config.layer.len();
            let outputs = layer.outputs * if is_last { 1 } else { widen };
            let [channels, rows, columns] = at;
            let shape = match layer.kernel {
                None => Shape::linear(channels * rows * columns, outputs),
                Some(kernel) => {
                    let (padding, pool) = (layer.padding, layer.pool);
                    let fits = |side: usize| {
                        (side + 2 * padding + 1)
                            .checked_sub(kernel)
                            .is_some_and(|sums| sums > 0 && sums.is_multiple_of(pool))
                    };
                    if !fits(rows) || !fits(columns) {
                        return wrong(format!(
                            "gets {rows}x{columns} pixels, which its kernel of {kernel}, padding \
                             of {padding} and pool of {pool} do not divide"
                        ));
                    }
                    Shape { input: at, outputs, kernel, padding, pool }
                }
            };
            if layer.patterns.is_some_and(|patterns| patterns > shape.rows()) {
                return wrong(format!("has {} rows, its `patterns` must be no more", shape.rows()));
            }
            let [rows, columns] = shape.pooled();
            at = [outputs, rows, columns];
            blocks.push(Block { config: layer.clone(), shape });
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
        let bytes = 4 * (weights * (shards + KEPT) + CALIBRATION as u128 * COPIES * largest);
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
        let shapes = LayerShapes::new(&TrainConfig::default(), [28, 28], 1).unwrap();
        let matrices: Vec<_> = shapes.blocks.iter().map(Block::matrix).collect();
        assert_eq!(matrices, [[25, 6], [150, 16], [400, 120], [120, 84], [84, 10]]);
        assert_eq!(shapes.classes(), 10);
        let wide = LayerShapes::new(&TrainConfig::default(), [28, 28], 2).unwrap();
        let matrices: Vec<_> = wide.blocks.iter().map(Block::matrix).collect();
        assert_eq!(matrices, [[25, 12], [300, 32], [800, 240], [240, 168], [168, 10]]);
    }

    #[test]
    fn layers_that_do_not_fit_are_named() {
        let check = |change: fn(&mut TrainConfig), expected: Expect| {
            let mut config = TrainConfig::default();
            change(&mut config);
            expected.assert_eq(&LayerShapes::new(&config, [28, 28], 1).unwrap_err().to_string());
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
    fn what_takes_too_much_memory_is_refused() {
        let check = |change: fn(&mut TrainConfig), expected: Expect| {
            let mut config = TrainConfig::default();
            change(&mut config);
            let shapes = LayerShapes::new(&config, [28, 28], 1).unwrap();
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
