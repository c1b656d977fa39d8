//! Requests that wait for room at an upstream: in order of priority, and in turn among equals.
//!
//! One queue for all workers, so that who came first goes first whichever worker it came to. It has a lock, which is only
//! touched while every place is taken: who finds nobody waiting and room never comes here.
//!
//! Whoever gives a place back calls the first who was not called yet. Those called look for room by themselves, each on
//! its own worker, and leave once they have a place; they stay in the queue until then, so that nobody who comes meanwhile
//! overtakes them. A call is never lost: who leaves without having used it passes it on. The first in the queue also looks
//! around now and then, for room that came about otherwise: a limit was raised, a server was added.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering, fence},
    },
    task::Waker,
};

/// Urgency of a request, from 0, which goes first, to 7 (RFC 9218 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Urgency(u8);

impl Urgency {
    /// Largest value: what can wait.
    pub const MAX: u8 = 7;

    /// Urgency of this value, if it is one.
    #[must_use]
    pub fn new(value: u8) -> Option<Self> {
        (value <= Self::MAX).then_some(Self(value))
    }

    /// Reads a field's value: a number from 0 to 7, or a dictionary with such a member `u` (RFC 9218 §4.1). Anything else
    /// says nothing.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let members = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let number = |digits: &[u8]| match digits {
            [digit @ b'0'..=b'9'] => Self::new(digit - b'0'),
            _ => None,
        };
        // Of a member given twice the last one counts (RFC 8941 §3.2).
        let urgency = members.rev().find_map(|member| member.strip_prefix(b"u="));
        number(urgency.unwrap_or_else(|| value.trim_ascii()))
    }
}

impl Default for Urgency {
    /// RFC 9218 §4.1.
    fn default() -> Self {
        Self(3)
    }
}

/// A request's place in the queue: by urgency, then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    urgency: Urgency,
    number: u64,
}

/// What one who waits is to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Look for room, and again now and then: it is the first.
    First,
    /// Look for room: a place was given back.
    Called,
    /// Wait on.
    Wait,
    /// It has been put out for one that is more urgent.
    Out,
}

#[derive(Debug)]
struct Waiting {
    called: bool,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<Ticket, Waiting>,
    next: u64,
}

impl Line {
    /// Calls the first who was not called yet: as many are called as places were given back, so that those who come first
    /// get them. Answers whom to wake.
    fn call(&mut self) -> Option<Waker> {
        let waiting = self.waiting.values_mut().find(|waiting| !waiting.called)?;
        waiting.called = true;
        waiting.waker.take()
    }
}

/// The requests that wait at one upstream.
#[derive(Debug, Default)]
pub struct Queue {
    len: AtomicUsize,
    line: Mutex<Line>,
}

impl Queue {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Joins the queue, which holds at most `size`. When it is full the newest of the least urgent goes: that may be who
    /// asks, and then there is no ticket.
    ///
    /// Look for room once more after joining: a place may have been given back just before.
    pub fn join(&self, urgency: Urgency, size: usize) -> Option<Ticket> {
        let mut line = self.line();
        let mut out = None;
        if line.waiting.len() >= size {
            let (last, _) = line.waiting.last_key_value()?;
            if last.urgency <= urgency {
                return None;
            }
            out = line.waiting.pop_last();
        }
        let ticket = Ticket { urgency, number: line.next };
        line.next = line.next.wrapping_add(1);
        line.waiting.insert(ticket, Waiting { called: false, waker: None });
        self.count(&line);
        drop(line);
        // Pairs with the one in `place_free`: either that sees somebody waiting, or who waits sees the place.
        fence(Ordering::SeqCst);
        if let Some((_, out)) = out {
            if out.called {
                self.call();
            }
            out.waker.into_iter().for_each(Waker::wake);
        }
        Some(ticket)
    }

