//! [`Plan`]: the layers of a network while it is imported.
//!
//! It differs from a network in two ways. Thresholds always stand by themselves, and may count sums
//! that fall; at the end they join the product before them, whose columns change their sign where the
//! thresholds say so. And the input is taken as bytes until it is known what its thresholds are.

use std::collections::{BTreeMap, BTreeSet};

use hafnia_model::{Activate, Floats, Input, Layer, Shape, Thresholds, Weights};

/// A threshold that every sum reaches.
pub(crate) const ALWAYS: i32 = -(1 << 30);
/// A threshold that no sum reaches.
pub(crate) const NEVER: i32 = 1 << 30;

/// A layer, the values that it takes, and, of thresholds, the channels whose sums are negated first.
#[derive(Debug, Clone)]
struct Step {
    layer: Layer,
    from: Vec<usize>,
    falling: Vec<bool>,
    doubts: Doubts,
    /// Of thresholds on bytes, those of floats in their place.
    floats: Vec<Floats>,
}

/// Thresholds, and what is known of them.
pub(crate) struct Counts {
    pub(crate) thresholds: Thresholds,
    /// Whether the sums of a channel are negated first.
    pub(crate) falling: Vec<bool>,
    pub(crate) doubts: Doubts,
    pub(crate) floats: Vec<Floats>,
}

/// By channel, the sums that lie so near to a threshold that an executor's roundings may lead it to the
/// other side, in ascending order: the sum, and the step to that side.
pub(crate) type Doubts = Vec<Vec<(i32, i32)>>;

/// A network in parts, and the doubts of its layers.
pub(crate) struct Finished {
    pub(crate) input: Input,
    pub(crate) steps: Vec<(Layer, Vec<usize>)>,
    pub(crate) doubts: Vec<Doubts>,
    /// The places of the values that were asked for, if they are still there.
    pub(crate) places: Vec<Option<usize>>,
}

/// Layers, in order: value 0 is the input, value i + 1 what layer i gives.
#[derive(Debug)]
pub(crate) struct Plan {
    input: Shape,
    steps: Vec<Step>,
    names: BTreeSet<String>,
    /// Values whose places are asked for at the end.
    asked: Vec<Option<usize>>,
}

impl Plan {
    /// No layers on an input of this shape.
    pub(crate) fn new(input: Shape) -> Self {
        Self { input, steps: Vec::new(), names: BTreeSet::new(), asked: Vec::new() }
    }

    /// Takes the input as of another shape of as many bytes, unless a layer takes it already.
    pub(crate) fn reshape_input(&mut self, shape: Shape) -> bool {
        let can = self.steps.is_empty() && shape.len() == self.input.len();
        if can {
            self.input = shape;
        }
        can
    }

