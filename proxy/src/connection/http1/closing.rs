//! The end of a connection: RFC 9112 §9.6.
//!
//! Who is still sending would have its answer reset under it if the connection was closed at once: it is told that no more
//! comes, and what it sends is thrown away for a while.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::AsyncWrite;

use super::wire::Link;
use crate::{connection::Client, error::ProxyError, problem};

/// How long a last answer may take to be read by a client that is still sending.
const LINGER: Duration = Duration::from_secs(2);
/// How much of what it is still sending is thrown away, in bytes.
const MOST_DISCARDED: usize = 16 * 1024 * 1024;
/// How much of a body nobody wanted is read so that the connection can be used again, in bytes.
pub(super) const MOST_DRAINED: u64 = 64 * 1024;

/// Says `error` as the last answer, and closes the connection.
pub(super) async fn refuse(link: &Link, client: &Client, error: ProxyError) {
    let answer = problem::raw(error.status(), error);
    link.borrow_mut().outgoing.put(answer);
    linger(link, client).await;
}

/// Closes a connection whose client has nothing more to say.
pub(super) async fn close(link: &Link, client: &Client) {
    if !link.borrow().stream.has_farewell() {
        // The system says goodbye when the socket is dropped.
        return;
    }
    client.deadline.set(client.worker.after(LINGER));
    poll_fn(|cx| {
        let ended = Pin::new(&mut link.borrow_mut().stream).poll_shutdown(cx).map(|_| ());
        if ended.is_ready() { ended } else { client.deadline.poll(cx) }
    })
    .await;
}

/// Closes a connection whose client may still be sending.
pub(super) async fn linger(link: &Link, client: &Client) {
    client.deadline.set(client.worker.after(LINGER));
    let mut ending = Ending { is_told: false, discarded: 0 };
    poll_fn(|cx| {
        let ended = ending.poll(cx, link);
        if ended.is_ready() { ended } else { client.deadline.poll(cx) }
    })
    .await;
}

struct Ending {
    /// Whether the client knows that no more comes.
    is_told: bool,
    discarded: usize,
}

impl Ending {
    fn poll(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<()> {
        let wire = &mut *link.borrow_mut();
        if !self.is_told {
            if ready!(wire.outgoing.poll_write(cx, &mut wire.stream)).is_err()
                || ready!(Pin::new(&mut wire.stream).poll_shutdown(cx)).is_err()
            {
                return Poll::Ready(());
            }
            self.is_told = true;
        }
        loop {
            match ready!(wire.poll_discard(cx)) {
                Ok(count @ 1..) if self.discarded < MOST_DISCARDED => self.discarded += count,
                _ => return Poll::Ready(()),
            }
        }
    }
}

/// Reads what is left of a request's body that nobody wanted, if it is not much and comes soon. Answers whether it did: the
/// next request may follow.
pub(super) async fn drain(link: &Link, client: &Client) -> bool {
    client.deadline.set(client.worker.after(client.header_timeout()));
    let mut left = MOST_DRAINED;
    poll_fn(|cx| {
        loop {
            let frame = match link.borrow_mut().poll_body(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Pending => return client.deadline.poll(cx).map(|()| false),
            };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return Poll::Ready(false),
            }
        }
    })
    .await
}
