//! What must hold of the layers of a network, and what follows from them: shapes and ranges.

use hafnia_text::must;

use crate::error::ShapeError;
use crate::input::{Input, Shape};
use crate::layer::{Conv, Layer, Thresholds, Window};
use crate::weights::Weights;

/// What is derived of a network that is well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    /// By value.
    pub(crate) shapes: Vec<Shape>,
    /// By value, the least and the largest integer it may hold.
    pub(crate) ranges: Vec<(i32, i32)>,
    /// By value, the last layer that takes it; that of the outputs is none.
    pub(crate) last_takers: Vec<Option<usize>>,
    /// By layer, see [`Network::constants`](crate::Network).
    pub(crate) constants: Vec<Vec<i32>>,
    /// By layer, the names and weights of its groups, if there are several.
    pub(crate) groups: Vec<Vec<(String, Weights)>>,
}

/// What is wrong with a number that does not lie in its range.
fn range(what: &str, value: usize, min: usize, max: usize) -> Result<(), String> {
    match (min..=max).contains(&value) {
        true => Ok(()),
        false => Err(format!("{what} is {value}, it {}", must(min, max))),
    }
}

/// The largest side, channel count or window: keeps every product far from overflow.
const MAX_SIDE: usize = 1 << 14;
/// The most inputs of a matrix.
const MAX_INPUTS: usize = 1 << 22;
/// The largest magnitude of an integer: twice one, and one more, still fits `i32`.
const MAX_SUM: i64 = (1 << 30) - 1;
/// The most products of a weight and an activation for an image: some seconds of work.
const MAX_PRODUCTS: u128 = 1 << 32;
/// The most integers of a value.
const MAX_LENGTH: usize = 1 << 26;
/// The most thresholds of a channel: its activations are a byte.
const MAX_LEVELS: usize = 255;

/// Derives the shapes and ranges of a network, or says what is wrong.
pub(crate) fn check(
    input: &Input,
    layers: &[Layer],
    from: &[Vec<usize>],
) -> Result<Checked, ShapeError> {
    let shape = check_input(input).map_err(ShapeError::whole)?;
    let lowest = input.lowest;
    let mut of = Checked {
        shapes: vec![shape],
        last_takers: Vec::new(),
        ranges: vec![(lowest, lowest + i32::from(input.levels()))],
        constants: Vec::new(),
        groups: Vec::new(),
    };
    let mut names: Vec<&str> = Vec::new();
    let mut products = 0u128;
    for (index, (layer, from)) in layers.iter().zip(from).enumerate() {
        let name = layer.name();
        let named = name.map_or(Ok(()), |name| check_name(name, &mut names));
        let next =
            named.and_then(|()| check_from(layer, from, index)).and_then(|()| of.push(layer, from));
        next.map_err(|fault| {
            let name = name.map(|name| format!(" (`{name}`)")).unwrap_or_default();
            ShapeError { layer: Some(format!("{index}{name}")), fault }
        })?;
        if let Some(weights) = layer.weights() {
            // Every output sums as many products as the matrix has rows.
            products += weights.rows() as u128 * of.shapes[index + 1].len() as u128;
        }
    }
    if products == 0 {
        return Err(ShapeError::whole("the network has no convolution or linear layer".to_owned()));
    }
    if products > MAX_PRODUCTS {
        return Err(ShapeError::whole(format!(
            "an image takes {products} products of weights and activations, at most {MAX_PRODUCTS} may be"
        )));
    }
    of.last_takers = vec![None; layers.len() + 1];
    for (layer, from) in from.iter().enumerate() {
        from.iter().for_each(|&value| of.last_takers[value] = Some(layer));
    }
    match (0..layers.len()).find(|&value| of.last_takers[value].is_none()) {
        None => Ok(of),
        Some(0) => Err(ShapeError::whole("no layer takes the input".to_owned())),
        Some(value) => Err(ShapeError {
            layer: Some((value - 1).to_string()),
            fault: "no layer takes what it gives, only the last gives the outputs".to_owned(),
        }),
    }
}

/// The shape of the input, or what is wrong with it.
fn check_input(input: &Input) -> Result<Shape, String> {
    range("input channels", input.channels, 1, MAX_SIDE)?;
    range("input height", input.height, 1, MAX_SIDE)?;
    range("input width", input.width, 1, MAX_SIDE)?;
    let lists = input.cuts.len();
    if lists != 1 && lists != input.channels {
        return Err(format!("{} input channels have {lists} lists of cuts", input.channels));
    }
    range("number of input cuts", input.levels().into(), 1, MAX_LEVELS)?;
    for cuts in &input.cuts {
        range("number of input cuts", cuts.len(), 0, MAX_LEVELS)?;
        if !cuts.is_sorted() {
            return Err(format!("input cuts are {cuts:?}, they must ascend"));
        }
    }
    check_lowest("activation of the input", input.lowest)?;
    let lists = input.floats.len();
    if lists > 1 && lists != input.channels {
        return Err(format!("{} input channels have floats of {lists}", input.channels));
    }
    input.floats.iter().try_for_each(|floats| floats.check(input.levels()))?;
    range("size of the input", input.shape().len(), 1, MAX_LENGTH)?;
    Ok(input.shape())
}

