//! [`Recipe`]: the operations on single elements that a node stands for.

use std::sync::Arc;

use crate::elementwise::{Comparison, Op, Rounding};
use crate::graph::{attribute, float, integer, word};
use crate::layout::axis;
use crate::proto::Node;
use crate::tensor::{Element, Tensor};

/// Where an operation takes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Source {
    /// An input of the recipe.
    Input(usize),
    /// A number.
    Number(f32),
    /// What an earlier operation of the recipe gives.
    Step(usize),
}

/// Operations on single elements, the last of which gives what the node gives.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// What it takes: inputs of the node, some with other sides.
    pub(crate) inputs: Vec<Input>,
    pub(crate) steps: Vec<(Op, Vec<Source>)>,
    /// The type of what it gives, where constants have one.
    pub(crate) element: Element,
}

/// An input of a recipe.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// An input of the node as it is, by its place.
    AsIs(usize),
    /// A constant that was brought to other sides.
    Constant(Arc<Tensor>),
}

/// An input of a node, as far as a recipe needs to know it.
pub(crate) enum Given<'a> {
    /// A constant.
    Constant(&'a Arc<Tensor>),
    /// A tensor of these sides.
    Varying(&'a [usize]),
}

impl Given<'_> {
    fn rank(&self) -> usize {
        match self {
            Self::Constant(tensor) => tensor.dims.len(),
            Self::Varying(dims) => dims.len(),
        }
    }
}

use Source::{Number, Step};

/// The first input of a recipe.
const X: Source = Source::Input(0);

