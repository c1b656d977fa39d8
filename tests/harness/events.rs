//! A listener to the API's event stream, which reads it as a browser would.
//!
//! Source: WHATWG HTML, "Server-sent events", for the form of events; RFC 9112 §7.1 for the chunks they come in.

use std::net::SocketAddr;

use serde_json::Value;

use crate::client::{Wire, WireError};

/// An open stream.
#[derive(Debug)]
pub struct EventStream {
    wire: Wire,
    /// Bytes that came, chunked.
    raw: Vec<u8>,
    /// Text that is not read yet.
    text: String,
    last_id: String,
    is_over: bool,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// How far the listener has come.
    pub id: String,
    /// What kind of event.
    pub kind: String,
    /// What is told.
    pub data: Value,
}

impl EventStream {
    /// Opens a stream.
    ///
    /// # Panics
    /// When it is refused.
    pub fn open(admin: SocketAddr, target: &str) -> Self {
        Self::try_open(Wire::connect(admin), target, None)
            .unwrap_or_else(|status| panic!("{target}: {status}"))
    }

    /// Opens a stream that goes on after the event `id`.
    ///
    /// # Panics
    /// When it is refused.
    pub fn resume(admin: SocketAddr, target: &str, id: &str) -> Self {
        Self::try_open(Wire::connect(admin), target, Some(id))
            .unwrap_or_else(|status| panic!("{target}: {status}"))
    }

    /// Opens a stream on `wire`, or answers the status of the refusal.
    ///
    /// # Panics
    /// When no well-formed response comes.
    pub fn try_open(mut wire: Wire, target: &str, id: Option<&str>) -> Result<Self, u16> {
        let resume = id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{resume}\r\n"));
        let (_, status, fields) = wire.response_head().unwrap();
        if status != 200 {
            return Err(status);
        }
        assert_eq!(fields.one("content-type"), Some("text/event-stream"));
        let mut stream =
            Self { wire, raw: Vec::new(), text: String::new(), last_id: String::new(), is_over: false };
        // The first block says where the stream begins: nothing after it is missed.
        let opening = stream.block().unwrap_or_default();
        assert!(opening.starts_with("retry: "), "{opening}");
        stream.last_id = field(&opening, "id").unwrap_or_default();
        Ok(stream)
    }

    /// How far it has come.
    pub fn last_id(&self) -> &str {
        &self.last_id
    }

    /// The next event; `None` at the end of the stream.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn read(&mut self) -> Option<Told> {
        loop {
            let block = self.block()?;
            if let Some(id) = field(&block, "id") {
                self.last_id = id;
            }
            if let Some(data) = field(&block, "data") {
                let data = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}"));
                let kind = field(&block, "event").unwrap_or_default();
                return Some(Told { id: self.last_id.clone(), kind, data });
            }
        }
    }

    /// Reads until an event satisfies `is_wanted`, and returns it.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn until(&mut self, what: &str, is_wanted: impl Fn(&Told) -> bool) -> Told {
        let mut seen = Vec::new();
        loop {
            match self.read() {
                Some(told) if is_wanted(&told) => return told,
                Some(told) => seen.push(told),
                None => panic!("the stream ended before {what}; it told {seen:#?}"),
            }
        }
    }

    /// One block of the stream; `None` at its end.
    fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            if self.is_over {
                assert!(self.text.is_empty(), "the stream was cut in an event: {}", self.text);
                return None;
            }
            self.chunk();
        }
    }

    /// Reads one chunk.
    fn chunk(&mut self) {
        loop {
            if let Some(end) = self.raw.windows(2).position(|pair| pair == b"\r\n") {
                let size = std::str::from_utf8(&self.raw[..end]).unwrap();
                let size =
                    usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("a chunk of {size:?} bytes"));
                let begin = end + 2;
                if self.raw.len() >= begin + size + 2 {
                    let data = &self.raw[begin..begin + size];
                    self.text.push_str(std::str::from_utf8(data).unwrap());
                    self.is_over = size == 0;
                    self.raw.drain(..begin + size + 2);
                    return;
                }
            }
            match self.wire.some() {
                Ok(bytes) => self.raw.extend(bytes),
                Err(WireError::Closed) => panic!("the stream was cut off"),
                Err(error) => panic!("nothing is told any more: {error:?}"),
            }
        }
    }
}

fn field(block: &str, name: &str) -> Option<String> {
    block.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
}
