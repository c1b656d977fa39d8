//! Tickets: how a browser's `EventSource`, which cannot send an `Authorization` field, shows who it is.
//!
//! A caller who has shown who it is gets a text that stands for it once, for a minute, and may therefore be part of a
//! URL. Only hashes are kept and compared, so that neither memory nor the time of an answer tells a ticket.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::RngExt;
use sha2::{Digest, Sha256};
use weir_shared::time::{Moment, Timestamp};

use crate::clock::Clock;

/// How long a ticket can be used.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// Tickets that wait to be used. Further ones are refused until one is used or too old.
pub const MAX_TICKETS: usize = 4096;

/// Tickets of one caller that wait to be used.
pub const MAX_OF_ONE: usize = 16;

/// Issues and takes tickets that stand for a `P`.
#[derive(Debug)]
pub struct Tickets<P> {
    clock: Clock,
    /// By hash. Held for a look-up, and for a sweep when full.
    held: Mutex<HashMap<[u8; 32], Held<P>>>,
}

#[derive(Debug)]
struct Held<P> {
    principal: P,
    /// The name of the caller.
    owner: String,
    until: Moment,
}

/// A ticket just issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The ticket itself.
    pub text: String,
    /// When it can no longer be used.
    pub expires_at: Timestamp,
}

/// Too many tickets wait to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// Of all callers.
    #[error("{MAX_TICKETS} tickets wait to be used already")]
    InAll,
    /// Of the one who asks.
    #[error("{MAX_OF_ONE} tickets of the caller wait to be used already")]
    OfOne,
}

impl<P> Tickets<P> {
    /// No tickets yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, held: Mutex::default() }
    }

    /// Issues a ticket that stands for `principal`, whose name is `owner`.
    ///
    /// # Errors
    /// When too many wait to be used.
    pub fn issue(&self, owner: &str, principal: P) -> Result<Ticket, TooMany> {
        let now = self.clock.now();
        let text = format!("{:032x}", rand::rng().random::<u128>());
        let held = Held { principal, owner: owner.to_owned(), until: now.moment.plus(LIFETIME) };
        let mut all = self.lock();
        if all.len() >= MAX_TICKETS {
            all.retain(|_, held| held.until > now.moment);
        }
        if all.len() >= MAX_TICKETS {
            return Err(TooMany::InAll);
        }
        if all.values().filter(|held| held.owner == owner && held.until > now.moment).count() >= MAX_OF_ONE {
            return Err(TooMany::OfOne);
        }
        all.insert(hash(&text), held);
        Ok(Ticket { text, expires_at: now.wall.plus(LIFETIME) })
    }

    /// Takes the ticket `text`: whom it stands for, the first time and in time.
    #[must_use]
    pub fn redeem(&self, text: &str) -> Option<P> {
        let held = self.lock().remove(&hash(text))?;
        (held.until > self.clock.now().moment).then_some(held.principal)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Held<P>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_stands_for_its_holder_once_and_for_a_minute() {
        let tickets = Tickets::new(Clock::new(Instant::now()));
        let (first, second) = (tickets.issue("ann", "ann").unwrap(), tickets.issue("bob", "bob").unwrap());
        assert_ne!(first.text, second.text);
        assert_eq!(tickets.redeem(&first.text), Some("ann"));
        assert_eq!(tickets.redeem(&first.text), None);
        assert_eq!(tickets.redeem("0"), None);
        advance(LIFETIME).await;
        assert_eq!(tickets.redeem(&second.text), None);
    }

    #[tokio::test(start_paused = true)]
    async fn tickets_are_bounded_and_old_ones_make_room() {
        let tickets = Tickets::new(Clock::new(Instant::now()));
        for number in 0..MAX_TICKETS {
            assert!(tickets.issue(&number.to_string(), number).is_ok());
        }
        assert_eq!(tickets.issue("0", 0), Err(TooMany::InAll));
        advance(LIFETIME).await;
        assert!(tickets.issue("1", 1).is_ok());
        assert_eq!(tickets.lock().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_caller_leaves_tickets_for_others() {
        let tickets = Tickets::new(Clock::new(Instant::now()));
        let first = tickets.issue("ann", ()).unwrap();
        for _ in 1..MAX_OF_ONE {
            assert!(tickets.issue("ann", ()).is_ok());
        }
        assert_eq!(tickets.issue("ann", ()), Err(TooMany::OfOne));
        assert!(tickets.issue("bob", ()).is_ok());
        assert_eq!(tickets.redeem(&first.text), Some(()));
        assert!(tickets.issue("ann", ()).is_ok(), "one was used");
        advance(LIFETIME).await;
        assert!(tickets.issue("ann", ()).is_ok(), "the others are too old");
    }
}
