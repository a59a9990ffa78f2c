//! Accuracy over the grid of noise settings.

use plotters::prelude::*;

use super::points::Points;
use super::{
    BAND, Canvas, DASH, Drawn, GREY, GRID, INK, Key, LABEL, Marker, PALETTE, TICK, centred, draw,
    finite, font, legend, padded, tick,
};
use crate::claims::{Setting, percent};
use crate::error::ReportError;
use hafnia_stats::Interval;

/// An accuracy per noise setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub label: String,
    /// Accuracy in % and its interval, one per setting.
    pub accuracy_pct: Vec<Interval>,
    /// How the interval is drawn.
    pub spread: Spread,
}

/// How an interval is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// An error bar at every point: the confidence interval of one order.
    Bars,
    /// A shaded band, in grey: the range of many orders, seen behind the others.
    Band,
}

/// A series with its colour, marker and place beside the others.
struct Styled<'a> {
    series: &'a Series,
    colour: RGBColor,
    marker: Marker,
    /// Shift along x, so that no error bar hides another.
    aside: f64,
}

/// Accuracy on images of `part` over noise settings, from small to large, with a rule at the accuracy
/// without noise.
///
/// # Errors
/// [`ReportError::Empty`] without settings, [`ReportError::Length`] if a series has not one
/// interval per setting, [`ReportError::NotFinite`] for a number that cannot be drawn.
pub fn accuracy_over_noise(
    part: &str,
    exact_accuracy_pct: f64,
    settings: &[Setting],
    series: &[Series],
) -> Result<String, ReportError> {
    check(exact_accuracy_pct, settings, series)?;
    let styled = style(series);
    let name = format!("{part} accuracy (%)");
    draw((1000, 560), Points::over("noise setting", &name), |canvas, points| {
        let (top, plot) = canvas.split_vertically(48);
        let mut keys: Vec<_> = styled
            .iter()
            .map(|styled| (styled.key(), styled.colour, styled.series.label.as_str()))
            .collect();
        keys.push((Key::Rule, INK, "no noise"));
        legend(&top, (92, 28), &keys)?;

        let intervals = series.iter().flat_map(|series| &series.accuracy_pct);
        let ends = intervals.flat_map(|interval| [interval.value, interval.lo, interval.hi]);
        let y = padded(ends.chain([exact_accuracy_pct]));
        let (left, right) = (-0.5, settings.len() as f64 - 0.5);
        let y_tick = tick(&y);
        let floor = y.start;
        let mut chart = ChartBuilder::on(&plot)
            .margin_left(16)
            .margin_right(16)
            .margin_bottom(76)
            .y_label_area_size(76)
            .build_cartesian_2d(left..right, y)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_desc_style(font(LABEL))
            .label_style(font(TICK))
            .y_desc(&*name)
            .y_labels(9)
            .y_label_formatter(&y_tick)
            .draw()?;
        chart.draw_series([PathElement::new([(left, floor), (right, floor)], INK)])?;
        let rule = [(left, exact_accuracy_pct), (right, exact_accuracy_pct)];
        let stroke = INK.stroke_width(2);
        chart.draw_series(DashedLineSeries::new(rule, DASH, DASH, stroke))?;

        // Bands first, so that they hide no line.
        for styled in styled.iter().filter(|styled| styled.series.spread == Spread::Band) {
            let upper = styled.points(|interval| interval.hi);
            let lower = styled.points(|interval| interval.lo);
            let outline: Vec<_> = upper.chain(lower.rev()).collect();
            chart.draw_series([Polygon::new(outline, styled.colour.mix(BAND))])?;
        }
        for styled in &styled {
            let Styled { series, colour, marker, .. } = styled;
            let stroke = colour.stroke_width(2);
            let values = || styled.points(|interval| interval.value);
            chart.draw_series(LineSeries::new(values(), stroke))?;
            if series.spread == Spread::Bars {
                let ends = styled.points(|i| i.lo).zip(styled.points(|i| i.hi));
                chart.draw_series(ends.flat_map(|((x, lo), (_, hi))| {
                    [[(x, lo), (x, hi)], cap(x, lo), cap(x, hi)]
                        .map(|line| PathElement::new(line, stroke))
                }))?;
            }
            for ((point, setting), at) in values().zip(settings).zip(&series.accuracy_pct) {
                let pixel = chart.plotting_area().map_coordinate(&point);
                marker.draw(canvas, pixel, *colour)?;
                points.add(&series.label, &setting.to_string(), *at, pixel);
            }
        }

        let place = |x: usize| chart.plotting_area().map_coordinate(&(x as f64, floor));
        let places: Vec<_> = (0..settings.len()).map(place).collect();
        setting_axis(canvas, settings, &places)
    })
}

fn check(
    exact_accuracy_pct: f64,
    settings: &[Setting],
    series: &[Series],
) -> Result<(), ReportError> {
    if settings.is_empty() {
        return Err(ReportError::Empty { what: "list of noise settings".to_owned() });
    }
    finite("exact accuracy", &[exact_accuracy_pct])?;
    for setting in settings {
        finite("noise setting", &[setting.sigma_lrs_rel, setting.offset_lsb])?;
    }
    for Series { label, accuracy_pct, .. } in series {
        if accuracy_pct.len() != settings.len() {
            return Err(ReportError::Length {
                what: format!("series `{label}`"),
                len: accuracy_pct.len(),
                expected: settings.len(),
            });
        }
        for &Interval { value, lo, hi } in accuracy_pct {
            finite(label, &[value, lo, hi])?;
        }
    }
    Ok(())
}

