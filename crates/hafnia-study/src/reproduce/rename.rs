//! The second claim, rows of the final layer: networks like the paper's, trained freely and merged to
//! its number of rows, and our larger one, trained with tied rows.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use hafnia_report::plot::{RowEntry, rows_before_after};
use hafnia_report::{Figure, Interval, Metrics, Part, Section, Table};

use crate::describe::MappingDescription;
use crate::merge::{Leave, MergeOutcome, MergeRequest};
use crate::refine::SearchOptions;
use crate::reproduce::cost::net_of_table;
use crate::reproduce::deployed::Deployed;
use crate::reproduce::lab::{Lab, add, describe, final_rows, mean};
use crate::reproduce::zoo::{self, LIKE};
use crate::source::NetworkSource;

/// The layer whose rows are merged: the last.
const FINAL: &str = "fc3";

/// What was found of networks like the paper's.
pub(super) struct Like {
    /// Rows of the final layer before.
    logical_rows: usize,
    networks: Vec<Merged>,
    /// Saved in the final layer of the first, net of its table.
    net: Option<Interval>,
}

/// A network like the paper's, merged.
struct Merged {
    seed: u64,
    file: PathBuf,
    /// The network as it was trained.
    free: PathBuf,
    /// Rows of the final layer as renamed: of the free network, and of the merged one.
    rows: [usize; 2],
    bits_changed: u64,
    /// Accuracy on the test images, before and after; a tie counts as wrong.
    ties_wrong: [f64; 2],
}

/// Merges rows of the final layer of the recorded networks of the paper's shape, and renames them.
pub(super) fn like(lab: &Lab<'_>) -> anyhow::Result<Like> {
    let mut logical_rows = 0;
    let mut networks = Vec::new();
    let mut net = None;
    for recorded in zoo::of_recipe(lab, LIKE, lab.effort.networks)? {
        let zoo::Recorded { name, seed, file: free } = recorded;
        let (file, bits_changed) = merge(lab, &name, &free)?;
        let mut rows = [0; 2];
        for ((rows, network), what) in rows.iter_mut().zip([&free, &file]).zip(["free", "merged"]) {
            let name = format!("like/{seed}-{what}-renamed");
            let mapping = lab.map_plainly(name, network, "rename")?;
            [logical_rows, *rows] = final_rows(&describe(&mapping)?)?;
            if networks.is_empty() && what == "merged" {
                net = net_of_table(lab, "like-renamed", network, &mapping, FINAL)?;
            }
        }
        let ties_wrong = [
            lab.evaluate(&format!("evaluate/{name}"), &free, None)?,
            lab.evaluate(&format!("evaluate/{name}-merged"), &file, None)?,
        ];
        let ties_wrong = ties_wrong.map(|found| found.accuracy_ties_wrong.value);
        networks.push(Merged { seed, file, free, rows, bits_changed, ties_wrong });
    }
    Ok(Like { logical_rows, networks, net })
}

/// Merges rows of a network; returns the file of what comes out, and how many bits changed.
fn merge(lab: &Lab<'_>, name: &str, network: &Path) -> anyhow::Result<(PathBuf, u64)> {
    let out = lab.out(format!("merge/{name}.hafnia"));
    let request = MergeRequest {
        layer: FINAL.to_owned(),
        search: SearchOptions {
            passes: 2,
            images: Some(lab.effort.merge_images.min(lab.data.train) as u32),
            ..SearchOptions::default()
        },
        data: lab.source.clone(),
        network: NetworkSource::File(network.to_owned()),
        leave: Leave::Rows(lab.claims.protocol.merged_rows as usize),
        out: Some(out.clone()),
        ..MergeRequest::default()
    };
    match lab.ask(&format!("merge/{name}"), &request)? {
        MergeOutcome::Network(merged) => Ok((out, merged.merge.bits_changed)),
        MergeOutcome::Curve(_) => bail!("bug: a merge was asked for, and a curve came out"),
    }
}

impl Merged {
    /// Accuracy lost by merging, in points; a tie counts as wrong.
    fn cost_points(&self) -> f64 {
        let [before, after] = self.ties_wrong;
        100.0 * (before - after)
    }
}

impl Like {
    /// The merged networks and, beside each, what it was.
    pub(super) fn files(&self) -> impl Iterator<Item = (u64, [&PathBuf; 2])> {
        self.networks.iter().map(|merged| (merged.seed, [&merged.file, &merged.free]))
    }

    /// The most rows that any of the networks takes.
    fn rows(&self) -> usize {
        self.networks.iter().map(|merged| merged.rows[1]).max().unwrap_or(0)
    }

    fn cost_points(&self) -> Interval {
        mean(&self.networks.iter().map(Merged::cost_points).collect::<Vec<_>>())
    }

    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> anyhow::Result<()> {
        metrics.insert("rename/like/rows", self.rows() as f64)?;
        let saving = 1.0 - self.rows() as f64 / self.logical_rows as f64;
        metrics.insert("rename/like/saving", saving)?;
        if let Some(net) = self.net {
            add(metrics, "rename/like/net_area_saving", net)?;
        }
        add(metrics, "rename/like/accuracy_cost_points", self.cost_points())?;
        Ok(())
    }

