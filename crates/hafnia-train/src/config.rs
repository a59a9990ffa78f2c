//! The recipe of a training run: plain data, checked before anything runs.

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// The most layers of a recipe.
const MOST_LAYERS: usize = 64;

/// A training recipe; the keys of a recipe file are these fields.
///
/// Keys that are left out take their value of [`TrainConfig::default`], unknown keys are refused.
///
/// ```
/// use hafnia_train::TrainConfig;
///
/// let config = TrainConfig::from_toml("seed = 3\nepochs = 20")?;
/// assert_eq!((config.seed, config.epochs, config.batch, config.layer.len()), (3, 20, 128, 5));
///
/// let error = TrainConfig::from_toml("[input]\ncuts = [128, 64]").unwrap_err();
/// assert_eq!(error.to_string(), "`input.cuts` are [128, 64], they must ascend, each above the one before");
/// # Ok::<(), hafnia_train::TrainError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of the initial weights, the order of the images, their augmentation and all else.
    pub seed: u64,
    /// Passes over the training images, 1 to 10 000.
    pub epochs: usize,
    /// Images per step, 1 to 60 000; the last step of an epoch takes what is left.
    pub batch: usize,
    /// How the pixels of an image become activations.
    pub input: InputConfig,
    /// What computes; the results of the two differ by rounding.
    pub backend: Backend,
    /// The layers, from the image to the classes; LeNet-5 without them.
    pub layer: Vec<LayerConfig>,
    /// What a step minimises.
    pub loss: Loss,
    /// How a step moves the weights.
    pub optimiser: Optimiser,
    /// How the training images are varied; not at all without it.
    pub augmentation: Option<Augmentation>,
    /// A teacher in floats, trained first; its outputs guide the network.
    pub teacher: Option<Teacher>,
    /// The conversion errors that the forward pass suffers; none without it.
    pub noise: Option<Noise>,
}

/// The values that a layer takes and adds: 0 is the image, i + 1 what layer i gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Links {
    pub(crate) from: usize,
    pub(crate) adds: Option<usize>,
}

/// How an 8-bit pixel becomes an activation: the number of cuts that it reaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// The cuts, 1 to 255 each, in ascending order; `[64, 128, 192]` keeps the upper 2 bits.
    pub cuts: Vec<u8>,
    /// Whether training moves them.
    #[serde(default)]
    pub learned: bool,
}

/// What runs the tensor operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// burn-flex with hafnia's own operations.
    Flex,
    /// burn-ndarray with burn's operations, to check the other against; needs the cargo feature
    /// `ndarray`.
    Ndarray,
}

