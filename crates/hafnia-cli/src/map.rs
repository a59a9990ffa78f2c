//! `hafnia map`: runs a pipeline of passes, proving the mapping after every one.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use hafnia_artifact::{load, write_whole};
use hafnia_cim::CodeTable;
use hafnia_ir::{Mapping, Profile};
use hafnia_passes::{AfterPass, Context, Pipeline, Registry, Size, Statistics};
use hafnia_report::{Align, Table};
use hafnia_rng::Seed;
use serde::Serialize;

use crate::macros::SpecOptions;
use crate::models::NetworkOptions;
use crate::output::{Output, Record, check_writable};
use crate::progress;

/// Map a network to macros by a pipeline of passes.
///
/// After every pass the mapping is verified, every matrix is rebuilt from what is programmed and
/// compared bit for bit, and the mapped network is run against the reference on 64 random and
/// extreme inputs.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia map net.hafnia --pipeline natural --out natural.map
  hafnia map --model frontier --pipeline compact --out frontier.map
  hafnia map net.hafnia --pipeline paper --profile net.profile --set sigma_lrs_rel=0.2 --out best.map
  hafnia map net.hafnia --pipeline mine.toml --until rename --dump-ir=rename --out half.map

`hafnia passes` lists the passes and the built-in pipelines.")]
pub(crate) struct Map {
    #[command(flatten)]
    network: NetworkOptions,
    /// Built-in pipeline, or a TOML file.
    #[arg(long, value_name = "NAME|FILE")]
    pipeline: String,
    /// Mapping to write, in text form.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Profile of training images (hafnia profile).
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Measured code table (CSV: n,m,code,probability) in place of the macro's model.
    #[arg(long, value_name = "FILE")]
    code_table: Option<PathBuf>,
    /// Seed of everything drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop after this pass.
    #[arg(long, value_name = "PASS")]
    until: Option<String>,
    /// Print the mapping to stderr after every pass, or after this one.
    #[arg(long, value_name = "PASS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    dump_ir: Option<String>,
    #[command(flatten)]
    spec: SpecOptions,
}

#[derive(Serialize)]
struct Mapped {
    pipeline: String,
    stage: String,
    passes: Vec<PassRun>,
    total: Totals,
    matrices: Vec<MatrixSize>,
}

#[derive(Serialize)]
pub(crate) struct PassRun {
    pass: &'static str,
    seconds: f64,
    statistics: Statistics,
}

/// What a mapping takes in all.
#[derive(Serialize)]
pub(crate) struct Totals {
    tiles: usize,
    logical_rows: usize,
    physical_rows: usize,
    cells: usize,
    table_bits: usize,
    macros: usize,
}

/// What a matrix takes.
#[derive(Serialize)]
pub(crate) struct MatrixSize {
    name: String,
    tiles: usize,
    logical_rows: usize,
    physical_rows: usize,
    columns: usize,
    cells: usize,
}

/// The sizes of a mapping, by matrix and in all.
///
/// Rows are counted once a tile, so that a matrix cut by columns counts its rows in every part.
pub(crate) fn sizes(mapping: &Mapping) -> (Vec<MatrixSize>, Totals) {
    let size = Size::of(mapping);
    let mut matrices = Vec::new();
    for (index, matrix) in mapping.matrices.iter().enumerate() {
        let tiles: Vec<_> = mapping.tiles.iter().filter(|t| t.matrix.index() == index).collect();
        matrices.push(MatrixSize {
            name: matrix.name.clone(),
            tiles: tiles.len(),
            logical_rows: tiles.iter().map(|tile| tile.rows.len()).sum(),
            physical_rows: tiles.iter().map(|tile| tile.physical_rows()).sum(),
            columns: matrix.columns,
            cells: tiles.iter().map(|tile| tile.cells()).sum(),
        });
    }
    let total = Totals {
        tiles: size.tiles,
        logical_rows: matrices.iter().map(|matrix| matrix.logical_rows).sum(),
        physical_rows: size.physical_rows,
        cells: size.cells,
        table_bits: size.table_bits,
        macros: mapping.macros(),
    };
    (matrices, total)
}

