//! [`Cost`]: area, energy and latency of a mapped network, by layer and component.
//!
//! The model of latency is that of the pass `duplicate`: layers one after the other, the tiles of a
//! layer on one macro in turns, macros side by side; a layer takes as long as its busiest macro.
//! A group takes a conversion for each column that shares a converter.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use hafnia_cim::{Adc, MacroSpec};
use hafnia_ir::Mapping;
use hafnia_model::Network;
use hafnia_sim::EventCounts;
use serde::{Deserialize, Serialize};

use crate::calibration::{Calibrated, Scaled};
use crate::error::CostError;
use crate::inventory::{Inventory, Parts, TileAmounts};
use crate::range::Range;

/// A part of a macro, or of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// The array of cells.
    Cells,
    /// Converters.
    Adcs,
    /// Drivers of word lines.
    Drivers,
    /// Multiplexers, write drivers and references of columns.
    Columns,
    /// Shift-and-add, and all that is added digitally.
    Adders,
    /// Input control and clock.
    Control,
    /// Rename tables.
    Tables,
    /// Conversions in full groups.
    Conversions,
    /// Conversions of groups that closed early, and look-ups that do not hide.
    Stalls,
    /// Starts of scans.
    Scans,
}

impl Component {
    /// The name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cells => "cells",
            Self::Adcs => "adcs",
            Self::Drivers => "drivers",
            Self::Columns => "columns",
            Self::Adders => "adders",
            Self::Control => "control",
            Self::Tables => "tables",
            Self::Conversions => "conversions",
            Self::Stalls => "stalls",
            Self::Scans => "scans",
        }
    }
}

/// An amount and the components that make it up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Breakdown<T> {
    /// In all.
    pub total: T,
    /// By component.
    pub parts: BTreeMap<Component, T>,
}

/// What a layer costs; `T` is a [`Range`], or a number in one draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerCost<T = Range> {
    /// Name of the layer.
    pub name: String,
    /// Cells of its tiles.
    pub cells: usize,
    /// Bits of its rename tables.
    pub table_bits: usize,
    /// Area that it uses, its share of what it uses with others, in um².
    pub area_um2: Breakdown<T>,
    /// Energy per image, in fJ.
    pub energy_fj: Breakdown<T>,
    /// Time per image, in ns.
    pub latency_ns: Breakdown<T>,
}

/// What a mapped network costs; `T` is a [`Range`], or a number in one draw.
///
/// Layers add up to the totals, at the typical constants and in every draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost<T = Range> {
    /// Images over which events were counted.
    pub images: u64,
    /// Macros; before a mapping is placed, its tiles, each on a macro of its size.
    pub macros: usize,
    /// The layers in order.
    pub layers: Vec<LayerCost<T>>,
    /// Area in use, in um².
    pub area_um2: Breakdown<T>,
    /// Area of macros that no tile uses, in um².
    pub spare_um2: Breakdown<T>,
    /// Area of the macros, whole, and the tables, in um².
    pub whole_um2: T,
    /// Energy per image, in fJ.
    pub energy_fj: Breakdown<T>,
    /// From image to answer, in ns.
    pub latency_ns: Breakdown<T>,
    /// 1x1-bit operations per image, of the rows that were on: a multiplication and an addition
    /// for each of their cells.
    pub ops: f64,
    /// 1x1-bit operations per image, of all weights, those too whose input is 0.
    pub network_ops: f64,
    /// Operations of rows that were on a second, in TOPS.
    pub tops: T,
    /// Operations of rows that were on for the energy, in TOPS/W.
    pub tops_per_w: T,
    /// Operations of all weights for the energy, in TOPS/W.
    pub network_tops_per_w: T,
    /// Operations of rows that were on a second and whole area, in GOPS/mm².
    pub gops_per_mm2: T,
    /// Area of the cells of a weight, in um².
    pub weight_um2: T,
    /// Area of a bit of a table, in um².
    pub table_bit_um2: T,
}

/// A cost at the typical constants and in every draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// At the typical constants.
    pub typical: Cost<f64>,
    /// In the draws of a [`Calibrated`] model, in their order.
    pub draws: Vec<Cost<f64>>,
}

