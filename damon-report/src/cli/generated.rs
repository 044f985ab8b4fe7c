//! `completions` and `man`.

use clap::Args;
use clap_complete::Shell;
use std::path::PathBuf;

/// The arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report completions bash > ~/.local/share/bash-completion/completions/damon-report
  damon-report completions fish > ~/.config/fish/completions/damon-report.fish")]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report man | man -l -
  damon-report man --dir /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Write a page for each command into this directory, which is made if need be
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
