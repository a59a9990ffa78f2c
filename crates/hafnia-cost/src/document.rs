//! The tables of `docs/cost.md`, in Markdown.

use crate::calibration::Calibration;
use crate::model::CostModel;
use crate::range::digits;

/// Every constant of a model with its range, unit and source.
pub fn constants_table(model: &CostModel) -> String {
    let mut text =
        "| constant | value | range | unit | source |\n| :-- | --: | :-: | :-- | :-- |\n"
            .to_owned();
    for constant in model.constants() {
        let range = match constant.is_assumed() {
            true => format!("{} to {}", constant.lo, constant.hi),
            false => String::new(),
        };
        let (key, unit, source) = (&constant.key, &constant.unit, &constant.source);
        let source = source.replace('|', "\\|");
        text += &format!("| `{key}` | {} | {range} | {unit} | {source} |\n", constant.value);
    }
    text
}

/// What a calibration met and foretold, and the factors it took.
pub fn calibration_table(calibration: &Calibration) -> String {
    let mut text = "| figure | used | published | model | miss | miss of the binary figure again |\n| :-- | :-- | --: | --: | --: | --: |\n"
        .to_owned();
    for figure in &calibration.figures {
        let used = match (figure.fitted, figure.held) {
            (true, _) => "to calibrate",
            (false, true) => "foretold, within the range",
            (false, false) => "foretold, outside the range",
        };
        let model = match figure.fitted {
            true => digits(figure.model.typical),
            false => figure.model.to_string(),
        };
        let pct = |rel: f64| format!("{:+.1} %", 100.0 * rel);
        let (miss, naive) = match figure.fitted {
            true => ("by construction".to_owned(), String::new()),
            false => (pct(figure.miss_rel), pct(figure.naive_miss_rel)),
        };
        let (name, published) = (&figure.name, figure.published);
        text += &format!("| {name} | {used} | {published} | {model} | {miss} | {naive} |\n");
    }
    let Calibration { draws, refused, energy_scale, area_scale, macro_mm2, cells_rel, .. } =
        calibration;
    let (nearer, one_cell_mm2) = (calibration.nearer_ternary(), calibration.one_cell_macro_mm2);
    let cells_pct = cells_rel.scaled(100.0);
    text += &format!("\nThe nearer forecast of ternary weights: {}.\n", nearer.figure());
    text += "\n| found by it | value |\n| :-- | --: |\n";
    text += &format!("| factor of analog energies | {energy_scale} |\n");
    text += &format!("| factor of the area of periphery | {area_scale} |\n");
    text += &format!("| area of a macro, mm2 | {macro_mm2} |\n");
    text += &format!("| the same, if a ternary weight is one cell, mm2 | {one_cell_mm2} |\n");
    text += &format!("| the array of cells in it, % | {cells_pct} |\n");
    text += &format!("| draws, and draws that cannot be calibrated | {draws}, {refused} |\n");
    text
}
