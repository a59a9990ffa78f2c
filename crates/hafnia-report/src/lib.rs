//! Tables, plots, claims and reports.
//!
//! The numbers of a run go into [`Metrics`]; [`Claims`], loaded from `docs/claims.toml`, says what
//! the paper states and how it is judged; a [`Report`] holds both with the verdicts, and [`files`]
//! turns it into files.
//!
//! ```
//! use hafnia_report::{Claims, Metrics, Report, Scope, files};
//!
//! # fn main() -> Result<(), hafnia_report::ReportError> {
//! let claims = Claims::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/claims.toml"))?;
//! let mut metrics = Metrics::default();
//! for (key, value) in [("", 0.9712), ("_lo", 0.9690), ("_hi", 0.9734)] {
//!     metrics.insert(format!("like/accuracy_ties_wrong{key}"), value)?;
//! }
//!
//! let report = Report::new("Reproduction", Scope::default(), &claims, metrics)?;
//! let names: Vec<String> = files(&report).into_iter().map(|(name, _bytes)| name).collect();
//! assert_eq!(names, ["report.md", "report.json", "metrics.csv", "report.html"]);
//! println!("{}", report.verdict_table());
//! # Ok(())
//! # }
//! ```
//!
//! [`page`] makes the page of a report, which needs nothing but itself; [`Report::open`] reads a report
//! back from its files, and a [`Comparison`] puts several side by side.
//!
//! It computes no statistics: values and intervals are handed in. It writes no file: it returns
//! names and bytes, and the caller writes them whole or not at all. It knows no mapping: cells
//! of macros come as a [`Layout`], what commands find as a [`Frontier`] or an [`Attribution`], plain
//! data.

mod attribution;
mod claims;
mod compare;
mod error;
mod export;
mod frontier;
mod html;
mod judged;
mod layout;
mod metrics;
mod number;
pub mod plot;
mod report;
mod table;
mod verdict;

pub use attribution::{Attribution, ColumnErrors, EffectLoss, LayerLoss};
pub use claims::{Claim, Claims, Paper, PastProtocol, Protocol, Reading, Setting};
pub use compare::{ComparedClaim, ComparedMetric, Comparison, Found};
pub use error::ReportError;
pub use export::files;
pub use frontier::{Frontier, FrontierCandidate};
pub use hafnia_stats::Interval;
pub use html::page;
pub use judged::{Answer, Beside, Bounded, Column, Condition, JudgedClaim, Stated};
pub use layout::{Block, CellMap, CellRow, Layout};
pub use metrics::Metrics;
pub use report::{Figure, Part, Report, Scope, Section};
pub use table::{Align, INTERVAL, Table, fit_tables};
pub use verdict::{Target, Verdict};
