//! `hafnia map`: runs a pipeline of passes, proving the mapping after every one.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use hafnia_artifact::{load, write_whole};
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Geometry, Mapping, Profile, Program, Stage, prove, read_mapping};
use hafnia_model::Network;
use hafnia_passes::{
    AfterPass, Context, Explanation, Pipeline, PipelineError, Registry, Size, Statistics,
    StatisticsTable,
};
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
  hafnia map net.hafnia --pipeline rename --explain --out net.map
  hafnia map net.hafnia --pipeline rename --emit program=chips --out net.map
  hafnia map net.hafnia --from-program chips --out back.map

`hafnia passes` lists the passes and the built-in pipelines.")]
pub(crate) struct Map {
    #[command(flatten)]
    network: NetworkOptions,
    #[command(flatten)]
    source: Source,
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
    /// Say what every pass did to each tile.
    #[arg(long, conflicts_with = "from_program")]
    explain: bool,
    /// Write what chips are programmed from too, into this folder or, without one, beside the
    /// mapping.
    #[arg(long, value_name = "program[=DIR]")]
    emit: Option<String>,
    #[command(flatten)]
    spec: SpecOptions,
}

/// Where the mapping comes from.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// Built-in pipeline, or a TOML file.
    #[arg(long, value_name = "NAME|FILE")]
    pipeline: Option<String>,
    /// Take the mapping from a program (--emit program) in place of a pipeline, and prove it.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["until", "dump_ir", "profile"])]
    from_program: Option<PathBuf>,
}

#[derive(Serialize)]
struct Mapped {
    /// The pipeline, if it comes from one.
    pipeline: Option<String>,
    /// The folder of the program that was written, if one was.
    program: Option<PathBuf>,
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
    /// With --explain.
    explanation: Option<Explanation>,
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
    /// Logical rows without cells: their activation is always 0.
    dead_rows: Vec<u32>,
    /// Columns without cells: their weights are all the same.
    digital_columns: Vec<u32>,
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
            cells: tiles.iter().map(|t| t.physical_rows() * mapping.geometry.width(t)).sum(),
            dead_rows: matrix.dead.clone(),
            digital_columns: matrix.digital.iter().map(|column| column.logical).collect(),
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
        let pipeline = self.pipeline(registry)?;
        let program = self.program_folder(pipeline.as_ref())?;
        check_writable(&self.out)?;
        program.as_deref().map_or(Ok(()), check_writable)?;
        let config = serde_json::json!({
            "pipeline": pipeline,
            "from_program": self.source.from_program,
            "macro": self.spec.resolved(&spec),
        });
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
        let (mapping, passes) = match (&pipeline, &self.source.from_program) {
            (Some(pipeline), _) => {
                run_pipeline(pipeline, context, self.dump_ir.as_deref(), self.explain)?
            }
            (None, Some(folder)) => {
                record.input(&folder.join(Program::HEADER))?;
                (from_program(folder, context)?, Vec::new())
            }
            (None, None) => bail!("give either --pipeline or --from-program"),
        };
        let mut outputs = vec![self.out.clone()];
        if let Some(folder) = &program {
            Program::of(&mapping, &spec)?.write(folder)?;
            outputs.push(folder.join(Program::HEADER));
        }
        write_whole(&self.out, mapping.to_string().as_bytes())?;
        record.end(&outputs.iter().map(PathBuf::as_path).collect::<Vec<&Path>>())?;
        let (matrices, total) = sizes(&mapping);
        let mapped = Mapped {
            pipeline: pipeline.map(|pipeline| pipeline.name().to_owned()),
            program,
            stage: mapping.stage.to_string(),
            passes,
            total,
            matrices,
        };
        output.print(&mapped, text)
    }

    /// The pipeline as it is asked for, if one is.
    fn pipeline(&self, registry: &Registry) -> anyhow::Result<Option<Pipeline>> {
        let Some(name) = &self.source.pipeline else { return Ok(None) };
        let mut pipeline = load_pipeline(name, registry)?;
        if let Some(pass) = &self.until {
            pipeline = pipeline.until(pass)?;
        }
        if let Some(pass) = self.dump_ir.as_deref().filter(|pass| !pass.is_empty()) {
            ensure!(
                pipeline.names().contains(&pass),
                "--dump-ir names pass `{pass}`, the pipeline has {}",
                pipeline.names().join(", ")
            );
        }
        Ok(Some(pipeline))
    }

    /// The folder of the program, if one is asked for.
    fn program_folder(&self, pipeline: Option<&Pipeline>) -> anyhow::Result<Option<PathBuf>> {
        let folder =
            match self.emit.as_deref().map(|emit| emit.split_once('=').unwrap_or((emit, ""))) {
                None => return Ok(None),
                Some(("program", "")) => self.out.with_extension("program"),
                Some(("program", folder)) => PathBuf::from(folder),
                Some((what, _)) => bail!("--emit is `{what}`, it must be program or program=DIR"),
            };
        let stage = pipeline.map_or(Stage::Placed, |p| p.leaves().unwrap_or(Stage::Logical));
        ensure!(
            stage == Stage::Placed,
            "--emit program takes a placed mapping, but the pipeline ends {stage}: \
             let it end with `pack`"
        );
        Ok(Some(folder))
    }
}

