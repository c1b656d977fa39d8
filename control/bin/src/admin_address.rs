//! Who may reach the admin API: this machine only, unless every caller must say who it is or the operator insists.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use crate::{cli::AdminArgs, failure::Failure};

/// How often an exposed API is complained about: often enough to be found in any log.
const REMINDER_INTERVAL: Duration = Duration::from_secs(60);

/// How far the admin API can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From this machine.
    Loopback,
    /// From elsewhere, by callers who say who they are.
    Guarded,
    /// From elsewhere, by anybody as long as there is no token.
    Exposed(SocketAddr),
}

/// Decides whether the API may listen where the flags say.
pub(crate) fn check(admin: &AdminArgs) -> Result<Reach, Failure> {
    let address = admin.admin;
    if address.ip().to_canonical().is_loopback() {
        Ok(Reach::Loopback)
    } else if admin.admin_token_file.is_some() || admin.admin_client_ca.is_some() {
        Ok(Reach::Guarded)
    } else if admin.admin_insecure {
        Ok(Reach::Exposed(address))
    } else {
        Err(Failure::AdminExposed(address))
    }
}

impl Reach {
    /// Warns now and every minute, for ever, when the API is exposed; otherwise only waits.
    pub(crate) async fn remind(self) -> Infallible {
        let Self::Exposed(address) = self else { return std::future::pending().await };
        let mut reminders = tokio::time::interval(REMINDER_INTERVAL);
        loop {
            reminders.tick().await;
            tracing::warn!(
                %address,
                "the admin API is open to everyone who can reach this address, unless it has tokens"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(flags: &[&str]) -> Option<Reach> {
        let args = std::iter::once("weir").chain(flags.iter().copied()).map(Into::into);
        match crate::usage::parse(args) {
            Ok(crate::usage::Task::Balance(args)) => check(&args.admin).ok(),
            Ok(_) | Err(_) => panic!("these are flags of the balancer"),
        }
    }

    #[test]
    fn only_loopback_is_accepted_without_insisting() {
        for (address, is_loopback) in [
            ("127.0.0.1:9900", true),
            ("127.9.9.9:1", true),
            ("[::1]:9900", true),
            ("[::ffff:127.0.0.1]:9900", true),
            ("0.0.0.0:9900", false),
            ("[::]:9900", false),
            ("10.0.0.1:9900", false),
        ] {
            assert_eq!(reach(&["--admin", address]).is_some(), is_loopback, "{address}");
            let insisted = reach(&["--admin", address, "--admin-insecure"]).unwrap();
            assert_eq!(insisted == Reach::Loopback, is_loopback, "{address}");
            let guarded = reach(&["--admin", address, "--admin-token-file", "t"]).unwrap();
            assert_eq!(guarded == Reach::Guarded, !is_loopback, "{address}");
        }
    }
}
