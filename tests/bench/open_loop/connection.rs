//! A connection to the proxy with at most one request on it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Instant,
};

use socket2::{Domain, Socket, Type};

use crate::answer::{Answer, Whole};

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// When the request on it was due; `None` while it is free.
    pub(crate) due: Option<Instant>,
    /// It has carried an answer before.
    pub(crate) is_kept: bool,
    answer: Answer,
}

/// What a look at a connection has shown.
pub(crate) enum Seen {
    Nothing,
    Answer(Whole),
    /// It ended before the first byte of an answer, as one does that the proxy closes for its age.
    Closed,
    BrokenOff,
}

impl Connection {
    /// Connects without waiting for it: what is sent too early is sent by [`Self::send`] again.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        Ok(Self { stream: socket.into(), due: None, is_kept: false, answer: Answer::default() })
    }

    /// Sends a request that was due at `due`; false when the connection is not ready to take it.
    pub(crate) fn send(&mut self, request: &[u8], due: Instant) -> io::Result<bool> {
        self.due = Some(due);
        match self.stream.write(request) {
            Ok(sent) if sent == request.len() => Ok(true),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads what has come, into `room`.
    pub(crate) fn look(&mut self, room: &mut [u8]) -> Seen {
        let read = match self.stream.read(room) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Seen::Nothing,
            Err(_) => 0,
        };
        match self.answer.take(room.get(..read).unwrap_or_default()) {
            Ok(_) if read == 0 && self.answer.is_empty() => Seen::Closed,
            Ok(Some(whole)) => Seen::Answer(whole),
            Ok(None) if read > 0 => Seen::Nothing,
            Ok(None) | Err(_) => Seen::BrokenOff,
        }
    }
}
