//! The third claim, noise removed by the order of rows: of networks like the paper's, renamed after
//! merging, and of our larger tied ones, with noise in the final layer.
//!
//! Networks of a group are simulated together, and networks, chips and images resampled together. The
//! natural order of the renamed rows is the baseline. Two operating points are chosen on validation
//! images, for the reading as a share of the loss and for that in points; there the orders, which come
//! from training images, meet new chips on the test images, once.

use std::path::{Path, PathBuf};

use anyhow::Context;
use hafnia_report::plot::{Series, Spread, accuracy_over_noise};
use hafnia_report::{Align, Figure, Interval, Metrics, Part, Section, Setting, Table};
use hafnia_stats::percentile;
use hafnia_text::counted;

use crate::data;
use crate::reproduce::lab::{
    Lab, Prepared, SEARCH, STEPS, Wanted, add, cells, in_percent, noise, slug,
};
use crate::simulate::{PooledMapping, PooledNetworks, SimulateRequest};

/// How the input control scans the rows, which is not published: the preset's way first.
const SCANS: [Scan; 3] = [
    Scan { name: "ordered scan", key: "", set: &[] },
    Scan { name: "windows of 16 rows", key: "window16_", set: &["input_control=fixed-window{16}"] },
    Scan { name: "groups of 7 rows", key: "group7_", set: &["input_control=fixed-group"] },
];

/// What is compared with the natural order of the renamed rows.
const ORDERS: [Order; 4] = [
    Order {
        name: "reordered",
        key: "",
        passes: &[("rename", ""), ("tile", ""), ("reorder", STEPS), ("pack", "")],
    },
    Order {
        name: "with polarity",
        key: "polarity_",
        passes: &[
            ("rename", ""),
            ("tile", ""),
            ("polarity", ""),
            ("reorder", STEPS),
            ("polarity", ""),
            ("pack", ""),
        ],
    },
    Order { name: "`best`", key: "best_", passes: &[("best", SEARCH)] },
    Order {
        name: "`allocate`",
        key: "allocate_",
        passes: &[("tile", ""), ("allocate", STEPS), ("pack", "")],
    },
];

/// The order that P3 is about, and the one that stands for rename and order together.
const REORDERED: usize = 0;
const RENAME_ORDER: usize = 1;

/// The first of the searches over more than an order, which take longer than all others.
const SEARCHES: usize = 2;

struct Scan {
    name: &'static str,
    /// Prefix of its metrics.
    key: &'static str,
    /// Values of the macro that set it.
    set: &'static [&'static str],
}

struct Order {
    name: &'static str,
    /// Prefix of its metrics.
    key: &'static str,
    passes: &'static [(&'static str, &'static str)],
}

impl Scan {
    /// The values of the macro that set the noise and this way to scan.
    fn noise(&self, setting: &Setting) -> Vec<String> {
        noise(setting).into_iter().chain(self.set.iter().map(|&set| set.to_owned())).collect()
    }
}

/// Networks that are tested together.
pub(super) struct Group {
    /// `like` or `final`, part of its metrics.
    key: &'static str,
    /// What they are.
    name: &'static str,
    /// Renamed, in natural order.
    networks: Vec<Prepared>,
}

/// What was found of a group.
pub(super) struct Found {
    key: &'static str,
    name: &'static str,
    networks: usize,
    /// Per setting from the first, the natural order on validation images.
    validation: Vec<PooledNetworks>,
    /// The natural order on test images at the first setting, the preset's own.
    default: PooledNetworks,
    /// At the operating point of the reading as a share; none if no setting qualifies.
    relative: Option<Relative>,
    /// At that of the reading in points: natural order and reordered.
    points: Option<(usize, PooledNetworks)>,
    /// Per setting, natural order and reordered on test images, with `--full`.
    grid: Vec<PooledNetworks>,
}

/// What was found at the operating point of the reading as a share.
struct Relative {
    /// Index of the setting.
    at: usize,
    /// Per scan, the natural order and after it every order.
    scans: Vec<PooledNetworks>,
    /// Natural order, reordered, and random orders, on fewer chips.
    random: PooledNetworks,
}

