//! Time over size: whether a cost grows in proportion.

use plotters::prelude::*;

use super::points::Points;
use super::{GREY, GRID, Key, LABEL, Marker, PALETTE, TICK, draw, finite, font, legend};
use crate::error::ReportError;
use crate::number::digits;
use hafnia_stats::Interval;

/// What a job of some size took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Its size, in whatever is counted.
    pub size: f64,
    /// Processor time in seconds.
    pub seconds: f64,
}

/// Time over size, both logarithmic, with a dashed line of what it would be in proportion to the
/// first; `name` says what sizes are.
///
/// # Errors
/// [`ReportError::Empty`] without points, [`ReportError::NotFinite`] for a number that has no
/// logarithm.
pub fn scaling(name: &str, measured: &[Measured]) -> Result<String, ReportError> {
    let (Some(first), Some(last)) = (measured.first(), measured.last()) else {
        return Err(ReportError::Empty { what: format!("scaling over {name}") });
    };
    let logarithms: Vec<f64> =
        measured.iter().flat_map(|p| [p.size.ln(), p.seconds.ln()]).collect();
    finite(name, &logarithms)?;
    draw((640, 420), Points::over(name, "processor time (s)"), |canvas, points| {
        let decades = |values: &dyn Fn(&Measured) -> f64| {
            let exponents = || measured.iter().map(|point| values(point).log10());
            let low = exponents().fold(f64::INFINITY, f64::min).floor();
            let high = exponents().fold(f64::NEG_INFINITY, f64::max).ceil();
            10f64.powf(low)..10f64.powf(high.max(low + 1.0))
        };
        let (x, y) = (decades(&|point| point.size), decades(&|point| point.seconds));
        let power = |value: &f64| format!("{value:.0e}").replace("e", " · 10^").replace("1 · ", "");
        let time = |value: &f64| format!("{value}");
        let mut chart = ChartBuilder::on(canvas)
            .margin(16)
            .margin_top(40)
            .margin_right(30)
            .x_label_area_size(50)
            .y_label_area_size(80)
            .build_cartesian_2d(x.log_scale(), y.log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_desc_style(font(LABEL))
            .label_style(font(TICK))
            .x_desc(name)
            .y_desc("processor time (s)")
            .x_label_formatter(&power)
            .y_label_formatter(&time)
            .draw()?;
        let proportional = |size: f64| first.seconds * size / first.size;
        let ends = [first.size, last.size].map(|size| (size, proportional(size)));
        chart.draw_series(DashedLineSeries::new(ends, 6, 6, GREY.stroke_width(2)))?;
        let line = measured.iter().map(|point| (point.size, point.seconds));
        chart.draw_series(LineSeries::new(line, PALETTE[0].stroke_width(2)))?;
        for point in measured {
            let pixel = chart.plotting_area().map_coordinate(&(point.size, point.seconds));
            Marker::Circle.draw(canvas, pixel, PALETTE[0])?;
            let seconds = Interval::exact(point.seconds);
            points.add("measured", &digits(point.size), seconds, pixel);
        }
        let keys = [
            (Key::Line(Marker::Circle), PALETTE[0], "measured"),
            (Key::Rule, GREY, "in proportion"),
        ];
        legend(canvas, (110, 24), &keys)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_svg;
    use super::*;

    #[test]
    fn shows_every_point_and_both_axes() {
        let point = |size, seconds| Measured { size, seconds };
        let svg = scaling("cells", &[point(1e4, 0.01), point(1e5, 0.11), point(3e5, 0.4)]).unwrap();
        check_svg(&svg, &["cells", "processor time (s)", "measured", "in proportion", "10^4"]);
        assert_eq!(
            svg.matches("<circle").count(),
            2 * 3 + 1,
            "with what it says; one in the legend"
        );
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let check = |points: &[Measured], expected| {
            assert_eq!(scaling("cells", points).unwrap_err().to_string(), expected);
        };
        check(&[], "scaling over cells is empty");
        let none = Measured { size: 1.0, seconds: 0.0 };
        check(&[none], "metric `cells` is -inf, it must be finite");
    }
}
