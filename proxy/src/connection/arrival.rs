//! What the bytes of one HTTP/1 connection tell besides what their parser tells.
//!
//! hyper takes bytes in and gives requests out. Two things it keeps to itself: whether part of a next request is left in
//! its buffer when a request has ended (that part must become a whole head in time, or half a head holds a connection for
//! as long as an idle one), and what the library changes about a target: it cuts off a fragment, though RFC 9112 §3.2
//! allows none, and puts a path behind a host that stands alone, which changes what OPTIONS asks for (§3.2.4). Both can be
//! told without a second parser: a head ends with an empty line, and so does a body in chunks; any other body has the
//! length its head says. That leaves the second and further requests of bytes that arrived together: their targets are
//! taken as the library gives them, and whether something is left behind their bodies stays unknown.
//!
//! Hot path: no allocation; of a GET only the request line and the last bytes are looked at.

use std::cell::Cell;

/// What is left in the parser's buffer when a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing, or empty lines.
    Nothing,
    /// Part of a head.
    Part,
    /// Not known: perhaps part of a head.
    Unknown,
}

/// What the library changed about a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// Nothing, as far as was seen.
    Nothing,
    /// A fragment was cut off.
    Fragment,
    /// A path was put behind the host of an OPTIONS request.
    Path,
}

/// Where in a request the bytes are that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the request line.
    Line,
    /// In the field lines.
    Fields(InLine),
    /// Behind the head, by so many bytes.
    Behind(u64),
    /// Not known.
    Unknown,
}

/// Where in a field line, or in the empty one that ends a head. Like the parser, takes LF alone for the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InLine {
    Start,
    /// Behind a CR at the start.
    Cr,
    Within,
}

/// Follows the bytes of one connection.
#[derive(Debug)]
pub(super) struct Arrival {
    place: Cell<Place>,
    /// The last three bytes.
    tail: Cell<[u8; 3]>,
    /// Length of the body of the request under way, where its head says one.
    length: Cell<Option<u64>>,
    changed: Cell<Changed>,
    /// Whether the next byte to arrive, empty lines apart, is the first of a head.
    is_between: Cell<bool>,
}

impl Default for Arrival {
    fn default() -> Self {
        Self {
            place: Cell::new(Place::Unknown),
            tail: Cell::new(*b"\n\r\n"),
            length: Cell::default(),
            changed: Cell::new(Changed::Nothing),
            is_between: Cell::new(true),
        }
    }
}

impl Arrival {
    /// `bytes` have arrived after a request has ended, or as the first ones. Not only empty lines.
    pub(super) fn begin(&self, bytes: &[u8]) {
        self.changed.set(Changed::Nothing);
        self.place.set(if self.is_between.get() { Place::Line } else { Place::Unknown });
        let start = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(bytes.len());
        let head = bytes.get(start..).unwrap_or_default();
        self.go_on(head);
        if self.is_between.get() && head.starts_with(b"OPTIONS ") && is_for_host_alone(head) {
            self.changed.set(Changed::Path);
        }
        // Nearly every arrival is the whole head of a GET without a body, which needs no closer look.
        if head.starts_with(b"GET ") && self.ends_with_empty_line() {
            self.place.set(Place::Unknown);
        }
    }

    /// `bytes` have arrived, of a head or a body that has begun.
    pub(super) fn go_on(&self, bytes: &[u8]) {
        match self.place.get() {
            Place::Line => self.line(bytes),
            Place::Fields(begun) => self.fields(begun, bytes),
            Place::Behind(count) => self.place.set(Place::Behind(count.saturating_add(length(bytes)))),
            Place::Unknown => {}
        }
        let mut tail = self.tail.get();
        for &byte in bytes.get(bytes.len().saturating_sub(tail.len())..).unwrap_or_default() {
            tail = [tail[1], tail[2], byte];
        }
        self.tail.set(tail);
    }

    /// The head has ended; its body has this length, or none it says.
    pub(super) fn head_ended(&self, length: Option<u64>) {
        self.length.set(length);
    }

    /// What the library changed about the target of the request under way.
    pub(super) fn changed(&self) -> Changed {
        self.changed.get()
    }

