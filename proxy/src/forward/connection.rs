//! A connection to a server.

use std::{
    io,
    task::{Context, Poll},
};

use bytes::BytesMut;
use weir_shared::time::Moment;

use super::stream::Stream;
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

    /// Reads what there is, making room for `size` bytes. 0 bytes: the server has closed its side.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, size: usize) -> Poll<io::Result<usize>> {
        self.buffer.reserve(size);
        self.stream.poll_read_buf(cx, &mut self.buffer)
    }
}
