//! Makes rows of a matrix equal, and tells what that costs.

use std::path::PathBuf;

use anyhow::bail;
use hafnia_artifact::save;
use hafnia_data::View;
use hafnia_model::Network;
use hafnia_stats::Interval;
use hafnia_tune::{Images, MergeReport, Merged};
use serde::{Deserialize, Serialize};

use crate::data::{DataSource, Part, images, labelled};
use crate::evaluate::{Accuracy, Compared, Judged};
use crate::outputs::{check_outputs, written};
use crate::record::Record;
use crate::refine::SearchOptions;
use crate::request::{Request, Step};
use crate::session::Session;
use crate::source::NetworkSource;

/// What is to be merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergeRequest {
    /// The network.
    #[serde(flatten)]
    pub network: NetworkSource,
    /// File of the network that comes out; none for a curve.
    pub out: Option<PathBuf>,
    /// Layer whose rows are made equal.
    pub layer: String,
    /// How many different rows are left.
    #[serde(flatten)]
    pub leave: Leave,
    /// Whether rows are only made equal: no other integers are searched to make up for it.
    pub no_tune: bool,
    /// The images by which the cost is told.
    pub part: Part,
    /// How integers are searched.
    #[serde(flatten)]
    pub search: SearchOptions,
    /// Where images come from.
    #[serde(flatten)]
    pub data: DataSource,
}

/// How many different rows are left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leave {
    /// This many.
    Rows(usize),
    /// The fewest that cost at most these points of accuracy on validation images.
    Budget(f64),
    /// Each of these numbers, with and without tuning; no network is written.
    Curve(Vec<usize>),
}

impl Default for MergeRequest {
    fn default() -> Self {
        Self {
            network: NetworkSource::default(),
            out: None,
            layer: "fc3".to_owned(),
            leave: Leave::Curve(Vec::new()),
            no_tune: false,
            part: Part::Validation,
            search: SearchOptions::default(),
            data: DataSource::default(),
        }
    }
}

/// What merging gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MergeOutcome {
    /// A network.
    Network(Box<MergedNetwork>),
    /// Accuracy over rows.
    Curve(MergeCurve),
}

/// What a merge gave and cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergedNetwork {
    /// Whether the other integers were searched.
    pub tuned: bool,
    /// The images by which the cost is told.
    pub part: Part,
    /// How many.
    pub images: usize,
    /// Accuracy of the network as it was.
    pub accuracy_before: Accuracy,
    /// Accuracy as it is.
    pub accuracy_after: Accuracy,
    /// Accuracy before minus after, in points, paired over the images.
    pub cost_points: Accuracy,
    /// What was done.
    #[serde(flatten)]
    pub merge: MergeReport,
}

/// Accuracy over rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergeCurve {
    /// The network.
    pub network: String,
    /// The layer.
    pub layer: String,
    /// The images by which the cost is told.
    pub part: Part,
    /// The merges.
    pub points: Vec<MergePoint>,
}

/// A merge of a curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergePoint {
    /// Different rows that are left.
    pub rows: usize,
    /// Whether the other integers were searched.
    pub tuned: bool,
    /// Bits of the layer that changed.
    pub bits_changed: u64,
    /// Accuracy after it.
    pub accuracy: Accuracy,
    /// Accuracy before minus after, in points, paired over the images.
    pub cost_points: Accuracy,
}

impl Request for MergeRequest {
    const COMMAND: &'static str = "model merge";

    type Outcome = MergeOutcome;

