//! `hafnia chip`: virtual chips as things, programmed once, saved, inspected, exported and run.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use hafnia_artifact::{load, save, write_whole};
use hafnia_cim::MacroSpec;
use hafnia_ir::{Mapping, read_mapping};
use hafnia_rng::Seed;
use hafnia_sim::{Evaluation, Prepared, SavedChip, evaluate_saved};
use serde::Serialize;

use crate::macros::SpecOptions;
use crate::output::{Output, Record, check_writable};
use crate::sim::Kind;

/// Program virtual chips and keep them: show, export and run them again.
///
/// Chip k of a seed is the same silicon under every mapping: program it with two mappings, and run
/// both in one `hafnia sim` for a paired comparison.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia chip program best.map --number 3 --set stuck_hrs_rate=0.01 --out out/3.chip
  hafnia chip show out/3.chip
  hafnia chip export out/3.chip --out out/chip3
  hafnia sim net.hafnia best.map --chip out/3.chip")]
pub(crate) struct ChipCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Program(Program),
    Show(Show),
    Export(Export),
}

/// Program one chip with a placed mapping and save it.
#[derive(Args)]
struct Program {
    /// The mapping; placed.
    mapping: PathBuf,
    /// Number of the chip among those of the seed.
    #[arg(long, default_value_t = 0)]
    number: u64,
    /// Seed of chips and noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to save it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    spec: SpecOptions,
}

/// Show what a saved chip is.
#[derive(Args)]
struct Show {
    /// The chip.
    chip: PathBuf,
    /// The mapping it was programmed with, to tell its cells by state.
    #[arg(long)]
    mapping: Option<PathBuf>,
}

/// Write the stuck cells (stuck.csv, which the key faults.map reads) and the thresholds
/// (offsets.csv) of a saved chip.
#[derive(Args)]
struct Export {
    /// The chip.
    chip: PathBuf,
    /// Folder for both files.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// A saved chip in short.
#[derive(Serialize)]
struct Described {
    number: u64,
    seed: u64,
    #[serde(rename = "macro")]
    macro_name: String,
    mapping: String,
    macros: u32,
    stuck_lrs: usize,
    stuck_hrs: usize,
    bytes: usize,
    /// Of cells programmed to HRS and to LRS; none without the mapping.
    states: Option<Vec<State>>,
}

#[derive(Serialize)]
struct State {
    cells: usize,
    mean_lsb: f64,
    sd_lsb: f64,
}

impl Described {
    fn of(chip: &SavedChip, mapping: Option<&Mapping>) -> anyhow::Result<Self> {
        let stuck = |at_lrs| chip.stuck.iter().filter(|(_, lrs)| *lrs == at_lrs).count();
        let states = match mapping {
            None => None,
            Some(mapping) => {
                let states = chip.states(mapping, &chip.spec()?)?.into_iter();
                let state = |(mean_lsb, sd_lsb, cells)| State { cells, mean_lsb, sd_lsb };
                Some(states.map(state).collect())
            }
        };
        Ok(Self {
            number: chip.number(),
            seed: chip.seed.0,
            macro_name: chip.macro_name.clone(),
            mapping: chip.mapping.to_string(),
            macros: chip.macros,
            stuck_lrs: stuck(true),
            stuck_hrs: stuck(false),
            bytes: chip.size(),
            states,
        })
    }

    fn text(&self) -> String {
        let mut text = format!(
            "chip {} of seed {}, {} macros of `{}`\n\
             programmed with mapping {}\n\
             stuck at LRS {}, at HRS {} cells; {} bytes\n",
            self.number,
            self.seed,
            self.macros,
            self.macro_name,
            self.mapping,
            self.stuck_lrs,
            self.stuck_hrs,
            self.bytes
        );
        let states = self.states.as_deref().unwrap_or_default();
        let names: &[&str] = match states.len() {
            2 => &["HRS", "LRS"],
            _ => &["HRS", "level 1", "level 2", "LRS"],
        };
        for (name, state) in names.iter().zip(states) {
            let State { cells, mean_lsb, sd_lsb } = state;
            text +=
                &format!("{cells} cells in {name}: mean {mean_lsb:.4} LSB, sd {sd_lsb:.4} LSB\n");
        }
        text
    }
}

impl ChipCommand {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        match &self.command {
            Command::Program(program) => program.run(output),
            Command::Show(show) => {
                let chip: SavedChip = load(&show.chip)?;
                let mapping = show.mapping.as_deref().map(read_mapping).transpose()?;
                output.print(&Described::of(&chip, mapping.as_ref())?, Described::text)
            }
            Command::Export(export) => export.run(output),
        }
    }
}