/// A layer: a product with a matrix and the maximum over windows of it, or a sum over windows of
/// pixels; then what is added to it, then the quantiser.
///
/// Layers take the values of the layer before unless they say another, so that a network may branch:
///
/// ```
/// # let layers = r#"
/// [[layer]]
/// name = "stem"
/// outputs = 8
/// kernel = 3
/// padding = 1
/// activation_bits = 2
///
/// [[layer]]
/// name = "branch"
/// outputs = 8
/// kernel = 3
/// padding = 1
/// activation_bits = 2
///
/// [[layer]]
/// name = "join"
/// outputs = 8
/// kernel = 3
/// padding = 1
/// adds = "stem"
/// activation_bits = 2
///
/// [[layer]]
/// name = "mean"
/// average = 0
/// activation_bits = 4
///
/// [[layer]]
/// name = "classes"
/// outputs = 10
/// # "#;
/// # hafnia_train::TrainConfig::from_toml(layers)?;
/// # Ok::<(), hafnia_train::TrainError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerConfig {
    /// Name, unique in the network.
    pub name: String,
    /// The layer before it whose values it takes; without it the one right before, or the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The layer before it whose values are added to its sums, times the power of two that brings
    /// them to the size of its sums; without it none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adds: Option<String>,
    /// Channels of a convolution, features of a linear layer, 1 to 4096; an average has none of its
    /// own.
    #[serde(default)]
    pub outputs: usize,
    /// Side of the windows, 1 to 64, over which a layer without a matrix averages, or 0 for the whole
    /// image; the network holds the sums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<usize>,
    /// Side of the kernel of a convolution, 1 to 15; a linear layer has none.
    pub kernel: Option<usize>,
    /// Zeros around the input of a convolution, 0 to `kernel` − 1.
    #[serde(default)]
    pub padding: usize,
    /// Step of the kernel of a convolution, 1 to 8.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub stride: usize,
    /// Side of the window of the maximum after a convolution, 1 (none) to 8.
    #[serde(default = "one")]
    pub pool: usize,
    /// Bits of a weight: 1 for ±1, 2 for ±1 and ±3; with `zero_weights` 2 to 4.
    #[serde(default = "one_bit")]
    pub weight_bits: u8,
    /// Whether weights may be 0: of 2 bits they are −1 to 1 (ternary), of 3 bits −3 to 3, of 4 bits
    /// −7 to 7; else they are odd.
    #[serde(default, skip_serializing_if = "is_false")]
    pub zero_weights: bool,
    /// Bits of an activation, 1 to 8. The last layer has none, a layer whose values are added
    /// may go without, and so may an average: sums over its windows go on as they are, up to 255.
    pub activation_bits: Option<u8>,
    /// Whether every channel learns its own thresholds; else one shift serves all.
    #[serde(default)]
    pub learned_thresholds: bool,
    /// Ties rows of the matrix: they share this number of patterns; without it every row is free.
    pub patterns: Option<usize>,
    /// Which pattern a row takes.
    #[serde(default)]
    pub tie: Tie,
    /// First epoch, counted from 1, in which its weights stay as they are, at their running means
    /// if there are some, while its thresholds and the layers after it go on; never without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_from: Option<usize>,
}

fn one() -> usize {
    1
}

fn one_bit() -> u8 {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

fn is_false(value: &bool) -> bool {
    !value
}

fn unity() -> f64 {
    1.0
}

/// Which pattern a row of a tied matrix takes; `n` rows share `k` patterns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tie {
    /// Row i takes pattern i mod k.
    #[default]
    Cyclic,
    /// Row i takes pattern ⌊i·k/n⌋: neighbours share.
    Blocks,
    /// Rows start free and are gathered around k patterns while training goes on.
    Learned,
}

/// What a step minimises, as a function of the integers that come out of the last layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Loss {
    /// Cross entropy of softmax(scale · output), the scale learned and dropped afterwards.
    CrossEntropy,
    /// Cross entropy, in bits, of probabilities that go as 2^(output/2^s), in whole multiples of
    /// 2^-15; after the loss of NITI (arXiv 2009.13108).
    PowersOfTwo,
    /// Σ over classes of max(0, 1 − t·output/2^s)², t = 1 for the label and −1 elsewhere.
    SquaredHinge,
    /// Σ over classes of (output/2^s − t)²/2.
    SumOfSquares,
}

/// How a step moves the weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Optimiser {
    /// Adam on latent float weights, clipped to ±1.
    Adam {
        /// Rate of the first step, 1e-6 to 1; it falls to 0 along half a cosine, step by step.
        learning_rate: f64,
        /// Decay per step of a running mean of the latent weights, 0 (none) to 0.9999; the network
        /// is that of the mean.
        #[serde(default)]
        average: f64,
    },
    /// Integers throughout (WAGE, arXiv 1802.04680): quantised errors, gradients and updates,
    /// stochastic rounding, power-of-two scales.
    Integer {
        /// Rate η of the first epoch, in units of the finest weight step, 2^-3 to 2^10; a power of
        /// two keeps all scales powers of two. It is halved at every one of `halvings`.
        learning_rate: f64,
        /// Epochs, counted from 1, before which the rate is halved.
        halvings: [usize; 3],
        /// Bits of a backward error, 2 to 12 (k_E).
        error_bits: u8,
        /// Bits of a latent weight and of its steps, 2 to 16 (k_G).
        gradient_bits: u8,
        /// Decay of a running mean of the latent weights, in whole numbers too: every step moves it
        /// by (latent − mean) >> this, 0 (none) to 15; the network is that of the mean.
        #[serde(default)]
        average_shift: u8,
    },
}