/// The recipe of a node; none if it is no operation on single elements. `op` is its operator, `own`
/// whether that is ONNX's.
pub(crate) fn recipe(
    node: &Node,
    op: &str,
    opset: i64,
    given: &[Option<Given<'_>>],
) -> Result<Option<Recipe>, String> {
    let count = given.len();
    let input = |index: usize| {
        let given = given.get(index).and_then(Option::as_ref);
        given.ok_or_else(|| format!("it lacks its input {index}"))
    };
    let constant = |index: usize, what: &str| match given.get(index).and_then(Option::as_ref) {
        Some(Given::Constant(tensor)) => Ok(Some(*tensor)),
        Some(Given::Varying(_)) => {
            Err(format!("its {what} depends on the image, it must be a constant"))
        }
        None => Ok(None),
    };
    let plain = |op: Op, inputs: usize| {
        let places: Vec<usize> = (0..inputs).collect();
        let sources = places.iter().map(|&place| Source::Input(place)).collect();
        let inputs = places.into_iter().map(Input::AsIs).collect();
        Ok(Some(Recipe { inputs, steps: vec![(op, sources)], element: Element::Float }))
    };
    let steps = |steps: Vec<(Op, Vec<Source>)>| {
        Ok(Some(Recipe { inputs: vec![Input::AsIs(0)], steps, element: Element::Float }))
    };
    let compare = |comparison| plain(Op::Compare(comparison), 2);
    let needs = |inputs: usize| match (0..inputs).find(|&index| input(index).is_err()) {
        None => Ok(()),
        Some(index) => Err(format!("it lacks its input {index}")),
    };
    needs(match op {
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Less" | "LessOrEqual" | "Greater" | "PRelu"
        | "GreaterOrEqual" | "Equal" | "BipolarQuant" | "MultiThreshold" | "QuantizeLinear"
        | "DequantizeLinear" => 2,
        "Where" => 3,
        "Quant" | "IntQuant" => 4,
        "BatchNormalization" | "Trunc" => 5,
        _ => 0,
    })?;
    match op {
        "Add" => plain(Op::Add, 2),
        "Sub" => plain(Op::Subtract, 2),
        "Mul" => plain(Op::Multiply, 2),
        "Div" => plain(Op::Divide, 2),
        "Pow" => match constant(1, "exponent") {
            Ok(Some(tensor)) if tensor.single() == Some(2.0) => plain(Op::Square, 1),
            _ => plain(Op::Power, 2),
        },
        "Less" => compare(Comparison::Less),
        "LessOrEqual" => compare(Comparison::LessOrEqual),
        "Equal" => compare(Comparison::Equal),
        "Greater" => compare(Comparison::Greater),
        "GreaterOrEqual" => compare(Comparison::GreaterOrEqual),
        "Not" => steps(vec![(Op::Compare(Comparison::Equal), vec![X, Number(0.0)])]),
        "Where" => plain(Op::Choose, 3),
        "Min" | "Max" | "Sum" => {
            needs(1)?;
            let op = match op {
                "Min" => Op::Min,
                "Max" => Op::Max,
                _ => Op::Add,
            };
            let rest = (1..count).map(|index| {
                let before = if index == 1 { X } else { Step(index - 2) };
                (op, vec![before, Source::Input(index)])
            });
            let mut steps: Vec<_> = rest.collect();
            if steps.is_empty() {
                steps.push((Op::Add, vec![X, Number(0.0)]));
            }
            let inputs = (0..count).map(Input::AsIs).collect();
            Ok(Some(Recipe { inputs, steps, element: Element::Float }))
        }
        "Clip" => clip(node, opset, given).map(Some),
        "Relu" => steps(vec![(Op::Max, vec![X, Number(0.0)])]),
        "LeakyRelu" => steps(vec![(Op::Slope, vec![X, Number(float(node, "alpha", 0.01))])]),
        "PRelu" => plain(Op::Slope, 2),
        "Elu" => steps(vec![(Op::Exponent, vec![X, Number(float(node, "alpha", 1.0))])]),
        "Selu" => {
            let (alpha, gamma) =
                (float(node, "alpha", 1.673_263_2), float(node, "gamma", 1.050_701));
            steps(vec![
                (Op::Exponent, vec![X, Number(alpha)]),
                (Op::Multiply, vec![Step(0), Number(gamma)]),
            ])
        }
        "Celu" => {
            let alpha = Number(float(node, "alpha", 1.0));
            steps(vec![
                (Op::Divide, vec![X, alpha]),
                (Op::Exponent, vec![Step(0), Number(1.0)]),
                (Op::Multiply, vec![Step(1), alpha]),
            ])
        }
        "Softsign" => steps(vec![
            (Op::Absolute, vec![X]),
            (Op::Add, vec![Step(0), Number(1.0)]),
            (Op::Divide, vec![X, Step(1)]),
        ]),
        "ThresholdedRelu" => steps(vec![
            (Op::Compare(Comparison::Greater), vec![X, Number(float(node, "alpha", 1.0))]),
            (Op::Choose, vec![Step(0), X, Number(0.0)]),
        ]),
        "HardSigmoid" => steps(vec![
            (Op::Multiply, vec![X, Number(float(node, "alpha", 0.2))]),
            (Op::Add, vec![Step(0), Number(float(node, "beta", 0.5))]),
            (Op::Min, vec![Step(1), Number(1.0)]),
            (Op::Max, vec![Step(2), Number(0.0)]),
        ]),
        "HardSwish" => steps(vec![
            (Op::Multiply, vec![X, Number(1.0 / 6.0)]),
            (Op::Add, vec![Step(0), Number(0.5)]),
            (Op::Min, vec![Step(1), Number(1.0)]),
            (Op::Max, vec![Step(2), Number(0.0)]),
            (Op::Multiply, vec![X, Step(3)]),
        ]),
        "Neg" => plain(Op::Negate, 1),
        "Abs" => plain(Op::Absolute, 1),
        "Sign" => plain(Op::Sign, 1),
        "Sqrt" => plain(Op::SquareRoot, 1),
        "Exp" => plain(Op::Exponential, 1),
        "Log" => plain(Op::Logarithm, 1),
        "Tanh" => plain(Op::Tanh, 1),
        "Sigmoid" => plain(Op::Sigmoid, 1),
        "Softplus" => plain(Op::Softplus, 1),
        "Round" => plain(Op::Round(Rounding::Even), 1),
        "Floor" => plain(Op::Round(Rounding::Down), 1),
        "Ceil" => plain(Op::Round(Rounding::Up), 1),
        "Reciprocal" => steps(vec![(Op::Divide, vec![Number(1.0), X])]),
        "Cast" => cast(node).map(Some),
        "Quant" | "IntQuant" => {
            if constant(3, "bit width")?.is_some_and(|bits| bits.single().is_none()) {
                return Err(
                    "its bit width differs from channel to channel, it must be one".to_owned()
                );
            }
            plain(quant(node)?, 4)
        }
        "BipolarQuant" => plain(Op::Bipolar, 2),
        "Trunc" => truncate(node, count).map(Some),
        "MultiThreshold" => count_thresholds(node, given).map(Some),
        "BatchNormalization" => normalize(node, given).map(Some),
        "QuantizeLinear" => quantize(node, given).map(Some),
        "DequantizeLinear" => dequantize(node, given).map(Some),
        _ => Ok(None),
    }
}

/// The operation of a `Quant`.
fn quant(node: &Node) -> Result<Op, String> {
    Ok(Op::Quant {
        signed: integer(node, "signed", 1) != 0,
        narrow: integer(node, "narrow", 0) != 0,
        rounding: Rounding::of(&word(node, "rounding_mode", "ROUND"))?,
    })
}

fn clip(node: &Node, opset: i64, given: &[Option<Given<'_>>]) -> Result<Recipe, String> {
    let mut inputs = vec![Input::AsIs(0)];
    let mut steps = Vec::new();
    for (place, name, op) in [(1, "min", Op::Max), (2, "max", Op::Min)] {
        let before = if steps.is_empty() { X } else { Step(steps.len() - 1) };
        if opset < 11 || attribute(node, name).is_some() {
            if let Some(limit) = attribute(node, name) {
                steps.push((op, vec![before, Number(limit.f.unwrap_or(0.0))]));
            }
        } else if given.get(place).is_some_and(Option::is_some) {
            inputs.push(Input::AsIs(place));
            steps.push((op, vec![before, Source::Input(inputs.len() - 1)]));
        }
    }
    if steps.is_empty() {
        steps.push((Op::Add, vec![X, Number(0.0)]));
    }
    let element = match given.first() {
        Some(Some(Given::Constant(tensor))) => tensor.element,
        _ => Element::Float,
    };
    Ok(Recipe { inputs, steps, element })
}

fn cast(node: &Node) -> Result<Recipe, String> {
    let element = Element::of(integer(node, "to", 1) as i32)?;
    let step = match element {
        Element::Float | Element::Double => (Op::Add, vec![X, Number(0.0)]),
        Element::Bool => (Op::Compare(Comparison::Equal), vec![X, Number(0.0)]),
        Element::Integer { .. } => (Op::Round(Rounding::TowardsZero), vec![X]),
        Element::Half | Element::Brain => {
            return Err(
                "it computes in floats of 16 bits, whose roundings are not taken over; export \
                        in floats of 32 bits"
                    .to_owned(),
            );
        }
    };
    let mut steps = vec![step];
    if element == Element::Bool {
        steps.push((Op::Compare(Comparison::Equal), vec![Step(0), Number(0.0)]));
    }
    Ok(Recipe { inputs: vec![Input::AsIs(0)], steps, element })
}

/// QONNX's `Trunc`, whose second version has an output scale.
fn truncate(node: &Node, count: usize) -> Result<Recipe, String> {
    let rounding = Rounding::of(&word(node, "rounding_mode", "FLOOR"))?;
    let inputs = (0..count).map(Input::AsIs).collect();
    let of = |places: [usize; 6]| places.map(Source::Input).to_vec();
    let step = match count {
        6 | 7 => {
            // In between, some had an output zero point.
            let clamp = Some((integer(node, "signed", 1) != 0, integer(node, "narrow", 0) != 0));
            (Op::Truncate { clamp, rounding }, of([0, 1, 2, 3, 4, count - 1]))
        }
        5 => (Op::Truncate { clamp: None, rounding }, of([0, 1, 2, 3, 1, 4])),
        other => return Err(format!("it has {other} inputs, a Trunc has 5 to 7")),
    };
    Ok(Recipe { inputs, steps: vec![step], element: Element::Float })
}

/// `MultiThreshold`: the thresholds (channel, level) as constants, one for each level.
fn count_thresholds(node: &Node, given: &[Option<Given<'_>>]) -> Result<Recipe, String> {
    let (Some(Some(x)), Some(Some(Given::Constant(thresholds)))) = (given.first(), given.get(1))
    else {
        return Err("its thresholds depend on the image, they must be constants".to_owned());
    };
    let &[channels, levels] = &thresholds.dims[..] else {
        return Err(format!(
            "its thresholds have sides {:?}, they must have two: channels and levels",
            thresholds.dims
        ));
    };
    let is_last = word(node, "data_layout", "NCHW") == "NHWC" || ![2, 4].contains(&x.rank());
    let behind = if is_last { 0 } else { x.rank().saturating_sub(2) };
    let mut sides = vec![channels];
    sides.resize(1 + behind, 1);
    let mut inputs = vec![Input::AsIs(0)];
    for level in 0..levels {
        let places: Vec<usize> = (0..channels).map(|channel| channel * levels + level).collect();
        inputs.push(Input::Constant(Arc::new(thresholds.pick(sides.clone(), &places))));
    }
    let sources = (0..=levels).map(Source::Input).collect();
    let mut steps = vec![(Op::Count, sources)];
    let (scale, bias) = (float(node, "out_scale", 1.0), float(node, "out_bias", 0.0));
    steps.push((Op::Multiply, vec![Step(0), Number(scale)]));
    steps.push((Op::Add, vec![Step(1), Number(bias)]));
    Ok(Recipe { inputs, steps, element: Element::Float })
}

fn normalize(node: &Node, given: &[Option<Given<'_>>]) -> Result<Recipe, String> {
    if integer(node, "training_mode", 0) != 0 {
        return Err("it is in training mode: export the network for inference".to_owned());
    }
    let rank = given.first().and_then(Option::as_ref).map_or(0, Given::rank);
    let mut inputs = vec![Input::AsIs(0)];
    for place in 1..5 {
        inputs.push(along(given, place, rank, 1.min(rank.saturating_sub(1)))?);
    }
    let epsilon = float(node, "epsilon", 1e-5);
    let sources = (0..5).map(Source::Input).collect();
    Ok(Recipe {
        inputs,
        steps: vec![(Op::Normalize { epsilon }, sources)],
        element: Element::Float,
    })
}

/// An input of one element for each place along an axis of a tensor of `rank` sides.
fn along(
    given: &[Option<Given<'_>>],
    place: usize,
    rank: usize,
    axis: usize,
) -> Result<Input, String> {
    match given.get(place) {
        Some(Some(Given::Constant(tensor))) => Ok(match tensor.dims[..] {
            [side] if side > 1 => {
                let mut sides = vec![side];
                sides.resize(rank - axis, 1);
                Input::Constant(Arc::new(tensor.with_dims(sides)))
            }
            _ => Input::AsIs(place),
        }),
        _ => Err(format!(
            "its input {place} depends on the image or is missing, it must be a constant"
        )),
    }
}

/// What an operation takes: the data, scale and zero point of ONNX's quantisers.
struct Quantiser {
    inputs: Vec<Input>,
    sources: Vec<Source>,
    /// The type of the zero point.
    element: Option<Element>,
}

fn scale_and_zero(node: &Node, given: &[Option<Given<'_>>]) -> Result<Quantiser, String> {
    if integer(node, "block_size", 0) != 0 {
        return Err(
            "it quantises in blocks, whose scales differ within a channel; use one scale for \
                    each tensor or channel"
                .to_owned(),
        );
    }
    let rank = given.first().and_then(Option::as_ref).map_or(0, Given::rank);
    let is_single = matches!(given.get(1), Some(Some(Given::Constant(scale))) if scale.len() == 1);
    let axis = if is_single { 0 } else { axis(integer(node, "axis", 1), rank)? };
    if let Some(Some(Given::Constant(scale))) = given.get(1)
        && scale.dims.len() > 1
        && scale.len() > 1
    {
        return Err(format!("its scale has sides {:?}: it quantises in blocks", scale.dims));
    }
    let mut inputs = vec![Input::AsIs(0), along(given, 1, rank, axis)?];
    let mut sources = vec![X, Source::Input(1)];
    match given.get(2) {
        Some(Some(Given::Constant(zero))) => {
            inputs.push(along(given, 2, rank, axis)?);
            sources.push(Source::Input(2));
            Ok(Quantiser { inputs, sources, element: Some(zero.element) })
        }
        Some(Some(Given::Varying(_))) => {
            Err("its zero point depends on the image, it must be a constant".to_owned())
        }
        _ => {
            sources.push(Number(0.0));
            Ok(Quantiser { inputs, sources, element: None })
        }
    }
}

fn quantize(node: &Node, given: &[Option<Given<'_>>]) -> Result<Recipe, String> {
    let Quantiser { inputs, sources, element } = scale_and_zero(node, given)?;
    let element = match (element, integer(node, "output_dtype", 0)) {
        (Some(element), _) => element,
        (None, 0) => Element::UINT8,
        (None, number) => Element::of(number as i32)?,
    };
    let (least, largest) = element.range().ok_or_else(|| {
        "it quantises to floats, which lie on no grid; use integers of 8 bits or fewer".to_owned()
    })?;
    Ok(Recipe { inputs, steps: vec![(Op::Quantize { least, largest }, sources)], element })
}

fn dequantize(node: &Node, given: &[Option<Given<'_>>]) -> Result<Recipe, String> {
    let Quantiser { inputs, sources, .. } = scale_and_zero(node, given)?;
    Ok(Recipe { inputs, steps: vec![(Op::Dequantize, sources)], element: Element::Float })
}

/// Why an operator is not known, and what would be.
pub(crate) fn unknown(node: &Node) -> String {
    let form = "it is in operator form; quantise with QuantFormat.QDQ";
    match &*node.op_type {
        "QLinearConv"
        | "QLinearMatMul"
        | "QGemm"
        | "QLinearAdd"
        | "ConvInteger"
        | "MatMulInteger"
        | "QLinearGlobalAveragePool"
        | "QLinearAveragePool"
        | "QLinearConcat"
        | "QLinearMul"
        | "QLinearLeakyRelu"
        | "QLinearSigmoid"
        | "DynamicQuantizeLinear" => form.to_owned(),
        "FloatQuant" => {
            "it quantises to floats, which lie on no grid; use Quant with integers".to_owned()
        }
        "Loop" | "If" | "Scan" => {
            "it decides by data what is computed; unroll it before the export".to_owned()
        }
        "LSTM" | "GRU" | "RNN" => "networks with a state are not taken".to_owned(),
        _ if node.domain.contains("fpgadataflow") => format!(
            "its domain {} is of a later stage of FINN; take the model before its layers are specialised",
            hafnia_text::quoted(&node.domain)
        ),
        "LayerNormalization" | "InstanceNormalization" | "GroupNormalization" => {
            "it normalises by the image itself; use BatchNormalization".to_owned()
        }
        _ => match node.domain.as_str() {
            "" => "it is not one of the operators that are taken, which docs/import.md lists; write it by \
                   those"
                .to_owned(),
            domain => format!(
                "an operator of domain {} is not taken; write it by those that docs/import.md lists",
                hafnia_text::quoted(domain)
            ),
        },
    }
}