impl Program {
    fn run(&self, output: Output) -> anyhow::Result<()> {
        let spec = self.spec.load()?;
        check_writable(&self.out)?;
        let config = serde_json::json!({
            "number": self.number,
            "macro": self.spec.resolved(&spec),
        });
        let mut record = Record::begin(&config, Some(self.seed))?;
        record.input(&self.mapping)?;
        let mapping = read_mapping(&self.mapping)?;
        let chip = SavedChip::program(&mapping, &spec, Seed(self.seed), self.number)
            .with_context(|| self.mapping.display().to_string())?;
        save(&self.out, &chip)?;
        record.end(&[&self.out])?;
        output.print(&Described::of(&chip, Some(&mapping))?, Described::text)
    }
}

impl Export {
    fn run(&self, output: Output) -> anyhow::Result<()> {
        let chip: SavedChip = load(&self.chip)?;
        let files = [("stuck.csv", chip.stuck_csv()), ("offsets.csv", chip.offsets_csv()?)];
        let mut written = Vec::new();
        for (name, text) in files {
            let path = self.out.join(name);
            check_writable(&path)?;
            write_whole(&path, text.as_bytes())?;
            written.push(path.display().to_string());
        }
        output.print(&written, |written| written.join("\n"))
    }
}

/// Saved chips of one run, at least one, by the mappings they were programmed with.
pub(crate) struct SavedChips {
    chips: Vec<SavedChip>,
}

impl SavedChips {
    /// Loads them; none if there are no files.
    pub(crate) fn load(paths: &[PathBuf]) -> anyhow::Result<Option<Self>> {
        let load_one = |path: &PathBuf| Ok(load::<SavedChip>(Path::new(path))?);
        let chips: Vec<_> = paths.iter().map(load_one).collect::<anyhow::Result<_>>()?;
        Ok((!chips.is_empty()).then_some(Self { chips }))
    }

    /// The macro that all of them were programmed for; `options` must not ask for another.
    pub(crate) fn spec(&self, options: &SpecOptions, engine: Kind) -> anyhow::Result<MacroSpec> {
        ensure!(engine == Kind::Device, "--chip is for --engine device");
        ensure!(options.overrides.is_empty(), "--set does not change a chip that is programmed");
        let first = &self.chips[0];
        for chip in &self.chips {
            let same = (&chip.macro_values, chip.seed) == (&first.macro_values, first.seed);
            ensure!(same, "saved chips are of different macros or seeds");
        }
        Ok(first.spec()?)
    }

    /// The seed of all of them.
    pub(crate) fn seed(&self) -> Seed {
        self.chips[0].seed
    }

    /// Runs those that were programmed with `mapping`.
    pub(crate) fn evaluate(
        &self,
        prepared: &Prepared<'_>,
        mapping: &Mapping,
        spec: &MacroSpec,
        progress: hafnia_sim::Progress<'_>,
    ) -> anyhow::Result<Evaluation> {
        let of_mapping: Vec<SavedChip> =
            self.chips.iter().filter(|chip| chip.chip(mapping, spec).is_ok()).cloned().collect();
        let Some(first) = of_mapping.first() else {
            // Says with which mapping the first was programmed.
            self.chips[0].chip(mapping, spec)?;
            bail!("no saved chip was programmed with this mapping");
        };
        let numbers = |chips: &[SavedChip]| {
            let mut numbers: Vec<u64> = chips.iter().map(SavedChip::number).collect();
            numbers.sort_unstable();
            numbers
        };
        let mut all = numbers(&self.chips);
        all.dedup();
        ensure!(
            numbers(&of_mapping) == all,
            "every mapping needs each of the saved chips {all:?} once, this one has {:?}",
            numbers(&of_mapping)
        );
        let mut in_order = of_mapping.clone();
        in_order.sort_by_key(SavedChip::number);
        Ok(evaluate_saved(prepared, mapping, spec, &in_order, first.seed, progress)?)
    }
}
