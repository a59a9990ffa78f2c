//! Turns what the steps found into metrics, the report and its manifest.

use std::collections::BTreeMap;

use anyhow::Context;
use hafnia_artifact::{Digest, Manifest};
use hafnia_report::plot::{
    CurvePoint, CurveRun, RowEntry, Series, Spread, accuracy_over_noise, rows_before_after,
    training_curve,
};
use hafnia_report::{
    Align, CellMap, Claims, Figure, Interval, Metrics, Part, Report, Scope, Section, Setting, Table,
};

use super::Options;
use super::calls::{Epoch, Trained};
use super::plan::{Mapping, Results, Simulated};
use super::recorded::Recorded;

/// The report of a run.
pub(crate) fn report(
    results: &Results,
    claims: &Claims,
    options: &Options,
    seconds: f64,
) -> anyhow::Result<Report> {
    let scope = Scope { subset: !results.data.full, quick: options.quick };
    let metrics = metrics(results, claims)?;
    let mut report = Report::new("Reproduction", scope, claims, metrics)?;
    report.sections = vec![
        accuracy(results)?,
        rename(results)?,
        cells(results),
        noise(results, claims)?,
        reorder(results, claims)?,
        all_layers(results),
        results.compiled.section(),
        results.frontier.section(),
        results.attribution.section(),
        results.cost.section()?,
        results.speed.section(),
    ];
    report.sections.extend(results.recorded.as_ref().map(Recorded::section));
    report.sections.push(reading());
    report.manifest = lines(results, options, seconds)?;
    Ok(report)
}

/// Mean with the 95 % interval of Student's t; of one value, that value alone.
pub(crate) fn mean(values: &[f64]) -> Interval {
    match values {
        [one] => Interval::exact(*one),
        _ => hafnia_stats::student_mean(values),
    }
}

/// The final layer of a mapping: logical and physical rows.
pub(crate) fn final_rows(mapping: &Mapping) -> anyhow::Result<(f64, f64)> {
    let matrix = mapping.matrices.last().context("a mapping has a matrix")?;
    Ok((matrix.logical_rows as f64, matrix.physical_rows as f64))
}

