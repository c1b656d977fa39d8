//! The flags. Each is also an environment variable, `WEIR_` and its name in capitals.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use clap::{ArgAction, Args, Parser, ValueEnum, builder::BoolishValueParser};
use weir_proxy::Cidr;
use weir_shared::units::Span;

/// What a stranger needs to see traffic flow, shown below the flags.
const FIRST_STEPS: &str = "\
Commands (each has a --help of its own):
  weir ctl …                    # asks and changes a running Weir through its API
  weir validate FILE            # checks a configuration file
  weir completion SHELL         # prints a completion script for bash, zsh or fish

First five minutes:
  weir                          # or: weir --demo, which also starts three servers to balance
  curl --json '{\"servers\":[\"127.0.0.1:3001\",\"127.0.0.1:3002\"]}' localhost:9900/v1/upstreams
  curl localhost:8080/
  curl localhost:9900/v1/health

The API describes itself at http://localhost:9900/docs. Durations are written 250ms, 5s, 1m30s.
Each flag is also an environment variable: --data-dir is WEIR_DATA_DIR. A flag wins over its variable.
SIGTERM or SIGINT drains: no new connections, requests under way may finish. A second one ends at once.";

/// An HTTP load balancer with a control-plane API: traffic on one port, a REST API to steer it on another.
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = FIRST_STEPS, disable_help_flag = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// Also start three small demo servers on loopback (one slow, one that fails now and then) and balance them.
    #[arg(long, env = "WEIR_DEMO", value_parser = BoolishValueParser::new())]
    pub(crate) demo: bool,

    /// Address and port clients connect to: the listener `default`. Others come by the API.
    #[arg(long, env = "WEIR_LISTEN", value_name = "IP:PORT", default_value = "0.0.0.0:8080", value_parser = address)]
    pub(crate) listen: SocketAddr,

    /// Where the configuration is kept; made if missing.
    #[arg(long, env = "WEIR_DATA_DIR", value_name = "DIR", default_value = "./weir-data")]
    pub(crate) data_dir: PathBuf,

    /// The configuration to begin with, JSON or YAML: put in force at the first start, when nothing is kept yet, and
    /// ignored afterwards. `weir validate FILE` checks one.
    #[arg(long, env = "WEIR_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// sqlite, in a file, or memory, until the process ends [default: sqlite; memory with --demo].
    #[arg(long, env = "WEIR_STORE", value_name = "KIND", hide_possible_values = true)]
    pub(crate) store: Option<StoreKind>,

    /// Threads that serve traffic [default: one per available core].
    // More than any machine has cores would only cost memory.
    #[arg(long, env = "WEIR_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,

    /// How long requests under way may take to finish once the process was told to stop.
    #[arg(long, env = "WEIR_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) drain_timeout: Span,

    /// Print this help.
    // The short form of clap's help, whichever way it is asked for: everything on two screens.
    #[arg(short, long, action = ArgAction::HelpShort)]
    pub(crate) help: Option<bool>,

    #[command(flatten)]
    pub(crate) admin: AdminArgs,

    #[command(flatten)]
    pub(crate) changes: ChangeArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) site: SiteArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// The admin port and who may use it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Admin API")]
pub(crate) struct AdminArgs {
    /// Address and port of the API, the metrics and the documentation. Other than loopback it needs
    /// --admin-token-file or --admin-client-ca.
    #[arg(long, env = "WEIR_ADMIN", value_name = "IP:PORT", default_value = "127.0.0.1:9900", value_parser = address)]
    pub(crate) admin: SocketAddr,

    /// A further name the API may be called by in `Host`, besides localhost and its own address. Repeatable, or
    /// separated by commas.
    #[arg(long, env = "WEIR_ADMIN_ALLOWED_HOST", value_name = "HOST", value_delimiter = ',')]
    pub(crate) admin_allowed_host: Vec<String>,

    /// File with a token that may do everything; one is written if it is missing. Every call needs a token then.
    /// Nobody but its owner may read it.
    #[arg(long, env = "WEIR_ADMIN_TOKEN_FILE", value_name = "FILE", conflicts_with = "demo")]
    pub(crate) admin_token_file: Option<PathBuf>,

