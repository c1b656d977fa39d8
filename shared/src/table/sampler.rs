//! Draws an index in proportion to weights, in constant time.
//!
//! Source: Walker's alias method in Vose's form (IEEE TSE 17, 1991): each of n columns holds at most two indexes, so a
//! draw is one column and one coin. Equal weights need no columns at all.

/// Weights prepared for drawing.
#[derive(Debug)]
pub enum Sampler {
    /// All weights equal: any of this many.
    Uniform(usize),
    /// For each column the index that fills it up, and where in 0..2^32 that one begins.
    Alias(Box<[(u32, u32)]>),
}

impl Sampler {
    /// Prepares `weights`, none of which may be 0.
    #[must_use]
    pub fn new(weights: &[u32]) -> Self {
        let uniform = weights.first().is_none_or(|first| weights.iter().all(|weight| weight == first));
        if uniform { Self::Uniform(weights.len()) } else { Self::Alias(alias(weights)) }
    }

    /// The index `random`, evenly distributed over all 64-bit numbers, stands for. 0 when there is nothing to draw.
    #[must_use]
    pub fn sample(&self, random: u64) -> usize {
        let column = |len: usize| {
            // Multiply-shift maps 32 random bits to 0..len without a division; the bias is below len / 2^32.
            usize::try_from((random >> 32).wrapping_mul(len as u64) >> 32).unwrap_or(0)
        };
        match self {
            Self::Uniform(len) => column(*len),
            Self::Alias(columns) => {
                let column = column(columns.len());
                let coin = random & u64::from(u32::MAX);
                match columns.get(column) {
                    Some((other, limit)) if coin >= u64::from(*limit) => *other as usize,
                    _ => column,
                }
            }
        }
    }
}

/// Fills columns of equal height, each with one light index topped up by one heavy one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "at most 10 000 weights; indexes come from 0..len"
)]
fn alias(weights: &[u32]) -> Box<[(u32, u32)]> {
    const FULL: u64 = 1 << 32;
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    // In 128 bits: a weight, a count and 2^32 need 78.
    let scale = u128::from(FULL) * weights.len() as u128;
    let mut height: Vec<u64> = weights
        .iter()
        .map(|weight| (u128::from(*weight) * scale / u128::from(total.max(1))) as u64)
        .collect();
    let mut columns: Vec<(u32, u32)> = (0..weights.len()).map(|index| (index as u32, u32::MAX)).collect();
    let (mut light, mut heavy): (Vec<usize>, Vec<usize>) =
        (0..weights.len()).partition(|index| height[*index] < FULL);
    while let (Some(small), Some(&large)) = (light.pop(), heavy.last()) {
        columns[small] = (large as u32, height[small].min(u64::from(u32::MAX)) as u32);
        height[large] = (height[large] + height[small]).saturating_sub(FULL);
        if height[large] < FULL {
            heavy.pop();
            light.push(large);
        }
    }
    columns.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[u32]) -> Vec<f64> {
        const DRAWS: u32 = 200_000;
        let sampler = Sampler::new(weights);
        let mut counts = vec![0_u32; weights.len()];
        let mut random = 1_u64;
        for _ in 0..DRAWS {
            // SplitMix64.
            random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = random;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            counts[sampler.sample(z ^ z >> 31)] += 1;
        }
        counts.iter().map(|count| f64::from(*count) / f64::from(DRAWS)).collect()
    }

    #[test]
    fn draws_follow_the_weights() {
        for weights in
            [&[1, 1, 1][..], &[1, 3], &[10, 1, 1, 4, 0x7fff], &[5; 100], &[1, 65_535], &[6_553_500, 1]]
        {
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            for (weight, share) in weights.iter().zip(shares(weights)) {
                let ideal = f64::from(*weight) / total;
                // Five standard deviations of a binomial share over the draws.
                let bound = 5.0 * (ideal * (1.0 - ideal) / 200_000.0).sqrt() + 1e-6;
                assert!((share - ideal).abs() <= bound, "{weights:?}: {share} for {ideal}");
            }
        }
    }
}
