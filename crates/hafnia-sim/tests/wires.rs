//! The fast model of IR drop against a nodal solver.

#[path = "../../../xtask/src/validate/nodal.rs"]
mod nodal;

use hafnia_cim::Wires;
use hafnia_rng::Seed;
use hafnia_sim::Array;
use nodal::nodal_currents;
use rand::RngExt as _;

/// An array of random bits at 100 µS, on/off ratio 17, as one block.
fn random_array(rows: usize, columns: usize, seed: Seed) -> Array {
    let mut rng = seed.rng();
    let mut array = Array::new(rows, columns);
    array.blocks.push((0..rows, 0..columns));
    for row in 0..rows {
        for column in 0..columns {
            array.set_us(row, column, if rng.random() { 100.0 } else { 100.0 / 17.0 });
        }
    }
    array
}

/// Groups as the ordered scan makes them when every row is on with probability `activity`.
fn groups(rows: usize, activity: f64, seed: Seed) -> Vec<Vec<usize>> {
    let mut rng = seed.rng();
    let on: Vec<usize> = (0..rows).filter(|_| rng.random_bool(activity)).collect();
    on.chunks_exact(7).map(<[usize]>::to_vec).collect()
}

#[test]
fn the_solver_knows_two_resistors_in_series() {
    // one cell at (3, 2): 3 segments of 10 ohm, the cell, 4 segments of 20 ohm
    let mut array = Array::new(4, 3);
    array.set_us(3, 2, 500.0);
    array.blocks.push((0..4, 0..3));
    let wires = Wires { bit_line_ohm: 20.0, word_line_ohm: 10.0, g_lrs_us: 1.0 };
    let expected = 1e6 / (3.0 * 10.0 + 1e6 / 500.0 + 4.0 * 20.0);
    let currents = nodal_currents(&array, &wires, &[3]);
    assert!((currents[2] - expected).abs() < 1e-9 * expected, "{currents:?}");
    let shares = array.shares(&wires, 1);
    // a single cell: the fixed point is reached at once
    assert!((shares[3 * 3 + 2] * 500.0 - expected).abs() < 1e-9 * expected);
}

/// What columns lose to resistance and how far the fast model is off, both in LSB.
struct Comparison {
    mean_drop: f64,
    bias: f64,
    rms: f64,
    conversions: f64,
}

/// 128 rows and 32 columns, three arrays, groups of rows of which 20, 50 or 90 % are on.
fn compare(bit_line_ohm: f64, word_line_ohm: f64) -> Comparison {
    let wires = Wires { bit_line_ohm, word_line_ohm, g_lrs_us: 100.0 };
    let lsb = 100.0 * (1.0 - 1.0 / 17.0);
    let (mut drop, mut bias, mut square, mut n) = (0.0, 0.0, 0.0, 0.0);
    for seed in 0..3 {
        let array = random_array(128, 32, Seed(seed));
        let shares = array.shares(&wires, 7);
        for (index, activity) in [0.2, 0.5, 0.9].into_iter().enumerate() {
            for on in groups(128, activity, Seed(100 + seed).index(index as u64)) {
                for (column, current) in nodal_currents(&array, &wires, &on).into_iter().enumerate()
                {
                    let sum = |share: &dyn Fn(usize) -> f64| -> f64 {
                        on.iter().map(|&row| array.us(row, column) * share(row)).sum()
                    };
                    let error = (sum(&|row| shares[row * 32 + column]) - current) / lsb;
                    drop += (sum(&|_| 1.0) - current) / lsb;
                    bias += error;
                    square += error * error;
                    n += 1.0;
                }
            }
        }
    }
    Comparison { mean_drop: drop / n, bias: bias / n, rms: (square / n).sqrt(), conversions: n }
}

/// How far off, at the root of the mean square and relative to the mean drop, it is to take the
/// other rows of a group for the mean of their column, to first order: with cells g of two values,
/// S their sum over 7 rows, the drop goes as S² and the model as Σg² + 6·ḡ·S; rows lie evenly
/// between 0 and the last, which adds √(4/3).
fn expected_share() -> f64 {
    let low: f64 = 1.0 / 17.0;
    let (mut square, mut drop) = (0.0, 0.0);
    for bits in 0u32..128 {
        let ones = f64::from(bits.count_ones());
        let sum = ones + (7.0 - ones) * low;
        let squares = ones + (7.0 - ones) * low * low;
        let difference = sum * sum - (squares + 6.0 * (1.0 + low) / 2.0 * sum);
        square += difference * difference / 128.0;
        drop += sum * sum / 128.0;
    }
    (4.0f64 / 3.0).sqrt() * square.sqrt() / drop
}

#[test]
fn along_bit_lines_the_mean_is_right_and_the_group_is_not_known() {
    let share = expected_share();
    assert!((share - 0.336).abs() < 5e-4, "{share}");
    for ohm in [0.5, 2.0, 4.0] {
        let found = compare(ohm, 0.01);
        let Comparison { mean_drop, bias, rms, conversions } = found;
        assert!(rms < share * mean_drop, "{ohm} ohm: {rms} of {mean_drop}");
        // Columns of one array and group are independent: five standard errors.
        assert!(bias.abs() < 5.0 * rms / conversions.sqrt(), "{ohm} ohm: {bias} of {mean_drop}");
    }
}

/// The solver needs some resistance along bit lines too; the error is below the drop that it makes.
#[test]
fn along_rows_the_model_is_exact() {
    let of_bit_line = compare(2.0, 0.01).mean_drop / 200.0;
    let Comparison { mean_drop, rms, .. } = compare(0.01, 2.0);
    assert!(mean_drop > 0.1, "{mean_drop}");
    assert!(rms < of_bit_line, "{rms} of {mean_drop}, {of_bit_line}");
}