/// The sizes as a table for people.
pub(crate) fn size_table((matrices, total): &(&[MatrixSize], &Totals)) -> Table {
    let mut table = Table::new([
        ("matrix", Align::Left),
        ("tiles", Align::Right),
        ("logical rows", Align::Right),
        ("physical rows", Align::Right),
        ("columns", Align::Right),
        ("cells", Align::Right),
    ]);
    for matrix in *matrices {
        table.row([
            matrix.name.clone(),
            matrix.tiles.to_string(),
            matrix.logical_rows.to_string(),
            matrix.physical_rows.to_string(),
            matrix.columns.to_string(),
            matrix.cells.to_string(),
        ]);
    }
    table.row([
        "all".to_owned(),
        total.tiles.to_string(),
        total.logical_rows.to_string(),
        total.physical_rows.to_string(),
        String::new(),
        total.cells.to_string(),
    ]);
    table
}

impl Map {
    pub(crate) fn run(&self, registry: &Registry, output: Output) -> anyhow::Result<()> {
        let spec = self.spec.load()?;
        let mut pipeline = Pipeline::load(&self.pipeline, registry)?;
        if let Some(pass) = &self.until {
            pipeline = pipeline.until(pass)?;
        }
        if let Some(pass) = self.dump_ir.as_deref().filter(|pass| !pass.is_empty()) {
            anyhow::ensure!(
                pipeline.names().contains(&pass),
                "--dump-ir names pass `{pass}`, the pipeline has {}",
                pipeline.names().join(", ")
            );
        }
        check_writable(&self.out)?;
        let config =
            serde_json::json!({ "pipeline": pipeline, "macro": self.spec.resolved(&spec) });
        let mut record = Record::begin(&config, Some(self.seed))?;
        let chosen = self.network.load()?;
        record.network(&chosen);
        let network = chosen.network;
        let profile: Option<Profile> = match &self.profile {
            None => None,
            Some(path) => {
                record.input(path)?;
                let profile: Profile = load(path)?;
                profile.check(&network).with_context(|| path.display().to_string())?;
                Some(profile)
            }
        };
        let code_table = match &self.code_table {
            None => CodeTable::from_spec(&spec),
            Some(path) => {
                record.input(path)?;
                CodeTable::load_csv(path)?
            }
        };
        let context = Context {
            network: &network,
            spec: &spec,
            profile: profile.as_ref(),
            code_table: &code_table,
            seed: Seed(self.seed),
            progress: &|_, _| {},
        };
        let (mapping, passes) = run_pipeline(&pipeline, context, self.dump_ir.as_deref())?;
        write_whole(&self.out, mapping.to_string().as_bytes())?;
        record.end(&[&self.out])?;
        let (matrices, total) = sizes(&mapping);
        let mapped = Mapped {
            pipeline: pipeline.name().to_owned(),
            stage: mapping.stage.to_string(),
            passes,
            total,
            matrices,
        };
        output.print(&mapped, |mapped| {
            let mut text = String::new();
            for run in &mapped.passes {
                text += &format!("{} ({:.3} s)\n", run.pass, run.seconds);
                for line in &run.statistics.lines {
                    text += &format!("  {line}\n");
                }
            }
            let total = &mapped.total;
            text += &format!("{}\n", size_table(&(&mapped.matrices, total)));
            let (macros, bits) = (total.macros, total.table_bits);
            text + &format!(
                "{} macros, {} bits of rename tables, stage {}",
                macros, bits, mapped.stage
            )
        })
    }
}

/// Maps by a pipeline, with a bar for its progress; times and checks every pass.
///
/// The mapping is printed to stderr after the pass that `dump_ir` names, or after every one if it
/// is empty.
pub(crate) fn run_pipeline(
    pipeline: &Pipeline,
    context: Context<'_>,
    dump_ir: Option<&str>,
) -> anyhow::Result<(Mapping, Vec<PassRun>)> {
    let bar = progress::bar("mapping");
    let progress = progress::moves(&bar);
    let context = Context { progress: &progress, ..context };
    let Context { network, spec, seed, .. } = context;
    let mut passes = Vec::new();
    let mut start = Instant::now();
    let mut after = |after: &AfterPass<'_>| {
        let seconds = start.elapsed().as_secs_f64();
        bar.set_message(after.name);
        passes.push(PassRun { pass: after.name, seconds, statistics: after.statistics.clone() });
        if dump_ir.is_some_and(|pass| pass.is_empty() || pass == after.name) {
            progress::line(&bar, &format!("# after {}\n{}", after.name, after.mapping));
        }
        hafnia_sim::agree(network, after.mapping, spec, seed.site("map/agree"))?;
        start = Instant::now();
        Ok(())
    };
    let outcome = pipeline.run(Mapping::logical(network, spec)?, &context, &mut after)?;
    bar.finish_and_clear();
    Ok((outcome.mapping, passes))
}
