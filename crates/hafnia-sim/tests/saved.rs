//! Chips that are saved, loaded, run and exported.

use hafnia_artifact::{Artifact, Digest, load, load_bytes, save, seal};
use hafnia_cim::{FaultMap, MacroSpec};
use hafnia_ir::{Geometry, Mapping, Stage};
use hafnia_model::random::{self, Limits};
use hafnia_model::{Network, run};
use hafnia_rng::Seed;
use hafnia_sim::{Engines, Images, NoiseScope, Programmed, Reference, SavedChip};
use hafnia_simd::LANES;

fn spec() -> MacroSpec {
    let mut spec = MacroSpec::preset("gt-n40").expect("a preset");
    for (key, value) in [("sigma_lrs_rel", "0.3"), ("stuck_hrs_rate", "0.05")] {
        spec.set(key, value).expect("a valid override");
    }
    spec
}

fn network() -> Network {
    random::network(Seed(1), Limits { outputs: 6, ..Limits::default() })
}

fn mapping(seed: u64, network: &Network, spec: &MacroSpec) -> Mapping {
    hafnia_ir::random::mapping(Seed(seed), network, &Geometry::from(spec), Stage::Placed)
}

#[test]
fn a_saved_chip_runs_as_a_fresh_one() {
    let (spec, network) = (spec(), network());
    let mapping = mapping(2, &network, &spec);
    let folder = tempfile::tempdir().expect("a folder");
    let chips: Vec<SavedChip> = (0..3)
        .map(|number| {
            let chip = SavedChip::program(&mapping, &spec, Seed(7), number).expect("it is placed");
            let path = folder.path().join(format!("{number}.chip"));
            save(&path, &chip).expect("a file");
            let loaded: SavedChip = load(&path).expect("the file");
            assert_eq!(loaded, chip);
            loaded
        })
        .collect();
    let mut images = Images { activations: Vec::new(), labels: Vec::new() };
    for image in 0..20 {
        let activations = random::image(Seed(100 + image), network.input());
        let outputs =
            run(&network, &activations, &mut hafnia_model::ReferenceProduct::new(&network));
        images.labels.push(hafnia_model::arithmetic::argmax(&outputs) as u32);
        images.activations.extend(activations);
    }
    let reference = Reference::new(&network, &images).expect("images");
    let programmed = Programmed::new(&reference, &mapping, &spec, &NoiseScope::All).expect("fits");
    let fresh = programmed.run(0..3, Seed(7)).on(&Engines::Device).expect("chips");
    let saved = programmed.run(0..3, Seed(7)).on(&Engines::Saved(&chips)).expect("chips");
    assert_eq!(saved, fresh);
    let error = programmed.run(2..4, Seed(7)).on(&Engines::Saved(&chips)).expect_err("3 are saved");
    assert_eq!(error.to_string(), "chips up to 4 were asked for, 3 are saved");
    assert_eq!(chips[0].spec().expect("a macro"), spec);
}

#[test]
fn a_chip_of_another_mapping_or_converter_is_refused() {
    let (spec, network) = (spec(), network());
    let [one, other] = [2, 3].map(|seed| mapping(seed, &network, &spec));
    let chip = SavedChip::program(&one, &spec, Seed(7), 4).expect("it is placed");
    let error = chip.chip(&other, &spec).expect_err("another mapping").to_string();
    assert!(error.starts_with("chip 4 was programmed with mapping "), "{error}");
    let mut wide = spec.clone();
    wide.adc.bits = 4;
    let error = chip.chip(&one, &wide).expect_err("another converter").to_string();
    assert_eq!(error, "chip 4 has 7 comparators a column, macro `gt-n40` has 15");
}

#[test]
fn exports_are_read_back() {
    let (spec, network) = (spec(), network());
    let mapping = mapping(2, &network, &spec);
    let chip = SavedChip::program(&mapping, &spec, Seed(7), 0).expect("it is placed");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stuck.csv").display().to_string();
    std::fs::write(&path, chip.stuck_csv()).expect("a file");
    let map = FaultMap::load(&path).expect("a map");
    assert_eq!(map.iter().collect::<Vec<_>>(), chip.stuck);

    // With the map in place of the rate every chip has these stuck cells.
    let mut mapped = spec.clone();
    mapped.faults.stuck_hrs_rate = 0.0;
    mapped.set("faults.map", &path).expect("the map");
    let again = SavedChip::program(&mapping, &mapped, Seed(7), 0).expect("it is placed");
    assert_eq!(again.stuck, chip.stuck);
    assert_eq!(
        again.chip(&mapping, &spec).expect("its mapping"),
        chip.chip(&mapping, &spec).expect("its mapping")
    );
    let offsets = chip.offsets_csv().expect("a macro");
    assert_eq!(offsets.lines().count(), 1 + mapping.macros() * spec.columns * 7);
    let states = chip.states(&mapping, &spec).expect("its mapping");
    let [hrs, lrs] = states[..] else { panic!("two states") };
    assert!(hrs.0 < lrs.0 && hrs.2 + lrs.2 > 0);
}

