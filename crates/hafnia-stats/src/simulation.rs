//! Networks, chips and images with a known effect: what intervals over all three are tested on.
//!
//! Only fragile images can come out otherwise under noise, some more often than others. Network k
//! on chip c loses image i with probability `natural` · network k · chip c · image i, and under the
//! other mapping with what is left of that: 1 − `reduction`, times factors of the network, the chip
//! and the image. All factors are independent and have mean 1, so that over all networks, chips and
//! images the drops of the two mappings are as 1 to 1 − `reduction`, exactly.

use hafnia_rng::{ChaCha8Rng, Seed};
use rand::RngExt;

use crate::outcomes::Outcomes;

/// What varies, and how much: standard deviations are of factors with mean 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scenario {
    /// What carries the spread.
    pub name: &'static str,
    /// Images of a draw.
    pub images: u32,
    /// Chips of a draw.
    pub chips: u32,
    /// Mean share of the images that are lost in natural order.
    pub natural: f64,
    /// The true relative reduction.
    pub reduction: f64,
    /// Deviation of what networks lose.
    pub network_loss: f64,
    /// Whether networks are of two kinds: a third loses much more than the others.
    pub two_kinds: bool,
    /// Deviation of what is left, from network to network.
    pub network_left: f64,
    /// Deviation of what chips lose.
    pub chip_loss: f64,
    /// Deviation of what is left, from chip to chip.
    pub chip_left: f64,
    /// Whether a chip does the same to all networks.
    pub chips_shared: bool,
    /// Share of the images that are fragile.
    pub fragile: f64,
    /// Deviation of what is left, from one fragile image to another.
    pub image_left: f64,
    /// Share of the images that are as fragile in one network as in the others; the others are
    /// fragile in some and not in others.
    pub images_shared: f64,
}

/// One network of a draw: its outcomes in natural order and by the other mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    exact_correct: Vec<bool>,
    natural: Vec<Vec<u32>>,
    other: Vec<Vec<u32>>,
}

impl Drawn {
    /// In natural order, and by the other mapping.
    pub fn outcomes(&self) -> [Outcomes<'_>; 2] {
        [&self.natural, &self.other]
            .map(|differences| Outcomes { exact_correct: &self.exact_correct, differences })
    }
}

impl Scenario {
    /// Networks, chips and images all vary, some forty images being fragile in a network.
    pub const MIXED: Self = Self {
        name: "all three",
        images: 2000,
        chips: 30,
        natural: 0.0015,
        reduction: 0.25,
        network_loss: 0.25,
        two_kinds: false,
        network_left: 0.15,
        chip_loss: 0.2,
        chip_left: 0.2,
        chips_shared: true,
        fragile: 0.02,
        image_left: 0.28,
        images_shared: 0.5,
    };

    /// Everything that is shown in `docs/statistics.md`.
    pub const ALL: [Self; 6] = [
        Self {
            name: "networks",
            chips: 60,
            network_left: 0.25,
            chip_left: 0.05,
            fragile: 0.05,
            image_left: 0.1,
            ..Self::MIXED
        },
        Self {
            name: "networks of two kinds",
            two_kinds: true,
            natural: 0.001,
            network_loss: 0.5,
            network_left: 0.2,
            fragile: 0.04,
            ..Self::MIXED
        },
        Self {
            name: "images, common",
            chips: 60,
            network_loss: 0.1,
            network_left: 0.0,
            chip_left: 0.0,
            images_shared: 1.0,
            ..Self::MIXED
        },
        Self { name: "chips, common", ..Self::CHIPS },
        Self { name: "chips, own", chips_shared: false, ..Self::CHIPS },
        Self::MIXED,
    ];

    const CHIPS: Self = Self {
        chips: 10,
        network_loss: 0.1,
        network_left: 0.0,
        chip_left: 0.28,
        fragile: 0.05,
        image_left: 0.1,
        ..Self::MIXED
    };

