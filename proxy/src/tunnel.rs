//! Bytes passed on both ways between two streams, as they are.
//!
//! Each way has its own end: when one side has no more to say, the other is told so and may go on by itself. What one side
//! does not take is not read from the other, beyond one buffer; a tunnel at rest has no buffer at all.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{deadline::Deadline, worker::Worker};

/// Bytes read in one go, and kept at most of what the other side does not take.
const CHUNK: usize = 64 * 1024;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides had no more to say.
    Whole,
    /// Nothing came either way for too long.
    Idle,
    /// It was broken off from here.
    Stopped,
    /// Reading from the side where this way begins, or writing to the side where it ends, failed.
    Failed(Way, Side),
}

/// Which end of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Where bytes come from.
    Source,
    /// Where they go.
    Sink,
}

/// What is watched while bytes pass.
pub(crate) struct Watch<'a> {
    /// Time without a byte either way after which the tunnel is given up.
    pub(crate) idle: Duration,
    /// The deadline that is used for it.
    pub(crate) deadline: &'a Deadline,
    /// Told of bytes that were passed on.
    pub(crate) count: &'a dyn Fn(Way, usize),
    /// Asked whenever all deadlines are woken: whether to break off.
    pub(crate) stop: &'a dyn Fn() -> bool,
}

/// What was read already, before there was a tunnel.
#[derive(Debug, Default)]
pub(crate) struct Early {
    pub(crate) from_client: Bytes,
    pub(crate) from_server: Bytes,
}

/// Passes bytes on between `client` and `server` until both have ended, or one has failed.
pub(crate) async fn relay<C, S>(
    worker: &Rc<Worker>,
    client: &mut C,
    server: &mut S,
    early: Early,
    watch: &Watch<'_>,
) -> Ended
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Flow::new(Way::Up, early.from_client);
    let mut down = Flow::new(Way::Down, early.from_server);
    watch.deadline.set(worker.after(watch.idle));
    poll_fn(|cx| {
        if (watch.stop)() {
            return Poll::Ready(Ended::Stopped);
        }
        let moved = Cell::new(false);
        let ways = [
            up.poll(cx, worker, client, server, watch, &moved),
            down.poll(cx, worker, server, client, watch, &moved),
        ];
        for way in &ways {
            if let Poll::Ready(Err(failed)) = way {
                return Poll::Ready(*failed);
            }
        }
        if ways.iter().all(Poll::is_ready) {
            return Poll::Ready(Ended::Whole);
        }
        if moved.get() {
            watch.deadline.set(worker.after(watch.idle));
        }
        watch.deadline.poll(cx).map(|()| Ended::Idle)
    })
    .await
}

/// Bytes on one way.
struct Flow {
    way: Way,
    /// What the sink has not taken yet.
    held: Bytes,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The source may have more to say.
    Open,
    /// It has not; the sink is to be told.
    Ending,
    /// The sink was told.
    Ended,
}

impl Flow {
    fn new(way: Way, held: Bytes) -> Self {
        Self { way, held, stage: Stage::Open }
    }

    /// Moves as much as goes. Ready when this way has ended.
    fn poll<From, To>(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        from: &mut From,
        to: &mut To,
        watch: &Watch<'_>,
        moved: &Cell<bool>,
    ) -> Poll<Result<(), Ended>>
    where
        From: AsyncRead + Unpin,
        To: AsyncWrite + Unpin,
    {
        let way = self.way;
        let sink_failed = |_: io::Error| Ended::Failed(way, Side::Sink);
        loop {
            while !self.held.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.held)).map_err(sink_failed)?;
                if written == 0 {
                    return Poll::Ready(Err(Ended::Failed(way, Side::Sink)));
                }
                self.held.advance(written);
                (watch.count)(self.way, written);
                moved.set(true);
            }
            match self.stage {
                Stage::Ended => return Poll::Ready(Ok(())),
                Stage::Ending => {
                    // Also flushes, where there is something to flush.
                    ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(sink_failed)?;
                    self.stage = Stage::Ended;
                }
                Stage::Open => {
                    let mut chunk = worker.chunk(CHUNK);
                    let arrived = self.fill(cx, from, to, &mut chunk, watch, moved);
                    worker.give_back_chunk(chunk);
                    match arrived {
                        Poll::Ready(Ok(true)) => {}
                        Poll::Ready(Ok(false)) => self.stage = Stage::Ending,
                        Poll::Ready(Err((side, _))) => {
                            return Poll::Ready(Err(Ended::Failed(way, side)));
                        }
                        Poll::Pending => {
                            // What was written may wait in the sink, where that encrypts.
                            if let Poll::Ready(Err(error)) = Pin::new(&mut *to).poll_flush(cx) {
                                return Poll::Ready(Err(sink_failed(error)));
                            }
                            return Poll::Pending;
                        }
                    }
                }
            }
        }
    }

    /// Reads into `chunk` and writes what the sink takes at once; the rest is held. Answers whether there was anything.
    fn fill<From, To>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut From,
        to: &mut To,
        chunk: &mut [u8],
        watch: &Watch<'_>,
        moved: &Cell<bool>,
    ) -> Poll<Result<bool, (Side, io::Error)>>
    where
        From: AsyncRead + Unpin,
        To: AsyncWrite + Unpin,
    {
        let mut buffer = ReadBuf::new(chunk);
        ready!(Pin::new(from).poll_read(cx, &mut buffer)).map_err(|error| (Side::Source, error))?;
        let arrived = buffer.filled();
        if arrived.is_empty() {
            return Poll::Ready(Ok(false));
        }
        moved.set(true);
        let written = match Pin::new(to).poll_write(cx, arrived) {
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(error)) => return Poll::Ready(Err((Side::Sink, error))),
            Poll::Pending => 0,
        };
        (watch.count)(self.way, written);
        self.held = Bytes::copy_from_slice(arrived.get(written..).unwrap_or_default());
        Poll::Ready(Ok(true))
    }
}