/// Random maps of the training images: each number is the largest deviation, drawn uniformly from
/// both signs, for every image and epoch anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Rotation about the centre, degrees, 0 to 180.
    pub rotation_degrees: f64,
    /// Change of size, as a fraction, 0 to 0.5.
    pub scale: f64,
    /// Horizontal shear, pixels per pixel, 0 to 1.
    pub shear: f64,
    /// Shift along each axis, pixels, 0 to 28.
    pub shift_pixels: f64,
    /// Elastic displacement: that of the knots of a smooth field, pixels, 0 to 28.
    #[serde(default)]
    pub elastic_pixels: f64,
    /// The last epochs that see the images as they are; 0 to all.
    pub last_epochs_clean: usize,
}

/// A teacher: the same layers with float weights and without quantisers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// Its epochs, 1 to 10 000.
    pub epochs: usize,
    /// Its first learning rate, 1e-6 to 1.
    pub learning_rate: f64,
    /// Factor of its channels and features over the network's, 1 to 8.
    pub width: usize,
    /// Weight of its outputs in the loss, 0 to 1; that of the labels is what is left.
    pub weight: f64,
    /// Divides its outputs before the softmax, 0.1 to 100.
    pub temperature: f64,
}

/// The conversion errors of a macro, as the forward pass suffers them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Preset or file of the macro.
    pub macro_name: String,
    /// σ of a conducting cell, relative, 0 to 1.
    pub sigma_lrs: f64,
    /// σ of a comparator's offset, LSB, 0 to 1.
    pub adc_offset_lsb: f64,
    /// Factor of the deviations of all errors, 0 to 10; their means are not exaggerated.
    #[serde(default = "unity")]
    pub strength: f64,
    /// First epoch that suffers them, counted from 1.
    pub from_epoch: usize,
}

impl LayerConfig {
    /// The largest weight.
    pub(crate) fn largest_weight(&self) -> i32 {
        let bits = self.weight_bits - u8::from(self.zero_weights);
        (1 << bits) - 1
    }

    /// The five layers of LeNet-5 for 28×28 images and ten classes, 2-bit activations.
    pub fn lenet5() -> Vec<Self> {
        let linear = |name: &str, outputs| Self {
            name: name.into(),
            from: None,
            adds: None,
            outputs,
            average: None,
            kernel: None,
            padding: 0,
            stride: 1,
            pool: 1,
            weight_bits: 1,
            zero_weights: false,
            activation_bits: Some(2),
            learned_thresholds: false,
            patterns: None,
            tie: Tie::default(),
            frozen_from: None,
        };
        let conv = |name, outputs, padding| Self {
            kernel: Some(5),
            padding,
            pool: 2,
            ..linear(name, outputs)
        };
        vec![
            conv("conv1", 6, 2),
            conv("conv2", 16, 0),
            linear("fc1", 120),
            linear("fc2", 84),
            Self { activation_bits: None, ..linear("fc3", 10) },
        ]
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            epochs: 14,
            batch: 128,
            input: InputConfig { cuts: vec![64, 128, 192], learned: false },
            backend: Backend::Flex,
            layer: LayerConfig::lenet5(),
            loss: Loss::CrossEntropy,
            optimiser: Optimiser::Adam { learning_rate: 9e-3, average: 0.0 },
            augmentation: None,
            teacher: None,
            noise: None,
        }
    }
}

impl TrainConfig {
    /// Reads and validates a recipe.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] for what is no recipe, and the errors of
    /// [`validate`](Self::validate).
    pub fn from_toml(text: &str) -> Result<Self, TrainError> {
        let config: Self =
            toml::from_str(text).map_err(|source| TrainError::Recipe(Box::new(source)))?;
        config.validate()?;
        Ok(config)
    }

