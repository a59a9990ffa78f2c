//! [`refine`]: a search on the integers of a trained network.

use hafnia_model::{MatrixLayer, Network, Weights};
use hafnia_rng::Seed;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};

use crate::error::TuneError;
use crate::loss::Score;
use crate::search::Search;
use crate::state::State;

/// Images as a network takes them.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    /// Activations of the input, (image, channel, y, x).
    pub activations: &'a [u8],
    /// The class of each image.
    pub labels: &'a [u32],
}

/// What [`refine`] looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Names of the layers, in the order in which a pass visits them; none for all linear layers,
    /// the last first.
    pub layers: Vec<String>,
    /// How often every layer is visited, 1 to 1000; a pass that changes nothing is the last.
    pub passes: u32,
    /// How far a threshold may go in one move, 1 to 255.
    pub reach: i32,
    /// How many standard errors, over all images, a move must lower the loss by, 0 to 10: what gains
    /// less may well be chance.
    pub sigmas: f64,
    /// Share of the images that is held back, 0 to 0.9: no move may raise their loss.
    pub held_back: f64,
    /// Which images are held back, and in which order channels are visited.
    pub seed: Seed,
}

impl Default for Options {
    /// Four passes over all linear layers, thresholds up to 4 further, a fifth of the images held
    /// back.
    fn default() -> Self {
        Self { layers: Vec::new(), passes: 4, reach: 4, sigmas: 2.0, held_back: 0.2, seed: Seed(1) }
    }
}

/// The result of [`refine`].
#[derive(Debug, Clone)]
pub struct Refined {
    /// The network, with other integers.
    pub network: Network,
    /// What was done to it.
    pub report: RefineReport,
}

/// What [`refine`] did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefineReport {
    /// The factor of the outputs in the loss: what fits the images that are searched on.
    pub scale: f64,
    /// On the images that are searched on.
    pub searched: Change,
    /// On the images that are held back.
    pub held_back: Change,
    /// What changed in each layer.
    pub differences: Vec<Difference>,
    /// Visits of layers, in order.
    pub visits: Vec<Visit>,
}

/// In what a matrix layer differs from what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Name of the layer.
    pub layer: String,
    /// Bits of weights that differ.
    pub bits: u64,
    /// Thresholds that differ.
    pub thresholds: u64,
}

/// A score before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Of the network as it was.
    pub before: Score,
    /// Of the network as it became.
    pub after: Score,
}

/// What a visit of a layer did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// Number of the pass, from 1.
    pub pass: u32,
    /// Name of the layer.
    pub layer: String,
    /// Moves that were looked at: thresholds of a channel, or a step of a weight with thresholds.
    pub tried: u64,
    /// Moves that were made.
    pub made: u64,
    /// The sum of losses afterwards: of the images that are searched on, and of those held back.
    pub losses: [i64; 2],
}

/// Searches weights and thresholds near a network's for a lower loss on images.
///
/// A move is a step of one weight to a neighbouring value, with the thresholds of its channel set
/// anew, or those thresholds alone. It is made if it lowers the [`Loss`](crate::Loss) of the images
/// that are searched on and does not raise that of the images held back.
/// Calls `progress` with (channels visited, channels of all passes).
///
/// # Errors
/// If images do not fit the network, a layer is not there or an option is outside its range.
pub fn refine(
    network: &Network,
    images: Images<'_>,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Refined, TuneError> {
    options.check()?;
    let indices = layers(network, &options.layers)?;
    let state = state(network, images, options)?;
    let mut search = Search::new(state, options.reach, options.sigmas);
    let (searched, held_back) = search.state.scores();
    let visits = descend(&mut search, &indices, options, progress);
    let (searched_after, held_back_after) = search.state.scores();
    let after = search.state.network(network);
    let report = RefineReport {
        differences: differences(network, &after),
        scale: search.state.loss.scale(),
        searched: Change { before: searched, after: searched_after },
        held_back: Change { before: held_back, after: held_back_after },
        visits,
    };
    Ok(Refined { network: after, report })
}