/// The pipeline of this name or in this file; errors name the file.
pub(crate) fn load_pipeline(name: &str, registry: &Registry) -> anyhow::Result<Pipeline> {
    match Pipeline::load(name, registry) {
        Err(error) if !matches!(error, PipelineError::Read { .. }) => {
            Err(error).with_context(|| name.to_owned())
        }
        loaded => Ok(loaded?),
    }
}

/// The mapping of a file, proved to be one of this network.
pub(crate) fn load_mapping(path: &Path, network: &Network) -> anyhow::Result<Mapping> {
    let mapping = read_mapping(path)?;
    prove(&mapping, network).with_context(|| path.display().to_string())?;
    Ok(mapping)
}

/// The mapping that a pipeline makes without a profile.
pub(crate) fn map_by(
    pipeline: &Pipeline,
    network: &Network,
    spec: &MacroSpec,
    seed: Seed,
) -> anyhow::Result<Mapping> {
    let context = Context {
        network,
        spec,
        profile: None,
        code_table: &CodeTable::from_spec(spec),
        seed,
        progress: &|_, _| {},
    };
    Ok(run_pipeline(pipeline, context, None, false)?.0)
}

/// The mapping of a program, proved.
fn from_program(folder: &Path, context: Context<'_>) -> anyhow::Result<Mapping> {
    let Context { network, spec, seed, .. } = context;
    let named = || folder.display().to_string();
    let mapping = Program::read(folder)?.mapping().clone();
    let (found, expected) = (&mapping.geometry, Geometry::from(spec));
    ensure!(
        *found == expected,
        "{}: the program is for macro `{}` of {}x{}, --macro is `{}` of {}x{}",
        named(),
        found.name,
        found.rows,
        found.columns,
        expected.name,
        expected.rows,
        expected.columns
    );
    prove(&mapping, network).with_context(named)?;
    hafnia_sim::agree(network, &mapping, spec, seed.site("map/agree")).with_context(named)?;
    Ok(mapping)
}

/// What is printed for people.
fn text(mapped: &Mapped) -> String {
    let mut text = String::new();
    for run in &mapped.passes {
        text += &format!("{} ({:.3} s)\n", run.pass, run.seconds);
        for line in &run.statistics.lines {
            text += &format!("  {line}\n");
        }
        for StatisticsTable { title, columns, rows } in &run.statistics.tables {
            let mut table = Table::new(columns.iter().map(|column| (column.as_str(), Align::Left)));
            rows.iter().for_each(|row| table.row(row));
            text += &format!("  {title}:\n{table}\n");
        }
        if let Some(explanation) = &run.explanation {
            text += &folded(&explanation.to_string());
        }
    }
    let total = &mapped.total;
    text += &format!("{}\n", size_table(&(&mapped.matrices, total)));
    let (macros, bits) = (total.macros, total.table_bits);
    text += &format!("{macros} macros, {bits} bits of rename tables, stage {}", mapped.stage);
    match &mapped.program {
        None => text,
        Some(folder) => text + &format!("\nprogram in {}", folder.display()),
    }
}

/// An explanation, indented; of many lines the first.
fn folded(explanation: &str) -> String {
    const MOST: usize = 60;
    let lines = explanation.lines().take(MOST).map(|line| format!("    {line}\n"));
    let text: String = lines.collect();
    match explanation.lines().count().saturating_sub(MOST) {
        0 => text,
        left => text + &format!("    … and {left} more lines: --format json has all\n"),
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
    explain: bool,
) -> anyhow::Result<(Mapping, Vec<PassRun>)> {
    let bar = progress::bar("mapping");
    let progress = progress::moves(&bar);
    let context = Context { progress: &progress, ..context };
    let Context { network, spec, seed, .. } = context;
    let mut passes = Vec::new();
    let logical = Mapping::logical(network, spec)?;
    let mut before = explain.then(|| logical.clone());
    let mut start = Instant::now();
    let mut after = |after: &AfterPass<'_>| {
        let seconds = start.elapsed().as_secs_f64();
        bar.set_message(after.name);
        let explanation = before.as_mut().map(|before| {
            let explanation = Explanation::of(before, after.mapping);
            *before = after.mapping.clone();
            explanation
        });
        let (pass, statistics) = (after.name, after.statistics.clone());
        passes.push(PassRun { pass, seconds, statistics, explanation });
        if dump_ir.is_some_and(|pass| pass.is_empty() || pass == after.name) {
            progress::line(&bar, &format!("# after {}\n{}", after.name, after.mapping));
        }
        hafnia_sim::agree(network, after.mapping, spec, seed.site("map/agree"))?;
        start = Instant::now();
        Ok(())
    };
    let outcome = pipeline.run(logical, &context, &mut after)?;
    bar.finish_and_clear();
    Ok((outcome.mapping, passes))
}
