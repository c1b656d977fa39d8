//! The Maglev table: servers take turns at filling it, each in an order of its own, so that all have nearly equal parts.
//!
//! Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), §3.4. Weights by
//! skipping turns, as Envoy has it. Hashes are XXH64 of the address, with seed 0 for the offset and 1 for the skip. Turns are
//! taken in the order of the addresses, so that balancers agree whatever order they know the servers in.

use twox_hash::XxHash64;

use super::Entry;

/// Slots per server below which parts differ by more than a hundredth (§5.3 of the paper).
const SLOTS_PER_SERVER: u64 = 100;

/// Sizes of a table that has to be larger than it was asked for. Few, because all keys move where one follows another: a size that
/// grew with the servers would move them all whenever one comes or goes. The last is the next prime after a million.
const STEPS: [u64; 3] = [65_537, 655_373, MOST_BY_ITSELF];

const MOST_BY_ITSELF: u64 = 1_000_003;

/// Most that can be asked for: 8 MB.
const MAX_SLOTS: u64 = 2_000_003;

const EMPTY: u32 = u32::MAX;

/// A server's index per slot.
#[derive(Debug)]
pub(super) struct Maglev {
    slots: Box<[u32]>,
    /// What it was made of, and the size that was asked for.
    entries: Box<[Entry]>,
    asked: u32,
}

/// A server while the table is being filled.
struct Filling {
    index: u32,
    weight: u64,
    /// The slot to ask for next.
    next: u64,
    skip: u64,
    /// Turns taken, in units of the largest weight.
    taken: u64,
}

impl Maglev {
    pub(super) fn build(entries: Vec<Entry>, asked: u32) -> Self {
        let mut turns: Vec<&Entry> = entries.iter().collect();
        turns.sort_unstable_by_key(|entry| (&entry.name, entry.index));
        let size = next_prime(slots(asked.into(), entries.len() as u64));
        let heaviest = entries.iter().map(|entry| u64::from(entry.weight)).max().unwrap_or(1);
        let mut servers: Vec<Filling> = turns
            .iter()
            .map(|entry| {
                let name = entry.name.as_bytes();
                Filling {
                    index: entry.index,
                    weight: entry.weight.into(),
                    next: XxHash64::oneshot(0, name) % size,
                    skip: XxHash64::oneshot(1, name) % (size - 1) + 1,
                    taken: 0,
                }
            })
            .collect();
        let mut slots = vec![EMPTY; usize::try_from(size).unwrap_or(0)].into_boxed_slice();
        let mut left = slots.len();
        let mut round = 0;
        while left > 0 {
            round += 1;
            for server in &mut servers {
                if left == 0 || server.weight * round < server.taken + heaviest {
                    continue;
                }
                server.taken += heaviest;
                left -= usize::from(server.fill_one(&mut slots, size));
            }
        }
        Self { slots, entries: entries.into(), asked }
    }

    /// Whether it was made of these `entries`, with this size.
    pub(super) fn is_of(&self, entries: &[Entry], asked: u32) -> bool {
        self.asked == asked && *self.entries == *entries
    }

    /// The server of `key`, or the one it is sent to at the `look`th attempt.
    pub(super) fn at(&self, key: u64, look: usize) -> Option<u32> {
        let key = if look == 0 { key } else { XxHash64::oneshot(look as u64, &key.to_le_bytes()) };
        let slot = usize::try_from(key.checked_rem(self.slots.len() as u64)?).ok()?;
        self.slots.get(slot).copied().filter(|server| *server != EMPTY)
    }
}

/// How many slots a table of so many `servers` has that was asked for with `size`.
fn slots(size: u64, servers: u64) -> u64 {
    let needed = SLOTS_PER_SERVER * servers;
    if size >= needed {
        return size.min(MAX_SLOTS);
    }
    STEPS.into_iter().find(|step| *step >= needed).unwrap_or_else(|| MOST_BY_ITSELF.max(size))
}

impl Filling {
    /// Takes the next free slot of its order. Answers whether there was one.
    fn fill_one(&mut self, slots: &mut [u32], size: u64) -> bool {
        for _ in 0..slots.len() {
            let slot = usize::try_from(self.next).ok().and_then(|slot| slots.get_mut(slot));
            self.next = (self.next + self.skip) % size;
            if let Some(slot) = slot
                && *slot == EMPTY
            {
                *slot = self.index;
                return true;
            }
        }
        false
    }
}

fn next_prime(from: u64) -> u64 {
    let is_prime = |n: &u64| (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (from.max(2)..).find(is_prime).unwrap_or(MAX_SLOTS)
}