/// Shares are fractions of 1; what ends in `_points` is in percentage points.
fn metrics(results: &Results, claims: &Claims) -> anyhow::Result<Metrics> {
    let mut metrics = Metrics::default();
    let mut insert = |key: &str, value: f64| metrics.insert(key, value);
    let first = results.compared.first().context("a network was trained")?;
    insert("accuracy/exact", first.accuracy.value)?;
    insert("accuracy/exact_lo", first.accuracy.lo)?;
    insert("accuracy/exact_hi", first.accuracy.hi)?;
    insert("accuracy/on_macro_exact", results.exact.mappings[0].accuracy_mean)?;
    insert("accuracy/epochs", results.tied[0].epochs.len() as f64)?;
    insert("accuracy/images", first.images as f64)?;

    let (logical, physical) = final_rows(&results.renamed)?;
    insert("rename/final/logical_rows", logical)?;
    insert("rename/final/physical_rows", physical)?;
    insert("rename/final/saving", 1.0 - physical / logical)?;
    let cost = rename_cost(results);
    insert("rename/final/accuracy_cost_points", cost.value)?;
    insert("rename/final/accuracy_cost_points_lo", cost.lo)?;
    insert("rename/final/accuracy_cost_points_hi", cost.hi)?;
    insert("rename/final/accuracy_cost_seeds", results.compared.len() as f64)?;
    insert("network/rows_natural", results.natural.total.physical_rows as f64)?;
    insert("network/rows_renamed", results.renamed.total.physical_rows as f64)?;
    insert("network/cells_natural", results.natural.total.cells as f64)?;
    insert("network/cells_renamed", results.renamed.total.cells as f64)?;
    insert("network/table_bits", results.renamed.total.table_bits as f64)?;
    insert("network/macros", results.renamed.total.macros as f64)?;

    let default = results.noisy[0].mappings[0].drop_points;
    insert("noise/preset_default/final/drop_points", default.value)?;
    insert("noise/preset_default/final/drop_points_lo", default.lo)?;
    insert("noise/preset_default/final/drop_points_hi", default.hi)?;
    let all = results.all_layers.mappings[0].drop_points;
    insert("noise/all_layers/drop_points", all.value)?;
    insert("noise/all_layers/drop_points_lo", all.lo)?;
    insert("noise/all_layers/drop_points_hi", all.hi)?;
    insert("noise/all_layers/chips", f64::from(results.all_layers.chips))?;

    insert("reorder/chips", f64::from(results.chips))?;
    if let Some(operating) = results.operating {
        let setting = claims.settings[operating];
        let simulated = &results.noisy[operating];
        let (natural, reordered) = (&simulated.mappings[0], &simulated.mappings[1]);
        let reduction = reordered.reduction.as_ref().context("the second mapping has one")?;
        insert("reorder/final/sigma_lrs_rel", setting.sigma_lrs_rel)?;
        insert("reorder/final/offset_lsb", setting.offset_lsb)?;
        let validation = results.validation[operating].mappings[0].drop_points.value;
        insert("reorder/final/drop_natural_validation_points", validation)?;
        insert("reorder/final/drop_natural_points", natural.drop_points.value)?;
        insert("reorder/final/drop_reordered_points", reordered.drop_points.value)?;
        let ends = |Interval { value, lo, hi }| [("", value), ("_lo", lo), ("_hi", hi)];
        if reduction.rel.is_finite() {
            for (end, value) in ends(reduction.rel) {
                insert(&format!("reorder/final/reduction_rel{end}"), value)?;
            }
        }
        for (end, value) in ends(reduction.points) {
            insert(&format!("reorder/final/reduction_points{end}"), value)?;
        }
        insert("reorder/final/random_percentile", random_percentile(simulated))?;
        let cycles = reordered.per_image.groups / natural.per_image.groups;
        insert("reorder/final/cycles_ratio", cycles)?;
        if let Some(correlation) = reduction.correlation {
            insert("reorder/final/chip_correlation", correlation)?;
        }
    }
    results.compiled.add_metrics(&mut metrics)?;
    results.cost.add_metrics(&mut metrics)?;
    results.speed.add_metrics(&mut metrics)?;
    if let Some(recorded) = &results.recorded {
        recorded.add_metrics(&mut metrics)?;
    }
    Ok(metrics)
}

/// Accuracy of the untied networks minus that of the tied ones, over seeds; of one seed, paired
/// over its images.
fn rename_cost(results: &Results) -> Interval {
    let ahead: Vec<f64> = results.compared.iter().map(|c| c.against.ahead_points.value).collect();
    match results.compared.as_slice() {
        [one] => one.against.ahead_points.scaled(1.0),
        _ => mean(&ahead),
    }
}

/// Share of the random orders, in percent, that lose less than the reordered one; 0 is best.
fn random_percentile(simulated: &Simulated) -> f64 {
    let reordered = simulated.mappings[1].drop_points.value;
    let random = &simulated.mappings[2..];
    let better = random.iter().filter(|order| order.drop_points.value < reordered).count();
    100.0 * better as f64 / random.len().max(1) as f64
}

