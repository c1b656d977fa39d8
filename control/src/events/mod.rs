//! What happens, told to whoever listens: changes of the configuration, turns of health, drains, listeners, certificates.
//!
//! Whoever has something to tell calls [`Bus::publish`], which never waits for a listener. Listeners have no queues: each
//! is a place in what the bus keeps anyway, so that a slow one costs nothing and delays nobody. What a listener has
//! missed is read from memory or, for the configuration, from the store; what cannot be read any more is never
//! passed over in silence, but told as a reset.
//!
//! Reading order: `event` (what is told), `position` (its id), `bus`, `consumer`, `observer` (health), [`tickets`].

mod bus;
mod certificate_observer;
mod consumer;
mod event;
mod listener_observer;
mod observer;
#[cfg(test)]
mod observer_tests;
mod position;
mod seats;
#[cfg(test)]
mod tests;
pub mod tickets;

pub use bus::{Bus, Counts, MAX_CONSUMERS, Observed};
pub use certificate_observer::CertificateEvent;
pub(crate) use certificate_observer::CertificateObserver;
pub use consumer::{Consumer, Filter, Full, Item, Reset, ResetReason, Start};
pub use event::{ConfigEvent, Event, Topic};
pub(crate) use listener_observer::ListenerObserver;
pub use listener_observer::{ListenerEvent, ListenerTurnKind};
pub(crate) use observer::Observer;
pub use observer::{CircuitStates, CircuitTurn, HealthEvent, ServerTurn, UpstreamTurn};
pub use position::{EventId, Position};
pub use seats::{MAX_OF_ONE, Seat, TooManyOfOne};