impl Group {
    /// Profiles networks and maps them in natural order.
    pub(super) fn prepare(
        lab: &Lab<'_>,
        key: &'static str,
        name: &'static str,
        networks: impl Iterator<Item = (u64, PathBuf)>,
    ) -> anyhow::Result<Self> {
        let prepare = |(seed, file)| lab.prepare(format!("{key}/{seed}"), file, "rename");
        Ok(Self { key, name, networks: networks.map(prepare).collect::<Result<_, _>>()? })
    }

    /// Chooses the operating points and tests orders there, under the first `scans` ways to scan, and
    /// the searches under the first `searches` of them.
    pub(super) fn run(
        &self,
        lab: &Lab<'_>,
        scans: usize,
        searches: usize,
    ) -> anyhow::Result<Found> {
        let validation = self.validation(lab)?;
        let drops: Vec<f64> =
            validation.iter().map(|found| found.mappings[0].found.drop_points.value).collect();
        let default = self.test(lab, "default", noise(&lab.settings[0]), &[], lab.effort.chips)?;
        let relative = lab.claims.operating_point(&drops);
        let relative = relative.map(|at| self.relative(lab, at, [scans, searches])).transpose()?;
        let reordered = |at: usize| {
            let setting = &lab.settings[at];
            let orders = [self.ordered(lab, setting, &SCANS[0], &ORDERS[REORDERED])?];
            let name = format!("reordered-{}", slug(setting));
            self.test(lab, &name, noise(setting), &orders, lab.effort.chips)
        };
        let points = lab.claims.points_operating_point(&drops);
        let points = points.map(|at| Ok::<_, anyhow::Error>((at, reordered(at)?))).transpose()?;
        let all = if lab.is_full { 0..lab.settings.len() } else { 0..0 };
        Ok(Found {
            key: self.key,
            name: self.name,
            networks: self.networks.len(),
            validation,
            default,
            relative,
            points,
            grid: all.map(reordered).collect::<Result<_, _>>()?,
        })
    }

    /// The natural order on validation images, up to the operating points.
    fn validation(&self, lab: &Lab<'_>) -> anyhow::Result<Vec<PooledNetworks>> {
        let mut found: Vec<PooledNetworks> = Vec::new();
        let mut drops = Vec::new();
        for setting in &lab.settings {
            let name = format!("{}/validation-{}", self.key, slug(setting));
            let request = SimulateRequest {
                part: data::Part::Validation,
                chips: lab.effort.validation_chips,
                // Chips of their own: those that choose the operating points are not tested there.
                ..lab.simulation(lab.validation_seed(), noise(setting))
            };
            let pooled = lab.simulate_together(&name, &self.with(&[]), request)?;
            drops.push(pooled.mappings[0].found.drop_points.value);
            found.push(pooled);
            if lab.claims.points_operating_point(&drops).is_some() {
                break;
            }
        }
        Ok(found)
    }

    /// Every order under these ways to scan, and random ones under the first.
    fn relative(
        &self,
        lab: &Lab<'_>,
        at: usize,
        [scans, searches]: [usize; 2],
    ) -> anyhow::Result<Relative> {
        let setting = &lab.settings[at];
        let chips = lab.effort.chips;
        let mut found = Vec::new();
        let mut reordered = Vec::new();
        for (index, scan) in SCANS[..scans].iter().enumerate() {
            let orders = if index < searches { &ORDERS[..] } else { &ORDERS[..SEARCHES] };
            let orders = orders.iter().map(|order| self.ordered(lab, setting, scan, order));
            let orders = orders.collect::<anyhow::Result<Vec<_>>>()?;
            let name = format!("orders-{}{}", scan.key, slug(setting));
            // The claim is about the first way to scan; the others show what hangs on it.
            let chips = if index == 0 { chips } else { chips.div_ceil(2) };
            found.push(self.test(lab, &name, scan.noise(setting), &orders, chips)?);
            if index == 0 {
                reordered = orders;
            }
        }
        let mut orders = vec![reordered.swap_remove(REORDERED)];
        for number in 0..lab.effort.random_orders {
            orders.push(self.random(lab, number)?);
        }
        let name = format!("random-{}", slug(setting));
        // Orders are many, and only ranked.
        let random = self.test(lab, &name, noise(setting), &orders, chips.div_ceil(8))?;
        Ok(Relative { at, scans: found, random })
    }

