//! What the mapping compiler does for the recorded networks of recipe `frontier`, whose rows are
//! free, and for the deployed network.
//!
//! Per free network the final layer is mapped in natural order, reordered, and reordered with
//! columns inverted where that helps; no row is renamed. The operating point is the smallest setting
//! of the grid at which the natural order loses enough on validation images, in the mean over the
//! networks; there, and with `--full` at every setting, the mappings meet chips on test images. The
//! deployed network is mapped by every pass alone and by `best`.

use std::path::PathBuf;

use hafnia_cim::MacroSpec;
use hafnia_passes::{AnnealGap, anneal_gaps};
use hafnia_report::{Interval, Metrics, Part, Section, Setting, Table};
use hafnia_rng::Seed;
use hafnia_sim::EngineKind;
use hafnia_stats::ratio_of_means;

use crate::data;
use crate::describe::MappingDescription;
use crate::reproduce::deployed::Deployed;
use crate::reproduce::lab::{
    Effort, Lab, Prepared, SEARCH, STEPS, Wanted, add, cells, describe, in_percent, mean, noise,
    slug,
};
use crate::reproduce::zoo;
use crate::simulate::{PooledMapping, PooledNetworks, SimulateRequest};

/// The recipe whose networks are mapped.
const RECIPE: &str = "frontier";

/// What is compared with the natural order.
const MAPPINGS: [&str; 2] = ["reordered", "reordered, with polarity"];

