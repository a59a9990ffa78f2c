//! Mappings cell by cell: a picture of every macro, whose rows say which logical rows they hold.
//!
//! A row is a line with a gap wherever a cell is of high resistance, about 6 bytes for every run of
//! cells: a network of 60 000 cells takes 250 kB. Rows that share a physical row have one colour
//! before and after; a physical row that is shared has a band and a mark besides, and stands in a
//! table, so that nothing hangs on colour or on a pointer. A macro is one stop of the keyboard, whose
//! arrows go from row to row.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::markup::{escape, table};
use hafnia_text::counted;

use crate::layout::{Block, CellMap, CellRow, Layout};
use crate::table::Table;

/// Colours there are for shared rows.
const COLOURS: usize = 6;

/// Room left of a macro for marks, in cells.
const MARGIN: usize = 5;

/// A class of logical rows that share a physical row, by matrix and logical row.
type Classes<'a> = BTreeMap<(&'a str, usize), usize>;

/// The layouts of a map, one after the other.
pub(super) fn cells(map: &CellMap) -> String {
    let classes = classes(&map.layouts);
    let mut html = format!("<div class=\"cells\">\n<p>{}</p>\n{LEGEND}", escape(&map.caption));
    for layout in &map.layouts {
        let (macros, shared) = (layout.macros(), layout.shared_rows());
        let name = &layout.name;
        let _ = write!(
            html,
            "<h3>{}: {} of {} × {}, {}</h3>\n<div class=\"macros\">\n",
            escape(name),
            counted(macros, "macro"),
            layout.rows,
            layout.columns,
            counted(shared, "shared row")
        );
        for index in 0..macros {
            html += &picture(layout, index, &classes);
        }
        html += "</div>\n";
        if shared > 0 {
            let _ = write!(
                html,
                "<details>\n<summary>{} of {} as a table</summary>\n{}</details>\n",
                counted(shared, "shared row"),
                escape(name),
                table(&format!("Shared rows of {name}"), &shared_rows(layout))
            );
        }
    }
    html + "<p class=\"status\" role=\"status\" aria-live=\"polite\">Point at a row of a macro, or move to a macro and use \
            the arrow keys, to see which logical rows it holds.</p>\n</div>\n"
}

const LEGEND: &str = "<ul class=\"legend\">\n\
<li><svg viewBox=\"0 0 22 10\" aria-hidden=\"true\"><rect class=\"blank\" width=\"22\" height=\"10\"/>\
<path class=\"on\" d=\"M0 3.5h5m3 0h8m4 0h2M2 6.5h9m5 0h4\"/></svg>a line is cells of low resistance, a gap cells of high</li>\n\
<li class=\"k0\"><svg viewBox=\"0 0 22 10\" aria-hidden=\"true\"><path class=\"on\" d=\"M0 3.5h5m3 0h8m4 0h2M0 6.5h5m3 0h8m4 0h2\"/></svg>one colour: rows that share a physical row after</li>\n\
<li class=\"k0 s\"><svg viewBox=\"0 0 22 10\" aria-hidden=\"true\"><rect class=\"band\" x=\"6\" y=\"2\" width=\"16\" height=\"6\"/>\
<path class=\"mark\" d=\"M1 2l4 3-4 3z\"/><path class=\"on\" d=\"M6 5h5m3 0h4\"/></svg>band and mark: a physical row that several logical rows share</li>\n\
</ul>\n";

/// The classes by the first layout after the first; rows of the others that it does not share have
/// none.
fn classes(layouts: &[Layout]) -> Classes<'_> {
    let mut classes = BTreeMap::new();
    let shared = layouts.iter().skip(1).find(|layout| layout.shared_rows() > 0);
    let blocks = shared.into_iter().flat_map(|layout| &layout.blocks);
    let rows = blocks.flat_map(|block| block.cells.iter().map(move |row| (block, row)));
    for (class, (block, row)) in rows.filter(|(_, row)| row.held() > 1).enumerate() {
        classes.extend(row.all().iter().map(|&logical| ((block.matrix.as_str(), logical), class)));
    }
    classes
}

