//! Accuracy over what a network takes: rows of a layer, or macros.

use plotters::prelude::*;

use super::points::Points;
use super::{Axis, Marker, PALETTE, axes, draw, finite, padded, tick};
use crate::error::ReportError;
use hafnia_stats::Interval;

/// Networks that take the same.
#[derive(Debug, Clone, PartialEq)]
pub struct TradeOff {
    /// What they take.
    pub cost: u32,
    /// Accuracy of each, in %.
    pub accuracy_pct: Vec<f64>,
}

/// Mean accuracy as a line over costs, which stand side by side in the order given, and every
/// network as a marker; `name` says what the costs are.
///
/// # Errors
/// [`ReportError::Empty`] without points or for a point without networks,
/// [`ReportError::NotFinite`] for a number that cannot be drawn.
pub fn trade_off(name: &str, points: &[TradeOff]) -> Result<String, ReportError> {
    if points.is_empty() {
        return Err(ReportError::Empty { what: format!("trade-off over {name}") });
    }
    for TradeOff { cost, accuracy_pct } in points {
        if accuracy_pct.is_empty() {
            return Err(ReportError::Empty { what: format!("list of networks of {cost} {name}") });
        }
        finite(name, accuracy_pct)?;
    }
    draw((640, 420), Points::over(name, "accuracy (%)"), |canvas, drawn| {
        let x = -0.5..points.len() as f64 - 0.5;
        let y = padded(points.iter().flat_map(|point| point.accuracy_pct.iter().copied()));
        let x_tick = |at: &f64| {
            let point = points.get(at.round() as usize).filter(|_| (at - at.round()).abs() < 1e-9);
            point.map_or(String::new(), |point| point.cost.to_string())
        };
        let y_tick = tick(&y);
        let x = Axis { name, range: x, labels: 2 * points.len(), tick: &x_tick };
        let y = Axis { name: "accuracy (%)", range: y, labels: 8, tick: &y_tick };
        let mut chart = axes(canvas, x, y)?;
        let mean = |point: &TradeOff| {
            point.accuracy_pct.iter().sum::<f64>() / point.accuracy_pct.len() as f64
        };
        let line = points.iter().enumerate().map(|(i, point)| (i as f64, mean(point)));
        chart.draw_series(LineSeries::new(line, PALETTE[0].stroke_width(2)))?;
        for (i, point) in points.iter().enumerate() {
            for &accuracy in &point.accuracy_pct {
                let pixel = chart.plotting_area().map_coordinate(&(i as f64, accuracy));
                Marker::Circle.draw(canvas, pixel, PALETTE[1])?;
                drawn.add("", &point.cost.to_string(), Interval::exact(accuracy), pixel);
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_svg;
    use super::*;

    fn point(cost: u32, accuracy_pct: &[f64]) -> TradeOff {
        TradeOff { cost, accuracy_pct: accuracy_pct.to_vec() }
    }

    #[test]
    fn shows_every_cost_and_both_axes() {
        let points = [point(4, &[97.0, 97.3]), point(12, &[98.9]), point(84, &[99.1, 99.0])];
        let svg = trade_off("rows of the final layer", &points).unwrap();
        check_svg(&svg, &["rows of the final layer", "accuracy (%)", "12", "84"]);
        assert_eq!(svg.matches("<circle").count(), 2 * 5, "with what it says");
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let check = |points: &[TradeOff], expected| {
            assert_eq!(trade_off("macros", points).unwrap_err().to_string(), expected);
        };
        check(&[], "trade-off over macros is empty");
        check(&[point(2, &[])], "list of networks of 2 macros is empty");
        check(&[point(2, &[f64::NAN])], "metric `macros` is NaN, it must be finite");
    }
}
