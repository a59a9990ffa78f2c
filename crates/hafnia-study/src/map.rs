//! Maps a network by a pipeline of passes, or takes a mapping from a program, and proves it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use hafnia_artifact::{Places, load};
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Geometry, Mapping, Profile, Program, Stage, prove};
use hafnia_model::Network;
use hafnia_passes::{AfterPass, Context, Explanation, Pipeline, Statistics};
use hafnia_rng::Seed;
use hafnia_sim::check_equivalence;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::describe::{MatrixSize, Totals, sizes};
use crate::outputs::written;
use crate::record::{Record, manifest_of};
use crate::request::{Request, Step, words};
use crate::session::Session;
use crate::source::{MacroSource, NetworkSource, pipeline_file, resolved};

/// What is to be mapped, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapRequest {
    /// The network.
    #[serde(flatten)]
    pub network: NetworkSource,
    /// Where the mapping comes from.
    #[serde(flatten)]
    pub from: MappingOrigin,
    /// File of the mapping, in text form.
    pub out: PathBuf,
    /// Profile of training images.
    pub profile: Option<PathBuf>,
    /// Measured code table in place of the macro's model.
    pub code_table: Option<PathBuf>,
    /// Seed of everything drawn.
    pub seed: u64,
    /// The last pass that is run.
    pub until: Option<String>,
    /// The pass after which the observer is shown the mapping; every one if it is empty.
    pub dump_ir: Option<String>,
    /// Whether to say what every pass did to each tile.
    pub explain: bool,
    /// Folder of the program that is written beside the mapping.
    pub program: Option<PathBuf>,
    /// The macro.
    #[serde(flatten)]
    pub spec: MacroSource,
}

/// Where a mapping comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MappingOrigin {
    /// A pipeline, built in or a file.
    Pipeline(String),
    /// The folder of a program.
    FromProgram(PathBuf),
}

impl Default for MapRequest {
    fn default() -> Self {
        Self {
            network: NetworkSource::default(),
            from: MappingOrigin::Pipeline(String::new()),
            out: PathBuf::new(),
            profile: None,
            code_table: None,
            seed: 1,
            until: None,
            dump_ir: None,
            explain: false,
            program: None,
            spec: MacroSource::default(),
        }
    }
}

/// A mapping that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapOutcome {
    /// The pipeline, if it comes from one.
    pub pipeline: Option<String>,
    /// The folder of the program that was written, if one was.
    pub program: Option<PathBuf>,
    /// The stage of the mapping.
    pub stage: String,
    /// What every pass did.
    pub passes: Vec<PassRun>,
    /// What the mapping takes in all.
    pub total: Totals,
    /// What every matrix takes.
    pub matrices: Vec<MatrixSize>,
}

/// What a pass did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassRun {
    /// Its name.
    pub pass: String,
    /// Its wall time.
    pub seconds: f64,
    /// What it did in numbers.
    pub statistics: Statistics,
    /// What it did to each tile, if asked for.
    pub explanation: Option<Explanation>,
}

impl Request for MapRequest {
    const COMMAND: &'static str = "map";

    type Outcome = MapOutcome;

    fn words(&self) -> Vec<String> {
        let emitted = |word: String| word.replacen("--program=", "--emit=program=", 1);
        words(Self::COMMAND, Self::POSITIONAL, self).into_iter().map(emitted).collect()
    }

    fn run(&self, session: &Session<'_>) -> anyhow::Result<MapOutcome> {
        let spec = self.spec.load()?;
        let pipeline = self.pipeline(session)?;
        self.check_program(pipeline.as_ref())?;
        self.check_outputs()?;
        let folder = match &self.from {
            MappingOrigin::FromProgram(folder) => Some(folder),
            MappingOrigin::Pipeline(_) => None,
        };
        let mut record = Record::of(
            self,
            &[("pipeline", json!(pipeline)), ("macro", json!(resolved(&spec)))],
            Some(self.seed),
        )?;
        let named = self.network.load()?;
        record.network(&named);
        record.inputs(self.spec.files())?;
        if let MappingOrigin::Pipeline(name) = &self.from {
            record.inputs(pipeline_file(name))?;
        }
        let network = &named.network;
        let mut profile: Option<Profile> = None;
        if let Some(path) = &self.profile {
            record.input(path)?;
            let found: Profile = load(path)?;
            found.check(network).with_context(|| path.display().to_string())?;
            profile = Some(found);
        }
        let code_table = match &self.code_table {
            None => CodeTable::from_spec(&spec),
            Some(path) => {
                record.input(path)?;
                CodeTable::load_csv(path)?
            }
        };
        let context = Context {
            network,
            spec: &spec,
            profile: profile.as_ref(),
            code_table: &code_table,
            seed: Seed(self.seed),
            progress: &|_, _| {},
        };
        let (mapping, passes) = match (&pipeline, folder) {
            (None, Some(folder)) => {
                record.input(&folder.join(Program::HEADER))?;
                (from_program(folder, context)?, Vec::new())
            }
            (pipeline, _) => {
                let pipeline = pipeline.as_ref().context("a mapping comes from somewhere")?;
                run_pipeline(session, pipeline, context, self.dump_ir.as_deref(), self.explain)?
            }
        };
        let program = self.program.as_ref().map(|_| Program::of(&mapping, &spec)).transpose()?;
        if let (Some(folder), Some(program)) = (&self.program, &program) {
            // What is written is what will be read.
            Program::from_files(&program.files().collect())
                .with_context(|| format!("{} would not be read back", folder.display()))?;
        }
        let (matrices, total) = sizes(&mapping);
        let outcome = MapOutcome {
            pipeline: pipeline.map(|pipeline| pipeline.name().to_owned()),
            program: self.program.clone(),
            stage: mapping.stage.to_string(),
            passes,
            total,
            matrices,
        };
        // Each is put in its place in one step, the manifest with the digests of all files last.
        written(outcome, |_| {
            let mut files = vec![self.out.clone()];
            if let (Some(folder), Some(program)) = (&self.program, &program) {
                program.write(folder)?;
                files.extend(program.files().map(|(name, _)| folder.join(name)));
            }
            hafnia_ir::write_mapping(&self.out, &mapping)?;
            record.end(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>())
        })
    }
}

