//! Random numbers that are the same on every run. SplitMix64 (Steele, Lea, Flood; OOPSLA 2014).

use std::cell::Cell;

/// A stream of random numbers.
#[derive(Debug)]
pub struct Random(Cell<u64>);

impl Random {
    /// Streams of neighbouring seeds begin far apart.
    pub fn new(seed: u64) -> Self {
        let random = Self(Cell::new(seed));
        random.0.set(random.bits());
        random
    }

    /// 64 of them.
    pub fn bits(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 (left out) to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn unit(&self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Exponentially distributed.
    pub fn exponential(&self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }
}
