//! Writes the head of a response, and decides how its body is delimited: RFC 9112 §4, §6 and §9.3.
//!
//! What the head says of its form is written here and taken from nowhere else, but for the length of content that is not
//! sent (RFC 9110 §8.6).

use http::{HeaderValue, StatusCode, Version, header, response::Parts};

use super::{
    request_head::{Answer, Reuse, Wants},
    scratch::Scratch,
};
use crate::forward::write_field;

/// How the body of a response is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    Length(u64),
    Chunked,
    /// By the end of the connection, for clients that know no chunks.
    UntilClose,
}

/// What a response's head came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) framing: Framing,
    /// Whether another request may follow. The client was told so.
    pub(super) reuse: Reuse,
}

/// Appends the head of a response with `parts` to a request that `wants` this, whose body has `length` bytes, if that is
/// known. `reuse`: whether another request may follow as far as the connection itself is concerned.
pub(super) fn write(
    out: &mut Vec<u8>,
    parts: &Parts,
    wants: Wants,
    length: Option<u64>,
    reuse: Reuse,
    scratch: (&Scratch, weir_shared::time::Moment),
) -> Form {
    let status = parts.status;
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let is_switched = status == StatusCode::SWITCHING_PROTOCOLS;
    let mut said = Said { length: None, date: Dated::NotYet, reuse };
    for (name, value) in &parts.headers {
        match *name {
            header::CONTENT_LENGTH => {
                said.length.get_or_insert(value);
                continue;
            }
            header::TRANSFER_ENCODING => continue,
            header::CONNECTION if !is_switched => {
                if value == "close" {
                    said.reuse = Reuse::Close;
                }
                continue;
            }
            header::DATE => said.date = Dated::Already,
            _ => {}
        }
        write_field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    if said.date == Dated::NotYet {
        scratch.0.write_date(scratch.1, out);
    }
    let framing = frame(out, status, wants, length, said.length);
    let reuse = if framing == Framing::UntilClose || is_switched { Reuse::Close } else { said.reuse };
    match reuse {
        _ if is_switched => {}
        Reuse::Close => out.extend_from_slice(b"connection: close\r\n"),
        Reuse::Keep if wants.version == Version::HTTP_10 => {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        Reuse::Keep => {}
    }
    out.extend_from_slice(b"\r\n");
    Form { framing, reuse }
}

/// What the fields say.
struct Said<'p> {
    length: Option<&'p HeaderValue>,
    date: Dated,
    reuse: Reuse,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dated {
    NotYet,
    Already,
}

/// Appends the field that delimits the body. `said` is the length that the response's fields claim.
fn frame(
    out: &mut Vec<u8>,
    status: StatusCode,
    wants: Wants,
    length: Option<u64>,
    said: Option<&HeaderValue>,
) -> Framing {
    if status == StatusCode::NO_CONTENT || status.is_informational() {
        return Framing::None;
    }
    if wants.answer == Answer::HeadAlone || status == StatusCode::NOT_MODIFIED {
        // The length is that of the content that is not sent.
        if let Some(said) = said {
            write_field(out, b"content-length", said.as_bytes());
        } else if let Some(length @ 1..) = length {
            write_length(out, length);
        }
        return Framing::None;
    }
    let claimed = || said?.to_str().ok()?.parse().ok();
    if let Some(length) = length.or_else(claimed) {
        write_length(out, length);
        return Framing::Length(length);
    }
    if wants.version == Version::HTTP_10 {
        return Framing::UntilClose;
    }
    out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    Framing::Chunked
}

fn write_length(out: &mut Vec<u8>, length: u64) {
    write_field(out, b"content-length", itoa::Buffer::new().format(length).as_bytes());
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::{
        super::request_head::{Continuation, Trailers},
        *,
    };

    const WANTS: Wants = Wants {
        version: Version::HTTP_11,
        reuse: Reuse::Keep,
        answer: Answer::Whole,
        continuation: Continuation::None,
        trailers: Trailers::Dropped,
    };

    fn written(
        status: u16,
        fields: &[(&'static str, &str)],
        wants: Wants,
        length: Option<u64>,
    ) -> (String, Form) {
        let mut response = Response::builder().status(status).header("date", "today");
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let (parts, ()) = response.body(()).unwrap().into_parts();
        let mut out = Vec::new();
        let form =
            write(&mut out, &parts, wants, length, wants.reuse, (&Scratch::default(), Default::default()));
        let text = String::from_utf8(out).unwrap().replace("date: today\r\n", "").replace("\r\n", "|");
        (text, form)
    }

    #[test]
    fn a_body_is_delimited_in_one_way() {
        let head = Wants { answer: Answer::HeadAlone, ..WANTS };
        let old = Wants { version: Version::HTTP_10, reuse: Reuse::Close, ..WANTS };
        let kept = Wants { version: Version::HTTP_10, ..WANTS };
        let length = |length: &'static str| ("content-length", length);
        for (status, fields, wants, known, expected, framing) in [
            (200, vec![], WANTS, Some(5), "HTTP/1.1 200 OK|content-length: 5||", Framing::Length(5)),
            (
                200,
                vec![length("7")],
                WANTS,
                Some(5),
                "HTTP/1.1 200 OK|content-length: 5||",
                Framing::Length(5),
            ),
            (200, vec![length("7")], WANTS, None, "HTTP/1.1 200 OK|content-length: 7||", Framing::Length(7)),
            (200, vec![], WANTS, Some(0), "HTTP/1.1 200 OK|content-length: 0||", Framing::Length(0)),
            (200, vec![], WANTS, None, "HTTP/1.1 200 OK|transfer-encoding: chunked||", Framing::Chunked),
            (200, vec![], old, None, "HTTP/1.1 200 OK|connection: close||", Framing::UntilClose),
            (200, vec![], kept, None, "HTTP/1.1 200 OK|connection: close||", Framing::UntilClose),
            (
                200,
                vec![],
                kept,
                Some(1),
                "HTTP/1.1 200 OK|content-length: 1|connection: keep-alive||",
                Framing::Length(1),
            ),
            (200, vec![length("7")], head, Some(0), "HTTP/1.1 200 OK|content-length: 7||", Framing::None),
            (200, vec![], head, Some(0), "HTTP/1.1 200 OK||", Framing::None),
            (502, vec![], head, Some(9), "HTTP/1.1 502 Bad Gateway|content-length: 9||", Framing::None),
            (204, vec![length("0")], WANTS, Some(0), "HTTP/1.1 204 No Content||", Framing::None),
            (
                304,
                vec![length("7")],
                WANTS,
                Some(0),
                "HTTP/1.1 304 Not Modified|content-length: 7||",
                Framing::None,
            ),
            (299, vec![], WANTS, Some(0), "HTTP/1.1 299 |content-length: 0||", Framing::Length(0)),
        ] {
            let (text, form) = written(status, &fields, wants, known);
            assert_eq!((text.as_str(), form.framing), (expected, framing));
        }
    }

    #[test]
    fn what_is_said_of_the_connection_is_what_happens() {
        let (text, form) = written(200, &[("connection", "close"), ("x-a", "b")], WANTS, Some(0));
        assert_eq!(text, "HTTP/1.1 200 OK|x-a: b|content-length: 0|connection: close||");
        assert_eq!(form.reuse, Reuse::Close);
        let (text, form) =
            written(101, &[("connection", "upgrade"), ("upgrade", "websocket")], WANTS, Some(0));
        assert_eq!(text, "HTTP/1.1 101 Switching Protocols|connection: upgrade|upgrade: websocket||");
        assert_eq!(form, Form { framing: Framing::None, reuse: Reuse::Close });
        let (_, form) = written(200, &[], WANTS, None);
        assert_eq!(form.reuse, Reuse::Keep);
    }

    #[test]
    fn a_date_is_added_where_there_is_none() {
        let (parts, ()) = Response::new(()).into_parts();
        let (scratch, mut out) = (Scratch::default(), Vec::new());
        for _ in 0..2 {
            write(&mut out, &parts, WANTS, Some(0), Reuse::Keep, (&scratch, Default::default()));
        }
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("date: ").count(), 2);
        assert!(
            httpdate::parse_http_date(&text["HTTP/1.1 200 OK\r\ndate: ".len()..][..29]).is_ok(),
            "{text}"
        );
    }
}
