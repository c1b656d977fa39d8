//! The PROXY protocol's header, versions 1 and 2: reading and writing, free of I/O.
//!
//! Source: "The PROXY protocol, versions 1 & 2", HAProxy project, 2020/03/05, §2.1 (text), §2.2 (binary), §2.2.x (TLVs).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::model::ProxyVersion;

/// Longest line of version 1, line end included (§2.1).
pub const MAX_LINE: usize = 107;
/// Longest header of version 2 that is taken: addresses take 216 bytes at most, the rest is TLVs.
pub const MAX_BINARY: usize = 4096;
/// Longest header of either version.
pub const MAX_HEADER: usize = MAX_BINARY;

/// What a binary header begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of a binary header.
const FIXED: usize = 16;

/// Who is at the ends of the connection that is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Those of the connection itself: a health check of the balancer in front, or nothing known.
    Own,
    /// Those of a connection to the balancer in front.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// What it connected to.
        destination: SocketAddr,
    },
}

/// What the first bytes of a connection hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header; all of it, so that it may be taken off the connection.
    Incomplete,
    /// A header, of so many bytes.
    Complete(usize, Ends),
}

/// The bytes are no header, or one that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Reads a header of one of `versions` at the start of `bytes`.
///
/// # Errors
/// What is wrong, for a log. The connection is of no use then.
pub fn parse(bytes: &[u8], versions: &[ProxyVersion]) -> Result<Parsed, Malformed> {
    let has = |version| versions.contains(&version);
    match bytes.first() {
        None => Ok(Parsed::Incomplete),
        Some(b'P') if has(ProxyVersion::V1) => line(bytes),
        Some(b'\r') if has(ProxyVersion::V2) => binary(bytes),
        Some(_) => Err(Malformed("the connection does not begin with a PROXY header")),
    }
}

fn line(bytes: &[u8]) -> Result<Parsed, Malformed> {
    const MALFORMED: Malformed = Malformed("the PROXY line is malformed");
    let start = b"PROXY ";
    if !bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted) {
        return Err(Malformed("the connection does not begin with a PROXY header"));
    }
    let within = bytes.get(..MAX_LINE.min(bytes.len())).unwrap_or_default();
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < MAX_LINE { Ok(Parsed::Incomplete) } else { Err(MALFORMED) };
    };
    let text = within.get(start.len()..end).ok_or(MALFORMED)?;
    let text = std::str::from_utf8(text).map_err(|_| MALFORMED)?;
    let length = end + 2;
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        // §2.1: whatever follows is ignored.
        return Ok(Parsed::Complete(length, Ends::Own));
    }
    let mut words = text.split(' ');
    let mut next = || words.next().ok_or(MALFORMED);
    let (family, source, destination) = (next()?, next()?, next()?);
    let (source_port, destination_port) = (port(next()?)?, port(next()?)?);
    if words.next().is_some() {
        return Err(MALFORMED);
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse().map(IpAddr::V4).map_err(|_| MALFORMED),
        "TCP6" => text.parse().map(IpAddr::V6).map_err(|_| MALFORMED),
        _ => Err(MALFORMED),
    };
    let source = SocketAddr::new(address(source)?, source_port);
    let destination = SocketAddr::new(address(destination)?, destination_port);
    Ok(Parsed::Complete(length, Ends::Proxied { source, destination }))
}

/// §2.1: 0 to 65535 in decimal, without leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let is_canonical =
        text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    let port = text.parse().ok().filter(|_| is_canonical);
    port.ok_or(Malformed("a port of the PROXY line is malformed"))
}

fn binary(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if !bytes.iter().zip(SIGNATURE).all(|(byte, wanted)| byte == wanted) {
        return Err(Malformed("the connection does not begin with a PROXY header"));
    }
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else { return Ok(Parsed::Incomplete) };
    let [.., command, family, high, low] = fixed else { return Ok(Parsed::Incomplete) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if FIXED + length > MAX_BINARY {
        return Err(Malformed("the PROXY header is too long"));
    }
    if !matches!(command, 0x20 | 0x21) {
        return Err(Malformed("the PROXY header has an unknown version or command"));
    }
    let Some(rest) = rest.get(..length) else { return Ok(Parsed::Incomplete) };
    // §2.2: of LOCAL the rest is ignored, and so is what an unknown family or transport says.
    let (ends, used) = match (command, family) {
        (0x20, _) => (Ends::Own, length),
        (_, 0x11) => (addresses::<4>(rest)?, 12),
        (_, 0x21) => (addresses::<16>(rest)?, 36),
        // UDP cannot have come here; unix addresses name no client; 0 says that nothing is known.
        (_, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => (Ends::Own, length),
        _ => return Err(Malformed("the PROXY header has an unknown address family")),
    };
    tlvs(rest.get(used..).unwrap_or_default())?;
    Ok(Parsed::Complete(FIXED + length, ends))
}

/// Source and destination, each of `N` bytes, then their ports.
fn addresses<const N: usize>(bytes: &[u8]) -> Result<Ends, Malformed> {
    const SHORT: Malformed = Malformed("the PROXY header is too short for its addresses");
    let (source, rest) = bytes.split_first_chunk::<N>().ok_or(SHORT)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(SHORT)?;
    let (source_port, rest) = rest.split_first_chunk::<2>().ok_or(SHORT)?;
    let (destination_port, _) = rest.split_first_chunk::<2>().ok_or(SHORT)?;
    let socket = |address: &[u8], port: [u8; 2]| {
        let address = match *address {
            [a, b, c, d] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).map_err(|_| SHORT)?)),
        };
        Ok(SocketAddr::new(address, u16::from_be_bytes(port)))
    };
    let source = socket(source, *source_port)?;
    Ok(Ends::Proxied { source, destination: socket(destination, *destination_port)? })
}

