//! [`import`]: from a file to a network.

use std::path::Path;

use crate::error::ImportError;
use crate::graph::Graph;
use crate::imported::Imported;
use crate::options::Options;
use crate::walk::Walk;

/// Reads an ONNX or QONNX file as a network of the same integers.
///
/// # Errors
/// An [`ImportError`] that names the node which cannot be taken over exactly, why, and what would be
/// accepted; or what is wrong with the file.
pub fn import(path: impl AsRef<Path>, options: &Options) -> Result<Imported, ImportError> {
    let path = path.as_ref();
    let graph = Graph::read(path)?;
    Walk::new(&graph, path, options)?.run()
}
