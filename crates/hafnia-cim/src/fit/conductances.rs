//! [`Conductances`]: measured conductances of programmed cells, and the statistics they have.
//!
//! The file has the header `state,g_us`: `LRS` or `HRS`, conductance in µS; with the header
//! `state,g_s` conductances are in siemens. Normal cells are fitted by moments, log-normal ones by maximum likelihood. The goodness of both is the greatest distance
//! D between the cumulative shares of the cells and of the fit (Kolmogorov–Smirnov), held against
//! 0.886/√n, the 5 % bound where both parameters were fitted to the same n values (Lilliefors 1967,
//! n above 30).

use std::path::Path;

use crate::csv::{Fault, has_header, lines, missing, named, read};
use crate::distribution::Distribution;
use crate::error::CimError;
use crate::preset;
use crate::spec::LEAST_G_LRS_US;

const HEADER: &str = "state,g_us";

/// The header of conductances in siemens.
const SIEMENS: &str = "state,g_s";

/// Fewest cells of a state that are fitted: above what the bound of Lilliefors needs.
const FEWEST: usize = 31;

/// The most that a cell conducts, in µS: 1 S, far above any.
const MOST_US: f64 = 1e6;

/// Most numbers that a shape from points keeps; of more cells it keeps evenly spaced quantiles.
const MOST_POINTS: usize = 201;

/// Measured conductances, in µS, ascending, at least 31 of each state.
#[derive(Debug, Clone, PartialEq)]
pub struct Conductances {
    /// Of cells in HRS.
    pub hrs_us: Vec<f64>,
    /// Of cells in LRS.
    pub lrs_us: Vec<f64>,
}

/// The name of a shape of [`Distribution`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Normal.
    Normal,
    /// Log-normal.
    LogNormal,
    /// The measured points themselves.
    Points,
}

/// What was fitted to the cells of one state.
#[derive(Debug, Clone, PartialEq)]
pub struct StateFit {
    /// Number of cells.
    pub cells: usize,
    /// Mean conductance, in µS.
    pub mean_us: f64,
    /// Standard deviation relative to the mean.
    pub sigma_rel: f64,
    /// The shape.
    pub distribution: Distribution,
    /// Kolmogorov–Smirnov distance of a normal fit.
    pub normal_distance: f64,
    /// That of a log-normal fit; none where a cell does not conduct.
    pub log_normal_distance: Option<f64>,
    /// The distance above which a fit is refused at 5 %.
    pub bound: f64,
}

impl Conductances {
    /// Reads a CSV file with the columns `state,g_us`, or `state,g_s` for siemens.
    ///
    /// # Errors
    /// [`CimError::Read`] if the file cannot be read, and those of [`Conductances::from_csv`].
    pub fn load_csv(path: impl AsRef<Path>) -> Result<Self, CimError> {
        let path = path.as_ref();
        Self::from_csv(&read(path)?, &path.display().to_string())
    }

    /// Reads CSV text with the columns `state,g_us` or `state,g_s`; `name` stands in errors.
    ///
    /// # Errors
    /// [`CimError::Csv`] with the line: a state that is none, a conductance that is missing, no
    /// number, negative or not finite; a state with fewer than 31 cells, or whose cells are all
    /// alike; a mean of LRS that is not above that of HRS, or that no macro has, as when siemens are
    /// given for µS.
    pub fn from_csv(text: &str, name: &str) -> Result<Self, CimError> {
        named(name, parse(text))
    }

    /// The fit of cells in HRS and in LRS; without `shape`, of the first of normal and log-normal
    /// that is not refused at 5 %, or else of the points.
    ///
    /// Where a cell does not conduct, no log-normal fit is possible: the fit is then of the points.
    pub fn fit(&self, shape: Option<Shape>) -> [StateFit; 2] {
        [&self.hrs_us, &self.lrs_us].map(|us| StateFit::of(us, shape))
    }
}

