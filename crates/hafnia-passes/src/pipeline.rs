//! [`Pipeline`]: passes in order, from Rust values or a TOML file, checked before anything runs and
//! driven with a proof after every pass.

use std::{fmt, path::Path};

use hafnia_artifact::read_text;
use hafnia_ir::{Geometry, Mapping, Stage, prove, verify};
use hafnia_text::nearest;
use serde::{Deserialize, Serialize, Serializer};
use toml::{Table, Value};

use crate::error::{BoxError, PipelineError, Unsound};
use crate::pass::{Context, Pass, PassInfo};
use crate::registry::{Configured, Registry};
use crate::statistics::Statistics;

/// Passes in order, all options chosen, every stage met by the next.
///
/// It is made of passes as Rust values:
///
/// ```
/// use hafnia_passes::{CutTiles, PackTiles, Pipeline, ReorderRows};
///
/// let pipeline = Pipeline::new("mine")
///     .then(CutTiles::default())?
///     .then(ReorderRows { steps: 5000, ..ReorderRows::default() })?
///     .then(PackTiles::default())?;
/// assert_eq!(pipeline.names(), ["tile", "reorder", "pack"]);
/// let longer = pipeline.set("reorder", "steps", 9000)?;
/// assert!(longer.set("reorder", "cycles", 0.5).is_err(), "at least 1");
/// # Ok::<(), hafnia_passes::PipelineError>(())
/// ```
///
/// or of a TOML file, in which options may be left out; what it serialises to names every option:
///
/// ```
/// use hafnia_passes::{Pipeline, Registry};
///
/// let text = r#"
///     name = "mine"
///     [[pass]]
///     use = "tile"
///     [[pass]]
///     use = "reorder"
///     steps = 5000
///     [[pass]]
///     use = "pack"
/// "#;
/// let pipeline = Pipeline::parse(text, &Registry::builtin())?;
/// assert_eq!(pipeline.until("reorder")?.names(), ["tile", "reorder"]);
/// # Ok::<(), hafnia_passes::PipelineError>(())
/// ```
#[derive(Clone)]
pub struct Pipeline {
    name: String,
    summary: String,
    passes: Vec<Configured>,
}

/// A pipeline as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    pass: Vec<WrittenPass>,
}

#[derive(Serialize, Deserialize)]
struct WrittenPass {
    #[serde(rename = "use")]
    name: String,
    #[serde(flatten)]
    options: Table,
}

/// What the driver hands out after every pass.
#[derive(Debug, Clone, Copy)]
pub struct AfterPass<'a> {
    /// Position in the pipeline, from 0.
    pub index: usize,
    /// Name of the pass.
    pub name: &'static str,
    /// The mapping it left, verified and proved.
    pub mapping: &'a Mapping,
    /// What it reports.
    pub statistics: &'a Statistics,
}

/// What a pipeline leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The mapping after the last pass.
    pub mapping: Mapping,
    /// Name and statistics of every pass, in order.
    pub statistics: Vec<(&'static str, Statistics)>,
}

impl Pipeline {
    /// Name and text of the pipelines that come with hafnia.
    pub const BUILTIN: [(&'static str, &'static str); 9] = [
        ("natural", include_str!("../pipelines/natural.toml")),
        ("rename", include_str!("../pipelines/rename.toml")),
        ("reorder", include_str!("../pipelines/reorder.toml")),
        ("reorder-polarity", include_str!("../pipelines/reorder-polarity.toml")),
        ("paper", include_str!("../pipelines/paper.toml")),
        ("allocate", include_str!("../pipelines/allocate.toml")),
        ("compact", include_str!("../pipelines/compact.toml")),
        ("segments", include_str!("../pipelines/segments.toml")),
        ("best", include_str!("../pipelines/best.toml")),
    ];

