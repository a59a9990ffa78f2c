//! [`Programmed`]: a mapping on macros, checked and laid out once for all its runs.

use std::sync::Arc;

use hafnia_cim::MacroSpec;
use hafnia_ir::Mapping;

use crate::error::SimError;
use crate::fast::plan::Layout;
use crate::mapped::Plan;
use crate::paths::Why;
use crate::reference::{Kernels, NoiseScope, Reference};

/// The mapping of a reference, on macros of a spec.
#[derive(Debug)]
pub struct Programmed<'a> {
    pub(crate) reference: &'a Reference<'a>,
    pub(crate) mapping: &'a Mapping,
    pub(crate) spec: &'a MacroSpec,
    pub(crate) plan: Arc<Plan>,
    /// What kernels run, unless they do not suit it.
    pub(crate) layout: Result<Layout<'a>, Why>,
    /// Per matrix, whether it runs on the macro.
    pub(crate) in_scope: Vec<bool>,
    /// The last layer before the first of them that can be begun at, if a matrix comes before it.
    first: usize,
    /// (image, activation): what reaches that layer, of the first images, unless that is the images.
    reached: Option<Arc<Vec<u8>>>,
}

impl<'a> Programmed<'a> {
    /// Verifies and lays out a mapping, at any stage, of the network of `reference` on macros of
    /// `spec`; matrices in `scope` run on them.
    ///
    /// # Errors
    /// If the mapping is of another network, for other macros or not well formed, or `scope` names a
    /// matrix that the network does not have.
    pub fn new(
        reference: &'a Reference<'a>,
        mapping: &'a Mapping,
        spec: &'a MacroSpec,
        scope: &NoiseScope,
    ) -> Result<Self, SimError> {
        let network = reference.network;
        let in_scope = scope.matrices(network)?;
        let plan = Arc::new(Plan::new(network, mapping, spec)?);
        let layout = match reference.kernels {
            Kernels::Scalar => Err(Why::Requested),
            Kernels::Vectors(_) => Layout::of_mapping(network, mapping, &plan, spec),
        };
        let noisy = in_scope.iter().position(|&noisy| noisy).expect("a scope names a matrix");
        // Nothing is worth keeping before the first matrix.
        let first =
            if noisy == 0 { 0 } else { network.cut_before(network.matrices()[noisy].layer) };
        let reached = (first > 0).then(|| reference.reached(first));
        Ok(Self { reference, mapping, spec, plan, layout, in_scope, first, reached })
    }

    /// Where the run of an image begins: a layer, and what reaches it without noise, which may be put
    /// into `buffer`.
    pub(crate) fn begin<'b>(&'b self, image: usize, buffer: &'b mut Vec<u8>) -> (usize, &'b [u8]) {
        let length = self.reference.network.shape_before(self.first).len();
        let kept =
            self.reached.as_ref().and_then(|reached| reached.chunks_exact(length).nth(image));
        match kept {
            Some(reached) => (self.first, reached),
            None => (0, self.reference.images.image(image, buffer)),
        }
    }
}
