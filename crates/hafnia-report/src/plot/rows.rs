//! A layer's rows before and after rename.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::points::Points;
use super::{
    Canvas, Drawn, GREY, GRID, Key, LABEL, PALETTE, TICK, TITLE, centred, draw, font, legend,
};
use crate::error::ReportError;
use hafnia_stats::Interval;

/// Which physical row holds a logical row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowEntry {
    /// Position among the logical rows.
    pub logical: usize,
    /// Position among the physical rows.
    pub physical: usize,
}

/// The logical rows of a layer on the left, its physical rows on the right, as bit images, and a
/// line from each logical row to the physical row that holds it.
///
/// `true` is a cell that stores 1. Logical rows that share a physical row have its colour, others
/// are grey. Physical rows are drawn in the order given; neighbouring classes may repeat a colour
/// only after six.
///
/// # Errors
/// [`ReportError::Empty`] without rows or columns, [`ReportError::Length`] if rows differ in
/// length, [`ReportError::Invalid`] if an entry names a row that is not there.
pub fn rows_before_after(
    logical: &[Vec<bool>],
    physical: &[Vec<bool>],
    entries: &[RowEntry],
) -> Result<String, ReportError> {
    let columns = check(logical, physical, entries)?;
    let colours = colours(physical.len(), entries);
    let mut logical_colours = vec![GREY; logical.len()];
    for entry in entries {
        logical_colours[entry.logical] = colours[entry.physical];
    }

    let cell = Cell::fit(logical.len().max(physical.len()), columns);
    let image_width = cell.width * columns as i32;
    let (left, top) = (64, 92);
    let gap = 300;
    let right = left + image_width + gap;
    let height = cell.height * logical.len().max(physical.len()) as i32;
    let size = ((right + image_width + left) as u32, (top + height + 64) as u32);

    let points = Points::over("logical row", "physical row");
    draw(size, points, |canvas, points| {
        let before = BitImage { left, top, cell, rows: logical, colours: &logical_colours };
        // Centred, so that lines stay short.
        let top = top + (height - cell.height * physical.len() as i32) / 2;
        let after = BitImage { left: right, top, cell, rows: physical, colours: &colours };

        for entry in entries {
            let from = (before.left + image_width + 3, before.middle_of(entry.logical));
            let to = (after.left - 3, after.middle_of(entry.physical));
            let colour = colours[entry.physical];
            let (width, opacity) = if colour == GREY { (1, 0.55) } else { (2, 0.9) };
            let style = colour.mix(opacity).stroke_width(width);
            canvas.draw(&PathElement::new(curve(from, to), style))?;
            let row = Interval::exact(entry.physical as f64);
            points.add("", &entry.logical.to_string(), row, from);
        }
        before.draw(canvas, &format!("{} logical rows", logical.len()), HPos::Right)?;
        let saved = 100.0 * (1.0 - physical.len() as f64 / logical.len() as f64);
        let title = format!("{} physical rows", physical.len());
        after.draw(canvas, &title, HPos::Left)?;
        let middle = left + image_width + gap / 2;
        canvas.draw_text(&format!("{saved:.2} % of rows saved"), &centred(LABEL), (middle, 24))?;

        let bottom = size.1 as i32 - 24;
        let keys = [
            (Key::Box, PALETTE[0], "shared physical row (by colour)"),
            (Key::Box, GREY, "row of its own"),
            (Key::Box, GRID, "cell stores 0"),
        ];
        legend(canvas, (left - 9, bottom), &keys)
    })
}

/// The number of columns, if the rows and entries fit together.
fn check(
    logical: &[Vec<bool>],
    physical: &[Vec<bool>],
    entries: &[RowEntry],
) -> Result<usize, ReportError> {
    for (what, rows) in [("list of logical rows", logical), ("list of physical rows", physical)] {
        if rows.is_empty() {
            return Err(ReportError::Empty { what: what.to_owned() });
        }
    }
    let expected = logical[0].len();
    if expected == 0 {
        return Err(ReportError::Empty { what: "logical row 0".to_owned() });
    }
    for (kind, rows) in [("logical", logical), ("physical", physical)] {
        if let Some((i, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != expected) {
            let what = format!("{kind} row {i}");
            return Err(ReportError::Length { what, len: row.len(), expected });
        }
    }
    for (index, entry) in entries.iter().enumerate() {
        for (kind, row, rows) in [
            ("logical", entry.logical, logical.len()),
            ("physical", entry.physical, physical.len()),
        ] {
            if row >= rows {
                return Err(ReportError::Invalid(format!(
                    "entry {index} names {kind} row {row} of {rows}"
                )));
            }
        }
    }
    Ok(expected)
}

/// A colour per physical row: grey for one that holds a single logical row.
fn colours(physical: usize, entries: &[RowEntry]) -> Vec<RGBColor> {
    let mut held = vec![0; physical];
    for entry in entries {
        held[entry.physical] += 1;
    }
    let mut palette = PALETTE.iter().copied().cycle();
    let colour = |&held: &i32| if held > 1 { palette.next().unwrap_or(GREY) } else { GREY };
    held.iter().map(colour).collect()
}

/// The size of a cell in pixels.
#[derive(Clone, Copy)]
struct Cell {
    width: i32,
    height: i32,
}

impl Cell {
    /// The largest at which so many rows and columns fit the page.
    fn fit(rows: usize, columns: usize) -> Self {
        let fit = |pixels: usize, count: usize, most: usize| (pixels / count).clamp(2, most) as i32;
        Self { width: fit(240, columns, 20), height: fit(800, rows, 10) }
    }
}

/// Rows of bits as a picture.
struct BitImage<'a> {
    left: i32,
    top: i32,
    cell: Cell,
    rows: &'a [Vec<bool>],
    /// Of the cells that store 1, per row.
    colours: &'a [RGBColor],
}

