//! What a picture was drawn of: it goes into the picture, as the text that is shown where it is
//! pointed at, and as a table that whoever has the picture can take out again.

use std::fmt::Write as _;

use hafnia_stats::Interval;

use crate::number::estimate;
use crate::table::Table;

/// What has been drawn so far, point by point.
pub(super) struct Points {
    table: Table,
    titles: String,
}

impl Points {
    /// None yet, of series over `x`; what they show is `y`.
    pub(super) fn over(x: &str, y: &str) -> Self {
        let lower = |what: &str| format!(">{y}, {what}");
        let value = format!(">{y}");
        Self {
            table: Table::of(["series", x, &value, &lower("low"), &lower("high")]),
            titles: String::new(),
        }
    }

    /// Adds a point that was drawn around this pixel.
    pub(super) fn add(&mut self, series: &str, x: &str, y: Interval, (left, top): (i32, i32)) {
        let is_exact = y == Interval::exact(y.value);
        let ends = match is_exact {
            true => [String::new(), String::new()],
            false => [y.lo, y.hi].map(|end| end.to_string()),
        };
        let [lo, hi] = ends;
        self.table.row([series.to_owned(), x.to_owned(), y.value.to_string(), lo, hi]);
        let title = [series, x].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let title = format!("{}: {}", title.join(", "), estimate(y));
        let _ = writeln!(
            self.titles,
            "<circle cx=\"{left}\" cy=\"{top}\" r=\"9\"><title>{}</title></circle>",
            escape(&title)
        );
    }

    /// Puts the points into their picture.
    pub(super) fn into(self, svg: &str) -> String {
        let open = svg.trim_end().strip_suffix("</svg>").unwrap_or(svg);
        let data = escape(&self.table.to_csv());
        format!("{open}<g fill-opacity=\"0\">\n{}</g>\n{OPEN}{data}{CLOSE}\n</svg>\n", self.titles)
    }
}

const OPEN: &str = "<metadata>";
const CLOSE: &str = "</metadata>";

/// What a picture of this crate was drawn of, as comma-separated values: a line a point, with its
/// series, its x, its y and the ends of its 95 % interval, which are empty for an exact number. Nothing
/// for another picture.
#[must_use]
pub fn data(svg: &str) -> Option<String> {
    let (_, rest) = svg.split_once(OPEN)?;
    let (data, _) = rest.split_once(CLOSE)?;
    let data = data.replace("&lt;", "<").replace("&gt;", ">");
    Some(data.replace("&amp;", "&"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_carries_what_it_was_drawn_of() {
        let mut points = Points::over("σ, %", "accuracy, %");
        points.add("a <b>", "5", Interval { value: 97.25, lo: 97.0, hi: 97.5 }, (3, 4));
        points.add("a <b>", "9", Interval::exact(96.0), (5, 6));
        let svg = points.into("<svg>\n</svg>\n");
        assert!(svg.contains("<title>a &lt;b&gt;, 5: 97.25 (97.00 to 97.50)</title>"), "{svg}");
        assert_eq!(
            data(&svg).expect("data"),
            "series,\"σ, %\",\"accuracy, %\",\"accuracy, %, low\",\"accuracy, %, high\"\n\
             a <b>,5,97.25,97,97.5\na <b>,9,96,,\n"
        );
        assert_eq!(data("<svg></svg>"), None);
    }
}