    /// A pipeline without passes.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), summary: String::new(), passes: Vec::new() }
    }

    /// The same pipeline and one pass more.
    ///
    /// # Errors
    /// If an option of the pass is outside its range, or it cannot start where the last pass ends.
    pub fn then<P: Pass>(mut self, pass: P) -> Result<Self, PipelineError> {
        let (index, name) = (self.passes.len() + 1, P::INFO.name);
        let configured = Configured::new(&pass);
        self.passes.push(configured.map_err(|source| PipelineError::options(index, name, source))?);
        self.check_stages(&Stage::ALL)?;
        Ok(self)
    }

    /// The same pipeline with an option of all passes of this name set.
    ///
    /// # Errors
    /// If there is no such pass, or the option is unknown or outside its range.
    pub fn set(
        mut self,
        pass: &str,
        option: &str,
        value: impl Into<Value>,
    ) -> Result<Self, PipelineError> {
        if !self.names().contains(&pass) {
            return Err(self.without(pass));
        }
        let value = value.into();
        for (index, configured) in (1..).zip(&mut self.passes) {
            let name = configured.info().name;
            if name == pass {
                let mut options = configured.options().clone();
                options.insert(option.to_owned(), value.clone());
                let set = configured.with_options(options);
                *configured = set.map_err(|source| PipelineError::options(index, name, source))?;
            }
        }
        Ok(self)
    }

    /// The pipeline of this built-in name, or else the one in this file.
    ///
    /// # Errors
    /// [`PipelineError::Read`], or those of [`parse`](Self::parse).
    pub fn load(name_or_path: &str, registry: &Registry) -> Result<Self, PipelineError> {
        let builtin = Self::BUILTIN.iter().find(|(name, _)| *name == name_or_path);
        if let Some((_, text)) = builtin {
            return Self::parse(text, registry);
        }
        let path = Path::new(name_or_path);
        let text = read_text(path).map_err(|source| PipelineError::Read {
            path: path.into(),
            builtin: Self::BUILTIN.map(|(name, _)| name).into(),
            nearest: nearest(name_or_path, Self::BUILTIN.map(|(name, _)| name)),
            source: Box::new(source),
        })?;
        Self::parse(&text, registry)
    }

    /// The pipeline that a TOML text describes.
    ///
    /// # Errors
    /// If it is not that TOML, names a pass or an option that there is not, or a pass cannot start
    /// where the one before it ends.
    pub fn parse(text: &str, registry: &Registry) -> Result<Self, PipelineError> {
        let written: Written = toml::from_str(text).map_err(PipelineError::Syntax)?;
        let mut passes = Vec::new();
        for (index, WrittenPass { name, options }) in (1..).zip(written.pass) {
            let Some(registered) = registry.get(&name) else {
                let nearest = registry.nearest(&name);
                let known = registry.infos().map(|info| info.name).collect();
                return Err(PipelineError::UnknownPass { index, name, nearest, known });
            };
            let (pass, configured) = (registered.info().name, registered.with_options(options));
            passes.push(configured.map_err(|source| PipelineError::options(index, pass, source))?);
        }
        let pipeline = Self { name: written.name, summary: written.summary, passes };
        pipeline.check_stages(&Stage::ALL)?;
        Ok(pipeline)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, in a sentence; may be empty.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The names of its passes in order.
    pub fn names(&self) -> Vec<&'static str> {
        self.passes.iter().map(|pass| pass.info().name).collect()
    }

    /// The stage it leaves; none if that is the one it found.
    pub fn leaves(&self) -> Option<Stage> {
        self.passes.iter().rev().find_map(|pass| pass.info().leaves)
    }

    /// The same pipeline, ending with the first pass of this name.
    ///
    /// # Errors
    /// [`PipelineError::NotInPipeline`].
    pub fn until(mut self, name: &str) -> Result<Self, PipelineError> {
        let Some(index) = self.passes.iter().position(|pass| pass.info().name == name) else {
            return Err(self.without(name));
        };
        self.passes.truncate(index + 1);
        Ok(self)
    }

    fn without(&self, name: &str) -> PipelineError {
        let (pipeline, known) = (self.name.clone(), self.names());
        PipelineError::NotInPipeline { pipeline, name: name.to_owned(), known }
    }

    /// Runs the passes on a mapping.
    ///
    /// After every pass the mapping is verified and every matrix is rebuilt from what is programmed
    /// and compared with the network's; only then `after` is called. No clock is read here: for
    /// the time of a pass, proof included, measure from one call of `after` to the next.
    ///
    /// # Errors
    /// If mapping, profile, code table and macro do not fit, the mapping is not sound or not at a
    /// stage that the first pass takes, a pass stops, a pass breaks the mapping
    /// ([`PipelineError::Bug`]), or `after` fails.
    pub fn run(
        &self,
        mut mapping: Mapping,
        context: &Context<'_>,
        after: &mut dyn FnMut(&AfterPass<'_>) -> Result<(), BoxError>,
    ) -> Result<Outcome, PipelineError> {
        if mapping.geometry != Geometry::from(context.spec) {
            let (found, expected) = (mapping.geometry.name, context.spec.name.clone());
            return Err(PipelineError::Geometry { found, expected });
        }
        context.code_table.check_size(context.spec).map_err(PipelineError::CodeTable)?;
        if let Some(profile) = context.profile {
            profile.check(context.network).map_err(PipelineError::Profile)?;
        }
        self.check_stages(&[mapping.stage])?;
        check_mapping(&mapping, context).map_err(PipelineError::Start)?;
        let mut statistics = Vec::new();
        for (index, pass) in self.passes.iter().enumerate() {
            let PassInfo { name, leaves, .. } = *pass.info();
            let expected = leaves.unwrap_or(mapping.stage);
            let report = pass
                .run(&mut mapping, context)
                .map_err(|source| PipelineError::Pass { pass: name, source })?;
            let found = mapping.stage;
            if found != expected {
                let source = Unsound::Stage { found, expected };
                return Err(PipelineError::Bug { pass: name, source });
            }
            check_mapping(&mapping, context)
                .map_err(|source| PipelineError::Bug { pass: name, source })?;
            after(&AfterPass { index, name, mapping: &mapping, statistics: &report })
                .map_err(|source| PipelineError::After { pass: name, source })?;
            statistics.push((name, report));
        }
        Ok(Outcome { mapping, statistics })
    }

    /// Whether the passes meet, for a mapping in one of the stages `start`.
    fn check_stages(&self, start: &[Stage]) -> Result<(), PipelineError> {
        let mut found = start.to_vec();
        for (index, pass) in (1..).zip(&self.passes) {
            let PassInfo { name: pass, takes, leaves, .. } = *pass.info();
            let met: Vec<Stage> =
                found.iter().copied().filter(|stage| takes.contains(stage)).collect();
            if met.is_empty() {
                return Err(PipelineError::Stages { index, pass, takes, found });
            }
            found = leaves.map_or(met, |stage| vec![stage]);
        }
        Ok(())
    }

    fn written(&self) -> Written {
        Written {
            name: self.name.clone(),
            summary: self.summary.clone(),
            pass: self
                .passes
                .iter()
                .map(|pass| WrittenPass {
                    name: pass.info().name.to_owned(),
                    options: pass.options().clone(),
                })
                .collect(),
        }
    }
}

