//! What to build: the recorded networks on macros of the preset, by accuracy, area and energy, and the
//! design for whoever wants most of one of them. Validation images choose, test images are shown.

use std::path::{Path, PathBuf};

use hafnia_cost::Range;
use hafnia_report::plot::{self, designs};
use hafnia_report::{Figure, INTERVAL, Interval, Metrics, Part, Section, Table};
use hafnia_stats::mean_accuracy;
use hafnia_text::counted;

use crate::cost::CostRequest;
use crate::data;
use crate::reproduce::lab::{Lab, Wanted, add};
use crate::reproduce::zoo::{self, Recorded};
use crate::request::name_of;
use crate::simulate::{Found, SimulateRequest};
use crate::source::NetworkSource;

/// How every network is mapped: as it is, and with rows shared and tiles packed.
const PIPELINES: [&str; 2] = ["natural", "compact"];

/// The claim whose number a design must reach to be recommended for its area or energy.
const ACCURACY: &str = "P1";

/// What was found.
pub(super) struct Designs {
    designs: Vec<Design>,
    /// Images that chose, and that are shown.
    images: [usize; 2],
    /// Virtual chips of every network.
    chips: usize,
    /// Accuracy that the paper reaches, in %.
    least_pct: f64,
}

/// The networks of a recipe by a pipeline.
struct Design {
    recipe: String,
    pipeline: &'static str,
    networks: usize,
    /// With noise in all layers, in %: on validation images, and on test images.
    accuracy_pct: [Interval; 2],
    macros: usize,
    /// Of the first network.
    area_mm2: Range,
    energy_nj: Range,
}

/// Maps, prices and simulates the recorded networks.
pub(super) fn run(lab: &Lab<'_>) -> anyhow::Result<Designs> {
    let wanted = lab.effort.design_images;
    let images = [wanted.min(lab.data.validation), wanted.min(lab.data.test)];
    let mut found = Designs { designs: Vec::new(), images, chips: 0, least_pct: 0.0 };
    let claim = lab.claims.claims.iter().find(|claim| claim.id == ACCURACY);
    found.least_pct = claim.map_or(0.0, |claim| claim.paper);
    for (recipe, networks) in zoo::recipes(lab, lab.effort.designed_networks)? {
        let mut accuracies = [(); PIPELINES.len()].map(|()| [Interval::exact(0.0); 2]);
        let wanted: Vec<Wanted<'_>> = networks
            .iter()
            .flat_map(|Recorded { name, file, .. }| {
                PIPELINES.map(|pipeline| Wanted {
                    name: format!("build/{name}-{pipeline}"),
                    network: file,
                    pipeline,
                    profile: None,
                    set: &[],
                })
            })
            .collect();
        let mappings = lab.map_all(&wanted)?;
        let files = networks.iter().map(|network| network.file.as_path());
        let mapped: Vec<(&Path, &[PathBuf])> =
            files.zip(mappings.chunks(PIPELINES.len())).collect();
        for (index, part) in [data::Part::Validation, data::Part::Test].into_iter().enumerate() {
            let [by_natural, by_compact] = simulate(lab, &recipe, &mapped, part, images[index])?;
            found.chips = by_natural.chips;
            for (accuracy, of) in accuracies.iter_mut().zip([by_natural, by_compact]) {
                accuracy[index] = mean_accuracy(&of.accuracies, images[index]).scaled(100.0);
            }
        }
        for ((pipeline, accuracy_pct), which) in PIPELINES.into_iter().zip(accuracies).zip(0..) {
            let request = CostRequest {
                mapping: Some(mapped[0].1[which].clone()),
                images: Some(images[0].min(200)),
                part: data::Part::Validation,
                seed: lab.seed,
                data: lab.source.clone(),
                network: NetworkSource::File(mapped[0].0.to_owned()),
                ..CostRequest::default()
            };
            let cost = lab.ask(&format!("build/{recipe}-{pipeline}"), &request)?.cost;
            found.designs.push(Design {
                recipe: recipe.clone(),
                pipeline,
                networks: networks.len(),
                accuracy_pct,
                macros: cost.macros,
                area_mm2: cost.whole_um2.scaled(1e-6),
                energy_nj: cost.energy_fj.total.scaled(1e-6),
            });
        }
    }
    Ok(found)
}

/// What the networks of a recipe reach by a pipeline.
struct Reached {
    /// Of every network, the mean over chips.
    accuracies: Vec<f64>,
    chips: usize,
}

