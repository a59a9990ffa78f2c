//! Designs by what they cost and how accurate they are: a panel a cost, all over one accuracy.

use hafnia_stats::Interval;
use plotters::prelude::*;

use super::points::Points;
use super::{
    Axis, GREY, Key, Marker, PALETTE, Places, TICK, axes, centred, draw, finite, legend, padded,
    tick,
};
use crate::error::ReportError;
use crate::number::digits;

/// A design.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    /// What it has in common with others: its colour and marker, named in the legend.
    pub group: String,
    /// What it is called.
    pub name: String,
    /// What it costs, a value for every panel, with the range of each.
    pub costs: Vec<Interval>,
    /// Accuracy in %, with its interval.
    pub accuracy_pct: Interval,
}

/// Accuracy over each of these costs, which have names; `part` says of which images it is. In a panel,
/// designs of which no other is at least as accurate for less have their names beside them.
///
/// # Errors
/// [`ReportError::Empty`] without designs or costs, [`ReportError::Length`] if a design has not a value for
/// every cost, [`ReportError::NotFinite`] for a number that cannot be drawn.
pub fn designs(part: &str, costs: &[&str], designs: &[Design]) -> Result<String, ReportError> {
    for (what, len) in [("list of designs", designs.len()), ("list of costs", costs.len())] {
        if len == 0 {
            return Err(ReportError::Empty { what: what.to_owned() });
        }
    }
    let mut groups: Vec<&str> = Vec::new();
    for Design { group, name, costs: values, accuracy_pct } in designs {
        let (len, expected) = (values.len(), costs.len());
        if len != expected {
            return Err(ReportError::Length { what: format!("design `{name}`"), len, expected });
        }
        let all = values.iter().chain([accuracy_pct]);
        finite(name, &all.flat_map(|of| [of.value, of.lo, of.hi]).collect::<Vec<_>>())?;
        if !groups.contains(&group.as_str()) {
            groups.push(group);
        }
    }
    let colour = |group: usize| PALETTE.get(group).copied().unwrap_or(GREY);
    let accuracy = format!("{part} accuracy (%)");
    draw((1080, 520), Points::over("cost", &accuracy), |canvas, points| {
        let (top, below) = canvas.split_vertically(48);
        let keys: Vec<_> = (groups.iter().enumerate())
            .map(|(index, group)| (Key::Point(Marker::of(index)), colour(index), *group))
            .collect();
        legend(&top, (92, 28), &keys)?;
        let panels = below.split_evenly((1, costs.len()));
        for (panel, (area, name)) in panels.iter().zip(costs).enumerate() {
            let ends = |of: Interval| [of.lo, of.value, of.hi];
            let x_range = padded(designs.iter().flat_map(|of| ends(of.costs[panel])));
            let x_range = x_range.start.max(0.0)..x_range.end;
            let y_range = padded(designs.iter().flat_map(|of| ends(of.accuracy_pct)));
            let (x_tick, y_tick) = (tick(&x_range), tick(&y_range));
            let x = Axis { name, range: x_range, labels: 8, tick: &x_tick };
            let y = Axis { name: &accuracy, range: y_range, labels: 8, tick: &y_tick };
            let chart = axes(area, x, y)?;
            let pixel = |x: f64, y: f64| chart.plotting_area().map_coordinate(&(x, y));
            let at = |of: &Design| pixel(of.costs[panel].value, of.accuracy_pct.value);
            let mut places = Places::within(chart.plotting_area().get_x_axis_pixel_range());
            designs.iter().for_each(|of| places.keep(at(of)));
            for of in designs {
                let group = groups.iter().position(|group| *group == of.group);
                let colour = colour(group.expect("every group was listed"));
                let (cost, accuracy) = (of.costs[panel], of.accuracy_pct);
                let across = [cost.lo, cost.hi].map(|x| pixel(x, accuracy.value));
                let along = [accuracy.lo, accuracy.hi].map(|y| pixel(cost.value, y));
                for line in [across, along] {
                    canvas.draw(&PathElement::new(line, colour.mix(0.45).stroke_width(1)))?;
                }
            }
            for of in designs {
                let group = groups.iter().position(|group| *group == of.group);
                let group = group.expect("every group was listed");
                Marker::of(group).draw(canvas, at(of), colour(group))?;
                let cost = of.costs[panel];
                let series = format!("{}, {}, {name}", of.name, of.group);
                points.add(&series, &digits(cost.value), of.accuracy_pct, at(of));
                let beats = |other: &Design| {
                    let (less, more) = (other.costs[panel].value, other.accuracy_pct.value);
                    less <= cost.value
                        && more >= of.accuracy_pct.value
                        && (less, more) != (cost.value, of.accuracy_pct.value)
                };
                if !designs.iter().any(beats) {
                    let (x, y) = at(of);
                    let place = places.free((x, y - 16), &of.name);
                    canvas.draw_text(&of.name, &centred(TICK), place)?;
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_svg;
    use super::*;

    fn design(name: &str, costs: &[f64], accuracy: f64) -> Design {
        let interval = |value: f64| Interval { value, lo: value - 0.1, hi: value + 0.2 };
        Design {
            group: "compact".to_owned(),
            name: name.to_owned(),
            costs: costs.iter().copied().map(interval).collect(),
            accuracy_pct: interval(accuracy),
        }
    }

    #[test]
    fn names_those_that_no_other_beats() {
        let all = [
            design("small", &[0.25, 9.0], 97.0),
            design("large", &[1.0, 8.0], 98.0),
            design("beaten", &[1.5, 9.5], 96.0),
        ];
        let svg = designs("test", &["area, mm²", "energy, nJ"], &all).unwrap();
        check_svg(&svg, &["compact", "small", "large", "area, mm²", "energy, nJ"]);
        assert!(
            svg.contains("<title>beaten, compact, area, mm², 1.5: 96.00 (95.90 to 96.20)</title>")
        );
        assert!(!svg.contains("\nbeaten\n"));
        // For its area the small one is named, for its energy the large one alone.
        assert_eq!(svg.matches("\nsmall\n").count(), 1);
        assert_eq!(svg.matches("\nlarge\n").count(), 2);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let check = |costs: &[&str], given: &[Design], expected| {
            assert_eq!(designs("test", costs, given).unwrap_err().to_string(), expected);
        };
        check(&["a"], &[], "list of designs is empty");
        check(&[], &[design("d", &[], 1.0)], "list of costs is empty");
        check(&["a"], &[design("d", &[], 1.0)], "design `d` has 0 elements, it must have 1");
        check(&["a"], &[design("d", &[f64::NAN], 1.0)], "metric `d` is NaN, it must be finite");
    }
}
