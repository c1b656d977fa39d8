//! `weir validate FILE`: whether a configuration would be taken, told by exit code and, fault by fault, in words.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::Parser;
use weir_control::seed::{Seed, SeedError, SeedFault};

/// The file is no valid configuration.
const INVALID: u8 = 1;

/// The file cannot be read; also the code for wrong usage.
const UNREADABLE: u8 = 2;

/// Check a configuration file with the rules of PUT /v1/config, without a running Weir. Exits with 0 when it is valid,
/// 1 when it is not, and 2 when it cannot be read.
#[derive(Debug, Parser)]
#[command(name = "weir validate", bin_name = "weir validate")]
pub(crate) struct ValidateArgs {
    /// The file, JSON or YAML.
    file: PathBuf,
}

/// Checks the file. A reader that has gone away is no failure: the exit code tells.
pub(crate) fn run(args: &ValidateArgs) -> ExitCode {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    match Seed::read(&args.file, None) {
        Ok(seed) => {
            for warning in seed.warnings() {
                let _ = writeln!(err, "warning: {}: {}", warning.path, warning.detail);
            }
            let (upstreams, servers) = seed.counts();
            let file = args.file.display();
            let _ = writeln!(
                out,
                "{file} is valid: {}, {}",
                count(upstreams, "upstream"),
                count(servers, "server")
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(err, "weir: {error}");
            ExitCode::from(code(&error))
        }
    }
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn code(error: &SeedError) -> u8 {
    match error.fault {
        SeedFault::Unreadable(_) | SeedFault::TooLarge => UNREADABLE,
        SeedFault::Malformed(_) | SeedFault::Invalid(_) => INVALID,
    }
}