/// Runs networks by both pipelines, with the noise of the preset in all layers.
fn simulate(
    lab: &Lab<'_>,
    recipe: &str,
    mapped: &[(&Path, &[PathBuf])],
    part: data::Part,
    images: usize,
) -> anyhow::Result<[Reached; 2]> {
    let files: Vec<&Path> = mapped
        .iter()
        .flat_map(|(file, mappings)| std::iter::once(*file).chain(mappings.iter().map(|of| &**of)))
        .collect();
    // Other chips are shown than those that choose.
    let seed = match part {
        data::Part::Test => lab.test_seed(),
        _ => lab.validation_seed(),
    };
    let request = SimulateRequest {
        noise_in: "all".to_owned(),
        chips: lab.effort.design_chips,
        part,
        images: Some(images),
        ..lab.simulation(seed, Vec::new())
    };
    let name = format!("build/{recipe}-{}", name_of(&part));
    let outcome = lab.simulate(&name, files[0], &files[1..], request)?;
    let chips = outcome.chips;
    let networks = match outcome.found {
        Found::One(of) => vec![of],
        Found::Several { networks, .. } => networks.into_iter().map(|of| of.found).collect(),
    };
    Ok([0, 1].map(|which| Reached {
        accuracies: networks.iter().map(|of| of.mappings[which].accuracy_mean).collect(),
        chips,
    }))
}

impl Design {
    /// As it would be typed.
    fn name(&self) -> String {
        format!("`{}` by `{}`", self.recipe, self.pipeline)
    }

    fn validation(&self) -> f64 {
        self.accuracy_pct[0].value
    }
}

/// A number of percent with its interval.
fn in_percent(Interval { value, lo, hi }: Interval) -> String {
    format!("{value:.2} % ({lo:.2} to {hi:.2})")
}

/// A number of a unit with its range.
fn with_unit(Range { typical, lo, hi }: Range, unit: &str) -> String {
    let digits = |value: f64| Range { typical: value, lo: value, hi: value }.to_string();
    format!("{} {unit} ({} to {})", digits(typical), digits(lo), digits(hi))
}

/// A cost of a design.
type CostOf = fn(&Design) -> Range;

/// A design that is recommended.
struct Choice<'a> {
    who: &'static str,
    design: &'a Design,
    /// Why, in a sentence.
    reason: String,
}

