//! Session tickets (RFC 5077, RFC 8446 §4.6.1): a client that comes again skips half of the handshake.
//!
//! One key for all workers and listeners of the process, drawn at random and replaced every [`ROTATION`]; the one before is
//! honoured as long again, then forgotten, and with it what could be read of connections recorded meanwhile. A ticket is
//! bound to what its client had to prove: one from a listener that asks for no certificate is worth nothing where one is
//! required.

use std::{sync::Arc, time::Duration};

use rustls::{Error, TicketRotator, crypto::ring::Ticketer, server::ProducesTickets};

/// How long a key makes tickets. They are honoured for up to twice as long.
pub const ROTATION: Duration = Duration::from_secs(6 * 3600);

/// Makes tickets with keys of this process.
///
/// # Errors
/// When the system gives no random numbers.
pub fn new() -> Result<Arc<dyn ProducesTickets>, Error> {
    rotating(ROTATION)
}

/// The same with another time between two keys.
///
/// # Errors
/// When the system gives no random numbers.
pub fn rotating(every: Duration) -> Result<Arc<dyn ProducesTickets>, Error> {
    let seconds = u32::try_from(every.as_secs()).unwrap_or(u32::MAX);
    // The library's own keys, each replaced before it would rotate by itself.
    let key = || match Ticketer::new() {
        Ok(key) => Ok(Box::new(Shared(key)) as Box<dyn ProducesTickets>),
        Err(_) => Err(rustls::crypto::GetRandomFailed),
    };
    Ok(Arc::new(TicketRotator::new(seconds, key)?))
}

#[derive(Debug)]
struct Shared(Arc<dyn ProducesTickets>);

impl ProducesTickets for Shared {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}

/// Tickets that are worth something only where the same is asked of clients.
#[derive(Debug)]
pub(super) struct Bound {
    tickets: Arc<dyn ProducesTickets>,
    promise: [u8; 32],
}

impl Bound {
    pub(super) fn new(tickets: Arc<dyn ProducesTickets>, promise: [u8; 32]) -> Self {
        Self { tickets, promise }
    }
}

impl ProducesTickets for Bound {
    fn enabled(&self) -> bool {
        self.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.encrypt(&[&self.promise, plain].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.tickets.decrypt(cipher)?.strip_prefix(&self.promise).map(<[u8]>::to_vec)
    }
}
