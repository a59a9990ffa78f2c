//! A pass of one's own in the whole command line, as docs/new-pass.md describes it:
//! `cargo run --release -p hafnia-cli --example own_pass -- passes reverse`.

use std::process::ExitCode;

use hafnia_ir::{Mapping, Stage};
use hafnia_passes::{Context, Pass, PassError, PassInfo, Registry, Statistics};
use serde::{Deserialize, Serialize};

/// Scans the rows of every tile backwards.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ReverseRows {
    /// Tiles with more entries are left alone; 0 is no limit.
    most: usize,
}

impl Pass for ReverseRows {
    const INFO: PassInfo = PassInfo {
        name: "reverse",
        summary: "Scans the rows of every tile backwards.",
        takes: &[Stage::Tiled, Stage::Placed],
        leaves: None,
        options: &[("most", "tiles with more entries are left alone; 0 is no limit")],
    };

    fn run(&self, mapping: &mut Mapping, _: &Context<'_>) -> Result<Statistics, PassError> {
        let mut reversed = 0;
        for tile in &mut mapping.tiles {
            if self.most == 0 || tile.rows.len() <= self.most {
                let order: Vec<usize> = (0..tile.rows.len()).rev().collect();
                *tile = tile.with_order(&order);
                reversed += 1;
            }
        }
        Ok(Statistics::default().found("reversed tiles", f64::from(reversed)))
    }
}

fn main() -> ExitCode {
    hafnia_cli::run(Registry::builtin().with::<ReverseRows>())
}