    /// Checks every number against its range.
    ///
    /// Whether the layers fit each other shows when the size of the images is known: [`train`]
    /// tells.
    ///
    /// # Errors
    /// [`TrainError::Range`] naming the key, or [`TrainError::Conflict`].
    ///
    /// [`train`]: crate::train
    pub fn validate(&self) -> Result<(), TrainError> {
        range("epochs", self.epochs as f64, 1.0, 1e4)?;
        range("batch", self.batch as f64, 1.0, 6e4)?;
        self.input.validate()?;
        for (index, layer) in self.layer.iter().enumerate() {
            layer.validate(index + 1 == self.layer.len())?;
        }
        if self.layer.len() > MOST_LAYERS {
            let layers = self.layer.len();
            return Err(TrainError::Conflict(format!(
                "the recipe has {layers} layers, at most {MOST_LAYERS} may be"
            )));
        }
        if self.layer.is_empty() {
            return Err(TrainError::Conflict("a network needs at least 1 layer".into()));
        }
        self.check_links()?;
        match self.optimiser {
            Optimiser::Adam { learning_rate, average } => {
                range("optimiser.learning_rate", learning_rate, 1e-6, 1.0)?;
                range("optimiser.average", average, 0.0, 0.9999)?;
            }
            Optimiser::Integer {
                learning_rate, error_bits, gradient_bits, average_shift, ..
            } => {
                range("optimiser.learning_rate", learning_rate, 0.125, 1024.0)?;
                range("optimiser.error_bits", error_bits.into(), 2.0, 12.0)?;
                range("optimiser.gradient_bits", gradient_bits.into(), 2.0, 16.0)?;
                range("optimiser.average_shift", average_shift.into(), 0.0, 15.0)?;
            }
        }
        if let Some(augmentation) = &self.augmentation {
            augmentation.validate(self.epochs)?;
        }
        if let Some(Teacher { epochs, learning_rate, width, weight, temperature }) = self.teacher {
            range("teacher.epochs", epochs as f64, 1.0, 1e4)?;
            range("teacher.learning_rate", learning_rate, 1e-6, 1.0)?;
            range("teacher.width", width as f64, 1.0, 8.0)?;
            range("teacher.weight", weight, 0.0, 1.0)?;
            range("teacher.temperature", temperature, 0.1, 100.0)?;
        }
        if let Some(Noise { sigma_lrs, adc_offset_lsb, strength, from_epoch, .. }) = self.noise {
            range("noise.strength", strength, 0.0, 10.0)?;
            range("noise.sigma_lrs", sigma_lrs, 0.0, 1.0)?;
            range("noise.adc_offset_lsb", adc_offset_lsb, 0.0, 1.0)?;
            range("noise.from_epoch", from_epoch as f64, 1.0, 1e4)?;
        }
        if self.noise.is_some() && self.layer.iter().any(|layer| layer.weight_bits != 1) {
            return Err(TrainError::Conflict("`noise` needs weights of 1 bit".into()));
        }
        let is_integer = matches!(self.optimiser, Optimiser::Integer { .. });
        if self.input.learned && (is_integer || self.backend == Backend::Ndarray) {
            return Err(TrainError::Conflict(
                "`input.learned` needs the optimiser `adam` and the backend `flex`".into(),
            ));
        }
        if self.backend == Backend::Ndarray && (is_integer || self.noise.is_some()) {
            return Err(TrainError::Conflict(
                "`noise` and the integer optimiser need the backend `flex`".into(),
            ));
        }
        if self.backend == Backend::Ndarray && !cfg!(feature = "ndarray") {
            return Err(TrainError::Conflict(
                "`backend` is `ndarray`, which this build lacks: build with `--features ndarray`"
                    .into(),
            ));
        }
        Ok(())
    }