fn parse(text: &str) -> Result<Conductances, Fault> {
    let (mut hrs_us, mut lrs_us) = (Vec::new(), Vec::new());
    let mut last = 1;
    let (header, us) = if has_header(text, SIEMENS) { (SIEMENS, 1e6) } else { (HEADER, 1.0) };
    for line in lines(text, header)? {
        last = line.number;
        let of_state = if line.is_lrs(0)? { &mut lrs_us } else { &mut hrs_us };
        let conductance = |text: &str| text.parse().ok().map(|g: f64| us * g);
        let is_one = |us: &f64| (0.0..=MOST_US).contains(us);
        of_state.push(
            line.field(1, "must be a number from 0 to 1 S", |text| {
                conductance(text).filter(is_one)
            })?,
        );
    }
    for (name, us) in [("HRS", &mut hrs_us), ("LRS", &mut lrs_us)] {
        us.sort_by(f64::total_cmp);
        if us.len() < FEWEST {
            let what = format!("{FEWEST} cells in {name}, there are {}", us.len());
            return Err(missing(last, what));
        }
        if us.first() == us.last() {
            return Err(missing(last, format_args!("two cells in {name} that differ")));
        }
    }
    let mean = |us: &[f64]| us.iter().sum::<f64>() / us.len() as f64;
    if mean(&lrs_us) <= mean(&hrs_us) {
        let what = "cells in LRS that conduct more than those in HRS: are these resistances?";
        return Err(missing(last, what));
    }
    if mean(&lrs_us) < LEAST_G_LRS_US {
        let what = format_args!(
            "cells in LRS of at least {LEAST_G_LRS_US} µS on average, they have {:.3e}: \
             conductances in siemens take the header `{SIEMENS}`",
            mean(&lrs_us)
        );
        return Err(missing(last, what));
    }
    Ok(Conductances { hrs_us, lrs_us })
}

impl StateFit {
    /// Of ascending conductances, at least two different ones.
    fn of(us: &[f64], wanted: Option<Shape>) -> Self {
        let n = us.len() as f64;
        let bound = 0.886 / n.sqrt();
        let (mean, sigma) = moments(us);
        let normal_distance = distance(us, |g| below((g - mean) / sigma));
        let logs: Option<Vec<f64>> =
            (us[0] > 0.0).then(|| us.iter().map(|g| libm::log(*g)).collect());
        let log_moments = logs.as_deref().map(moments);
        let log_normal_distance =
            log_moments.map(|(m, s)| distance(us, |g| below((libm::log(g) - m) / s)));
        let shape = wanted.unwrap_or(match log_normal_distance {
            _ if normal_distance <= bound => Shape::Normal,
            Some(distance) if distance <= bound => Shape::LogNormal,
            _ => Shape::Points,
        });
        let (mean_us, sigma_rel, distribution) = match (shape, log_moments) {
            (Shape::Normal, _) => (mean, sigma / mean, Distribution::Normal),
            (Shape::LogNormal, Some((m, s))) => (
                libm::exp(m + 0.5 * s * s),
                libm::sqrt(libm::expm1(s * s)),
                Distribution::LogNormal,
            ),
            _ => (mean, sigma / mean, Distribution::of_points(points(us)).unwrap_or_default()),
        };
        Self {
            cells: us.len(),
            mean_us,
            sigma_rel,
            distribution,
            normal_distance,
            log_normal_distance,
            bound,
        }
    }

    /// The share of cells that conduct `g_us` or less, if the fit holds; none for points, which are
    /// the cells themselves.
    pub fn cumulative(&self, g_us: f64) -> Option<f64> {
        match &self.distribution {
            Distribution::Normal => Some(below((g_us / self.mean_us - 1.0) / self.sigma_rel)),
            Distribution::LogNormal if g_us <= 0.0 => Some(0.0),
            Distribution::LogNormal => {
                let square = libm::log1p(self.sigma_rel * self.sigma_rel);
                let z = (libm::log(g_us / self.mean_us) + 0.5 * square) / libm::sqrt(square);
                Some(below(z))
            }
            Distribution::Points(_) => None,
        }
    }

