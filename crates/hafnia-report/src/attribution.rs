//! [`Attribution`]: where the accuracy of a mapping goes, as data, tables and a plot.
//!
//! It is plain data: who runs the chips fills it in, and whoever reads the JSON has it again.

use serde::{Deserialize, Serialize};

use crate::error::ReportError;
use crate::number::interval_cells;
use crate::plot::{Bars, bars};
use crate::table::{Align, INTERVAL, Table};
use hafnia_stats::Interval;

/// Where the accuracy of a mapping goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribution {
    /// The mapping.
    pub mapping: String,
    /// With all effects in all layers of the scope, in points.
    pub drop_points: Interval,
    /// Every layer on its own.
    pub layers: Vec<LayerLoss>,
    /// Every effect on its own, and the difference that it makes among all others.
    pub effects: Vec<EffectLoss>,
}

/// What a layer loses, and how its conversions err.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerLoss {
    /// Its name.
    pub layer: String,
    /// With noise in this layer alone, in points.
    pub drop_points_alone: Interval,
    /// Signal-to-noise ratio: median over the columns, in dB; none where nothing errs.
    pub snr_db_median: Option<f64>,
    /// Of the worst column.
    pub snr_db_least: Option<f64>,
    /// Part of the conversions whose code is not the number of ones.
    pub code_error_rate: f64,
    /// Part of the conversions whose ones are more than the largest code.
    pub clipping_rate: f64,
    /// By number of ones: how many conversions, and how many of them err.
    pub by_ones: Vec<[u64; 2]>,
    /// Its columns.
    pub columns: Vec<ColumnErrors>,
}

/// How the products of a column err, in units of a product of integers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnErrors {
    /// Signal-to-noise ratio in dB; none where nothing errs.
    pub snr_db: Option<f64>,
    /// Mean error.
    pub error_mean: f64,
    /// Root of the mean square.
    pub error_rms: f64,
}

/// What an effect loses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectLoss {
    /// Its name.
    pub effect: String,
    /// The keys of the macro that switch it.
    pub keys: String,
    /// With this effect alone, in points.
    pub drop_points_alone: Interval,
    /// What leaving it out saves: the drop with all effects less that with all others, on the same chips
    /// and images, in points.
    pub difference_points: Interval,
}

impl Attribution {
    /// A row a layer: its drop alone, its ratios, its rates of error.
    #[must_use]
    pub fn by_layer(&self) -> Table {
        let decibels = |ratio: Option<f64>| {
            ratio.map_or("no errors".to_owned(), |ratio| format!("{ratio:.1}"))
        };
        let mut table = columns(
            "noise in",
            [
                "drop, points",
                INTERVAL,
                "SNR, dB: median",
                "worst column",
                "codes that err, %",
                "clipped, %",
            ],
        );
        for of in &self.layers {
            let [drop, range] = interval_cells(of.drop_points_alone);
            table.row([
                of.layer.clone(),
                drop,
                range,
                decibels(of.snr_db_median),
                decibels(of.snr_db_least),
                format!("{:.3}", 100.0 * of.code_error_rate),
                format!("{:.3}", 100.0 * of.clipping_rate),
            ]);
        }
        table
    }

    /// A row a layer: which of its codes err, by the number of ones.
    #[must_use]
    pub fn by_ones(&self) -> Table {
        let most = self.layers.iter().map(|of| of.by_ones.len()).max().unwrap_or(0);
        let ones = (0..most).map(|ones| ones.to_string());
        let mut table = columns("codes that err, %, by number of ones", ones);
        for of in &self.layers {
            let rate = |ones: usize| match of.by_ones.get(ones) {
                Some(&[conversions, errors]) if conversions > 0 => {
                    format!("{:.3}", 100.0 * errors as f64 / conversions as f64)
                }
                _ => "-".to_owned(),
            };
            table.row(std::iter::once(of.layer.clone()).chain((0..most).map(rate)));
        }
        table
    }