    /// Where every layer finds what it takes and what it adds.
    ///
    /// # Errors
    /// [`TrainError::Conflict`] if it names a layer that is not before it.
    pub(crate) fn links(&self) -> Result<Vec<Links>, TrainError> {
        let link = |(index, layer): (usize, &LayerConfig)| {
            let before = &self.layer[..index];
            let value = |named: &String| match before.iter().position(|of| of.name == *named) {
                Some(position) => Ok(position + 1),
                None => Err(TrainError::Conflict(format!(
                    "layer `{}` takes or adds `{named}`, which is no layer before it",
                    layer.name
                ))),
            };
            let from = layer.from.as_ref().map_or(Ok(index), value)?;
            Ok(Links { from, adds: layer.adds.as_ref().map(value).transpose()? })
        };
        self.layer.iter().enumerate().map(link).collect()
    }

    /// Checks that what layers give is taken, and fit for it.
    fn check_links(&self) -> Result<(), TrainError> {
        let links = self.links()?;
        for (index, layer) in self.layer[..self.layer.len() - 1].iter().enumerate() {
            let (value, name) = (index + 1, &layer.name);
            let wrong = |what| Err(TrainError::Conflict(format!("layer `{name}` {what}")));
            let taken = links.iter().position(|links| links.from == value);
            if layer.activation_bits.is_some() || layer.average.is_some() {
                if taken.is_none() && links.iter().all(|links| links.adds != Some(value)) {
                    return wrong("gives what no layer takes".to_owned());
                }
                continue;
            }
            if let Some(by) = taken {
                let by = &self.layer[by].name;
                return wrong(format!("is taken by `{by}`: it needs activation_bits, 1 to 8"));
            }
            if layer.learned_thresholds {
                return wrong("has no activation_bits, so it has no thresholds".to_owned());
            }
            if links.iter().all(|links| links.adds != Some(value)) {
                return wrong("gives what no layer takes".to_owned());
            }
        }
        Ok(())
    }

    /// The augmentation of an epoch, counted from 0.
    pub(crate) fn augmentation_of(&self, epoch: usize) -> Option<&Augmentation> {
        self.augmentation
            .as_ref()
            .filter(|augmentation| epoch + augmentation.last_epochs_clean < self.epochs)
    }
}

impl InputConfig {
    fn validate(&self) -> Result<(), TrainError> {
        range("number of input.cuts", self.cuts.len() as f64, 1.0, 255.0)?;
        range("input.cuts", self.cuts[0].into(), 1.0, 255.0)?;
        match self.cuts.is_sorted_by(|a, b| a < b) {
            true => Ok(()),
            false => Err(TrainError::Conflict(format!(
                "`input.cuts` are {:?}, they must ascend, each above the one before",
                self.cuts
            ))),
        }
    }
}

impl LayerConfig {
    fn validate(&self, is_last: bool) -> Result<(), TrainError> {
        if let Some(side) = self.average {
            return self.validate_average(side, is_last);
        }
        range("layer.outputs", self.outputs as f64, 1.0, 4096.0)?;
        range("layer.kernel", self.kernel.unwrap_or(1) as f64, 1.0, 15.0)?;
        range("layer.padding", self.padding as f64, 0.0, (self.kernel.unwrap_or(1) - 1) as f64)?;
        range(
            "layer.stride",
            self.stride as f64,
            1.0,
            if self.kernel.is_some() { 8.0 } else { 1.0 },
        )?;
        range("layer.pool", self.pool as f64, 1.0, if self.kernel.is_some() { 8.0 } else { 1.0 })?;
        let [fewest, most] = if self.zero_weights { [2.0, 4.0] } else { [1.0, 2.0] };
        range("layer.weight_bits", self.weight_bits.into(), fewest, most)?;
        if let Some(bits) = self.activation_bits {
            range("layer.activation_bits", bits.into(), 1.0, 8.0)?;
        }
        range("layer.frozen_from", self.frozen_from.unwrap_or(1) as f64, 1.0, 1e4)?;
        range("layer.patterns", self.patterns.unwrap_or(1) as f64, 1.0, f64::INFINITY)?;
        let name = &self.name;
        let wrong = |what| Err(TrainError::Conflict(format!("layer `{name}` {what}")));
        match (is_last, self.activation_bits) {
            (true, Some(_)) => {
                wrong("is the last: it gives the classes and has no activation_bits")
            }
            _ if is_last && self.learned_thresholds => wrong("is the last: it has no thresholds"),
            _ if is_last && self.kernel.is_some() => wrong("is the last: it must be linear"),
            _ => Ok(()),
        }
    }

