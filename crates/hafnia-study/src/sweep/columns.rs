//! The columns of the results of a sweep, beside the keys of its points.

/// Columns with unit and meaning, in their order; a `±` stands for the ends of the interval, which are
/// in columns of their own.
const COLUMNS: [(&str, &str, &str); 26] = [
    ("point", "", "number of the point, from 0"),
    ("status", "", "`done`, `failed`, or `missing` where shards are not there yet"),
    ("chips", "", "virtual chips; of `table` repetitions"),
    ("part", "", "part of the data set whose images every chip was shown"),
    ("images", "", "how many images"),
    ("exact_accuracy", "share", "without noise"),
    ("accuracy±", "share", "mean over chips; the interval is over other chips and images, 95 %"),
    ("drop_points±", "points", "what noise costs; over other chips and images, 95 %"),
    (
        "yield±",
        "share",
        "of chips that reach `yield_at`, where it is given; over other chips, 95 %",
    ),
    ("accuracy_sd", "share", "standard deviation over chips"),
    ("accuracy_worst", "share", "of the worst chip"),
    (
        "top_five",
        "share",
        "of images whose class is among the five largest outputs; mean over chips",
    ),
    (
        "mean_squared_error",
        "",
        "of outputs against targets or, without any, what they are without noise; mean over chips",
    ),
    (
        "table_error_points±",
        "points",
        "how much more is lost on `device` than the point says on `table`",
    ),
    ("rows", "", "physical rows of all tiles"),
    ("cells", "", "cells of all tiles"),
    ("macros", "", "macros in use"),
    ("table_bits", "bit", "bits of rename tables"),
    ("cycles", "per image", "conversion cycles of the layers that have noise"),
    ("conversions", "per image", "conversions of these layers"),
    ("area_mm2±", "mm²", "whole macros and tables; the ends are what is assumed, 5 to 95 %"),
    ("energy_nj±", "nJ per image", "of the whole network; likewise"),
    ("latency_us±", "µs per image", "of the whole network; likewise"),
    ("tops_per_w±", "TOPS/W", "1x1-bit operations of rows that were on; likewise"),
    ("pareto", "", "whether no other point at the same conditions beats it"),
    ("error", "", "why a point failed"),
];

/// The columns in Markdown.
pub fn columns_table() -> String {
    let mut text = "| column | unit | meaning |\n| :-- | :-- | :-- |\n".to_owned();
    for (column, unit, meaning) in COLUMNS {
        let named = match column.strip_suffix('±') {
            Some(column) => format!("`{column}`, `{column}_lo`, `{column}_hi`"),
            None => format!("`{column}`"),
        };
        text += &format!("| {named} | {unit} | {meaning} |\n");
    }
    text
}

/// Whether results have a column of this name, whatever the keys of their points.
pub fn is_column(name: &str) -> bool {
    let base = name.strip_suffix("_lo").or_else(|| name.strip_suffix("_hi"));
    let has_ends =
        |base: &str| COLUMNS.iter().any(|(column, ..)| column.strip_suffix('±') == Some(base));
    has_ends(base.unwrap_or(name)) || COLUMNS.iter().any(|(column, ..)| *column == name)
}
