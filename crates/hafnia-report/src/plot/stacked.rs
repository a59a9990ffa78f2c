//! What a whole is made of: lying bars, each of parts end to end.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::points::Points;
use super::{Key, LABEL, LEFT, PALETTE, TICK, centred, draw, finite, font, legend, lying};
use crate::error::ReportError;
use hafnia_stats::Interval;

/// A bar and the parts of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// What it is, beside the bar.
    pub label: String,
    /// How much of each part there is, at least 0.
    pub values: Vec<f64>,
}

/// Pixels of a bar, and between two.
const BAR: i32 = 30;
const GAP: i32 = 18;
/// Pixels that a share written into a part takes.
const SHARE: i32 = 48;

/// Lying bars of parts; `x` names the sum and its unit. Parts stand in the order given, apart from
/// each other, with their share in percent where it has room; there are as many as colours at most.
///
/// # Errors
/// [`ReportError::Empty`] without bars or parts or without anything in them,
/// [`ReportError::Length`] if a bar has not a value for every part, [`ReportError::Range`] for a
/// value below 0 or more parts than colours, [`ReportError::NotFinite`] for a number that cannot be
/// drawn.
pub fn stacked(x: &str, parts: &[&str], stacks: &[Stack]) -> Result<String, ReportError> {
    let sum = |stack: &Stack| stack.values.iter().sum::<f64>();
    let count = parts.len() as f64;
    in_range("number of parts", count, parts.len() <= PALETTE.len(), "as many as colours, 6")?;
    for stack in stacks {
        let (label, len, expected) = (&stack.label, stack.values.len(), parts.len());
        if len != expected {
            return Err(ReportError::Length { what: format!("bar `{label}`"), len, expected });
        }
        finite(label, &stack.values)?;
        for &value in &stack.values {
            in_range(&format!("a part of `{label}`"), value, value >= 0.0, "at least 0")?;
        }
    }
    let most = stacks.iter().map(sum).fold(0.0, f64::max);
    if most <= 0.0 {
        return Err(ReportError::Empty { what: "list of bars".to_owned() });
    }
    let range = 0.0..1.03 * most;
    let height = stacks.len() as i32 * (BAR + GAP);
    draw((1080, (height + 48 + 72) as u32), Points::over("bar", x), |canvas, points| {
        let (top, plot) = canvas.split_vertically(48);
        let keys: Vec<_> = (parts.iter().zip(PALETTE)).map(|(p, c)| (Key::Box, c, *p)).collect();
        legend(&top, (LEFT, 28), &keys)?;
        let chart = lying(&plot, x, &range, f64::from(height))?;
        for (index, stack) in stacks.iter().enumerate() {
            let middle = f64::from(index as i32 * (BAR + GAP) + (BAR + GAP) / 2);
            let pixel = |x: f64| chart.plotting_area().map_coordinate(&(x, middle));
            let y = pixel(0.0).1;
            let style = font(LABEL).pos(Pos::new(HPos::Right, VPos::Center));
            canvas.draw_text(&stack.label, &style, (LEFT - 10, y))?;
            let mut from = 0.0;
            for ((value, colour), part) in stack.values.iter().zip(PALETTE).zip(parts) {
                // A gap of a pixel tells parts apart without their colours.
                let (left, right) = (pixel(from).0, pixel(from + value).0 - 1);
                from += value;
                if right <= left {
                    continue;
                }
                let corners = [(left, y - BAR / 2), (right, y + BAR / 2)];
                canvas.draw(&Rectangle::new(corners, colour.filled()))?;
                let middle = ((left + right) / 2, y);
                points.add(part, &stack.label, Interval::exact(*value), middle);
                if right - left >= SHARE {
                    let share = format!("{:.0} %", 100.0 * value / sum(stack));
                    // On a plate, for no ink is legible on all colours.
                    let centre = ((left + right) / 2, y);
                    let plate = [(centre.0 - 20, y - 9), (centre.0 + 20, y + 9)];
                    canvas.draw(&Rectangle::new(plate, WHITE.filled()))?;
                    canvas.draw_text(&share, &centred(TICK), centre)?;
                }
            }
        }
        Ok(())
    })
}

fn in_range(key: &str, value: f64, allowed: bool, range: &'static str) -> Result<(), ReportError> {
    if allowed { Ok(()) } else { Err(ReportError::Range { key: key.to_owned(), value, range }) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_svg;
    use super::*;

    fn stack(label: &str, values: &[f64]) -> Stack {
        Stack { label: label.to_owned(), values: values.to_vec() }
    }

    #[test]
    fn shows_parts_labels_and_shares() {
        let given = [stack("natural", &[3.0, 1.0, 0.0]), stack("best", &[1.0, 1.0, 0.01])];
        let svg = stacked("area, µm²", &["cells", "converters", "tables"], &given).unwrap();
        check_svg(
            &svg,
            &["natural", "best", "cells", "converters", "tables", "area, µm²", "75 %", "50 %"],
        );
        assert_eq!(svg, stacked("area, µm²", &["cells", "converters", "tables"], &given).unwrap());
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let check = |parts: &[&str], given: &[Stack], expected| {
            assert_eq!(stacked("x", parts, given).unwrap_err().to_string(), expected);
        };
        check(&["a"], &[], "list of bars is empty");
        check(&["a"], &[stack("b", &[0.0])], "list of bars is empty");
        check(&["a"], &[stack("b", &[])], "bar `b` has 0 elements, it must have 1");
        check(&["a"], &[stack("b", &[-1.0])], "a part of `b` is -1, it must be at least 0");
        check(&["a"], &[stack("b", &[f64::NAN])], "metric `b` is NaN, it must be finite");
        check(&["a"; 7], &[], "number of parts is 7, it must be as many as colours, 6");
    }
}
