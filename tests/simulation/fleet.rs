//! Servers that work off queues, in virtual time.

use std::collections::VecDeque;

use weir_tests::character::{Character, SLOTS};

/// One server.
pub(crate) struct Server {
    pub(crate) character: Character,
    busy: usize,
    waiting: VecDeque<usize>,
}

impl Server {
    pub(crate) fn new(character: Character) -> Self {
        Self { character, busy: 0, waiting: VecDeque::new() }
    }

    /// Takes `request` in. Answers whether it begins at once.
    pub(crate) fn take(&mut self, request: usize) -> bool {
        if self.busy < SLOTS {
            self.busy += 1;
            return true;
        }
        self.waiting.push_back(request);
        false
    }

    /// One request is done. Answers the one that begins now.
    pub(crate) fn finish(&mut self) -> Option<usize> {
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.busy -= 1;
        }
        next
    }
}
