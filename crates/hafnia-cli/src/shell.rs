//! `hafnia completions` and `hafnia man`: the command line, told to shells and to man.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;
use hafnia_artifact::{Places, write_whole};

use crate::output::print;

/// Print completions for a shell.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia completions bash > ~/.local/share/bash-completion/completions/hafnia
  hafnia completions fish > ~/.config/fish/completions/hafnia.fish")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, mut command: Command) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "hafnia", &mut script);
        print(&script)
    }
}

/// Write the manual pages, one a command.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia man --out ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Folder to write them into.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Man {
    pub(crate) fn run(&self, mut command: Command) -> anyhow::Result<()> {
        // Subcommands learn their full names.
        command.build();
        let pages = pages(&command, "hafnia")?;
        let paths = pages.iter().map(|(name, _)| self.out.join(name));
        Places::new().writes(paths).check()?;
        pages.iter().try_for_each(|(name, page)| Ok(write_whole(self.out.join(name), page)?))
    }
}

/// The page of a command and those of the commands below it, by the names of their files.
fn pages(command: &Command, name: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).render(&mut page)?;
    let mut all = vec![(format!("{name}.1"), page)];
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        all.extend(pages(below, &format!("{name}-{}", below.get_name()))?);
    }
    Ok(all)
}