    /// Certificate chain for the admin port, in PEM; TLS only then.
    #[arg(
        long,
        env = "WEIR_ADMIN_CERT",
        value_name = "FILE",
        requires = "admin_key",
        conflicts_with = "demo"
    )]
    pub(crate) admin_cert: Option<PathBuf>,

    /// Private key of the certificate, in PEM.
    #[arg(long, env = "WEIR_ADMIN_KEY", value_name = "FILE", requires = "admin_cert")]
    pub(crate) admin_key: Option<PathBuf>,

    /// Who signs callers' certificates, in PEM. Every call needs a certificate or a token then.
    #[arg(long, env = "WEIR_ADMIN_CLIENT_CA", value_name = "FILE", requires = "admin_cert")]
    pub(crate) admin_client_ca: Option<PathBuf>,

    /// What certificates' names and users of the unix socket may do, as {"ops.example":["admin"],"uid:1000":["config:read"]}.
    #[arg(long, env = "WEIR_ADMIN_PRINCIPALS", value_name = "FILE")]
    pub(crate) admin_principals: Option<PathBuf>,

    /// guarded: /metrics and /healthz need a token when calls do; open: they never do.
    #[arg(
        long,
        env = "WEIR_ADMIN_PROBES",
        value_name = "ACCESS",
        default_value = "guarded",
        hide_possible_values = true
    )]
    pub(crate) admin_probes: ProbeAccess,

    /// Most calls of one caller in a second, twice as many at once; more are answered 429. 0 = no limit.
    #[arg(long, env = "WEIR_ADMIN_RATE", value_name = "N", default_value = "1000")]
    pub(crate) admin_rate: u32,

    /// Accept an admin address that is not loopback. Everyone who can reach it controls the proxy until there is a
    /// token.
    #[arg(long, env = "WEIR_ADMIN_INSECURE", value_parser = BoolishValueParser::new())]
    pub(crate) admin_insecure: bool,
}

/// What is demanded of changes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Admin API")]
pub(crate) struct ChangeArgs {
    /// Refuse to replace, change or delete what is there unless If-Match names its state.
    #[arg(long, env = "WEIR_REQUIRE_IF_MATCH", value_parser = BoolishValueParser::new())]
    pub(crate) require_if_match: bool,
}

/// What a client may ask of the listener `default`: a flag that is given wins over what the API says.
#[derive(Args, Debug)]
#[command(next_help_heading = "Limits on clients")]
pub(crate) struct LimitArgs {
    /// Time to send a request's header section; then 408 [default: 10s].
    #[arg(long, env = "WEIR_HEADER_TIMEOUT", value_name = "DURATION", value_parser = hour)]
    pub(crate) header_timeout: Option<Span>,

    /// How long a connection without a request is kept [default: 75s].
    #[arg(long, env = "WEIR_IDLE_TIMEOUT", value_name = "DURATION", value_parser = day)]
    pub(crate) idle_timeout: Option<Span>,

    /// Largest header section in bytes; more is answered 431 [default: 32768].
    #[arg(long, env = "WEIR_MAX_HEADER_BYTES", value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(8192..=1_048_576))]
    pub(crate) max_header_bytes: Option<u32>,

    /// Most header fields; more is answered 431 [default: 100].
    #[arg(long, env = "WEIR_MAX_HEADERS", value_name = "N",
        value_parser = clap::value_parser!(u32).range(10..=10_000))]
    pub(crate) max_headers: Option<u32>,

    /// Longest request target in bytes; more is answered 414 [default: 8192].
    #[arg(long, env = "WEIR_MAX_URI_BYTES", value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(256..=65_534))]
    pub(crate) max_uri_bytes: Option<u32>,

    /// Largest request body in bytes; more is answered 413. 0 = no limit [default: 0].
    #[arg(long, env = "WEIR_MAX_BODY_BYTES", value_name = "BYTES")]
    pub(crate) max_body_bytes: Option<u64>,

    /// Most client connections at once over all listeners; further ones wait in the kernel's queue. 0 = half of the files
    /// that may be open, so that servers can be connected to as well.
    #[arg(long, env = "WEIR_MAX_CONNECTIONS", value_name = "N", default_value = "0")]
    pub(crate) max_connections: u32,

    /// Memory in bytes above which new connections and requests are answered 503. 0 = no limit [default: nine tenths of
    /// the control group's limit, if there is one].
    #[arg(long, env = "WEIR_MAX_MEMORY_BYTES", value_name = "BYTES")]
    pub(crate) max_memory_bytes: Option<u64>,

    /// Networks whose X-Forwarded-* and X-Request-Id are believed, as 10.0.0.0/8. Repeatable, or separated by commas
    /// [default: none].
    #[arg(long, env = "WEIR_TRUSTED_PROXIES", value_name = "CIDR", value_delimiter = ',')]
    pub(crate) trusted_proxies: Vec<Cidr>,

    /// How many proxies every request has passed, where their addresses are not known: the client is as many places from
    /// the end of X-Forwarded-For. Only where nobody can reach Weir past them.
    #[arg(long, env = "WEIR_TRUSTED_HOPS", value_name = "N", default_value = "0",
        value_parser = clap::value_parser!(u8).range(0..=16))]
    pub(crate) trusted_hops: u8,
}

