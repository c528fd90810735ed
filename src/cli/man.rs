//! `witprof man`: pages for `man`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use clap_mangen::Man;

/// Write manual pages into a folder, one for each command
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
pub(super) struct ManArguments {
    /// The folder, which is made if there is none
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  # then `man witprof-run` shows a page
  witprof man ~/.local/share/man/man1
  # read a page that is not installed
  witprof man . && man ./witprof-run.1";

pub(super) fn man(arguments: &ManArguments) -> Result<ExitCode> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("making the folder `{}`", folder.display()))?;
    let mut command = super::described().disable_help_subcommand(true);
    command.build();
    page(&command, folder)?;
    for subcommand in command.get_subcommands() {
        page(subcommand, folder)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn page(command: &clap::Command, folder: &Path) -> Result<()> {
    let source = concat!("witprof ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source);
    let path = folder.join(man.get_filename());
    let writing = || format!("writing `{}`", path.display());
    let mut page = Vec::new();
    man.render(&mut page).with_context(writing)?;
    std::fs::write(&path, page).with_context(writing)
}