/// What was found.
pub(super) struct Compiled {
    /// Seeds of the networks.
    seeds: Vec<u64>,
    settings: Vec<Setting>,
    /// Per setting, the mean drop of the natural order on validation images.
    validation: Vec<f64>,
    /// Index of the operating point among the settings; none if no setting qualifies.
    operating: Option<usize>,
    /// Per setting that was looked at, what every network loses in the final layer.
    in_final: Vec<(usize, Vec<Lost>)>,
    /// At the operating point with noise in all layers, all of which are reordered with polarity.
    in_all: Option<Vec<Lost>>,
    /// At the operating point, by assumption: what every network loses in the final layer.
    assumed: Vec<(&'static str, Vec<Lost>)>,
    /// The deployed network: in natural order first, then by every pass alone, then by `best`.
    deployed: Vec<Mapped>,
    /// How much more damage annealed orders of small tiles do than the best, relative, in the mean.
    anneal_gap: f64,
}

/// What noise costs one network: in natural order, and by each of the mappings beside it.
struct Lost {
    natural_points: f64,
    others_points: Vec<f64>,
    /// Conversion cycles, as multiples of the natural order's.
    cycles: Vec<f64>,
}

/// The deployed network by one pipeline.
struct Mapped {
    what: &'static str,
    file: PathBuf,
    mapping: MappingDescription,
    /// Conversion cycles of all layers, an image.
    cycles: f64,
    /// What noise in the final layer costs.
    drop: Interval,
}

/// Every pass alone, with what it needs to get to a place on macros, and `best`.
const PIPELINES: [(&str, &[(&str, &str)]); 12] = [
    ("natural", &[("tile", ""), ("pack", "")]),
    ("`rename`", &[("rename", ""), ("tile", ""), ("pack", "")]),
    ("`rename`, pre-add", &[("rename", "mode = \"pre-add\""), ("tile", ""), ("pack", "")]),
    ("`rename-complement`", &[("rename-complement", ""), ("tile", ""), ("pack", "")]),
    ("`rename-segments`", &[("rename-segments", ""), ("pack", "")]),
    ("`strip-dead`", &[("strip-dead", ""), ("tile", ""), ("pack", "")]),
    ("`polarity`", &[("tile", ""), ("polarity", ""), ("pack", "")]),
    ("`reorder`", &[("tile", ""), ("reorder", STEPS), ("pack", "")]),
    ("`tile` alike, `rename`", &[("tile", "rows = \"alike\""), ("rename", ""), ("pack", "")]),
    ("`pack` with cuts", &[("tile", ""), ("pack", "cut = true")]),
    ("`duplicate`", &[("tile", ""), ("pack", ""), ("duplicate", "")]),
    ("`best`", &[("best", SEARCH)]),
];

/// What the preset assumes, one thing at a time otherwise than it has it: keys of the macro.
const ASSUMPTIONS: [(&str, &[&str]); 15] = [
    ("as the preset has it", &[]),
    ("input control: windows of 16 rows", &["input_control=fixed-window{16}"]),
    ("input control: groups of 7 rows", &["input_control=fixed-group"]),
    ("3 rows a conversion, 2-bit ADC", &["rows_per_conversion=3", "adc.bits=2"]),
    ("15 rows a conversion, 4-bit ADC", &["rows_per_conversion=15", "adc.bits=4"]),
    ("on/off ratio 5", &["cell.on_off_ratio=5"]),
    ("on/off ratio 150", &["cell.on_off_ratio=150"]),
    ("σ_LRS 15 %", &["cell.sigma_lrs_rel=0.15"]),
    ("σ_LRS 35 %", &["cell.sigma_lrs_rel=0.35"]),
    ("σ_HRS 10 %", &["cell.sigma_hrs_rel=0.1"]),
    ("σ_HRS 60 %", &["cell.sigma_hrs_rel=0.6"]),
    ("offset 0.10 LSB", &["adc.offset_lsb=0.1"]),
    ("offset 0.40 LSB", &["adc.offset_lsb=0.4"]),
    ("read noise 5 %", &["cell.read_noise_rel=0.05"]),
    ("comparator noise 0.20 LSB", &["adc.comparator_noise_lsb=0.2"]),
];

impl Lost {
    /// Of a simulation whose first mapping is the natural order.
    fn of(simulated: &PooledNetworks) -> Self {
        let (natural, others) = (&simulated.mappings[0], &simulated.mappings[1..]);
        let cycles = |m: &PooledMapping| m.per_image.groups / natural.per_image.groups;
        Self {
            natural_points: natural.found.drop_points.value,
            others_points: others.iter().map(|mapping| mapping.found.drop_points.value).collect(),
            cycles: others.iter().map(cycles).collect(),
        }
    }
}

/// Maps, simulates and compares.
pub(super) fn run(lab: &Lab<'_>, deployed: &Deployed) -> anyhow::Result<Compiled> {
    let claims = &lab.claims;
    let (mut seeds, mut free) = (Vec::new(), Vec::new());
    for zoo::Recorded { name, seed, file } in zoo::of_recipe(lab, RECIPE, lab.effort.free_networks)?
    {
        seeds.push(seed);
        free.push(lab.prepare(name, file, "natural")?);
    }
    let mut validation = Vec::new();
    for setting in &lab.settings {
        let mut drops = Vec::new();
        for (seed, network) in seeds.iter().zip(&free) {
            let request = SimulateRequest {
                part: data::Part::Validation,
                chips: lab.effort.mapping_chips,
                ..lab.simulation(lab.validation_seed(), noise(setting))
            };
            let name = format!("free/validation-{seed}-{}", slug(setting));
            let natural = [network.natural.as_path()];
            let simulated = lab.simulate(&name, &network.file, &natural, request)?.together();
            drops.push(simulated.mappings[0].found.drop_points.value);
        }
        validation.push(mean(&drops).value);
        if claims.operating_point(&validation).is_some() {
            break;
        }
    }
    let operating = claims.operating_point(&validation);
    let lost = |index: usize, layers, keys: &[&str]| -> anyhow::Result<Vec<Lost>> {
        let setting = &lab.settings[index];
        free.iter().map(|network| lost(lab, network, setting, layers, keys)).collect()
    };
    let mut in_final = Vec::new();
    for index in 0..validation.len() {
        if lab.is_full || operating == Some(index) {
            in_final.push((index, lost(index, Where::Final, &[])?));
        }
    }
    let in_full = operating.filter(|_| lab.is_full);
    let in_all = in_full.map(|index| lost(index, Where::All, &[])).transpose()?;
    let mut assumed = Vec::new();
    if let Some(index) = in_full {
        for (what, keys) in ASSUMPTIONS {
            assumed.push((what, lost(index, Where::Final, keys)?));
        }
    }
    Ok(Compiled {
        seeds,
        settings: lab.settings.clone(),
        validation,
        operating,
        in_final,
        in_all,
        assumed,
        anneal_gap: anneal_gap(lab.seed)?,
        deployed: by_every_pass(lab, &lab.settings[operating.unwrap_or(0)], deployed)?,
    })
}

/// The mean gap of annealing over 20 random tiles of 16 rows, whose best orders branch and bound finds.
fn anneal_gap(seed: u64) -> anyhow::Result<f64> {
    const CASES: u64 = 20;
    let mut spec = MacroSpec::preset("gt-n40")?;
    (spec.cell.sigma_lrs_rel, spec.adc.offset_lsb) = (0.2, 0.2);
    let gaps = anneal_gaps(&spec, Seed(seed), CASES, 16, 1_000_000)?;
    Ok(gaps.iter().map(AnnealGap::relative).sum::<f64>() / CASES as f64)
}

/// Which layers are reordered and suffer noise.
#[derive(Clone, Copy, PartialEq)]
enum Where {
    Final,
    All,
}

/// What noise costs a network, by mappings made for the setting and for these keys of the macro.
fn lost(
    lab: &Lab<'_>,
    network: &Prepared,
    setting: &Setting,
    layers: Where,
    keys: &[&str],
) -> anyhow::Result<Lost> {
    let Effort { anneal_steps: steps, mapping_chips, all_layers_chips, .. } = lab.effort;
    let (scope, chips, matrices, steps) = match layers {
        Where::Final => ("final", mapping_chips, "matrices = []", format!("steps = {steps}")),
        // The other layers have ten times the columns and nine tiles: a swap takes longer.
        Where::All => {
            let steps = format!("steps = {}\nsamples = 500", steps / 10);
            ("all", all_layers_chips, "matrices = [\"*\"]", steps)
        }
    };
    let reorder = format!("{matrices}\n{steps}");
    let order = [("tile", ""), ("reorder", &reorder[..]), ("pack", "")];
    let both = [
        ("tile", ""),
        ("polarity", matrices),
        ("reorder", &reorder),
        ("polarity", matrices),
        ("pack", ""),
    ];
    let mut name = format!("{}-{scope}-{}", network.name, slug(setting));
    for key in keys {
        // As part of a file name.
        name += "-";
        name.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }));
    }
    let mut set = noise(setting);
    set.extend(keys.iter().map(|&key| key.to_owned()));
    let mut mappings = vec![network.natural.clone()];
    let all: [(&str, &[(&str, &str)]); 2] = [("order", &order), ("polarity", &both)];
    let wanted = if layers == Where::Final { &all[..] } else { &all[1..] };
    for (what, passes) in wanted {
        mappings.push(lab.map(&Wanted {
            name: format!("{name}-{what}"),
            network: &network.file,
            pipeline: &lab.pipeline(&format!("{what}-{scope}"), passes)?,
            profile: Some(&network.profile),
            set: &set,
        })?);
    }
    let request =
        SimulateRequest { noise_in: scope.to_owned(), chips, ..lab.simulation(lab.seed, set) };
    let mappings: Vec<_> = mappings.iter().map(PathBuf::as_path).collect();
    let found = lab.simulate(&format!("free/{name}"), &network.file, &mappings, request)?;
    Ok(Lost::of(&found.together()))
}

