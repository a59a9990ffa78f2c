//! Faults of every kind, planted in a valid mapping, and who catches them.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use hafnia_artifact::Digest;
use hafnia_cim::MacroSpec;
use hafnia_ir::{Coding, Mapping, RowEntry, Stage, Tile, prove, verify};
use hafnia_model::Network;
use proptest::prelude::*;

use crate::sample;

/// What is planted, and how.
type Fault = (&'static str, fn(&mut Mapping));

/// What a mapping may have, and whether it has.
type Feature = (&'static str, fn(&Mapping) -> bool);

/// Plants each fault in the sample and prints what verifier and proof say; one of them has to.
fn check(faults: &[Fault], expected: Expect) {
    check_in(&sample::mapping(), &sample::network(), faults, expected);
}

/// As [`check`], in another mapping.
fn check_in(right: &Mapping, network: &Network, faults: &[Fault], expected: Expect) {
    let mut lines = String::new();
    for (name, plant) in faults {
        let mut mapping = right.clone();
        plant(&mut mapping);
        let (verified, proven) = (verify(&mapping), prove(&mapping, network));
        assert!(verified.is_err() || proven.is_err(), "{name} is not caught");
        writeln!(lines, "{name}").unwrap();
        for (who, result) in [("verify", verified), ("prove", proven)] {
            for violation in result.err().iter().flat_map(|violations| violations.all()) {
                writeln!(lines, "  {who}: {violation}").unwrap();
            }
        }
    }
    expected.assert_eq(&lines.replace(&network.digest().to_string(), "<digest>"));
}

fn edit_rows(tile: &mut Tile, edit: impl FnOnce(&mut Vec<RowEntry>)) {
    let mut entries: Vec<RowEntry> = tile.rows.iter().collect();
    edit(&mut entries);
    tile.rows = entries.into_iter().collect();
}

/// Drops all columns but these, with their cells.
fn keep_columns(tile: &mut Tile, kept: &[usize]) {
    tile.bits = tile.bits.select_columns(kept);
    tile.columns = kept.iter().map(|&index| tile.columns[index]).collect();
}

#[test]
fn the_samples_are_right() {
    let samples = [
        (sample::mapping(), sample::network()),
        (sample::stripped(), sample::network_to_strip()),
        (sample::levels(), sample::network_of_levels()),
    ];
    for (mapping, network) in samples {
        assert_eq!(verify(&mapping), Ok(()));
        assert_eq!(prove(&mapping, &network), Ok(()));
    }
}

#[test]
fn what_takes_no_cells() {
    check_in(
        &sample::stripped(),
        &sample::network_to_strip(),
        &[
            ("a live row declared dead", |m| {
                m.matrices[1].dead = vec![1, 2];
                m.tiles[1] = m.tiles[1].with_entries(&[0, 2]);
            }),
            ("a dead row declared alive", |m| m.matrices[1].dead.clear()),
            ("a dead row in a tile", |m| {
                edit_rows(&mut m.tiles[1], |rows| rows[1].logical = 1);
            }),
            ("a dead row that does not exist", |m| m.matrices[1].dead = vec![1, 4]),
            ("a dead row twice", |m| m.matrices[1].dead = vec![1, 1]),
            ("all rows dead", |m| m.matrices[1].dead = vec![0, 1, 2, 3]),
        ],
        expect![[r#"
            a live row declared dead
              prove: matrix m1: row 2 of `out` is declared dead, but its level may reach 3 (rule 15)
            a dead row declared alive
              verify: matrix m1: weight (1, 0) of `out` replica 0 is in no tile (rule 9)
              prove: matrix m1: no tile holds weight (1, 0) of `out` replica 0 (rule 16)
            a dead row in a tile
              verify: tile t1 of m1, entry 1: logical row 1 is dead in `out` (rule 5)
              prove: tile t1 of m1, entry 1, column 0: cell (1, 0) holds weight (1, 0) of `out` replica 0, whose row is declared dead (rule 16)
              prove: matrix m1: no tile holds weight (2, 0) of `out` replica 0 (rule 16)
            a dead row that does not exist
              verify: matrix m1: dead row 4 of `out` must lie in 2..4, as dead rows ascend (rule 2)
              prove: matrix m1: row 4 of `out` is declared dead, but there are 4 (rule 15)
            a dead row twice
              verify: matrix m1: dead row 1 of `out` must lie in 2..4, as dead rows ascend (rule 2)
            all rows dead
              verify: matrix m1: `out` leaves no weight to its tiles: all 4 rows are dead (rule 2)
              verify: tile t1 of m1, entry 0: logical row 0 is dead in `out` (rule 5)
              verify: tile t1 of m1, entry 1: logical row 2 is dead in `out` (rule 5)
              verify: tile t1 of m1, entry 2: logical row 3 is dead in `out` (rule 5)
              prove: matrix m1: row 0 of `out` is declared dead, but its level may reach 3 (rule 15)
              prove: matrix m1: row 2 of `out` is declared dead, but its level may reach 3 (rule 15)
              prove: matrix m1: row 3 of `out` is declared dead, but its level may reach 3 (rule 15)
        "#]],
    );
}

#[test]
fn what_is_programmed() {
    check(
        &[
            ("a wrong bit", |m| {
                let bit = m.tiles[2].bits.get(3, 1);
                m.tiles[2].bits.set(3, 1, !bit);
            }),
            ("a wrong bit in the second replica", |m| m.tiles[3].bits.set(0, 2, false)),
            ("swapped cells of two rows", |m| {
                m.tiles[3].bits = m.tiles[3].bits.select_rows([0, 2, 1, 3]);
            }),
            ("a wrong sign", |m| edit_rows(&mut m.tiles[0], |rows| rows[3].negative = false)),
            ("a wrong polarity", |m| m.tiles[1].columns[1].inverted = false),
            ("the wrong shared row", |m| edit_rows(&mut m.tiles[0], |rows| rows[2].physical = 1)),
            ("swapped logical rows", |m| {
                edit_rows(&mut m.tiles[2], |rows| {
                    (rows[0].logical, rows[1].logical) = (rows[1].logical, rows[0].logical);
                });
            }),
            ("swapped columns", |m| m.tiles[3].columns.swap(0, 2)),
            ("another network", |m| m.network = Digest::of(b"another network")),
            ("another layer", |m| m.matrices[1].name = "output".into()),
            ("a tile of another matrix", |m| m.tiles[1].matrix.0 = 1),
            ("a tile of no matrix", |m| m.tiles[1].matrix.0 = 2),
        ],
        expect![[r#"
            a wrong bit
              prove: tile t2 of m1, entry 3, column 1: cell (3, 1) holds weight (1, 0) of `out` replica 0, but as 1, not 0 (rule 16)
            a wrong bit in the second replica
              prove: tile t3 of m1, entry 0, column 2: cell (0, 2) holds weight (0, 2) of `out` replica 1, but as 0, not 1 (rule 16)
            swapped cells of two rows
              prove: tile t3 of m1, entry 1, column 0: cell (1, 0) holds weight (1, 0) of `out` replica 1, but as 1, not 0 (rule 16)
              prove: tile t3 of m1, entry 2, column 0: cell (2, 0) holds weight (2, 0) of `out` replica 1, but as 0, not 1 (rule 16)
            a wrong sign
              prove: tile t0 of m0, entry 3, column 0: cell (0, 0) holds weight (3, 0) of `hidden` replica 0, but as 1, not 0 (rule 16)
            a wrong polarity
              prove: tile t1 of m0, entry 0, column 1: cell (0, 1) holds weight (4, 1) of `hidden` replica 0, but as 0, not 1 (rule 16)
              prove: tile t1 of m0, entry 1, column 1: cell (1, 1) holds weight (5, 1) of `hidden` replica 0, but as 1, not 0 (rule 16)
            the wrong shared row
              prove: tile t0 of m0, entry 2, column 0: cell (1, 0) holds weight (2, 0) of `hidden` replica 0, but as 0, not 1 (rule 16)
            swapped logical rows
              prove: tile t2 of m1, entry 0, column 0: cell (0, 0) holds weight (0, 2) of `out` replica 0, but as 0, not 1 (rule 16)
              prove: tile t2 of m1, entry 1, column 0: cell (1, 0) holds weight (2, 2) of `out` replica 0, but as 1, not 0 (rule 16)
            swapped columns
              prove: tile t3 of m1, entry 2, column 0: cell (2, 0) holds weight (2, 2) of `out` replica 1, but as 1, not 0 (rule 16)
              prove: tile t3 of m1, entry 3, column 0: cell (3, 0) holds weight (3, 2) of `out` replica 1, but as 0, not 1 (rule 16)
            another network
              prove: mapping: it is of network 846aff4fd6d2927c778e61054697f7353c903766384ae6c797055bbfc0e2962e, not of <digest> (rule 14)
            another layer
              prove: matrix m1: it is `output`, in the network `out` (rule 14)
            a tile of another matrix
              verify: tile t1 of m1, column 3: logical column 3 does not exist, `out` has 3 (rule 4)
              verify: tile t1 of m1, entry 0: logical row 4 does not exist, `out` has 4 (rule 5)
              verify: tile t1 of m1, entry 1: logical row 5 does not exist, `out` has 4 (rule 5)
              prove: tile t1 of m1, entry 0, column 0: cell (0, 0) holds weight (4, 0) of `out` replica 0, of which one does not exist (rule 16)
              prove: tile t1 of m1, entry 1, column 0: cell (1, 0) holds weight (5, 0) of `out` replica 0, of which one does not exist (rule 16)
              prove: matrix m0: no tile holds weight (4, 0) of `hidden` replica 0 (rule 16)
            a tile of no matrix
              verify: tile t1 of m2: its matrix does not exist, the mapping has 2 (rule 3)
              prove: tile t1 of m2: its matrix does not exist (rule 16)
              prove: matrix m0: no tile holds weight (4, 0) of `hidden` replica 0 (rule 16)
        "#]],
    );
}

/// Slices of weights are columns, of cells that hold two of them as well.
#[test]
fn weights_of_two_bits() {
    let network = sample::wide_network();
    let levels = Mapping::logical(&network, &MacroSpec::preset("gt-n40-mlc").unwrap());
    assert_eq!((levels.matrices[0].columns, levels.matrices[1].columns), (8, 6));
    assert_eq!((verify(&levels), prove(&levels, &network)), (Ok(()), Ok(())));
    let mapping = Mapping::logical(&network, &MacroSpec::preset("gt-n40").unwrap());
    let [hidden, out] = &mapping.matrices[..] else { panic!("two matrices") };
    assert_eq!((hidden.columns, hidden.outputs()), (4, 4));
    assert_eq!((out.columns, out.outputs(), out.output(5), out.factor(5)), (6, 3, 2, 4));
    assert_eq!((verify(&mapping), prove(&mapping, &network)), (Ok(()), Ok(())));
    let mut mapping = sample::mapping();
    mapping.network = network.digest();
    assert_eq!(
        prove(&mapping, &network).unwrap_err().to_string(),
        "matrix m1: `out` has weight -3, for which factors 2 offset -1 has no code (rule 14)"
    );
}

#[test]
fn slices_and_levels() {
    check_in(
        &sample::levels(),
        &sample::network_of_levels(),
        &[
            ("another level", |m| {
                let bit = m.tiles[0].bits.get(0, 0);
                m.tiles[0].bits.set(0, 0, !bit);
            }),
            ("half a cell inverted", |m| m.tiles[0].columns[2].inverted = false),
            ("the bits of a cell exchanged", |m| m.tiles[0].columns.swap(0, 1)),
            ("a cell of two others' halves", |m| m.tiles[0].columns.swap(1, 3)),
            ("cells exchanged", |m| {
                m.tiles[0].columns.swap(0, 2);
                m.tiles[0].columns.swap(1, 3);
            }),
            ("half a cell", |m| keep_columns(&mut m.tiles[0], &[0, 1, 2])),
            ("weights of 2 bits", |m| m.matrices[0].coding = Coding::odd(2)),
            ("weights of 3 bits", |m| m.matrices[0].coding = Coding::odd(3)),
            ("weights of 1 bit", |m| m.matrices[0].coding = Coding::odd(1)),
            ("another coding", |m| m.matrices[0].coding = Coding::offset_binary(4)),
            ("factors that make no cell", |m| m.matrices[0].coding = Coding::twos_complement(4)),
            ("inputs without codes", |m| m.matrices[0].inputs = Some(Coding::ternary())),
            ("inputs of nine planes", |m| m.matrices[0].inputs = Some(Coding::twos_complement(9))),
            ("columns that are no whole output", |m| m.matrices[0].columns = 6),
            ("cells of 3 bits", |m| m.geometry.cell_bits = 3),
            ("too wide", |m| m.geometry.columns = 1),
            ("beside the macro", |m| m.geometry.columns = 2),
            ("one over the other", |m| m.tiles[1].place.as_mut().unwrap().column = 1),
        ],
        expect![[r#"
            another level
              prove: tile t0 of m0, entry 0, column 0: cell (0, 0) holds slice 2 of weight (0, 0) of `out` replica 0, but as 1, not 0 (rule 16)
            half a cell inverted
              verify: tile t0 of m0, column 2: it shares cells with column 3, so they must be an even logical column and the next, both inverted or neither (rule 4)
              prove: tile t0 of m0, entry 0, column 2: cell (0, 2) holds slice 0 of weight (0, 0) of `out` replica 0, but as 1, not 0 (rule 16)
              prove: tile t0 of m0, entry 1, column 2: cell (1, 2) holds slice 0 of weight (1, 0) of `out` replica 0, but as 0, not 1 (rule 16)
              prove: tile t0 of m0, entry 2, column 2: cell (2, 2) holds slice 0 of weight (2, 0) of `out` replica 0, but as 1, not 0 (rule 16)
            the bits of a cell exchanged
              verify: tile t0 of m0, column 0: it shares cells with column 1, so they must be an even logical column and the next, both inverted or neither (rule 4)
              prove: tile t0 of m0, entry 1, column 0: cell (1, 0) holds slice 3 of weight (1, 0) of `out` replica 0, but as 0, not 1 (rule 16)
            a cell of two others' halves
              verify: tile t0 of m0, column 0: it shares cells with column 1, so they must be an even logical column and the next, both inverted or neither (rule 4)
              prove: tile t0 of m0, entry 0, column 1: cell (0, 1) holds slice 1 of weight (0, 0) of `out` replica 0, but as 1, not 0 (rule 16)
            cells exchanged
              prove: tile t0 of m0, entry 0, column 0: cell (0, 0) holds slice 0 of weight (0, 0) of `out` replica 0, but as 1, not 0 (rule 16)
            half a cell
              verify: tile t0 of m0, column 2: it shares cells with column 3, so they must be an even logical column and the next, both inverted or neither (rule 4)
              prove: matrix m0: no tile holds slice 1 of weight (0, 0) of `out` replica 0 (rule 16)
            weights of 2 bits
              prove: matrix m0: `out` is 3x8, in the network 3x2, which takes 3x4 (rule 14)
              prove: matrix m0: `out` has weight -15, for which factors 2 4 offset -3 has no code (rule 14)
            weights of 3 bits
              verify: matrix m0: `out` has factors 2 4 8 offset -7 in cells of 2 bits: cells must have 1 or 2, and then slices in pairs of which the second counts twice the first (rule 1)
              prove: matrix m0: `out` is 3x8, in the network 3x2, which takes 3x6 (rule 14)
              prove: matrix m0: `out` has weight -15, for which factors 2 4 8 offset -7 has no code (rule 14)
            weights of 1 bit
              verify: matrix m0: `out` has factors 2 offset -1 in cells of 2 bits: cells must have 1 or 2, and then slices in pairs of which the second counts twice the first (rule 1)
              prove: matrix m0: `out` is 3x8, in the network 3x2, which takes 3x2 (rule 14)
              prove: matrix m0: `out` has weight -15, for which factors 2 offset -1 has no code (rule 14)
            another coding
              prove: matrix m0: `out` has weight -15, for which factors 1 2 4 8 offset -8 has no code (rule 14)
            factors that make no cell
              verify: matrix m0: `out` has factors 1 2 4 -8 offset 0 in cells of 2 bits: cells must have 1 or 2, and then slices in pairs of which the second counts twice the first (rule 1)
              prove: matrix m0: `out` has weight -15, for which factors 1 2 4 -8 offset 0 has no code (rule 14)
            inputs without codes
              prove: matrix m0: activation 2 may reach `out`, for which factors 1 -1 offset 0 has no code (rule 14)
            inputs of nine planes
              verify: matrix m0: the inputs of `out` are coded in 9 bit-planes, they must have at most 8 (rule 1)
            columns that are no whole output
              verify: matrix m0: `out` has 6 columns, not a multiple of the 4 slices of a weight (rule 1)
              prove: matrix m0: `out` is 3x6, in the network 3x2, which takes 3x8 (rule 14)
            cells of 3 bits
              verify: matrix m0: `out` has factors 2 4 8 16 offset -15 in cells of 3 bits: cells must have 1 or 2, and then slices in pairs of which the second counts twice the first (rule 1)
            too wide
              verify: tile t0 of m0: 2 columns of cells do not fit the 1 of macro `levels` (rule 11)
              verify: tile t1 of m0: 2 columns of cells do not fit the 1 of macro `levels` (rule 11)
            beside the macro
              verify: tile t1 of m0: it takes columns 2..4 of macro 0, which has 2 (rule 13)
            one over the other
              verify: tile t1 of m0: it takes cell (0, 1) of macro 0, as tile t0 does (rule 13)
        "#]],
    );
}

#[test]
fn shapes_and_ranges() {
    check(
        &[
            ("a matrix without rows", |m| m.matrices[1].rows = 0),
            ("an absurd matrix", |m| m.matrices[1].rows = usize::MAX),
            ("a macro without columns", |m| m.geometry.columns = 0),
            ("a smaller matrix", |m| m.matrices[1].columns = 2),
            ("a lost matrix", |m| {
                m.matrices.pop();
            }),
            ("a lost matrix with its tiles", |m| {
                m.matrices.pop();
                m.tiles.truncate(2);
            }),
            ("no cells", |m| {
                m.tiles[1].bits = m.tiles[1].bits.select_rows([]);
                edit_rows(&mut m.tiles[1], Vec::clear);
            }),
            ("a column listed too few", |m| {
                m.tiles[1].columns.pop();
            }),
            ("a column listed too many", |m| {
                let column = m.tiles[1].columns[0];
                m.tiles[1].columns.push(column);
            }),
            ("a physical row out of range", |m| {
                edit_rows(&mut m.tiles[0], |rows| rows[2].physical = 2);
            }),
            ("a logical row out of range", |m| {
                edit_rows(&mut m.tiles[0], |rows| rows[1].logical = 6);
            }),
            ("a logical column out of range", |m| m.tiles[2].columns[0].logical = 3),
            ("an unused physical row", |m| edit_rows(&mut m.tiles[0], |rows| rows[1].physical = 0)),
            ("a shared row without a table", |m| {
                edit_rows(&mut m.tiles[3], |rows| rows.swap(1, 2));
            }),
        ],
        expect![[r#"
            a matrix without rows
              verify: matrix m1: `out` is 0x3: sides must lie in 1..=1048576, cells be at most 268435456 (rule 1)
              prove: matrix m1: `out` is 0x3, in the network 4x3, which takes 4x3 (rule 14)
            an absurd matrix
              verify: matrix m1: `out` is 18446744073709551615x3: sides must lie in 1..=1048576, cells be at most 268435456 (rule 1)
              prove: matrix m1: `out` is 18446744073709551615x3, in the network 4x3, which takes 4x3 (rule 14)
            a macro without columns
              verify: mapping: macro `tiny` is 4x0: sides must lie in 1..=1048576, cells be at most 268435456 (rule 1)
            a smaller matrix
              verify: tile t2 of m1, column 0: logical column 2 does not exist, `out` has 2 (rule 4)
              verify: tile t3 of m1, column 2: logical column 2 does not exist, `out` has 2 (rule 4)
              prove: matrix m1: `out` is 4x2, in the network 4x3, which takes 4x3 (rule 14)
            a lost matrix
              verify: tile t2 of m1: its matrix does not exist, the mapping has 1 (rule 3)
              verify: tile t3 of m1: its matrix does not exist, the mapping has 1 (rule 3)
              prove: mapping: it has 1 matrices, the network has 2 (rule 14)
            a lost matrix with its tiles
              prove: mapping: it has 1 matrices, the network has 2 (rule 14)
            no cells
              verify: tile t1 of m0: it has no cells: 0 physical rows, 4 columns (rule 3)
              prove: matrix m0: no tile holds weight (4, 0) of `hidden` replica 0 (rule 16)
            a column listed too few
              verify: tile t1 of m0: it lists 3 columns, its cells have 4 (rule 3)
              prove: matrix m0: no tile holds weight (4, 3) of `hidden` replica 0 (rule 16)
            a column listed too many
              verify: tile t1 of m0: it lists 5 columns, its cells have 4 (rule 3)
              prove: tile t1 of m0, entry 0, column 4: cell (0, 4) holds weight (4, 0) of `hidden` replica 0, of which one does not exist (rule 16)
              prove: tile t1 of m0, entry 1, column 4: cell (1, 4) holds weight (5, 0) of `hidden` replica 0, of which one does not exist (rule 16)
            a physical row out of range
              verify: tile t0 of m0, entry 2: physical row 2 does not exist, the tile has 2 (rule 5)
              prove: tile t0 of m0, entry 2, column 0: cell (2, 0) holds weight (2, 0) of `hidden` replica 0, of which one does not exist (rule 16)
              prove: matrix m0: no tile holds weight (2, 0) of `hidden` replica 0 (rule 16)
            a logical row out of range
              verify: tile t0 of m0, entry 1: logical row 6 does not exist, `hidden` has 6 (rule 5)
              prove: tile t0 of m0, entry 1, column 0: cell (1, 0) holds weight (6, 0) of `hidden` replica 0, of which one does not exist (rule 16)
              prove: matrix m0: no tile holds weight (1, 0) of `hidden` replica 0 (rule 16)
            a logical column out of range
              verify: tile t2 of m1, column 0: logical column 3 does not exist, `out` has 3 (rule 4)
              prove: tile t2 of m1, entry 0, column 0: cell (0, 0) holds weight (2, 3) of `out` replica 0, of which one does not exist (rule 16)
              prove: tile t2 of m1, entry 1, column 0: cell (1, 0) holds weight (0, 3) of `out` replica 0, of which one does not exist (rule 16)
              prove: tile t2 of m1, entry 2, column 0: cell (2, 0) holds weight (3, 3) of `out` replica 0, of which one does not exist (rule 16)
              prove: tile t2 of m1, entry 3, column 0: cell (3, 0) holds weight (1, 3) of `out` replica 0, of which one does not exist (rule 16)
              prove: matrix m1: no tile holds weight (0, 2) of `out` replica 0 (rule 16)
            an unused physical row
              verify: tile t0 of m0: no entry uses physical row 1 (rule 6)
              prove: tile t0 of m0, entry 1, column 0: cell (0, 0) holds weight (1, 0) of `hidden` replica 0, but as 1, not 0 (rule 16)
            a shared row without a table
              verify: tile t3 of m1, entry 1: it must be physical row 1, not 2, as the tile shares no rows (rule 7)
        "#]],
    );
}

#[test]
fn coverage() {
    check(
        &[
            ("a doubled row", |m| edit_rows(&mut m.tiles[0], |rows| rows[2].logical = 0)),
            ("a doubled column", |m| m.tiles[2].columns[2].logical = 2),
            ("a missing row", |m| {
                m.tiles[1].bits = m.tiles[1].bits.select_rows([0]);
                edit_rows(&mut m.tiles[1], |rows| rows.truncate(1));
            }),
            ("a lost column", |m| keep_columns(&mut m.tiles[0], &[0, 1, 3])),
            ("a tile twice", |m| {
                let mut again = m.tiles[1].clone();
                again.place.as_mut().unwrap().macro_index = 2;
                m.tiles.push(again);
            }),
            ("a row in two tiles", |m| edit_rows(&mut m.tiles[1], |rows| rows[1].logical = 2)),
            ("a lost tile", |m| {
                m.tiles.remove(0);
            }),
            ("an emptied replica", |m| edit_rows(&mut m.tiles[3], Vec::clear)),
            ("a lost first replica", |m| {
                m.tiles.remove(2);
            }),
            ("a gap in the replicas", |m| m.tiles[3].replica = u32::MAX),
            ("a matrix without tiles", |m| m.tiles.truncate(2)),
        ],
        expect![[r#"
            a doubled row
              verify: tile t0 of m0, entry 2: logical row 0 is held twice (rule 5)
              prove: tile t0 of m0, entry 2, column 0: cell (0, 0) holds weight (0, 0) of `hidden` replica 0, which was held before (rule 16)
              prove: matrix m0: no tile holds weight (2, 0) of `hidden` replica 0 (rule 16)
            a doubled column
              verify: tile t2 of m1, column 2: logical column 2 is listed twice (rule 4)
              prove: tile t2 of m1, entry 0, column 2: cell (0, 2) holds weight (2, 2) of `out` replica 0, which was held before (rule 16)
              prove: tile t2 of m1, entry 1, column 2: cell (1, 2) holds weight (0, 2) of `out` replica 0, which was held before (rule 16)
              prove: tile t2 of m1, entry 2, column 2: cell (2, 2) holds weight (3, 2) of `out` replica 0, which was held before (rule 16)
              prove: tile t2 of m1, entry 3, column 2: cell (3, 2) holds weight (1, 2) of `out` replica 0, which was held before (rule 16)
              prove: matrix m1: no tile holds weight (0, 1) of `out` replica 0 (rule 16)
            a missing row
              verify: matrix m0: weight (5, 0) of `hidden` replica 0 is in no tile (rule 9)
              prove: matrix m0: no tile holds weight (5, 0) of `hidden` replica 0 (rule 16)
            a lost column
              verify: matrix m0: weight (0, 2) of `hidden` replica 0 is in no tile (rule 9)
              prove: matrix m0: no tile holds weight (0, 2) of `hidden` replica 0 (rule 16)
            a tile twice
              verify: matrix m0: weight (4, 0) of `hidden` replica 0 is in tile t1 and again in t4 (rule 9)
              prove: tile t4 of m0, entry 0, column 0: cell (0, 0) holds weight (4, 0) of `hidden` replica 0, which was held before (rule 16)
              prove: tile t4 of m0, entry 1, column 0: cell (1, 0) holds weight (5, 0) of `hidden` replica 0, which was held before (rule 16)
            a row in two tiles
              verify: matrix m0: weight (2, 0) of `hidden` replica 0 is in tile t0 and again in t1 (rule 9)
              verify: matrix m0: weight (5, 0) of `hidden` replica 0 is in no tile (rule 9)
              prove: tile t1 of m0, entry 1, column 0: cell (1, 0) holds weight (2, 0) of `hidden` replica 0, which was held before (rule 16)
              prove: matrix m0: no tile holds weight (5, 0) of `hidden` replica 0 (rule 16)
            a lost tile
              verify: matrix m0: weight (0, 0) of `hidden` replica 0 is in no tile (rule 9)
              prove: matrix m0: no tile holds weight (0, 0) of `hidden` replica 0 (rule 16)
            an emptied replica
              verify: tile t3 of m1: no entry uses physical row 0 (rule 6)
              verify: tile t3 of m1: no entry uses physical row 1 (rule 6)
              verify: tile t3 of m1: no entry uses physical row 2 (rule 6)
              verify: tile t3 of m1: no entry uses physical row 3 (rule 6)
              prove: matrix m1: no tile holds weight (0, 0) of `out` replica 1 (rule 16)
            a lost first replica
              verify: matrix m1: `out` has no tile of replica 0 (rule 8)
              prove: matrix m1: no tile holds weight (0, 0) of `out` replica 0 (rule 16)
            a gap in the replicas
              verify: matrix m1: `out` has no tile of replica 1 (rule 8)
            a matrix without tiles
              verify: matrix m1: `out` has no tile of replica 0 (rule 8)
              prove: matrix m1: no tile holds weight (0, 0) of `out` replica 0 (rule 16)
        "#]],
    );
}

#[test]
fn stages_and_places() {
    check(
        &[
            ("split at stage logical", |m| {
                m.stage = Stage::Logical;
                m.tiles.iter_mut().for_each(|tile| tile.place = None);
            }),
            ("a place at stage logical", |m| {
                m.stage = Stage::Logical;
                m.tiles.remove(0);
                m.tiles.remove(0);
                m.matrices.remove(0);
                m.tiles.iter_mut().for_each(|tile| tile.matrix.0 = 0);
            }),
            ("a place at stage tiled", |m| m.stage = Stage::Tiled),
            ("no place at stage placed", |m| m.tiles[2].place = None),
            ("too high", |m| m.geometry.rows = 3),
            ("too wide", |m| m.geometry.columns = 3),
            ("below the macro", |m| m.tiles[1].place.as_mut().unwrap().row = 3),
            ("far below the macro", |m| m.tiles[1].place.as_mut().unwrap().row = u32::MAX),
            ("beside the macro", |m| m.tiles[2].place.as_mut().unwrap().column = 6),
            ("an overlap in a cell", |m| {
                m.tiles[2].place.as_mut().unwrap().column = 3;
            }),
            ("an overlap of rows", |m| m.tiles[1].place.as_mut().unwrap().row = 1),
            ("a gap in the macros", |m| m.tiles[3].place.as_mut().unwrap().macro_index = 2),
        ],
        expect![[r#"
            split at stage logical
              verify: matrix m0: replica 0 of `hidden` is split into 2 tiles at stage logical (rule 10)
            a place at stage logical
              verify: tile t0 of m0: it has a place at stage logical (rule 12)
              verify: tile t1 of m0: it has a place at stage logical (rule 12)
              prove: mapping: it has 1 matrices, the network has 2 (rule 14)
              prove: matrix m0: it is `out`, in the network `hidden` (rule 14)
              prove: matrix m0: `out` is 4x3, in the network 6x4, which takes 6x4 (rule 14)
            a place at stage tiled
              verify: tile t0 of m0: it has a place at stage tiled (rule 12)
              verify: tile t1 of m0: it has a place at stage tiled (rule 12)
              verify: tile t2 of m1: it has a place at stage tiled (rule 12)
              verify: tile t3 of m1: it has a place at stage tiled (rule 12)
            no place at stage placed
              verify: tile t2 of m1: it has no place at stage placed (rule 13)
            too high
              verify: tile t2 of m1: 4 physical rows do not fit the 3 of macro `tiny` (rule 11)
              verify: tile t3 of m1: 4 physical rows do not fit the 3 of macro `tiny` (rule 11)
              verify: tile t1 of m0: it takes rows 2..4 of macro 0, which has 3 (rule 13)
            too wide
              verify: tile t0 of m0: 4 columns of cells do not fit the 3 of macro `tiny` (rule 11)
              verify: tile t1 of m0: 4 columns of cells do not fit the 3 of macro `tiny` (rule 11)
              verify: tile t2 of m1: it takes columns 4..7 of macro 0, which has 3 (rule 13)
            below the macro
              verify: tile t1 of m0: it takes rows 3..5 of macro 0, which has 4 (rule 13)
            far below the macro
              verify: tile t1 of m0: it takes rows 4294967295..4294967297 of macro 0, which has 4 (rule 13)
            beside the macro
              verify: tile t2 of m1: it takes columns 6..9 of macro 0, which has 8 (rule 13)
            an overlap in a cell
              verify: tile t2 of m1: it takes cell (0, 3) of macro 0, as tile t0 does (rule 13)
            an overlap of rows
              verify: tile t1 of m0: it takes cell (1, 0) of macro 0, as tile t0 does (rule 13)
            a gap in the macros
              verify: mapping: macro 1 holds no tile, though macro 2 does (rule 13)
        "#]],
    );
}

/// Tests of engines and passes on random mappings meet everything that a mapping may have.
#[test]
fn random_mappings_have_every_feature() {
    let mappings: Vec<Mapping> = (0..100).map(|seed| sample::random(seed).1).collect();
    let features: [Feature; 11] = [
        ("dead rows", |m| m.matrices.iter().any(|of| !of.dead.is_empty())),
        ("shared rows", |m| m.tiles.iter().any(|tile| tile.rows.has_shared_rows())),
        ("lines of many entries", |m| {
            m.tiles.iter().any(|tile| tile.lines().scan.len() < tile.rows.len())
        }),
        ("signs", |m| m.tiles.iter().any(|tile| tile.sign_bits() > 0)),
        ("inverted columns", |m| {
            m.tiles.iter().any(|tile| tile.columns.iter().any(|c| c.inverted))
        }),
        ("replicas", |m| m.tiles.iter().any(|tile| tile.replica > 0)),
        ("slices", |m| m.matrices.iter().any(|of| of.coding.slices() > 1)),
        ("offsets", |m| m.matrices.iter().any(|of| of.coding.offset() < -1)),
        ("negative factors", |m| {
            m.matrices.iter().any(|of| of.coding.factors()[0] < 0 || of.coding == Coding::ternary())
        }),
        ("coded inputs", |m| m.matrices.iter().any(|of| of.inputs.is_some())),
        ("cells of two bits", |m| m.geometry.cell_bits > 1),
    ];
    for (name, has) in features {
        assert!(mappings.iter().any(has), "{name}");
    }
}

proptest! {
    #[test]
    fn random_mappings_are_right((network, mapping) in sample::any_mapping()) {
        prop_assert_eq!(verify(&mapping), Ok(()));
        prop_assert_eq!(prove(&mapping, &network), Ok(()));
    }

    #[test]
    fn every_cell_matters(
        (network, mut mapping) in sample::any_mapping(),
        tile: prop::sample::Index,
        row: prop::sample::Index,
        column: prop::sample::Index,
    ) {
        let tile = tile.get_mut(&mut mapping.tiles);
        let (row, column) = (row.index(tile.bits.rows()), column.index(tile.bits.columns()));
        tile.bits.set(row, column, !tile.bits.get(row, column));
        prop_assert_eq!(verify(&mapping), Ok(()));
        prop_assert!(prove(&mapping, &network).is_err());
    }

    #[test]
    fn every_entry_matters(
        (network, mut mapping) in sample::any_mapping(),
        tile: prop::sample::Index,
        entry: prop::sample::Index,
        what in 0..3,
    ) {
        let tile = tile.get_mut(&mut mapping.tiles);
        edit_rows(tile, |rows| {
            let index = entry.index(rows.len());
            match what {
                0 => rows[index].negative ^= true,
                1 => rows[index].logical ^= 1,
                _ => drop(rows.remove(index)),
            }
        });
        prop_assert!(prove(&mapping, &network).is_err());
    }

    #[test]
    fn every_tile_matters(
        (network, mut mapping) in sample::any_mapping(),
        tile: prop::sample::Index,
    ) {
        let tile = mapping.tiles.remove(tile.index(mapping.tiles.len()));
        // The last replica of a matrix may go if it is one tile and not the only one.
        let is_left = mapping.tiles.iter().any(|other| {
            (other.matrix, other.replica) == (tile.matrix, tile.replica)
        });
        if is_left || tile.replica == 0 {
            prop_assert!(verify(&mapping).is_err());
            prop_assert!(prove(&mapping, &network).is_err());
        }
    }
}