fn accuracy(results: &Results) -> anyhow::Result<Section> {
    let mut table = Table::new([
        ("seed", Align::Left),
        ("tied, test %", Align::Right),
        ("untied, test %", Align::Right),
        ("cost, points", Align::Right),
        ("95 % (images)", Align::Right),
        ("tied, validation %", Align::Right),
        ("epochs", Align::Right),
        ("s/epoch", Align::Right),
        ("images/s", Align::Right),
    ]);
    for (index, compared) in results.compared.iter().enumerate() {
        let tied = &results.tied[index];
        let seconds: f64 = tied.epochs.iter().map(|epoch| epoch.seconds).sum();
        let ahead = compared.against.ahead_points;
        table.row([
            tied.config["seed"].to_string(),
            format!("{:.2}", 100.0 * compared.accuracy.value),
            format!("{:.2}", 100.0 * compared.against.accuracy.value),
            format!("{:.2}", ahead.value),
            format!("{:.2} to {:.2}", ahead.lo, ahead.hi),
            format!("{:.2}", 100.0 * tied.validation_accuracy),
            tied.epochs.len().to_string(),
            format!("{:.1}", seconds / tied.epochs.len() as f64),
            format!("{:.0}", tied.images_per_second),
        ]);
    }
    let runs = |label: &str, trained: &[Trained]| -> Vec<CurveRun> {
        let points = |trained: &Trained| {
            let point = |epoch: &Epoch| CurvePoint {
                epoch: epoch.epoch,
                loss: epoch.loss,
                validation_accuracy_pct: 100.0 * epoch.validation_accuracy,
            };
            trained.epochs.iter().map(point).collect()
        };
        let run = |trained| {
            let seed = format!("{label}, seed {}", trained_seed(trained));
            CurveRun { label: seed, points: points(trained) }
        };
        trained.iter().map(run).collect()
    };
    let mut curves = runs("tied", &results.tied[..1]);
    curves.extend(runs("untied", &results.untied[..1]));
    let cost = rename_cost(results);
    let data = &results.data;
    let text = format!(
        "LeNet-5 with 1-bit weights, 2-bit activations and 2-bit inputs, trained on {} images; {} validation images were watched, {} test images judged.\n\
         \"Tied\" networks share row patterns in the final layer, so that row rename finds equal rows; \"untied\" ones are the same recipe without that.\n\
         The deployed network is the tied one of the first seed; the same network on the engine `exact`, all layers on the macro, has {:.2} %.\n\
         Tying costs {:.2} points ({:.2} to {:.2}, {} seed(s){}).",
        data.train,
        data.validation,
        data.test,
        100.0 * results.exact.mappings[0].accuracy_mean,
        cost.value,
        cost.lo,
        cost.hi,
        results.compared.len(),
        if results.compared.len() == 1 {
            ", one-seed: paired over images"
        } else {
            ", Student's t over seeds"
        },
    );
    Ok(Section {
        part: Part::Training,
        title: "Accuracy".to_owned(),
        text,
        tables: vec![table],
        figures: vec![Figure {
            name: "training-curve".to_owned(),
            caption: "Loss and validation accuracy of the first seed.".to_owned(),
            svg: training_curve(&curves)?,
        }],
        ..Section::default()
    })
}

fn trained_seed(trained: &Trained) -> String {
    trained.config["seed"].to_string()
}

fn rename(results: &Results) -> anyhow::Result<Section> {
    let mut table = Table::new([
        ("layer", Align::Left),
        ("logical rows", Align::Right),
        ("rows, natural", Align::Right),
        ("rows, renamed", Align::Right),
        ("saving, %", Align::Right),
        ("cells, natural", Align::Right),
        ("cells, renamed", Align::Right),
    ]);
    let percent = |before: usize, after: usize| {
        format!("{:.2}", 100.0 * (1.0 - after as f64 / before.max(1) as f64))
    };
    for (natural, renamed) in results.natural.matrices.iter().zip(&results.renamed.matrices) {
        table.row([
            natural.name.clone(),
            natural.logical_rows.to_string(),
            natural.physical_rows.to_string(),
            renamed.physical_rows.to_string(),
            percent(natural.physical_rows, renamed.physical_rows),
            natural.cells.to_string(),
            renamed.cells.to_string(),
        ]);
    }
    let (natural, renamed) = (&results.natural.total, &results.renamed.total);
    table.row([
        "network".to_owned(),
        natural.logical_rows.to_string(),
        natural.physical_rows.to_string(),
        renamed.physical_rows.to_string(),
        percent(natural.physical_rows, renamed.physical_rows),
        natural.cells.to_string(),
        renamed.cells.to_string(),
    ]);
    let text = format!(
        "Equal weight rows are stored once; a rename table keeps the addresses.\n\
         The mapped network takes {} macros (natural: {}), and its rename tables {} bits, which the row saving does not count.",
        renamed.macros, natural.macros, renamed.table_bits
    );
    Ok(Section {
        part: Part::Mapping,
        title: "Row rename".to_owned(),
        text,
        tables: vec![table],
        figures: vec![Figure {
            name: "rename-rows".to_owned(),
            caption: "Rows of the final layer before and after rename.".to_owned(),
            svg: rows_figure(&results.renamed)?,
        }],
        ..Section::default()
    })
}