    fn run(&self, session: &Session<'_>) -> anyhow::Result<MergeOutcome> {
        check_outputs(self, Some(&self.data))?;
        let named = self.network.load()?;
        let mut record = Record::of(self, &[], Some(self.search.seed))?;
        record.network(&named);
        let set = session.dataset(&self.data)?;
        record.data(&set);
        let inputs = images(&named.network, self.search.train(&set)?)?;
        let subject = |part: Part| -> anyhow::Result<Subject<'_>> {
            let part = labelled(&named.network, part.of(&set))?;
            Ok(Subject {
                request: self,
                session,
                before: Judged::of(&named.network, &part)?,
                network: &named.network,
                images: Images { activations: &inputs.activations, labels: &inputs.labels },
                part,
            })
        };
        let judged = subject(self.part)?;
        let (merged, compared) = match &self.leave {
            Leave::Curve(rows) => {
                return Ok(MergeOutcome::Curve(judged.curve(rows, named.name.clone())?));
            }
            Leave::Rows(rows) => judged.merge(*rows, !self.no_tune)?,
            Leave::Budget(points) => {
                // Test images choose nothing.
                let merged = subject(Part::Validation)?.within(*points)?;
                let compared = judged.compare(&merged.network)?;
                (merged, compared)
            }
        };
        let outcome = MergeOutcome::Network(Box::new(MergedNetwork {
            tuned: !self.no_tune,
            part: self.part,
            images: compared.images,
            accuracy_before: compared.accuracy_before,
            accuracy_after: compared.accuracy_after,
            cost_points: cost(&compared.gain_points),
            merge: merged.report,
        }));
        written(outcome, |_| {
            let Some(out) = &self.out else { return Ok(()) };
            save(out, &merged.network)?;
            record.end(&[out])
        })
    }
}

impl Step for MergeRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        self.network.file().into_iter().collect()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        self.out.iter().cloned().collect()
    }
}

/// What merges are made from and judged by.
struct Subject<'a> {
    request: &'a MergeRequest,
    session: &'a Session<'a>,
    network: &'a Network,
    /// The training images.
    images: Images<'a>,
    /// The images by which the cost is told, and what the network makes of them.
    part: View<'a>,
    before: Judged,
}

impl Subject<'_> {
    fn compare(&self, network: &Network) -> anyhow::Result<Compared> {
        self.before.then("", &Judged::of(network, &self.part)?)
    }

    fn merge(&self, rows: usize, tune: bool) -> anyhow::Result<(Merged, Compared)> {
        let options = self.request.search.options();
        let bar = self.session.observer.bar("merge", "channels");
        bar.message(&format!("{rows} rows"));
        let moves = &mut |done, of| bar.moves(done, of);
        let (network, layer) = (self.network, &self.request.layer);
        let merged = hafnia_tune::merge(network, self.images, layer, rows, tune, &options, moves)?;
        drop(bar);
        let compared = self.compare(&merged.network)?;
        Ok((merged, compared))
    }

    /// The merge to the fewest rows that costs at most `budget`, by halving: more rows are taken to
    /// cost no more.
    fn within(&self, budget: f64) -> anyhow::Result<Merged> {
        let matrices = self.network.matrices();
        let layer = matrices.into_iter().find(|matrix| matrix.name == self.request.layer);
        // Of a layer that is not there `merge` tells.
        let most = layer.map_or(1, |matrix| matrix.weights.rows());
        let (mut low, mut high) = (1, most);
        let mut best = None;
        while low < high || best.is_none() {
            let rows = (low + high) / 2;
            let (merged, compared) = self.merge(rows, !self.request.no_tune)?;
            if -compared.gain_points.first.value <= budget {
                high = rows;
                best = Some(merged);
            } else if low < high {
                low = rows + 1;
            } else {
                bail!("{rows} rows cost more than --budget {budget}");
            }
        }
        Ok(best.expect("a merge within the budget"))
    }

    fn curve(&self, rows: &[usize], network: String) -> anyhow::Result<MergeCurve> {
        let mut points = Vec::new();
        for &rows in rows {
            for tuned in [false, true].into_iter().take(if self.request.no_tune { 1 } else { 2 }) {
                let (merged, compared) = self.merge(rows, tuned)?;
                points.push(MergePoint {
                    rows: merged.report.rows,
                    tuned,
                    bits_changed: merged.report.bits_changed,
                    cost_points: cost(&compared.gain_points),
                    accuracy: compared.accuracy_after,
                });
            }
        }
        let MergeRequest { layer, part, .. } = self.request;
        Ok(MergeCurve { network, layer: layer.clone(), part: *part, points })
    }
}

/// What was gained, seen as a cost.
fn cost(gain: &Accuracy) -> Accuracy {
    // 0 stays 0, without a sign.
    let negated = |gain: &Interval| Interval {
        value: 0.0 - gain.value,
        lo: 0.0 - gain.hi,
        hi: 0.0 - gain.lo,
    };
    Accuracy { first: negated(&gain.first), ties_wrong: negated(&gain.ties_wrong) }
}
