//! Memory does not grow with the images of an evaluation, but by a few bytes for each.
//!
//! The only test of its process, whose peak the system tells.
#![cfg(target_os = "linux")]

use hafnia_cim::MacroSpec;
use hafnia_ir::{Stage, random as random_mapping};
use hafnia_model::{Input, Layer, Linear, Network, Thresholds, Weights};
use hafnia_rng::Seed;
use hafnia_sim::{Engines, ImageSource, NoiseScope, Programmed, Reference};

/// Activations of an image, and of those before the last matrix.
const LENGTH: usize = 1024;
const REACHED: usize = 64;

/// Images of which nothing is held.
#[derive(Debug)]
struct Made(usize);

impl ImageSource for Made {
    fn len(&self) -> usize {
        self.0
    }

    fn image<'a>(&'a self, index: usize, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        buffer.clear();
        buffer.extend((0..LENGTH).map(|at| u8::from((at * (index + 3)).is_multiple_of(61))));
        buffer
    }

    fn label(&self, _: usize) -> Option<u32> {
        Some(0)
    }
}

fn network() -> Network {
    let weights = |rows: usize, columns: usize| {
        Weights::from_fn(rows, columns, |row, column| if row % 3 == column % 3 { 1 } else { -1 })
    };
    let hidden = Linear {
        name: "hidden".into(),
        weights: weights(LENGTH, REACHED),
        thresholds: Some(Thresholds::shift(REACHED, 1, 2)),
    };
    let last = Linear { name: "last".into(), weights: weights(REACHED, 2), thresholds: None };
    let layers = vec![Layer::Flatten, Layer::Linear(hidden), Layer::Linear(last)];
    Network::new(Input::new(1, 32, 32, &[128]), layers).expect("they fit")
}

/// The most memory that this process had, in KiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("of this process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn memory_does_not_grow_with_images() {
    let (network, spec) = (network(), MacroSpec::preset("gt-n40").expect("a preset"));
    let mapping = random_mapping::mapping(Seed(5), &network, &(&spec).into(), Stage::Placed);
    let after = |images: usize| {
        let reference = Reference::new(&network, Made(images)).expect("they fit").keeping(0);
        for scope in [NoiseScope::All, NoiseScope::Final] {
            let programmed = Programmed::new(&reference, &mapping, &spec, &scope).expect("it fits");
            let evaluation = programmed.run(0..1, Seed(7)).on(&Engines::Device).expect("it fits");
            assert_eq!(evaluation.images(), images);
        }
        peak()
    };
    let few = after(500);
    let grown = after(10_500) - few;
    // Whether the network is right takes a byte each, of the reference and of an evaluation; what
    // reaches the last matrix would take 625 KiB.
    assert!(grown < 200, "{grown} KiB more for 10 000 images of {LENGTH} bytes");
}
