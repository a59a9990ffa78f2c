//! `hafnia frontier`: what rows, cycles and noise can be had together, as a table and a plot.

use std::path::PathBuf;

use clap::Args;
use hafnia_artifact::{load, write_whole};
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, Profile};
use hafnia_passes::{Candidate, Context, SearchMappings};
use hafnia_report::{Frontier as Found, FrontierCandidate};
use hafnia_rng::Seed;
use hafnia_sim::{EngineKind, NoiseScope, Prepared, evaluate};
use hafnia_stats::{Bootstrap, Interval, drop_points};

use crate::data::{self, DataOptions, Part};
use crate::macros::SpecOptions;
use crate::models::NetworkOptions;
use crate::output::{Output, Record, check_writable};
use crate::progress;

/// Search over rename, polarity, order and input control, and show what rows, cycles and noise can
/// be had together.
///
/// The search is that of the pass `best`; what no candidate beats is then run on virtual chips, with
/// noise in the final layer. Writes OUT/frontier.csv, OUT/frontier.svg and every mapping of the
/// frontier as OUT/<letter>.map, which is for a macro with the input control that stands beside it.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia profile --model frontier --out out/frontier.profile
  hafnia frontier --model frontier --profile out/frontier.profile --set sigma_lrs_rel=0.2 --set offset_lsb=0.2 --out out/frontier
  hafnia frontier net.hafnia --profile net.profile --chips 100 --out out/frontier --format json")]
pub(crate) struct Frontier {
    #[command(flatten)]
    network: NetworkOptions,
    /// Profile of training images (hafnia profile).
    #[arg(long, value_name = "FILE")]
    profile: PathBuf,
    /// Folder to write to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Swaps that annealing tries, per tile and candidate.
    #[arg(long, default_value_t = SearchMappings::default().steps)]
    steps: u64,
    /// Virtual chips for every mapping of the frontier.
    #[arg(long, default_value_t = 20)]
    chips: u32,
    /// Which images meet the chips.
    #[arg(long, value_enum, default_value_t = Part::Test)]
    part: Part,
    /// Seed of everything drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    spec: SpecOptions,
    #[command(flatten)]
    data: DataOptions,
}

impl Frontier {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        let spec = self.spec.load()?;
        let search = SearchMappings { steps: self.steps, ..SearchMappings::default() };
        std::fs::create_dir_all(&self.out)?;
        let [csv, svg] = ["frontier.csv", "frontier.svg"].map(|name| self.out.join(name));
        check_writable(&csv)?;
        let config = serde_json::json!({
            "search": search,
            "chips": self.chips,
            "part": self.part,
            "macro": self.spec.resolved(&spec),
        });
        let mut record = Record::begin(&config, Some(self.seed))?;
        let chosen = self.network.load()?;
        record.network(&chosen);
        let network = &chosen.network;
        record.input(&self.profile)?;
        let profile: Profile = load(&self.profile)?;
        let mnist = self.data.load()?;
        record.data(&mnist);
        let images = data::images(network, &self.part.of(&mnist));

        let bar = progress::bar("search");
        let context = Context {
            network,
            spec: &spec,
            profile: Some(&profile),
            code_table: &CodeTable::from_spec(&spec),
            seed: Seed(self.seed),
            progress: &progress::moves(&bar),
        };
        let candidates = search.candidates(&Mapping::logical(network, &spec)?, &context)?;
        bar.finish_and_clear();

        let prepared = Prepared::new(network, &images, &NoiseScope::Final)?;
        let labels = labels(&candidates);
        let mut all = Vec::new();
        let mut written = vec![csv.clone(), svg.clone()];
        for (candidate, label) in candidates.iter().zip(labels) {
            let mut drop = None;
            if let Some(label) = &label {
                let spec = MacroSpec { input_control: candidate.input_control, ..spec.clone() };
                let bar = progress::bar(&format!("chips of {label}"));
                let (mapping, kind) = (&candidate.mapping, EngineKind::Device);
                let (seed, moves) = (Seed(self.seed), progress::moves(&bar));
                let evaluation =
                    evaluate(&prepared, mapping, &spec, kind, 0..self.chips, seed, &moves)?;
                bar.finish_and_clear();
                let seed = Seed(self.seed).site("frontier/bootstrap");
                let bootstrap = Bootstrap { replicates: 2000, seed };
                drop = Some(drop_points(evaluation.outcomes(), bootstrap));
                let path = self.out.join(format!("{label}.map"));
                hafnia_ir::write_mapping(&path, mapping)?;
                written.push(path);
            }
            all.push(found(candidate, label, drop));
        }
        let found = Found {
            part: self.part.name().to_owned(),
            images: images.labels.len(),
            chips: self.chips,
            candidates: all,
        };
        write_whole(&csv, found.table_of_all().to_csv().as_bytes())?;
        write_whole(&svg, found.plot()?.as_bytes())?;
        record.end(&written.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
        output.print(&found, |found| {
            format!(
                "{} candidates; those that none beats, with noise in the final layer of {} chips, {} {} images:\n{}",
                found.candidates.len(),
                found.chips,
                found.images,
                found.part,
                found.table()
            )
        })
    }
}

/// a, b, … for the candidates on the frontier, by cells and then cycles.
fn labels(candidates: &[Candidate]) -> Vec<Option<String>> {
    let mut order: Vec<usize> =
        (0..candidates.len()).filter(|&index| candidates[index].is_frontier).collect();
    let cells = |index: usize| candidates[index].size.cells;
    let cycles = |index: usize| candidates[index].cycles;
    order.sort_by(|&a, &b| cells(a).cmp(&cells(b)).then(cycles(a).total_cmp(&cycles(b))));
    let mut labels = vec![None; candidates.len()];
    for (number, index) in order.into_iter().enumerate() {
        let letter = char::from(b'a' + (number % 26) as u8);
        let round = number / 26;
        labels[index] = Some(if round == 0 { letter.into() } else { format!("{letter}{round}") });
    }
    labels
}

fn found(
    candidate: &Candidate,
    label: Option<String>,
    drop_points: Option<Interval>,
) -> FrontierCandidate {
    FrontierCandidate {
        label,
        input_control: candidate.input_control.to_string(),
        passes: candidate.what.clone(),
        pipeline: candidate.pipeline.clone(),
        rows: candidate.size.physical_rows,
        cells: candidate.size.cells,
        table_bits: candidate.size.table_bits,
        macros: candidate.macros,
        cycles: candidate.cycles,
        noise: candidate.noise,
        drop_points,
    }
}
