//! Any quantity over any other.

use plotters::prelude::*;

use super::points::Points;
use super::{
    Axis, Canvas, Chart, Drawn, GREY, Key, Marker, PALETTE, axes, draw, finite, legend, padded,
    tick,
};
use crate::error::ReportError;
use crate::number::digits;
use hafnia_stats::Interval;

/// Points that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Scatter {
    /// Name in the legend; none if there is but one series.
    pub label: String,
    /// x, and y with its interval, an end of which may be open.
    pub points: Vec<(f64, Interval)>,
}

/// The points of every series, with their intervals as bars; `x` and `y` name the axes. A series is
/// drawn as a line too if no x comes twice in it. An open interval has no bar.
///
/// # Errors
/// [`ReportError::Empty`] without a point, [`ReportError::NotFinite`] for a number that cannot be drawn.
pub fn scatter(x: &str, y: &str, series: &[Scatter]) -> Result<String, ReportError> {
    if series.iter().all(|series| series.points.is_empty()) {
        return Err(ReportError::Empty { what: "list of points".to_owned() });
    }
    let points = || series.iter().flat_map(|series| &series.points);
    let xs: Vec<f64> = points().map(|at| at.0).collect();
    let ys: Vec<f64> = points().flat_map(|(_, at)| bar(*at)).collect();
    finite(x, &xs)?;
    finite(y, &ys)?;
    draw((1000, 560), Points::over(x, y), |canvas, points| {
        // As many entries of the legend a line as find room.
        let a_line = 3;
        let lines = series.len().div_ceil(a_line);
        let (top, plot) = canvas.split_vertically(16 + 32 * lines as i32);
        let look = |index: usize| (Marker::of(index), PALETTE.get(index).copied().unwrap_or(GREY));
        let keys: Vec<_> = (series.iter().enumerate())
            .map(|(index, series)| (Key::Line(look(index).0), look(index).1, &*series.label))
            .filter(|(_, _, label)| !label.is_empty())
            .collect();
        for (line, keys) in keys.chunks(a_line).enumerate() {
            legend(&top, (92, 28 + 32 * line as i32), keys)?;
        }
        let (x_range, y_range) = (padded(xs.iter().copied()), padded(ys.iter().copied()));
        let (x_tick, y_tick) = (tick(&x_range), tick(&y_range));
        let x = Axis { name: x, range: x_range, labels: 10, tick: &x_tick };
        let mut chart = axes(&plot, x, Axis { name: y, range: y_range, labels: 8, tick: &y_tick })?;
        for (index, series) in series.iter().enumerate() {
            one(canvas, &mut chart, series, look(index))?;
            for (x, at) in &series.points {
                let pixel = chart.plotting_area().map_coordinate(&(*x, at.value));
                let [lo, value, hi] = bar(*at);
                points.add(&series.label, &digits(*x), Interval { value, lo, hi }, pixel);
            }
        }
        Ok(())
    })
}

fn one(
    canvas: &Canvas<'_>,
    chart: &mut Chart<'_>,
    series: &Scatter,
    (marker, colour): (Marker, RGBColor),
) -> Drawn {
    let mut line: Vec<(f64, f64)> = series.points.iter().map(|(x, y)| (*x, y.value)).collect();
    line.sort_by(|a, b| a.0.total_cmp(&b.0));
    if line.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        chart.draw_series(LineSeries::new(line, colour.stroke_width(1)))?;
    }
    for (x, at) in &series.points {
        let pixel = |y: f64| chart.plotting_area().map_coordinate(&(*x, y));
        let [lo, _, hi] = bar(*at);
        canvas.draw(&PathElement::new([pixel(lo), pixel(hi)], colour.stroke_width(1)))?;
        marker.draw(canvas, pixel(at.value), colour)?;
    }
    Ok(())
}

/// The ends of a bar and the value between them.
fn bar(at: Interval) -> [f64; 3] {
    match at.is_finite() {
        true => [at.lo, at.value, at.hi],
        false => [at.value; 3],
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_svg;
    use super::*;

    #[test]
    fn shows_series_axes_and_bars() {
        let series = |label: &str, points| Scatter { label: label.to_owned(), points };
        let at = |value| Interval { value, lo: value - 0.1, hi: value + 0.1 };
        let line = series("natural", vec![(2.0, at(0.5)), (1.0, Interval::open(0.75))]);
        let cloud = series("compact", vec![(1.0, at(0.25)), (1.0, at(0.3))]);
        let svg = scatter("area_mm2", "accuracy", &[line, cloud]).unwrap();
        check_svg(&svg, &["natural", "compact", "area_mm2", "accuracy"]);
        // One line through the first series and one in each key; none through x that come twice.
        let lines = svg.matches("<polyline").count();
        let alone = vec![series("", vec![(1.0, at(0.25)), (1.0, at(0.3))])];
        let without = scatter("x", "y", &alone).unwrap().matches("<polyline").count();
        assert!(lines > without, "{lines}, {without}");
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let check = |points: Vec<(f64, Interval)>, expected| {
            let series = [Scatter { label: String::new(), points }];
            assert_eq!(scatter("x", "y", &series).unwrap_err().to_string(), expected);
        };
        check(Vec::new(), "list of points is empty");
        check(vec![(f64::NAN, Interval::exact(0.0))], "metric `x` is NaN, it must be finite");
    }
}
