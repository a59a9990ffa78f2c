//! `hafnia macros`.

use anyhow::bail;
use clap::Args;
use hafnia_cim::{preset_names, sources};

use crate::output::{Output, table};

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
        output.print(&sources(name)?, |values| {
            let mut table = table(["key", "value", "unit", "from", "source"]);
            for value in values {
                table.row([value.key, &value.value, value.unit, &value.from, &value.source]);
            }
            table.to_string()
        })
    }
}
