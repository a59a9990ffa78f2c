//! `hafnia passes`.

use anyhow::bail;
use clap::Args;
use hafnia_passes::Registry;
use hafnia_study::{PassDescription, PassesOutcome};
use hafnia_text::{nearest, quoted};

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

impl Passes {
    pub(crate) fn run(&self, registry: &Registry, output: Output) -> anyhow::Result<()> {
        match &self.name {
            None => list(registry, output),
            Some(name) => show(registry, name, output),
        }
    }
}

fn list(registry: &Registry, output: Output) -> anyhow::Result<()> {
    output.print(&PassesOutcome::of(registry), |listed| {
        let (mut passes, mut pipelines) = (table(["pass", "what it does"]), table(["pipelines"]));
        for pass in &listed.passes {
            passes.row([&pass.name, &pass.summary]);
        }
        pipelines.row([listed.pipelines.join(", ")]);
        format!("{passes}\n{pipelines}")
    })
}

fn show(registry: &Registry, name: &str, output: Output) -> anyhow::Result<()> {
    let Some(registered) = registry.get(name) else {
        let names: Vec<&str> = registry.infos().map(|info| info.name).collect();
        match nearest(name, names.iter().copied()) {
            Some(nearest) => bail!("there is no pass {}, did you mean `{nearest}`?", quoted(name)),
            None => bail!("there is no pass {}, there are {}", quoted(name), names.join(", ")),
        }
    };
    output.print(&PassDescription::of(registered), |pass| {
        let leaves = pass.leaves.as_deref().unwrap_or("the same");
        let stages = format!("takes {}, leaves {leaves}", pass.takes.join(" or "));
        let mut text = format!("{}: {}\n{stages}\n", pass.name, pass.summary);
        if !pass.options.is_empty() {
            let mut table = table(["option", "default", "meaning"]);
            for option in &pass.options {
                table.row([&option.name, &option.default, &option.meaning]);
            }
            text += &table.to_string();
        }
        text
    })
}
