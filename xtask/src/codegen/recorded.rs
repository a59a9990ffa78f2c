//! Documents that tell what a run found: its report is kept in docs/recorded, tables are made of it,
//! and sentences with its numbers are held to it.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use hafnia_report::{Align, Claims, INTERVAL, Metrics, Report, Scope, Table, files};
use hafnia_stats::float::fixed;
use hafnia_stats::{MeanSd, mean_sd};
use hafnia_zoo::{Record, Run, Zoo};

use crate::workspace::root;

/// Where the report is kept.
const FOLDER: &str = "docs/recorded";
const REPORT: &str = "report.json";

/// Lines of a manifest that tell of a machine rather than of the run.
const OF_A_MACHINE: [&str; 2] = ["command: ", "data: "];

/// Keeps the report of the run in this folder, without figures and cells.
pub(super) fn keep(folder: &Path) -> anyhow::Result<()> {
    let mut report = Report::open(folder)?;
    check_scope(&report)?;
    for section in &mut report.sections {
        section.figures.clear();
        section.maps.clear();
    }
    report.manifest.retain(|line| !OF_A_MACHINE.iter().any(|start| line.starts_with(start)));
    let kept = files(&report).into_iter().find(|(name, _)| name == REPORT);
    let (_, bytes) = kept.context("a report has a file report.json")?;
    Ok(hafnia_artifact::write_whole(root().join(FOLDER).join(REPORT), &bytes)?)
}

/// The report that is kept.
pub(super) fn report() -> anyhow::Result<Report> {
    let report = Report::open(root().join(FOLDER))?;
    check_scope(&report)?;
    Ok(report)
}

fn check_scope(report: &Report) -> anyhow::Result<()> {
    let is_whole = report.scope() == Scope::default();
    ensure!(is_whole, "the run was quick or on the subset: documents tell of a whole one");
    Ok(())
}

/// The claims, judged by docs/claims.toml as it is now on the metrics of the report.
pub(super) fn claims_table(report: &Report) -> anyhow::Result<String> {
    let claims = Claims::load(root().join("docs/claims.toml"))?;
    let judged = Report::new("", Scope::default(), &claims, report.metrics().clone())?;
    Ok(markdown(&judged.verdict_table()))
}

/// The table of the report whose first column has this heading.
pub(super) fn table(report: &Report, heading: &str) -> anyhow::Result<String> {
    let mut tables = report.sections.iter().flat_map(|section| &section.tables);
    let found = tables.find(|table| table.header()[0] == heading);
    let found = found.with_context(|| format!("the report has no table of `{heading}`"))?;
    Ok(markdown(found))
}

