//! What holds for any bytes a server may send: no panic, and the same outcome however they are cut into reads.
//!
//! `scripts/fuzz` runs the same tests for longer.

use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    decode::{BodyFraming, Decoder, Step},
    response_head::{self, Parsed},
};
use crate::head::Maps;

/// Pieces of messages, right and wrong, and any bytes.
fn pieces_of(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        9 => proptest::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(word, 0..24).prop_map(|words| words.concat())
}

const BODY: &[&str] = &[
    "5\r\nhello\r\n",
    "0\r\n",
    "\r\n",
    "0\r\n\r\n",
    "A;x=y\r\n0123456789\r\n",
    "1 \r\n",
    "a",
    "\n",
    "\r",
    "X-A: b\r\n",
    "Content-Length: 5\r\n",
    "fffffffffffffffff\r\n",
    "+1\r\n",
    "0x1\r\n",
    " ",
    ":",
];

const HEAD: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 404 \r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 6\r\n",
    "content-length: 5, 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Connection: close, X-A\r\n",
    "X-A: b\r\n",
    " folded\r\n",
    "X-B : c\r\n",
    "\r\n",
    "\n",
    "\r",
    "hello",
];

const FIELDS: &[&str] = &[
    "Content-Length: 5\r\n",
    "Content-Length: 6\r\n",
    "content-length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: keep-alive\r\n",
    "Connection: X-A\r\n",
    "X-A: 1\r\n",
    "x-a: 2\r\n",
    "X-B: 3\r\n",
    "Date: Mon\r\n",
    "Set-Cookie: a\r\n",
    "Set-Cookie: b\r\n",
    "X-Bad: \u{1}\r\n",
];

/// `bytes` in pieces, cut at these places.
fn cut<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

/// How reading a body ended.
#[derive(Debug, PartialEq)]
enum Ended {
    Whole(Option<HeaderMap>),
    Short,
    Malformed,
}

/// Content, end, and what is left in the buffer.
fn decode(framing: BodyFraming, pieces: &[&[u8]]) -> (Vec<u8>, Ended, Vec<u8>) {
    let mut decoder = Decoder::new(framing);
    let mut buffer = BytesMut::new();
    let mut content = Vec::new();
    let mut trailers = None;
    let mut ended = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while ended.is_none() {
            match decoder.step(&mut buffer) {
                Ok(Step::Data(data)) => content.extend_from_slice(&data),
                Ok(Step::Trailers(fields)) => trailers = Some(fields),
                Ok(Step::NeedsMore) => break,
                Ok(Step::End) => ended = Some(Ended::Whole(trailers.take())),
                Err(_) => ended = Some(Ended::Malformed),
            }
        }
    }
    let left = if ended == Some(Ended::Malformed) { Vec::new() } else { buffer.to_vec() };
    (content, ended.unwrap_or(Ended::Short), left)
}

/// What a head says, if it is one.
#[derive(Debug, PartialEq)]
enum Head {
    Incomplete,
    Interim(StatusCode),
    Final(StatusCode, Vec<(String, Vec<u8>)>, BodyFraming),
    Malformed,
}

fn head(pieces: &[&[u8]], method: &Method) -> Head {
    head_with(&Maps::default(), pieces, method)
}

fn head_with(maps: &Maps, pieces: &[&[u8]], method: &Method) -> Head {
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        match response_head::parse(&mut buffer, method, maps) {
            Ok(Parsed::Incomplete) => {}
            Ok(Parsed::Interim(interim)) => return Head::Interim(interim.status),
            Ok(Parsed::Final(head)) => {
                let fields =
                    head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
                let fields = fields.collect();
                maps.give_back(head.headers);
                return Head::Final(head.status, fields, head.framing);
            }
            Err(_) => return Head::Malformed,
        }
    }
    Head::Incomplete
}

proptest! {
    #[test]
    fn a_body_means_the_same_however_it_is_cut(
        bytes in pieces_of(BODY), places in vec(any::<Index>(), 0..8), length in 0_u64..40,
    ) {
        for framing in [BodyFraming::Chunked, BodyFraming::Length(length), BodyFraming::UntilClose] {
            prop_assert_eq!(decode(framing, &cut(&bytes, &places)), decode(framing, &[&bytes]));
        }
    }

    #[test]
    fn a_head_means_the_same_however_it_is_cut(
        bytes in pieces_of(HEAD), places in vec(any::<Index>(), 0..8), is_head in any::<bool>(),
    ) {
        let method = if is_head { Method::HEAD } else { Method::GET };
        prop_assert_eq!(head(&cut(&bytes, &places), &method), head(&[&bytes], &method));
    }

    #[test]
    fn a_head_means_the_same_whatever_came_before(
        heads in vec(vec(proptest::sample::select(FIELDS), 0..5), 1..8),
    ) {
        let maps = Maps::default();
        for fields in heads {
            let text = format!("HTTP/1.1 200 OK\r\n{}\r\n", fields.concat());
            let pieces = [text.as_bytes()];
            prop_assert_eq!(head_with(&maps, &pieces, &Method::GET), head(&pieces, &Method::GET));
        }
    }

    #[test]
    fn chunks_are_read_as_they_were_written(
        chunks in vec(vec(any::<u8>(), 1..40), 0..8), places in vec(any::<Index>(), 0..8), next in vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = Vec::new();
        for chunk in &chunks {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes.extend_from_slice(&next);
        let (content, ended, left) = decode(BodyFraming::Chunked, &cut(&bytes, &places));
        prop_assert_eq!((content, ended, left), (chunks.concat(), Ended::Whole(None), next));
    }
}