    /// A row an effect: its drop alone, and the difference that it makes among all others.
    #[must_use]
    pub fn by_effect(&self) -> Table {
        let names = ["alone: drop, points", INTERVAL, "left out: saved, points", INTERVAL];
        let mut table = columns("effect", names);
        for of in &self.effects {
            let ([alone, of_alone], [saved, of_saved]) =
                (interval_cells(of.drop_points_alone), interval_cells(of.difference_points));
            table.row([of.effect.clone(), alone, of_alone, saved, of_saved]);
        }
        table
    }

    /// The drops as bars, as SVG.
    ///
    /// # Errors
    /// If they cannot be drawn.
    pub fn plot(&self) -> Result<String, ReportError> {
        let bar = |label: &str, values: [Option<Interval>; 2]| Bars {
            label: label.to_owned(),
            values: values.into(),
        };
        let all = bar("all effects, all layers in scope", [Some(self.drop_points), None]);
        let layers =
            self.layers.iter().map(|of| bar(&of.layer, [Some(of.drop_points_alone), None]));
        let effects = self.effects.iter().map(|of| {
            let values = [of.drop_points_alone, of.difference_points].map(Some);
            bar(&of.effect, values)
        });
        let given: Vec<Bars> = std::iter::once(all).chain(layers).chain(effects).collect();
        bars("points", &["lost alone", "saved if left out"], &given)
    }
}

/// A table whose first column is words, and the others numbers.
fn columns<S: Into<String>>(first: &str, others: impl IntoIterator<Item = S>) -> Table {
    let others = others.into_iter().map(|name| (name.into(), Align::Right));
    Table::new(std::iter::once((first.to_owned(), Align::Left)).chain(others))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn tables_are_those_of_what_is_read_back() {
        let interval = |value| Interval { value, lo: value - 0.1, hi: value + 0.1 };
        // A single chip has no interval.
        let single = Interval { value: 0.25, lo: f64::NEG_INFINITY, hi: f64::INFINITY };
        let attribution = Attribution {
            mapping: "best".to_owned(),
            drop_points: interval(0.75),
            layers: vec![LayerLoss {
                layer: "fc3".to_owned(),
                drop_points_alone: single,
                snr_db_median: Some(12.34),
                snr_db_least: None,
                code_error_rate: 0.0125,
                clipping_rate: 0.0,
                by_ones: vec![[8, 2], [0, 0]],
                columns: Vec::new(),
            }],
            effects: vec![EffectLoss {
                effect: "offsets".to_owned(),
                keys: "offset_lsb".to_owned(),
                drop_points_alone: interval(0.5),
                difference_points: interval(0.25),
            }],
        };
        let json = serde_json::to_string(&attribution).unwrap();
        let read: Attribution = serde_json::from_str(&json).unwrap();
        let text = [read.by_layer(), read.by_ones(), read.by_effect()].map(|t| t.to_markdown());
        expect![[r#"
            | noise in | drop, points | 95 % interval | SNR, dB: median | worst column | codes that err, % | clipped, % |
            | :------- | -----------: | ------------: | --------------: | -----------: | ----------------: | ---------: |
            | fc3      |        0.250 |             - |            12.3 |    no errors |             1.250 |      0.000 |
        "#]]
        .assert_eq(&text[0]);
        expect![[r#"
            | codes that err, %, by number of ones |      0 |   1 |
            | :----------------------------------- | -----: | --: |
            | fc3                                  | 25.000 |   - |
        "#]]
        .assert_eq(&text[1]);
        expect![[r#"
            | effect  | alone: drop, points |  95 % interval | left out: saved, points |  95 % interval |
            | :------ | ------------------: | -------------: | ----------------------: | -------------: |
            | offsets |               0.500 | 0.400 to 0.600 |                   0.250 | 0.150 to 0.350 |
        "#]]
        .assert_eq(&text[2]);
    }
}
