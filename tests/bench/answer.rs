//! The answers the origin can give, rendered once so that answering is one `write`.

use std::fmt::Write as _;

use crate::request::{After, Method, Request};

const KIB: usize = 1024;
const LARGE_BYTES: usize = 64 * KIB;

/// A server that streams usually writes buffers of this size.
const CHUNK_BYTES: usize = 16 * KIB;

/// One rendered message for each way the connection may go on.
struct Answer {
    keep_alive: Vec<u8>,
    close: Vec<u8>,
}

/// Every answer, by what is asked for.
pub(crate) struct Answers {
    small: Answer,
    large: Answer,
    chunked: Answer,
    accepted: Answer,
}

impl Answers {
    pub(crate) fn render() -> Self {
        Self {
            small: Answer::render(&length_header(KIB), &fill(KIB)),
            large: Answer::render(&length_header(LARGE_BYTES), &fill(LARGE_BYTES)),
            chunked: Answer::render("Transfer-Encoding: chunked\r\n", &chunked(LARGE_BYTES)),
            accepted: Answer::render(&length_header(2), b"ok"),
        }
    }

    /// Returns the bytes that answer `request`.
    pub(crate) fn to(&self, request: &Request<'_>) -> &[u8] {
        let answer = match (request.method, request.path) {
            (Method::Other, _) => &self.accepted,
            (Method::Get, b"/64k") => &self.large,
            (Method::Get, b"/chunked") => &self.chunked,
            // Health checks and everything else get the small body.
            (Method::Get, _) => &self.small,
        };
        match request.after {
            After::KeepAlive => &answer.keep_alive,
            After::Close => &answer.close,
        }
    }
}

impl Answer {
    fn render(framing: &str, body: &[u8]) -> Self {
        let with = |connection: &str| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{framing}{connection}\r\n");
            [head.as_bytes(), body].concat()
        };
        Self { keep_alive: with(""), close: with("Connection: close\r\n") }
    }
}

fn length_header(bytes: usize) -> String {
    format!("Content-Length: {bytes}\r\n")
}

fn fill(bytes: usize) -> Vec<u8> {
    vec![b'x'; bytes]
}

fn chunked(bytes: usize) -> Vec<u8> {
    let mut text = String::new();
    for _ in 0..bytes / CHUNK_BYTES {
        // Writing to a String cannot fail.
        let _ = write!(text, "{CHUNK_BYTES:x}\r\n{}\r\n", "x".repeat(CHUNK_BYTES));
    }
    text.push_str("0\r\n\r\n");
    text.into_bytes()
}