/// A table as documents have it: intervals in brackets behind their numbers, and minus signs.
fn markdown(table: &Table) -> String {
    let is_interval = |column: usize| column > 0 && table.header()[column] == INTERVAL;
    let columns: Vec<usize> =
        (0..table.header().len()).filter(|&column| !is_interval(column)).collect();
    let line = |cells: &[String]| {
        let cell = |&column: &usize| match column + 1 < cells.len() && is_interval(column + 1) {
            true => format!("{} ({})", cells[column], cells[column + 1]),
            false => cells[column].clone(),
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        format!("| {} |\n", minus(&cells.join(" | ")))
    };
    let side = |&column: &usize| match table.align()[column] {
        Align::Left => ":--",
        Align::Right => "--:",
    };
    let sides: Vec<&str> = columns.iter().map(side).collect();
    let rows: String = table.rows().iter().map(|row| line(row)).collect();
    format!("{}| {} |\n{}", line(table.header()), sides.join(" | "), rows.trim_end())
}

/// The text with a minus sign before negative numbers.
fn minus(text: &str) -> String {
    let mut set = String::new();
    let (mut before, mut rest) = (' ', text.chars().peekable());
    while let Some(c) = rest.next() {
        let is_number = rest.peek().is_some_and(char::is_ascii_digit);
        let is_sign = c == '-' && matches!(before, ' ' | '(') && is_number;
        set.push(if is_sign { '−' } else { c });
        before = c;
    }
    set
}

/// Sentences of documents, with places for numbers.
///
/// A place is `{KEY:FORM}` with a key of the metrics of the report, or of [`records`]. The form has the
/// number of decimals; before it `%` for a share in per cent, and `c` for that without the sign; after
/// it `i` for the number and its interval, and `r` for the interval alone.
const SENTENCES: &[(&str, &[&str])] = &[
    (
        "README.md",
        &[
            "Noise is of {reorder/like/chips:0} virtual chips per network, at the smallest setting where the natural order loses 0.2 points on validation images (σ_LRS {reorder/like/sigma_lrs_rel:%0} and an ADC offset of {reorder/like/offset_lsb:2} LSB like for like, {reorder/final/sigma_lrs_rel:%0} and {reorder/final/offset_lsb:2} LSB for ours); in points, at {reorder/like/points_sigma_lrs_rel:%0} and {reorder/like/points_offset_lsb:2} LSB, where {reorder/like/reduction_points_natural_drop:1} and {reorder/final/reduction_points_natural_drop:1} are lost.",
            "The order found takes {reorder/like/cycles_ratio:2} times the conversion cycles like for like, and {reorder/final/cycles_ratio:2} times for ours.",
            "At the default noise of the preset the final layer loses {noise/preset_default/like/drop_points:3} points",
            "where the network as trained loses {natural/final/drop_points:3i} with 84",
            "{records/frontier/test:c2} ± {records/frontier/test_sd:c2} % with free rows, {records/final12/test:c2} ± {records/final12/test_sd:c2} % with 12 rows in the final layer (−85.7 %), {records/two-macros/test:c2} ± {records/two-macros/test_sd:c2} % with the whole network on two 128×128 macros, {records/one-macro/test:c2} ± {records/one-macro/test_sd:c2} % on one, and {records/paper/test:c2} ± {records/paper/test_sd:c2} % by integers throughout",
            "An epoch takes {train/epoch_ratio_to_torch_1t:2} times as long as PyTorch's on one thread, and {train/epoch_ratio_to_torch_2t:2} times on two.",
        ],
    ),
    (
        "docs/reproduction.md",
        &[
            "ten seeds of `like`: **{like/accuracy_ties_wrong:%2}** {like/accuracy_ties_wrong:c2r}, first of equals {like/accuracy_first:%2} {like/accuracy_first:c2r}",
            "(`like-integer`): **{like_integer/accuracy_ties_wrong:%2}** {like_integer/accuracy_ties_wrong:c2r}, first of equals {like_integer/accuracy_first:%2} {like_integer/accuracy_first:c2r}",
            "the deployed network, first of equals: {accuracy/exact:%2} {accuracy/exact:c2r}",
            "**{rename/like/saving:%2}** at {rename/like/accuracy_cost_points:3} points {rename/like/accuracy_cost_points:3r}",
            "{rename/final/saving:%0} at {rename/final/accuracy_cost_points:2} points {rename/final/accuracy_cost_points:2r} by tied training",
            "as area of cells and table, {rename/final/net_area_saving:%0} {rename/final/net_area_saving:c0r}, like for like {rename/like/net_area_saving:%0} {rename/like/net_area_saving:c0r}",
            "at the operating point: **{reorder/like/reduction_rel:%1}** {reorder/like/reduction_rel:c1r}: surpassed. In points, at σ_LRS {reorder/like/points_sigma_lrs_rel:%0} and {reorder/like/points_offset_lsb:2} LSB where {reorder/like/reduction_points_natural_drop:1} are lost, **{reorder/like/reduction_points:2}** {reorder/like/reduction_points:2r}: not reproduced",
            "{reorder/final/reduction_rel:%1} {reorder/final/reduction_rel:c1r} at σ_LRS {reorder/final/sigma_lrs_rel:%0} and {reorder/final/offset_lsb:2} LSB, {reorder/final/reduction_points:2} points {reorder/final/reduction_points:2r} of {reorder/final/reduction_points_natural_drop:1} at σ_LRS {reorder/final/points_sigma_lrs_rel:%0} and {reorder/final/points_offset_lsb:2} LSB: not reproduced. With column polarity {reorder/final/polarity_reduction_rel:%1} {reorder/final/polarity_reduction_rel:c1r} at the former",
            "is σ_LRS {reorder/like/sigma_lrs_rel:%0} and {reorder/like/offset_lsb:2} LSB for `like`: {reorder/like/drop_natural_validation_points:3} points",
            "| ordered scan, {reorder/like/drop_natural_points:3} | order | 46 | {reorder/like/reduction_rel:c1i} | × {reorder/like/cycles_ratio:2} |",
            "| | order and polarity | 46 | {reorder/like/polarity_reduction_rel:c1i} |",
            "| order | 46 | {reorder/like/window16_reduction_rel:c1i} |",
            "| | order and polarity | 46 | {reorder/like/window16_polarity_reduction_rel:c1i} |",
            "| order | 46 | {reorder/like/group7_reduction_rel:c1i} |",
            "| | order and polarity | 46 | {reorder/like/group7_polarity_reduction_rel:c1i} |",
            "the networks lose {natural/final/drop_points:3} points {natural/final/drop_points:3r} in natural order; merged, with order and polarity {rename_order/final/drop_points:3i}",
            "the final layer loses {noise/preset_default/like/drop_points:3} points {noise/preset_default/like/drop_points:3r} like for like, and the whole of our larger network {noise/all_layers/drop_points:2i}",
        ],
    ),
    (
        "docs/mapping.md",
        &[
            "are {mapping/final/reduction_order_rel:%1} {mapping/final/reduction_order_rel:c1r} for order and {mapping/final/reduction_order_polarity_rel:%1} {mapping/final/reduction_order_polarity_rel:c1r} with polarity",
            "Over ten networks of `like` 46 rows cost {rename/like/accuracy_cost_points:3} points on test images {rename/like/accuracy_cost_points:3r}",
        ],
    ),
    (
        "docs/training.md",
        &[
            "| {records/paper/test:c2} ± {records/paper/test_sd:c2} | {records/paper/validation:c2} ± {records/paper/validation_sd:c2} |",
            "| {records/frontier/test:c2} ± {records/frontier/test_sd:c2} | {records/frontier/validation:c2} ± {records/frontier/validation_sd:c2} |",
            "| {records/final12/test:c2} ± {records/final12/test_sd:c2} | {records/final12/validation:c2} ± {records/final12/validation_sd:c2} |",
            "| {records/two-macros/test:c2} ± {records/two-macros/test_sd:c2} | {records/two-macros/validation:c2} ± {records/two-macros/validation_sd:c2} |",
            "| {records/one-macro/test:c2} ± {records/one-macro/test_sd:c2} | {records/one-macro/validation:c2} ± {records/one-macro/validation_sd:c2} |",
            "| {records/ternary/test:c2} ± {records/ternary/test_sd:c2} | {records/ternary/validation:c2} ± {records/ternary/validation_sd:c2} |",
            "| {records/residual/test:c2} | {records/residual/validation:c2} |",
            "| {records/hardened/test:c2} ± {records/hardened/test_sd:c2} | {records/hardened/validation:c2} ± {records/hardened/validation_sd:c2} |",
            "| {records/like/test:c2} ± {records/like/test_sd:c2} (a tie wrong: {records/like/ties_wrong:c2} ± {records/like/ties_wrong_sd:c2}) | {records/like/validation:c2} ± {records/like/validation_sd:c2} |",
            "| {records/like-integer/test:c2} ± {records/like-integer/test_sd:c2} (a tie wrong: {records/like-integer/ties_wrong:c2} ± {records/like-integer/ties_wrong_sd:c2}) | {records/like-integer/validation:c2} ± {records/like-integer/validation_sd:c2} |",
        ],
    ),
];

/// Holds the sentences of documents to the report.
pub(super) fn check_sentences(report: &Report) -> anyhow::Result<()> {
    let mut numbers = report.metrics().clone();
    records(&Zoo::embedded()?, &mut numbers)?;
    let mut missing = Vec::new();
    for &(document, sentences) in SENTENCES {
        let text = fs::read_to_string(root().join(document)).context(document)?;
        for sentence in sentences {
            let expected = filled(sentence, &numbers)?;
            if !text.contains(&expected) {
                missing.push(format!("{document} does not say: {expected}"));
            }
        }
    }
    if !missing.is_empty() {
        bail!("documents and {FOLDER}/{REPORT} differ:\n  {}", missing.join("\n  "));
    }
    Ok(())
}

/// Adds the mean accuracies of the recorded networks and their standard deviations, as shares:
/// `records/RECIPE/` with `test`, `ties_wrong` or `validation`, and the same with `_sd`.
fn records(zoo: &Zoo, numbers: &mut Metrics) -> anyhow::Result<()> {
    for Record { recipe, runs, test_images, .. } in zoo.records() {
        let share = |correct: usize| correct as f64 / *test_images as f64;
        let ties_wrong = |run: &Run| share(run.test_correct_ties_wrong);
        let over_seeds =
            |of: &dyn Fn(&Run) -> f64| mean_sd(&runs.iter().map(of).collect::<Vec<_>>());
        for (what, MeanSd { mean, sd }) in [
            ("test", over_seeds(&|run| run.test_accuracy)),
            ("ties_wrong", over_seeds(&ties_wrong)),
            ("validation", over_seeds(&|run| run.validation_accuracy)),
        ] {
            numbers.insert(format!("records/{recipe}/{what}"), mean)?;
            numbers.insert(format!("records/{recipe}/{what}_sd"), sd)?;
        }
    }
    Ok(())
}

/// A sentence with its numbers.
fn filled(sentence: &str, numbers: &Metrics) -> anyhow::Result<String> {
    let mut parts = sentence.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (place, after) = part.split_once('}').context("a place ends with `}`")?;
        text += &written(place, numbers).with_context(|| format!("{{{place}}}"))?;
        text += after;
    }
    Ok(text)
}

