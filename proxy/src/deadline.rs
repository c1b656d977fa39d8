//! Points in time at which something gives up waiting, checked by one sweep instead of one timer each.
//!
//! Nearly every deadline is moved or cleared long before it passes: setting a runtime timer for each would cost more than
//! the rest of a small request's bookkeeping. Here setting one is a store; a sweep every [`TICK`] looks at all of a
//! worker's deadlines, which lie side by side in memory. A deadline is therefore up to one tick late, never early.
//!
//! Hot path: no allocation, no lock.

use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use weir_shared::time::Moment;

/// Time between two sweeps, and so the resolution of every timeout but the connect timeout.
pub(crate) const TICK: Duration = Duration::from_millis(50);

const NEVER: u64 = u64::MAX;
const PASSED: u64 = u64::MAX - 1;

/// All deadlines of one worker.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    slots: RefCell<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    at: Vec<u64>,
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Deadlines {
    /// A deadline that is not set.
    pub(crate) fn register(self: &Rc<Self>) -> Deadline {
        let mut slots = self.slots.borrow_mut();
        let index = slots.free.pop().unwrap_or_else(|| {
            slots.at.push(NEVER);
            slots.wakers.push(None);
            slots.at.len() - 1
        });
        Deadline { deadlines: Rc::clone(self), index }
    }

    /// Marks every deadline up to `now` as passed and wakes its task.
    pub(crate) fn sweep(&self, now: Moment) {
        let mut due = Vec::new();
        {
            let mut slots = self.slots.borrow_mut();
            let Slots { at, wakers, .. } = &mut *slots;
            for (at, waker) in at.iter_mut().zip(wakers) {
                if *at <= now.0 {
                    *at = PASSED;
                    due.extend(waker.take());
                }
            }
        }
        due.into_iter().for_each(Waker::wake);
    }

    /// Wakes every task with a deadline, whether it passed or not.
    pub(crate) fn wake_all(&self) {
        let wakers: Vec<Waker> = self.slots.borrow_mut().wakers.iter_mut().filter_map(Option::take).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// One deadline, set and moved any number of times.
#[derive(Debug)]
pub(crate) struct Deadline {
    deadlines: Rc<Deadlines>,
    index: usize,
}

impl Deadline {
    /// Moves the deadline to `at`.
    pub(crate) fn set(&self, at: Moment) {
        self.store(at.0.min(PASSED - 1));
    }

    /// Takes the deadline off.
    pub(crate) fn clear(&self) {
        self.store(NEVER);
    }

    /// The time until the deadline, as seen at `now`. Without end if it is not set.
    pub(crate) fn left(&self, now: Moment) -> Duration {
        let at = self.deadlines.slots.borrow().at.get(self.index).copied().unwrap_or(NEVER);
        Moment(at).since(now)
    }

    /// Whether the deadline has passed and was not moved since.
    pub(crate) fn has_passed(&self) -> bool {
        self.deadlines.slots.borrow().at.get(self.index) == Some(&PASSED)
    }

    /// Ready once the deadline has passed. Otherwise the task is woken when it does, or when all are.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut slots = self.deadlines.slots.borrow_mut();
        if slots.at.get(self.index) == Some(&PASSED) {
            return Poll::Ready(());
        }
        if let Some(waker) = slots.wakers.get_mut(self.index)
            && !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn store(&self, value: u64) {
        if let Some(at) = self.deadlines.slots.borrow_mut().at.get_mut(self.index) {
            *at = value;
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.store(NEVER);
        let mut slots = self.deadlines.slots.borrow_mut();
        if let Some(waker) = slots.wakers.get_mut(self.index) {
            *waker = None;
        }
        slots.free.push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_at_the_first_sweep_after_it_and_can_be_moved() {
        let deadlines = Rc::new(Deadlines::default());
        let (first, second) = (deadlines.register(), deadlines.register());
        let cx = Context::from_waker(Waker::noop());
        first.set(Moment(10));
        deadlines.sweep(Moment(9));
        assert!(first.poll(&cx).is_pending());
        deadlines.sweep(Moment(10));
        assert!(first.poll(&cx).is_ready() && first.has_passed() && !second.has_passed());
        first.set(Moment(20));
        assert!(first.poll(&cx).is_pending());
        first.clear();
        deadlines.sweep(Moment(u64::MAX - 10));
        assert!(first.poll(&cx).is_pending());
    }

    #[test]
    fn slots_are_used_again() {
        let deadlines = Rc::new(Deadlines::default());
        for _ in 0..100 {
            deadlines.register().set(Moment(1));
        }
        assert_eq!(deadlines.slots.borrow().at.len(), 1);
        let fresh = deadlines.register();
        deadlines.sweep(Moment(5));
        assert!(!fresh.has_passed(), "a new deadline is not set");
    }
}