/// One macro.
fn picture(layout: &Layout, index: usize, classes: &Classes<'_>) -> String {
    let blocks: Vec<&Block> =
        layout.blocks.iter().filter(|block| block.macro_index == index).collect();
    let list: Vec<String> = blocks
        .iter()
        .map(|block| format!("{} {} × {}", block.matrix, block.cells.len(), block.columns()))
        .collect();
    let (list, name) = (escape(&list.join(", ")), escape(&layout.name));
    let Layout { rows, columns, .. } = layout;
    let mut html = format!(
        "<figure>\n<svg viewBox=\"-{MARGIN} 0 {} {rows}\" role=\"listbox\" tabindex=\"0\" \
         aria-label=\"{name}, macro {index}: {list}. Arrow keys go from row to row.\">\n\
         <rect class=\"blank\" width=\"{columns}\" height=\"{rows}\"/>\n",
        columns + MARGIN,
    );
    for block in blocks {
        let place = format!(
            "x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
            block.column,
            block.row,
            block.columns(),
            block.cells.len()
        );
        let matrix = escape(&block.matrix);
        let _ = writeln!(
            html,
            "<g data-m=\"{matrix}\" role=\"group\" aria-label=\"{matrix}\"><rect class=\"block\" {place}/>"
        );
        for (offset, row) in block.cells.iter().enumerate() {
            html += &row_of(block, block.row + offset, row, classes);
        }
        // Above the rows, so that neighbours can be told apart.
        let _ = writeln!(html, "<rect class=\"edge\" {place}/></g>");
    }
    html + &format!("</svg>\n<figcaption>macro {index}: {list}</figcaption>\n</figure>\n")
}

/// A row of a macro, `y` rows from its top.
fn row_of(block: &Block, y: usize, row: &CellRow, classes: &Classes<'_>) -> String {
    let x = block.column;
    let all = row.all();
    let class = all.first().and_then(|&logical| classes.get(&(block.matrix.as_str(), logical)));
    let mut names = "r".to_owned();
    let is_shared = row.held() > 1;
    // What only this layout shares has the colour of its place.
    if let Some(class) = class.copied().or(is_shared.then_some(y)) {
        let _ = write!(names, " k{}", class % COLOURS);
    }
    names += if is_shared { " s" } else { "" };
    let logical: Vec<String> = all.iter().map(usize::to_string).collect();
    let mark = if is_shared {
        format!("<path class=\"mark\" d=\"M-4 {}l3 .9-3 .9z\"/>", y as f64 - 0.4)
    } else {
        String::new()
    };
    format!(
        "<g class=\"{names}\" role=\"option\" data-l=\"{}\"><title>{}</title>\
         <rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"1\"/><path d=\"M{x} {y}.5{}\"/>{mark}</g>\n",
        logical.join(" "),
        escape(&said(block, y, row)),
        row.bits.len(),
        runs(&row.bits)
    )
}

/// The cells of low resistance as lines from left to right.
fn runs(bits: &str) -> String {
    let mut path = String::new();
    let mut rest = bits;
    let mut gap = 0;
    while !rest.is_empty() {
        let zeros = rest.len() - rest.trim_start_matches('0').len();
        let ones = rest[zeros..].len() - rest[zeros..].trim_start_matches('1').len();
        gap += zeros;
        if ones > 0 {
            let _ = match gap {
                0 => write!(path, "h{ones}"),
                _ => write!(path, "m{gap} 0h{ones}"),
            };
            gap = 0;
        }
        // Layouts are checked before they come here; what is no bit would never end.
        rest = &rest[(zeros + ones).max(1)..];
    }
    path
}

/// What is said of a row.
fn said(block: &Block, y: usize, row: &CellRow) -> String {
    let list = |rows: &[usize]| rows.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let mut held = Vec::new();
    if !row.logical.is_empty() {
        let rows = if row.logical.len() == 1 { "row" } else { "rows" };
        held.push(format!("logical {rows} {}", list(&row.logical)));
    }
    if !row.complemented.is_empty() {
        held.push(format!("the complement of {}", list(&row.complemented)));
    }
    let held = if held.is_empty() { "nothing".to_owned() } else { held.join(" and ") };
    format!("{}, row {y} of macro {} holds {held}", block.matrix, block.macro_index)
}

