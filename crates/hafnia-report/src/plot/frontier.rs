//! What can be had of two costs at once: a cloud of candidates, and those that no other beats.

use plotters::prelude::*;

use super::points::Points;
use super::{
    Axis, GREY, Key, Marker, PALETTE, Places, TICK, axes, centred, draw, finite, legend, padded,
    tick,
};
use crate::error::ReportError;
use crate::number::digits;
use hafnia_stats::Interval;

/// A candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// What it has in common with others: its colour and marker, named in the legend.
    pub group: String,
    /// What it is called beside its point; nothing for one that another beats.
    pub label: Option<String>,
    /// Its cost along x.
    pub x: f64,
    /// Its cost along y.
    pub y: f64,
}

/// Candidates by two costs, the smaller the better; `x` and `y` name them.
///
/// Groups have a colour and a marker each, in the order in which they first come up, as many as
/// there are colours; candidates with a label stand out, the others are pale.
///
/// # Errors
/// [`ReportError::Empty`] without candidates, [`ReportError::NotFinite`] for a number that cannot be
/// drawn.
pub fn frontier(x: &str, y: &str, candidates: &[Candidate]) -> Result<String, ReportError> {
    if candidates.is_empty() {
        return Err(ReportError::Empty { what: "list of candidates".to_owned() });
    }
    finite(x, &candidates.iter().map(|candidate| candidate.x).collect::<Vec<_>>())?;
    finite(y, &candidates.iter().map(|candidate| candidate.y).collect::<Vec<_>>())?;
    let mut groups: Vec<&str> = Vec::new();
    for candidate in candidates {
        if !groups.contains(&candidate.group.as_str()) {
            groups.push(&candidate.group);
        }
    }
    let colour = |group: usize| PALETTE.get(group).copied().unwrap_or(GREY);
    draw((1080, 560), Points::over(x, y), |canvas, points| {
        let (top, plot) = canvas.split_vertically(48);
        let keys: Vec<_> = (groups.iter().enumerate())
            .map(|(index, group)| (Key::Point(Marker::of(index)), colour(index), *group))
            .collect();
        legend(&top, (92, 28), &keys)?;
        let x_range = padded(candidates.iter().map(|candidate| candidate.x));
        let y_range = padded(candidates.iter().map(|candidate| candidate.y));
        let (x_tick, y_tick) = (tick(&x_range), tick(&y_range));
        let x = Axis { name: x, range: x_range, labels: 10, tick: &x_tick };
        let chart = axes(&plot, x, Axis { name: y, range: y_range, labels: 8, tick: &y_tick })?;
        // Those that are beaten first, so that they hide no other.
        let mut places = Places::within(chart.plotting_area().get_x_axis_pixel_range());
        let named = candidates.iter().filter(|candidate| candidate.label.is_some());
        named.for_each(|of| places.keep(chart.plotting_area().map_coordinate(&(of.x, of.y))));
        for is_named in [false, true] {
            for candidate in candidates.iter().filter(|c| c.label.is_some() == is_named) {
                let group = groups.iter().position(|group| *group == candidate.group);
                let group = group.expect("every group was listed");
                let pixel = chart.plotting_area().map_coordinate(&(candidate.x, candidate.y));
                let series = match &candidate.label {
                    Some(label) => format!("{}, {label}", candidate.group),
                    None => candidate.group.clone(),
                };
                points.add(&series, &digits(candidate.x), Interval::exact(candidate.y), pixel);
                let Some(label) = &candidate.label else {
                    Marker::of(group).draw(canvas, pixel, colour(group).mix(0.35))?;
                    continue;
                };
                Marker::of(group).draw(canvas, pixel, colour(group).mix(1.0))?;
                let place = places.free((pixel.0, pixel.1 - 14), label);
                canvas.draw_text(label, &centred(TICK), place)?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_svg;
    use super::*;

    fn candidate(group: &str, label: Option<&str>, x: f64, y: f64) -> Candidate {
        Candidate { group: group.into(), label: label.map(Into::into), x, y }
    }

    #[test]
    fn shows_groups_labels_and_both_axes() {
        let candidates = [
            candidate("ordered-scan", Some("a"), 9.0, 0.2),
            candidate("fixed-group", Some("b"), 12.0, 0.1),
            candidate("fixed-group", None, 13.0, 0.3),
        ];
        let svg = frontier("cycles an image", "expected flips", &candidates).unwrap();
        check_svg(
            &svg,
            &["ordered-scan", "fixed-group", "a", "b", "cycles an image", "expected flips"],
        );
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let check = |candidates: &[Candidate], expected| {
            assert_eq!(frontier("x", "y", candidates).unwrap_err().to_string(), expected);
        };
        check(&[], "list of candidates is empty");
        check(&[candidate("g", None, f64::INFINITY, 0.0)], "metric `x` is inf, it must be finite");
    }
}
