//! The first claim, accuracy: of networks like the paper's, recorded with ten seeds, and of our larger
//! one, which is trained here, tied and untied.

use anyhow::{Context, ensure};
use hafnia_artifact::load;
use hafnia_model::Network;
use hafnia_report::plot::training_curve;
use hafnia_report::{Figure, Interval, Metrics, Part, Section, Table};
use hafnia_sim::EngineKind;
use hafnia_text::counted;

use crate::data::DataOutcome;
use crate::evaluate::{EvaluateOutcome, EvaluatedAgainst};
use crate::reproduce::deployed::Deployed;
use crate::reproduce::lab::{Lab, add, mean};
use crate::reproduce::zoo::{self, LIKE, LIKE_INTEGER};
use crate::simulate::{PooledNetworks, SimulateRequest};
use crate::train::TrainOutcome;

/// What was found of networks like the paper's.
pub(super) struct Like {
    recipes: [Recipe; 2],
    /// Images they were judged by.
    images: usize,
    /// Weights of one of them.
    weights: usize,
}

/// The networks of a recipe.
struct Recipe {
    name: &'static str,
    /// How they were trained.
    what: &'static str,
    /// Prefix of its metrics.
    key: &'static str,
    networks: Vec<EvaluateOutcome>,
}

/// Evaluates the recorded networks of the paper's shape.
pub(super) fn like(lab: &Lab<'_>) -> anyhow::Result<Like> {
    let recipe = |name, what, key| -> anyhow::Result<Recipe> {
        let evaluate = |recorded: &zoo::Recorded| {
            lab.evaluate(&format!("evaluate/{}", recorded.name), &recorded.file, None)
        };
        let recorded = zoo::of_recipe(lab, name, lab.effort.networks)?;
        let networks = recorded.iter().map(evaluate).collect::<Result<_, _>>()?;
        Ok(Recipe { name, what, key, networks })
    };
    let first = zoo::of_recipe(lab, LIKE, 1)?.remove(0);
    let network: Network = load(&first.file)?;
    let matrices = network.matrices();
    let weights = matrices.iter().map(|of| of.weights.rows() * of.weights.columns()).sum();
    Ok(Like {
        recipes: [
            recipe(LIKE, "our training", "like")?,
            recipe(LIKE_INTEGER, "integers throughout", "like_integer")?,
        ],
        images: lab.data.test,
        weights,
    })
}

impl Recipe {
    fn mean(&self, of: fn(&EvaluateOutcome) -> f64) -> Interval {
        mean(&self.networks.iter().map(of).collect::<Vec<_>>()).within(0.0, 1.0)
    }
}

impl Like {
    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> anyhow::Result<()> {
        for recipe in &self.recipes {
            let key = |rule: &str| format!("{}/accuracy_{rule}", recipe.key);
            add(metrics, &key("ties_wrong"), recipe.mean(|of| of.accuracy_ties_wrong.value))?;
            add(metrics, &key("first"), recipe.mean(|of| of.accuracy.value))?;
            metrics.insert(format!("{}/networks", recipe.key), recipe.networks.len() as f64)?;
        }
        metrics.insert("like/weights", self.weights as f64)?;
        Ok(())
    }

    pub(super) fn section(&self) -> Section {
        let mut table = Table::of([
            "recipe",
            "trained",
            ">networks",
            ">ties wrong, test %",
            ">95 % interval",
            ">least to most",
            ">first of equals, test %",
        ]);
        for recipe in &self.recipes {
            let Interval { value, lo, hi } =
                recipe.mean(|of| of.accuracy_ties_wrong.value).scaled(100.0);
            let all = || recipe.networks.iter().map(|of| 100.0 * of.accuracy_ties_wrong.value);
            table.row([
                recipe.name.to_owned(),
                recipe.what.to_owned(),
                recipe.networks.len().to_string(),
                format!("{value:.2}"),
                format!("{lo:.2} to {hi:.2}"),
                format!(
                    "{:.2} to {:.2}",
                    all().fold(f64::INFINITY, f64::min),
                    all().fold(f64::NEG_INFINITY, f64::max)
                ),
                format!("{:.2}", 100.0 * recipe.mean(|of| of.accuracy.value).value),
            ]);
        }
        Section {
            part: Part::Training,
            title: "Accuracy of networks like the paper's".to_owned(),
            text: format!(
                "The paper's shape, {} weights of one bit, activations of one bit and inputs pixel > 64, on {} test images; means over the recorded seeds with Student's t.\n\
                 The paper's figure counts a tie for the largest output as wrong; its network is the best of many by the test images, these are chosen by validation images.",
                self.weights, self.images
            ),
            tables: vec![table],
            ..Section::default()
        }
    }
}

/// What was found of our larger network.
pub(super) struct Ours {
    /// A training each: the tied ones, then the untied ones, by seed.
    pub(super) tied: Vec<TrainOutcome>,
    pub(super) untied: Vec<TrainOutcome>,
    /// Per seed, the tied network beside the untied one, on the test images.
    compared: Vec<EvaluateOutcome>,
    /// The deployed network on engine `exact`, all layers.
    exact: PooledNetworks,
}

/// Trains tied and untied networks, by seed.
pub(super) fn train(lab: &Lab<'_>) -> anyhow::Result<[Vec<TrainOutcome>; 2]> {
    let seeds = || lab.seed..lab.seed + lab.effort.seeds;
    let kinds = [("tied", "lenet5-tied"), ("untied", "lenet5")];
    let trainings = seeds().flat_map(|seed| kinds.map(|(kind, recipe)| (kind, recipe, seed)));
    lab.train_side_by_side(trainings)?;
    let curves = |kind: &str| -> anyhow::Result<Vec<TrainOutcome>> {
        seeds().map(|seed| TrainOutcome::read(&lab.training(kind, seed))).collect()
    };
    Ok([curves("tied")?, curves("untied")?])
}

