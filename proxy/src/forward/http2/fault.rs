//! What an error of the library means for a request.

use h2::Reason;

use crate::error::ProxyError;

/// What it means that a request ended with `error` before its response had begun.
///
/// The library ends streams with the server's `GOAWAY` only when they are beyond the last one that the server has taken
/// on (RFC 9113 §6.8); those before it go on, and end with the connection if at all.
pub(super) fn before_response(error: &h2::Error) -> ProxyError {
    let is_refused = error.is_remote()
        && (error.is_go_away() || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)));
    if is_refused {
        ProxyError::StreamRefused
    } else if error.is_library() {
        ProxyError::ResponseMalformed
    } else {
        ProxyError::ConnectionTerminated
    }
}

/// What it means that a connection ended with `error` before it could be used.
pub(super) fn while_opening(error: &h2::Error) -> ProxyError {
    if error.is_library() { ProxyError::NotHttp2 } else { ProxyError::ConnectionFailed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_a_sender_is_the_connections() {
        let error = h2::Error::from(Reason::CANCEL);
        assert_eq!(before_response(&error), ProxyError::ConnectionTerminated);
        assert_eq!(while_opening(&error), ProxyError::ConnectionFailed);
    }
}
