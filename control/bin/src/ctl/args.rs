//! The sub-commands of `weir ctl` and their flags.
//!
//! A token is never a flag: what is on a command line is in the list of processes and in the shell's history.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::{error::EXIT_CODES, output::Format, place::Place};

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
    /// Where the API is: http://HOST:PORT, HOST:PORT or unix:PATH. A token is taken from WEIR_TOKEN.
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
    /// Add an upstream, or servers to one.
    Add {
        #[command(subcommand)]
        kind: Add,
    },
    /// Change fields, as in `set server web 10.0.0.7:80 weight=5 admin_state=maint`.
    Set {
        #[command(subcommand)]
        kind: Set,
    },
    /// Remove an upstream or a server.
    Delete {
        #[command(subcommand)]
        kind: Delete,
    },
    /// Show the health of everything or of one upstream; exit code 1 unless all is well.
    Health(HealthArgs),
    /// Follow what happens; a connection that breaks is taken up where it ended.
    Events(EventsArgs),
}

/// What to show.
#[derive(Debug, Subcommand)]
pub(super) enum Get {
    /// Upstreams, all or by name.
    #[command(visible_alias = "upstream")]
    Upstreams {
        /// Their names.
        names: Vec<String>,
        /// Only those in one of these states, with commas between them.
        #[arg(long, value_name = "STATES", conflicts_with = "names")]
        state: Option<String>,
        /// Only those with this label, as team:shop.
        #[arg(long, short = 'l', value_name = "KEY:VALUE", conflicts_with = "names")]
        label: Option<String>,
    },
    /// The servers of an upstream, all or by id or address.
    #[command(visible_alias = "server")]
    Servers {
        /// The upstream.
        upstream: String,
        /// Ids or addresses.
        names: Vec<String>,
    },
    /// Routes, all or by name.
    #[command(visible_alias = "route")]
    Routes {
        /// Their names.
        names: Vec<String>,
    },
    /// Listeners, all or by name.
    #[command(visible_alias = "listener")]
    Listeners {
        /// Their names.
        names: Vec<String>,
    },
    /// What `health` shows; the exit code does not depend on it.
    Health {
        /// Only this upstream.
        upstream: Option<String>,
    },
    /// The whole configuration, ready for `apply`.
    Config,
    /// What program runs there, and how.
    Info,
}

/// A file for `apply` and `diff`.
#[derive(Args, Debug)]
pub(super) struct FileArgs {
    /// The configuration, as JSON or YAML; - for standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: PathBuf,

    /// Whether what the file does not name is removed.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub(super) prune: bool,
}

/// Flags of `apply`.
#[derive(Args, Debug)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    pub(super) file: FileArgs,

    #[command(flatten)]
    pub(super) write: WriteArgs,

    /// Why, for the history.
    #[arg(short, long, value_name = "TEXT")]
    pub(super) message: Option<String>,

    /// The present revision, to show that a change which removes most servers is meant.
    #[arg(long, value_name = "REVISION")]
    pub(super) confirm: Option<u64>,
}

/// Flags of `diff`.
#[derive(Args, Debug)]
pub(super) struct DiffArgs {
    #[command(flatten)]
    pub(super) file: FileArgs,
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
}

/// What to add.
#[derive(Debug, Subcommand)]
pub(super) enum Add {
    /// An upstream with these servers.
    Upstream {
        /// Its name.
        name: String,
        /// Addresses of its servers, as 10.0.0.7:8080.
        addresses: Vec<String>,
        /// Other fields, as health_check.path=/healthz. Repeatable.
        #[arg(long = "field", short, value_name = "NAME=VALUE")]
        fields: Vec<String>,
        /// Whether it gets the requests of the catch-all route while that has no upstream.
        #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
        bind: bool,
        /// Only say what would change.
        #[arg(long)]
        dry_run: bool,
    },
    /// Servers to an upstream, all of them or none.
    #[command(visible_alias = "servers")]
    Server {
        /// The upstream.
        upstream: String,
        /// Their addresses, as 10.0.0.7:8080.
        #[arg(required = true)]
        addresses: Vec<String>,
        /// Share of requests relative to the other servers.
        #[arg(long, value_name = "N")]
        weight: Option<u16>,
        /// Other fields, as zone=eu-1a. Repeatable.
        #[arg(long = "field", short, value_name = "NAME=VALUE")]
        fields: Vec<String>,
        #[command(flatten)]
        write: WriteArgs,
    },
}

/// What to change.
#[derive(Debug, Subcommand)]
pub(super) enum Set {
    /// Fields of an upstream.
    Upstream {
        /// Its name.
        name: String,
        /// Fields, as algorithm=random or health_check.path=/healthz; a value may be JSON, null means default.
        #[arg(required = true, value_name = "NAME=VALUE")]
        fields: Vec<String>,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Fields of a server.
    Server {
        /// Its upstream.
        upstream: String,
        /// Its id or address.
        server: String,
        /// Fields, as weight=5 or admin_state=maint; a value may be JSON, null means default.
        #[arg(required = true, value_name = "NAME=VALUE")]
        fields: Vec<String>,
        #[command(flatten)]
        write: WriteArgs,
    },
}

/// What to remove.
#[derive(Debug, Subcommand)]
pub(super) enum Delete {
    /// An upstream with its servers.
    Upstream {
        /// Its name.
        name: String,
        /// Unbind it from its routes as well.
        #[arg(long)]
        cascade: bool,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// A server.
    Server {
        /// Its upstream.
        upstream: String,
        /// Its id or address.
        server: String,
        #[command(flatten)]
        write: WriteArgs,
    },
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
    /// Only events on these topics, with commas between them: config, health, drain.
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
