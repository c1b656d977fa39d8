//! `apply`, `diff`, `history` and `rollback`: the whole configuration.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::WriteArgs;

/// A file for `apply` and `diff`.
#[derive(Args, Debug)]
pub(in crate::ctl) struct FileArgs {
    /// The configuration, as JSON or YAML; - for standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::ctl) file: PathBuf,

    /// Whether what the file does not name is removed.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub(in crate::ctl) prune: bool,
}

/// Flags of `apply`.
#[derive(Args, Debug)]
pub(in crate::ctl) struct ApplyArgs {
    #[command(flatten)]
    pub(in crate::ctl) file: FileArgs,

    #[command(flatten)]
    pub(in crate::ctl) write: WriteArgs,

    /// The present revision, to show that a change which removes most servers is meant.
    #[arg(long, value_name = "REVISION")]
    pub(in crate::ctl) confirm: Option<u64>,
}

/// Flags of `diff`.
#[derive(Args, Debug)]
pub(in crate::ctl) struct DiffArgs {
    #[command(flatten)]
    pub(in crate::ctl) file: FileArgs,
}

/// Flags of `history`.
#[derive(Args, Debug)]
pub(in crate::ctl) struct HistoryArgs {
    /// Show what this revision changed.
    pub(in crate::ctl) revision: Option<u64>,

    /// How many, beginning with the last.
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(in crate::ctl) limit: u16,
}

/// Flags of `rollback`.
#[derive(Args, Debug)]
pub(in crate::ctl) struct RollbackArgs {
    /// The revision to go back to.
    pub(in crate::ctl) revision: u64,

    #[command(flatten)]
    pub(in crate::ctl) write: WriteArgs,

    /// The present revision, to show that a change which removes most servers is meant.
    #[arg(long, value_name = "REVISION")]
    pub(in crate::ctl) confirm: Option<u64>,
}
