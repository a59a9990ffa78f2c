//! What is drawn once for a chip: stuck cells, shapes of variation and thresholds, by their moments
//! and against closed forms.

use hafnia_cim::{Fabrication, MacroSpec};
use hafnia_ir::{Mapping, Place, Stage, TileId};
use hafnia_model::{BitMatrix, Input, Layer, Linear, Network};
use hafnia_rng::Seed;
use hafnia_sim::Chip;

fn spec(overrides: &[(&str, &str)]) -> MacroSpec {
    let mut spec = MacroSpec::preset("gt-n40").expect("a preset").without_noise();
    for (key, value) in overrides {
        spec.set(key, value).expect("a valid override");
    }
    spec
}

/// A mapping of one full macro whose left half is programmed to LRS, the right one to HRS.
fn halves(spec: &MacroSpec) -> Mapping {
    let weights = BitMatrix::from_fn(128, 128, |_, column| column < 64);
    let input = Input::upper_bits(128, 1, 1, 1);
    let layer = Linear { name: "only".into(), weights: weights.into(), thresholds: None };
    let network = Network::new(input, vec![Layer::Linear(layer)]).expect("it fits");
    let mut mapping = Mapping::logical(&network, spec);
    mapping.stage = Stage::Placed;
    mapping.tiles[0].place = Some(Place { macro_index: 0, row: 0, column: 0 });
    mapping
}

/// The signals of cells programmed to HRS and to LRS, of chips 0 to 3.
fn signals(spec: &MacroSpec) -> [Vec<f64>; 2] {
    let mut signals = [Vec::new(), Vec::new()];
    for number in 0..4 {
        let chip = Chip::program(&halves(spec), spec, Seed(5), number).expect("it is placed");
        for row in 0..128 {
            for column in 0..128 {
                let signal = chip.cell_lsb(TileId(0), row, column);
                signals[usize::from(column < 64)].push(f64::from(signal));
            }
        }
    }
    signals
}

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0))
}

/// Mean 1 and variance (σ·G)² whatever the shape. With n = 32 768 draws the mean is off by 5σ/√n
/// with a probability below 1e-6; the sample variance has a standard error of
/// σ²·√((kurtosis − 1)/n), the kurtosis being below 5 here (log-normal, σ = 0.2: 3.7).
#[test]
fn every_shape_keeps_mean_and_variance() {
    for shape in ["normal", "log-normal", "points{1 2 2.5 2.6 2.7 3}"] {
        let spec = spec(&[("sigma_lrs_rel", "0.2"), ("lrs_distribution", shape)]);
        let [_, lrs] = signals(&spec);
        let (n, sigma) = (lrs.len() as f64, 0.2 * spec.cell.g_lrs_lsb());
        let (mean, variance) = moments(&lrs);
        assert!((mean - 1.0).abs() < 5.0 * sigma / n.sqrt(), "{shape}: {mean}");
        let within = 5.0 * sigma * sigma * (4.0 / n).sqrt();
        assert!((variance - sigma * sigma).abs() < within, "{shape}: {variance}");
    }
}

#[test]
fn log_normal_cells_conduct() {
    let spec = spec(&[("sigma_hrs_rel", "1"), ("hrs_distribution", "log-normal")]);
    let [hrs, _] = signals(&spec);
    assert!(hrs.iter().all(|signal| signal + spec.cell.g_hrs_lsb() > 0.0));
}

/// Of n = 65 536 cells a share p is stuck, off by more than 5·√(p(1 − p)/n) with a probability
/// below 1e-6.
#[test]
fn rates_of_stuck_cells() {
    let spec = spec(&[("stuck_lrs_rate", "0.0175"), ("stuck_hrs_rate", "0.0904")]);
    let [hrs, lrs] = signals(&spec);
    let share = |signals: &[f64], state: f64| {
        signals.iter().filter(|&&signal| signal == state).count() as f64 / signals.len() as f64
    };
    for (found, rate) in [(share(&hrs, 1.0), 0.0175), (share(&lrs, 0.0), 0.0904)] {
        let within = 5.0 * (rate * (1.0 - rate) / 32_768.0f64).sqrt();
        assert!((found - rate).abs() < within, "{found}, not {rate}");
    }
    // what is said of a row is what a program meets
    let chip = Chip::program(&halves(&spec), &spec, Seed(5), 2).expect("it is placed");
    let fabrication = Fabrication::new(&spec, Seed(5), 2);
    for row in 0..128 {
        for (column, stuck) in fabrication.stuck(0, row).into_iter().enumerate() {
            let programmed = column < 64;
            let expected = f32::from(u8::from(stuck.unwrap_or(programmed)));
            assert_eq!(chip.cell_lsb(TileId(0), row as usize, column), expected);
        }
    }
}