    /// Maps the networks by an order that is made for a setting and a way to scan.
    fn ordered(
        &self,
        lab: &Lab<'_>,
        setting: &Setting,
        scan: &Scan,
        order: &Order,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let what = if order.key.is_empty() { "reordered" } else { order.key.trim_end_matches('_') };
        let pipeline = lab.pipeline(&format!("{}/{what}", self.key), order.passes)?;
        let (name, set) = (format!("{what}-{}{}", scan.key, slug(setting)), scan.noise(setting));
        self.map(lab, &name, &pipeline, true, &set)
    }

    fn random(&self, lab: &Lab<'_>, number: u32) -> anyhow::Result<Vec<PathBuf>> {
        let options = format!("method = \"random\"\nseed = {number}");
        let passes = [("rename", ""), ("tile", ""), ("reorder", &options[..]), ("pack", "")];
        let what = format!("random-{number}");
        let pipeline = lab.pipeline(&format!("{}/{what}", self.key), &passes)?;
        // Such an order asks no profile, which takes longer to read than all else.
        self.map(lab, &what, &pipeline, false, &[])
    }

    /// Maps the networks by a pipeline, with their profiles or without, side by side.
    fn map(
        &self,
        lab: &Lab<'_>,
        what: &str,
        pipeline: &str,
        is_profiled: bool,
        set: &[String],
    ) -> anyhow::Result<Vec<PathBuf>> {
        let wanted: Vec<Wanted<'_>> = self
            .networks
            .iter()
            .map(|network| Wanted {
                name: format!("{}-{what}", network.name),
                network: &network.file,
                pipeline,
                profile: is_profiled.then_some(&network.profile),
                set,
            })
            .collect();
        lab.map_all(&wanted)
    }

    /// The networks, each with its natural order and these others.
    fn with<'a>(&'a self, orders: &'a [Vec<PathBuf>]) -> Vec<(&'a Path, Vec<&'a Path>)> {
        let mappings = |index: usize, network: &'a Prepared| {
            let others = orders.iter().map(|order| order[index].as_path());
            std::iter::once(network.natural.as_path()).chain(others).collect()
        };
        let networks = self.networks.iter().enumerate();
        networks.map(|(index, network)| (&*network.file, mappings(index, network))).collect()
    }

    /// Natural order and others on the test images.
    fn test(
        &self,
        lab: &Lab<'_>,
        name: &str,
        set: Vec<String>,
        orders: &[Vec<PathBuf>],
        chips: u32,
    ) -> anyhow::Result<PooledNetworks> {
        let request = SimulateRequest { chips, ..lab.simulation(lab.test_seed(), set) };
        lab.simulate_together(&format!("{}/{name}", self.key), &self.with(orders), request)
    }
}

/// What networks like the paper's lose as they were trained, neither merged nor renamed, in natural
/// order, at a setting.
pub(super) fn untouched(
    lab: &Lab<'_>,
    at: usize,
    networks: impl Iterator<Item = (u64, PathBuf)>,
) -> anyhow::Result<PooledNetworks> {
    let mut files = Vec::new();
    for (seed, file) in networks {
        let mapping = lab.map_plainly(format!("like/{seed}-untouched"), &file, "natural")?;
        files.push((file, mapping));
    }
    let networks: Vec<_> =
        files.iter().map(|(file, mapping)| (&**file, vec![mapping.as_path()])).collect();
    let request = SimulateRequest {
        chips: lab.effort.chips,
        ..lab.simulation(lab.test_seed(), noise(&lab.settings[at]))
    };
    lab.simulate_together("like/untouched", &networks, request)
}

/// The share of the random orders, in percent, that lose less than the order found, equals counted
/// half; 0 is best.
fn random_percentile(random: &PooledNetworks) -> f64 {
    let drop = |mapping: &PooledMapping| mapping.found.drop_points.value;
    let others: Vec<f64> = random.mappings[2..].iter().map(drop).collect();
    percentile(drop(&random.mappings[1]), &others)
}

impl Found {
    /// Index of the operating point of the reading as a share.
    pub(super) fn operating(&self) -> Option<usize> {
        self.relative.as_ref().map(|relative| relative.at)
    }

    /// What rename and order together leave of the accuracy.
    fn rename_order(&self) -> Option<&PooledMapping> {
        Some(&self.relative.as_ref()?.scans[0].mappings[1 + RENAME_ORDER])
    }

