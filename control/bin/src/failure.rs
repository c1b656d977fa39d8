//! Why the process could not start or go on, in the words its operator sees.
//!
//! Unlike other errors of this program, these print their cause: the one line on standard error is all there is.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::signals::Signal;

/// Why the process ends with a non-zero exit code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A port could not be opened.
    #[error("cannot listen on {address}: {}", explain_listen(cause))]
    Listen { address: SocketAddr, cause: io::Error },
    /// The admin address is open to others, and nothing would stop them.
    #[error(
        "refusing the admin address {0}: it is not loopback and callers need not say who they are \
         (use 127.0.0.1, or --admin-token-file, or --admin-insecure if the network is yours)"
    )]
    AdminExposed(SocketAddr),
    /// A file that a flag names cannot be used.
    #[error("cannot use {}: {detail}", path.display())]
    File { path: PathBuf, detail: String },
    /// The flags name a balancer that cannot be.
    #[error("--balancer-index {index} is not one of {count} balancers: they are numbered from 0")]
    Balancer { index: u32, count: u32 },
    /// The operating system refused something the process cannot do without.
    #[error("cannot {what}: {cause}")]
    System { what: &'static str, cause: io::Error },
    /// The control plane could not start: its data directory, most likely.
    #[error(transparent)]
    Control(#[from] weir_control::ControlError),
    /// The configuration file is needed and cannot be used.
    #[error(transparent)]
    Config(#[from] weir_control::seed::SeedError),
    /// The drain itself failed.
    #[error("could not drain: the log tells why")]
    Drain,
    /// The demo's servers could not be made known.
    #[error("cannot set up the demo: {0}")]
    Demo(String),
    /// A second signal came before the drain was complete.
    #[error("stopped by a second {0} before all requests were finished")]
    Interrupted(Signal),
}

fn explain_listen(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "address already in use (is another process using it?)".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no network interface of this machine has that address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied (a port below 1024 needs root or CAP_NET_BIND_SERVICE)".to_owned()
        }
        _ => cause.to_string(),
    }
}