    /// A name that no layer has, made of a node's.
    pub(crate) fn name(&mut self, node: &str, otherwise: &str) -> String {
        let plain: Vec<&str> = node
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|part| !part.is_empty())
            .collect();
        let mut stem = plain.join("_");
        // Names of exporters repeat every folder of modules: the end tells nodes apart.
        let from = stem.char_indices().rev().nth(47).map_or(0, |(at, _)| at);
        stem.drain(..from);
        let stem = if stem.is_empty() { otherwise.to_owned() } else { stem };
        let numbered = (2..).map(|number| format!("{stem}_{number}"));
        let name =
            [stem.clone()].into_iter().chain(numbered).find(|name| !self.names.contains(name));
        let name = name.expect("numbers do not end");
        self.names.insert(name.clone());
        name
    }

    /// Adds a layer; gives the value that it gives.
    pub(crate) fn add(&mut self, layer: Layer, from: Vec<usize>) -> usize {
        let (falling, doubts, floats) = Default::default();
        self.steps.push(Step { layer, from, falling, doubts, floats });
        self.steps.len()
    }

    /// Adds thresholds, which count negated sums in the channels that are `falling`.
    pub(crate) fn activate(&mut self, name: String, of: Counts, from: usize) -> usize {
        let Counts { thresholds, falling, doubts, floats } = of;
        let layer = Layer::Activate(Activate { name, thresholds });
        let falling = if falling.contains(&true) { falling } else { Vec::new() };
        self.steps.push(Step { layer, from: vec![from], falling, doubts, floats });
        self.steps.len()
    }

    /// Whether a value is the sums of a product, whose columns can be negated.
    pub(crate) fn is_product(&self, value: usize) -> bool {
        value > 0 && matches!(self.steps[value - 1].layer, Layer::Conv(_) | Layer::Linear(_))
    }

    /// Whether a value is the sums of a product of which some columns can be left out.
    pub(crate) fn is_whole_product(&self, value: usize) -> bool {
        let layer = value.checked_sub(1).map(|index| &self.steps[index].layer);
        match layer {
            Some(Layer::Conv(conv)) => conv.groups == 1,
            Some(Layer::Linear(_)) => true,
            _ => false,
        }
    }

    /// The input and layers of a network that gives `output`, the columns of the product that gives it
    /// multiplied by `factors` unless these are all 1, and of these `columns` if it is not all; and the
    /// places there of the values `asked` for.
    ///
    /// # Panics
    /// If there are factors other than 1 and the output is not that of a product, or columns and it is not
    /// that of a whole one.
    pub(crate) fn finish(
        mut self,
        output: usize,
        factors: &[i32],
        columns: Option<&[usize]>,
        asked: &[usize],
    ) -> Finished {
        self.asked = asked.iter().copied().map(Some).collect();
        let mut output = self.turned(output, factors);
        if let Some(columns) = columns {
            let step = with_weights(&self.steps[output - 1], |weights| {
                Weights::from_fn(weights.rows(), columns.len(), |row, column| {
                    weights.value(row, columns[column])
                })
            });
            self.steps.push(step);
            output = self.steps.len();
        }
        self.drop_unused(output);
        self.join_thresholds();
        let input = self.take_input();
        self.name_apart();
        let doubts = self.steps.iter().map(|step| step.doubts.clone()).collect();
        let steps = self.steps.into_iter().map(|step| (step.layer, step.from)).collect();
        Finished { input, steps, doubts, places: self.asked }
    }

    /// Gives every threshold that falls a product with negated columns; the output's new place.
    fn turned(&mut self, output: usize, factors: &[i32]) -> usize {
        let mut steps: Vec<Step> = Vec::new();
        // By old value its new one, and by value and factors that of a product.
        let mut places = vec![0];
        let mut turned: BTreeMap<(usize, Vec<i32>), usize> = BTreeMap::new();
        for step in std::mem::take(&mut self.steps) {
            let mut from: Vec<usize> = step.from.iter().map(|&value| places[value]).collect();
            if !step.falling.is_empty() {
                let signs: Vec<i32> =
                    step.falling.iter().map(|&f| if f { -1 } else { 1 }).collect();
                from[0] = turn(&mut steps, &mut turned, from[0], signs);
            }
            steps.push(Step { from, falling: Vec::new(), ..step });
            places.push(steps.len());
        }
        self.move_asked(|value| Some(places[value]));
        let mut output = places[output];
        if factors.iter().any(|&factor| factor != 1) {
            output = turn(&mut steps, &mut turned, output, factors.to_vec());
        }
        self.steps = steps;
        output
    }

    /// Keeps what leads to the output, which comes last.
    fn drop_unused(&mut self, output: usize) {
        let mut is_used = vec![false; self.steps.len() + 1];
        is_used[output] = true;
        for value in (1..is_used.len()).rev() {
            if is_used[value] {
                self.steps[value - 1].from.iter().for_each(|&from| is_used[from] = true);
            }
        }
        self.keep(|value| is_used[value]);
    }

    /// Keeps the layers that give these values, none of which takes another.
    fn keep(&mut self, is_kept: impl Fn(usize) -> bool) {
        let mut places = vec![0];
        let mut steps = Vec::new();
        for (index, mut step) in std::mem::take(&mut self.steps).into_iter().enumerate() {
            if is_kept(index + 1) {
                step.from.iter_mut().for_each(|value| *value = places[*value]);
                steps.push(step);
            }
            places.push(steps.len());
        }
        self.steps = steps;
        self.move_asked(|value| (value == 0 || is_kept(value)).then(|| places[value]));
    }

    /// Gives the values that are asked for other places.
    fn move_asked(&mut self, place: impl Fn(usize) -> Option<usize>) {
        self.asked.iter_mut().for_each(|value| *value = value.and_then(&place));
    }

    /// Joins thresholds with the product before, if no other layer takes its sums.
    fn join_thresholds(&mut self) {
        let mut takers = vec![0; self.steps.len() + 1];
        self.steps.iter().flat_map(|step| &step.from).for_each(|&value| takers[value] += 1);
        let mut joined = BTreeMap::new();
        for index in 0..self.steps.len() {
            let from = self.steps[index].from[0];
            if !matches!(self.steps[index].layer, Layer::Activate(_))
                || takers[from] != 1
                || !self.is_product(from)
            {
                continue;
            }
            let Layer::Activate(Activate { thresholds, .. }) = &self.steps[index].layer else {
                continue;
            };
            let thresholds = Some(thresholds.clone());
            let doubts = std::mem::take(&mut self.steps[index].doubts);
            self.steps[from - 1].doubts = doubts;
            match &mut self.steps[from - 1].layer {
                Layer::Conv(conv) => conv.thresholds = thresholds,
                Layer::Linear(linear) => linear.thresholds = thresholds,
                _ => unreachable!("a product is one of two"),
            }
            joined.insert(index + 1, from);
        }
        for step in &mut self.steps {
            for value in &mut step.from {
                *value = joined.get(value).copied().unwrap_or(*value);
            }
        }
        self.move_asked(|value| Some(joined.get(&value).copied().unwrap_or(value)));
        self.keep(|value| !joined.contains_key(&value));
    }

    /// Gives a product that was made twice, with negated columns, a name of its own.
    fn name_apart(&mut self) {
        let mut seen = BTreeSet::new();
        for step in &mut self.steps {
            let name = match &mut step.layer {
                Layer::Conv(conv) => &mut conv.name,
                Layer::Linear(linear) => &mut linear.name,
                _ => continue,
            };
            while !seen.insert(name.clone()) {
                name.push_str("_negated");
            }
        }
    }

    /// The value of the bytes that thresholds take: that of the input, or of grey images as a vector, if
    /// nothing else takes the input.
    fn bytes(&self) -> (usize, Shape) {
        let mut takers = (0..self.steps.len()).filter(|&at| self.steps[at].from.contains(&0));
        match (takers.next(), takers.next()) {
            (Some(only), None)
                if self.input.channels == 1 && matches!(self.steps[only].layer, Layer::Flatten) =>
            {
                (only + 1, Shape { channels: self.input.len(), height: 1, width: 1 })
            }
            _ => (0, self.input),
        }
    }

    /// The input, with the thresholds of its bytes if all that take it have the same.
    fn take_input(&mut self) -> Input {
        let (source, shape) = self.bytes();
        let takers = self.steps.iter().filter(|step| step.from.contains(&source));
        let mut thresholds = takers.map(|step| match &step.layer {
            Layer::Activate(activate) => Some((&activate.thresholds, &step.floats)),
            _ => None,
        });
        let first = thresholds.next().flatten();
        let same = first.filter(|(first, _)| {
            thresholds.clone().all(|other| other.is_some_and(|(other, _)| other == *first))
        });
        let Shape { channels, height, width } = self.input;
        let bytes = Input::upper_bits(channels, height, width, 8);
        let Some((same, floats)) = same else { return bytes };
        let is_same = thresholds.all(|other| other.is_some_and(|(_, other)| other == floats));
        let mut floats = if is_same { floats.clone() } else { Vec::new() };
        if floats.iter().all(|other| *other == floats[0]) {
            floats.truncate(1);
        }
        let cuts = |channel: usize| {
            let reached = same.channel(channel).iter().filter(|&&threshold| threshold <= 255);
            reached.map(|&threshold| threshold.max(0) as u8).collect::<Vec<u8>>()
        };
        let mut cuts: Vec<Vec<u8>> = (0..same.channels()).map(cuts).collect();
        if cuts.iter().all(Vec::is_empty) {
            return bytes;
        }
        if cuts.iter().all(|other| *other == cuts[0]) {
            cuts.truncate(1);
        }
        let lowest = same.lowest;
        // The input is what its thresholds gave.
        let folded: BTreeSet<usize> = (0..self.steps.len())
            .filter(|&index| [0, source].contains(&self.steps[index].from[0]))
            .map(|index| index + 1)
            .collect();
        for step in &mut self.steps {
            for value in &mut step.from {
                if folded.contains(value) {
                    *value = 0;
                }
            }
        }
        self.move_asked(|value| Some(if folded.contains(&value) { 0 } else { value }));
        self.keep(|value| !folded.contains(&value));
        let Shape { channels, height, width } = shape;
        Input { channels, height, width, cuts, lowest, floats }
    }
}

/// The value of a product whose columns are multiplied by factors, made if it is not there yet.
fn turn(
    steps: &mut Vec<Step>,
    turned: &mut BTreeMap<(usize, Vec<i32>), usize>,
    value: usize,
    factors: Vec<i32>,
) -> usize {
    if let Some(&value) = turned.get(&(value, factors.clone())) {
        return value;
    }
    let step = with_weights(&steps[value - 1], |weights| {
        let weight = |row, column| weights.value(row, column) * factors[column];
        Weights::from_fn(weights.rows(), weights.columns(), weight)
    });
    steps.push(step);
    turned.insert((value, factors), steps.len());
    steps.len()
}

/// A product with other weights.
fn with_weights(step: &Step, weights: impl Fn(&Weights) -> Weights) -> Step {
    let mut step = step.clone();
    match &mut step.layer {
        Layer::Conv(conv) => conv.weights = weights(&conv.weights),
        Layer::Linear(linear) => linear.weights = weights(&linear.weights),
        _ => unreachable!("only a product has columns"),
    }
    step
}
