//! `drain`.

use clap::{Args, ValueEnum};

use super::{ServerArgs, WriteArgs};

/// Flags of `drain`.
#[derive(Args, Debug)]
pub(in crate::ctl) struct DrainArgs {
    #[command(flatten)]
    pub(in crate::ctl) server: ServerArgs,

    /// Return when it is done; exit code 1 when requests were still under way at the deadline, or somebody cancelled it.
    #[arg(short, long)]
    pub(in crate::ctl) wait: bool,

    /// How long requests under way may take, as 30s or 5m [default: the upstream's drain_timeout].
    #[arg(long, value_name = "DURATION")]
    pub(in crate::ctl) timeout: Option<String>,

    /// What becomes of the server: keep it without requests, take it into maintenance, or remove it. The latter two
    /// break off what is under way at the deadline.
    #[arg(long, value_name = "WHAT", default_value = "keep")]
    pub(in crate::ctl) then: Then,

    #[command(flatten)]
    pub(in crate::ctl) write: WriteArgs,
}

/// What becomes of a server that was drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::ctl) enum Then {
    /// It stays in `drain`.
    Keep,
    /// It is set to `maint`.
    Maint,
    /// It is removed.
    Remove,
}

impl Then {
    /// The word of the API.
    pub(in crate::ctl) fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Maint => "maint",
            Self::Remove => "remove",
        }
    }
}