    fn validate_average(&self, side: usize, is_last: bool) -> Result<(), TrainError> {
        range("layer.average", side as f64, 0.0, 64.0)?;
        if let Some(bits) = self.activation_bits {
            range("layer.activation_bits", bits.into(), 1.0, 8.0)?;
        }
        let bare = Self {
            name: self.name.clone(),
            from: self.from.clone(),
            average: self.average,
            activation_bits: self.activation_bits,
            learned_thresholds: self.learned_thresholds && self.activation_bits.is_some(),
            outputs: 0,
            ..Self::lenet5()[3].clone()
        };
        let wrong = |what| Err(TrainError::Conflict(format!("layer `{}` {what}", self.name)));
        match *self == bare {
            _ if is_last => wrong("is the last: it must be linear"),
            false => wrong(
                "is an average: beside `average` it may have `from`, `activation_bits` and, with \
                 these, `learned_thresholds`",
            ),
            true => Ok(()),
        }
    }
}

impl Augmentation {
    fn validate(&self, epochs: usize) -> Result<(), TrainError> {
        range("augmentation.rotation_degrees", self.rotation_degrees, 0.0, 180.0)?;
        range("augmentation.scale", self.scale, 0.0, 0.5)?;
        range("augmentation.shear", self.shear, 0.0, 1.0)?;
        range("augmentation.shift_pixels", self.shift_pixels, 0.0, 28.0)?;
        range("augmentation.elastic_pixels", self.elastic_pixels, 0.0, 28.0)?;
        let clean = self.last_epochs_clean as f64;
        range("augmentation.last_epochs_clean", clean, 0.0, epochs as f64)
    }
}

