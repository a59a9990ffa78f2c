//! A block as one operation of burn, with its own way back.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};

use crate::block::{self, Derivatives, Spec, Wants};
use crate::kernels::Sums;
use crate::noise::Suffered;

/// A tensor outside autodiff.
type Plain = FloatTensor<Flex>;

/// The operations that hafnia adds to burn.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait BlockOps: Backend {
    /// A block: input (image, feature), what is added (image, feature) if it adds something, weights
    /// (row, output), slopes (offset or step, output); `suffered` is what the images suffer, if they
    /// are to suffer anything.
    fn block(
        input: FloatTensor<Self>,
        added: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        spec: Arc<Spec>,
        suffered: Arc<Suffered>,
    ) -> FloatTensor<Self>;
}

/// A block of the network.
pub(crate) fn block(
    [input, added, weights, slopes]: [Tensor<2>; 4],
    spec: Arc<Spec>,
    suffered: Arc<Suffered>,
) -> Tensor<2> {
    let [input, added, weights, slopes] =
        [input, added, weights, slopes].map(Tensor::into_dispatch);
    let output = <Dispatch as BlockOps>::block(input, added, weights, slopes, spec, suffered);
    Tensor::from_dispatch(output)
}

fn tensor(values: Vec<f32>, columns: usize) -> Plain {
    let shape = [values.len() / columns, columns];
    Plain::from_data(TensorData::new(values, shape))
}

fn run(operands: [&Plain; 4], spec: &Spec, suffered: &Suffered) -> (Plain, Sums) {
    let [input, added, weights, slopes] = operands.map(Plain::storage);
    let passed = block::forward(spec, input, added, weights, slopes, suffered);
    (tensor(passed.output, spec.shape.features_out()), passed.sums)
}

impl BlockOps for Flex {
    fn block(
        input: Plain,
        added: Plain,
        weights: Plain,
        slopes: Plain,
        spec: Arc<Spec>,
        suffered: Arc<Suffered>,
    ) -> Plain {
        run([&input, &added, &weights, &slopes], &spec, &suffered).0
    }
}

/// What the way back needs.
#[derive(Debug, Clone)]
struct State {
    input: Plain,
    weights: Plain,
    slopes: Plain,
    sums: Arc<Sums>,
    spec: Arc<Spec>,
}

#[derive(Debug)]
struct Block;

impl Backward<Flex, 4> for Block {
    type State = State;

    fn backward(self, ops: Ops<State, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let by_output = gradients.consume::<Flex>(&ops.node);
        let State { input, weights, slopes, sums, spec } = ops.state;
        let [of_input, of_added, of_weights, of_slopes] = ops.parents;
        let Derivatives { by_input, by_added, by_weights, by_slopes } = block::backward(
            &spec,
            input.storage(),
            weights.storage(),
            slopes.storage(),
            &sums,
            by_output.storage().to_vec(),
            Wants {
                input: of_input.is_some(),
                added: of_added.is_some(),
                slopes: of_slopes.is_some(),
            },
        );
        if let (Some(node), Some(by_input)) = (of_input, by_input) {
            gradients.register::<Flex>(node.id, tensor(by_input, spec.shape.features_in()));
        }
        if let (Some(node), Some(by_added)) = (of_added, by_added) {
            gradients.register::<Flex>(node.id, tensor(by_added, spec.shape.features_out()));
        }
        if let Some(node) = of_weights.filter(|_| !by_weights.is_empty()) {
            gradients.register::<Flex>(node.id, tensor(by_weights, spec.shape.outputs));
        }
        if let (Some(node), Some(by_slopes)) = (of_slopes, by_slopes) {
            gradients.register::<Flex>(node.id, tensor(by_slopes, spec.shape.outputs));
        }
    }
}

impl<C: CheckpointStrategy> BlockOps for Autodiff<Flex, C> {
    fn block(
        input: FloatTensor<Self>,
        added: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        spec: Arc<Spec>,
        suffered: Arc<Suffered>,
    ) -> FloatTensor<Self> {
        let [input, added, weights, slopes] =
            [input, added, weights, slopes].map(|tensor| tensor.into_parts());
        let nodes = [input.1, added.1, weights.1, slopes.1];
        let [input, added, weights, slopes] = [input.0, added.0, weights.0, slopes.0];
        let (output, sums) = run([&input, &added, &weights, &slopes], &spec, &suffered);
        match Block.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::UnTracked(prepared) => prepared.finish(output),
            OpsKind::Tracked(prepared) => {
                let sums = Arc::new(sums);
                prepared.finish(State { input, weights, slopes, sums, spec }, output)
            }
        }
    }
}
