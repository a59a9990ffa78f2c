//! A network trained elsewhere, whose inputs and hidden activations are −1 and +1 and whose hidden
//! layer has biases: folded into integers, checked against its own arithmetic, run on virtual chips.

use hafnia::model::arithmetic::argmax;
use hafnia::model::{ReferenceProduct, run};
use hafnia::prelude::*;
use rand::RngExt;

const INPUTS: usize = 16;
const HIDDEN: usize = 12;
const CLASSES: usize = 3;
const IMAGES: usize = 200;

/// As it was trained: s = sign(W·x + b) with x and s of −1 and +1, then V·(s + 1)/2.
struct Trained {
    w: [[i32; HIDDEN]; INPUTS],
    b: [f64; HIDDEN],
    v: [[i32; CLASSES]; HIDDEN],
}

impl Trained {
    fn outputs(&self, pixels: &[u8]) -> Vec<i32> {
        let x = |input: usize| if pixels[input] >= 128 { 1 } else { -1 };
        let hidden: Vec<i32> = (0..HIDDEN)
            .map(|unit| {
                let sum: i32 = (0..INPUTS).map(|input| self.w[input][unit] * x(input)).sum();
                i32::from(f64::from(sum) + self.b[unit] >= 0.0)
            })
            .collect();
        let output =
            |class: usize| (0..HIDDEN).map(|unit| self.v[unit][class] * hidden[unit]).sum();
        (0..CLASSES).map(output).collect()
    }

    /// With x = 2a − 1 for activations a of 0 and 1, W·x + b ≥ 0 is W·a ≥ (ΣW − b)/2, and as the left
    /// side is an integer, the right one is rounded up.
    fn threshold(&self, unit: usize) -> i32 {
        let sum: i32 = self.w.iter().map(|row| row[unit]).sum();
        ((f64::from(sum) - self.b[unit]) / 2.0).ceil() as i32
    }

    fn network(&self) -> Result<Network, hafnia::Error> {
        let hidden = Linear {
            name: "hidden".to_owned(),
            weights: Weights::from_rows(&self.w)?,
            thresholds: Some(Thresholds::new(
                1,
                (0..HIDDEN).map(|unit| self.threshold(unit)).collect(),
            )),
        };
        let weights = Weights::from_rows(&self.v)?;
        let last = Linear { name: "last".to_owned(), weights, thresholds: None };
        // A pixel of 128 or more is on.
        let input = Input::new(1, 4, 4, &[128]);
        let layers = vec![Layer::Flatten, Layer::Linear(hidden), Layer::Linear(last)];
        Ok(Network::new(input, layers)?)
    }
}

pub(crate) fn main() -> Result<(), hafnia::Error> {
    // Random numbers stand for a training.
    let rng = &mut Seed(1).rng();
    let mut sign = || if rng.random() { 1 } else { -1 };
    let w = std::array::from_fn(|_| std::array::from_fn(|_| sign()));
    let v = std::array::from_fn(|_| std::array::from_fn(|_| sign()));
    let b = std::array::from_fn(|_| rng.random_range(-3.0..3.0));
    let trained = Trained { w, b, v };
    let pixels: Vec<u8> = (0..IMAGES * INPUTS).map(|_| rng.random()).collect();

    // Every output of every image is the same in integers.
    let network = trained.network()?;
    let mut labels = Vec::new();
    for image in pixels.chunks(INPUTS) {
        let activations: Vec<u8> = image.iter().map(|&pixel| u8::from(pixel >= 128)).collect();
        let outputs = run(&network, &activations, &mut ReferenceProduct::new(&network));
        assert_eq!(outputs, trained.outputs(image));
        labels.push(argmax(&outputs) as u32);
    }

    // Its own answers are the labels, so that what is lost is lost to noise.
    let images = Images::from_pixels(&network, &pixels, &labels);
    let mut spec = MacroSpec::preset("gt-n40")?;
    spec.set("cell.sigma_lrs_rel", "0.3")?;
    let mapping = hafnia::map(&network, &spec, "compact", None)?;
    let outcome = hafnia::simulate(&network, &mapping, &spec, &images, 20)?;
    println!("of its answers {} are given on {} chips", outcome.accuracy(), outcome.chips());
    Ok(())
}
