//! [`Work`]: how often the parts of a mapping work for one image.

use hafnia_cim::Groups;
use hafnia_ir::{Mapping, MatrixId, Tile};

use crate::{Context, Statistics};

/// How often the parts of a mapping work for one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Scans of a tile.
    scans: u64,
    /// Digital additions that join the row chunks of outputs.
    additions: u64,
    /// Conversion cycles with all inputs on in all bit-planes, the most there can be.
    cycles: u64,
    /// Conversions, likewise.
    conversions: u64,
}

impl Work {
    /// The work of a mapping of the network in `context`.
    pub(crate) fn of(mapping: &Mapping, context: &Context<'_>) -> Self {
        let (spec, layers) = (context.spec, context.network.matrices());
        let mut work = Self::default();
        let mut groups = Groups::default();
        for (tile, scans) in mapping.tiles.iter().zip(scans(mapping, context)) {
            let all: Vec<u32> = (0..tile.rows.len() as u32).collect();
            let entries = tile.rows.scan();
            spec.input_control.groups(spec.rows_per_conversion, entries, &all, &mut groups);
            let planes = u64::from(layers[tile.matrix.index()].input_bits);
            let (columns, cycles) =
                (tile.columns.len() as u64, scans * planes * groups.len() as u64);
            work.scans += scans;
            work.additions += scans * columns;
            work.cycles += cycles;
            work.conversions += cycles * columns;
        }
        // The first chunk of an output is not added to another.
        let outputs = layers.iter().map(|layer| layer.positions * layer.weights.columns());
        work.additions -= outputs.sum::<usize>() as u64;
        work
    }

    /// Adds what it was and what it is to the statistics of a pass.
    pub(crate) fn changed(self, after: Self, statistics: Statistics) -> Statistics {
        let lines = [
            ("scans of a tile, per image", self.scans, after.scans),
            ("digital additions of row chunks, per image", self.additions, after.additions),
            ("conversion cycles, per image at most", self.cycles, after.cycles),
            ("conversions, per image at most", self.conversions, after.conversions),
        ];
        lines.into_iter().fold(statistics, |statistics, (name, before, after)| {
            statistics.changed(name, before as f64, after as f64)
        })
    }
}

/// How often every tile is scanned for one image: once for every output position that its replica
/// computes.
pub(crate) fn scans(mapping: &Mapping, context: &Context<'_>) -> Vec<u64> {
    let layers = context.network.matrices();
    let matrices = layers
        .iter()
        .zip(0..)
        .map(|(layer, matrix)| (layer.positions, mapping.replicas(MatrixId(matrix)) as usize));
    let matrices: Vec<(usize, usize)> = matrices.collect();
    let scans = |tile: &Tile| {
        let (positions, replicas) = matrices[tile.matrix.index()];
        (tile.replica as usize..positions).step_by(replicas).len() as u64
    };
    mapping.tiles.iter().map(scans).collect()
}

#[cfg(test)]
mod tests {
    use hafnia_cim::{CodeTable, MacroSpec};
    use hafnia_model::random::lenet5;
    use hafnia_rng::Seed;

    use super::*;

    #[test]
    fn replicas_share_the_positions() {
        let (network, spec) = (lenet5(Seed(1)), MacroSpec::preset("gt-n40").unwrap());
        let context = Context {
            network: &network,
            spec: &spec,
            profile: None,
            code_table: &CodeTable::from_spec(&spec),
            seed: Seed(1),
            progress: &|_, _| {},
        };
        let mut mapping = Mapping::logical(&network, &spec).unwrap();
        assert_eq!(scans(&mapping, &context), [784, 100, 1, 1, 1]);
        let alone = Work::of(&mapping, &context);
        assert_eq!((alone.scans, alone.additions), (887, 0));
        for replica in 1..3 {
            mapping.tiles.push(Tile { replica, ..mapping.tiles[0].clone() });
        }
        assert_eq!(scans(&mapping, &context), [262, 100, 1, 1, 1, 261, 261]);
        assert_eq!(Work::of(&mapping, &context), alone);
    }
}
