//! What was measured and what was fitted to it.

use plotters::prelude::*;

use super::points::Points;
use super::{
    Axis, Canvas, Drawn, GREY, Key, Marker, PALETTE, axes, draw, finite, legend, padded, tick,
};
use crate::error::ReportError;
use crate::number::digits;
use hafnia_stats::Interval;

/// Measured values and the curve of a fit or a model beside them.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// Name in the legend.
    pub label: String,
    /// Measured: x, and y with its interval, which is no longer than a point where y is exact.
    pub measured: Vec<(f64, Interval)>,
    /// The fit: points (x, y) along a line; none where there is no fit but the data.
    pub curve: Vec<(f64, f64)>,
}

/// Measured values as points with their intervals, fits as lines; `x` and `y` name the axes.
///
/// # Errors
/// [`ReportError::Empty`] without anything measured, [`ReportError::NotFinite`] for a number that
/// cannot be drawn.
pub fn fit(x: &str, y: &str, series: &[Fitted]) -> Result<String, ReportError> {
    if series.iter().all(|series| series.measured.is_empty()) {
        return Err(ReportError::Empty { what: "list of measured values".to_owned() });
    }
    let measured = || series.iter().flat_map(|series| &series.measured);
    let curves = || series.iter().flat_map(|series| &series.curve);
    let xs: Vec<f64> = measured().map(|at| at.0).chain(curves().map(|at| at.0)).collect();
    let ends = measured().flat_map(|(_, at)| [at.value, at.lo, at.hi]);
    let ys: Vec<f64> = ends.chain(curves().map(|at| at.1)).collect();
    finite(x, &xs)?;
    finite(y, &ys)?;
    draw((1000, 560), Points::over(x, y), |canvas, points| {
        let (top, plot) = canvas.split_vertically(48);
        let colour = |index: usize| PALETTE.get(index).copied().unwrap_or(GREY);
        let keys: Vec<_> = (series.iter().enumerate())
            .map(|(index, series)| (Key::Line(Marker::of(index)), colour(index), &*series.label))
            .collect();
        legend(&top, (92, 28), &keys)?;
        let (x_range, y_range) = (padded(xs.iter().copied()), padded(ys.iter().copied()));
        let (x_tick, y_tick) = (tick(&x_range), tick(&y_range));
        let x = Axis { name: x, range: x_range, labels: 10, tick: &x_tick };
        let mut chart = axes(&plot, x, Axis { name: y, range: y_range, labels: 8, tick: &y_tick })?;
        for (index, series) in series.iter().enumerate() {
            let colour = colour(index);
            chart.draw_series(LineSeries::new(series.curve.clone(), colour.stroke_width(2)))?;
            for (x, at) in &series.measured {
                let pixel = |y: f64| chart.plotting_area().map_coordinate(&(*x, y));
                point(canvas, [at.lo, at.value, at.hi].map(pixel), colour)?;
                points.add(&series.label, &digits(*x), *at, pixel(at.value));
            }
        }
        Ok(())
    })
}

/// A small point, so that hundreds can be told apart, and its interval.
fn point(canvas: &Canvas<'_>, [lo, at, hi]: [(i32, i32); 3], colour: RGBColor) -> Drawn {
    if lo != hi {
        canvas.draw(&PathElement::new([lo, hi], colour.stroke_width(1)))?;
    }
    canvas.draw(&Circle::new(at, 2, colour.filled()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_svg;
    use super::*;

    #[test]
    fn shows_points_curves_and_both_axes() {
        let series = [
            Fitted {
                label: "LRS".into(),
                measured: vec![(38.0, Interval::exact(0.25)), (41.0, Interval::exact(0.75))],
                curve: vec![(37.0, 0.1), (42.0, 0.9)],
            },
            Fitted {
                label: "HRS".into(),
                measured: vec![(2.0, Interval { value: 0.5, lo: 0.4, hi: 0.6 })],
                curve: vec![],
            },
        ];
        let svg = fit("conductance (uS)", "share of cells", &series).unwrap();
        check_svg(&svg, &["LRS", "HRS", "conductance (uS)", "share of cells"]);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let check = |series: &[Fitted], expected| {
            assert_eq!(fit("x", "y", series).unwrap_err().to_string(), expected);
        };
        check(&[], "list of measured values is empty");
        let measured = vec![(f64::NAN, Interval::exact(0.0))];
        let series = Fitted { label: "a".into(), measured, curve: vec![] };
        check(&[series], "metric `x` is NaN, it must be finite");
    }
}
