//! `hafnia macros`, and the options by which every command is given a macro.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::Args;
use hafnia_cim::{MacroSpec, preset_names, sources};
use hafnia_report::{Align, Table};
use serde::Serialize;

use crate::output::Output;

/// The macro that is simulated.
#[derive(Args, Debug, Clone)]
pub(crate) struct SpecOptions {
    /// Preset, or a TOML file of the same form (hafnia macros).
    #[arg(long = "macro", value_name = "NAME|FILE", default_value = "gt-n40")]
    pub(crate) name: String,
    /// Override a value of the macro, such as sigma_lrs_rel=0.2 or input_control=fixed-group.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

impl SpecOptions {
    /// The macro with its overrides, checked.
    pub(crate) fn load(&self) -> anyhow::Result<MacroSpec> {
        let mut spec = MacroSpec::load(&self.name)?;
        for given in &self.overrides {
            let (key, value) = given
                .split_once('=')
                .with_context(|| format!("--set takes KEY=VALUE, not `{given}`"))?;
            spec.set(key.trim(), value.trim())?;
        }
        Ok(spec)
    }

    /// The macro as manifests and results hold it.
    pub(crate) fn resolved(&self, spec: &MacroSpec) -> BTreeMap<String, String> {
        let mut values: BTreeMap<String, String> =
            spec.values().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        values.insert("name".to_owned(), spec.name.clone());
        values
    }
}

/// List the presets, or show one with the source of every value.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia macros
  hafnia macros gt-n40
  hafnia macros my-macro.toml --format json")]
pub(crate) struct Macros {
    /// Preset or TOML file to show.
    name: Option<String>,
}

#[derive(Serialize)]
struct Value {
    key: &'static str,
    value: String,
    unit: &'static str,
    source: String,
}

impl Macros {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        let Some(name) = &self.name else {
            let names: Vec<&str> = preset_names().collect();
            return output.print(&names, |names| names.join("\n"));
        };
        let values: Vec<Value> = sources(name)?
            .into_iter()
            .map(|v| Value { key: v.key, value: v.value, unit: v.unit, source: v.source })
            .collect();
        output.print(&values, |values| {
            let header = ["key", "value", "unit", "source"].map(|name| (name, Align::Left));
            let mut table = Table::new(header);
            for value in values {
                table.row([value.key, &value.value, value.unit, &value.source]);
            }
            table.to_string()
        })
    }
}