    /// What the fit is, in words, for the source of a preset's value.
    fn source(&self, file: &str) -> String {
        let log_normal = self.log_normal_distance.map_or("none".to_owned(), |d| format!("{d:.4}"));
        let shape = match &self.distribution {
            Distribution::Points(_) => "points".to_owned(),
            shape => shape.to_string(),
        };
        format!(
            "fitted to {file}: {} cells, {shape}, Kolmogorov-Smirnov distance {:.4} of normal and \
             {log_normal} of log-normal, 5 % bound {:.4}",
            self.cells, self.normal_distance, self.bound
        )
    }

    /// The text of a preset, to be kept as `path`, that inherits from `parent` and has the cells of
    /// these fits of HRS and LRS, which were made from `file`.
    ///
    /// # Errors
    /// Those of [`MacroSpec::load`](crate::MacroSpec::load), should it refuse the text: cells that no macro has, or that the
    /// parent cannot have, such as log-normal ones of 2 bits.
    pub fn preset(
        fits: &[Self; 2],
        parent: &str,
        file: &str,
        path: &str,
    ) -> Result<String, CimError> {
        let text = Self::preset_text(fits, parent, file);
        preset::check(path, &text)?;
        Ok(text)
    }

    fn preset_text([hrs, lrs]: &[Self; 2], parent: &str, file: &str) -> String {
        let [of_hrs, of_lrs] = [hrs, lrs].map(|fit| quoted(&fit.source(file)));
        let both = quoted(&format!("means fitted to {file}"));
        format!(
            "# Cells as measured in {file}.\n\n\
             inherits = {}\n\n\
             [cell]\n\
             on_off_ratio = {{ value = {}, source = {both} }}\n\
             sigma_lrs_rel = {{ value = {}, source = {of_lrs} }}\n\
             sigma_hrs_rel = {{ value = {}, source = {of_hrs} }}\n\n\
             [programming]\n\
             lrs_distribution = {{ value = \"{}\", source = {of_lrs} }}\n\
             hrs_distribution = {{ value = \"{}\", source = {of_hrs} }}\n\n\
             [wires]\n\
             g_lrs_us = {{ value = {}, source = {both} }}\n",
            quoted(parent),
            lrs.mean_us / hrs.mean_us,
            lrs.sigma_rel,
            hrs.sigma_rel,
            lrs.distribution,
            hrs.distribution,
            lrs.mean_us,
        )
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// P(x ≤ z) of a standard normal x.
fn below(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// Mean and standard deviation, the latter with n − 1.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, libm::sqrt(square / (n - 1.0)))
}

/// The greatest distance between the steps of ascending values and a distribution function.
fn distance(values: &[f64], cumulative: impl Fn(f64) -> f64) -> f64 {
    let n = values.len() as f64;
    let step = |(index, value): (usize, &f64)| {
        let at = cumulative(*value);
        (at - index as f64 / n).max((index + 1) as f64 / n - at)
    };
    values.iter().enumerate().map(step).fold(0.0, f64::max)
}

/// The values, or evenly spaced quantiles where there are many.
fn points(us: &[f64]) -> Vec<f64> {
    if us.len() <= MOST_POINTS {
        return us.to_vec();
    }
    let last = us.len() - 1;
    (0..MOST_POINTS).map(|index| us[index * last / (MOST_POINTS - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::spec::MacroSpec;

    /// The z with P(x ≤ z) = p, by halving.
    fn quantile(p: f64) -> f64 {
        let (mut low, mut high) = (-9.0, 9.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if below(middle) < p { low = middle } else { high = middle }
        }
        low
    }

    /// `n` cells of a state at the middle of their ranks: no luck of a draw is in them.
    fn cells(state: &str, n: usize, g: impl Fn(f64) -> f64) -> String {
        (0..n).map(|i| format!("{state},{}\n", g(quantile((i as f64 + 0.5) / n as f64)))).collect()
    }

    fn measured(lrs: impl Fn(f64) -> f64, hrs: impl Fn(f64) -> f64) -> Conductances {
        let text = format!("{HEADER}\n{}{}", cells("LRS", 400, lrs), cells("HRS", 400, hrs));
        Conductances::from_csv(&text, "cells.csv").unwrap()
    }

    #[test]
    fn the_shape_is_found_and_its_parameters() {
        let s = 0.5f64;
        let log_normal = |z: f64| 2.0 * (s * z - 0.5 * s * s).exp();
        let [hrs, lrs] = measured(|z| 40.0 * (1.0 + 0.05 * z), log_normal).fit(None);
        // The middles of 400 ranks leave out 1 % of the variance, most of it in the tails.
        assert_eq!(lrs.distribution, Distribution::Normal);
        assert!((lrs.mean_us - 40.0).abs() < 1e-9 && (lrs.sigma_rel - 0.05).abs() < 5e-4);
        assert_eq!(hrs.distribution, Distribution::LogNormal);
        let expected = (s * s).exp_m1().sqrt();
        assert!((hrs.sigma_rel / expected - 1.0).abs() < 0.01, "{}", hrs.sigma_rel);
        assert!((hrs.mean_us - 2.0).abs() < 0.01);
        assert!(hrs.normal_distance > hrs.bound);
        // half of the cells of a fit lie below its median
        assert!((lrs.cumulative(40.0).unwrap() - 0.5).abs() < 1e-9);
        assert!((hrs.cumulative(2.0 * (-0.5 * s * s).exp()).unwrap() - 0.5).abs() < 2e-3);
    }

    #[test]
    fn two_humps_are_kept_as_points() {
        let humps = |z: f64| 40.0 + if z < 0.0 { -8.0 } else { 8.0 } + z;
        let [_, lrs] = measured(humps, |z| 2.0 + 0.1 * z).fit(None);
        assert!(matches!(lrs.distribution, Distribution::Points(_)));
        assert!(lrs.cumulative(40.0).is_none());
        assert!(lrs.normal_distance > lrs.bound && lrs.log_normal_distance.unwrap() > lrs.bound);
    }

    #[test]
    fn a_fit_makes_a_preset_that_loads() {
        let humps = |z: f64| 40.0 + if z < 0.0 { -8.0 } else { 8.0 } + z;
        let fits = measured(humps, |z| 2.0 + 0.1 * z).fit(None);
        let path = std::env::temp_dir().join(format!("hafnia-fit-{}.toml", std::process::id()));
        let name = path.to_str().unwrap();
        std::fs::write(&path, StateFit::preset(&fits, "gt-n40", "a \"b\".csv", name).unwrap())
            .unwrap();
        let spec = MacroSpec::load(name);
        std::fs::remove_file(&path).unwrap();
        let spec = spec.unwrap();
        assert_eq!(spec.programming.lrs_distribution, fits[1].distribution);
        assert_eq!(spec.cell.sigma_hrs_rel, fits[0].sigma_rel);
        assert!((spec.cell.on_off_ratio - 20.0).abs() < 1e-9);
        assert_eq!(spec.wires.g_lrs_us, fits[1].mean_us);
    }

    #[test]
    fn a_preset_that_no_command_reads_is_not_made() {
        // ln G of a deviation of 4: a hundredfold from cell to cell
        let s = 4.0f64;
        let wide = measured(|z| 40.0 + z, |z| (s * z - 0.5 * s * s).exp());
        let preset = |conductances: &Conductances, shape, parent| {
            let fits = conductances.fit(Some(shape));
            StateFit::preset(&fits, parent, "w.csv", "w.toml").map_err(|error| error.to_string())
        };
        expect!["macro `w.toml`: cell.sigma_hrs_rel is 2963.7, it must be in 0..=100"]
            .assert_eq(&rounded(&preset(&wide, Shape::LogNormal, "gt-n40").unwrap_err()));
        // What was measured itself is no wider than it was, and a deviation above 1 is taken.
        assert!(preset(&wide, Shape::Points, "gt-n40").is_ok());
        let s = 1.2f64;
        let real = measured(|z| 40.0 * (s * z - 0.5 * s * s).exp(), |z| 2.0 + 0.1 * z);
        let text = preset(&real, Shape::LogNormal, "gt-n40").unwrap();
        let sigma = text.split("sigma_lrs_rel = { value = ").nth(1).unwrap();
        assert!(sigma.starts_with("1.7"), "{sigma}");
        expect!["macro `w.toml`: programming.lrs_distribution is log-normal, it must be normal where cell.bits_per_cell is 2"]
            .assert_eq(&preset(&real, Shape::LogNormal, "gt-n40-mlc").unwrap_err());
    }

    /// The message with its number rounded: how the moments of 400 ranks differ from the exact ones
    /// is not what is tested.
    fn rounded(message: &str) -> String {
        let number =
            message.split(' ').find_map(|word| word.trim_end_matches(',').parse::<f64>().ok());
        let number = number.unwrap();
        message.replace(&number.to_string(), &format!("{number:.1}"))
    }

    #[test]
    fn siemens_are_converted_where_they_are_declared() {
        let lines = cells("LRS", 40, |z| 4e-5 + 1e-6 * z) + &cells("HRS", 40, |z| 2e-6 + 1e-7 * z);
        let siemens = Conductances::from_csv(&format!("state, g_s\n{lines}"), "s.csv").unwrap();
        let [hrs, lrs] = siemens.fit(None);
        assert!((lrs.mean_us - 40.0).abs() < 1e-9 && (hrs.mean_us - 2.0).abs() < 1e-9);
        check(
            &format!("{HEADER}\n{lines}"),
            expect![
                "c.csv:81: the file ends without cells in LRS of at least 0.001 µS on average, they have 4.000e-5: conductances in siemens take the header `state,g_s`"
            ],
        );
        check(
            "state,g_s\nLRS,2\n",
            expect!["c.csv:2: g_s is `2`, it must be a number from 0 to 1 S"],
        );
    }

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&Conductances::from_csv(text, "c.csv").unwrap_err().to_string());
    }

    #[test]
    fn gaps_are_refused() {
        let lrs = cells("LRS", 31, |z| 40.0 + z);
        check("state,g\n", expect!["c.csv:1: the header is `state,g`, it must be `state,g_us`"]);
        check(
            "state,g_us\nLRS,\n",
            expect!["c.csv:2: g_us is ``, it must be a number from 0 to 1 S"],
        );
        check(
            "state,g_us\nLRS,NaN\n",
            expect!["c.csv:2: g_us is `NaN`, it must be a number from 0 to 1 S"],
        );
        check("state,g_us\nMRS,1\n", expect!["c.csv:2: state is `MRS`, it must be LRS or HRS"]);
        check(
            &format!("state,g_us\n{lrs}HRS,1\n"),
            expect!["c.csv:33: the file ends without 31 cells in HRS, there are 1"],
        );
        check(
            &format!("state,g_us\n{lrs}{}", "HRS,1\n".repeat(40)),
            expect!["c.csv:72: the file ends without two cells in HRS that differ"],
        );
        check(
            &format!("state,g_us\n{lrs}{}", cells("HRS", 31, |z| 90.0 + z)),
            expect![
                "c.csv:63: the file ends without cells in LRS that conduct more than those in HRS: are these resistances?"
            ],
        );
    }
}
