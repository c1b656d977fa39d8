//! The upstreams of a table by number, so that a route finds its upstream in two steps and need not be made anew when a server
//! of that upstream changes.
//!
//! An upstream keeps its number from table to table. Numbers lie in chunks that tables share: another version of one upstream
//! among 10 000 copies one chunk and the list of chunks, some microseconds.

use std::sync::Arc;

use crate::table::Upstream;

const CHUNK: usize = 64;

/// The number of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(u32);

type Chunk = [Option<Arc<Upstream>>; CHUNK];

/// Upstreams by number.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    chunks: Vec<Arc<Chunk>>,
    free: Vec<Slot>,
}

impl Slots {
    /// The upstream with the number `slot`.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&Arc<Upstream>> {
        let (chunk, place) = Self::place(slot);
        self.chunks.get(chunk)?.get(place)?.as_ref()
    }

    /// A number that no upstream has.
    pub(in crate::table) fn reserve(&mut self) -> Slot {
        if self.free.is_empty() {
            let first = self.chunks.len() * CHUNK;
            let fresh = (first..first + CHUNK).rev().filter_map(|number| u32::try_from(number).ok());
            self.free.extend(fresh.map(Slot));
            self.chunks.push(Arc::new([const { None }; CHUNK]));
        }
        // There are as many numbers as there may be upstreams, and many more.
        self.free.pop().unwrap_or(Slot(u32::MAX))
    }

    /// Gives the number of `upstream` to it.
    pub(in crate::table) fn set(&mut self, upstream: &Arc<Upstream>) {
        self.put(upstream.slot, Some(Arc::clone(upstream)));
    }

    /// Takes the number `slot` back.
    pub(in crate::table) fn release(&mut self, slot: Slot) {
        self.put(slot, None);
        self.free.push(slot);
    }

    fn put(&mut self, slot: Slot, upstream: Option<Arc<Upstream>>) {
        let (chunk, place) = Self::place(slot);
        if let Some(chunk) = self.chunks.get_mut(chunk)
            && let Some(entry) = Arc::make_mut(chunk).get_mut(place)
        {
            *entry = upstream;
        }
    }

    fn place(Slot(number): Slot) -> (usize, usize) {
        let number = number as usize;
        (number / CHUNK, number % CHUNK)
    }
}