/// Walks over what follows the addresses: each piece has a type and a length, and must end within the header.
fn tlvs(mut bytes: &[u8]) -> Result<(), Malformed> {
    while !bytes.is_empty() {
        let piece = bytes
            .split_first_chunk::<3>()
            .and_then(|([_, high, low], rest)| rest.get(usize::from(u16::from_be_bytes([*high, *low]))..));
        bytes = piece.ok_or(Malformed("a TLV of the PROXY header does not end within it"))?;
    }
    Ok(())
}

/// The header that says `ends`, in `version`. Addresses of different families are both written as IPv6.
#[must_use]
pub fn encode(ends: Ends, version: ProxyVersion) -> Vec<u8> {
    let ends = alike(ends);
    match version {
        ProxyVersion::V1 => match ends {
            Ends::Own => b"PROXY UNKNOWN\r\n".to_vec(),
            Ends::Proxied { source, destination } => {
                let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
                let (from, to) = (source.ip(), destination.ip());
                let (from_port, to_port) = (source.port(), destination.port());
                format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
            }
        },
        ProxyVersion::V2 => encode_binary(ends),
    }
}

fn encode_binary(ends: Ends) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    match ends {
        Ends::Own => header.extend_from_slice(&[0x20, 0, 0, 0]),
        Ends::Proxied { source, destination } => {
            header.push(0x21);
            match (source.ip(), destination.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    header.extend_from_slice(&[0x11, 0, 12]);
                    header.extend_from_slice(&from.octets());
                    header.extend_from_slice(&to.octets());
                }
                (from, to) => {
                    header.extend_from_slice(&[0x21, 0, 36]);
                    header.extend_from_slice(&mapped(from).octets());
                    header.extend_from_slice(&mapped(to).octets());
                }
            }
            header.extend_from_slice(&source.port().to_be_bytes());
            header.extend_from_slice(&destination.port().to_be_bytes());
        }
    }
    header
}

