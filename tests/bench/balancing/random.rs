//! Random numbers that are the same on every run. SplitMix64 (Steele, Lea, Flood; OOPSLA 2014).

/// A stream of random numbers.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed);
        // Streams of neighbouring seeds begin far apart.
        random.0 = random.bits();
        random
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Exponentially distributed.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        let unit = ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -mean * unit.ln()
    }
}