    /// What the holder of `ticket` is to do. With [`Turn::Wait`], `waker` is woken when that changes.
    pub fn turn(&self, ticket: Ticket, waker: &Waker) -> Turn {
        let mut line = self.line();
        let is_first = line.waiting.first_key_value().is_some_and(|(first, _)| *first == ticket);
        let Some(waiting) = line.waiting.get_mut(&ticket) else { return Turn::Out };
        if !waiting.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            waiting.waker = Some(waker.clone());
        }
        // Used up before looking: a place given back while looking calls again.
        match std::mem::take(&mut waiting.called) {
            _ if is_first => Turn::First,
            true => Turn::Called,
            false => Turn::Wait,
        }
    }

    /// Leaves the queue, with a place or without. A call that was not used is passed on; and who is the first then looks
    /// around by itself, because there may be more room.
    pub fn leave(&self, ticket: Ticket) {
        let mut line = self.line();
        let Some(left) = line.waiting.remove(&ticket) else { return };
        self.count(&line);
        let called = left.called.then(|| line.call()).flatten();
        let first = line.waiting.first_entry().filter(|first| *first.key() > ticket);
        let first = first.and_then(|mut first| first.get_mut().waker.take());
        drop(line);
        called.into_iter().chain(first).for_each(Waker::wake);
    }

    /// Notes that a place was given back, after that was done.
    pub fn place_free(&self) {
        fence(Ordering::SeqCst);
        if !self.is_empty() {
            self.call();
        }
    }

    fn call(&self) {
        let called = self.line().call();
        called.into_iter().for_each(Waker::wake);
    }

    fn count(&self, line: &Line) {
        self.len.store(line.waiting.len(), Ordering::Relaxed);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, AtomicUsize},
        },
        task::Wake,
        thread,
    };

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// One who waits, and whether it was woken.
    struct Guest {
        ticket: Ticket,
        bell: Arc<Bell>,
    }

    impl Guest {
        fn join(queue: &Queue, urgency: u8, size: usize) -> Option<Self> {
            let ticket = queue.join(Urgency::new(urgency).unwrap(), size)?;
            Some(Self { ticket, bell: Arc::default() })
        }

        fn turn(&self, queue: &Queue) -> Turn {
            queue.turn(self.ticket, &Waker::from(Arc::clone(&self.bell)))
        }

        fn rings(&self) -> usize {
            self.bell.0.swap(0, Ordering::SeqCst)
        }
    }

    #[test]
    fn urgency_is_a_digit_or_a_member_of_a_dictionary() {
        for (text, expected) in [
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("u=5, i", Some(5)),
            ("i,u=1", Some(1)),
            ("u=1, u=2", Some(2)),
            ("8", None),
            ("u=9", None),
            ("-1", None),
            ("high", None),
            ("", None),
        ] {
            assert_eq!(Urgency::parse(text.as_bytes()).map(|urgency| urgency.0), expected, "{text:?}");
        }
    }

    #[test]
    fn the_first_looks_and_the_others_are_called_in_turn() {
        let queue = Queue::default();
        let guests: Vec<Guest> = (0..3).map(|_| Guest::join(&queue, 3, 8).unwrap()).collect();
        let turns: Vec<Turn> = guests.iter().map(|guest| guest.turn(&queue)).collect();
        assert_eq!(turns, [Turn::First, Turn::Wait, Turn::Wait]);
        queue.place_free();
        queue.place_free();
        assert_eq!(guests.iter().map(Guest::rings).collect::<Vec<_>>(), [1, 1, 0], "two places, two calls");
        assert_eq!(guests[1].turn(&queue), Turn::Called);
        assert_eq!(guests[1].turn(&queue), Turn::Wait, "a call is used up");
        queue.leave(guests[0].ticket);
        assert_eq!(guests[1].rings(), 1, "somebody has to be the first");
        assert_eq!(guests[1].turn(&queue), Turn::First);
    }

    #[test]
    fn a_call_that_was_not_used_is_passed_on() {
        let queue = Queue::default();
        let guests: Vec<Guest> = (0..3).map(|_| Guest::join(&queue, 3, 8).unwrap()).collect();
        guests.iter().for_each(|guest| {
            guest.turn(&queue);
        });
        queue.place_free();
        queue.place_free();
        guests.iter().for_each(|guest| {
            guest.rings();
        });
        queue.leave(guests[1].ticket);
        assert_eq!((guests[0].rings(), guests[2].rings()), (0, 1));
    }

    #[test]
    fn the_newest_of_the_least_urgent_goes_when_the_queue_is_full() {
        let queue = Queue::default();
        let guests: Vec<Guest> =
            [3, 5, 5].into_iter().map(|urgency| Guest::join(&queue, urgency, 3).unwrap()).collect();
        guests.iter().for_each(|guest| {
            guest.turn(&queue);
        });
        assert!(Guest::join(&queue, 5, 3).is_none(), "itself, among equals");
        assert!(Guest::join(&queue, 7, 3).is_none(), "itself, as the least urgent");
        let urgent = Guest::join(&queue, 0, 3).unwrap();
        assert_eq!((guests[2].turn(&queue), guests[2].rings()), (Turn::Out, 1));
        assert_eq!((guests[1].turn(&queue), guests[1].rings()), (Turn::Wait, 0));
        assert_eq!((urgent.turn(&queue), guests[0].turn(&queue)), (Turn::First, Turn::Wait));
        assert_eq!(queue.len(), 3);
        queue.leave(guests[2].ticket);
        assert_eq!(queue.len(), 3, "it had left");
        assert!(Guest::join(&Queue::default(), 0, 0).is_none(), "a queue without room");
    }

    proptest! {
        /// However requests come and go, they leave by urgency and then in the order in which they came.
        #[test]
        fn the_first_is_always_the_most_urgent_and_then_the_oldest(
            steps in prop::collection::vec((0_u8..8, prop::bool::ANY), 1..60),
        ) {
            let queue = Queue::default();
            let mut expected: Vec<(u8, usize, Guest)> = Vec::new();
            for (number, (urgency, leaves)) in steps.into_iter().enumerate() {
                if leaves && !expected.is_empty() {
                    let (.., first) = expected.remove(0);
                    prop_assert_eq!(first.turn(&queue), Turn::First);
                    queue.leave(first.ticket);
                } else if let Some(guest) = Guest::join(&queue, urgency, 100) {
                    expected.push((urgency, number, guest));
                    expected.sort_by_key(|(urgency, number, _)| (*urgency, *number));
                }
                prop_assert_eq!(queue.len(), expected.len());
            }
        }
    }

    /// Threads that take and give back places, and wait in the queue when there is none: every one gets one, and there are
    /// never more than there are places.
    #[test]
    fn nobody_is_forgotten_and_no_place_is_lost() {
        const PLACES: u32 = 3;
        const ROUNDS: usize = 300;
        struct Parked(thread::Thread);
        impl Wake for Parked {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let (queue, taken) = (Queue::default(), super::super::InFlight::default());
        let most = AtomicU32::new(0);
        let work = || {
            let waker = Waker::from(Arc::new(Parked(thread::current())));
            for _ in 0..ROUNDS {
                let at_once = queue.is_empty() && taken.start_within(PLACES).is_some();
                if !at_once {
                    let ticket = queue.join(Urgency::default(), 100).unwrap();
                    loop {
                        let turn = queue.turn(ticket, &waker);
                        if turn != Turn::Wait && taken.start_within(PLACES).is_some() {
                            break;
                        }
                        // No timeout: a call that gets lost hangs the test.
                        thread::park();
                    }
                    queue.leave(ticket);
                }
                most.fetch_max(taken.count(), Ordering::SeqCst);
                thread::yield_now();
                taken.end();
                queue.place_free();
            }
        };
        thread::scope(|scope| {
            (0..8).for_each(|_| {
                scope.spawn(work);
            })
        });
        assert!(most.into_inner() <= PLACES);
        assert_eq!((queue.len(), taken.count()), (0, 0));
    }
}
