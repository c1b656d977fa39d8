//! Turns the command line into [`Cli`], and a mistake in it into one line.
//!
//! clap's own report is several lines with a usage summary; a supervisor's log shows best what is one line.

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, error::ErrorKind};

use crate::cli::Cli;

/// Conventional exit code for wrong usage; other failures exit with 1.
const USAGE_EXIT_CODE: u8 = 2;

/// Why the program ends without having run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The help or the version was asked for.
    Asked(String),
    /// The command line is wrong, in one line.
    Wrong(String),
}

impl Outcome {
    /// Writes it where it belongs. A reader that has gone away is no failure.
    pub(crate) fn show(&self) -> ExitCode {
        match self {
            Self::Asked(text) => {
                let _ = write!(std::io::stdout(), "{text}");
                ExitCode::SUCCESS
            }
            Self::Wrong(line) => {
                let _ = writeln!(std::io::stderr(), "weir: {line}");
                ExitCode::from(USAGE_EXIT_CODE)
            }
        }
    }
}

/// Reads `args`, the first of which is the program's name, and the environment.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Outcome> {
    // The help names the rule once in place of every variable.
    let command = Cli::command().mut_args(|flag| flag.hide_env(true));
    command.try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| {
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Outcome::Asked(error.render().to_string()),
            _ => Outcome::Wrong(one_line(&error.render().to_string())),
        }
    })
}

/// Joins the sentences of clap's report and leaves out its usage summary.
fn one_line(report: &str) -> String {
    let facts = report
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .map(|line| line.trim_start_matches("error: ").trim_start_matches("tip: "));
    let facts: Vec<&str> = facts.collect();
    format!("{} (weir --help lists the flags)", facts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Cli, Outcome> {
        parse(std::iter::once("weir").chain(args.iter().copied()).map(OsString::from))
    }

    #[test]
    fn the_flags_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_is_also_an_environment_variable() {
        for flag in Cli::command()
            .get_arguments()
            .filter(|flag| !["help", "version"].contains(&flag.get_id().as_str()))
        {
            let name = flag.get_long().unwrap().to_uppercase().replace('-', "_");
            assert_eq!(flag.get_env().unwrap().to_str().unwrap(), format!("WEIR_{name}"));
        }
    }

    #[test]
    fn a_mistake_is_one_line_that_names_the_flag() {
        for (args, expected) in [
            (
                &["--wrokers", "2"][..],
                "unexpected argument '--wrokers' found; a similar argument exists: '--workers'",
            ),
            (&["--workers", "0"], "invalid value '0' for '--workers <N>'"),
            (&["--listen", "8080"], "'--listen <IP:PORT>': expected an IP address and a port"),
            (&["--idle-timeout", "0s"], "must be longer than 0s"),
            (&["--drain-timeout", "fast"], "expected a duration like"),
            (&["--store", "etcd"], "invalid value 'etcd' for '--store <KIND>'"),
            (&["extra"], "unexpected argument 'extra'"),
        ] {
            let Err(Outcome::Wrong(line)) = parsed(args) else { panic!("{args:?} was accepted") };
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn the_help_shows_the_first_steps() {
        let Err(Outcome::Asked(text)) = parsed(&["--help"]) else { panic!("no help") };
        assert!(
            text.contains("localhost:9900/v1/upstreams") && text.contains("[default: 127.0.0.1:9900]"),
            "{text}"
        );
    }

    #[test]
    fn localhost_is_an_address() {
        assert_eq!(parsed(&["--admin", "localhost:9"]).unwrap().admin.admin.to_string(), "127.0.0.1:9");
    }
}
