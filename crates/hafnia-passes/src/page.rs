//! [`Registry::to_markdown`]: the page that documents the passes.

use std::fmt::Write;

use hafnia_ir::Stage;

use crate::pass::PassInfo;
use crate::pipeline::Pipeline;
use crate::registry::Registry;

impl Registry {
    /// The page that documents the passes and the built-in pipelines.
    pub fn to_markdown(&self) -> String {
        let mut page = String::from("# Passes\n\n");
        page.push_str("This page is generated from the registry of passes.\n");
        page.push_str("How to write one: [new-pass.md](new-pass.md).\n\n");
        page.push_str("| pass | takes | leaves | what it does |\n|---|---|---|---|\n");
        for PassInfo { name, summary, takes, leaves, .. } in self.infos() {
            let takes: Vec<&str> = takes.iter().map(|stage| stage.name()).collect();
            let leaves = leaves.map_or("the same", Stage::name);
            let takes = takes.join(", ");
            writeln!(page, "| [`{name}`](#{name}) | {takes} | {leaves} | {summary} |")
                .expect(STRING);
        }
        for pass in self.passes() {
            let PassInfo { name, summary, options, .. } = *pass.info();
            writeln!(page, "\n## {name}\n\n{summary}").expect(STRING);
            if options.is_empty() {
                page.push_str("It has no options.\n");
                continue;
            }
            page.push_str("\n| option | default | meaning |\n|---|---|---|\n");
            for (option, meaning) in options {
                let default = pass.options().get(*option);
                let default = default.map_or("none".to_owned(), |value| format!("`{value}`"));
                writeln!(page, "| `{option}` | {default} | {meaning} |").expect(STRING);
            }
        }
        page.push_str("\n## Built-in pipelines\n");
        for (name, text) in Pipeline::BUILTIN {
            writeln!(page, "\n### {name}\n\n```toml\n{}\n```", text.trim_end()).expect(STRING);
        }
        page
    }
}

const STRING: &str = "a string takes everything";

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::passes::rename::RenameRows;
    use crate::passes::strip_dead::StripDead;

    #[test]
    fn the_page_shows_stages_and_defaults() {
        let page = Registry::empty().with::<RenameRows>().with::<StripDead>().to_markdown();
        let passes = page.split("\n## Built-in").next().expect("a first part");
        expect![[r##"
            # Passes

            This page is generated from the registry of passes.
            How to write one: [new-pass.md](new-pass.md).

            | pass | takes | leaves | what it does |
            |---|---|---|---|
            | [`rename`](#rename) | logical, tiled | the same | Lets rows with equal bits share one physical row. |
            | [`strip-dead`](#strip-dead) | logical | the same | Takes rows that are never on out of the cells. |

            ## rename

            Lets rows with equal bits share one physical row.

            | option | default | meaning |
            |---|---|---|
            | `mode` | `"repeat"` | `repeat`: the shared row is issued once for every logical row that is on; `pre-add`: activations of rows that share are added up first, and the shared row is issued for the bits of the sum |

            ## strip-dead

            Takes rows that are never on out of the cells.
            It has no options.
        "##]].assert_eq(passes);
    }
}