impl Calibrated {
    /// What a mapping of `network` costs, given what was counted while it ran.
    ///
    /// It is on macros of `spec`, with their converters and on/off ratio, and at the typical constants
    /// with their columns to a converter; in a draw as many times more or fewer columns share one as
    /// in the chip of that draw, because that is not known of either.
    ///
    /// ```
    /// use hafnia_cim::MacroSpec;
    /// use hafnia_cost::CostModel;
    /// use hafnia_ir::Mapping;
    /// use hafnia_model::random;
    /// use hafnia_rng::Seed;
    /// use hafnia_sim::{Images, NoiseScope, Programmed, Reference};
    ///
    /// let network = random::lenet5(Seed(1));
    /// let spec = MacroSpec::preset("gt-n40")?;
    /// let mapping = Mapping::logical(&network, &spec);
    /// let images = Images { activations: random::image(Seed(2), network.input()), labels: vec![3] };
    /// let reference = Reference::new(&network, &images)?;
    /// let programmed = Programmed::new(&reference, &mapping, &spec, &NoiseScope::Final)?;
    /// let events = programmed.count_events(&|_, _| ());
    ///
    /// let calibrated = CostModel::gt_n40().calibrate(100, Seed(3))?;
    /// let cost = calibrated.assess(&network, &mapping, &spec, &events)?.cost();
    /// println!("{} mm2 in use", cost.area_um2.total.scaled(1e-6));
    /// println!("{} nJ an image", cost.energy_fj.total.scaled(1e-6));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the events are of another mapping, or of no image.
    pub fn assess(
        &self,
        network: &Network,
        mapping: &Mapping,
        spec: &MacroSpec,
        counts: &EventCounts,
    ) -> Result<Assessment, CostError> {
        // Few numbers of columns a converter are drawn, many times each.
        let mut inventories = BTreeMap::new();
        let typical = self.typical.constants.columns_per_adc;
        let mut price = |scaled: &Scaled| {
            let shared = spec.columns_per_adc as f64 * scaled.constants.columns_per_adc / typical;
            let shared = (shared.round() as usize).clamp(1, spec.columns);
            let inventory = match inventories.entry(shared) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => {
                    vacant.insert(Inventory::of(network, mapping, spec, shared, counts)?)
                }
            };
            Ok(scaled.cost(inventory))
        };
        let draws = self.draws.iter().map(&mut price).collect::<Result<_, CostError>>()?;
        Ok(Assessment { typical: price(&self.typical)?, draws })
    }
}

impl Assessment {
    /// The cost with its ranges.
    pub fn cost(&self) -> Cost {
        let flat = |cost: &Cost<f64>| {
            let mut values = Vec::new();
            cost.map(&mut |&value| values.push(value));
            values
        };
        let draws: Vec<Vec<f64>> = self.draws.iter().map(flat).collect();
        let mut index = 0;
        self.typical.map(&mut |&typical| {
            let range = Range::of(typical, draws.iter().map(|draw| draw[index]).collect());
            index += 1;
            range
        })
    }
}

impl<T> Breakdown<T> {
    fn map<U>(&self, f: &mut impl FnMut(&T) -> U) -> Breakdown<U> {
        let total = f(&self.total);
        Breakdown {
            total,
            parts: self.parts.iter().map(|(&part, value)| (part, f(value))).collect(),
        }
    }
}

impl Breakdown<f64> {
    fn of(parts: impl IntoIterator<Item = (Component, f64)>) -> Self {
        let mut all = BTreeMap::new();
        for (component, value) in parts {
            *all.entry(component).or_insert(0.0) += value;
        }
        Self { total: all.values().sum(), parts: all }
    }

    fn sum<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        Self::of(all.flat_map(|one| one.parts.iter().map(|(&part, &value)| (part, value))))
    }
}

impl<T> Cost<T> {
    /// The same with `f` of every value, which it is given in one order always.
    fn map<U>(&self, f: &mut impl FnMut(&T) -> U) -> Cost<U> {
        let layers = self.layers.iter().map(|layer| LayerCost {
            name: layer.name.clone(),
            cells: layer.cells,
            table_bits: layer.table_bits,
            area_um2: layer.area_um2.map(f),
            energy_fj: layer.energy_fj.map(f),
            latency_ns: layer.latency_ns.map(f),
        });
        Cost {
            images: self.images,
            macros: self.macros,
            layers: layers.collect(),
            area_um2: self.area_um2.map(f),
            spare_um2: self.spare_um2.map(f),
            whole_um2: f(&self.whole_um2),
            energy_fj: self.energy_fj.map(f),
            latency_ns: self.latency_ns.map(f),
            ops: self.ops,
            network_ops: self.network_ops,
            tops: f(&self.tops),
            tops_per_w: f(&self.tops_per_w),
            network_tops_per_w: f(&self.network_tops_per_w),
            gops_per_mm2: f(&self.gops_per_mm2),
            weight_um2: f(&self.weight_um2),
            table_bit_um2: f(&self.table_bit_um2),
        }
    }
}