/// Maps the deployed network by all pipelines for a setting, and runs it.
fn by_every_pass(
    lab: &Lab<'_>,
    setting: &Setting,
    Deployed { network, profile, .. }: &Deployed,
) -> anyhow::Result<Vec<Mapped>> {
    let set = noise(setting);
    let mut mappings = Vec::new();
    for (number, (_, passes)) in PIPELINES.iter().enumerate() {
        let name = format!("pass-{number}");
        let pipeline = lab.pipeline(&name, passes)?;
        mappings.push(lab.map(&Wanted {
            name,
            network,
            pipeline: &pipeline,
            profile: Some(profile),
            set: &set,
        })?);
    }
    let paths: Vec<_> = mappings.iter().map(PathBuf::as_path).collect();
    let exact = SimulateRequest {
        engine: EngineKind::Exact,
        noise_in: "all".to_owned(),
        images: Some(500),
        ..lab.simulation(lab.seed, Vec::new())
    };
    let exact = lab.simulate("passes-exact", network, &paths, exact)?.together();
    let noisy =
        SimulateRequest { chips: lab.effort.mapping_chips, ..lab.simulation(lab.seed, set) };
    let noisy = lab.simulate("passes", network, &paths, noisy)?.together();
    let mut found = Vec::new();
    for (number, (what, _)) in PIPELINES.into_iter().enumerate() {
        found.push(Mapped {
            what,
            file: mappings[number].clone(),
            mapping: describe(&mappings[number])?,
            cycles: exact.mappings[number].per_image.groups,
            drop: noisy.mappings[number].found.drop_points,
        });
    }
    Ok(found)
}

