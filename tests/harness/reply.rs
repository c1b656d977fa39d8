//! What a scripted server does with a request: a list of small steps, honest or not.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::eventually::PATIENCE;

/// One step of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Writes this many bytes of filler, in large pieces.
    Fill(u64),
    /// Waits.
    Pause(Duration),
    /// Waits until the test opens the gate.
    Wait(Gate),
    /// Writes header lines until the peer stops reading.
    EndlessHeader,
    /// Reads and writes nothing until the peer closes.
    Hold,
    /// Closes its own direction; what the peer sends can still arrive.
    HalfClose,
    /// Closes the connection in order.
    Close,
    /// Closes the connection with a reset.
    Reset,
}

/// The steps of one answer; the connection is kept when none of them closes it.
pub type Reply = Vec<Step>;

/// A 200 with this body.
pub fn ok(body: &str) -> Reply {
    vec![Step::Send(message("200 OK", &[], body))]
}

/// Exactly these bytes.
pub fn raw(bytes: impl AsRef<[u8]>) -> Reply {
    vec![Step::Send(bytes.as_ref().to_vec())]
}

/// Exactly these bytes, then an orderly close.
pub fn raw_close(bytes: impl AsRef<[u8]>) -> Reply {
    vec![Step::Send(bytes.as_ref().to_vec()), Step::Close]
}

/// A response with a Content-Length, from its status line's end (`"200 OK"`), field lines and body.
pub fn message(status: &str, fields: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

/// Something a test opens once, and a server waits for.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Debug, Default)]
struct GateState {
    is_open: bool,
    waiting: usize,
}

impl Gate {
    /// Lets everybody through from now on.
    pub fn open(&self) {
        self.0.0.lock().unwrap().is_open = true;
        self.0.1.notify_all();
    }

    /// How many have arrived at the gate so far.
    pub fn arrivals(&self) -> usize {
        self.0.0.lock().unwrap().waiting
    }

    /// Waits until the gate opens, or for four times the patience of a test.
    pub fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.waiting += 1;
        drop(self.0.1.wait_timeout_while(state, PATIENCE * 4, |state| !state.is_open).unwrap());
    }
}