fn style(series: &[Series]) -> Vec<Styled<'_>> {
    let bars = series.iter().filter(|series| series.spread == Spread::Bars).count();
    let mut drawn_bars = 0;
    let styled = series.iter().enumerate().map(|(i, series)| {
        let marker = Marker::of(i);
        match series.spread {
            Spread::Band => Styled { series, colour: GREY, marker, aside: 0.0 },
            Spread::Bars => {
                let place = drawn_bars;
                drawn_bars += 1;
                let aside = 0.09 * (place as f64 - 0.5 * (bars as f64 - 1.0));
                Styled { series, colour: PALETTE[place % PALETTE.len()], marker, aside }
            }
        }
    });
    styled.collect()
}

impl Styled<'_> {
    fn key(&self) -> Key {
        match self.series.spread {
            Spread::Bars => Key::Line(self.marker),
            Spread::Band => Key::Band(self.marker),
        }
    }

    /// One number of every interval, over the settings.
    fn points(&self, of: fn(&Interval) -> f64) -> impl DoubleEndedIterator<Item = (f64, f64)> {
        let aside = self.aside;
        let intervals = self.series.accuracy_pct.iter().enumerate();
        intervals.map(move |(x, interval)| (x as f64 + aside, of(interval)))
    }
}

/// The cap of an error bar.
fn cap(x: f64, y: f64) -> [(f64, f64); 2] {
    [(x - 0.03, y), (x + 0.03, y)]
}

/// The settings under their places on the x axis.
fn setting_axis(canvas: &Canvas<'_>, settings: &[Setting], places: &[(i32, i32)]) -> Drawn {
    for (setting, &(x, y)) in settings.iter().zip(places) {
        canvas.draw(&PathElement::new([(x, y), (x, y + 5)], INK))?;
        let sigma = format!("{} %", percent(setting.sigma_lrs_rel));
        canvas.draw_text(&sigma, &centred(TICK), (x, y + 17))?;
        let offset = format!("{:.2} LSB", setting.offset_lsb);
        canvas.draw_text(&offset, &centred(TICK), (x, y + 34))?;
    }
    if let (Some((first, y)), Some((last, _))) = (places.first(), places.last()) {
        let name = "noise setting: σ of LRS conductance (%), σ of ADC offset (LSB)";
        canvas.draw_text(name, &centred(LABEL), ((first + last) / 2, y + 60))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_svg;
    use super::*;

    const GRID_OF_THREE: [Setting; 3] = [
        Setting { sigma_lrs_rel: 0.05, offset_lsb: 0.10 },
        Setting { sigma_lrs_rel: 0.15, offset_lsb: 0.15 },
        Setting { sigma_lrs_rel: 0.30, offset_lsb: 0.30 },
    ];

    fn series(label: &str, spread: Spread, values: &[f64]) -> Series {
        let interval = |&value| Interval { value, lo: value - 0.08, hi: value + 0.07 };
        let accuracy_pct = values.iter().map(interval).collect();
        Series { label: label.to_owned(), accuracy_pct, spread }
    }

    #[test]
    fn shows_every_series_and_setting() {
        let all = [
            series("natural", Spread::Bars, &[97.5, 97.3, 96.8]),
            series("20 random orders", Spread::Band, &[97.5, 97.28, 96.7]),
            series("reordered", Spread::Bars, &[97.5, 97.4, 97.1]),
        ];
        let svg = accuracy_over_noise("test", 97.52, &GRID_OF_THREE, &all).unwrap();
        check_svg(
            &svg,
            &[
                "natural",
                "20 random orders",
                "reordered",
                "no noise",
                "test accuracy (%)",
                "5 %",
                "0.10 LSB",
                "30 %",
                "0.30 LSB",
            ],
        );
        assert_eq!(svg, accuracy_over_noise("test", 97.52, &GRID_OF_THREE, &all).unwrap());
    }

    #[test]
    fn one_setting_without_spread_is_enough() {
        let exact = Interval::exact(97.0);
        let one =
            Series { label: "natural".to_owned(), accuracy_pct: vec![exact], spread: Spread::Bars };
        check_svg(
            &accuracy_over_noise("test", 97.0, &GRID_OF_THREE[..1], &[one]).unwrap(),
            &["natural"],
        );
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let check = |exact, settings: &[Setting], series: Series, expected| {
            let error = accuracy_over_noise("test", exact, settings, &[series]).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        let whole = || series("natural", Spread::Bars, &[97.0, 96.0, 95.0]);
        let short = series("natural", Spread::Bars, &[97.0]);
        let wild = series("natural", Spread::Bars, &[97.0, f64::NAN, 95.0]);
        let all = &GRID_OF_THREE;
        check(97.0, &[], whole(), "list of noise settings is empty");
        check(97.0, all, short, "series `natural` has 1 elements, it must have 3");
        check(97.0, all, wild, "metric `natural` is NaN, it must be finite");
        check(f64::NAN, all, whole(), "metric `exact accuracy` is NaN, it must be finite");
    }
}
