//! Binding: one socket per worker on the same address.
//!
//! With `SO_REUSEPORT` the kernel spreads TCP connections over the workers, so that no worker waits for another to accept.
//! A unix socket has one queue; all workers accept from it.

use std::{
    fs::Permissions,
    io,
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use weir_shared::model::ListenAddress;

/// Connections the kernel keeps waiting for one worker. Linux caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Who may connect to a unix socket: the user and the group of the process.
const MODE: u32 = 0o660;

/// Whether another socket on the same address is one of ours, about to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// There is none that is known: if there is one, the address is taken.
    Unknown,
    /// It is a listener's that moves away in the same change, or this one's own.
    Leaving,
}

/// The socket of one worker.
#[derive(Debug)]
pub(crate) enum WorkerSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A bound address.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// The address, with the port that was free.
    pub(crate) address: ListenAddress,
    /// One for each worker.
    pub(super) each: Vec<WorkerSocket>,
    /// The file of a unix socket.
    pub(super) file: Option<SocketFile>,
    /// Where that file goes, in the place of a neighbour's, as soon as anybody may connect.
    pub(super) replaces: Option<PathBuf>,
}

/// The file of a unix socket, removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number of the file: another process may have put another one in its place.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|present| present == self.identity) {
            // What cannot be removed is found dead by the next process, and replaced.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds `address` once for each of `workers`, and lets clients in. Port 0 takes a free port, the same for all.
///
/// # Errors
/// The address is taken, or may not be bound.
pub(crate) fn bind(address: &ListenAddress, workers: usize) -> io::Result<Sockets> {
    let mut sockets = reserve(address, workers, Neighbour::Unknown)?;
    sockets.listen()?;
    Ok(sockets)
}

/// Binds `address` without letting anybody in yet.
///
/// # Errors
/// The address is taken, or may not be bound.
pub(super) fn reserve(address: &ListenAddress, workers: usize, neighbour: Neighbour) -> io::Result<Sockets> {
    match address {
        ListenAddress::Socket(address) => tcp(*address, workers, neighbour),
        ListenAddress::Unix(path) => unix(path, workers, neighbour),
    }
}

impl Sockets {
    /// Lets clients in.
    ///
    /// # Errors
    /// Somebody else was faster, or a file cannot be put in its place.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        for socket in &self.each {
            match socket {
                WorkerSocket::Tcp(socket) => SockRef::from(socket).listen(BACKLOG)?,
                WorkerSocket::Unix(socket) => SockRef::from(socket).listen(BACKLOG)?,
            }
        }
        if let (Some(file), Some(path)) = (&mut self.file, self.replaces.take()) {
            // At no time is there none: who comes finds the one or the other.
            std::fs::rename(&file.path, &path)?;
            file.path = path;
        }
        Ok(())
    }
}

fn tcp(address: SocketAddr, workers: usize, neighbour: Neighbour) -> io::Result<Sockets> {
    if address.port() != 0 && neighbour == Neighbour::Unknown {
        // `SO_REUSEPORT` would let a second process of the same user share the port unnoticed, each getting some of the
        // clients; a socket without it cannot.
        open(address)?.bind(&address.into())?;
    }
    let first = shared(address)?;
    let address = first.local_addr()?;
    let mut each = vec![WorkerSocket::Tcp(first)];
    for _ in 1..workers {
        each.push(WorkerSocket::Tcp(shared(address)?));
    }
    Ok(Sockets { address: ListenAddress::Socket(address), each, file: None, replaces: None })
}

/// A socket that has `address` together with others of ours.
fn shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Linux hands it down to what is accepted, which so needs no call of its own.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        // [::] serves IPv4 clients too, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

fn unix(path: &Path, workers: usize, neighbour: Neighbour) -> io::Result<Sockets> {
    // A neighbour's file is in use until this one takes its place.
    let (place, replaces) = match neighbour {
        Neighbour::Unknown => (path.to_owned(), None),
        Neighbour::Leaving => (format!("{}.new", path.display()).into(), Some(path.to_owned())),
    };
    make_way(&place)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(&place)?)?;
    let file = SocketFile { identity: identity(&place)?, path: place };
    // Nobody can connect before it listens.
    std::fs::set_permissions(&file.path, Permissions::from_mode(MODE))?;
    socket.set_nonblocking(true)?;
    let mut each = Vec::with_capacity(workers);
    for _ in 1..workers {
        each.push(WorkerSocket::Unix(socket.try_clone()?.into()));
    }
    each.push(WorkerSocket::Unix(socket.into()));
    Ok(Sockets { address: ListenAddress::Unix(path.to_owned()), each, file: Some(file), replaces })
}

/// Removes the socket of a process that died. Anything else at `path` is left alone.
fn make_way(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of that name, which is no socket",
        )),
        Ok(_) => {
            let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            // A process whose queue is full must not hold up this one.
            probe.set_nonblocking(true)?;
            match probe.connect(&SockAddr::unix(path)?) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
                Ok(()) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on it")),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on it"))
                }
                Err(error) => Err(error),
            }
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = path.symlink_metadata()?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn address(text: &str) -> ListenAddress {
        ListenAddress::parse(text).unwrap()
    }

    #[test]
    fn every_worker_has_a_socket_on_the_same_port_and_nobody_else() {
        let sockets = bind(&address("127.0.0.1:0"), 3).unwrap();
        assert_eq!(sockets.each.len(), 3);
        let taken = bind(&sockets.address, 1).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let beside = reserve(&sockets.address, 1, Neighbour::Leaving).unwrap();
        assert_eq!(beside.address, sockets.address);
        drop((sockets.each, beside.each));
        bind(&sockets.address, 1).unwrap();
    }

    #[test]
    fn only_a_dead_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.sock");
        let address = ListenAddress::Unix(path.clone());
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a process that was killed leaves its socket");
        let sockets = bind(&address, 2).unwrap();
        assert_eq!((sockets.each.len(), path.metadata().unwrap().permissions().mode() & 0o777), (2, 0o660));
        UnixStream::connect(&path).unwrap();
        assert_eq!(bind(&address, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(sockets);
        assert!(!path.exists(), "removed on unbind");
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(bind(&address, 1).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(path.exists());
    }

    #[test]
    fn a_neighbours_file_is_replaced_when_clients_are_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.sock");
        let address = ListenAddress::Unix(path.clone());
        let before = bind(&address, 1).unwrap();
        let mut after = reserve(&address, 1, Neighbour::Leaving).unwrap();
        assert_eq!(identity(&path).unwrap(), before.file.as_ref().unwrap().identity);
        after.listen().unwrap();
        assert_eq!(identity(&path).unwrap(), after.file.as_ref().unwrap().identity);
        drop(before);
        UnixStream::connect(&path).unwrap();
        drop(after);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_somebody_else_put_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.sock");
        let sockets = bind(&ListenAddress::Unix(path.clone()), 1).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        drop(sockets);
        assert!(path.exists());
    }
}
