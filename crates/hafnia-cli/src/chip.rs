//! `hafnia chip`: virtual chips as things, programmed once, saved, inspected, exported and run.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use hafnia_artifact::{Places, load, save, write_whole};
use hafnia_ir::read_mapping;
use hafnia_rng::Seed;
use hafnia_sim::SavedChip;
use hafnia_study::{ChipDescription, Record, StateDescription, manifest_of, resolved, written};

use crate::options::MacroOptions;
use crate::output::{Output, typed};

/// Program virtual chips and keep them: show, export and run them again.
///
/// Chip k of a seed is the same silicon under every mapping: program it with two mappings, and run
/// both in one `hafnia sim` for a paired comparison.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia chip program best.map --set stuck_hrs_rate=0.01 --out out/3.chip
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
    spec: MacroOptions,
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

impl ChipCommand {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        match &self.command {
            Command::Program(program) => program.run(output),
            Command::Show(show) => {
                let chip: SavedChip = load(&show.chip)?;
                let mapping = show.mapping.as_deref().map(read_mapping).transpose()?;
                output.print(&ChipDescription::of(&chip, mapping.as_ref())?, text)
            }
            Command::Export(export) => export.run(output),
        }
    }
}

impl Program {
    fn run(&self, output: Output) -> anyhow::Result<()> {
        let spec = self.spec.source().load()?;
        Places::new()
            .reads([&self.mapping])
            .reads(self.spec.source().files())
            .writes([self.out.clone(), manifest_of(&self.out)])
            .check()?;
        let config = serde_json::json!({
            "number": self.number,
            "macro": resolved(&spec),
        });
        let mut record = Record::begin(typed(), &config, Some(self.seed))?;
        record.input(&self.mapping)?;
        record.inputs(self.spec.source().files())?;
        let mapping = read_mapping(&self.mapping)?;
        let chip = SavedChip::program(&mapping, &spec, Seed(self.seed), self.number)
            .with_context(|| self.mapping.display().to_string())?;
        let described = written(ChipDescription::of(&chip, Some(&mapping))?, |_| {
            save(&self.out, &chip)?;
            record.end(&[&self.out])
        });
        output.answer(described, text)
    }
}

impl Export {
    fn run(&self, output: Output) -> anyhow::Result<()> {
        let paths = ["stuck.csv", "offsets.csv"].map(|name| self.out.join(name));
        Places::new().reads([&self.chip]).writes(&paths).check()?;
        let chip: SavedChip = load(&self.chip)?;
        write_whole(&paths[0], chip.stuck_csv().as_bytes())?;
        write_whole(&paths[1], chip.offsets_csv()?.as_bytes())?;
        let written = paths.map(|path| path.display().to_string());
        output.print(&written, |written| written.join("\n"))
    }
}

fn text(chip: &ChipDescription) -> String {
    let mut text = format!(
        "chip {} of seed {}, {} macros of `{}`\n\
         programmed with mapping {}\n\
         stuck at LRS {}, at HRS {} cells; {} bytes\n",
        chip.number,
        chip.seed,
        chip.macros,
        chip.macro_name,
        chip.mapping,
        chip.stuck_lrs,
        chip.stuck_hrs,
        chip.bytes
    );
    let states = chip.states.as_deref().unwrap_or_default();
    let names: &[&str] = match states.len() {
        2 => &["HRS", "LRS"],
        _ => &["HRS", "level 1", "level 2", "LRS"],
    };
    for (name, state) in names.iter().zip(states) {
        let StateDescription { cells, mean_lsb, sd_lsb } = state;
        text += &format!("{cells} cells in {name}: mean {mean_lsb:.4} LSB, sd {sd_lsb:.4} LSB\n");
    }
    text
}