/// A chip as it travels, without what keeps it right.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Forged {
    mapping: Digest,
    macro_name: String,
    macro_values: Vec<(String, String)>,
    seed: Seed,
    macros: u32,
    stuck: Vec<([u32; 3], bool)>,
    number: u64,
    tiles: Vec<ForgedTile>,
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct ForgedTile {
    blocks: usize,
    cells: Vec<[f32; LANES]>,
    thresholds: Vec<[f32; LANES]>,
}

impl Artifact for Forged {
    const KIND: &'static str = SavedChip::KIND;
    const SCHEMA: u32 = SavedChip::SCHEMA;
}

#[test]
fn a_chip_with_a_right_checksum_and_wrong_content_is_refused() {
    let (spec, network) = (spec(), network());
    let mapping = mapping(3, &network, &spec);
    let chip = SavedChip::program(&mapping, &spec, Seed(7), 0).expect("it is placed");
    let true_one: Forged = load_bytes("c", &seal(&chip).expect("a chip")).expect("its bytes");
    let forged = |change: &dyn Fn(&mut Forged)| {
        let mut forged = true_one.clone();
        change(&mut forged);
        load_bytes::<SavedChip>("c", &seal(&forged).expect("a chip"))
    };
    assert_eq!(forged(&|_| ()).expect("as it was"), chip);
    let check = |change: &dyn Fn(&mut Forged), expected: &str| {
        let error = forged(change).expect_err("a fault").to_string();
        assert_eq!(error.strip_prefix("c holds no valid \"chip\": "), Some(expected), "{error}");
    };
    let tiles = mapping.tiles.len();
    check(&|c| c.macros = u32::MAX, &format!("it has {tiles} tiles on 4294967295 macros"));
    check(&|c| c.macros = 0, &format!("it has {tiles} tiles on 0 macros"));
    check(&|c| c.tiles[0].blocks = 0, "tile 0 has 0 blocks, it must lie in 1..=8");
    check(
        &|c| c.tiles[0].blocks = usize::MAX,
        "tile 0 has 18446744073709551615 blocks, it must lie in 1..=8",
    );
    check(&|c| drop(c.tiles.pop()), "it has 0 tiles on 1 macros");
    check(&|c| c.tiles[0].cells.clear(), "tile 0 has cells for no whole number of rows up to 128");
    check(&|c| c.tiles[0].thresholds.clear(), "tile 0 has 0 rows of thresholds, not 1 x 7");
    check(
        &|c| c.tiles[0].cells[0][0] = f32::NAN,
        "tile 0 has a cell of NaN LSB, it must be a finite number",
    );
    check(
        &|c| c.tiles[0].cells[0][0] = f32::INFINITY,
        "tile 0 has a cell of inf LSB, it must be a finite number",
    );
    check(&|c| c.tiles[0].thresholds[0][0] = f32::NAN, "tile 0 has a threshold that is no number");
    check(
        &|c| c.stuck.push(([0, 4096, 0], true)),
        "its stuck cells must ascend and lie on its macros",
    );
    check(
        &|c| c.macro_values[0].1 = "0".to_owned(),
        "macro `gt-n40`: rows is 0, it must be in 1..=4096",
    );
    check(&|c| c.macro_values.clear(), "macro `gt-n40`: rows is missing");
    // Whole, but not of its mapping: known when both are there.
    for change in
        [(&|c: &mut Forged| c.tiles[0].cells.push([0.0; LANES])) as &dyn Fn(&mut Forged), &|c| {
            c.tiles[0].thresholds[0][0] = f32::INFINITY
        }]
    {
        let chip = forged(change).expect("a whole chip");
        let error = chip.chip(&mapping, &spec).expect_err("other tiles").to_string();
        assert_eq!(
            error,
            "chip 0 does not hold the tiles of its mapping: make it again with `hafnia chip program`"
        );
    }
}