    pub(super) fn add_metrics(&self, lab: &Lab<'_>, metrics: &mut Metrics) -> anyhow::Result<()> {
        let Self { key, .. } = self;
        let name = |what: &str| format!("reorder/{key}/{what}");
        metrics.insert(name("chips"), self.default.chips as f64)?;
        metrics.insert(name("networks"), self.networks as f64)?;
        let default = self.default.mappings[0].found.drop_points;
        add(metrics, &format!("noise/preset_default/{key}/drop_points"), default)?;
        if let Some(relative) = &self.relative {
            let Setting { sigma_lrs_rel, offset_lsb } = lab.settings[relative.at];
            metrics.insert(name("sigma_lrs_rel"), sigma_lrs_rel)?;
            metrics.insert(name("offset_lsb"), offset_lsb)?;
            let validation = self.validation[relative.at].mappings[0].found.drop_points.value;
            metrics.insert(name("drop_natural_validation_points"), validation)?;
            let (natural, reordered) = {
                let mappings = &relative.scans[0].mappings;
                (&mappings[0], &mappings[1 + REORDERED])
            };
            add(metrics, &name("drop_natural_points"), natural.found.drop_points)?;
            metrics.insert(name("drop_reordered_points"), reordered.found.drop_points.value)?;
            let cycles = reordered.per_image.groups / natural.per_image.groups;
            metrics.insert(name("cycles_ratio"), cycles)?;
            metrics.insert(name("random_percentile"), random_percentile(&relative.random))?;
            for (scan, found) in SCANS.iter().zip(&relative.scans) {
                for (order, mapping) in ORDERS.iter().zip(&found.mappings[1..]) {
                    let reduction = mapping.found.reduction.context("there is a baseline")?.rel;
                    if reduction.is_finite() {
                        let what = format!("{}{}reduction_rel", scan.key, order.key);
                        add(metrics, &name(&what), reduction)?;
                    }
                }
            }
        }
        if let Some((at, found)) = &self.points {
            let Setting { sigma_lrs_rel, offset_lsb } = lab.settings[*at];
            metrics.insert(name("points_sigma_lrs_rel"), sigma_lrs_rel)?;
            metrics.insert(name("points_offset_lsb"), offset_lsb)?;
            let (natural, reordered) = (&found.mappings[0], &found.mappings[1]);
            let reduction = reordered.found.reduction.context("there is a baseline")?.points;
            add(metrics, &name("reduction_points"), reduction)?;
            let drop = natural.found.drop_points.value;
            metrics.insert(name("reduction_points_natural_drop"), drop)?;
        }
        Ok(())
    }
}

/// `natural/final/drop_points` and `rename_order/final/drop_points`: networks like the paper's as they
/// were trained, and merged, renamed and ordered.
pub(super) fn add_rename_order(
    metrics: &mut Metrics,
    like: &Found,
    untouched: Option<&PooledNetworks>,
) -> anyhow::Result<()> {
    if let (Some(untouched), Some(ordered)) = (untouched, like.rename_order()) {
        add(metrics, "natural/final/drop_points", untouched.mappings[0].found.drop_points)?;
        add(metrics, "rename_order/final/drop_points", ordered.found.drop_points)?;
    }
    Ok(())
}

/// Noise over the grid: both groups.
pub(super) fn noise_section(lab: &Lab<'_>, groups: [&Found; 2]) -> anyhow::Result<Section> {
    let mut columns =
        vec![("σ_LRS".to_owned(), Align::Right), ("offset, LSB".to_owned(), Align::Right)];
    for found in groups {
        columns.push((format!("{}: validation drop", found.name), Align::Right));
        columns.push(("95 % interval".to_owned(), Align::Right));
    }
    let mut table = Table::new(columns);
    let longest = groups.iter().map(|found| found.validation.len()).max().unwrap_or(0);
    for (at, setting) in lab.settings.iter().enumerate().take(longest) {
        let mut row = vec![
            format!("{:.0} %", 100.0 * setting.sigma_lrs_rel),
            format!("{:.2}", setting.offset_lsb),
        ];
        for found in groups {
            let marks = [
                (found.operating() == Some(at), " *"),
                (found.points.as_ref().is_some_and(|(points, _)| *points == at), " †"),
            ];
            let marks = marks.iter().filter(|(is_there, _)| *is_there).map(|(_, mark)| *mark);
            let drop = found.validation.get(at).map(|pooled| pooled.mappings[0].found.drop_points);
            let [value, range] = drop.map_or(["-".to_owned(), "-".to_owned()], cells);
            row.extend([format!("{value}{}", marks.collect::<String>()), range]);
        }
        table.row(row);
    }
    let protocol = &lab.claims.protocol;
    let text = format!(
        "Noise in the final layer alone, engine `device`, renamed rows in natural order; drops in percentage points on {} validation images, {} virtual chips per network, networks, chips and images resampled together.\n\
         The first line is the preset's default.\n\
         The operating points are the smallest settings at which the natural order loses {} points (*, for the reading as a share) and {} points (†, for that in points); a column ends there, and has no † if no setting costs as much.",
        groups[0].validation[0].images,
        groups[0].validation[0].chips,
        protocol.operating_drop_points,
        protocol.points_operating_drop_points,
    );
    let mut figures = Vec::new();
    for found in groups {
        figures.push(found.figure(lab)?);
    }
    Ok(Section {
        part: Part::Noise,
        title: "Noise in the final layer".to_owned(),
        text,
        tables: vec![table],
        figures,
        ..Section::default()
    })
}

