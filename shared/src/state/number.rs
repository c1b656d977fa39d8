//! Small numbers for what comes and goes: whoever keeps something of each server finds it by the server's number in a list,
//! where a map would cost a request more reads from memory.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Gives out numbers, the smallest free one first. Locked for one of them at a time, by whoever compiles, and by the last to
/// let go of a server that was removed.
#[derive(Clone, Debug, Default)]
pub struct Numbers(Arc<Mutex<Given>>);

#[derive(Debug, Default)]
struct Given {
    /// Numbers from here on were never given out.
    next: usize,
    /// Those that were given back.
    free: BinaryHeap<Reverse<usize>>,
}

impl Numbers {
    /// A number that nothing else alive has.
    #[must_use]
    pub fn take(&self) -> Number {
        let mut given = self.lock();
        let value = match given.free.pop() {
            Some(Reverse(value)) => value,
            None => {
                given.next += 1;
                given.next - 1
            }
        };
        Number { value, numbers: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that is given back when dropped.
#[derive(Debug)]
pub struct Number {
    value: usize,
    numbers: Numbers,
}

impl Number {
    /// The number; less than as many as were ever alive at once.
    #[must_use]
    pub fn value(&self) -> usize {
        self.value
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.numbers.lock().free.push(Reverse(self.value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_small() {
        let numbers = Numbers::default();
        let mut alive: Vec<Number> = (0..4).map(|_| numbers.take()).collect();
        alive.swap_remove(1);
        alive.swap_remove(0);
        let again: Vec<Number> = (0..3).map(|_| numbers.take()).collect();
        let values: Vec<usize> = again.iter().map(Number::value).collect();
        assert_eq!(values, [0, 1, 4]);
    }
}