/// The final layer's rows before and after rename.
fn rows_figure(mapping: &Mapping) -> anyhow::Result<String> {
    let last = &mapping.matrices.last().context("a mapping has a matrix")?.name;
    let tile = mapping.tiles.iter().find(|tile| tile.matrix == *last).context("it has a tile")?;
    let bits = |row: &String| row.chars().map(|bit| bit == '1').collect::<Vec<bool>>();
    let physical: Vec<Vec<bool>> = tile.cells.iter().map(bits).collect();
    let mut entries: Vec<RowEntry> =
        tile.entries.iter().map(|&(logical, physical, _)| RowEntry { logical, physical }).collect();
    entries.sort_by_key(|entry| entry.logical);
    // Numbered by position, should the tile hold only some of the layer's rows.
    entries.iter_mut().enumerate().for_each(|(position, entry)| entry.logical = position);
    let logical: Vec<Vec<bool>> =
        entries.iter().map(|entry| physical[entry.physical].clone()).collect();
    Ok(rows_before_after(&logical, &physical, &entries)?)
}

fn noise(results: &Results, claims: &Claims) -> anyhow::Result<Section> {
    let mut table = Table::new([
        ("σ_LRS", Align::Right),
        ("offset, LSB", Align::Right),
        ("validation drop", Align::Right),
        ("natural drop", Align::Right),
        ("95 % interval", Align::Right),
        ("reordered drop", Align::Right),
        ("reduction, %", Align::Right),
        ("95 % interval", Align::Right),
        ("random drops", Align::Right),
        ("random better, %", Align::Right),
    ]);
    for (index, (setting, simulated)) in claims.settings.iter().zip(&results.noisy).enumerate() {
        let (natural, reordered) = (&simulated.mappings[0], &simulated.mappings[1]);
        let random = random_range(simulated);
        let drop = natural.drop_points;
        let reduction = reordered.reduction.as_ref().map(|reduction| reduction.rel);
        let reduction = reduction.filter(|rel| rel.is_finite());
        let (value, range) = reduction.map_or(("-".to_owned(), "-".to_owned()), |rel| {
            let range = format!("{:.1} to {:.1}", 100.0 * rel.lo, 100.0 * rel.hi);
            (format!("{:.1}", 100.0 * rel.value), range)
        });
        let mark = if results.operating == Some(index) { " *" } else { "" };
        table.row([
            format!("{:.0} %{mark}", 100.0 * setting.sigma_lrs_rel),
            format!("{:.2}", setting.offset_lsb),
            format!("{:.3}", results.validation[index].mappings[0].drop_points.value),
            format!("{:.3}", drop.value),
            format!("{:.3} to {:.3}", drop.lo, drop.hi),
            format!("{:.3}", reordered.drop_points.value),
            value,
            range,
            random.map_or("-".to_owned(), |range| format!("{:.3} to {:.3}", range.lo, range.hi)),
            format!("{:.0}", random_percentile(simulated)),
        ]);
    }
    let exact = results.noisy[0].exact_accuracy;
    let series = |label: &str, number: usize| Series {
        label: label.to_owned(),
        accuracy_pct: results
            .noisy
            .iter()
            .map(|simulated| {
                let drop = simulated.mappings[number].drop_points;
                let accuracy = |drop: f64| 100.0 * exact.value - drop;
                Interval {
                    value: accuracy(drop.value),
                    lo: accuracy(drop.hi),
                    hi: accuracy(drop.lo),
                }
            })
            .collect(),
        spread: Spread::Bars,
    };
    let mut all = vec![series("natural order", 0), series("reordered", 1)];
    let random: Option<Vec<Interval>> = results.noisy.iter().map(random_range).collect();
    if let Some(random) = random {
        let accuracy = |drop: f64| 100.0 * exact.value - drop;
        let band = |range: &Interval| Interval {
            value: accuracy(range.value),
            lo: accuracy(range.hi),
            hi: accuracy(range.lo),
        };
        all.push(Series {
            label: "random orders, range".to_owned(),
            accuracy_pct: random.iter().map(band).collect(),
            spread: Spread::Band,
        });
    }
    let text = format!(
        "Noise in the final layer alone, engine `device`, {} virtual chips, {} test images; drops in percentage points, with crossed bootstrap intervals over chips × images.\n\
         The first line is the preset's default. The operating point (*) is the smallest setting whose drop on the validation images is at least {} points{}.\n\
         Orders are computed per setting, on training images.",
        results.chips,
        results.noisy[0].images,
        claims.protocol.operating_drop_points,
        if results.operating.is_none() { "; here none is, so reorder is not judged" } else { "" },
    );
    Ok(Section {
        part: Part::Noise,
        title: "Noise in the final layer".to_owned(),
        text,
        tables: vec![table],
        figures: vec![Figure {
            name: "accuracy-over-noise".to_owned(),
            caption: "Accuracy over noise for natural, random and reordered rows.".to_owned(),
            svg: accuracy_over_noise(100.0 * exact.value, &claims.settings, &all)?,
        }],
        ..Section::default()
    })
}

