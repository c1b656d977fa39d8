//! The ketama ring: each server has points on a circle, and a key belongs to the first point after it.
//!
//! Compatible with libketama: forty MD5 digests of `address-n` per server of average weight, four points of each. Source:
//! R. Jones, "libketama: a consistent hashing algo for memcache clients" (2007).

use md5::{Digest, Md5, block_api::compress};

use super::Entry;

/// Digests per server of average weight, each of four points.
const DIGESTS: u64 = 40;

/// Most digests in all: with more than 6553 servers each has fewer of them.
const MAX_DIGESTS: u64 = 1 << 18;

/// Points around a circle of 2^32.
#[derive(Debug)]
pub(super) struct Ring {
    /// Sorted. The place, and the index of the server.
    points: Box<[(u32, u32)]>,
    /// For each value of the upper 16 bits, where in `points` it begins: a look-up then compares a few points, not log n.
    begins: Box<[u32]>,
}

impl Ring {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 2^20 points and some more for light servers"
    )]
    pub(super) fn build(entries: &[Entry]) -> Self {
        let total: u64 = entries.iter().map(|entry| u64::from(entry.weight)).sum();
        let all = (DIGESTS * entries.len() as u64).min(MAX_DIGESTS);
        let mut points: Vec<(u32, u32)> = Vec::new();
        for entry in entries {
            let share = (all * u64::from(entry.weight) / total.max(1)).max(1);
            for n in 0..share {
                let digest = Md5::digest(format!("{}-{n}", entry.name).as_bytes());
                points.extend(digest.chunks_exact(4).map(|point| (little_endian(point), entry.index)));
            }
        }
        points.sort_unstable();
        points.dedup_by_key(|(place, _)| *place);
        let mut begins = Vec::with_capacity((1 << 16) + 1);
        let mut next = 0;
        for upper in 0..=u32::from(u16::MAX) {
            while points.get(next).is_some_and(|(place, _)| place >> 16 < upper) {
                next += 1;
            }
            begins.push(next as u32);
        }
        Self { points: points.into_boxed_slice(), begins: begins.into_boxed_slice() }
    }

    /// The server of the point `look` places after that of `key`.
    pub(super) fn at(&self, key: u64, look: usize) -> Option<u32> {
        let place = u32::try_from(key).unwrap_or(u32::MAX);
        let mut first = *self.begins.get((place >> 16) as usize)? as usize;
        while self.points.get(first).is_some_and(|(point, _)| *point < place) {
            first += 1;
        }
        let point = (first + look).checked_rem(self.points.len())?;
        self.points.get(point).map(|(_, server)| *server)
    }
}

/// Where on the circle a key is. Most keys fit, with the padding of RFC 1321 §3.1 and §3.2, one block of MD5, and there is no
/// more to do for them than that block.
pub(super) fn hash(key: &[u8]) -> u32 {
    let mut block = [0; 64];
    let (bytes, length) = block.split_at_mut(56);
    match bytes.get_mut(..=key.len()).and_then(<[u8]>::split_last_mut) {
        Some((end, bytes)) => {
            bytes.copy_from_slice(key);
            *end = 0x80;
            length.copy_from_slice(&(8 * key.len() as u64).to_le_bytes());
        }
        None => return little_endian(&Md5::digest(key)),
    }
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    compress(&mut state, &[block]);
    state[0]
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