impl Found {
    /// Accuracy over noise: on test images with `--full`, else the natural order on validation
    /// images.
    fn figure(&self, lab: &Lab<'_>) -> anyhow::Result<Figure> {
        let (found, part) = match self.grid.is_empty() {
            true => (&self.validation, "validation"),
            false => (&self.grid, "test"),
        };
        let exact = |of: &PooledMapping| 100.0 * of.accuracy_mean + of.found.drop_points.value;
        let series = |(number, label): (usize, &str)| Series {
            label: label.to_owned(),
            accuracy_pct: found
                .iter()
                .map(|pooled| {
                    let mapping = &pooled.mappings[number];
                    let (exact, drop) = (exact(mapping), mapping.found.drop_points);
                    let (lo, hi) = (exact - drop.hi, exact - drop.lo);
                    Interval { value: exact - drop.value, lo, hi }.within(0.0, 100.0)
                })
                .collect(),
            spread: Spread::Bars,
        };
        let labels = ["natural order", "reordered"];
        let all: Vec<Series> =
            labels.into_iter().enumerate().take(found[0].mappings.len()).map(series).collect();
        let svg = accuracy_over_noise(
            part,
            exact(&found[0].mappings[0]),
            &lab.settings[..found.len()],
            &all,
        )?;
        Ok(Figure {
            name: format!("accuracy-over-noise-{}", self.key),
            caption: format!(
                "Accuracy over noise in the final layer of {} (n = {}): {} {part} images, {} each, engine `device`; 95 % intervals of the drop over networks, chips and images.",
                self.name,
                self.networks,
                found[0].images,
                counted(found[0].chips, "virtual chip"),
            ),
            svg,
        })
    }
}

/// What orders take away, by group and scan, and in points.
pub(super) fn section(
    lab: &Lab<'_>,
    groups: [&Found; 2],
    untouched: Option<&PooledNetworks>,
) -> Section {
    let mut columns = vec![
        ("networks".to_owned(), Align::Left),
        ("scan".to_owned(), Align::Left),
        ("natural: drop, points".to_owned(), Align::Right),
    ];
    columns.extend(ORDERS.iter().map(|o| (format!("{}: reduction, %", o.name), Align::Right)));
    columns.push(("reordered: cycles".to_owned(), Align::Right));
    let mut table = Table::new(columns);
    for found in groups {
        let scans = found.relative.iter().flat_map(|relative| &relative.scans);
        for (scan, pooled) in SCANS.iter().zip(scans) {
            let [natural, orders @ ..] = &pooled.mappings[..] else { continue };
            let mut row = vec![found.name.to_owned(), scan.name.to_owned()];
            row.push(cells(natural.found.drop_points)[0].clone());
            for index in 0..ORDERS.len() {
                row.push(orders.get(index).map_or("-".to_owned(), reduction_cell));
            }
            let cycles = orders[REORDERED].per_image.groups / natural.per_image.groups;
            row.push(format!("× {cycles:.2}"));
            table.row(row);
        }
    }
    let mut points = Table::of([
        "networks",
        ">σ_LRS",
        ">offset, LSB",
        ">natural: drop, points",
        ">reordered: drop, points",
        ">reduction, points",
        ">95 % interval",
    ]);
    for found in groups {
        let Some((at, pooled)) = &found.points else { continue };
        let Setting { sigma_lrs_rel, offset_lsb } = lab.settings[*at];
        let (natural, reordered) = (&pooled.mappings[0], &pooled.mappings[1]);
        let reduction = reordered.found.reduction.map(|reduction| reduction.points);
        let [value, range] = reduction.map_or(["-".to_owned(), "-".to_owned()], cells);
        points.row([
            found.name.to_owned(),
            format!("{:.0} %", 100.0 * sigma_lrs_rel),
            format!("{offset_lsb:.2}"),
            cells(natural.found.drop_points)[0].clone(),
            cells(reordered.found.drop_points)[0].clone(),
            value,
            range,
        ]);
    }
    let tables = [table, points].into_iter().filter(|table| !table.rows().is_empty()).collect();
    Section {
        part: Part::Noise,
        title: "What row order takes away".to_owned(),
        text: text(lab, groups, untouched),
        tables,
        ..Section::default()
    }
}

