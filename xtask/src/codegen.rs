//! `cargo xtask codegen`: the documents that are generated from the code.

use std::fs;

use anyhow::{Context, bail};
use hafnia_passes::Registry;

use crate::workspace;

pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let documents = [("docs/passes.md", Registry::builtin().to_markdown())];
    for (name, text) in documents {
        let path = workspace().join(name);
        if !check {
            hafnia_artifact::write_whole(&path, text.as_bytes())?;
            continue;
        }
        let found = fs::read_to_string(&path).with_context(|| name.to_owned())?;
        if found != text {
            bail!("{name} is not what the code says: run `cargo xtask codegen`");
        }
    }
    Ok(())
}
