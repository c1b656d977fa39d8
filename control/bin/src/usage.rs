//! Turns the command line into a [`Task`], and a mistake in it into one line.
//!
//! clap's own report is several lines with a usage summary; a supervisor's log shows best what is one line.

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::{Command, CommandFactory, FromArgMatches, builder::Resettable, error::ErrorKind};

use crate::{
    cli::Cli,
    completion::CompletionArgs,
    ctl::{CtlArgs, Shell},
    validate::ValidateArgs,
};

/// Conventional exit code for wrong usage; other failures exit with 1.
const USAGE_EXIT_CODE: u8 = 2;

/// Why the program ends without having run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The help or the version was asked for.
    Asked(String),
    /// The command line is wrong, in one line.
    Wrong(String),
    /// A command is missing; the help tells which there are.
    Incomplete(String),
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
            Self::Incomplete(help) => {
                let _ = write!(std::io::stderr(), "{help}");
                ExitCode::from(USAGE_EXIT_CODE)
            }
        }
    }
}

/// What the program is started for.
#[derive(Debug)]
pub(crate) enum Task {
    /// To balance traffic.
    Balance(Box<Cli>),
    /// To ask or change a running Weir.
    Ctl(Box<CtlArgs>),
    /// To check a configuration file.
    Validate(ValidateArgs),
    /// To print a completion script.
    Completion(Shell),
}

/// Reads `args`, the first of which is the program's name, and the environment.
///
/// The word that names another task comes first, and its flags are read apart from the balancer's: both know
/// `--admin`, of which one listens and the other connects.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Task, Outcome> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let task = args.get(1).and_then(|word| word.to_str()).unwrap_or_default().to_owned();
    match task.as_str() {
        "ctl" => {
            args.remove(0);
            read(CtlArgs::command(), args, "weir ctl --help lists the commands").map(Box::new).map(Task::Ctl)
        }
        "validate" => {
            args.remove(0);
            read(ValidateArgs::command(), args, "weir validate --help tells more").map(Task::Validate)
        }
        "completion" => {
            args.remove(0);
            let wanted: CompletionArgs =
                read(CompletionArgs::command(), args, "weir completion --help tells more")?;
            Ok(Task::Completion(wanted.shell))
        }
        _ => balance(args).map(Box::new).map(Task::Balance),
    }
}

/// Reads the balancer's flags.
pub(crate) fn balance(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Outcome> {
    // The help names the rule once in place of every variable.
    let command = Cli::command().mut_args(|flag| flag.hide_env(true));
    read(command, args, "weir --help lists the flags")
}

fn read<T: FromArgMatches>(
    command: Command,
    args: impl IntoIterator<Item = OsString>,
    advice: &str,
) -> Result<T, Outcome> {
    let command = without_empty_variables(command);
    command.try_get_matches_from(args).and_then(|matches| T::from_arg_matches(&matches)).map_err(|error| {
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Outcome::Asked(error.render().to_string()),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Outcome::Incomplete(error.render().to_string())
            }
            _ => Outcome::Wrong(format!("{} ({advice})", one_line(&error.render().to_string()))),
        }
    })
}

/// `command` with variables that are set to nothing taken as not set: unit files and compose files cannot unset one.
fn without_empty_variables(command: Command) -> Command {
    command.mut_args(|flag| {
        let value = flag.get_env().and_then(std::env::var_os);
        if value.is_some_and(|value| value.is_empty()) { flag.env(Resettable::Reset) } else { flag }
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
    let mut line = String::new();
    for fact in facts {
        let between = if line.is_empty() || line.ends_with(':') { " " } else { "; " };
        line.push_str(between);
        line.push_str(fact);
    }
    line.trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Cli, Outcome> {
        balance(std::iter::once("weir").chain(args.iter().copied()).map(OsString::from))
    }

    #[test]
    fn the_flags_are_well_formed() {
        Cli::command().debug_assert();
        CtlArgs::command().debug_assert();
        CompletionArgs::command().debug_assert();
        ValidateArgs::command().debug_assert();
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
            (&["--workers", "0"], "invalid value '0' for '--workers <N>': 0 is not in 1..=1024"),
            (&["--listen", "8080"], "'--listen <IP:PORT>': expected an IP address and a port"),
            (&["--idle-timeout", "0s"], "must be 10ms to 24h"),
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
    fn the_first_word_names_the_task() {
        let task =
            |args: &[&str]| parse(std::iter::once("weir").chain(args.iter().copied()).map(OsString::from));
        assert!(matches!(task(&["ctl", "get", "info"]), Ok(Task::Ctl(_))));
        assert!(matches!(task(&["completion", "zsh"]), Ok(Task::Completion(Shell::Zsh))));
        assert!(matches!(task(&["validate", "weir.yaml"]), Ok(Task::Validate(_))));
        assert!(matches!(task(&["--demo"]), Ok(Task::Balance(_))));
        for args in [&["--demo", "ctl"][..], &["ctl", "gte"], &["completion", "tcsh"], &["validate"]] {
            let Err(Outcome::Wrong(line)) = task(args) else { panic!("{args:?} was accepted") };
            assert!(!line.contains('\n') && line.contains("--help"), "{line}");
        }
        let Err(Outcome::Wrong(line)) = task(&["validate"]) else { panic!("without a file") };
        assert!(line.contains("were not provided: <FILE>"), "{line}");
    }

    #[test]
    fn localhost_is_an_address() {
        assert_eq!(parsed(&["--admin", "localhost:9"]).unwrap().admin.admin.to_string(), "127.0.0.1:9");
    }
}
