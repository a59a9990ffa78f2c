//! The deployed network on macros, cell by cell, for the page.

use std::path::Path;

use anyhow::Context;
use hafnia_ir::read_mapping;
use hafnia_report::{CellMap, Layout, Part, Section};

use crate::layout::layout;

/// Reads a mapping and lays its tiles out on macros.
pub(super) fn read(name: &str, path: &Path) -> anyhow::Result<Layout> {
    layout(name, &read_mapping(path)?).with_context(|| path.display().to_string())
}

/// The deployed network on macros, before and after.
pub(super) fn section(layouts: &[Layout]) -> Section {
    Section {
        part: Part::Mapping,
        title: "The macros, cell by cell".to_owned(),
        text: "The deployed network in natural order, after `rename`, and by the search `best`; report.html shows every cell, and which logical rows a physical row holds."
            .to_owned(),
        maps: vec![CellMap {
            name: "cells".to_owned(),
            caption: "Every macro before and after.".to_owned(),
            layouts: layouts.to_vec(),
        }],
        ..Section::default()
    }
}