fn check_lowest(what: &str, lowest: i32) -> Result<(), String> {
    match (-Weights::LARGEST..=0).contains(&lowest) {
        true => Ok(()),
        false => Err(format!("the lowest {what} is {lowest}, it {}", must(-Weights::LARGEST, 0))),
    }
}

fn check_name<'a>(name: &'a str, names: &mut Vec<&'a str>) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err("its name must be made of a-z, A-Z, 0-9, `_` and `-`".to_owned());
    }
    if names.contains(&name) {
        return Err("its name is taken by an earlier layer".to_owned());
    }
    names.push(name);
    Ok(())
}

/// Whether a layer takes as many values as it needs, all of which come before it.
fn check_from(layer: &Layer, from: &[usize], index: usize) -> Result<(), String> {
    if let Some(value) = from.iter().find(|&&value| value > index) {
        return Err(format!("it takes value {value}, it {}", must(0, index)));
    }
    let needs = match layer {
        Layer::Add(factors) => (2.max(factors.len()), "as many values as factors, at least 2"),
        Layer::Concat => (from.len().max(2), "at least 2 values"),
        _ => (1, "one value"),
    };
    match needs.0 == from.len() {
        true => Ok(()),
        false => Err(format!("it takes {} values, it must take {}", from.len(), needs.1)),
    }
}

impl Checked {
    /// Derives what a layer gives from these values, or why it does not fit.
    fn push(&mut self, layer: &Layer, from: &[usize]) -> Result<(), String> {
        let (shape, range_before) = (self.shapes[from[0]], self.ranges[from[0]]);
        let mut constants = Vec::new();
        let (after, (lo, hi)) = match layer {
            Layer::Conv(Conv { window, groups, weights, thresholds, .. }) => {
                let (height, width) = check_window(window, shape)?;
                check_groups(*groups, shape.channels, weights.columns())?;
                let inputs = shape.channels / groups * window.positions();
                constants = check_product(weights, inputs, shape, range_before)?;
                let after = Shape { channels: weights.columns(), height, width };
                (after, of_sums(weights, range_before, thresholds.as_ref())?)
            }
            Layer::Linear(linear) => {
                if shape.height != 1 || shape.width != 1 {
                    return Err(format!(
                        "a linear layer cannot take activations of {shape}: put a flatten layer before it"
                    ));
                }
                let weights = &linear.weights;
                constants = check_product(weights, shape.channels, shape, range_before)?;
                let after = Shape { channels: weights.columns(), height: 1, width: 1 };
                (after, of_sums(weights, range_before, linear.thresholds.as_ref())?)
            }
            Layer::MaxPool(window) => {
                let (height, width) = check_window(window, shape)?;
                (Shape { height, width, ..shape }, wide(range_before))
            }
            Layer::SumPool(window) => {
                let (height, width) = check_window(window, shape)?;
                let (lo, hi) = wide(range_before);
                let positions = window.positions() as i64;
                let after = Shape { height, width, ..shape };
                (after, (positions * lo.min(0), positions * hi.max(0)))
            }
            Layer::Add(factors) => {
                let mut range = (0, 0);
                for (&value, &factor) in from.iter().zip(factors) {
                    if self.shapes[value] != shape {
                        let other = self.shapes[value];
                        return Err(format!("it adds values of {shape} and {other}"));
                    }
                    let ends = [self.ranges[value].0, self.ranges[value].1];
                    let ends = ends.map(|end| i64::from(end) * i64::from(factor));
                    range.0 += ends[0].min(ends[1]);
                    range.1 += ends[0].max(ends[1]);
                }
                (shape, range)
            }
            Layer::Concat => {
                let (mut after, mut range) = (shape, wide(range_before));
                for &value in &from[1..] {
                    let Shape { channels, height, width } = self.shapes[value];
                    if (height, width) != (shape.height, shape.width) {
                        let other = self.shapes[value];
                        return Err(format!("it joins values of {shape} and {other}"));
                    }
                    after.channels += channels;
                    let (lo, hi) = wide(self.ranges[value]);
                    range = (range.0.min(lo), range.1.max(hi));
                }
                (after, range)
            }
            Layer::Flatten => {
                (Shape { channels: shape.len(), height: 1, width: 1 }, wide(range_before))
            }
            Layer::Activate(activate) => {
                (shape, of_thresholds(&activate.thresholds, shape.channels)?)
            }
        };
        range("size of the output", after.len(), 1, MAX_LENGTH)?;
        if lo < -MAX_SUM || hi > MAX_SUM {
            return Err(format!("its sums may be {lo} to {hi}, they {}", must(-MAX_SUM, MAX_SUM)));
        }
        self.shapes.push(after);
        self.ranges.push((lo as i32, hi as i32));
        self.constants.push(constants);
        self.groups.push(groups_of(layer));
        Ok(())
    }
}