    pub(super) fn section(&self) -> Section {
        let mut table = Table::of([
            "network",
            ">rows, exact rename",
            ">rows, merged",
            ">bits changed",
            ">test %, before",
            ">test %, merged",
            ">cost, points",
        ]);
        for merged in &self.networks {
            let [before, after] = merged.ties_wrong;
            table.row([
                format!("{LIKE}/{}", merged.seed),
                merged.rows[0].to_string(),
                merged.rows[1].to_string(),
                merged.bits_changed.to_string(),
                format!("{:.2}", 100.0 * before),
                format!("{:.2}", 100.0 * after),
                format!("{:.2}", merged.cost_points()),
            ]);
        }
        let Interval { value, lo, hi } = self.cost_points();
        Section {
            part: Part::Mapping,
            title: "Rows of networks like the paper's".to_owned(),
            text: format!(
                "Of {} rows of the final layer few are equal; `hafnia model merge` makes them so by training images, and rename then stores {} at most.\n\
                 Merging costs {value:.2} points ({lo:.2} to {hi:.2}) over {} networks, Student's t over the differences; a tie counts as wrong.",
                self.logical_rows,
                self.rows(),
                self.networks.len()
            ),
            tables: vec![table],
            ..Section::default()
        }
    }
}

/// What was found of the deployed network.
pub(super) struct Ours {
    natural: MappingDescription,
    renamed: MappingDescription,
    /// Saved in the final layer, net of its table.
    net: Option<Interval>,
}

/// Reads its mappings, and prices the renamed one.
pub(super) fn ours(lab: &Lab<'_>, deployed: &Deployed) -> anyhow::Result<Ours> {
    let Deployed { network, natural, renamed, .. } = deployed;
    let net = net_of_table(lab, "renamed", network, renamed, FINAL)?;
    Ok(Ours { natural: describe(natural)?, renamed: describe(renamed)?, net })
}

impl Ours {
    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> anyhow::Result<()> {
        let [logical, physical] = final_rows(&self.renamed)?.map(|rows| rows as f64);
        let (natural, renamed) = (&self.natural.total, &self.renamed.total);
        for (key, value) in [
            ("rename/final/logical_rows", logical),
            ("rename/final/physical_rows", physical),
            ("rename/final/saving", 1.0 - physical / logical),
            ("network/rows_natural", natural.physical_rows as f64),
            ("network/rows_renamed", renamed.physical_rows as f64),
            ("network/cells_natural", natural.cells as f64),
            ("network/cells_renamed", renamed.cells as f64),
            ("network/table_bits", renamed.table_bits as f64),
            ("network/macros", renamed.macros as f64),
        ] {
            metrics.insert(key, value)?;
        }
        if let Some(net) = self.net {
            add(metrics, "rename/final/net_area_saving", net)?;
        }
        Ok(())
    }

    pub(super) fn section(&self) -> anyhow::Result<Section> {
        let mut table = Table::of([
            "layer",
            ">logical rows",
            ">rows, natural",
            ">rows, renamed",
            ">saving, %",
            ">cells, natural",
            ">cells, renamed",
        ]);
        let percent = |before: usize, after: usize| {
            format!("{:.2}", 100.0 * (1.0 - after as f64 / before.max(1) as f64))
        };
        for (natural, renamed) in self.natural.matrices.iter().zip(&self.renamed.matrices) {
            table.row([
                natural.name.clone(),
                natural.logical_rows.to_string(),
                natural.physical_rows.to_string(),
                renamed.physical_rows.to_string(),
                percent(natural.physical_rows, renamed.physical_rows),
                natural.cells.to_string(),
                renamed.cells.to_string(),
            ]);
        }
        let (natural, renamed) = (&self.natural.total, &self.renamed.total);
        table.row([
            "network".to_owned(),
            natural.logical_rows.to_string(),
            natural.physical_rows.to_string(),
            renamed.physical_rows.to_string(),
            percent(natural.physical_rows, renamed.physical_rows),
            natural.cells.to_string(),
            renamed.cells.to_string(),
        ]);
        let text = format!(
            "Equal weight rows are stored once; a rename table keeps the addresses.\n\
             The mapped network takes {} macros (natural: {}), and its rename tables {} bits, which the row saving does not count.",
            renamed.macros, natural.macros, renamed.table_bits
        );
        Ok(Section {
            part: Part::Mapping,
            title: "Rows of our larger network".to_owned(),
            text,
            tables: vec![table],
            figures: vec![Figure {
                name: "rename-rows".to_owned(),
                caption: "Rows of the final layer of one network, before and after rename; exact."
                    .to_owned(),
                svg: rows_figure(&self.renamed)?,
            }],
            ..Section::default()
        })
    }
}

/// The final layer's rows before and after rename.
fn rows_figure(mapping: &MappingDescription) -> anyhow::Result<String> {
    let last = &mapping.matrices.last().context("a mapping has a matrix")?.name;
    let tile = mapping.tiles.iter().find(|tile| tile.matrix == *last).context("it has a tile")?;
    let bits = |row: &String| row.chars().map(|bit| bit == '1').collect::<Vec<bool>>();
    let physical: Vec<Vec<bool>> = tile.cells.iter().map(bits).collect();
    let entry = |&(logical, physical, _): &(u32, u32, i8)| RowEntry {
        logical: logical as usize,
        physical: physical as usize,
    };
    let mut entries: Vec<RowEntry> = tile.entries.iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.logical);
    // Numbered by position, should the tile hold only some of the layer's rows.
    entries.iter_mut().enumerate().for_each(|(position, entry)| entry.logical = position);
    let logical: Vec<Vec<bool>> =
        entries.iter().map(|entry| physical[entry.physical].clone()).collect();
    Ok(rows_before_after(&logical, &physical, &entries)?)
}