/// The share of a loss that a mapping takes away, over networks: 1 − Σ other / Σ natural, with the
/// interval of [`hafnia_stats::ratio_of_means`]. None if nothing is lost; of one network, the value
/// alone.
fn reduction(lost: &[Lost], other: usize) -> Option<Interval> {
    let others: Vec<f64> = lost.iter().map(|lost| lost.others_points[other]).collect();
    let naturals: Vec<f64> = lost.iter().map(|lost| lost.natural_points).collect();
    let Interval { value, lo, hi } = ratio_of_means(&others, &naturals)?;
    match lost {
        [_] => Some(Interval::exact(1.0 - value)),
        _ => Some(Interval { value: 1.0 - value, lo: 1.0 - hi, hi: 1.0 - lo }),
    }
}

impl Compiled {
    fn at_operating_point(&self) -> Option<&[Lost]> {
        let index = self.operating?;
        self.in_final.iter().find(|(at, _)| *at == index).map(|(_, lost)| lost.as_slice())
    }

    /// The deployed network in natural order, and by `best`.
    fn ends(&self) -> [&Mapped; 2] {
        [&self.deployed[0], &self.deployed[self.deployed.len() - 1]]
    }

    /// The file of the deployed network's mapping by `best`.
    pub(super) fn best(&self) -> &PathBuf {
        &self.ends()[1].file
    }

    /// The deployed network by every pipeline.
    fn passes(&self) -> Table {
        let mut table = Table::of([
            "the deployed network by",
            ">rows",
            ">cells",
            ">table bits",
            ">macros",
            ">cycles/image",
            ">final layer: drop, points",
            ">95 % interval",
        ]);
        for Mapped { what, mapping, cycles, drop, .. } in &self.deployed {
            let [value, range] = cells(*drop);
            table.row([
                (*what).to_owned(),
                mapping.total.physical_rows.to_string(),
                mapping.total.cells.to_string(),
                mapping.total.table_bits.to_string(),
                mapping.total.macros.to_string(),
                format!("{cycles:.0}"),
                value,
                range,
            ]);
        }
        table
    }

    /// What order and polarity give if an assumption is another.
    fn sensitivity(&self) -> Option<Table> {
        let mut table = Table::of([
            "at the operating point, but",
            ">natural drop",
            ">reordered: reduction, %",
            ">reordered, with polarity: reduction, %",
        ]);
        for (what, lost) in &self.assumed {
            let natural = lost.iter().map(|lost| lost.natural_points).sum::<f64>();
            table.row([
                (*what).to_owned(),
                format!("{:.3}", natural / lost.len() as f64),
                in_percent(reduction(lost, 0)),
                in_percent(reduction(lost, 1)),
            ]);
        }
        (!self.assumed.is_empty()).then_some(table)
    }

    /// Adds what was found to the metrics of the run.
    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> anyhow::Result<()> {
        let final_layer = self.at_operating_point();
        for (key, found) in [
            ("final/reduction_order_rel", final_layer.and_then(|lost| reduction(lost, 0))),
            ("final/reduction_order_polarity_rel", final_layer.and_then(|lost| reduction(lost, 1))),
            ("all/reduction_rel", self.in_all.as_deref().and_then(|lost| reduction(lost, 0))),
        ] {
            if let Some(found) = found {
                add(metrics, &format!("mapping/{key}"), found)?;
            }
        }
        let [natural, best] = self.ends();
        for (key, value) in [
            ("mapping/anneal_gap_rel", self.anneal_gap),
            ("mapping/natural/cells", natural.mapping.total.cells as f64),
            ("mapping/best/cells", best.mapping.total.cells as f64),
            ("mapping/best/macros", best.mapping.total.macros as f64),
            ("mapping/best/cycles_ratio", best.cycles / natural.cycles),
        ] {
            metrics.insert(key, value)?;
        }
        Ok(())
    }

