//! [`Explanation`]: what a pass did to each tile, found by comparing the mapping before it with the
//! one after it, so that it works for any pass, also one that is not ours.
//!
//! A tile comes from the tile before that held its first weight; a new replica comes from the tiles
//! of the first. What is not told apart, such as another order of columns, is a change of another
//! kind.
//!
//! Cost: linear in the entries and columns of both mappings.

use std::collections::HashMap;
use std::fmt;

use hafnia_ir::{Mapping, MatrixId, Place, Tile, TileId};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a pass did, matrix by matrix and tile by tile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// One for each matrix, in their order.
    pub matrices: Vec<MatrixChange>,
}

/// What a pass did to a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixChange {
    /// Its name.
    pub matrix: String,
    /// What it took before the pass.
    pub before: MatrixTotals,
    /// What it takes after it.
    pub after: MatrixTotals,
    /// Its tiles after the pass that are not what they were, by their ids.
    pub tiles: Vec<TileChange>,
    /// How many of its tiles are what they were.
    pub unchanged: usize,
}

/// What a matrix takes, over all its tiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixTotals {
    /// Tiles.
    pub tiles: usize,
    /// Physical rows.
    pub physical_rows: usize,
    /// Cells.
    pub cells: usize,
    /// Bits of stored tables.
    pub table_bits: usize,
    /// Columns that are stored inverted.
    pub inverted_columns: usize,
    /// Rows that are in no tile, as their activation is always 0.
    pub dead_rows: usize,
}

/// What a pass did to a tile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TileChange {
    /// The tile after the pass.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub tile: TileId,
    /// The tile before the pass that it comes from.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub from: TileId,
    /// Its replica, if that is new.
    pub new_replica: Option<u32>,
    /// What it comes from.
    pub before: TileSize,
    /// What it is.
    pub after: TileSize,
    /// Columns that are stored the other way round.
    pub inverted: usize,
    /// Whether it adds activations up before they reach a shared row, if that is new.
    pub pre_add: Option<bool>,
    /// Entries that stand elsewhere among those that it has kept.
    pub moved: usize,
    /// Its place on a macro (index, row, column), if it is another one.
    pub place: Option<[u32; 3]>,
}

/// The size of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TileSize {
    /// Physical rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Entries of its row table.
    pub entries: usize,
    /// Bits of its stored table.
    pub table_bits: usize,
}

