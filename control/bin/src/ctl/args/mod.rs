//! The sub-commands of `weir ctl` and their flags.
//!
//! A token is never a flag: what is on a command line is in the list of processes and in the shell's history.

mod certificate;
mod config;
mod drain;
mod resources;
mod token;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use certificate::{AddCertificate, Kind as CertificateKind};
pub(super) use config::{ApplyArgs, DiffArgs, FileArgs, HistoryArgs, RollbackArgs};
pub(super) use drain::DrainArgs;
pub(super) use resources::{Add, AddRoute, Delete, Get, Set};
pub(super) use token::Token;

use super::{error::EXIT_CODES, output::Format, place::Place, tls::TlsArgs};

/// Asks and changes a running Weir through its API.
#[derive(Debug, Parser)]
#[command(
    name = "weir ctl",
    bin_name = "weir ctl",
    version,
    after_help = EXIT_CODES,
    max_term_width = 110,
    subcommand_required = true,
    disable_help_subcommand = true
)]
pub(crate) struct CtlArgs {
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,

    #[command(flatten)]
    pub(super) output: OutputArgs,

    #[command(subcommand)]
    pub(super) command: Command,
}

/// Which Weir, and as whom.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionArgs {
    /// Where the API is: http://HOST:PORT, https://HOST:PORT, HOST:PORT or unix:PATH. A token is taken from WEIR_TOKEN.
    #[arg(
        long,
        global = true,
        env = "WEIR_ADMIN",
        hide_env = true,
        value_name = "ADDRESS",
        default_value = "http://127.0.0.1:9900"
    )]
    pub(super) admin: Place,

    /// A file with the token, in place of WEIR_TOKEN.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) tls: TlsArgs,
}

/// What is written, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// table, json (the API's document) or yaml.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORM",
        default_value = "table",
        hide_possible_values = true
    )]
    pub(super) output: Format,

    /// Say nothing about changes; the exit code tells.
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what is there.
    Get {
        #[command(subcommand)]
        kind: Get,
    },
    /// Put a whole configuration in force: what it does not name is removed.
    Apply(ApplyArgs),
    /// Show what `apply` would change; exit code 1 when there is something.
    Diff(DiffArgs),
    /// Add an upstream, servers to one, a route, a listener or a certificate.
    Add {
        #[command(subcommand)]
        kind: Add,
    },
    /// Change fields, as in `set server web 10.0.0.7:80 weight=5 admin_state=maint`.
    Set {
        #[command(subcommand)]
        kind: Set,
    },
    /// Remove an upstream, a server, a route, a listener or a certificate.
    Delete {
        #[command(subcommand)]
        kind: Delete,
    },
    /// Take a server out of service without losing a request.
    Drain(DrainArgs),
    /// Cancel a drain.
    Undrain {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Show the health of everything or of one upstream; exit code 1 unless all is well.
    Health(HealthArgs),
    /// Tell why a server gets requests, or does not.
    Explain(ServerArgs),
    /// Show the last revisions, or what one of them changed.
    History(HistoryArgs),
    /// Put the content of an earlier revision in force again, as a new one.
    Rollback(RollbackArgs),
    /// Follow what happens; a connection that breaks is taken up where it ended.
    Events(EventsArgs),
    /// List, make, renew and revoke the tokens of those who may call the API.
    Token {
        #[command(subcommand)]
        kind: Token,
    },
}

/// Flags of every change.
#[derive(Args, Debug, Default)]
pub(super) struct WriteArgs {
    /// Only say what would change.
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Only if the resource still has this entity tag, as "r42.7f3a9c"; quotes may be left out.
    #[arg(long, value_name = "TAG")]
    pub(super) if_match: Option<String>,

    /// Why, for the history.
    #[arg(short, long, value_name = "TEXT")]
    pub(super) message: Option<String>,
}

/// One server.
#[derive(Args, Debug)]
pub(super) struct ServerArgs {
    /// The upstream.
    pub(super) upstream: String,

    /// Id or address of the server.
    pub(super) server: String,
}

/// Flags of `health`.
#[derive(Args, Debug)]
pub(super) struct HealthArgs {
    /// Only this upstream.
    pub(super) upstream: Option<String>,

    /// Go on showing it: anew on a terminal, the changes as lines elsewhere.
    #[arg(short, long)]
    pub(super) watch: bool,

    /// Time between two looks.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub(super) interval: u16,
}

/// Flags of `events`.
#[derive(Args, Debug)]
pub(super) struct EventsArgs {
    /// Only events on these topics, with commas between them: config, health, drain, listeners, certificates.
    #[arg(long, value_name = "TOPICS")]
    pub(super) topics: Option<String>,

    /// Only events of this upstream.
    #[arg(long, value_name = "UPSTREAM")]
    pub(super) upstream: Option<String>,

    /// Begin behind this revision.
    #[arg(long, value_name = "REVISION")]
    pub(super) since: Option<u64>,

    /// End after this many.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
}

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}
