//! `token`.

use clap::Subcommand;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum Token {
    /// Show all, without their secrets.
    List,
    /// Make one, and show its secret this once; with --quiet nothing else.
    Create {
        /// Its name, for history and audit.
        name: String,
        /// What its bearer may do, as config:write or servers:write:web. Repeatable.
        #[arg(long = "scope", short, required = true, value_name = "SCOPE")]
        scopes: Vec<String>,
        /// How long it is good, as 720h [default: for ever].
        #[arg(long, value_name = "DURATION")]
        ttl: Option<String>,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Change the secret of one, and show the new one this once; with --quiet nothing else.
    Rotate {
        /// Its name.
        name: String,
        /// How long the secret before is still good, as 1h.
        #[arg(long, value_name = "DURATION")]
        overlap: Option<String>,
    },
    /// End one.
    #[command(visible_alias = "delete")]
    Revoke {
        /// Its name.
        name: String,
        /// Even if no call needs a token afterwards.
        #[arg(long)]
        open: bool,
    },
}
