//! [`CodeCounts`]: how often each code was read, and the code table it makes.
//!
//! The file has the header `n,m,code,count`: rows on, ones among them, code, how often. A
//! probability is a count over their sum: nothing is added for what did not occur (no Laplace
//! smoothing), and the interval says what the counts leave open.

use std::collections::BTreeMap;
use std::path::Path;

use crate::code_table::CodeTable;
use crate::csv::{Fault, missing, named, read};
use crate::error::CimError;
use crate::table_csv::ByCode;

const HEADER: &str = "n,m,code,count";

/// The largest count: sums of all codes stay far below 2^64.
const MOST: u64 = 1_000_000_000_000;

/// Counted codes; every code of every m in 0..=n of every n from 1 was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeCounts {
    rows_per_conversion: usize,
    max_code: usize,
    /// (rows, ones) → count of every code; their sum is not 0.
    counts: BTreeMap<(usize, usize), Vec<u64>>,
}

/// How often the code of some conversions was wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodeRate {
    /// Rows on.
    pub rows: usize,
    /// Ones among them.
    pub ones: usize,
    /// Conversions that were measured.
    pub conversions: u64,
    /// Share of them whose code is not the number of ones.
    pub wrong: f64,
    /// Wilson's 95 % interval of that share.
    pub interval: (f64, f64),
}

impl CodeCounts {
    /// Reads a CSV file with the columns `n,m,code,count`.
    ///
    /// # Errors
    /// [`CimError::Read`] if the file cannot be read, and those of [`CodeCounts::from_csv`].
    pub fn load_csv(path: impl AsRef<Path>) -> Result<Self, CimError> {
        let path = path.as_ref();
        Self::from_csv(&read(path)?, &path.display().to_string())
    }

    /// Reads CSV text with the columns `n,m,code,count`; `name` stands in errors.
    ///
    /// # Errors
    /// [`CimError::Csv`] with the line: a number that is none or out of range, an entry that is
    /// missing or listed twice, a conversion that was never measured.
    pub fn from_csv(text: &str, name: &str) -> Result<Self, CimError> {
        named(name, parse(text))
    }

    /// The code table: shares of the counts. Without rows on the code is 0.
    pub fn table(&self) -> CodeTable {
        let mut table = CodeTable::zeros(self.rows_per_conversion, self.max_code);
        table.probabilities_mut(0, 0)[0] = 1.0;
        for ((rows, ones), counts) in &self.counts {
            let sum = counts.iter().sum::<u64>() as f64;
            let probabilities = table.probabilities_mut(*rows, *ones);
            for (probability, count) in probabilities.iter_mut().zip(counts) {
                *probability = *count as f64 / sum;
            }
        }
        table
    }

    /// How often every conversion was wrong, with its interval.
    pub fn rates(&self) -> Vec<CodeRate> {
        let rate = |(&(rows, ones), counts): (&(usize, usize), &Vec<u64>)| {
            let conversions: u64 = counts.iter().sum();
            let right = counts.get(ones).copied().unwrap_or(0);
            let wrong = (conversions - right) as f64 / conversions as f64;
            let interval = wilson(wrong, conversions as f64);
            CodeRate { rows, ones, conversions, wrong, interval }
        };
        self.counts.iter().map(rate).collect()
    }
}

/// Wilson's 95 % interval of a share of `n`.
fn wilson(share: f64, n: f64) -> (f64, f64) {
    let z = 1.959_963_984_540_054_f64;
    let square = z * z / n;
    let middle = (share + 0.5 * square) / (1.0 + square);
    let spread = (share * (1.0 - share) / n + 0.25 * square / n).sqrt();
    let half = z * spread / (1.0 + square);
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

fn parse(text: &str) -> Result<CodeCounts, Fault> {
    let mut entries = ByCode::read(text, HEADER, 1, |line| line.number(3, 0..=MOST))?;
    let (rows_per_conversion, max_code) = (entries.rows_per_conversion, entries.max_code);
    if rows_per_conversion == 0 {
        return Err(missing(entries.end, "any count"));
    }
    // An ADC has 2^b codes.
    if !(max_code + 1).is_power_of_two() || max_code == 0 {
        let what = format!("codes up to one less than a power of two, it has {max_code}");
        return Err(missing(entries.end, what));
    }
    let mut counts = BTreeMap::new();
    for n in 1..=rows_per_conversion {
        for m in 0..=n {
            let count = |code| entries.take(n, m, code).map(|(_, count)| count);
            let of_codes = (0..=max_code).map(count).collect::<Result<Vec<u64>, _>>()?;
            if of_codes.iter().sum::<u64>() == 0 {
                let what = format!("a conversion of n {n}, m {m}: its counts sum to 0");
                return Err(missing(entries.end, what));
            }
            counts.insert((n, m), of_codes);
        }
    }
    Ok(CodeCounts { rows_per_conversion, max_code, counts })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const ONE_ROW: &str = "n,m,code,count\n1,0,0,98\n1,0,1,2\n1,1,0,0\n1,1,1,50\n";

    #[test]
    fn counts_make_a_table() {
        let counts = CodeCounts::from_csv(ONE_ROW, "one").unwrap();
        let table = counts.table();
        assert_eq!(table.probabilities(1, 0), [0.98, 0.02]);
        assert_eq!(table.probabilities(1, 1), [0.0, 1.0]);
        assert_eq!(CodeTable::from_csv(&table.to_csv(), "own").unwrap(), table);
        let [rate, certain] = counts.rates().try_into().unwrap();
        assert_eq!((rate.conversions, rate.wrong), (100, 0.02));
        // Wilson's interval of 2 of 100: 0.55 to 7.00 %, Brown, Cai, DasGupta 2001, equation 4
        assert!((rate.interval.0 - 0.0055).abs() < 5e-5, "{rate:?}");
        assert!((rate.interval.1 - 0.0700).abs() < 5e-5, "{rate:?}");
        assert_eq!(certain.wrong, 0.0);
        assert!(certain.interval.1 > 0.05);
    }

    fn check(line: &str, by: &str, expected: Expect) {
        assert!(ONE_ROW.contains(line));
        let error = CodeCounts::from_csv(&ONE_ROW.replace(line, by), "c.csv").unwrap_err();
        expected.assert_eq(&error.to_string());
    }

    #[test]
    fn gaps_are_refused() {
        check("1,1,0,0\n", "", expect!["c.csv:4: the file ends without n 1, m 1, code 0"]);
        check(
            "1,1,1,50",
            "1,1,1,0",
            expect!["c.csv:5: the file ends without a conversion of n 1, m 1: its counts sum to 0"],
        );
        check(
            "1,0,1,2",
            "1,0,1,-2",
            expect!["c.csv:3: count is `-2`, it must lie in 0..=1000000000000"],
        );
        check("1,0,1,2", "1,2,1,2", expect!["c.csv:3: m is `2`, it must lie in 0..=1"]);
        check("1,0,1,2", "1,0,0,2", expect!["c.csv:3: n 1, m 0, code 0 is listed twice"]);
        check(
            "1,0,1,2",
            "1,0,2,2",
            expect![
                "c.csv:5: the file ends without codes up to one less than a power of two, it has 2"
            ],
        );
    }
}