/// Where this balancer is among others.
#[derive(Args, Debug)]
#[command(next_help_heading = "Among other balancers")]
pub(crate) struct SiteArgs {
    /// The zone this balancer is in, as servers name theirs: servers there are preferred.
    #[arg(long, env = "WEIR_ZONE", value_name = "NAME", value_parser = zone)]
    pub(crate) zone: Option<Arc<str>>,

    /// Which of several balancers this is, from 0, for upstreams with a subset; in a zone, which of that zone's.
    #[arg(long, env = "WEIR_BALANCER_INDEX", value_name = "N", requires = "balancer_count")]
    pub(crate) balancer_index: Option<u32>,

    /// How many balancers there are; in a zone, how many it has.
    #[arg(long, env = "WEIR_BALANCER_COUNT", value_name = "N", requires = "balancer_index")]
    pub(crate) balancer_count: Option<u32>,
}

/// What is written to standard error.
#[derive(Args, Debug)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogArgs {
    /// human, json, or auto: for people on a terminal, JSON lines otherwise.
    #[arg(
        hide_possible_values = true,
        long,
        env = "WEIR_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "auto"
    )]
    pub(crate) log_format: LogFormat,

    /// The least serious kind of line to write.
    #[arg(long, env = "WEIR_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: LogLevel,
}

/// Who may read the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProbeAccess {
    /// Callers who may.
    Guarded,
    /// Anybody.
    Open,
}

/// How the configuration is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    /// In an SQLite database in the data directory.
    Sqlite,
    /// In memory: gone when the process ends.
    Memory,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// `Human` on a terminal, `Json` otherwise.
    Auto,
    /// Lines for people.
    Human,
    /// One JSON object per line.
    Json,
}

/// Least serious kind of line written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// A person must act.
    Error,
    /// Unexpected, but work goes on.
    Warn,
    /// Changes of state.
    Info,
    /// Single requests and connections.
    Debug,
    /// Everything.
    Trace,
}

/// Reads `IP:PORT`, or `localhost:PORT` for 127.0.0.1.
fn address(text: &str) -> Result<SocketAddr, String> {
    let loopback = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    if let Some(port) = loopback {
        return Ok(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port));
    }
    text.parse().map_err(|_| "expected an IP address and a port, like 127.0.0.1:8080 or [::]:8080".to_owned())
}

fn duration(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "expected a duration like 250ms, 5s or 1m30s".to_owned())
}

fn zone(text: &str) -> Result<Arc<str>, String> {
    match text.len() {
        1..=63 => Ok(text.into()),
        _ => Err("expected 1 to 63 characters".to_owned()),
    }
}

fn hour(text: &str) -> Result<Span, String> {
    timeout(text, Span::from_secs(3600))
}

fn day(text: &str) -> Result<Span, String> {
    timeout(text, Span::from_secs(24 * 3600))
}

/// A duration in which a client can do something.
fn timeout(text: &str, most: Span) -> Result<Span, String> {
    const LEAST: Span = Span::from_millis(10);
    match duration(text)? {
        span if (LEAST..=most).contains(&span) => Ok(span),
        _ => Err(format!("must be {LEAST} to {most}")),
    }
}