fn as_text<S: Serializer>(id: &TileId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TileId, D::Error> {
    let text = String::deserialize(deserializer)?;
    let number = text.strip_prefix('t').and_then(|number| number.parse().ok());
    number.map(TileId).ok_or_else(|| D::Error::custom(format!("`{text}` is no tile")))
}

impl Explanation {
    /// What changed between two mappings of one network.
    pub fn of(before: &Mapping, after: &Mapping) -> Self {
        let owners = Owners::of(before);
        let matrix = |(index, matrix): (usize, &hafnia_ir::Matrix)| {
            let id = MatrixId(index as u32);
            let changes = after.tiles_of(id).map(|(tile, block)| {
                let from = owners.find(before, block);
                from.and_then(|from| tile_change(before, from, tile, block))
            });
            let changes: Vec<Option<TileChange>> = changes.collect();
            let unchanged = changes.iter().filter(|change| change.is_none()).count();
            MatrixChange {
                matrix: matrix.name.clone(),
                before: MatrixTotals::of(before, id),
                after: MatrixTotals::of(after, id),
                tiles: changes.into_iter().flatten().collect(),
                unchanged,
            }
        };
        Self { matrices: after.matrices.iter().enumerate().map(matrix).collect() }
    }
}

impl MatrixTotals {
    fn of(mapping: &Mapping, matrix: MatrixId) -> Self {
        let of = &mapping.matrices[matrix.index()];
        let none = Self { dead_rows: of.dead.len(), ..Self::default() };
        mapping.tiles_of(matrix).fold(none, |totals, (_, tile)| Self {
            tiles: totals.tiles + 1,
            physical_rows: totals.physical_rows + tile.physical_rows(),
            cells: totals.cells + tile.cells() / usize::from(mapping.geometry.cell_bits),
            table_bits: totals.table_bits + tile.table_bits(),
            inverted_columns: totals.inverted_columns
                + tile.columns.iter().filter(|column| column.inverted).count(),
            ..totals
        })
    }
}

impl TileSize {
    fn of(tile: &Tile) -> Self {
        Self {
            rows: tile.physical_rows(),
            columns: tile.columns.len(),
            entries: tile.rows.len(),
            table_bits: tile.table_bits(),
        }
    }
}

/// Which tiles hold weights of a logical row.
struct Owners(HashMap<(MatrixId, u32, u32), Vec<TileId>>);

impl Owners {
    fn of(mapping: &Mapping) -> Self {
        let mut owners: HashMap<_, Vec<TileId>> = HashMap::new();
        for (id, tile) in mapping.tiles() {
            for &row in tile.rows.logical() {
                owners.entry((tile.matrix, tile.replica, row)).or_default().push(id);
            }
        }
        Self(owners)
    }

    /// The tile that held the first weight of this one.
    fn find(&self, mapping: &Mapping, tile: &Tile) -> Option<TileId> {
        let (row, column) = (*tile.rows.logical().first()?, tile.columns.first()?.logical);
        let holds = |id: &&TileId| {
            mapping.tiles[id.index()].columns.iter().any(|other| other.logical == column)
        };
        let of = |replica| self.0.get(&(tile.matrix, replica, row))?.iter().find(holds).copied();
        of(tile.replica).or_else(|| of(0))
    }
}

/// What became of a tile, if it is not what it was.
fn tile_change(before: &Mapping, from: TileId, tile: TileId, block: &Tile) -> Option<TileChange> {
    let old = &before.tiles[from.index()];
    if old == block {
        return None;
    }
    let polarity: HashMap<u32, bool> =
        old.columns.iter().map(|column| (column.logical, column.inverted)).collect();
    let is_inverted = |column: &&hafnia_ir::Column| {
        polarity.get(&column.logical).is_some_and(|&inverted| inverted != column.inverted)
    };
    Some(TileChange {
        tile,
        from,
        new_replica: (old.replica != block.replica).then_some(block.replica),
        before: TileSize::of(old),
        after: TileSize::of(block),
        inverted: block.columns.iter().filter(is_inverted).count(),
        pre_add: (old.pre_add != block.pre_add).then_some(block.pre_add),
        moved: moved(old.rows.logical(), block.rows.logical()),
        place: block
            .place
            .filter(|&place| old.place != Some(place))
            .map(|Place { macro_index, row, column }| [macro_index, row, column]),
    })
}

/// Rows in both lists whose position among these rows differs.
fn moved(old: &[u32], new: &[u32]) -> usize {
    let kept = |rows: &[u32], others: &[u32]| {
        let others: std::collections::HashSet<u32> = others.iter().copied().collect();
        rows.iter().copied().filter(|row| others.contains(row)).collect::<Vec<u32>>()
    };
    let (old, new) = (kept(old, new), kept(new, old));
    old.iter().zip(&new).filter(|(a, b)| a != b).count()
}

impl fmt::Display for Explanation {
    /// A line for each matrix that was changed, and below it one for each such tile.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed = |matrix: &&MatrixChange| !matrix.tiles.is_empty();
        self.matrices.iter().filter(changed).try_for_each(|matrix| matrix.fmt(f))
    }
}

impl fmt::Display for MatrixChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (&self.before, &self.after);
        let totals = [
            ("tiles", before.tiles, after.tiles),
            ("physical rows", before.physical_rows, after.physical_rows),
            ("cells", before.cells, after.cells),
            ("table bits", before.table_bits, after.table_bits),
            ("columns inverted", before.inverted_columns, after.inverted_columns),
            ("dead rows", before.dead_rows, after.dead_rows),
        ];
        let totals = totals.into_iter().filter(|(_, before, after)| before != after);
        let totals: Vec<String> =
            totals.map(|(name, before, after)| format!("{name} {before} -> {after}")).collect();
        match totals.as_slice() {
            [] => writeln!(f, "{}", self.matrix)?,
            totals => writeln!(f, "{}: {}", self.matrix, totals.join(", "))?,
        }
        self.tiles.iter().try_for_each(|tile| writeln!(f, "  {tile}"))?;
        match self.unchanged {
            0 => Ok(()),
            1 => writeln!(f, "  1 tile as it was"),
            count => writeln!(f, "  {count} tiles as they were"),
        }
    }
}

