//! One request and its response, from the head's arrival until the response body has ended.

use std::{
    cell::{Cell, OnceCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use weir_shared::{
    table::{Slot, Upstream},
    time::Moment,
};

use crate::{
    connection::Client,
    deadline::Deadline,
    worker::{LocalTable, Worker},
};

/// Counts a request as under way until dropped: with the response body, or with a request given up before.
pub(crate) struct ExchangeGuard {
    client: Rc<Client>,
    /// When a client that takes nothing of the response is given up, over HTTP/2: there one stream may stand still while
    /// others go on. Over HTTP/1 the connection's deadline serves.
    stalled: Option<Rc<Deadline>>,
    /// Whether the client is not to blame for the end of the exchange.
    is_settled: bool,
}

impl ExchangeGuard {
    /// A request has arrived from `client`.
    pub(crate) fn begin(client: &Rc<Client>) -> Self {
        client.exchange_began();
        Self { client: Rc::clone(client), stalled: None, is_settled: false }
    }

    /// A request has arrived from `client` on a stream that is given up at `stalled`.
    pub(crate) fn begin_stream(client: &Rc<Client>, stalled: Rc<Deadline>) -> Self {
        let mut guard = Self::begin(client);
        guard.stalled = Some(stalled);
        // The library reads on over HTTP/2, and so learns by itself that a client has gone.
        client.deadline.clear();
        guard
    }

    /// The response, or part of it, was handed over: the client has `stall` to make room for more, but no longer than the
    /// exchange may take.
    pub(crate) fn relayed(&self, stall: Duration, limit: Option<&Deadline>) {
        let worker = &self.client.worker;
        let stall = limit.map_or(stall, |limit| stall.min(limit.left(worker.coarse_moment())));
        match &self.stalled {
            Some(stalled) => stalled.set(worker.after(stall)),
            None => self.client.await_room(stall),
        }
    }

    /// The client has made room: whatever is waited for now is not its doing.
    pub(crate) fn wanted(&self) {
        match &self.stalled {
            Some(stalled) => stalled.clear(),
            None => self.client.watch(),
        }
    }

    /// The client has not taken in time what was handed over.
    pub(crate) fn client_is_late(&self) {
        self.client.worker.listener().client_timeouts.add(1);
    }

    /// The response was handed over whole, or broken off by its server.
    pub(crate) fn settle(&mut self) {
        self.is_settled = true;
    }
}

impl Drop for ExchangeGuard {
    fn drop(&mut self) {
        let has_stalled = || self.stalled.as_deref().unwrap_or(&self.client.deadline).has_passed();
        if !self.is_settled && !has_stalled() && !std::thread::panicking() {
            self.client.worker.listener().client_aborts.add(1);
        }
        self.client.exchange_ended();
    }
}

/// What the stages know of one request.
pub(crate) struct Exchange {
    pub(crate) guard: ExchangeGuard,
    /// The table in force when the request began, kept to its end.
    pub(crate) table: Rc<LocalTable>,
    /// When the request began.
    pub(crate) began: Moment,
    /// When what is being waited for gives up.
    pub(crate) deadline: Deadline,
    /// The upstream that was chosen.
    chosen: Cell<Option<Slot>>,
    request_id: OnceCell<RequestId>,
    refusal: Cell<Refusal>,
    told: Cell<Option<Box<http::HeaderMap>>>,
}

/// What is told beside the error to a client whose request is refused.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refusal {
    /// When to come again, if that is known.
    pub(crate) wait: Option<Duration>,
    /// The place of the rate that was exceeded.
    pub(crate) rate: Option<usize>,
}

/// The id of one request.
pub(crate) enum RequestId {
    /// 128 random bits in hexadecimal digits.
    Own([u8; 32]),
    /// A trusted client's.
    Adopted(Box<str>),
}

impl RequestId {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Own(digits) => digits,
            Self::Adopted(id) => id.as_bytes(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            // Digits are ASCII, so that this cannot fail.
            Self::Own(digits) => std::str::from_utf8(digits).unwrap_or_default(),
            Self::Adopted(id) => id,
        }
    }
}

impl Exchange {
    /// The record of a request that has just arrived.
    pub(crate) fn new(guard: ExchangeGuard) -> Self {
        let worker = &guard.client.worker;
        let (table, began, deadline) = (worker.table(), worker.clock.moment(), worker.deadline());
        let chosen = Cell::new(None);
        let (request_id, refusal, told) = (OnceCell::new(), Cell::default(), Cell::default());
        Self { guard, table, began, deadline, chosen, request_id, refusal, told }
    }

    /// How long the client of a response that is at hand whole may take nothing of it.
    pub(crate) fn stall(&self) -> Duration {
        self.upstream().map_or_else(
            || self.client().listener.settings().spec.idle_timeout.duration(),
            |upstream| upstream.stream_idle_timeout,
        )
    }

    /// Notes which upstream was chosen.
    pub(crate) fn choose(&self, slot: Slot) {
        self.chosen.set(Some(slot));
    }

    /// The upstream that was chosen.
    pub(crate) fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.table.0.target(self.chosen.get()?)
    }

    pub(crate) fn client(&self) -> &Rc<Client> {
        &self.guard.client
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.guard.client.worker
    }

    /// Notes what the client of a refused request is told.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refusal.set(refusal);
    }

    /// What the client of a refused request is told.
    pub(crate) fn refusal(&self) -> Refusal {
        self.refusal.get()
    }

    /// Notes fields that the answer is to have, whoever makes it.
    pub(crate) fn tell(&self, fields: Option<Box<http::HeaderMap>>) {
        self.told.set(fields);
    }

    /// The fields that the answer is to have; none from then on.
    pub(crate) fn told(&self) -> Option<Box<http::HeaderMap>> {
        self.told.take()
    }

    /// Takes over a trusted client's id of the request.
    pub(crate) fn adopt_request_id(&self, id: &str) {
        // Only the first one counts; a second field with the name would be the client's own contradiction.
        let _ = self.request_id.set(RequestId::Adopted(id.into()));
    }

    /// The id of the request: the client's, or 128 random bits.
    pub(crate) fn request_id(&self) -> &RequestId {
        self.request_id.get_or_init(|| {
            let worker = self.worker();
            RequestId::Own(hex([worker.random(), worker.random()]))
        })
    }
}

/// The digits of every byte.
#[expect(clippy::indexing_slicing, reason = "the compiler does it")]
static DIGITS: [[u8; 2]; 256] = {
    let mut digits = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let (high, low) = (byte as u8 >> 4, byte as u8 & 15);
        digits[byte] = [digit(high), digit(low)];
        byte += 1;
    }
    digits
};

const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// From a table, because it is done for every request and formatting costs several times as much.
fn hex(bits: [u64; 2]) -> [u8; 32] {
    let mut text = [0; 32];
    for (byte, pair) in bits.map(u64::to_be_bytes).as_flattened().iter().zip(text.chunks_exact_mut(2)) {
        pair.copy_from_slice(DIGITS.get(usize::from(*byte)).unwrap_or(b"00"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal() {
        assert_eq!(hex([0x0123_4567_89ab_cdef, 10]), *b"0123456789abcdef000000000000000a");
    }
}