impl Designs {
    /// The designs that validation images choose for three users.
    fn choices(&self) -> Vec<Choice<'_>> {
        let by_accuracy = |a: &&Design, b: &&Design| {
            let order = a.validation().total_cmp(&b.validation());
            // Of equals the smaller.
            order.then(b.area_mm2.typical.total_cmp(&a.area_mm2.typical))
        };
        let Some(best) = self.designs.iter().max_by(by_accuracy) else { return Vec::new() };
        let others = self.designs.iter().filter(|design| design.recipe != best.recipe);
        let next = others.max_by(by_accuracy).map_or(String::new(), |next| {
            format!(", {:.2} points above {}", best.validation() - next.validation(), next.name())
        });
        let count = self.designs.len();
        let mut choices = vec![Choice {
            who: "accuracy",
            design: best,
            reason: format!(
                "of {count} designs it is right on most validation images, {}{next}",
                in_percent(best.accuracy_pct[0])
            ),
        }];
        let reach: Vec<&Design> =
            self.designs.iter().filter(|design| design.validation() >= self.least_pct).collect();
        let costs: [(&str, &str, CostOf); 2] =
            [("area", "mm²", |of| of.area_mm2), ("energy", "nJ an image", |of| of.energy_nj)];
        for (who, unit, cost) in costs {
            let least = reach.iter().copied().min_by(|a, b| {
                let order = cost(a).typical.total_cmp(&cost(b).typical);
                // Of equals the more accurate.
                order.then(b.validation().total_cmp(&a.validation()))
            });
            choices.extend(least.map(|design| {
                let against = match std::ptr::eq(design, best) {
                    true => "and is the most accurate one too".to_owned(),
                    false => format!(
                        "{:.2} times as much as the most accurate one, and is {:.2} points below it",
                        cost(design).typical / cost(best).typical,
                        best.validation() - design.validation(),
                    ),
                };
                let reason = format!(
                    "of the {} that reach the paper's {:.2} % on validation images it takes least, {}, {against}",
                    counted(reach.len(), "design"),
                    self.least_pct,
                    with_unit(cost(design), unit),
                );
                Choice { who, design, reason }
            }));
        }
        choices
    }

    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> anyhow::Result<()> {
        let interval = |Range { typical: value, lo, hi }: Range| Interval { value, lo, hi };
        for of in &self.designs {
            let key = |what: &str| format!("build/{}/{}/{what}", of.recipe, of.pipeline);
            add(metrics, &key("accuracy"), of.accuracy_pct[1].scaled(0.01))?;
            add(metrics, &key("area_mm2"), interval(of.area_mm2))?;
            add(metrics, &key("energy_nj_per_image"), interval(of.energy_nj))?;
        }
        Ok(())
    }

    pub(super) fn section(&self) -> anyhow::Result<Section> {
        let choices = self.choices();
        let [validation, test] = self.images;
        let mut text = String::new();
        for Choice { who, design, reason } in &choices {
            text += &format!("- For {who}, {}: {reason}.\n", design.name());
        }
        if choices.len() < 3 {
            text += &format!(
                "\nNo design reaches the paper's {:.2} % on the validation images of this run, so that none is recommended for its area or energy.\n",
                self.least_pct
            );
        }
        text += &format!(
            "\nThe recorded networks on macros of the preset with its noise in all layers, engine `device`: {} of each network, {validation} validation images to choose by, {test} test images on other chips to show.\n\
             Each design is {} of one recipe; accuracies have 95 % intervals over them, Student's t, on the same images; area (whole macros and tables) and energy are of the first network, and their ranges are 5 % to 95 % of the draws of what the cost model assumes.",
            counted(self.chips, "virtual chip"),
            self.designs.iter().map(|of| of.networks).max().map_or(
                String::new(),
                |most| match most {
                    1 => "one network".to_owned(),
                    _ => format!("up to {most} networks"),
                }
            ),
        );
        let mut table = Table::of([
            "network",
            "by",
            "best for",
            ">macros",
            ">area, mm²",
            ">energy, nJ/image",
            ">validation, %",
            ">test, %",
            INTERVAL,
        ]);
        for design in &self.designs {
            let chosen = choices.iter().filter(|choice| std::ptr::eq(choice.design, design));
            let [validation, test] = design.accuracy_pct;
            table.row([
                design.recipe.clone(),
                design.pipeline.to_owned(),
                chosen.map(|choice| choice.who).collect::<Vec<_>>().join(", "),
                design.macros.to_string(),
                design.area_mm2.to_string(),
                design.energy_nj.to_string(),
                format!("{:.2}", validation.value),
                format!("{:.2}", test.value),
                format!("{:.2} to {:.2}", test.lo, test.hi),
            ]);
        }
        Ok(Section {
            part: Part::Build,
            title: "What to build".to_owned(),
            text,
            tables: vec![table],
            figures: vec![self.figure()?],
            ..Section::default()
        })
    }

    fn figure(&self) -> anyhow::Result<Figure> {
        let interval = |Range { typical: value, lo, hi }: Range| Interval { value, lo, hi };
        let drawn = |of: &Design| plot::Design {
            group: of.pipeline.to_owned(),
            name: of.recipe.clone(),
            costs: vec![interval(of.area_mm2), interval(of.energy_nj)],
            accuracy_pct: of.accuracy_pct[1],
        };
        let all: Vec<plot::Design> = self.designs.iter().map(drawn).collect();
        Ok(Figure {
            name: "designs".to_owned(),
            caption: format!(
                "Accuracy over area and energy of {} designs, {} each on {} test images, engine `device`; lines along accuracy are 95 % intervals over networks, across it 5 % to 95 % of what the cost model assumes. Designs with a name have none at least as accurate for less.",
                self.designs.len(),
                counted(self.chips, "virtual chip"),
                self.images[1]
            ),
            svg: designs("test", &["area, mm²", "energy of an image, nJ"], &all)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn design(recipe: &str, accuracy_pct: f64, area: f64, energy: f64) -> Design {
        let range = |typical: f64| Range { typical, lo: typical / 2.0, hi: typical * 2.0 };
        Design {
            recipe: recipe.to_owned(),
            pipeline: "compact",
            networks: 5,
            // On test images the order is another: they choose nothing.
            accuracy_pct: [accuracy_pct, 100.0 - accuracy_pct].map(Interval::exact),
            macros: 1,
            area_mm2: range(area),
            energy_nj: range(energy),
        }
    }

    #[test]
    fn validation_images_choose_for_three_users() {
        let designs = vec![
            design("best", 99.0, 1.0, 20.0),
            design("small", 97.0, 0.25, 18.0),
            design("frugal", 98.0, 0.5, 10.0),
            design("poor", 96.0, 0.125, 5.0),
        ];
        let found = Designs { designs, images: [10, 10], chips: 2, least_pct: 96.66 };
        let choices = found.choices();
        let named: Vec<_> = choices.iter().map(|of| (of.who, of.design.recipe.as_str())).collect();
        assert_eq!(named, [("accuracy", "best"), ("area", "small"), ("energy", "frugal")]);
        assert!(choices[0].reason.ends_with("1.00 points above `frugal` by `compact`"));
        assert!(choices[1].reason.contains("of the 3 designs that reach the paper's 96.66 %"));
        let section = found.section().unwrap();
        assert!(!section.text.contains("No design reaches"));
        let none = Designs { least_pct: 99.5, ..found };
        assert!(none.section().unwrap().text.contains("No design reaches the paper's 99.50 %"));
    }
}