pub(crate) fn range(key: &'static str, value: f64, min: f64, max: f64) -> Result<(), TrainError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(TrainError::Range { key, value, min, max })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        let check = |text: &str, expected: Expect| {
            expected.assert_eq(&TrainConfig::from_toml(text).unwrap_err().to_string());
        };
        check("epochs = 0", expect!["`epochs` is 0, it must lie in 1..=10000"]);
        check("batch = 60001", expect!["`batch` is 60001, it must lie in 1..=60000"]);
        check(
            "[optimiser]\nkind = 'adam'\nlearning_rate = nan",
            expect!["`optimiser.learning_rate` is NaN, it must lie in 0.000001..=1"],
        );
        check("[input]\ncuts = []", expect!["`number of input.cuts` is 0, it must lie in 1..=255"]);
        check("[input]\ncuts = [0, 9]", expect!["`input.cuts` is 0, it must lie in 1..=255"]);
        check(
            "[input]\ncuts = [64, 64]",
            expect!["`input.cuts` are [64, 64], they must ascend, each above the one before"],
        );
        let layer = |rest: &str| format!("[[layer]]\nname = 'fc'\noutputs = 10\n{rest}");
        check(&layer("pool = 2"), expect!["`layer.pool` is 2, it must be 1"]);
        check(
            &layer("frozen_from = 0"),
            expect!["`layer.frozen_from` is 0, it must lie in 1..=10000"],
        );
        check(&layer("weight_bits = 3"), expect!["`layer.weight_bits` is 3, it must lie in 1..=2"]);
        check(
            &layer("activation_bits = 2"),
            expect!["layer `fc` is the last: it gives the classes and has no activation_bits"],
        );
        check(&layer("kernel = 3"), expect!["layer `fc` is the last: it must be linear"]);
        check(
            &format!("{}\n[[layer]]\nname = 'out'\noutputs = 10", layer("")),
            expect!["layer `fc` is taken by `out`: it needs activation_bits, 1 to 8"],
        );
        check(
            &layer("weight_bits = 5\nzero_weights = true"),
            expect!["`layer.weight_bits` is 5, it must lie in 2..=4"],
        );
        check(&layer("stride = 2"), expect!["`layer.stride` is 2, it must be 1"]);
        check("layer = []", expect!["a network needs at least 1 layer"]);
        check(
            &format!(
                "[noise]\nmacro_name = 'gt-n40'\nsigma_lrs = 0.1\nadc_offset_lsb = 0.1\n\
                 from_epoch = 1\n{}",
                layer("weight_bits = 2")
            ),
            expect!["`noise` needs weights of 1 bit"],
        );
        let augmented = |clean| {
            format!(
                "epochs = 3\n[augmentation]\nrotation_degrees = 5\nscale = 0.05\nshear = 0.06\n\
                 shift_pixels = 0.9\nlast_epochs_clean = {clean}"
            )
        };
        check(
            &augmented(4),
            expect!["`augmentation.last_epochs_clean` is 4, it must lie in 0..=3"],
        );
        let config = TrainConfig::from_toml(&augmented(2)).unwrap();
        let clean: Vec<bool> =
            (0..3).map(|epoch| config.augmentation_of(epoch).is_none()).collect();
        assert_eq!(clean, [false, true, true]);
    }

    #[test]
    fn branches_that_lead_nowhere_are_named() {
        let check = |layers: &[&str], expected: Expect| {
            let layers: Vec<String> =
                layers.iter().map(|rest| format!("[[layer]]\nname = {rest}\n")).collect();
            let error = TrainConfig::from_toml(&layers.concat()).unwrap_err();
            expected.assert_eq(&error.to_string());
        };
        let [first, last] = ["'a'\noutputs = 4\nactivation_bits = 2", "'z'\noutputs = 10"];
        let with = |layer: &str, rest: &str| format!("{layer}\n{rest}");
        check(
            &[first, &with(last, "adds = 'z'")],
            expect!["layer `z` takes or adds `z`, which is no layer before it"],
        );
        check(
            &[first, "'b'\noutputs = 4\nactivation_bits = 2", &with(last, "from = 'a'")],
            expect!["layer `b` gives what no layer takes"],
        );
        check(
            &[first, "'b'\noutputs = 4", &with(last, "from = 'a'")],
            expect!["layer `b` gives what no layer takes"],
        );
        check(
            &[
                first,
                "'b'\noutputs = 10\nlearned_thresholds = true",
                &with(last, "from = 'a'\nadds = 'b'"),
            ],
            expect!["layer `b` has no activation_bits, so it has no thresholds"],
        );
        check(
            &["'a'\naverage = 2\noutputs = 4", last],
            expect![[r#"
                layer `a` is an average: beside `average` it may have `from`, `activation_bits` and, with these, `learned_thresholds`"#]],
        );
        check(&[first, "'z'\naverage = 0"], expect!["layer `z` is the last: it must be linear"]);
        check(
            &["'a'\naverage = 65", last],
            expect!["`layer.average` is 65, it must lie in 0..=64"],
        );
    }

    #[test]
    fn unknown_keys_are_refused() {
        for text in ["epoch = 3", "[optimiser]\nkind = 'adam'\nrate = 0.1"] {
            let error = TrainConfig::from_toml(text).unwrap_err();
            assert_eq!(error.to_string(), "not a training recipe");
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains("unknown field"), "{source}");
        }
    }

    #[cfg(not(feature = "ndarray"))]
    #[test]
    fn a_backend_that_is_not_built_in_is_refused() {
        let error = TrainConfig::from_toml("backend = 'ndarray'").unwrap_err();
        expect!["`backend` is `ndarray`, which this build lacks: build with `--features ndarray`"]
            .assert_eq(&error.to_string());
    }
}