#[test]
fn the_fault_map_stands_above_what_is_drawn() {
    let path = std::env::temp_dir().join(format!("hafnia-sim-{}-map.csv", std::process::id()));
    std::fs::write(&path, "macro,row,column,state\n0,3,5,HRS\n0,4,100,LRS\n1,0,0,LRS\n")
        .expect("a temporary file");
    let path = path.display().to_string();
    for rate in ["0", "0.5"] {
        let spec = spec(&[("faults.map", &path), ("stuck_lrs_rate", rate)]);
        for number in 0..3 {
            let fabrication = Fabrication::new(&spec, Seed(1), number);
            assert_eq!(fabrication.stuck(0, 3)[5], Some(false));
            assert_eq!(fabrication.stuck(0, 4)[100], Some(true));
        }
        if rate == "0" {
            let fabrication = Fabrication::new(&spec, Seed(1), 0);
            assert_eq!(fabrication.stuck(0, 3).iter().flatten().count(), 1);
        }
    }
    std::fs::remove_file(path).expect("the file just written");
}

#[test]
fn mismatch_makes_missing_codes_but_no_step_back() {
    let spec = spec(&[("adc.kind", "sar"), ("mismatch_lsb", "1"), ("adc.bits", "4")]);
    let mut missing = 0;
    for column in 0..200 {
        let mut found = vec![0.0; 15];
        Fabrication::new(&spec, Seed(9), 0).thresholds(0, column, &mut found);
        assert!(found.windows(2).all(|pair| pair[0] <= pair[1]), "{found:?}");
        missing += found.windows(2).filter(|pair| pair[0] == pair[1]).count();
    }
    assert!(missing > 0, "elements that are off by 1 LSB make missing codes");
}

/// One comparator per column: its offset moves all thresholds alike.
#[test]
fn a_search_has_one_offset() {
    let spec = spec(&[("adc.kind", "sar"), ("offset_lsb", "0.3"), ("gain_error_rel", "0.1")]);
    let mut found = vec![0.0; 7];
    Fabrication::new(&spec, Seed(9), 0).thresholds(0, 3, &mut found);
    let offset = found[0] - 0.55;
    assert!(offset != 0.0);
    for (comparator, threshold) in found.iter().enumerate() {
        assert!((threshold - (comparator as f64 + 0.5) * 1.1 - offset).abs() < 1e-12);
    }
}

/// Cells far from where lines are driven and read add less; what they lose at 1 Ω a cell is first
/// order the drop of all lines: of cell (127, 127), in a full macro of 64 cells in LRS a row, at
/// most 128 segments times 64·100 µS of the row, and 128 times 7·100 µS of the bit line.
#[test]
fn ir_drop_grows_with_distance() {
    let spec = spec(&[("bit_line_ohm", "1"), ("word_line_ohm", "1"), ("on_off_ratio", "inf")]);
    let chip = Chip::program(&halves(&spec), &spec, Seed(5), 0).expect("it is placed");
    let cell = |row, column| chip.cell_lsb(TileId(0), row, column);
    assert_eq!(cell(0, 127), 0.0, "a cell that does not conduct has nothing to lose");
    let (near, far) = (cell(0, 0), cell(127, 63));
    assert!(near > cell(127, 0) && cell(127, 0) > far && near > cell(0, 63), "{near} {far}");
    let most = 128.0 * (64.0 + 7.0) * 100e-6;
    assert!(far > 1.0 / (1.0 + most), "{far}");
}
