//! Where a request writes: checked before its work, and what cannot be written is not lost.

use std::fmt;

use hafnia_artifact::Places;

use crate::data::DataSource;
use crate::record::manifest_of;
use crate::request::Step;

/// Refuses, before any work is done, outputs that are inputs too or cannot be written. The first has a
/// manifest beside it.
pub(crate) fn check_outputs(request: &impl Step, data: Option<&DataSource>) -> anyhow::Result<()> {
    Ok(places(request, data).check()?)
}

/// Where a request reads and writes.
pub(crate) fn places(request: &impl Step, data: Option<&DataSource>) -> Places {
    let outputs = request.outputs();
    let manifest = outputs.first().map(|first| manifest_of(first));
    let data = data.map(DataSource::files).unwrap_or_default();
    Places::new().reads(request.inputs()).reads(data).writes(outputs).writes(manifest)
}

/// What was found and could not be written.
#[derive(Debug)]
pub struct Unwritten<T> {
    /// What was found.
    pub outcome: T,
    /// Why it could not be written.
    pub cause: anyhow::Error,
}

impl<T: fmt::Debug + Send + Sync + 'static> Unwritten<T> {
    /// The outcome of a request, and whether it was written.
    ///
    /// # Errors
    /// If there is no outcome.
    pub fn split(found: anyhow::Result<T>) -> anyhow::Result<(T, anyhow::Result<()>)> {
        match found {
            Ok(outcome) => Ok((outcome, Ok(()))),
            Err(error) => {
                let Self { outcome, cause } = error.downcast()?;
                Ok((outcome, Err(cause)))
            }
        }
    }
}

impl<T> fmt::Display for Unwritten<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<T: fmt::Debug> std::error::Error for Unwritten<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

/// An outcome once it is written.
///
/// # Errors
/// [`Unwritten`], which still has it, if it cannot be written: nothing that was computed is lost.
pub fn written<T: fmt::Debug + Send + Sync + 'static>(
    outcome: T,
    write: impl FnOnce(&T) -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    match write(&outcome) {
        Ok(()) => Ok(outcome),
        Err(cause) => Err(Unwritten { outcome, cause }.into()),
    }
}
