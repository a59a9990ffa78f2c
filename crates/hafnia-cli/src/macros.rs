//! `hafnia macros`, and the options by which every command is given a macro.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use clap::Args;
use hafnia_cim::{MacroSpec, SourcedValue, preset_names, sources};
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
  hafnia macros show gt-n40
  hafnia macros show my-macro.toml --format json")]
pub(crate) struct Macros {
    /// `show` and the preset or TOML file to show; the name alone does too.
    #[arg(value_name = "show NAME|FILE", num_args = 0..=2)]
    words: Vec<String>,
}

#[derive(Serialize)]
struct Value {
    key: &'static str,
    value: String,
    unit: &'static str,
    source: String,
    /// Preset or file that gives it, empty where none does.
    from: String,
}

impl Macros {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let name = match words[..] {
            [] => {
                let names: Vec<&str> = preset_names().collect();
                return output.print(&names, |names| names.join("\n"));
            }
            ["show"] => bail!("which macro? presets are listed by `hafnia macros`"),
            ["show", name] | [name] => name,
            _ => bail!("`hafnia macros` takes `show` and one name, not `{}`", words.join(" ")),
        };
        let values: Vec<Value> = sources(name)?
            .into_iter()
            .map(|SourcedValue { key, value, unit, source, from }| Value {
                key,
                value,
                unit,
                source,
                from,
            })
            .collect();
        output.print(&values, |values| {
            let header = ["key", "value", "unit", "from", "source"].map(|name| (name, Align::Left));
            let mut table = Table::new(header);
            for value in values {
                table.row([value.key, &value.value, value.unit, &value.from, &value.source]);
            }
            table.to_string()
        })
    }
}
