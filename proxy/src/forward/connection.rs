//! A connection to a server.

use std::{
    io,
    task::{Context, Poll},
};

use bytes::BytesMut;
use weir_shared::time::Moment;

use super::{pool::Pools, stream::Stream};
use crate::worker::Worker;

/// A connection to a server, with what was read and not used yet.
pub(super) struct ServerConnection {
    pub(super) stream: Stream,
    pub(super) buffer: BytesMut,
    pub(super) opened: Moment,
    /// Requests served on it before the current one.
    pub(super) served: u32,
    /// Whether another request may follow the current one.
    pub(super) may_be_reused: bool,
}

impl ServerConnection {
    /// One that was just opened.
    pub(super) fn new(worker: &Worker, stream: Stream) -> Self {
        let opened = worker.clock.moment();
        Self { stream, buffer: BytesMut::new(), opened, served: 0, may_be_reused: true }
    }

    /// Reads what there is, into room for `least` bytes or more; where that has to be made, for `size` bytes, because making
    /// room costs more than reading a small response. 0 bytes: the server has closed its side.
    ///
    /// The room is that of `pools`, and goes back there while nothing has come: however many servers are waited for, a
    /// worker needs one buffer.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        pools: &Pools,
        least: usize,
        size: usize,
    ) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() == 0 {
            self.buffer = pools.buffer();
        }
        if self.buffer.capacity() - self.buffer.len() < least {
            self.buffer.reserve(size);
        }
        let read = self.stream.poll_read_buf(cx, &mut self.buffer);
        if read.is_pending() && self.buffer.is_empty() {
            pools.keep(std::mem::take(&mut self.buffer));
        }
        read
    }
}