/// Compares what was trained, seed by seed, and runs the deployed network on engine `exact`.
pub(super) fn ours(
    lab: &Lab<'_>,
    [tied, untied]: [Vec<TrainOutcome>; 2],
    deployed: &Deployed,
) -> anyhow::Result<Ours> {
    let seeds = lab.seed..lab.seed + lab.effort.seeds;
    let compare = |seed| {
        let untied = Some(lab.network("untied", seed));
        lab.evaluate(&format!("evaluate/seed-{seed}"), &lab.network("tied", seed), untied)
    };
    let compared = seeds.map(compare).collect::<Result<Vec<_>, _>>()?;
    let request = SimulateRequest {
        engine: EngineKind::Exact,
        noise_in: "all".to_owned(),
        ..lab.simulation(lab.seed, Vec::new())
    };
    let exact = lab.simulate("exact", &deployed.network, &[&deployed.renamed], request)?;
    let found = Ours { tied, untied, compared, exact: exact.together() };
    found.check(lab.data.test)?;
    Ok(found)
}

impl Ours {
    /// Numbers that must agree, because they are of the same network on the same images.
    fn check(&self, test_images: usize) -> anyhow::Result<()> {
        let first = self.compared.first().context("a network was trained")?;
        let (reference, exact) = (first.accuracy.value, self.exact.mappings[0].accuracy_mean);
        ensure!(
            (reference - exact).abs() < 1e-9,
            "bug in hafnia: the reference has an accuracy of {reference}, engine `exact` of {exact}"
        );
        let images = first.images;
        ensure!(images == test_images, "{images} images were tested, there are {test_images}");
        Ok(())
    }

    /// Accuracy of the untied networks minus that of the tied ones, over seeds; of one seed, paired
    /// over its images.
    fn cost_of_tying(&self) -> Interval {
        let ahead: Vec<Interval> = self.against().map(|against| against.ahead_points).collect();
        match ahead.as_slice() {
            [one] => *one,
            all => mean(&all.iter().map(|ahead| ahead.value).collect::<Vec<_>>()),
        }
    }

    /// The untied networks beside the tied ones, by seed.
    fn against(&self) -> impl Iterator<Item = &EvaluatedAgainst> {
        self.compared.iter().flat_map(|compared| &compared.against)
    }

    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> anyhow::Result<()> {
        add(metrics, "accuracy/exact", self.compared[0].accuracy)?;
        metrics.insert("accuracy/on_macro_exact", self.exact.mappings[0].accuracy_mean)?;
        metrics.insert("accuracy/epochs", self.tied[0].epochs.len() as f64)?;
        metrics.insert("accuracy/images", self.compared[0].images as f64)?;
        add(metrics, "rename/final/accuracy_cost_points", self.cost_of_tying())?;
        metrics.insert("rename/final/accuracy_cost_seeds", self.compared.len() as f64)?;
        Ok(())
    }

    pub(super) fn section(&self, data: &DataOutcome) -> anyhow::Result<Section> {
        let mut table = Table::of([
            "seed",
            ">tied, test %",
            ">untied, test %",
            ">cost, points",
            ">95 % interval",
            ">tied, validation %",
            ">epochs",
            ">s/epoch",
            ">images/s",
        ]);
        for ((compared, against), tied) in self.compared.iter().zip(self.against()).zip(&self.tied)
        {
            let ahead = against.ahead_points;
            table.row([
                tied.config["seed"].to_string(),
                format!("{:.2}", 100.0 * compared.accuracy.value),
                format!("{:.2}", 100.0 * against.accuracy.value),
                format!("{:.2}", ahead.value),
                format!("{:.2} to {:.2}", ahead.lo, ahead.hi),
                format!("{:.2}", 100.0 * tied.validation_accuracy),
                tied.epochs.len().to_string(),
                format!("{:.1}", tied.seconds() / tied.epochs.len() as f64),
                format!("{:.0}", tied.images_per_second),
            ]);
        }
        let curve = |label: &str, trained: &TrainOutcome| {
            trained.curve(format!("{label}, seed {}", trained.config["seed"]))
        };
        let curves = [curve("tied", &self.tied[0]), curve("untied", &self.untied[0])];
        let cost = self.cost_of_tying();
        let text = format!(
            "LeNet-5 with 1-bit weights, 2-bit activations and 2-bit inputs, trained on {} images; {} validation images were watched, {} test images judged.\n\
             \"Tied\" networks share row patterns in the final layer, so that row rename finds equal rows; \"untied\" ones are the same recipe without that.\n\
             The deployed network is the tied one of the first seed; the same network on the engine `exact`, all layers on the macro, has {:.2} %.\n\
             Tying costs {:.2} points ({:.2} to {:.2}, {}{}).",
            data.train,
            data.validation,
            data.test,
            100.0 * self.exact.mappings[0].accuracy_mean,
            cost.value,
            cost.lo,
            cost.hi,
            counted(self.compared.len(), "seed"),
            if self.compared.len() == 1 {
                ": paired over images"
            } else {
                ", Student's t over seeds"
            },
        );
        Ok(Section {
            part: Part::Training,
            title: "Accuracy of our larger network".to_owned(),
            text,
            tables: vec![table],
            figures: vec![Figure {
                name: "training-curve".to_owned(),
                caption: format!(
                    "Loss and accuracy on {} validation images over the epochs of the first seed, in integers without noise; one training each, so without intervals.",
                    data.validation
                ),
                svg: training_curve(&curves)?,
            }],
            ..Section::default()
        })
    }
}