impl Scaled {
    fn cost(&self, inventory: &Inventory) -> Cost<f64> {
        let layers: Vec<LayerCost<f64>> =
            (0..inventory.layers.len()).map(|layer| self.layer(inventory, layer)).collect();
        let area_um2 = Breakdown::sum(layers.iter().map(|layer| &layer.area_um2));
        let energy_fj = Breakdown::sum(layers.iter().map(|layer| &layer.energy_fj));
        let latency_ns = Breakdown::sum(layers.iter().map(|layer| &layer.latency_ns));
        let spare_um2 = Breakdown::of(self.area(&inventory.spare, &inventory.adc));
        let whole_um2 = area_um2.total + spare_um2.total;
        let ops: f64 = inventory.tiles.iter().map(|tile| tile.ops).sum();
        let network_ops: f64 = inventory.layers.iter().map(|layer| layer.network_ops).sum();
        // 1 op/ns = 1 GOPS, 1 op/fJ = 1000 TOPS/W.
        let per_energy = |ops: f64| if ops == 0.0 { 0.0 } else { 1000.0 * ops / energy_fj.total };
        let gops = if ops == 0.0 { 0.0 } else { ops / latency_ns.total };
        Cost {
            images: inventory.images,
            macros: inventory.macros,
            ops,
            network_ops,
            tops: 1e-3 * gops,
            tops_per_w: per_energy(ops),
            network_tops_per_w: per_energy(network_ops),
            gops_per_mm2: 1e6 * gops / whole_um2,
            weight_um2: self.constants.weight_um2(),
            table_bit_um2: self.constants.table_bit_um2,
            layers,
            area_um2,
            spare_um2,
            whole_um2,
            energy_fj,
            latency_ns,
        }
    }

    fn layer(&self, inventory: &Inventory, layer: usize) -> LayerCost<f64> {
        let tiles = || inventory.tiles.iter().filter(move |tile| tile.matrix == layer);
        let area = tiles().flat_map(|tile| self.area(&tile.parts, &inventory.adc));
        let energy = tiles().flat_map(|tile| self.energy(tile, inventory));
        let mut busy: BTreeMap<usize, Breakdown<f64>> = BTreeMap::new();
        for tile in tiles() {
            let time = self.time(tile, &inventory.adc);
            let before = busy.remove(&tile.macro_index);
            let parts = before.into_iter().flat_map(|before| before.parts).chain(time);
            busy.insert(tile.macro_index, Breakdown::of(parts));
        }
        let busiest = busy.into_values().max_by(|a, b| a.total.total_cmp(&b.total));
        LayerCost {
            name: inventory.layers[layer].name.clone(),
            cells: tiles().map(|tile| tile.parts.cells).sum::<f64>() as usize,
            table_bits: tiles().map(|tile| tile.parts.table_bits).sum::<f64>() as usize,
            area_um2: Breakdown::of(area),
            energy_fj: Breakdown::of(energy),
            latency_ns: busiest.unwrap_or_else(|| Breakdown::of([])),
        }
    }

    fn area(&self, parts: &Parts, adc: &Adc) -> [(Component, f64); 7] {
        let (constants, scale) = (&self.constants, self.area_scale);
        [
            (Component::Cells, parts.cells * constants.weight_um2()),
            (Component::Adcs, scale * parts.adcs * constants.converter_um2(adc)),
            (Component::Drivers, scale * parts.rows * constants.row_um2()),
            (Component::Columns, scale * parts.columns * constants.bit_line_um2()),
            (Component::Adders, scale * parts.adcs * constants.adder_um2),
            (Component::Control, scale * parts.macros * constants.control_um2),
            (Component::Tables, parts.table_bits * constants.table_bit_um2),
        ]
    }

    fn energy(&self, tile: &TileAmounts, on: &Inventory) -> [(Component, f64); 6] {
        let (constants, scale) = (&self.constants, self.energy_scale);
        let reads = tile.lrs_reads + tile.hrs_reads / on.on_off_ratio;
        let cycles = tile.groups * tile.multiplexed * constants.conversion_cycles(&on.adc);
        [
            (Component::Cells, scale * reads * constants.lrs_fj()),
            (Component::Adcs, scale * tile.conversions * constants.converter_fj(&on.adc)),
            (Component::Drivers, scale * tile.line_cells * constants.word_line_fj()),
            (Component::Adders, tile.add_bits * constants.add_fj()),
            (Component::Control, cycles * constants.control_fj()),
            (Component::Tables, tile.table_reads_bits * constants.table_fj_per_bit),
        ]
    }

    fn time(&self, tile: &TileAmounts, adc: &Adc) -> [(Component, f64); 3] {
        let constants = &self.constants;
        let ns = 1000.0 / constants.clock_mhz;
        let look_ups = if tile.parts.table_bits > 0.0 { tile.groups } else { 0.0 };
        let early = tile.groups - tile.full_groups;
        let of_group = tile.multiplexed * constants.conversion_cycles(adc);
        let stalls = early * of_group + look_ups * constants.table_cycles;
        [
            (Component::Conversions, ns * tile.full_groups * of_group),
            (Component::Stalls, ns * stalls),
            (Component::Scans, ns * tile.scans * constants.scan_cycles),
        ]
    }
}
