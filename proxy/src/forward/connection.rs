//! A connection to a server.

use std::{
    future::Future,
    io,
    mem::MaybeUninit,
    pin::pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::{io::AsyncReadExt, net::TcpStream};
use weir_shared::time::Moment;

/// A connection to a server, with what was read and not used yet.
pub(super) struct ServerConnection {
    pub(super) stream: TcpStream,
    pub(super) buffer: BytesMut,
    pub(super) opened: Moment,
    /// Requests served on it before the current one.
    pub(super) served: u32,
    /// Whether another request may follow the current one.
    pub(super) may_be_reused: bool,
}

impl ServerConnection {
    /// Reads what there is, making room for `size` bytes. 0 bytes: the server has closed its side.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, size: usize) -> Poll<io::Result<usize>> {
        self.buffer.reserve(size);
        // The future keeps no state between polls, so that a new one each time loses nothing.
        pin!(self.stream.read_buf(&mut self.buffer)).poll(cx)
    }

    /// Whether the server has neither closed the connection nor sent anything unasked, as far as the runtime knows. Costs
    /// a system call only when something has happened.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The same, asked of the kernel now. For requests that must not be sent into a connection just closed.
    pub(super) fn is_quiet_now(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        matches!(SockRef::from(&self.stream).peek(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}