/// The rows that several logical rows share.
fn shared_rows(layout: &Layout) -> Table {
    let mut table = Table::of(["matrix", ">macro", ">row", "logical rows", "held as complement"]);
    let list = |rows: &[usize]| rows.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    for block in &layout.blocks {
        for (offset, row) in block.cells.iter().enumerate().filter(|(_, row)| row.held() > 1) {
            table.row([
                block.matrix.clone(),
                block.macro_index.to_string(),
                (block.row + offset).to_string(),
                list(&row.logical),
                list(&row.complemented),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::layout::tests::layouts;

    #[test]
    fn runs_of_cells() {
        for (bits, path) in [
            ("1", "h1"),
            ("0", ""),
            ("0011", "m2 0h2"),
            ("1001110", "h1m2 0h3"),
            ("0101", "m1 0h1m1 0h1"),
        ] {
            assert_eq!(runs(bits), path, "{bits}");
        }
    }

    #[test]
    fn a_row_says_what_it_holds() {
        let layout = &layouts()[1];
        let block = &layout.blocks[0];
        let mut row = block.cells[0].clone();
        assert_eq!(said(block, 2, &row), "fc<3>, row 2 of macro 0 holds logical rows 0, 2");
        row.complemented = vec![5];
        assert_eq!(
            said(block, 2, &row),
            "fc<3>, row 2 of macro 0 holds logical rows 0, 2 and the complement of 5"
        );
    }

    #[test]
    fn rows_have_one_colour_before_and_after_and_marks_after() {
        let layouts = layouts();
        let classes = classes(&layouts);
        expect![[r#"
            <figure>
            <svg viewBox="-5 0 10 6" role="listbox" tabindex="0" aria-label="natural, macro 0: fc&lt;3&gt; 4 × 3. Arrow keys go from row to row.">
            <rect class="blank" width="5" height="6"/>
            <g data-m="fc&lt;3&gt;" role="group" aria-label="fc&lt;3&gt;"><rect class="block" x="1" y="0" width="3" height="4"/>
            <g class="r k0" role="option" data-l="0"><title>fc&lt;3&gt;, row 0 of macro 0 holds logical row 0</title><rect x="1" y="0" width="3" height="1"/><path d="M1 0.5h1m1 0h1"/></g>
            <g class="r" role="option" data-l="1"><title>fc&lt;3&gt;, row 1 of macro 0 holds logical row 1</title><rect x="1" y="1" width="3" height="1"/><path d="M1 1.5m1 0h2"/></g>
            <g class="r k0" role="option" data-l="2"><title>fc&lt;3&gt;, row 2 of macro 0 holds logical row 2</title><rect x="1" y="2" width="3" height="1"/><path d="M1 2.5h1m1 0h1"/></g>
            <g class="r" role="option" data-l="3"><title>fc&lt;3&gt;, row 3 of macro 0 holds logical row 3</title><rect x="1" y="3" width="3" height="1"/><path d="M1 3.5"/></g>
            <rect class="edge" x="1" y="0" width="3" height="4"/></g>
            </svg>
            <figcaption>macro 0: fc&lt;3&gt; 4 × 3</figcaption>
            </figure>
        "#]]
        .assert_eq(&picture(&layouts[0], 0, &classes));
        expect![[r#"
            <figure>
            <svg viewBox="-5 0 10 6" role="listbox" tabindex="0" aria-label="rename, macro 0: fc&lt;3&gt; 3 × 3. Arrow keys go from row to row.">
            <rect class="blank" width="5" height="6"/>
            <g data-m="fc&lt;3&gt;" role="group" aria-label="fc&lt;3&gt;"><rect class="block" x="1" y="2" width="3" height="3"/>
            <g class="r k0 s" role="option" data-l="0 2"><title>fc&lt;3&gt;, row 2 of macro 0 holds logical rows 0, 2</title><rect x="1" y="2" width="3" height="1"/><path d="M1 2.5h1m1 0h1"/><path class="mark" d="M-4 1.6l3 .9-3 .9z"/></g>
            <g class="r" role="option" data-l="1"><title>fc&lt;3&gt;, row 3 of macro 0 holds logical row 1</title><rect x="1" y="3" width="3" height="1"/><path d="M1 3.5m1 0h2"/></g>
            <g class="r" role="option" data-l="3"><title>fc&lt;3&gt;, row 4 of macro 0 holds logical row 3</title><rect x="1" y="4" width="3" height="1"/><path d="M1 4.5"/></g>
            <rect class="edge" x="1" y="2" width="3" height="3"/></g>
            </svg>
            <figcaption>macro 0: fc&lt;3&gt; 3 × 3</figcaption>
            </figure>
        "#]]
        .assert_eq(&picture(&layouts[1], 0, &classes));
    }
}