    /// The request has ended: what is left behind it?
    pub(super) fn request_ended(&self) -> Left {
        let (left, is_between) = match (self.place.get(), self.length.get()) {
            (Place::Behind(count), Some(length)) if count < length => (Left::Nothing, false),
            // No part of a head ends with an empty line, which would make it a whole one.
            _ if self.ends_with_empty_line() => (Left::Nothing, true),
            // Heads and bodies in chunks do.
            (_, Some(0) | None) => (Left::Part, false),
            (Place::Behind(count), Some(length)) if count == length => (Left::Nothing, true),
            (Place::Behind(_), Some(_)) => (Left::Part, false),
            _ => (Left::Unknown, false),
        };
        self.changed.set(Changed::Nothing);
        self.place.set(Place::Unknown);
        self.is_between.set(is_between);
        left
    }

    fn ends_with_empty_line(&self) -> bool {
        matches!(self.tail.get(), [_, b'\n', b'\n'] | [b'\n', b'\r', b'\n'])
    }

    fn line(&self, bytes: &[u8]) {
        let end = match memchr::memchr2(b'#', b'\n', bytes) {
            Some(found) if bytes.get(found) == Some(&b'#') => {
                self.changed.set(Changed::Fragment);
                memchr::memchr(b'\n', bytes)
            }
            found => found,
        };
        if let Some(end) = end {
            self.fields(InLine::Start, bytes.get(end + 1..).unwrap_or_default());
        }
    }

    fn fields(&self, mut begun: InLine, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            (begun, bytes) = match (begun, byte) {
                (InLine::Start | InLine::Cr, b'\n') => return self.place.set(Place::Behind(length(rest))),
                (InLine::Start, b'\r') => (InLine::Cr, rest),
                _ => match memchr::memchr(b'\n', bytes) {
                    Some(end) => (InLine::Start, bytes.get(end + 1..).unwrap_or_default()),
                    None => (InLine::Within, &[][..]),
                },
            };
        }
        self.place.set(Place::Fields(begun));
    }
}