/// `ends` in one family: IPv4 where both are, also when written as IPv6.
fn alike(ends: Ends) -> Ends {
    let Ends::Proxied { mut source, mut destination } = ends else { return ends };
    source.set_ip(source.ip().to_canonical());
    destination.set_ip(destination.ip().to_canonical());
    if source.is_ipv4() != destination.is_ipv4() {
        source.set_ip(IpAddr::V6(mapped(source.ip())));
        destination.set_ip(IpAddr::V6(mapped(destination.ip())));
    }
    // Flow labels and scopes are not told.
    let plain = |socket: SocketAddr| SocketAddr::new(socket.ip(), socket.port());
    Ends::Proxied { source: plain(source), destination: plain(destination) }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: [ProxyVersion; 2] = [ProxyVersion::V1, ProxyVersion::V2];

    fn ends(source: &str, destination: &str) -> Ends {
        Ends::Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn lines_of_the_specification_are_read() {
        let read = |text: &str| parse(text.as_bytes(), &BOTH);
        let complete =
            |text: &str, ends| assert_eq!(read(text), Ok(Parsed::Complete(text.len(), ends)), "{text}");
        complete(
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
            ends("192.168.0.1:56324", "192.168.0.11:443"),
        );
        complete("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", ends("[2001:db8::1]:0", "[::1]:65535"));
        complete("PROXY UNKNOWN\r\n", Ends::Own);
        complete("PROXY UNKNOWN ffff::1 whatever 1 2\r\n", Ends::Own);
        assert_eq!(read("PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n"), Ok(Parsed::Complete(15, Ends::Own)));
        for start in ["", "P", "PROXY", "PROXY TCP4 1.2.3.4 ", "PROXY UNKNOWN\r"] {
            assert_eq!(read(start), Ok(Parsed::Incomplete), "{start}");
        }
    }

    #[test]
    fn malformed_lines_are_refused() {
        for bad in [
            "GET / HTTP/1.1\r\n",
            "PROXZ",
            "proxy TCP4",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY \r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
            "PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            "PROXY\tTCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        ] {
            assert!(parse(bad.as_bytes(), &BOTH).is_err(), "{bad:?}");
        }
        let endless = format!("PROXY UNKNOWN {}", "a".repeat(100));
        assert!(parse(endless.as_bytes(), &BOTH).is_err());
    }

    #[test]
    fn binary_headers_are_read_with_what_follows_the_addresses() {
        let ends = ends("10.1.2.3:1", "10.4.5.6:2");
        let mut header = encode(ends, ProxyVersion::V2);
        assert_eq!(parse(&header, &BOTH), Ok(Parsed::Complete(28, ends)));
        // A TLV of 3 bytes, and one of none.
        header.extend_from_slice(&[0xea, 0, 3, 1, 2, 3, 0x04, 0, 0]);
        header[15] = 12 + 9;
        header.extend_from_slice(b"GET /");
        assert_eq!(parse(&header, &BOTH), Ok(Parsed::Complete(37, ends)));
        header[30] = 9;
        assert!(parse(&header, &BOTH).is_err(), "a TLV longer than the header");
    }

    #[test]
    fn what_a_binary_header_says_of_nobody_is_not_believed() {
        let header = |command: u8, family: u8, length: u16, rest: &[u8]| {
            let mut header = SIGNATURE.to_vec();
            header.extend_from_slice(&[command, family]);
            header.extend_from_slice(&length.to_be_bytes());
            header.extend_from_slice(rest);
            header
        };
        let read = |command, family, rest: &[u8]| {
            parse(&header(command, family, u16::try_from(rest.len()).unwrap(), rest), &BOTH)
        };
        assert_eq!(read(0x20, 0x11, &[1; 12]), Ok(Parsed::Complete(28, Ends::Own)));
        assert_eq!(read(0x20, 0xff, &[]), Ok(Parsed::Complete(16, Ends::Own)));
        assert_eq!(read(0x21, 0x00, &[]), Ok(Parsed::Complete(16, Ends::Own)));
        assert_eq!(read(0x21, 0x31, &[0; 216]), Ok(Parsed::Complete(232, Ends::Own)));
        for (command, family, rest) in [
            (0x21, 0x11, &[1; 11][..]),
            (0x21, 0x21, &[1; 35]),
            (0x22, 0x11, &[1; 12]),
            (0x11, 0x11, &[1; 12]),
            (0x21, 0x41, &[1; 12]),
        ] {
            assert!(read(command, family, rest).is_err(), "{command:x} {family:x}");
        }
        assert!(parse(&header(0x21, 0x11, 4081, &[]), &BOTH).is_err(), "too long");
        assert_eq!(parse(&header(0x21, 0x11, 4080, &[]), &BOTH), Ok(Parsed::Incomplete));
    }

    #[test]
    fn only_the_versions_that_were_asked_for_are_taken() {
        let line = encode(Ends::Own, ProxyVersion::V1);
        let binary = encode(Ends::Own, ProxyVersion::V2);
        assert!(parse(&line, &[ProxyVersion::V2]).is_err() && parse(&binary, &[ProxyVersion::V1]).is_err());
    }

    #[test]
    fn families_are_made_alike() {
        let mixed = encode(ends("1.2.3.4:1", "[::1]:2"), ProxyVersion::V1);
        assert_eq!(mixed, b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n");
        let mapped = encode(ends("[::ffff:1.2.3.4]:1", "5.6.7.8:2"), ProxyVersion::V1);
        assert_eq!(mapped, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            from in any::<(IpAddr, u16)>(), to in any::<(IpAddr, u16)>(), version in prop::sample::select(BOTH.to_vec()),
            rest in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let ends = Ends::Proxied { source: from.into(), destination: to.into() };
            let mut bytes = encode(ends, version);
            let length = bytes.len();
            for end in 0..length {
                prop_assert_eq!(parse(&bytes[..end], &BOTH), Ok(Parsed::Incomplete));
            }
            bytes.extend_from_slice(&rest);
            prop_assert_eq!(parse(&bytes, &BOTH), Ok(Parsed::Complete(length, alike(ends))));
        }

        #[test]
        fn any_bytes_are_read_within_bounds(
            start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"]),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = [start, &bytes].concat();
            match parse(&bytes, &BOTH) {
                Ok(Parsed::Complete(length, _)) => prop_assert!(length <= bytes.len() && length <= MAX_HEADER),
                Ok(Parsed::Incomplete) => prop_assert!(bytes.len() < MAX_HEADER),
                Err(_) => {}
            }
        }
    }
}
