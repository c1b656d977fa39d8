//! What a failed connection means: the server's fault, or ours.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use weir_shared::{model::address::Address, state::Reason};

use super::Answer;

/// Errors that a process or a machine short of files or memory gets, whatever the server does (Linux).
const OWN_ERRORS: [i32; 5] = [
    11,  // EAGAIN
    12,  // ENOMEM
    23,  // ENFILE
    24,  // EMFILE
    105, // ENOBUFS
];
/// No local port is free, which is our trouble; or no local address fits the server's, which is its own.
const EADDRNOTAVAIL: i32 = 99;

/// The answer of a check of `target` whose connection to `socket` could not be opened.
pub(super) fn of_connect(target: &Address, socket: SocketAddr, error: &io::Error) -> Answer {
    let detail = format!("tcp connect to {target}: {}", text(error));
    let is_own = match error.raw_os_error() {
        Some(EADDRNOTAVAIL) => has_local_address(socket),
        Some(code) => OWN_ERRORS.contains(&code),
        None => false,
    };
    if is_own {
        return Answer::Unmade { detail };
    }
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::ConnectRefused,
        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        _ => Reason::ConnectError,
    };
    Answer::failed(reason, detail)
}

/// Whether this machine has an address to reach `socket` from. Connecting a datagram socket sends nothing.
fn has_local_address(socket: SocketAddr) -> bool {
    let any: SocketAddr = match socket {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any).and_then(|local| local.connect(socket)).is_ok()
}

/// `error` as the rest of a sentence.
pub(super) fn text(error: &io::Error) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if letters.clone().next().is_some_and(|second| second.is_lowercase()) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_of_our_own_is_not_the_servers() {
        let target = Address::parse("10.0.0.7:8080").unwrap();
        let socket = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        let of = |code| of_connect(&target, socket, &io::Error::from_raw_os_error(code));
        for own in OWN_ERRORS.into_iter().chain([EADDRNOTAVAIL]) {
            assert!(matches!(of(own), Answer::Unmade { .. }), "{own}");
        }
        let refused = "tcp connect to 10.0.0.7:8080: connection refused (os error 111)";
        assert_eq!(of(111), Answer::failed(Reason::ConnectRefused, refused.to_owned()));
        assert!(matches!(of(110), Answer::Failed { reason: Reason::ConnectTimeout, .. }));
        assert!(matches!(of(113), Answer::Failed { reason: Reason::ConnectError, .. }));
    }
}
