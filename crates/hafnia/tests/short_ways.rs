//! The short ways of the front door give what the crates behind them give, and their errors.

use hafnia::ir::Stage;
use hafnia::prelude::*;

fn network() -> Network {
    let weights = [[1, -1, -1], [1, -1, 1], [-1, 1, 1], [-1, 1, -1]];
    let weights = Weights::from_rows(&weights).expect("they are odd");
    Network::classifier(weights, &[128]).expect("one layer")
}

#[test]
fn a_mapping_is_placed_simulated_and_costed() {
    let (network, spec) = (network(), MacroSpec::preset("gt-n40").unwrap());
    let images = Images::from_pixels(&network, &[200, 180, 10, 0, 0, 30, 220, 190], &[0, 1]);
    assert_eq!(images.activations, [1, 1, 0, 0, 0, 0, 1, 1]);
    let mapping = hafnia::map(&network, &spec, "compact", None).unwrap();
    assert_eq!((mapping.stage, mapping.macros()), (Stage::Placed, 1));
    let evaluation = hafnia::simulate(&network, &mapping, &spec, &images, 5).unwrap();
    assert_eq!((evaluation.chips(), evaluation.exact_accuracy()), (5, 1.0));
    let mean = evaluation.accuracies().iter().sum::<f64>() / 5.0;
    assert!((evaluation.accuracy().value - mean).abs() < 1e-12);
    let cost = hafnia::cost_of(&network, &mapping, &spec, &images).unwrap();
    assert!(cost.energy_fj.total.typical > 0.0 && cost.area_um2.total.typical > 0.0);
}

#[test]
fn errors_are_those_of_the_crates() {
    let check = |error: hafnia::Error, expected: &str| assert_eq!(error.to_string(), expected);
    let wide = Weights::from_rows(&[[1, 256]]).unwrap_err();
    check(wide.into(), "a weight is 256, it must lie in -255..=255");
    let (network, spec) = (network(), MacroSpec::preset("gt-n40").unwrap());
    let unknown = hafnia::map(&network, &spec, "compcat", None).unwrap_err();
    assert!(
        unknown.to_string().starts_with("pipeline compcat is none of the built-in ones"),
        "{unknown}"
    );
    let mapping = Mapping::logical(&network, &spec);
    let images = Images::from_pixels(&network, &[0; 4], &[0]);
    let unplaced = hafnia::simulate(&network, &mapping, &spec, &images, 1).unwrap_err();
    check(
        unplaced,
        "a chip is programmed from a mapping at stage `placed`, this one is at `logical`",
    );
}

#[test]
fn weights_take_the_fewest_bits_that_hold_them() {
    for (largest, bits) in [(1, 1), (3, 2), (5, 3), (15, 4), (17, 5), (255, 8)] {
        let weights = Weights::from_rows(&[[largest, -1], [1, -largest]]).unwrap();
        assert_eq!((weights.bits(), weights.value(1, 1)), (bits, -largest));
    }
}
