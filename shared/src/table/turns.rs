//! Round-robin turns of servers with different weights, smoothly interleaved.

/// Largest schedule, in turns.
const MAX_TURNS: usize = 16_384;

/// Positions in `weights`, each as often as its weight says: the k-th turn of weight w comes at time (k + ½) / w. Empty when
/// that takes too many turns: with fewer the lightest would have too many of them, or none.
pub(super) fn turns(weights: &[u32]) -> Box<[u32]> {
    let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, *weight as usize)).max(1);
    let total: usize = weights.iter().map(|weight| *weight as usize / divisor).sum();
    if total > MAX_TURNS {
        return Box::default();
    }
    let mut turns: Vec<(u64, u32)> = Vec::with_capacity(total);
    for (position, weight) in (0_u32..).zip(weights) {
        let count = (*weight as usize / divisor) as u64;
        turns.extend((0..count).map(|k| (((2 * k + 1) << 32) / count, position)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, position)| position).collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_weighted_and_interleaved() {
        assert_eq!(*turns(&[1, 3]), [1, 0, 1, 1]);
        assert_eq!(*turns(&[10, 10, 20]), [2, 0, 1, 2]);
        assert_eq!(turns(&[16_383, 1]).iter().filter(|position| **position == 1).count(), 1);
        assert!(turns(&[65_535, 1]).is_empty());
    }
}
