//! `add certificate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::WriteArgs;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::ctl) enum Kind {
    /// Weir proves with it who it is.
    Identity,
    /// Weir believes whom it has signed.
    Ca,
}

/// A certificate to add.
#[derive(Args, Debug)]
pub(in crate::ctl) struct AddCertificate {
    /// Its name.
    pub(in crate::ctl) name: String,
    /// File with the certificate and those that sign it, in PEM; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub(in crate::ctl) certificate: PathBuf,
    /// File with its private key, in PEM. Left out: the key there is, if that still fits.
    #[arg(long, value_name = "FILE")]
    pub(in crate::ctl) private_key: Option<PathBuf>,
    /// identity, to prove who Weir is, or ca, to believe others.
    #[arg(long, value_name = "KIND", default_value = "identity", hide_possible_values = true)]
    pub(in crate::ctl) kind: Kind,
    /// Replace the one that is there: new connections get the new one, no connection is closed.
    #[arg(long)]
    pub(in crate::ctl) replace: bool,
    /// Other fields, as labels.team=shop. Repeatable.
    #[arg(long = "field", short, value_name = "NAME=VALUE")]
    pub(in crate::ctl) fields: Vec<String>,
    #[command(flatten)]
    pub(in crate::ctl) write: WriteArgs,
}