impl fmt::Display for TileChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (&self.before, &self.after);
        let mut parts = Vec::new();
        if let Some(replica) = self.new_replica {
            parts.push(format!("new as replica {replica}"));
        }
        if (before.rows, before.columns) != (after.rows, after.columns) {
            let (rows, columns) = (after.rows, after.columns);
            parts.push(format!("{}x{} -> {rows}x{columns}", before.rows, before.columns));
        }
        for (name, before, after) in [
            ("entries", before.entries, after.entries),
            ("table bits", before.table_bits, after.table_bits),
        ] {
            if before != after {
                parts.push(format!("{name} {before} -> {after}"));
            }
        }
        match self.inverted {
            0 => {}
            1 => parts.push("1 column inverted".to_owned()),
            count => parts.push(format!("{count} columns inverted")),
        }
        match self.pre_add {
            Some(true) => parts.push("adds activations of shared rows first".to_owned()),
            Some(false) => parts.push("adds no activations first".to_owned()),
            None => {}
        }
        if self.moved > 0 {
            parts.push(format!("{} of {} entries moved", self.moved, after.entries));
        }
        if let Some([index, row, column]) = self.place {
            parts.push(format!("placed at macro {index} row {row} column {column}"));
        }
        if parts.is_empty() {
            parts.push("changed in another way".to_owned());
        }
        write!(f, "{}", self.tile)?;
        if self.tile != self.from {
            write!(f, " from {}", self.from)?;
        }
        write!(f, ": {}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// 6x4 on macros of 4x8: rows 0 and 2 are equal.
    const LOGICAL: &str = "\
        hafnia-mapping 1 network 846aff4fd6d2927c778e61054697f7353c903766384ae6c797055bbfc0e2962e
        macro tiny 4x8 stage logical matrix m0 hidden 6x4 matrix m1 out 1x2
        tile t0 m0 replica 0 size 6x4 columns 0..4 rows 0..6 bits d 6 d 2 f 8
        tile t1 m1 replica 0 size 1x2 columns 0 1 rows 0 bits 1";

    /// Explains what the changes of a text do.
    fn check(changes: &[(&str, &str)], expected: Expect) {
        let change = |text: String, (old, new): &(&str, &str)| {
            assert!(text.contains(old), "`{old}` is in the text");
            text.replacen(old, new, 1)
        };
        let after = changes.iter().fold(LOGICAL.to_owned(), change);
        let explanation = Explanation::of(&LOGICAL.parse().unwrap(), &after.parse().unwrap());
        expected.assert_eq(&explanation.to_string());
    }

    #[test]
    fn nothing() {
        check(&[], expect![""]);
    }

    #[test]
    fn rows_that_are_shared() {
        let shared = "size 5x4 pre-add columns 0..4 rows 0:0 1:1 2:0 3:2 4:3 5:4 bits d 6 2 f 8";
        check(
            &[("size 6x4 columns 0..4 rows 0..6 bits d 6 d 2 f 8", shared)],
            expect![[r#"
                hidden: physical rows 6 -> 5, cells 24 -> 20, table bits 0 -> 18
                  t0: 6x4 -> 5x4, table bits 0 -> 18, adds activations of shared rows first
            "#]],
        );
    }

    #[test]
    fn an_order_and_polarity() {
        check(
            &[("rows 0..6", "rows 0 2 1 3 4 5"), ("columns 0..4", "columns 0 ~1 2 ~3")],
            expect![[r#"
                hidden: columns inverted 0 -> 2
                  t0: 2 columns inverted, 2 of 6 entries moved
            "#]],
        );
    }

    #[test]
    fn a_cut_and_places() {
        let first = "size 4x4 at macro 0 row 0 column 0 columns 0..4 rows 0..4 bits d 6 d 2";
        let second = "size 2x4 at macro 1 row 0 column 0 columns 0..4 rows 5 4 bits 8 f";
        let cut = format!("{first} tile t1 m0 replica 0 {second} tile t2 m1");
        check(
            &[
                ("size 6x4 columns 0..4 rows 0..6 bits d 6 d 2 f 8", &cut),
                ("tile t1 m1", ""),
                ("size 1x2", "size 1x2 at macro 0 row 0 column 4"),
                ("logical", "placed"),
            ],
            expect![[r#"
                hidden: tiles 1 -> 2
                  t0: 6x4 -> 4x4, entries 6 -> 4, placed at macro 0 row 0 column 0
                  t1 from t0: 6x4 -> 2x4, entries 6 -> 2, 2 of 2 entries moved, placed at macro 1 row 0 column 0
                out
                  t2 from t1: placed at macro 0 row 0 column 4
            "#]],
        );
    }

    #[test]
    fn replicas_rows_less_and_what_has_no_name() {
        check(
            &[
                (
                    "rows 0 bits 1",
                    "rows 0 bits 1 tile t2 m1 replica 1 size 1x2 columns 0 1 rows 0 bits 1",
                ),
                ("size 6x4 columns 0..4 rows 0..6 bits d", "size 5x4 columns 0..4 rows 1..6 bits"),
            ],
            expect![[r#"
                hidden: physical rows 6 -> 5, cells 24 -> 20
                  t0: 6x4 -> 5x4, entries 6 -> 5
                out: tiles 1 -> 2, physical rows 1 -> 2, cells 2 -> 4
                  t2 from t1: new as replica 1
                  1 tile as it was
            "#]],
        );
        check(
            &[("columns 0 1 rows 0 bits 1", "columns 1 0 rows 0 bits 2")],
            expect![[r#"
            out
              t1: changed in another way
        "#]],
        );
    }
}
