//! Passes of a user, through the public interface alone: one that is right, two that are not.

use std::error::Error;

use expect_test::expect;
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, Rule, Stage};
use hafnia_model::random::lenet5;
use hafnia_passes::{
    AfterPass, BoxError, Context, Pass, PassError, PassInfo, Pipeline, PipelineError, Registry,
    Statistics, Unsound,
};
use hafnia_rng::Seed;
use serde::{Deserialize, Serialize};

/// Scans the rows of every tile backwards.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ReverseRows {
    /// Leaves tiles with more entries alone; 0 is no limit.
    most: usize,
}

impl Pass for ReverseRows {
    const INFO: PassInfo = PassInfo {
        name: "reverse",
        summary: "Scans the rows of every tile backwards.",
        takes: &[Stage::Tiled, Stage::Placed],
        leaves: None,
        options: &[("most", "leaves tiles with more entries alone; 0 is no limit")],
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

/// Flips one cell.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FlipCell {}

impl Pass for FlipCell {
    const INFO: PassInfo = PassInfo {
        name: "flip",
        summary: "Flips one cell.",
        takes: &Stage::ALL,
        leaves: None,
        options: &[],
    };

    fn run(&self, mapping: &mut Mapping, _: &Context<'_>) -> Result<Statistics, PassError> {
        let bits = &mut mapping.tiles[0].bits;
        bits.set(3, 2, !bits.get(3, 2));
        Ok(Statistics::default())
    }
}

/// Says that it places tiles, and does not.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PlaceNothing {}

impl Pass for PlaceNothing {
    const INFO: PassInfo = PassInfo {
        name: "place",
        summary: "Places tiles.",
        takes: &[Stage::Tiled],
        leaves: Some(Stage::Placed),
        options: &[],
    };

    fn run(&self, _: &mut Mapping, _: &Context<'_>) -> Result<Statistics, PassError> {
        Ok(Statistics::default())
    }
}

/// Cannot do its work.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GiveUp {}

impl Pass for GiveUp {
    const INFO: PassInfo = PassInfo {
        name: "give-up",
        summary: "Cannot do its work.",
        takes: &Stage::ALL,
        leaves: None,
        options: &[],
    };

    fn run(&self, _: &mut Mapping, _: &Context<'_>) -> Result<Statistics, PassError> {
        Err(PassError::Other("no luck".into()))
    }
}

fn registry() -> Registry {
    Registry::builtin()
        .with::<ReverseRows>()
        .with::<FlipCell>()
        .with::<PlaceNothing>()
        .with::<GiveUp>()
}

/// Runs `tile` and one more pass on LeNet-5.
fn run(
    pass: &str,
    after: &mut dyn FnMut(&AfterPass<'_>) -> Result<(), BoxError>,
) -> Result<Mapping, PipelineError> {
    let network = lenet5(Seed(1));
    let spec = MacroSpec::preset("gt-n40").expect("a preset");
    let context = Context {
        network: &network,
        spec: &spec,
        profile: None,
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    let text = format!("name = \"x\"\n[[pass]]\nuse = \"tile\"\n[[pass]]\n{pass}");
    let pipeline = Pipeline::parse(&text, &registry())?;
    let logical = Mapping::logical(&network, &spec);
    Ok(pipeline.run(logical, &context, after)?.mapping)
}

#[test]
fn a_users_pass_runs_between_built_in_ones() {
    let mut reports = String::new();
    let mapping = run("use = \"reverse\"\nmost = 30\n[[pass]]\nuse = \"pack\"", &mut |after| {
        reports.push_str(&format!("{} {}\n{}", after.index, after.name, after.statistics));
        Ok(())
    });
    expect![[r#"
        0 tile
        tiles: 5 -> 9 (+80.0 %)
        scans of a tile, per image: 887 -> 990 (+11.6 %)
        digital additions, per image: 0 -> 1960
        conversion cycles, per image at most: 10848 -> 11052 (+1.9 %)
        conversions, per image at most: 125216 -> 128896 (+2.9 %)
        1 reverse
        reversed tiles: 3
        2 pack
        macros: 5
        macros, lower bound: 4
        cells in use, %: 75.04
    "#]]
    .assert_eq(&reports);
    assert_eq!(mapping.unwrap().tiles[0].rows.logical()[..3], [24, 23, 22]);
}

#[test]
fn a_users_pass_is_documented() {
    let page = registry().to_markdown();
    let section = page.split("\n## ").find(|section| section.starts_with("reverse"));
    expect![[r#"
        reverse

        Scans the rows of every tile backwards.

        | option | default | meaning |
        |---|---|---|
        | `most` | `0` | leaves tiles with more entries alone; 0 is no limit |
    "#]]
    .assert_eq(section.unwrap());
}

fn stop(pass: &str) -> PipelineError {
    run(pass, &mut |_| Ok(())).expect_err("a pass that fails")
}

#[test]
fn a_pass_that_breaks_the_mapping_is_named() {
    let flip = stop("use = \"flip\"");
    let message = "pass `flip` broke the mapping: this is a bug of the pass";
    assert_eq!(flip.to_string(), message);
    let PipelineError::Bug { pass: "flip", source: Unsound::Rules(violations) } = &flip else {
        panic!("{flip}")
    };
    assert_eq!(violations.first().rule, Rule::Weights);

    let place = stop("use = \"place\"");
    let stages = Unsound::Stage { found: Stage::Tiled, expected: Stage::Placed };
    assert_eq!(place.source().unwrap().to_string(), stages.to_string());
}

#[test]
fn a_pass_that_stops_is_named() {
    let error = stop("use = \"give-up\"");
    assert_eq!(error.to_string(), "pass `give-up` stopped");
    assert_eq!(error.source().unwrap().to_string(), "no luck");
}

#[test]
fn what_is_done_after_a_pass_may_stop_the_pipeline() {
    let error = run("use = \"pack\"", &mut |after| match after.name {
        "pack" => Err("no room on the disk".into()),
        _ => Ok(()),
    });
    assert_eq!(error.unwrap_err().to_string(), "after pass `pack`");
}
