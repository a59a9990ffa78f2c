//! Loss and validation accuracy over the epochs of training.

use plotters::prelude::*;

use super::points::Points;
use super::{Axis, Canvas, Drawn, Key, Marker, PALETTE, axes, draw, finite, legend, padded, tick};
use crate::error::ReportError;
use hafnia_stats::Interval;

/// One training run.
#[derive(Debug, Clone, PartialEq)]
pub struct CurveRun {
    /// Name in the legend.
    pub label: String,
    /// Its epochs, in order.
    pub points: Vec<CurvePoint>,
}

/// The state after an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Epochs trained.
    pub epoch: u32,
    /// Mean training loss of the epoch, in the loss's own unit.
    pub loss: f64,
    /// Accuracy on the validation images, in %.
    pub validation_accuracy_pct: f64,
}

/// Loss on the left, validation accuracy on the right, over epochs; a line per run.
///
/// # Errors
/// [`ReportError::Empty`] without runs or for a run without points, [`ReportError::NotFinite`] for
/// a number that cannot be drawn.
pub fn training_curve(runs: &[CurveRun]) -> Result<String, ReportError> {
    if runs.is_empty() {
        return Err(ReportError::Empty { what: "list of training runs".to_owned() });
    }
    for CurveRun { label, points } in runs {
        if points.is_empty() {
            return Err(ReportError::Empty { what: format!("training run `{label}`") });
        }
        for point in points {
            finite(label, &[point.loss, point.validation_accuracy_pct])?;
        }
    }
    draw((1000, 440), Points::over("epoch", "value"), |canvas, points| {
        let (top, panels) = canvas.split_vertically(48);
        let keys: Vec<_> = runs
            .iter()
            .enumerate()
            .map(|(i, run)| (Key::Line(Marker::of(i)), colour(i), run.label.as_str()))
            .collect();
        legend(&top, (78, 28), &keys)?;
        let (left, right) = panels.split_horizontally(500);
        panel((canvas, points), &left, runs, "training loss", |point| point.loss)?;
        panel((canvas, points), &right, runs, "validation accuracy (%)", |point| {
            point.validation_accuracy_pct
        })
    })
}

fn colour(run: usize) -> RGBColor {
    PALETTE[run % PALETTE.len()]
}

/// One number of every epoch, in `area` of a canvas.
fn panel(
    (canvas, drawn): (&Canvas<'_>, &mut Points),
    area: &Canvas<'_>,
    runs: &[CurveRun],
    name: &str,
    of: fn(&CurvePoint) -> f64,
) -> Drawn {
    let points = || runs.iter().flat_map(|run| &run.points);
    let x = padded(points().map(|point| f64::from(point.epoch)));
    let y = padded(points().map(of));
    // On short runs ticks fall between epochs; those get no label.
    let x_tick = |epoch: &f64| {
        if (epoch - epoch.round()).abs() < 1e-9 { format!("{epoch:.0}") } else { String::new() }
    };
    let y_tick = tick(&y);
    let x = Axis { name: "epoch", range: x, labels: 8, tick: &x_tick };
    let mut chart = axes(area, x, Axis { name, range: y, labels: 8, tick: &y_tick })?;
    for (i, run) in runs.iter().enumerate() {
        let at = |point: &CurvePoint| (f64::from(point.epoch), of(point));
        let line = run.points.iter().map(at);
        chart.draw_series(LineSeries::new(line, colour(i).stroke_width(2)))?;
        // Markers crowd on long runs: a dozen, the last among them, tell the runs apart.
        let step = run.points.len().div_ceil(12);
        for point in run.points.iter().rev().step_by(step) {
            let pixel = chart.plotting_area().map_coordinate(&at(point));
            Marker::of(i).draw(canvas, pixel, colour(i))?;
        }
        for point in &run.points {
            let pixel = chart.plotting_area().map_coordinate(&at(point));
            let (series, value) = (format!("{}: {name}", run.label), Interval::exact(of(point)));
            drawn.add(&series, &point.epoch.to_string(), value, pixel);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_svg;
    use super::*;

    fn run(label: &str, epochs: u32, start: f64) -> CurveRun {
        let point = |epoch: u32| CurvePoint {
            epoch,
            loss: start / f64::from(epoch),
            validation_accuracy_pct: 98.5 - start * 4.0 / f64::from(epoch),
        };
        CurveRun { label: label.to_owned(), points: (1..=epochs).map(point).collect() }
    }

    #[test]
    fn shows_every_run_and_both_axes() {
        let runs = [run("free", 30, 0.9), run("46 patterns <tied>", 30, 1.1)];
        let svg = training_curve(&runs).unwrap();
        check_svg(
            &svg,
            &[
                "free",
                "46 patterns &lt;tied&gt;",
                "training loss",
                "validation accuracy (%)",
                "epoch",
            ],
        );
        assert_eq!(svg, training_curve(&runs).unwrap());
    }

    #[test]
    fn one_epoch_is_enough() {
        check_svg(&training_curve(&[run("short", 1, 1.0)]).unwrap(), &["short"]);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let check = |runs: &[CurveRun], expected| {
            assert_eq!(training_curve(runs).unwrap_err().to_string(), expected);
        };
        check(&[], "list of training runs is empty");
        check(&[run("none", 0, 1.0)], "training run `none` is empty");
        check(&[run("wild", 1, f64::NAN)], "metric `wild` is NaN, it must be finite");
    }
}