/// The number of a place.
fn written(place: &str, numbers: &Metrics) -> anyhow::Result<String> {
    let (key, form) = place.split_once(':').context("a place has a key and a form")?;
    let (unit, form) = match form.strip_prefix('%') {
        Some(form) => (" %", form),
        None => ("", form),
    };
    let (is_share, form) = match form.strip_prefix('c') {
        Some(form) => (true, form),
        None => (!unit.is_empty(), form),
    };
    let decimals: usize = form.trim_end_matches(['i', 'r']).parse().context("decimals")?;
    let number = |end: &str| {
        let key = format!("{key}{end}");
        let value = numbers.get(&key).with_context(|| format!("there is no number `{key}`"))?;
        let scale = if is_share { 100.0 } else { 1.0 };
        anyhow::Ok(minus(&fixed(scale * value, decimals)))
    };
    let range = || anyhow::Ok(format!("({} to {})", number("_lo")?, number("_hi")?));
    match form.chars().last() {
        Some('i') => Ok(format!("{}{unit} {}", number("")?, range()?)),
        Some('r') => range(),
        _ => Ok(number("")? + unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_say_what_the_recorded_run_says() {
        check_sentences(&report().unwrap()).unwrap();
    }

    #[test]
    fn places_are_filled_by_their_form() {
        let mut numbers = Metrics::default();
        for (key, value) in [("a/b", 0.1234), ("a/b_lo", -0.0004), ("a/b_hi", 0.25)] {
            numbers.insert(key, value).unwrap();
        }
        for (sentence, expected) in [
            ("{a/b:1} of {a/b:%1}.", "0.1 of 12.3 %."),
            ("{a/b:c0i}", "12 (0 to 25)"),
            ("{a/b:%2i}", "12.34 % (−0.04 to 25.00)"),
            ("loses {a/b:3} {a/b:3r}", "loses 0.123 (0.000 to 0.250)"),
        ] {
            assert_eq!(filled(sentence, &numbers).unwrap(), expected);
        }
        let error = filled("{a/c:1}", &numbers).unwrap_err();
        assert_eq!(format!("{error:#}"), "{a/c:1}: there is no number `a/c`");
    }

    #[test]
    fn tables_are_those_of_documents() {
        let mut table = Table::of(["by", ">drop", INTERVAL]);
        table.row(["`a-1`", "-0.5", "-0.9 to 1"]);
        let expected = "| by | drop (95 % interval) |\n| :-- | --: |\n| `a-1` | −0.5 (−0.9 to 1) |";
        assert_eq!(markdown(&table), expected);
    }
}
