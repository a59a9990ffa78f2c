//! Tables, plots, claims and reports.
