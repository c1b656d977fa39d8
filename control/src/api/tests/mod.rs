//! The API, called without a socket.
