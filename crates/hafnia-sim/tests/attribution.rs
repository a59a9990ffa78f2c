//! Where errors arise, against what is known of it.

use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, Stage, random as random_mapping};
use hafnia_model::{Network, random};
use hafnia_rng::Seed;
use hafnia_sim::{Engines, Images, LayerErrors, NoiseScope, Programmed, Reference};

const CHIPS: u32 = 3;
const IMAGES: usize = 20;

fn reference(network: &Network) -> Reference<'_> {
    let image = |index| random::image(Seed(9).index(index), network.input());
    let activations = (0..IMAGES as u64).flat_map(image).collect();
    let images = Images { activations, labels: vec![0; IMAGES] };
    Reference::new(network, images).expect("they fit")
}

fn placed(network: &Network, spec: &MacroSpec) -> Mapping {
    random_mapping::mapping(Seed(4), network, &spec.into(), Stage::Placed)
}

fn attributed(network: &Network, spec: &MacroSpec, engines: &Engines<'_>) -> Vec<LayerErrors> {
    let (reference, mapping) = (reference(network), placed(network, spec));
    let programmed =
        Programmed::new(&reference, &mapping, spec, &NoiseScope::All).expect("it fits");
    programmed.run(0..CHIPS, Seed(3)).attribute(engines, IMAGES).expect("it can be run")
}

#[test]
fn without_noise_nothing_errs_and_all_conversions_are_counted() {
    let network = random::lenet5(Seed(1));
    let spec = MacroSpec::preset("gt-n40").unwrap().without_noise();
    let mapping = placed(&network, &spec);
    let reference = reference(&network);
    let programmed = Programmed::new(&reference, &mapping, &spec, &NoiseScope::All).unwrap();
    let evaluation = programmed.run(0..CHIPS, Seed(3)).on(&Engines::Device).unwrap();
    let layers = attributed(&network, &spec, &Engines::Device);
    assert_eq!(layers.len(), evaluation.events.len());
    for (layer, events) in layers.iter().zip(&evaluation.events) {
        let conversions: u64 = layer.codes.iter().map(|codes| codes.conversions).sum();
        assert_eq!(conversions, events.conversions, "{}", layer.layer);
        assert!(layer.codes.iter().all(|codes| codes.errors == 0 && codes.clipped == 0));
        for column in &layer.columns {
            assert_eq!((column.error_mean, column.error_square), (0.0, 0.0));
            assert!(column.signal_variance == 0.0 || column.snr_db() == Some(f64::INFINITY));
        }
    }
}

/// Codes err as often as the code table says, which without leakage depends on the ones alone.
#[test]
fn error_rates_are_those_of_the_table() {
    let network = random::lenet5(Seed(1));
    let mut spec = MacroSpec::preset("gt-n40").unwrap();
    spec.cell.on_off_ratio = f64::INFINITY;
    spec.cell.sigma_lrs_rel = 0.2;
    let table = CodeTable::from_spec(&spec);
    for layer in attributed(&network, &spec, &Engines::Table) {
        for (ones, codes) in layer.codes.iter().enumerate() {
            let n = codes.conversions as f64;
            let expected = 1.0 - table.probabilities(spec.rows_per_conversion, ones)[ones];
            let sigma = (n * expected * (1.0 - expected)).sqrt();
            let off = codes.errors as f64 - n * expected;
            // Five standard deviations, and one conversion where hardly any errs.
            assert!(off.abs() <= 5.0 * sigma + 1.0, "{}, {ones} ones: {codes:?}", layer.layer);
        }
    }
}

/// A converter of 2 bits takes all ones beyond 3 for 3.
#[test]
fn clipping_is_seen() {
    let network = random::lenet5(Seed(1));
    let mut spec = MacroSpec::preset("gt-n40").unwrap().without_noise();
    spec.adc.bits = 2;
    for layer in attributed(&network, &spec, &Engines::Exact) {
        for (ones, codes) in layer.codes.iter().enumerate() {
            let beyond = if ones > 3 { codes.conversions } else { 0 };
            assert_eq!((codes.errors, codes.clipped), (beyond, beyond));
        }
        assert!(layer.columns.iter().any(|column| column.error_square > 0.0));
    }
}