    /// The section of the report.
    pub(super) fn section(&self) -> Section {
        let mut table = Table::of([
            ">σ_LRS",
            ">offset, LSB",
            ">validation drop",
            ">natural drop",
            &format!(">{}: drop", MAPPINGS[0]),
            ">reduction, %",
            ">cycles",
            &format!(">{}: drop", MAPPINGS[1]),
            ">reduction, %",
            ">cycles",
        ]);
        for (index, lost) in &self.in_final {
            let Setting { sigma_lrs_rel, offset_lsb } = self.settings[*index];
            let mark = if self.operating == Some(*index) { " *" } else { "" };
            let average = |value: &dyn Fn(&Lost) -> f64| {
                lost.iter().map(value).sum::<f64>() / lost.len() as f64
            };
            let mut row = vec![
                format!("{:.0} %{mark}", 100.0 * sigma_lrs_rel),
                format!("{offset_lsb:.2}"),
                format!("{:.3}", self.validation[*index]),
                format!("{:.3}", average(&|lost| lost.natural_points)),
            ];
            for other in 0..MAPPINGS.len() {
                row.push(format!("{:.3}", average(&|lost| lost.others_points[other])));
                row.push(in_percent(reduction(lost, other)));
                row.push(format!("× {:.2}", average(&|lost| lost.cycles[other])));
            }
            table.row(row);
        }
        Section {
            part: Part::Mapping,
            title: "The mapping compiler".to_owned(),
            text: self.text(),
            tables: [table, self.passes()].into_iter().chain(self.sensitivity()).collect(),
            ..Section::default()
        }
    }

    fn text(&self) -> String {
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let mut lines = vec![format!(
            "Networks {RECIPE}/{}, whose rows are free and none renamed, with noise in the final layer; drops in points are means over the networks on test images, reductions are of the sums, with Student's t over the networks.",
            seeds.join(", ")
        )];
        lines.push(match self.operating {
            None => "No setting costs the natural order enough to be the operating point.".to_owned(),
            Some(_) => "The operating point, marked *, was chosen on validation images; orders and polarities come from training images.".to_owned(),
        });
        if let Some(lost) = &self.in_all {
            lines.push(format!(
                "With noise in all layers, all reordered with polarity, the reduction is {} %.",
                in_percent(reduction(lost, 0))
            ));
        }
        lines.push(format!(
            "On 20 random tiles of 16 rows annealing ends {:.3} % above the best order in the mean.",
            100.0 * self.anneal_gap
        ));
        let [natural, best] = self.ends();
        lines.push(format!(
            "The deployed network takes {} cells on {} macros as it is, {} cells on {} macros by pipeline `best`, with {:.2} times the conversion cycles.",
            natural.mapping.total.cells,
            natural.mapping.total.macros,
            best.mapping.total.cells,
            best.mapping.total.macros,
            best.cycles / natural.cycles
        ));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(natural_points: f64, other: f64) -> Lost {
        Lost { natural_points, others_points: vec![other], cycles: vec![1.0] }
    }

    #[test]
    fn a_reduction_is_of_the_sums() {
        assert!(reduction(&[lost(0.0, 0.1)], 0).is_none());
        let one = reduction(&[lost(0.4, 0.3)], 0).unwrap();
        assert!((one.value - 0.25).abs() < 1e-12 && one.lo == one.value && one.hi == one.value);
        // The same ratio everywhere: no spread, whatever the losses.
        let same = reduction(&[lost(0.4, 0.3), lost(0.8, 0.6), lost(0.2, 0.15)], 0).unwrap();
        assert!((same.lo - 0.25).abs() < 1e-12 && (same.hi - 0.25).abs() < 1e-12);
    }
}
