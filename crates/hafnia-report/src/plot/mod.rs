//! The figures of a report, as SVG text.
//!
//! The palette is Okabe and Ito's, which colour-blind readers can tell apart; series also differ in
//! their markers. No font is needed to draw: text is left to the viewer's sans-serif. The same
//! input gives the same bytes.

mod bars;
mod designs;
mod fit;
mod frontier;
mod noise;
mod points;
mod rows;
mod scaling;
mod scatter;
mod stacked;
mod trade_off;
mod training;

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use self::points::Points;
use crate::error::ReportError;
pub use bars::{Bars, bars};
pub use designs::{Design, designs};
pub use fit::{Fitted, fit};
pub use frontier::{Candidate, frontier};
pub use noise::{Series, Spread, accuracy_over_noise};
pub use points::data;
pub use rows::{RowEntry, rows_before_after};
pub use scaling::{Measured, scaling};
pub use scatter::{Scatter, scatter};
pub use stacked::{Stack, stacked};
pub use trade_off::{TradeOff, trade_off};
pub use training::{CurvePoint, CurveRun, training_curve};

/// What is drawn on; lengths are in pixels.
type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Whatever goes wrong while drawing.
type Fault = Box<dyn Error + Send + Sync>;
/// The outcome of drawing.
type Drawn = Result<(), Fault>;

/// Okabe and Ito's palette, without black (used for text) and yellow (too pale on white).
const PALETTE: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0x56, 0xB4, 0xE9),
];
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GREY: RGBColor = RGBColor(0x88, 0x88, 0x88);
const GRID: RGBColor = RGBColor(0xE4, 0xE4, 0xE4);
/// Opacity of a band.
const BAND: f64 = 0.25;
/// Length of a dash and of the gap after it, in pixels.
const DASH: i32 = 6;

/// Named families first: some converters drop text whose family is only `sans-serif`.
const FAMILY: &str = "Helvetica, Arial, DejaVu Sans, sans-serif";

// The back end divides sizes by 1.24: these are 18, 15 and 13 pixels.
const TITLE: f64 = 18.0 * 1.24;
const LABEL: f64 = 15.0 * 1.24;
const TICK: f64 = 13.0 * 1.24;

/// Opens a white picture of so many pixels, lets `paint` draw on it, and gives its SVG with the points
/// that `paint` adds.
fn draw(
    size: (u32, u32),
    mut points: Points,
    paint: impl FnOnce(&Canvas<'_>, &mut Points) -> Drawn,
) -> Result<String, ReportError> {
    let mut svg = String::new();
    let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    let drawn = (|| {
        canvas.fill(&WHITE)?;
        paint(&canvas, &mut points)?;
        canvas.present()?;
        Ok(())
    })();
    drop(canvas);
    drawn.map_err(ReportError::Plot)?;
    Ok(points.into(&svg))
}

/// Text in the ink colour.
fn font(size: f64) -> TextStyle<'static> {
    (FAMILY, size).into_font().color(&INK)
}

/// Text centred on its point.
fn centred(size: f64) -> TextStyle<'static> {
    font(size).pos(Pos::new(HPos::Center, VPos::Center))
}

/// The shape that tells a series apart without colour.
#[derive(Clone, Copy)]
enum Marker {
    Circle,
    Square,
    Triangle,
}

impl Marker {
    /// The marker of series `index`.
    fn of(index: usize) -> Self {
        [Self::Circle, Self::Square, Self::Triangle][index % 3]
    }

    /// Draws it around a pixel.
    fn draw(self, canvas: &Canvas<'_>, (x, y): (i32, i32), colour: impl Color) -> Drawn {
        match self {
            Self::Circle => canvas.draw(&Circle::new((x, y), 5, colour.filled()))?,
            Self::Square => {
                let corners = [(x - 4, y - 4), (x + 5, y + 5)];
                canvas.draw(&Rectangle::new(corners, colour.filled()))?;
            }
            Self::Triangle => {
                let corners = [(x, y - 6), (x + 6, y + 5), (x - 6, y + 5)];
                canvas.draw(&Polygon::new(corners, colour.to_rgba()))?;
            }
        }
        Ok(())
    }
}

/// Where labels stand, so that none hides another.
struct Places {
    taken: Vec<[i32; 4]>,
    /// Pixels from the left between which labels stand.
    across: Range<i32>,
}

impl Places {
    /// None is taken yet.
    fn within(across: Range<i32>) -> Self {
        Self { taken: Vec::new(), across }
    }

    /// Keeps what is drawn around this pixel in sight.
    fn keep(&mut self, (x, y): (i32, i32)) {
        self.taken.push([x - 6, x + 6, y - 6, y + 6]);
    }

    /// The place nearest to this centre, at its height or in a line above or below it, at which a label
    /// of [`TICK`] size hides none of those before it.
    fn free(&mut self, (x, y): (i32, i32), label: &str) -> (i32, i32) {
        // 7.5 pixels a character is wide enough at this size.
        let half = 4 * label.chars().count() as i32 + 3;
        let inside = |x: i32| x.min(self.across.end - half).max(self.across.start + half);
        let of = |(x, y): (i32, i32)| [x - half, x + half, y - 8, y + 8];
        let meets =
            |a: &[i32; 4], b: &[i32; 4]| a[0] < b[1] && b[0] < a[1] && a[2] < b[3] && b[2] < a[3];
        let lines = [0, -15, 32, 47, -30, 62, -45];
        let steps = lines
            .into_iter()
            .flat_map(|dy| [0, 1, -1, 2, -2].map(|dx| (inside(x + dx * half), y + dy)));
        let is_free =
            |place: &(i32, i32)| !self.taken.iter().any(|other| meets(other, &of(*place)));
        let place = steps.into_iter().find(is_free).unwrap_or((inside(x), y));
        self.taken.push(of(place));
        place
    }
}

