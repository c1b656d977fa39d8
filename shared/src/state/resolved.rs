//! The addresses that a server's name stands for, for people to see.
//!
//! Whoever has looked the name up notes what came of it: the checker with every check, the proxy's workers when they open
//! a connection. All ask the same resolver, so that the last answer is the best one.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What a name was last found to stand for.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Held for one comparison or copy of a few addresses; never on the path of a request that has a connection.
    addresses: Mutex<Vec<IpAddr>>,
}

impl Resolved {
    /// Notes the answer of the resolver. A lookup that failed is not noted: what was known stays in use.
    pub fn note(&self, found: impl Iterator<Item = IpAddr> + Clone) {
        let mut known = self.lock();
        if !found.clone().eq(known.iter().copied()) {
            *known = found.collect();
        }
    }

    /// The addresses, in the order they are tried; none before the first lookup.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<IpAddr>> {
        // A list is replaced as a whole.
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