/// Passes over stages until one changes nothing.
pub(crate) fn descend(
    search: &mut Search,
    indices: &[usize],
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Vec<Visit> {
    let channels: usize = indices.iter().map(|&index| search.state.stages[index].columns).sum();
    let of = channels as u64 * u64::from(options.passes);
    let mut done = 0;
    let mut visits: Vec<Visit> = Vec::new();
    for pass in 1..=options.passes {
        let mut made = 0;
        for &index in indices {
            let seed = options.seed.index(pass.into()).index(index as u64);
            let counts = search.visit(index, seed, &mut || {
                done += 1;
                progress(done, of);
            });
            made += counts.made;
            visits.push(Visit {
                pass,
                layer: search.state.stages[index].name.clone(),
                tried: counts.tried,
                made: counts.made,
                losses: search.state.losses(),
            });
        }
        if made == 0 {
            break;
        }
    }
    visits
}

impl Options {
    /// Which of `images` images are searched on, and which are held back, ascending.
    ///
    /// # Panics
    /// If [`held_back`](Self::held_back) is outside its range.
    pub fn split(&self, images: usize) -> (Vec<usize>, Vec<usize>) {
        assert!((0.0..=0.9).contains(&self.held_back), "a share of {}", self.held_back);
        let mut order: Vec<usize> = (0..images).collect();
        order.shuffle(&mut self.seed.site("tune/held-back").rng());
        let mut searched = order.split_off((self.held_back * images as f64) as usize);
        searched.sort_unstable();
        order.sort_unstable();
        (searched, order)
    }

    pub(crate) fn check(&self) -> Result<(), TuneError> {
        let range = |key, value: f64, min: f64, max: f64| match (min..=max).contains(&value) {
            true => Ok(()),
            false => Err(TuneError::Range { key, value, min, max }),
        };
        range("passes", self.passes.into(), 1.0, 1000.0)?;
        range("reach", self.reach.into(), 1.0, 255.0)?;
        range("sigmas", self.sigmas, 0.0, 10.0)?;
        range("held_back", self.held_back, 0.0, 0.9)
    }
}

/// The positions of named matrix layers, or of all linear ones from the last on.
pub(crate) fn layers(network: &Network, names: &[String]) -> Result<Vec<usize>, TuneError> {
    let matrices = network.matrices();
    if names.is_empty() {
        let is_linear =
            |layer: usize| matches!(network.layers()[layer], hafnia_model::Layer::Linear(_));
        return Ok((0..matrices.len()).rev().filter(|&i| is_linear(matrices[i].layer)).collect());
    }
    names.iter().map(|name| position(network, "layers", name)).collect()
}

/// The position of a matrix layer.
pub(crate) fn position(
    network: &Network,
    key: &'static str,
    name: &str,
) -> Result<usize, TuneError> {
    let matrices = network.matrices();
    matrices.iter().position(|matrix| matrix.name == name).ok_or_else(|| {
        let known: Vec<&str> = matrices.iter().map(|matrix| matrix.name).collect();
        TuneError::Layer { key, name: name.to_owned(), known: known.join(", ") }
    })
}

/// In what two networks of the same layers differ.
pub(crate) fn differences(before: &Network, after: &Network) -> Vec<Difference> {
    let layers = before.matrices().into_iter().zip(after.matrices());
    let difference = |(old, new): (MatrixLayer<'_>, MatrixLayer<'_>)| {
        let bits = |row| bits_changed(old.weights, new.weights, row);
        let values = |layer: &MatrixLayer<'_>| layer.thresholds.map(|t| t.values.clone());
        let thresholds = values(&old).into_iter().flatten().zip(values(&new).into_iter().flatten());
        Difference {
            layer: old.name.to_owned(),
            bits: (0..old.weights.rows()).map(bits).sum(),
            thresholds: thresholds.filter(|(old, new)| old != new).count() as u64,
        }
    };
    layers.map(difference).collect()
}

/// Bits in which a row of two matrices differs.
pub(crate) fn bits_changed(old: &Weights, new: &Weights, row: usize) -> u64 {
    // Odd numbers are told apart by all bits but the lowest, counted from the least that there may be.
    let (least, step) = match old.is_odd() && new.is_odd() {
        true => (1 - (1 << old.bits().max(new.bits())), 2),
        false => (0, 1),
    };
    let number = |weight: i16| (i32::from(weight) - least) / step;
    let weights = old.row(row).iter().zip(new.row(row));
    weights.map(|(&old, &new)| u64::from((number(old) ^ number(new)).count_ones())).sum()
}

/// Checks images, and runs the network on those that are searched on and those held back.
pub(crate) fn state(
    network: &Network,
    images: Images<'_>,
    options: &Options,
) -> Result<State, TuneError> {
    if !network.is_plain() || !network.scores().is_plain() {
        return Err(TuneError::Layers);
    }
    let inputs = network.shape_before(0).len();
    let (activations, labels) = (images.activations.len(), images.labels.len());
    if labels == 0 || activations != labels * inputs {
        return Err(TuneError::Images { activations, labels, inputs });
    }
    let largest = network.classes() - 1;
    if let Some(&label) = images.labels.iter().find(|&&label| label as usize > largest) {
        return Err(TuneError::Label { label, largest });
    }
    let (searched, held_back) = options.split(labels);
    let image = |&at: &usize| (&images.activations[at * inputs..][..inputs], images.labels[at]);
    let images: Vec<(&[u8], u32)> = searched.iter().chain(&held_back).map(image).collect();
    Ok(State::new(network, &images, searched.len()))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use hafnia_model::arithmetic::argmax;
    use hafnia_model::{ReferenceProduct, random, run};

    use super::*;

    /// Random images, each with the label that another random network gives it: something to learn.
    fn images(count: u64) -> (Network, Vec<u8>, Vec<u32>) {
        let (network, teacher) = (random::lenet5(Seed(1)), random::lenet5(Seed(2)));
        let mut plain = ReferenceProduct::new(&teacher);
        let images: Vec<Vec<u8>> =
            (0..count).map(|i| random::image(Seed(3).index(i), network.input())).collect();
        let label = |image: &Vec<u8>| argmax(&run(&teacher, image, &mut plain)) as u32;
        let labels = images.iter().map(label).collect();
        (network, images.concat(), labels)
    }

    #[test]
    fn the_loss_falls_and_is_that_of_the_network() {
        let (network, activations, labels) = images(200);
        let images = Images { activations: &activations, labels: &labels };
        let options = Options { passes: 2, sigmas: 0.0, ..Options::default() };
        let (mut calls, mut last) = (0, 0);
        let refined = refine(&network, images, &options, &mut |done, _| {
            calls += 1;
            last = done;
        })
        .unwrap();
        let RefineReport { searched, held_back, visits, scale, .. } = &refined.report;
        assert!(searched.after.loss < searched.before.loss, "{searched:?}");
        assert!(held_back.after.loss <= held_back.before.loss, "{held_back:?}");
        assert_eq!((calls, last), (2 * (10 + 84 + 120), calls));
        assert_eq!(visits.last().unwrap().losses, [searched.after.loss, held_back.after.loss]);

        // Fresh runs of the network that came out score the same.
        let loss = crate::Loss::new(*scale, i32::MAX / 4);
        let mut plain = ReferenceProduct::new(&refined.network);
        let (searched_images, held_back_images) = options.split(labels.len());
        for (part, expected) in
            [(searched_images, searched.after), (held_back_images, held_back.after)]
        {
            let mut score = Score::default();
            for at in part {
                let outputs = run(&refined.network, &activations[at * 784..][..784], &mut plain);
                score.add(&outputs, labels[at], loss.of(&outputs, labels[at]));
            }
            assert_eq!(score, expected);
        }
    }

    #[test]
    fn results_do_not_depend_on_threads() {
        let (network, activations, labels) = images(60);
        let images = Images { activations: &activations, labels: &labels };
        let layers = ["fc3", "fc1", "conv1"].map(str::to_owned).to_vec();
        let options = Options { layers, passes: 1, sigmas: 0.0, ..Options::default() };
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| refine(&network, images, &options, &mut |_, _| {}).unwrap())
        };
        let (one, three) = (with(1), with(3));
        assert_eq!(one.network, three.network);
        assert_eq!(one.report, three.report);
        assert_ne!(one.network, network);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let network = random::lenet5(Seed(1));
        let check = |options: Options, labels: &[u32], activations: usize, expected: Expect| {
            let activations = vec![0; activations];
            let images = Images { activations: &activations, labels };
            let error = refine(&network, images, &options, &mut |_, _| {}).unwrap_err();
            expected.assert_eq(&error.to_string());
        };
        let defaults = Options::default;
        check(
            Options { passes: 0, ..defaults() },
            &[0],
            784,
            expect!["passes is 0, it must lie in 1..=1000"],
        );
        check(
            Options { held_back: 1.0, ..defaults() },
            &[0],
            784,
            expect!["held_back is 1, it must lie in 0..=0.9"],
        );
        check(
            Options { layers: vec!["fc4".to_owned()], ..defaults() },
            &[0],
            784,
            expect![
                "layers names `fc4`, the network has the matrix layers conv1, conv2, fc1, fc2, fc3"
            ],
        );
        check(
            defaults(),
            &[0, 1],
            784,
            expect!["784 activations and 2 labels: the network takes 784 activations per image"],
        );
        check(
            defaults(),
            &[10],
            784,
            expect!["an image has the label 10, the network has the outputs 0..=9"],
        );
    }
}
