//! Who may reach the admin API: this machine only, unless the operator insists.
//!
//! The API can send all traffic elsewhere and has no authentication yet, so its address is the only lock.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use crate::{cli::AdminArgs, failure::Failure};

/// How often an exposed API is complained about: often enough to be found in any log.
const REMINDER_INTERVAL: Duration = Duration::from_secs(60);

/// How far the admin API can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From this machine.
    Loopback,
    /// From elsewhere, without authentication.
    Exposed(SocketAddr),
}

/// Decides whether the API may listen where the flags say.
pub(crate) fn check(admin: &AdminArgs) -> Result<Reach, Failure> {
    let address = admin.admin;
    if address.ip().to_canonical().is_loopback() {
        Ok(Reach::Loopback)
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
            tracing::warn!(%address, "the admin API is open to everyone who can reach this address");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let address: SocketAddr = address.parse().unwrap();
            let admin =
                |admin_insecure| AdminArgs { admin: address, admin_allowed_host: vec![], admin_insecure };
            assert_eq!(check(&admin(false)).is_ok(), is_loopback, "{address}");
            assert_eq!(check(&admin(true)).unwrap() == Reach::Loopback, is_loopback, "{address}");
        }
    }
}
