//! Which certificates are for which host: exactly, or by a wildcard for one label (RFC 9525 §6.3).

use std::{collections::HashMap, sync::Arc};

use super::Certificate;

/// Certificates by the hosts they are for. Those of one host stand in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<Box<str>, Vec<Arc<Certificate>>>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Vec<Arc<Certificate>>>,
}

impl Names {
    /// The hosts of `certificates`.
    pub(super) fn of(certificates: &[Arc<Certificate>]) -> Self {
        let mut names = Self::default();
        for certificate in certificates {
            for host in &certificate.facts.hosts {
                let (map, host) = match host.strip_prefix("*.") {
                    Some(rest) => (&mut names.wildcard, rest),
                    None => (&mut names.exact, host.as_str()),
                };
                map.entry(host.into()).or_default().push(Arc::clone(certificate));
            }
        }
        names
    }

    /// The certificates for `host`, which is in lower case: those with its name, then those with a wildcard for it.
    pub(super) fn find<'a>(&'a self, host: &str) -> impl Iterator<Item = &'a Arc<Certificate>> {
        let wildcard = host.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest));
        let exact = self.exact.get(host);
        exact.into_iter().flatten().chain(wildcard.into_iter().flatten())
    }
}

/// Whether `certificate` is for `host`, which is in lower case.
pub(super) fn covers(certificate: &Certificate, host: &str) -> bool {
    let rest = host.split_once('.').map(|(_, rest)| rest);
    let is_for = |name: &String| match name.strip_prefix("*.") {
        Some(wildcard) => Some(wildcard) == rest,
        None => name == host,
    };
    certificate.facts.hosts.iter().any(is_for)
}
