//! How many event streams each caller has open, so that one of them does not take the place of all others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Bus;

/// Streams that one caller may have open.
pub const MAX_OF_ONE: usize = 100;

/// Open streams by the name of the caller. There are no more names than streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(Arc<Mutex<HashMap<String, usize>>>);

/// One stream's place, given back when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    name: String,
}

/// The caller has too many streams open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_OF_ONE} event streams of the caller are open already")]
pub struct TooManyOfOne;

impl Seats {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bus {
    /// A place for one more stream of the caller called `name`.
    ///
    /// # Errors
    /// When that one has too many.
    pub fn seat(&self, name: &str) -> Result<Seat, TooManyOfOne> {
        let seats = self.counts().seats.clone();
        let mut taken = seats.lock();
        let count = taken.get(name).copied().unwrap_or(0);
        if count >= MAX_OF_ONE {
            return Err(TooManyOfOne);
        }
        taken.insert(name.to_owned(), count + 1);
        drop(taken);
        Ok(Seat { seats, name: name.to_owned() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        match taken.get_mut(&self.name) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                taken.remove(&self.name);
            }
        }
    }
}