/// Mean, least and largest drop of the random orders; none without any.
fn random_range(simulated: &Simulated) -> Option<Interval> {
    let drops: Vec<f64> =
        simulated.mappings[2..].iter().map(|order| order.drop_points.value).collect();
    (!drops.is_empty()).then(|| Interval {
        value: drops.iter().sum::<f64>() / drops.len() as f64,
        lo: drops.iter().copied().fold(f64::INFINITY, f64::min),
        hi: drops.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    })
}

fn reorder(results: &Results, claims: &Claims) -> anyhow::Result<Section> {
    let (part, title) = (Part::Noise, "Row reorder at the operating point".to_owned());
    let Some(operating) = results.operating else {
        let text =
            "No setting of the grid costs the natural order enough to be the operating point.";
        return Ok(Section { part, title, text: text.to_owned(), ..Section::default() });
    };
    let Setting { sigma_lrs_rel, offset_lsb } = claims.settings[operating];
    let simulated = &results.noisy[operating];
    let mut table = Table::new([
        ("order", Align::Left),
        ("accuracy, %", Align::Right),
        ("sd over chips", Align::Right),
        ("worst chip", Align::Right),
        ("drop, points", Align::Right),
        ("cycles/image", Align::Right),
        ("conversions/image", Align::Right),
    ]);
    for (name, mapping) in ["natural", "reordered"].iter().zip(&simulated.mappings) {
        table.row([
            (*name).to_owned(),
            format!("{:.3}", 100.0 * mapping.accuracy_mean),
            format!("{:.3}", 100.0 * mapping.accuracy_sd),
            format!("{:.2}", 100.0 * mapping.accuracy_worst),
            format!("{:.3}", mapping.drop_points.value),
            format!("{:.2}", mapping.per_image.groups),
            format!("{:.1}", mapping.per_image.conversions),
        ]);
    }
    let reduction = simulated.mappings[1].reduction.as_ref().context("the second has one")?;
    let Interval { value, lo, hi } = reduction.rel;
    let relative = match value.is_nan() {
        true => "an undefined share (the natural order loses nothing)".to_owned(),
        // 0 − x and not −x, which of 0 would be printed with a sign.
        false => {
            let [value, lo, hi] = [value, hi, lo].map(|share| 0.0 - 100.0 * share);
            format!("{value:.1} % ({lo:.1} to {hi:.1})")
        }
    };
    let text = format!(
        "At σ_LRS {:.0} % and an offset of {offset_lsb} LSB, reordering changes the noise impact by {relative}, or {:.3} points ({:.3} to {:.3}).\n\
         It takes {:+.1} % conversion cycles.\n\
         The correlation of the two drops from chip to chip is {}.",
        100.0 * sigma_lrs_rel,
        0.0 - reduction.points.value,
        0.0 - reduction.points.hi,
        0.0 - reduction.points.lo,
        100.0
            * (simulated.mappings[1].per_image.groups / simulated.mappings[0].per_image.groups
                - 1.0),
        reduction.correlation.map_or("undefined".to_owned(), |r| format!("{r:.2}")),
    );
    Ok(Section { part, title, text, tables: vec![table], ..Section::default() })
}

