//! What the keys of a point mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{bail, ensure};
use hafnia_artifact::Digest;
use hafnia_cim::{EFFECTS, MacroSpec};
use hafnia_passes::{Pipeline, Registry};

use hafnia_data::SplitDataset;
use hafnia_zoo::Zoo;

use crate::record::program;
use crate::session::Session;
use crate::source::{MacroSource, NamedNetwork, NetworkSource, PIPELINE, pipeline_file};
use crate::sweep::plan::{Inputs, PROGRAM, Plan, Point};

/// All keys that can be swept.
pub(super) fn keys(registry: &Registry) -> anyhow::Result<Vec<String>> {
    let mut keys =
        ["model", "network", "pipeline", "noise_in", "macro"].map(str::to_owned).to_vec();
    for (key, _) in MacroSpec::load("gt-n40")?.values() {
        keys.push(format!("macro.{key}"));
        // As --set takes it: without the table that it stands in.
        keys.extend(key.split_once('.').map(|(_, short)| format!("macro.{short}")));
    }
    for pass in registry.infos() {
        let option = |(option, _): &(&str, &str)| format!("pipeline.{}.{option}", pass.name);
        keys.extend(pass.options.iter().map(option));
    }
    Ok(keys)
}

/// The keys of a sweep that say what a design meets, not what it is: those that it names, or else those
/// that differ from point to point and say where there is noise, or size an effect that a macro could
/// be without.
pub(super) fn conditions(plan: &Plan) -> Vec<&str> {
    match &plan.sweep.conditions {
        Some(named) => named.iter().map(String::as_str).collect(),
        None => plan.varied().into_iter().filter(|key| is_of_noise(key)).collect(),
    }
}

fn is_of_noise(key: &str) -> bool {
    let Some(key) = key.strip_prefix("macro.") else { return key == "noise_in" };
    let switchable = EFFECTS.iter().filter(|effect| effect.off.is_some());
    let mut keys = switchable.flat_map(|effect| effect.keys.split(", "));
    keys.any(|known| {
        let is_named = known == key || known.split_once('.').is_some_and(|(_, short)| short == key);
        // The kind of a converter is chosen; what its elements differ by is not.
        is_named && known != "adc.kind"
    })
}

pub(super) fn text_of(point: &Point, key: &str, or: &str) -> String {
    point.get(key).map_or_else(|| or.to_owned(), ToString::to_string)
}

/// What points of these are computed from, as far as it is there: the program, the data set, and the
/// files of networks, pipelines and macros, with all that these inherit and name.
pub(super) fn inputs<'p>(
    points: impl IntoIterator<Item = &'p Point>,
    set: &SplitDataset,
) -> Inputs {
    let mut inputs = Inputs::from([(PROGRAM.to_owned(), program())]);
    inputs.extend(set.digests.iter().map(|(name, digest)| (name.clone(), digest.to_string())));
    let mut files: BTreeSet<PathBuf> = BTreeSet::new();
    let mut models: BTreeSet<String> = BTreeSet::new();
    for point in points {
        match network_source(point) {
            Ok(NetworkSource::File(path)) => drop(files.insert(path)),
            Ok(NetworkSource::Model(name)) => drop(models.insert(name)),
            Err(_) => {}
        }
        files.extend(pipeline_file(&text_of(point, "pipeline", PIPELINE)));
        let values = overrides(point);
        let values = values.iter().map(|(key, value)| (*key, value.as_str()));
        files.extend(MacroSpec::files(&macro_name(point), values));
    }
    let digests = files.into_iter().filter_map(|path| {
        let digest = Digest::of_file(&path).ok()?;
        Some((path.display().to_string(), digest.to_string()))
    });
    inputs.extend(digests);
    if let Ok(zoo) = Zoo::embedded() {
        let recorded = models.iter().filter_map(|name| zoo.get(name).ok());
        inputs.extend(
            recorded.map(|of| (format!("model {}", of.name()), of.file_digest().to_string())),
        );
    }
    inputs
}

/// The network that a point names.
fn network_source(point: &Point) -> anyhow::Result<NetworkSource> {
    let text = |key: &str| point.get(key).map(ToString::to_string);
    Ok(match (text("network"), text("model")) {
        (Some(_), Some(_)) => bail!("a point has either a `model` or a `network`, not both"),
        (Some(file), None) => NetworkSource::File(file.into()),
        (None, model) => NetworkSource::Model(model.unwrap_or_else(|| "frontier".to_owned())),
    })
}

/// The network of a point.
pub(super) fn network(point: &Point) -> anyhow::Result<NamedNetwork> {
    network_source(point)?.load()
}

fn macro_name(point: &Point) -> String {
    text_of(point, "macro", &MacroSource::default().name)
}

/// The values of its macro that a point gives itself.
fn overrides(point: &Point) -> Vec<(&str, String)> {
    point
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("macro.")?, value.to_string())))
        .collect()
}

