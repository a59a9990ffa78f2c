//! Bars with intervals, in groups.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::points::Points;
use super::{INK, Key, LABEL, LEFT, PALETTE, draw, finite, font, legend, lying};
use crate::error::ReportError;
use hafnia_stats::Interval;

/// A bar in every group, by its label.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// What the bars are, beside them.
    pub label: String,
    /// Its value in every group; none where the group has none.
    pub values: Vec<Option<Interval>>,
}

/// Pixels of a bar, and between the bars of one label and the next.
const BAR: i32 = 16;
const GAP: i32 = 12;

/// Lying bars with their intervals as whiskers; every group has a colour.
///
/// # Errors
/// [`ReportError::Empty`] without bars, [`ReportError::NotFinite`] for a number that cannot be drawn.
///
/// # Panics
/// If a label has not one value, or none, for every group.
pub fn bars(x: &str, groups: &[&str], bars: &[Bars]) -> Result<String, ReportError> {
    let values = || bars.iter().flat_map(|bar| bar.values.iter().flatten());
    if values().next().is_none() {
        return Err(ReportError::Empty { what: "list of bars".to_owned() });
    }
    for bar in bars {
        assert_eq!(bar.values.len(), groups.len(), "a value a group");
        let of = bar.values.iter().flatten();
        finite(&bar.label, &of.flat_map(|i| [i.value, i.lo, i.hi]).collect::<Vec<_>>())?;
    }
    let block = BAR * groups.len() as i32 + GAP;
    let height = (bars.len() as i32 * block + 48 + 80) as u32;
    let low = values().map(|interval| interval.lo).fold(0.0, f64::min);
    let high = values().map(|interval| interval.hi).fold(0.0, f64::max);
    let air = if high > low { 0.04 * (high - low) } else { 0.5 };
    let range = low - if low < 0.0 { air } else { 0.0 }..high + air;
    draw((1080, height), Points::over("bar", x), |canvas, points| {
        let (top, plot) = canvas.split_vertically(48);
        let keys: Vec<_> = (groups.iter().zip(PALETTE)).map(|(g, c)| (Key::Box, c, *g)).collect();
        legend(&top, (LEFT, 28), &keys)?;
        let rows = f64::from(bars.len() as i32 * block);
        let chart = lying(&plot, x, &range, rows)?;
        for (index, bar) in bars.iter().enumerate() {
            let first = f64::from(index as i32 * block + GAP / 2);
            let middle = first + f64::from(BAR * groups.len() as i32) / 2.0;
            let at = chart.plotting_area().map_coordinate(&(range.start, middle));
            let style = font(LABEL).pos(Pos::new(HPos::Right, VPos::Center));
            canvas.draw_text(&bar.label, &style, (LEFT - 10, at.1))?;
            for (group, (value, colour)) in bar.values.iter().zip(PALETTE).enumerate() {
                let Some(Interval { value, lo, hi }) = *value else { continue };
                let y = first + f64::from(BAR * group as i32);
                let pixel = |x: f64, y: f64| chart.plotting_area().map_coordinate(&(x, y));
                let corners = [pixel(0.0, y + 2.0), pixel(value, y + f64::from(BAR) - 2.0)];
                canvas.draw(&Rectangle::new(corners, colour.filled()))?;
                let whisker =
                    [(lo, 0.5), (hi, 0.5)].map(|(x, part)| pixel(x, y + part * f64::from(BAR)));
                canvas.draw(&PathElement::new(whisker, INK.stroke_width(1)))?;
                let end = pixel(value, y + 0.5 * f64::from(BAR));
                points.add(groups[group], &bar.label, Interval { value, lo, hi }, end);
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_svg;
    use super::*;

    fn bar(label: &str, values: [Option<f64>; 2]) -> Bars {
        let interval = |value| Interval { value, lo: value - 0.1, hi: value + 0.1 };
        Bars { label: label.into(), values: values.map(|value| value.map(interval)).into() }
    }

    #[test]
    fn shows_labels_groups_and_the_axis() {
        let given = [bar("read noise", [Some(0.4), Some(0.9)]), bar("all", [Some(1.0), None])];
        let svg = bars("drop, points", &["alone", "all but"], &given).unwrap();
        check_svg(&svg, &["read noise", "all", "alone", "all but", "drop, points"]);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let check = |given: &[Bars], expected| {
            assert_eq!(bars("x", &["a", "b"], given).unwrap_err().to_string(), expected);
        };
        check(&[], "list of bars is empty");
        check(&[bar("a", [None, None])], "list of bars is empty");
        let infinite = bar("a", [Some(f64::INFINITY), None]);
        check(&[infinite], "metric `a` is inf, it must be finite");
    }
}
