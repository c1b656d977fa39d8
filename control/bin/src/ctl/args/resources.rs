//! `get`, `add`, `set` and `delete`, each of which names a kind of resource first.

use clap::{ArgAction, Args, Subcommand};

use super::{AddCertificate, WriteArgs};

/// What to show.
#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum Get {
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
        /// Only those in one of these states, with commas between them.
        #[arg(long, value_name = "STATES", conflicts_with = "names")]
        state: Option<String>,
        /// Only those that send to this upstream.
        #[arg(long, value_name = "UPSTREAM", conflicts_with = "names")]
        upstream: Option<String>,
        /// Only those with this label, as team:shop.
        #[arg(long, short = 'l', value_name = "KEY:VALUE", conflicts_with = "names")]
        label: Option<String>,
    },
    /// Listeners, all or by name.
    #[command(visible_alias = "listener")]
    Listeners {
        /// Their names.
        names: Vec<String>,
    },
    /// Certificates, all or by name, without their private keys.
    #[command(visible_alias = "certificate")]
    Certificates {
        /// Their names.
        names: Vec<String>,
        /// Only those that are so, with commas between them: ok, expiring, expired, not_yet_valid.
        #[arg(long, value_name = "STATUSES", conflicts_with = "names")]
        status: Option<String>,
    },
    /// What `health` shows; the exit code does not depend on it.
    Health {
        /// Only this upstream.
        upstream: Option<String>,
    },
    /// The whole configuration, ready for `apply`.
    Config {
        /// As it was at this revision.
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// The last revisions, or single ones.
    #[command(visible_alias = "revision")]
    Revisions {
        /// Their numbers.
        numbers: Vec<u64>,
        /// How many, beginning with the last.
        #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Drains under way.
    #[command(visible_alias = "drain")]
    Drains {
        /// Those that have ended, and how.
        #[arg(long)]
        ended: bool,
    },
    /// Tokens, all or by name, without their secrets.
    #[command(visible_alias = "token")]
    Tokens {
        /// Their names.
        names: Vec<String>,
    },
    /// What program runs there, and how.
    Info,
}

/// What to add.
#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum Add {
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
        #[command(flatten)]
        write: WriteArgs,
    },
    /// A listener.
    Listener {
        /// Its name.
        name: String,
        /// Where it listens, as 0.0.0.0:8081 or unix:/run/weir.sock.
        address: String,
        /// Other fields, as max_connections=1000. Repeatable.
        #[arg(long = "field", short, value_name = "NAME=VALUE")]
        fields: Vec<String>,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// A route.
    Route(AddRoute),
    /// A certificate, from files in PEM.
    Certificate(AddCertificate),
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
pub(in crate::ctl) enum Set {
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
    /// Fields of a listener.
    Listener {
        /// Its name.
        name: String,
        /// Fields, as idle_timeout=2m or proxy_protocol.accept=required; a value may be JSON, null means default.
        #[arg(required = true, value_name = "NAME=VALUE")]
        fields: Vec<String>,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Fields of a route.
    Route {
        /// Its name.
        name: String,
        /// Fields, as enabled=false or action.timeout=5s; a value may be JSON, null means default.
        #[arg(required = true, value_name = "NAME=VALUE")]
        fields: Vec<String>,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Fields of a certificate. `add certificate --replace` renews one.
    Certificate {
        /// Its name.
        name: String,
        /// Fields, as description=shop or labels.team=shop; a value may be JSON, null means default.
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
pub(in crate::ctl) enum Delete {
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
    /// A listener; open connections are told to close.
    Listener {
        /// Its name.
        name: String,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// A route.
    Route {
        /// Its name.
        name: String,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// A certificate; one that is in use is kept.
    Certificate {
        /// Its name.
        name: String,
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

/// A route to add.
#[derive(Args, Debug)]
pub(in crate::ctl) struct AddRoute {
    /// Its name.
    pub(in crate::ctl) name: String,
    /// Hosts it is for, as shop.example.com or *.example.com. Repeatable.
    #[arg(long, value_name = "HOST")]
    pub(in crate::ctl) host: Vec<String>,
    /// The path it is for, with everything below.
    #[arg(long, value_name = "PATH")]
    pub(in crate::ctl) path: Option<String>,
    /// An upstream it sends to, with its share, as web or web=90. Repeatable.
    #[arg(long, value_name = "UPSTREAM[=WEIGHT]")]
    pub(in crate::ctl) to: Vec<String>,
    /// Other fields, as priority=10 or action.timeout=5s. Repeatable.
    #[arg(long = "field", short, value_name = "NAME=VALUE")]
    pub(in crate::ctl) fields: Vec<String>,
    #[command(flatten)]
    pub(in crate::ctl) write: WriteArgs,
}