impl Step for MapRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        let origin = match &self.from {
            MappingOrigin::Pipeline(name) => pipeline_file(name),
            MappingOrigin::FromProgram(folder) => Some(folder.join(Program::HEADER)),
        };
        let files = [self.network.file(), origin, self.profile.clone(), self.code_table.clone()];
        files.into_iter().flatten().chain(self.spec.files()).collect()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        let header = self.program.iter().map(|folder| folder.join(Program::HEADER));
        std::iter::once(self.out.clone()).chain(header).collect()
    }
}

impl MapRequest {
    /// The pipeline as it is asked for, if one is.
    fn pipeline(&self, session: &Session<'_>) -> anyhow::Result<Option<Pipeline>> {
        let MappingOrigin::Pipeline(name) = &self.from else { return Ok(None) };
        let mut pipeline = session.pipeline(name)?;
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

    /// Refuses outputs that are inputs too, cannot be written, or would replace what is another's.
    fn check_outputs(&self) -> anyhow::Result<()> {
        let mut places = Places::new().reads(self.inputs());
        if let MappingOrigin::FromProgram(folder) = &self.from {
            places = places.reads_folder(folder);
        }
        if let Some(folder) = &self.program {
            places = places.writes_folder(folder);
        }
        places.writes([self.out.clone(), manifest_of(&self.out)]).check()?;
        Ok(self.program.iter().try_for_each(Program::check_writable)?)
    }

    /// Checks that what is mapped can be programmed, if a program is asked for.
    fn check_program(&self, pipeline: Option<&Pipeline>) -> anyhow::Result<()> {
        let stage = pipeline.map_or(Stage::Placed, |p| p.leaves().unwrap_or(Stage::Logical));
        ensure!(
            self.program.is_none() || stage == Stage::Placed,
            "--emit program takes a placed mapping, but the pipeline ends {stage}: \
             let it end with `pack`"
        );
        Ok(())
    }
}

/// The mapping of a program, proved.
fn from_program(folder: &Path, context: Context<'_>) -> anyhow::Result<Mapping> {
    let Context { network, spec, seed, .. } = context;
    let named = || folder.display().to_string();
    let program = Program::read(folder)?;
    let mapping = program.mapping().clone();
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
    let gathers = |rows, control| format!("{rows} rows at most by {control}");
    let found = gathers(program.rows_per_conversion(), program.input_control());
    let expected = gathers(spec.rows_per_conversion, spec.input_control);
    ensure!(found == expected, "{}: the program turns on {found}, --macro {expected}", named());
    prove(&mapping, network).with_context(named)?;
    check_equivalence(network, &mapping, spec, seed.site("map/agree")).with_context(named)?;
    Ok(mapping)
}

/// The mapping that a pipeline makes without a profile.
pub(crate) fn map_by(
    session: &Session<'_>,
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
    Ok(run_pipeline(session, pipeline, context, None, false)?.0)
}

/// Maps by a pipeline; after every pass the mapping is proved, and run against the reference on
/// random and extreme inputs.
pub(crate) fn run_pipeline(
    session: &Session<'_>,
    pipeline: &Pipeline,
    context: Context<'_>,
    dump_ir: Option<&str>,
    explain: bool,
) -> anyhow::Result<(Mapping, Vec<PassRun>)> {
    let bar = session.observer.bar("mapping", "steps");
    let context = Context { progress: &|done, of| bar.moves(done, of), ..context };
    let Context { network, spec, seed, .. } = context;
    let mut passes = Vec::new();
    let logical = Mapping::logical(network, spec);
    let mut before = explain.then(|| logical.clone());
    let mut start = Instant::now();
    let mut after = |after: &AfterPass<'_>| {
        let seconds = start.elapsed().as_secs_f64();
        bar.message(after.name);
        let explanation = before.as_mut().map(|before| {
            let explanation = Explanation::of(before, after.mapping);
            *before = after.mapping.clone();
            explanation
        });
        let (pass, statistics) = (after.name.to_owned(), after.statistics.clone());
        passes.push(PassRun { pass, seconds, statistics, explanation });
        if dump_ir.is_some_and(|pass| pass.is_empty() || pass == after.name) {
            bar.line(&format!("# after {}\n{}", after.name, after.mapping));
        }
        check_equivalence(network, after.mapping, spec, seed.site("map/agree"))?;
        start = Instant::now();
        Ok(())
    };
    let outcome = pipeline.run(logical, &context, &mut after)?;
    Ok((outcome.mapping, passes))
}