fn all_layers(results: &Results) -> Section {
    let simulated = &results.all_layers;
    let mapping = &simulated.mappings[0];
    Section {
        part: Part::Noise,
        title: "Noise in all layers (indicative)".to_owned(),
        text: format!(
            "With the preset's default noise in all layers, the natural order loses {:.3} points ({:.3} to {:.3}) on {} virtual chip(s): indicative only.\n\
             An image takes {:.0} conversion cycles and {:.0} conversions.",
            mapping.drop_points.value,
            mapping.drop_points.lo,
            mapping.drop_points.hi,
            simulated.chips,
            mapping.per_image.groups,
            mapping.per_image.conversions,
        ),
        ..Section::default()
    }
}

/// The deployed network on macros, before and after.
fn cells(results: &Results) -> Section {
    Section {
        part: Part::Mapping,
        title: "The macros, cell by cell".to_owned(),
        text: "The deployed network in natural order, after `rename`, and by the search `best`; report.html shows every cell, and which logical rows a physical row holds."
            .to_owned(),
        maps: vec![CellMap {
            name: "cells".to_owned(),
            caption: "Every macro before and after.".to_owned(),
            layouts: results.layouts.clone(),
        }],
        ..Section::default()
    }
}

fn reading() -> Section {
    Section {
        title: "How to read this".to_owned(),
        text: "In report.json shares are fractions of 1 and keys that end in `_points` are percentage points; `_lo` and `_hi` are the ends of 95 % intervals.\n\
               `reorder/final/random_percentile` is the percentage of random orders that lose less than the reordered one: 0 is best.\n\
               Test images chose nothing: recipes and the operating point come from validation images, row orders from training images."
            .to_owned(),
        ..Section::default()
    }
}

/// How to repeat the run.
fn lines(results: &Results, options: &Options, seconds: f64) -> anyhow::Result<Vec<String>> {
    let mut lines = vec![
        format!("hafnia {}, git revision {}", env!("CARGO_PKG_VERSION"), revision()),
        format!("command: cargo xtask reproduce{}", arguments(options)),
        format!("seed {}", options.seed),
        format!("data: {}", results.data.origin),
        format!("took {seconds:.0} s; steps whose inputs had not changed were skipped"),
    ];
    lines.extend(inputs(results).iter().map(|(name, digest)| format!("{name} {digest}")));
    Ok(lines)
}

/// The digests of what the run was given: the data set, and the records it looked at.
fn inputs(results: &Results) -> BTreeMap<String, Digest> {
    let mut inputs = results.data.digests.clone();
    inputs.extend(results.recorded.iter().flat_map(|recorded| recorded.inputs.clone()));
    inputs
}

fn arguments(options: &Options) -> String {
    let mut text = String::new();
    let flags = [
        (options.quick, " --quick"),
        (options.full, " --full"),
        (options.retrain, " --retrain"),
        (options.offline, " --offline"),
    ];
    text.extend(flags.iter().filter(|(given, _)| *given).map(|(_, flag)| *flag));
    if options.data.is_some() {
        text += " --data DIR";
    }
    format!("{text} --seed {}", options.seed)
}

/// The git revision of the work tree, with `-dirty` if it was changed since.
fn revision() -> String {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .args(arguments)
            .current_dir(crate::workspace())
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let described = git(&["describe", "--always", "--dirty", "--abbrev=12"]);
    described.unwrap_or_else(|| "unknown".to_owned())
}

/// The manifest of the run.
pub(crate) fn manifest(results: &Results, options: &Options) -> anyhow::Result<Manifest> {
    let mut manifest = Manifest::new("xtask", env!("CARGO_PKG_VERSION"), std::env::args().skip(1));
    manifest.git_revision = Some(revision());
    manifest.seed = Some(options.seed);
    manifest.inputs = inputs(results);
    for file in ["docs/claims.toml", "recipes/lenet5.toml", "recipes/lenet5-tied.toml"] {
        let digest = Digest::of_file(crate::workspace().join(file))?;
        manifest.inputs.insert(file.to_owned(), digest);
    }
    manifest.config = serde_json::json!({
        "quick": options.quick,
        "full": options.is_full(),
        "retrain": options.retrain,
        "offline": options.offline,
        "isa": results.speed.isa,
        "threads": results.speed.processors,
        "recipes": results.tied.iter().chain(&results.untied).map(|t| &t.config).collect::<Vec<_>>(),
    });
    Ok(manifest)
}
