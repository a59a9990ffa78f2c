//! A pass of one's own in a program of one's own, which builds neither burn nor the command line.

use hafnia::cim::CodeTable;
use hafnia::ir::Stage;
use hafnia::model::random;
use hafnia::passes::{Context, CutTiles, PackTiles, PassError, PassInfo, Statistics};
use hafnia::prelude::*;
use serde::{Deserialize, Serialize};

/// Scans the rows with the most ones first.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DensestFirst {}

impl Pass for DensestFirst {
    const INFO: PassInfo = PassInfo {
        name: "densest-first",
        summary: "Scans the rows with the most ones first.",
        takes: &[Stage::Tiled, Stage::Placed],
        leaves: None,
        options: &[],
    };

    fn run(&self, mapping: &mut Mapping, _: &Context<'_>) -> Result<Statistics, PassError> {
        for tile in &mut mapping.tiles {
            let ones =
                |row: usize| (0..tile.bits.columns()).filter(|&c| tile.bits.get(row, c)).count();
            let mut order: Vec<usize> = (0..tile.rows.len()).collect();
            order.sort_by_key(|&row| std::cmp::Reverse(ones(row)));
            *tile = tile.with_order(&order);
        }
        Ok(Statistics::default())
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (network, spec) = (random::lenet5(Seed(1)), MacroSpec::preset("gt-n40")?);
    let pipeline = Pipeline::new("mine")
        .then(CutTiles::default())?
        .then(DensestFirst {})?
        .then(PackTiles::default())?;
    let context = Context {
        network: &network,
        spec: &spec,
        profile: None,
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    // Verified and proved behind every pass, whatever it does.
    let outcome = pipeline.run(Mapping::logical(&network, &spec), &context, &mut |_| Ok(()))?;
    let mapping = outcome.mapping;
    hafnia::sim::check_equivalence(&network, &mapping, &spec, Seed(1))?;
    println!("{} tiles on {} macros, proved", mapping.tiles.len(), mapping.macros());
    Ok(())
}
