//! `weir completion`: a script that teaches a shell the flags and commands, made from their definitions.

use std::{io::Write, process::ExitCode};

use clap::{CommandFactory, Parser};
use clap_complete::Shell as Dialect;

use crate::{
    cli::Cli,
    ctl::{CtlArgs, Shell},
    validate::ValidateArgs,
};

/// Prints a completion script.
#[derive(Debug, Parser)]
#[command(name = "weir completion", bin_name = "weir completion", after_help = HOW)]
pub(crate) struct CompletionArgs {
    /// The shell that will read it.
    pub(crate) shell: Shell,
}

const HOW: &str = "\
For one session:  source <(weir completion bash)     (fish: weir completion fish | source)
For good:         weir completion bash > ~/.local/share/bash-completion/completions/weir
                  weir completion zsh > \"${fpath[1]}/_weir\"
                  weir completion fish > ~/.config/fish/completions/weir.fish";

/// Prints the script for `shell`. A reader that has gone away is no failure.
pub(crate) fn print(shell: Shell) -> ExitCode {
    let _ = std::io::stdout().write_all(&script(shell));
    ExitCode::SUCCESS
}

fn script(shell: Shell) -> Vec<u8> {
    let dialect = match shell {
        Shell::Bash => Dialect::Bash,
        Shell::Zsh => Dialect::Zsh,
        Shell::Fish => Dialect::Fish,
    };
    let mut command = Cli::command()
        .subcommand(CtlArgs::command().name("ctl"))
        .subcommand(ValidateArgs::command().name("validate"))
        .subcommand(CompletionArgs::command().name("completion"));
    let mut script = Vec::new();
    clap_complete::generate(dialect, &mut command, "weir", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).unwrap();
            for word in ["ctl", "validate", "completion", "apply", "max-header-bytes", "upstreams"] {
                assert!(script.contains(word), "{shell:?}: {word}");
            }
        }
    }
}