fn check_mapping(mapping: &Mapping, context: &Context<'_>) -> Result<(), Unsound> {
    verify(mapping)?;
    prove(mapping, context.network)?;
    Ok(())
}

impl Serialize for Pipeline {
    /// With every option of every pass.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written().serialize(serializer)
    }
}

impl fmt::Display for Pipeline {
    /// As a TOML file with every option of every pass.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipeline({}: {})", self.name, self.names().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use expect_test::{Expect, expect};

    use super::*;

    /// The error of a pipeline with its causes, one a line.
    fn check(passes: &str, expected: Expect) {
        let text = format!("name = \"test\"\n{passes}");
        let mut error: Option<&dyn Error> = None;
        let result = Pipeline::parse(&text, &Registry::builtin());
        if let Err(found) = &result {
            error = Some(found);
        }
        let mut lines = String::new();
        while let Some(cause) = error {
            lines.push_str(cause.to_string().trim_end());
            lines.push('\n');
            error = cause.source();
        }
        expected.assert_eq(&lines);
    }

    #[test]
    fn wrong_pipelines_are_refused() {
        check(
            "[[pass]]\nuse = \"reoder\"\n",
            expect![[r#"
            unknown pass `reoder` (pass 1); did you mean `reorder`?
        "#]],
        );
        check(
            "[[pass]]\nuse = \"mirror\"\n",
            expect![[r#"
                unknown pass `mirror` (pass 1); the passes are code-weights, code-inputs, strip-dead, rename, rename-complement, rename-segments, tile, polarity, reorder, allocate, pack, duplicate, best
            "#]],
        );
        check(
            "[[pass]]\nuse = \"tile\"\n[[pass]]\nuse = \"reorder\"\nstep = 5\n",
            expect![[r#"
                wrong option of pass `reorder` (pass 2)
                unknown field `step`, expected one of `method`, `steps`, `runs`, `cycles`, `seed`, `matrices`, `samples`, `held_back`, `chips`, `sure`
            "#]],
        );
        check(
            "[[pass]]\nuse = \"reorder\"\nsamples = 0\n",
            expect![[r#"
            wrong option of pass `reorder` (pass 1)
            invalid value: integer `0`, expected a nonzero usize
            in `samples`
        "#]],
        );
        check(
            "[[pass]]\nuse = \"best\"\ncycles = 0.5\n",
            expect![[r#"
            wrong option of pass `best` (pass 1)
            the value is 0.5, it must be at least 1
            in `cycles`
        "#]],
        );
        check(
            "[[pass]]\nuse = \"reorder\"\nmethod = \"greedy\"\n",
            expect![[r#"
                wrong option of pass `reorder` (pass 1)
                unknown variant `greedy`, expected one of `anneal`, `natural`, `frequency`, `random`, `chain`, `exact`
                in `method`
            "#]],
        );
        check(
            "[[pass]]\nuse = \"rename\"\n[[pass]]\nuse = \"pack\"\n[[pass]]\nuse = \"tile\"\n",
            expect![[r#"
                pass `tile` (pass 3) takes a mapping that is logical, but here it is placed
            "#]],
        );
        check(
            "[[pass]]\nuse = \"tile\"\n[[pass]]\nuse = \"tile\"\n",
            expect![[r#"
            pass `tile` (pass 2) takes a mapping that is logical, but here it is tiled
        "#]],
        );
        check(
            "[[pass]]\nsteps = 5\n",
            expect![[r#"
            not a pipeline
            TOML parse error at line 2, column 1
              |
            2 | [[pass]]
              | ^^^^^^^^
            missing field `use`
        "#]],
        );
        check(
            "passes = []\n",
            expect![[r#"
            not a pipeline
            TOML parse error at line 2, column 1
              |
            2 | passes = []
              | ^^^^^^
            unknown field `passes`, expected one of `name`, `summary`, `pass`
        "#]],
        );
    }

    #[test]
    fn built_in_pipelines_are_sound() {
        for (name, text) in Pipeline::BUILTIN {
            let pipeline = Pipeline::parse(text, &Registry::builtin()).unwrap();
            assert_eq!(pipeline.name(), name);
            assert!(!pipeline.summary().is_empty());
        }
    }

    #[test]
    fn resolved_text_reads_back() {
        let registry = Registry::builtin();
        let pipeline = Pipeline::load("paper", &registry).unwrap();
        let text = pipeline.to_string();
        expect![[r#"
            name = "paper"
            summary = "shares equal rows, then reorders the rows of the last matrix; needs a profile"

            [[pass]]
            use = "rename"
            mode = "repeat"

            [[pass]]
            use = "tile"
            rows = "natural"

            [[pass]]
            use = "reorder"
            chips = 100
            cycles = 1.25
            held_back = 10000
            matrices = []
            method = "anneal"
            runs = 2
            samples = 2000
            seed = 0
            steps = 50000
            sure = 1.0

            [[pass]]
            use = "pack"
            cut = false
        "#]].assert_eq(&text);
        assert_eq!(Pipeline::parse(&text, &registry).unwrap().to_string(), text);
    }

    #[test]
    fn a_missing_file_names_the_built_in_pipelines() {
        let error = Pipeline::load("no/such.toml", &Registry::builtin()).unwrap_err();
        expect!["pipeline no/such.toml is none of the built-in ones (natural, rename, reorder, reorder-polarity, paper, allocate, compact, segments, best)"].assert_eq(&error.to_string());
    }

    #[test]
    fn until_cuts() {
        let paper = || Pipeline::load("paper", &Registry::builtin()).unwrap();
        assert_eq!(paper().until("tile").unwrap().names(), ["rename", "tile"]);
        let error = paper().until("polarity").unwrap_err();
        expect!["pipeline `paper` has no pass `polarity`, it has rename, tile, reorder, pack"]
            .assert_eq(&error.to_string());
    }
}
