//! Reads the PROXY header at the start of a client's connection, where one has to come first.
//!
//! Nothing is guessed: who has to send one and does not is not served (PROXY protocol, §2), and neither is who may not and
//! does, because that is no request.

use std::{future::poll_fn, rc::Rc, task::Poll};

use weir_shared::{
    model::{Accept, ProxyProtocol},
    proxy_protocol::{self, MAX_HEADER, Malformed, Parsed},
};

use crate::{connection::Ends, listener::Handle, stream::ClientStream, worker::Worker};

/// Bytes looked at in one go. Nearly every header is shorter.
const LOOK: usize = 256;

/// What the peer has to do.
enum Duty {
    /// It sends no header.
    None,
    /// It sends one.
    Send,
    /// It is not served.
    Leave,
}

/// Who is at the ends of `stream`: `own`, unless a PROXY header says otherwise. `None`: the connection is to be closed.
pub(crate) async fn receive(
    worker: &Rc<Worker>,
    handle: &Rc<Handle>,
    stream: &mut ClientStream,
    own: Ends,
) -> Option<Ends> {
    let (duty, timeout) = {
        let settings = handle.settings();
        (duty(&settings.spec.proxy_protocol, own, stream), settings.spec.header_timeout.duration())
    };
    match duty {
        Duty::None => return Some(own),
        Duty::Leave => {
            return refuse(worker, handle, own, "the peer is not trusted to say who the client is");
        }
        Duty::Send => {}
    }
    let deadline = worker.deadline();
    deadline.set(worker.after(timeout));
    let mut header = Vec::new();
    let read = poll_fn(|cx| {
        loop {
            if deadline.poll(cx).is_ready() {
                return Poll::Ready(Err(Malformed("no PROXY header in time")));
            }
            let mut bytes = [0; LOOK];
            let count = match stream.poll_peek(cx, &mut bytes) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(count)) if count > 0 => count,
                Poll::Ready(_) => {
                    return Poll::Ready(Err(Malformed("the connection ended before the PROXY header did")));
                }
            };
            let before = header.len();
            header.extend_from_slice(bytes.get(..count).unwrap_or_default());
            let settings = handle.settings();
            let parsed = proxy_protocol::parse(&header, &settings.spec.proxy_protocol.versions);
            drop(settings);
            let (taken, found) = match parsed {
                Ok(Parsed::Complete(length, found)) => (length.saturating_sub(before), Some(found)),
                // All of it belongs to the header.
                Ok(Parsed::Incomplete) if header.len() < MAX_HEADER => (count, None),
                Ok(Parsed::Incomplete) => return Poll::Ready(Err(Malformed("the PROXY header is too long"))),
                Err(malformed) => return Poll::Ready(Err(malformed)),
            };
            if stream.discard(taken).is_err() {
                return Poll::Ready(Err(Malformed("the connection failed within the PROXY header")));
            }
            if let Some(found) = found {
                return Poll::Ready(Ok(found));
            }
        }
    })
    .await;
    match read {
        Ok(proxy_protocol::Ends::Own) => Some(own),
        Ok(proxy_protocol::Ends::Proxied { source, destination }) => {
            Some(Ends { peer: source, local: Some(destination) })
        }
        Err(Malformed(why)) => refuse(worker, handle, own, why),
    }
}

fn duty(settings: &ProxyProtocol, own: Ends, stream: &ClientStream) -> Duty {
    // The permissions of a unix socket say who may connect.
    let is_local = matches!(stream, ClientStream::Unix(_));
    let is_trusted = is_local || settings.trusted.iter().any(|range| range.contains(own.peer.ip()));
    match settings.accept {
        Accept::Off => Duty::None,
        Accept::FromTrusted if !is_trusted => Duty::None,
        Accept::Required if !is_trusted => Duty::Leave,
        Accept::FromTrusted | Accept::Required => Duty::Send,
    }
}

fn refuse(worker: &Worker, handle: &Handle, own: Ends, why: &'static str) -> Option<Ends> {
    handle.count(worker, |counters| counters.proxy_header_errors.add(1));
    tracing::debug!(listener = %handle.id, peer = %own.peer, why, "connection closed");
    None
}
