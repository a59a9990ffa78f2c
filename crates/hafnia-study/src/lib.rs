//! The flows of hafnia as a library: what a person asks on the command line, asked in Rust.
//!
//! A [`Request`] is plain data, and so is what it finds; both are read and written by serde. A
//! [`Session`] holds what requests share, and tells an [`Observer`] how far they are.
//! [`Request::command_line`] is what would be typed to ask the same, so that every number can be
//! found again by hand.
//!
//! ```
//! use hafnia_passes::Registry;
//! use hafnia_study::{MapRequest, MappingOrigin, NetworkSource, Request, Session};
//!
//! # let folder = tempfile::tempdir()?;
//! # let out = folder.path().join("frontier.map");
//! # let out = out.as_path();
//! let registry = Registry::builtin();
//! let session = Session::new(&registry, &());
//! let request = MapRequest {
//!     network: NetworkSource::Model("frontier".to_owned()),
//!     from: MappingOrigin::Pipeline("compact".to_owned()),
//!     out: out.to_owned(),
//!     ..MapRequest::default()
//! };
//! let mapped = request.run(&session)?;
//! assert_eq!(mapped.total.macros, 4);
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! | request | finds |
//! |---|---|
//! | [`MapRequest`] | a mapping, proved and run against the reference after every pass |
//! | [`SimulateRequest`] | accuracy over virtual chips, with intervals; where it goes |
//! | [`CostRequest`] | area, energy and latency, as ranges |
//! | [`FrontierRequest`] | what rows, cycles and noise can be had together |
//! | [`SweepRequest`] | all of that over many points, on this machine or on many |
//! | [`ImportRequest`] | a network out of an ONNX file, beside what an executor gave for it |
//! | [`ProfileRequest`], [`EvaluateRequest`], [`RefineRequest`], [`MergeRequest`] | what mappings are made of: networks, better or other ones |
//! | [`BenchRequest`], [`ShapesRequest`] | how fast engines are; networks of published shapes |
//! | [`FitCellsRequest`], [`FitCodesRequest`], [`NewMacroRequest`], [`CodesRequest`] | presets and code tables: from measurements, begun by hand, of a macro |
//!
//! What this crate does not know: the command line that makes requests, and the trainer.

mod bench;
mod cost;
mod data;
mod describe;
mod evaluate;
mod fit;
mod frontier;
mod import;
mod layout;
pub mod limits;
mod macros;
mod map;
mod merge;
mod outputs;
mod profile;
mod record;
mod refine;
pub mod reproduce;
mod request;
mod session;
mod shapes;
mod simulate;
mod source;
pub mod sweep;
mod table_error;
mod train;

pub use bench::{BENCH_MODEL, BenchOutcome, BenchRequest, EngineSpeed};
pub use cost::{CostAgainst, CostOutcome, CostRequest, ratios};
pub use data::{DataOutcome, DataSource, Part};
pub use describe::{
    ChipDescription, LayerDescription, MappingDescription, MatrixSize, MatrixSummary,
    NetworkDescription, PassDescription, PassOption, PassesOutcome, ProfileOutcome,
    StateDescription, TileDescription, Totals, describe_network, natural_paths, sizes,
};
pub use evaluate::{
    Accuracy, Compared, EvaluateOutcome, EvaluateRequest, EvaluatedAgainst, logits,
};
pub use fit::{FitCellsRequest, FitCodesRequest, FittedRate, FittedState, WantedShape};
pub use frontier::FrontierRequest;
pub use import::{Disagreement, ImportOutcome, ImportRequest};
pub use layout::layout;
pub use macros::{CodeProbability, CodesRequest, NewMacro, NewMacroRequest};
pub use map::{MapOutcome, MapRequest, MappingOrigin, PassRun};
pub use merge::{Leave, MergeCurve, MergeOutcome, MergePoint, MergeRequest, MergedNetwork};
pub use outputs::{Unwritten, written};
pub use profile::ProfileRequest;
pub use record::{Record, in_one_line, manifest_of, program};
pub use refine::{RefineOutcome, RefineRequest, SearchOptions};
pub use request::{Request, Step, name_of};
pub use session::{Bar, Observer, Session};
pub use shapes::{MeasuredShape, ShapesOutcome, ShapesRequest};
pub use simulate::{
    AttributeRequest, Found, MappingPower, NetworkMappings, PerImage, PooledMapping,
    PooledNetworks, PowerGrid, SimulateOutcome, SimulateRequest, SimulatedMapping,
    SimulatedNetwork, Until,
};
pub use source::{MacroSource, NamedNetwork, NetworkSource, PIPELINE, resolved};
pub use sweep::{On, SweepOutcome, SweepRequest};
pub use table_error::TableCheck;
pub use train::{Epoch, SeedOutcome, TrainOutcome, TrainRequest, TrainSummary};
