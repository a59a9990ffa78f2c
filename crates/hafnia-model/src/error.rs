//! What can be wrong with a network or its weights.

/// Why planes do not make weights, or layers no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{fault}", layer.as_ref().map(|layer| format!("layer {layer}: ")).unwrap_or_default())]
pub struct ShapeError {
    /// The layer, by its index and its name if it has one: `2`, or ``3 (`fc1`)``; none if it is the
    /// input or the network as a whole.
    pub layer: Option<String>,
    /// What is wrong, in words.
    pub fault: String,
}

impl ShapeError {
    pub(crate) fn whole(fault: String) -> Self {
        Self { layer: None, fault }
    }
}