/// Whether the target of this head, if all of it is here, is a scheme and a host and nothing else.
fn is_for_host_alone(head: &[u8]) -> bool {
    let mut parts = head.split(|byte| b" \r\n".contains(byte));
    let (Some(target), Some(_)) = (parts.nth(1), parts.next()) else { return false };
    let Some(end) = memchr::memmem::find(target, b"://") else { return false };
    let (scheme, host) = (target.get(..end).unwrap_or_default(), target.get(end + 3..).unwrap_or_default());
    scheme.iter().all(u8::is_ascii_alphabetic) && !host.iter().any(|byte| b"/?#".contains(byte))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;

    const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    const POST: &str = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";

    /// What is left behind a request with a body of `length`, when these bytes arrived one piece after the other.
    fn left(pieces: &[&str], length: Option<u64>) -> Left {
        let arrival = Arrival::default();
        arrive(&arrival, pieces);
        arrival.head_ended(length);
        arrival.request_ended()
    }

    fn changed(pieces: &[&str]) -> Changed {
        let arrival = Arrival::default();
        arrive(&arrival, pieces);
        arrival.changed()
    }

    fn arrive(arrival: &Arrival, pieces: &[&str]) {
        for (index, piece) in pieces.iter().enumerate() {
            if index == 0 { arrival.begin(piece.as_bytes()) } else { arrival.go_on(piece.as_bytes()) }
        }
    }

    #[test]
    fn the_end_of_a_request_is_told_from_part_of_a_next_one() {
        assert_eq!(left(&[GET], Some(0)), Left::Nothing);
        assert_eq!(left(&["\r\n", GET], Some(0)), Left::Nothing);
        assert_eq!(left(&[GET, "\r\n"], Some(0)), Left::Nothing);
        assert_eq!(left(&["GET /a HTTP/1.1\nHost: a\n\n"], Some(0)), Left::Nothing);
        assert_eq!(left(&[&format!("{GET}G")], Some(0)), Left::Part);
        assert_eq!(left(&[&format!("{GET}GET / HTTP/1.1\r\n")], Some(0)), Left::Part);
        assert_eq!(left(&[POST, "hello"], Some(5)), Left::Nothing);
        assert_eq!(left(&[&format!("{POST}hello")], Some(5)), Left::Nothing);
        assert_eq!(left(&[&format!("{POST}he"), "lloG"], Some(5)), Left::Part);
        assert_eq!(left(&[POST, "\r\n\r\nxGET / "], Some(5)), Left::Part);
        assert_eq!(left(&["POST / HTTP/1.1\nA: b\n\nhello\r\n\r\nGET /"], Some(9)), Left::Part);
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n";
        assert_eq!(left(&[chunked, "\r\n"], None), Left::Nothing);
        assert_eq!(left(&[chunked, "\r\nGET"], None), Left::Part);
    }

    /// Behind a second request of the same bytes only its own end tells.
    #[test]
    fn a_pipelined_request_is_followed_as_far_as_it_goes() {
        let arrival = Arrival::default();
        arrive(&arrival, &[&format!("{GET}{GET}{POST}hello")]);
        arrival.head_ended(Some(0));
        assert_eq!(arrival.request_ended(), Left::Part);
        arrival.head_ended(Some(0));
        assert_eq!(arrival.request_ended(), Left::Part);
        arrival.head_ended(Some(5));
        assert_eq!(arrival.request_ended(), Left::Unknown);
        arrival.begin(GET.as_bytes());
        arrival.head_ended(Some(0));
        assert_eq!(arrival.request_ended(), Left::Nothing);
    }

    #[test]
    fn a_fragment_is_seen_in_the_request_line_alone() {
        let has_fragment = |pieces: &[&str]| changed(pieces) == Changed::Fragment;
        assert!(has_fragment(&["GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"]));
        assert!(has_fragment(&["\r\nGE", "T /a", "#b HTTP/1.1\r\n", "Host: a\r\n\r\n"]));
        assert!(!has_fragment(&["GET /a HTTP/1.1\r\nHost: a\r\nReferer: /#a\r\n\r\n"]));
        assert!(!has_fragment(&["GET /a HTTP/1.1\r\n", "Referer: #\r\n\r\n"]));
        assert!(!has_fragment(&["POST /a HTTP/1.1\r\n\r\n#"]));
    }

    /// The rest of a body that was answered before it had arrived is no head.
    #[test]
    fn the_rest_of_a_body_is_not_taken_for_a_request_line() {
        let arrival = Arrival::default();
        arrival.begin(POST.as_bytes());
        arrival.head_ended(Some(5));
        assert_eq!(arrival.request_ended(), Left::Nothing);
        arrival.begin(b"he#lo");
        assert_eq!(arrival.changed(), Changed::Nothing);
    }

    #[test]
    fn options_for_a_host_alone_is_told_from_options_for_its_root() {
        let has_path =
            |target: &str| changed(&[&format!("OPTIONS {target} HTTP/1.1\r\n\r\n")]) == Changed::Path;
        assert!(has_path("http://host") && has_path("HTTPS://host:80"));
        assert!(
            !has_path("http://host/")
                && !has_path("http://host?a")
                && !has_path("*")
                && !has_path("/http://host")
        );
        assert_eq!(changed(&["OPTIONS http://ho", "st/a HTTP/1.1\r\n\r\n"]), Changed::Nothing);
        assert_eq!(changed(&["GET http://host HTTP/1.1\r\n\r\n"]), Changed::Nothing);
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_split_makes_no_difference(
            body in "[a\r\n#]{0,12}", next in "(|[GP#\r\n]{1,8})", cuts in proptest::collection::vec(any::<Index>(), 0..6),
        ) {
            let length = u64::try_from(body.len()).unwrap();
            let text = format!("POST /a HTTP/1.1\r\nHost: a\r\n\r\n{body}{next}");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).filter(|cut| *cut > 0).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            cuts.dedup();
            let pieces: Vec<&str> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            prop_assert_eq!(left(&pieces, Some(length)), left(&[&text], Some(length)));
        }
    }
}
