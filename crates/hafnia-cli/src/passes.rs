//! `hafnia passes`.

use anyhow::bail;
use clap::Args;
use hafnia_passes::{PassInfo, Pipeline, Registry};
use serde::Serialize;

use crate::output::{Output, table};

/// List the passes and the built-in pipelines, or show one pass.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia passes
  hafnia passes reorder")]
pub(crate) struct Passes {
    /// Pass to show.
    name: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    passes: Vec<Described>,
    pipelines: Vec<&'static str>,
}

#[derive(Serialize)]
struct Described {
    name: &'static str,
    summary: &'static str,
    takes: Vec<&'static str>,
    leaves: Option<&'static str>,
    options: Vec<PassOption>,
}

#[derive(Serialize)]
struct PassOption {
    name: &'static str,
    default: String,
    meaning: &'static str,
}

fn describe(registry: &Registry, info: &PassInfo) -> Described {
    let defaults = registry.get(info.name).map(|registered| registered.options());
    let default = |name: &str| {
        let value = defaults.and_then(|defaults| defaults.get(name));
        value.map_or("-".to_owned(), ToString::to_string)
    };
    Described {
        name: info.name,
        summary: info.summary,
        takes: info.takes.iter().map(|stage| stage.name()).collect(),
        leaves: info.leaves.map(|stage| stage.name()),
        options: info
            .options
            .iter()
            .map(|&(name, meaning)| PassOption { name, default: default(name), meaning })
            .collect(),
    }
}

impl Passes {
    pub(crate) fn run(&self, registry: &Registry, output: Output) -> anyhow::Result<()> {
        match &self.name {
            None => list(registry, output),
            Some(name) => show(registry, name, output),
        }
    }
}

fn list(registry: &Registry, output: Output) -> anyhow::Result<()> {
    let listed = Listed {
        passes: registry.infos().map(|info| describe(registry, info)).collect(),
        pipelines: Pipeline::BUILTIN.iter().map(|(name, _)| *name).collect(),
    };
    output.print(&listed, |listed| {
        let mut table = table(["pass", "what it does"]);
        for pass in &listed.passes {
            table.row([pass.name, pass.summary]);
        }
        format!("{table}\npipelines: {}", listed.pipelines.join(", "))
    })
}

fn show(registry: &Registry, name: &str, output: Output) -> anyhow::Result<()> {
    let Some(registered) = registry.get(name) else {
        let names: Vec<&str> = registry.infos().map(|info| info.name).collect();
        bail!("there is no pass `{name}`, there are {}", names.join(", "));
    };
    output.print(&describe(registry, registered.info()), |pass| {
        let leaves = pass.leaves.unwrap_or("the same");
        let stages = format!("takes {}, leaves {leaves}", pass.takes.join(" or "));
        let mut text = format!("{}: {}\n{stages}\n", pass.name, pass.summary);
        if !pass.options.is_empty() {
            let mut table = table(["option", "default", "meaning"]);
            for option in &pass.options {
                table.row([option.name, &option.default, option.meaning]);
            }
            text += &table.to_string();
        }
        text
    })
}