    /// The true mean difference of the drops, in percentage points.
    pub fn saved_points(&self) -> f64 {
        100.0 * self.natural * self.reduction * (1.0 - 2.0 / WRONG as f64)
    }

    /// Draws so many networks on the same chips and images.
    ///
    /// # Panics
    /// If factors make a probability that is over 1.
    pub fn draw(&self, networks: usize, seed: Seed) -> Vec<Drawn> {
        let rng = &mut seed.site("simulation/images").rng();
        let common: Vec<Option<Image>> = (0..self.images)
            .map(|_| {
                let image = self.image(rng);
                rng.random_bool(self.images_shared).then_some(image)
            })
            .collect();
        (0..networks as u64).map(|network| self.network(network, &common, seed)).collect()
    }

    fn network(&self, number: u64, common: &[Option<Image>], seed: Seed) -> Drawn {
        let rng = &mut seed.site("simulation/networks").index(number).rng();
        let loss = match self.two_kinds {
            true => two_kinds(self.network_loss, rng),
            false => bell(self.network_loss, rng),
        };
        let left = (1.0 - self.reduction) * bell(self.network_left, rng);
        let own = |common: &Option<Image>| common.unwrap_or_else(|| self.image(rng));
        let images: Vec<Image> = common.iter().map(own).collect();
        let (mut natural, mut other) = (Vec::new(), Vec::new());
        for chip in 0..u64::from(self.chips) {
            let shared = seed.site("simulation/chips").index(chip);
            let own = shared.index(number);
            let rng = &mut if self.chips_shared { shared.rng() } else { own.rng() };
            let loss = self.natural * loss * bell(self.chip_loss, rng);
            let left = left * bell(self.chip_left, rng);
            // Which images are lost is chance, particular to network and chip.
            let rng = &mut own.site("lost").rng();
            let (mut in_natural, mut in_other) = (Vec::new(), Vec::new());
            for (index, image) in (0..).zip(&images).filter(|(_, image)| image.loss > 0.0) {
                let share = loss * image.loss;
                let other_share = share * left * image.left;
                assert!(share.max(other_share) <= 1.0, "{share} and {other_share} of an image");
                let [first, second]: [f64; 2] = [rng.random(), rng.random()];
                // Two of three outcomes depend on the same chance under both mappings.
                let again = if rng.random_bool(2.0 / 3.0) { first } else { second };
                if first < share {
                    in_natural.push(index);
                }
                if again < other_share {
                    in_other.push(index);
                }
            }
            natural.push(in_natural);
            other.push(in_other);
        }
        let exact_correct = (0..self.images).map(|image| image % WRONG != 0).collect();
        Drawn { exact_correct, natural, other }
    }

    fn image(&self, rng: &mut ChaCha8Rng) -> Image {
        match rng.random_bool(self.fragile) {
            true => Image {
                loss: rng.random_range(0.0..2.0) / self.fragile,
                left: bell(self.image_left, rng),
            },
            false => Image { loss: 0.0, left: 1.0 },
        }
    }
}

/// The factors of an image.
#[derive(Debug, Clone, Copy)]
struct Image {
    loss: f64,
    left: f64,
}

/// One image in so many is wrong without noise, and won where others are lost.
const WRONG: u32 = 50;

/// Mean 1 and this standard deviation, up to 0.28: nearly normal, within √12 deviations.
fn bell(sd: f64, rng: &mut ChaCha8Rng) -> f64 {
    let sum: f64 = (0..4).map(|_| rng.random_range(-1.0..1.0)).sum();
    1.0 + sd * 0.75f64.sqrt() * sum
}

/// Mean 1 and this standard deviation, up to 1.4: one in three lies above.
fn two_kinds(sd: f64, rng: &mut ChaCha8Rng) -> f64 {
    let low = sd / 2.0f64.sqrt();
    if rng.random_bool(1.0 / 3.0) { 1.0 + 2.0 * low } else { 1.0 - low }
}