impl BitImage<'_> {
    fn middle_of(&self, row: usize) -> i32 {
        self.top + row as i32 * self.cell.height + self.cell.height / 2
    }

    /// Draws cells, title, column numbers, and row numbers on the side away from `inner`.
    fn draw(&self, canvas: &Canvas<'_>, title: &str, inner: HPos) -> Drawn {
        let Self { left, top, cell, rows, colours } = *self;
        let columns = rows[0].len();
        let width = cell.width * columns as i32;
        // A hairline between cells, where cells are large enough to spare it.
        let hair = i32::from(cell.height > 4);

        canvas.draw_text(title, &centred(TITLE), (left + width / 2, top - 56))?;
        let name = "output column";
        canvas.draw_text(name, &centred(TICK), (left + width / 2, top - 30))?;
        let step = (columns as i32).div_euclid(10).max(1) as usize;
        for column in (0..columns).step_by(step) {
            let x = left + column as i32 * cell.width + cell.width / 2;
            canvas.draw_text(&column.to_string(), &centred(TICK), (x, top - 12))?;
        }
        for (i, (row, colour)) in rows.iter().zip(colours).enumerate() {
            let y = top + i as i32 * cell.height;
            for (column, &bit) in row.iter().enumerate() {
                let x = left + column as i32 * cell.width;
                let colour = if bit { *colour } else { GRID };
                let corners = [(x, y), (x + cell.width - hair, y + cell.height - hair)];
                canvas.draw(&Rectangle::new(corners, colour.filled()))?;
            }
        }
        let (side, x) = match inner {
            HPos::Left => (HPos::Left, left + width + 8),
            _ => (HPos::Right, left - 8),
        };
        let style = font(TICK).pos(Pos::new(side, VPos::Center));
        for row in (0..rows.len()).step_by(if cell.height > 4 { 10 } else { 50 }) {
            canvas.draw_text(&row.to_string(), &style, (x, self.middle_of(row)))?;
        }
        Ok(())
    }
}

/// A smooth line that leaves and arrives level.
fn curve(from: (i32, i32), to: (i32, i32)) -> Vec<(i32, i32)> {
    const STEPS: i32 = 24;
    let between =
        |a: i32, b: i32, part: f64| (f64::from(a) + part * f64::from(b - a)).round() as i32;
    let point = |step: i32| {
        let t = f64::from(step) / f64::from(STEPS);
        (between(from.0, to.0, t), between(from.1, to.1, t * t * (3.0 - 2.0 * t)))
    };
    (0..=STEPS).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_svg;
    use super::*;

    /// `logical` rows of 10 bits, row i held by physical row i mod `physical`.
    fn layer(logical: usize, physical: usize) -> (Vec<Vec<bool>>, Vec<Vec<bool>>, Vec<RowEntry>) {
        let row =
            |i: usize| (0..10).map(|column| ((i * 37 + 11) >> (column % 7)) & 1 == 1).collect();
        let rows: Vec<Vec<bool>> = (0..physical).map(row).collect();
        let entries: Vec<_> =
            (0..logical).map(|i| RowEntry { logical: i, physical: i % physical }).collect();
        let logical = entries.iter().map(|entry| rows[entry.physical].clone()).collect();
        (logical, rows, entries)
    }

    #[test]
    fn shows_counts_and_saving() {
        let (logical, physical, entries) = layer(84, 46);
        let svg = rows_before_after(&logical, &physical, &entries).unwrap();
        check_svg(
            &svg,
            &[
                "84 logical rows",
                "46 physical rows",
                "45.24 % of rows saved",
                "output column",
                "80",
            ],
        );
        assert_eq!(svg, rows_before_after(&logical, &physical, &entries).unwrap());
    }

    #[test]
    fn large_layers_and_single_rows_fit() {
        let (logical, physical, entries) = layer(400, 400);
        check_svg(
            &rows_before_after(&logical, &physical, &entries).unwrap(),
            &["400 logical rows", "0.00 % of rows saved"],
        );
        let (logical, physical, entries) = layer(1, 1);
        check_svg(&rows_before_after(&logical, &physical, &entries).unwrap(), &["1 logical rows"]);
    }

    #[test]
    fn shared_rows_have_colours_and_others_are_grey() {
        let entries =
            [(0, 0), (1, 1), (2, 1)].map(|(logical, physical)| RowEntry { logical, physical });
        assert!(colours(2, &entries) == [GREY, PALETTE[0]]);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let (logical, physical, entries) = layer(3, 2);
        let check = |logical: &[Vec<bool>], entries: &[RowEntry], expected| {
            let error = rows_before_after(logical, &physical, entries).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(&[], &entries, "list of logical rows is empty");
        let uneven = [vec![true; 10], vec![true; 9]];
        check(&uneven, &[], "logical row 1 has 9 elements, it must have 10");
        let wild = [RowEntry { logical: 0, physical: 2 }];
        check(&logical, &wild, "entry 0 names physical row 2 of 2");
    }
}
