//! Reads a stream of server-sent events.
//!
//! Pure: bytes in, events out, however they were cut. Source: WHATWG HTML §9.2.6, "Interpreting an event stream".

/// Longest event: ten times what the API sends.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Where to go on after it; empty when the stream names none.
    pub(super) id: String,
    /// Its kind; `message` when none is named.
    pub(super) kind: String,
    /// What is told of it.
    pub(super) data: String,
}

/// An event is longer than anything the API would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// The state between two pieces of a stream.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    is_after_return: bool,
    id: String,
    kind: String,
    data: String,
}

impl Parser {
    /// Takes the next bytes and returns the events they complete.
    ///
    /// # Errors
    /// When an event passes the bound; the stream is of no use then.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let was_return = std::mem::replace(&mut self.is_after_return, byte == b'\r');
            match byte {
                b'\n' if was_return => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.take(&String::from_utf8_lossy(&line)));
                }
                byte => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > MAX_EVENT_BYTES {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    fn take(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.complete();
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            // A comment has no name; unknown fields are to be ignored.
            _ => {}
        }
        None
    }

    fn complete(&mut self) -> Option<Event> {
        let kind = std::mem::take(&mut self.kind);
        let mut data = std::mem::take(&mut self.data);
        data.pop()?;
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        Some(Event { id: self.id.clone(), kind, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, kind: &str, data: &str) -> Event {
        Event { id: id.to_owned(), kind: kind.to_owned(), data: data.to_owned() }
    }

    const STREAM: &str = ": hb\n\nid: a.1.1\nevent: config\ndata: {\"x\":1}\n\ndata:one\r\ndata: two\r\n\r\nevent: empty\n\n\
        retry: 5\nunknown\ndata\rid: b\n\n";

    fn expected() -> Vec<Event> {
        vec![
            event("a.1.1", "config", "{\"x\":1}"),
            event("a.1.1", "message", "one\ntwo"),
            event("b", "message", ""),
        ]
    }

    #[test]
    fn fields_make_events() {
        assert_eq!(Parser::default().push(STREAM.as_bytes()), Ok(expected()));
    }

    #[test]
    fn it_does_not_matter_where_the_stream_is_cut() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let events: Vec<Event> =
                STREAM.as_bytes().chunks(size).flat_map(|piece| parser.push(piece).unwrap()).collect();
            assert_eq!(events, expected(), "pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_its_end_is_not_told() {
        assert_eq!(Parser::default().push(b"data: x\n"), Ok(vec![]));
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let mut parser = Parser::default();
        let piece = [b'x'; 4096];
        assert!((0..=MAX_EVENT_BYTES / piece.len()).any(|_| parser.push(&piece).is_err()));
        let mut parser = Parser::default();
        assert!((0..=MAX_EVENT_BYTES).any(|_| parser.push(b"data: xxxxxxxxxxxxxxx\n").is_err()));
    }
}