/// The name and weights of every group of a layer that has several.
fn groups_of(layer: &Layer) -> Vec<(String, Weights)> {
    let Layer::Conv(Conv { name, weights, groups: groups @ 2.., .. }) = layer else {
        return Vec::new();
    };
    let columns = weights.columns() / groups;
    let group = |group: usize| {
        let of_group = weights.select_columns(group * columns..(group + 1) * columns);
        (format!("{name}/{group}"), of_group)
    };
    (0..*groups).map(group).collect()
}

fn wide((lo, hi): (i32, i32)) -> (i64, i64) {
    (lo.into(), hi.into())
}

/// The height and width of the output of a window.
fn check_window(window: &Window, shape: Shape) -> Result<(usize, usize), String> {
    let &Window { kernel, stride, dilation, padding } = window;
    for (what, pair) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
        range(what, pair.0, 1, MAX_SIDE)?;
        range(what, pair.1, 1, MAX_SIDE)?;
    }
    let reach = |kernel: usize, dilation: usize| (kernel - 1) * dilation;
    for (side, kernel, dilation) in [
        (padding.top, kernel.0, dilation.0),
        (padding.left, kernel.1, dilation.1),
        (padding.bottom, kernel.0, dilation.0),
        (padding.right, kernel.1, dilation.1),
    ] {
        range("padding", side, 0, reach(kernel, dilation))?;
    }
    let output = window.output(shape.height, shape.width);
    output.ok_or_else(|| format!("a {window} does not fit activations of {shape}"))
}

fn check_groups(groups: usize, inputs: usize, outputs: usize) -> Result<(), String> {
    range("number of groups", groups, 1, inputs)?;
    match inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups) {
        true => Ok(()),
        false => {
            Err(format!("{groups} groups do not divide {inputs} inputs and {outputs} outputs"))
        }
    }
}

/// Checks a matrix that is given values in this range, and derives what level 0 of them adds to its
/// sums.
fn check_product(
    weights: &Weights,
    inputs: usize,
    shape: Shape,
    (lo, hi): (i32, i32),
) -> Result<Vec<i32>, String> {
    range("number of inputs", inputs, 1, MAX_INPUTS)?;
    let rows = weights.rows();
    if rows != inputs {
        return Err(format!("{rows} weight rows for {inputs} inputs (activations of {shape})"));
    }
    range("number of outputs", weights.columns(), 1, MAX_SIDE)?;
    let lowest = lo.min(0);
    if i64::from(hi.max(0)) - i64::from(lowest) > MAX_LEVELS as i64 {
        return Err(format!(
            "it multiplies integers of {lo} to {hi}, which are over 256 levels: put thresholds before it"
        ));
    }
    if lowest == 0 {
        return Ok(Vec::new());
    }
    let mut constants = vec![0; weights.columns()];
    for row in 0..rows {
        for (constant, &weight) in constants.iter_mut().zip(weights.row(row)) {
            *constant += lowest * i32::from(weight);
        }
    }
    Ok(constants)
}

/// The range of the products of a matrix with inputs in this range, or of what thresholds make of
/// them.
fn of_sums(
    weights: &Weights,
    (lo, hi): (i32, i32),
    thresholds: Option<&Thresholds>,
) -> Result<(i64, i64), String> {
    // Padding is 0, whatever the range.
    let ends = [lo.min(0), hi.max(0)].map(i64::from);
    let mut bounds = vec![(0i64, 0i64); weights.columns()];
    for row in 0..weights.rows() {
        for (bound, &weight) in bounds.iter_mut().zip(weights.row(row)) {
            let products = ends.map(|end| end * i64::from(weight));
            bound.0 += products[0].min(products[1]);
            bound.1 += products[0].max(products[1]);
        }
    }
    let lo = bounds.iter().map(|bound| bound.0).min().unwrap_or(0);
    let hi = bounds.iter().map(|bound| bound.1).max().unwrap_or(0);
    if lo < -MAX_SUM || hi > MAX_SUM {
        return Err(format!("its sums may be {lo} to {hi}, they {}", must(-MAX_SUM, MAX_SUM)));
    }
    match thresholds {
        Some(thresholds) => of_thresholds(thresholds, weights.columns()),
        None => Ok((lo, hi)),
    }
}

/// The range of what thresholds give.
fn of_thresholds(thresholds: &Thresholds, channels: usize) -> Result<(i64, i64), String> {
    let (levels, values) = (thresholds.levels, &thresholds.values);
    range("number of levels above the lowest", levels, 1, MAX_LEVELS)?;
    check_lowest("activation", thresholds.lowest)?;
    if values.len() != channels * levels {
        let values = values.len();
        return Err(format!("{channels} channels have {values} thresholds, not {levels} each"));
    }
    let mut of_channels = (0..channels).map(|channel| (channel, thresholds.channel(channel)));
    match of_channels.find(|(_, values)| !values.is_sorted()) {
        None => Ok((thresholds.lowest.into(), i64::from(thresholds.lowest) + levels as i64)),
        Some((channel, values)) => {
            Err(format!("thresholds {values:?} of channel {channel} do not ascend"))
        }
    }
}
