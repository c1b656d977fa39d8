//! What a failed connection means: the server's fault, or ours.

use std::io;

use weir_shared::{model::address::Address, state::Reason};

use super::Answer;

/// Errors that a process or a machine short of files, ports or memory gets, whatever the server does (Linux).
const OWN_ERRORS: [i32; 6] = [
    11,  // EAGAIN: no local port is free
    12,  // ENOMEM
    23,  // ENFILE
    24,  // EMFILE
    99,  // EADDRNOTAVAIL: no local address or port is free
    105, // ENOBUFS
];

/// The answer of a check whose connection could not be opened.
pub(super) fn of_connect(target: &Address, error: &io::Error) -> Answer {
    let detail = format!("tcp connect to {target}: {}", text(error));
    if error.raw_os_error().is_some_and(|code| OWN_ERRORS.contains(&code)) {
        return Answer::Unmade { detail };
    }
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::ConnectRefused,
        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        _ => Reason::ConnectError,
    };
    Answer::failed(reason, detail)
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
        let of = |code| of_connect(&target, &io::Error::from_raw_os_error(code));
        for own in OWN_ERRORS {
            assert!(matches!(of(own), Answer::Unmade { .. }), "{own}");
        }
        let refused = "tcp connect to 10.0.0.7:8080: connection refused (os error 111)";
        assert_eq!(of(111), Answer::failed(Reason::ConnectRefused, refused.to_owned()));
        assert!(matches!(of(110), Answer::Failed { reason: Reason::ConnectTimeout, .. }));
        assert!(matches!(of(113), Answer::Failed { reason: Reason::ConnectError, .. }));
    }
}