fn text(lab: &Lab<'_>, groups: [&Found; 2], untouched: Option<&PooledNetworks>) -> String {
    let mut lines = vec![
        "Renamed rows in the order found on training images, against their natural order; reductions of the accuracy drop with 95 % intervals over networks, chips and test images together.".to_owned(),
    ];
    for found in groups {
        let Found { name, networks, .. } = found;
        let Some(Relative { at, scans, random }) = &found.relative else {
            lines.push(format!("No setting of the grid costs {name} enough to be tested at."));
            continue;
        };
        lines.push(format!(
            "Of {name} (n = {networks}, {} each, at {}) {:.0} % of {}, on {}, lose less than the order found.",
            counted(scans[0].chips, "chip"),
            lab.settings[*at],
            random_percentile(random),
            counted(random.mappings.len() - 2, "random order"),
            counted(random.chips, "chip"),
        ));
        if found.points.is_none() {
            lines.push(format!(
                "No setting of the grid costs {name} {} points, so the reading in points is not tested on them.",
                lab.claims.protocol.points_operating_drop_points
            ));
        }
    }
    if let (Some(untouched), Some(ordered)) = (untouched, groups[0].rename_order()) {
        lines.push(format!(
            "As they were trained, neither merged nor renamed, in natural order, networks like the paper's lose {:.3} points there; merged, renamed, ordered and with polarity {:.3}.",
            untouched.mappings[0].found.drop_points.value,
            ordered.found.drop_points.value
        ));
    }
    lines.join("\n")
}

/// A reduction with its interval, such as `12.3 (4.5 to 20.1)`.
fn reduction_cell(mapping: &PooledMapping) -> String {
    let share = mapping.found.reduction.map(|reduction| reduction.rel);
    in_percent(share.filter(|rel| rel.is_finite()))
}

#[cfg(test)]
mod tests {
    use hafnia_stats::{Pooled, PooledReduction};

    use super::*;
    use crate::simulate::PerImage;

    fn pooled(drops: &[f64]) -> PooledNetworks {
        let mapping = |&drop: &f64| PooledMapping {
            mapping: String::new(),
            accuracy_mean: 0.97 - drop / 100.0,
            found: Pooled { drop_points: Interval::exact(drop), reduction: None },
            per_image: PerImage { groups: 4.0, conversions: 40.0, rows_on: 4.0 },
        };
        let mappings = drops.iter().map(mapping).collect();
        PooledNetworks { networks: 1, chips: 5, images: 100, mappings }
    }

    #[test]
    fn random_orders_are_ranked_against_the_order_found() {
        let check =
            |drops: &[f64], expected| assert_eq!(random_percentile(&pooled(drops)), expected);
        // Natural order, order found, random orders.
        check(&[0.3, 0.2, 0.3, 0.4, 0.25, 0.5], 0.0);
        check(&[0.3, 0.2, 0.1, 0.4, 0.25, 0.2], 37.5);
    }

    #[test]
    fn a_reduction_of_nothing_is_undefined() {
        let mut mapping = pooled(&[0.0]).mappings.remove(0);
        assert_eq!(reduction_cell(&mapping), "undefined");
        let rel = Interval { value: 0.181, lo: 0.045, hi: 0.388 };
        mapping.found.reduction = Some(PooledReduction { rel, points: Interval::exact(0.03) });
        assert_eq!(reduction_cell(&mapping), "18.1 (4.5 to 38.8)");
    }
}