/// What stands before a label in a legend.
#[derive(Clone, Copy)]
enum Key {
    Line(Marker),
    Point(Marker),
    Band(Marker),
    Rule,
    Box,
}

/// A row of keys and labels from (`x`, `y`), the middle of its left edge, to the right; closer together
/// where it would leave the picture.
fn legend(canvas: &Canvas<'_>, (mut x, y): (i32, i32), entries: &[(Key, RGBColor, &str)]) -> Drawn {
    // No font is at hand to measure with: 9 pixels a character is wide enough at this size.
    let width = |label: &str, pixels: i32| 38 + pixels * label.chars().count() as i32;
    let wide: i32 = entries.iter().map(|(_, _, label)| width(label, 9) + 24).sum();
    let fits = x + wide <= canvas.dim_in_pixel().0 as i32;
    let (pixels, gap) = if fits { (9, 24) } else { (8, 10) };
    for &(key, colour, label) in entries {
        let line = |from, to| PathElement::new([(from, y), (to, y)], colour.stroke_width(2));
        match key {
            Key::Line(marker) => {
                canvas.draw(&line(x, x + 30))?;
                marker.draw(canvas, (x + 15, y), colour)?;
            }
            Key::Point(marker) => marker.draw(canvas, (x + 15, y), colour)?,
            Key::Band(marker) => {
                let band = [(x, y - 7), (x + 30, y + 7)];
                canvas.draw(&Rectangle::new(band, colour.mix(BAND).filled()))?;
                canvas.draw(&line(x, x + 30))?;
                marker.draw(canvas, (x + 15, y), colour)?;
            }
            Key::Rule => {
                for dash in (x..x + 30).step_by((DASH + DASH) as usize) {
                    canvas.draw(&line(dash, dash + DASH))?;
                }
            }
            Key::Box => {
                let square = [(x + 9, y - 6), (x + 21, y + 6)];
                canvas.draw(&Rectangle::new(square, colour.filled()))?;
            }
        }
        let style = font(LABEL).pos(Pos::new(HPos::Left, VPos::Center));
        canvas.draw_text(label, &style, (x + 38, y))?;
        x += width(label, pixels) + gap;
    }
    Ok(())
}

/// A chart over two axes.
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// An axis of a [`Chart`].
struct Axis<'a> {
    name: &'a str,
    range: Range<f64>,
    /// Number of labels, at most.
    labels: usize,
    /// The text of a label.
    tick: &'a dyn Fn(&f64) -> String,
}

/// Draws two axes and their grid.
fn axes<'a>(area: &Canvas<'a>, x: Axis<'_>, y: Axis<'_>) -> Result<Chart<'a>, Fault> {
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .x_label_area_size(50)
        .y_label_area_size(80)
        .build_cartesian_2d(x.range, y.range)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_desc_style(font(LABEL))
        .label_style(font(TICK))
        .x_desc(x.name)
        .y_desc(y.name)
        .x_labels(x.labels)
        .y_labels(y.labels)
        .x_label_formatter(&x.tick)
        .y_label_formatter(&y.tick)
        .draw()?;
    Ok(chart)
}

/// Pixels left of lying bars, for their labels.
const LEFT: i32 = 360;

/// Draws the axis below lying bars, which have pixels 0 to `height` from top to bottom.
fn lying<'a>(
    area: &Canvas<'a>,
    x: &str,
    range: &Range<f64>,
    height: f64,
) -> Result<Chart<'a>, Fault> {
    let mut chart = ChartBuilder::on(area)
        .margin_right(24)
        .x_label_area_size(56)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(range.clone(), height..0.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_desc_style(font(LABEL))
        .label_style(font(TICK))
        .disable_y_mesh()
        .y_labels(0)
        .x_desc(x)
        .x_label_formatter(&tick(range))
        .draw()?;
    Ok(chart)
}

/// The range of these values with some air around; `values` are finite.
fn padded(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (lo, hi) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), value| (lo.min(value), hi.max(value)));
    let air = if hi > lo { 0.06 * (hi - lo) } else { 0.5 };
    lo - air..hi + air
}

/// Decimals that tell the ticks of an axis apart.
fn tick(range: &Range<f64>) -> impl Fn(&f64) -> String + use<> {
    let span = range.end - range.start;
    // About eight ticks: they are an eighth of the span apart.
    let decimals = (1.0 - (span / 8.0).log10().floor()).clamp(1.0, 7.0) as usize - 1;
    move |value| format!("{value:.decimals$}")
}

fn finite(key: &str, values: &[f64]) -> Result<(), ReportError> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(&value) => Err(ReportError::NotFinite { key: key.to_owned(), value }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    /// Asserts that a picture is whole, shows these texts, and that every number in it is one.
    #[track_caller]
    pub(super) fn check_svg(svg: &str, texts: &[&str]) {
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        for text in texts {
            assert!(svg.contains(&format!("\n{text}\n")), "`{text}` is not shown");
        }
        for fault in ["NaN", "inf,", "\"inf", "-2147483648", "2147483647"] {
            assert!(!svg.contains(fault), "{fault}");
        }
    }
}