/// The macro of a point.
pub(super) fn spec(point: &Point) -> anyhow::Result<MacroSpec> {
    let mut spec = MacroSpec::load(&macro_name(point))?;
    let given = overrides(point);
    spec.set_all(given.iter().map(|(key, value)| (*key, value.as_str())))?;
    Ok(spec)
}

/// Checks the values that points give macros. One that is in a file, or names one, may still change,
/// and is the failure of its point when that is run.
pub(super) fn check_values(points: &[Point]) -> anyhow::Result<()> {
    let mut bases: BTreeMap<String, Option<MacroSpec>> = BTreeMap::new();
    let mut checked = BTreeSet::new();
    for point in points {
        let (name, given) = (macro_name(point), overrides(point));
        if !checked.insert((name.clone(), given.clone())) {
            continue;
        }
        let values = || given.iter().map(|(key, value)| (*key, value.as_str()));
        if MacroSpec::files(&name, values()) != MacroSpec::files(&name, []) {
            continue;
        }
        let base = bases.entry(name).or_insert_with_key(|name| MacroSpec::load(name).ok());
        if let Some(base) = base {
            base.clone().set_all(values())?;
        }
    }
    Ok(())
}

/// The pipeline of a point: the one it names, with its options put in.
pub(super) fn pipeline(point: &Point, session: &Session<'_>) -> anyhow::Result<Pipeline> {
    let mut pipeline = session.pipeline(&text_of(point, "pipeline", PIPELINE))?;
    for (key, value) in point {
        let Some(rest) = key.strip_prefix("pipeline.") else { continue };
        let Some((pass, option)) = rest.split_once('.') else { continue };
        let name = pipeline.name();
        ensure!(
            pipeline.names().contains(&pass),
            "`{key}`: the pipeline `{name}` has no pass `{pass}`"
        );
        pipeline = pipeline.set(pass, option, value)?;
    }
    Ok(pipeline)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::config::Value;

    fn point(values: &[(&str, &str)]) -> Point {
        let value = |text: &str| match text.parse() {
            Ok(number) => Value::Whole(number),
            Err(_) => Value::Text(text.to_owned()),
        };
        values.iter().map(|&(key, text)| (key.to_owned(), value(text))).collect()
    }

    #[test]
    fn options_of_passes_are_put_into_the_pipeline() {
        let registry = Registry::builtin();
        let put = |values: &[(&str, &str)]| {
            pipeline(&point(values), &Session::new(&registry, &()))
                .map(|pipeline| pipeline.to_string())
        };
        let found = put(&[("pipeline", "reorder"), ("pipeline.reorder.steps", "7")]);
        assert!(found.expect("a pass and its option").contains("steps = 7"));
        let error = put(&[("pipeline.reorder.steps", "7")]).expect_err("no such pass").to_string();
        assert_eq!(error, "`pipeline.reorder.steps`: the pipeline `compact` has no pass `reorder`");
    }

    #[test]
    fn conditions_are_what_noise_depends_on() {
        let all = keys(&Registry::builtin()).expect("the preset loads");
        let of_noise: Vec<&String> = all.iter().filter(|key| is_of_noise(key)).collect();
        for key in ["noise_in", "macro.sigma_lrs_rel", "macro.adc.offset_lsb", "macro.faults.map"] {
            assert!(of_noise.iter().any(|known| *known == key), "{key}");
        }
        for key in ["model", "macro", "macro.adc.kind", "macro.kind", "macro.bits", "macro.rows"] {
            assert!(all.iter().any(|known| known == key), "{key}");
            assert!(of_noise.iter().all(|known| *known != key), "{key}");
        }
    }

    #[test]
    fn every_key_of_a_macro_and_a_pass_can_be_swept() {
        let keys = keys(&Registry::builtin()).expect("the preset loads");
        for key in ["macro.cell.sigma_lrs_rel", "macro.sigma_lrs_rel", "pipeline.tile.rows"] {
            assert!(keys.iter().any(|known| known == key), "{key}");
        }
        let spec = spec(&point(&[("macro.rows_per_conversion", "3")])).expect("in range");
        assert_eq!(spec.rows_per_conversion, 3);
        assert!(super::spec(&point(&[("macro.rows_per_conversion", "0")])).is_err());
        // Together, though `columns` alone would be too few for the preset's `columns_per_adc`.
        let spec = super::spec(&point(&[("macro.columns", "4"), ("macro.columns_per_adc", "1")]));
        assert_eq!(spec.expect("in range together").columns, 4);
        let twice = point(&[("macro.cell.sigma_lrs_rel", "0"), ("macro.sigma_lrs_rel", "1")]);
        assert_eq!(
            super::spec(&twice).expect_err("given twice").to_string(),
            "macro `gt-n40`: cell.sigma_lrs_rel is given twice, as `0` and as `1`"
        );
    }
}
