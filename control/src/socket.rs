//! The unix socket of the API, for callers on this machine: the kernel says which user calls, so that no secret is needed.

use std::{
    fs::Permissions,
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

/// Longest path of a socket: `sun_path` of the kernel's `sockaddr_un` holds 108 bytes with the end.
const MAX_PATH_BYTES: usize = 107;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The kernel takes no path as long.
    #[error("its path has {length} bytes and a socket's may have {MAX_PATH_BYTES}: use a shorter --data-dir")]
    TooLong {
        /// Bytes of the path.
        length: usize,
    },
    /// A process listens there.
    #[error("another process listens on it")]
    InUse,
    /// There is a file that is no socket.
    #[error("there is a file of that name, which is no socket")]
    NoSocket,
    /// The system refused it.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A socket in the file system, removed when this is dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
}

impl SocketFile {
    /// Listens at `path`, for the user of this process. What a process that died left there is replaced.
    ///
    /// # Errors
    /// Why not.
    pub fn listen(path: &Path) -> Result<(Self, UnixListener), SocketError> {
        let length = path.as_os_str().as_bytes().len();
        if length > MAX_PATH_BYTES {
            return Err(SocketError::TooLong { length });
        }
        match path.symlink_metadata() {
            Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NoSocket),
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(SocketError::InUse),
            Ok(_) => std::fs::remove_file(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let listener = UnixListener::bind(path)?;
        let file = Self { path: path.to_owned() };
        // Until here others may connect where the folder lets them, but who calls is asked for every connection.
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok((file, listener))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // What cannot be removed is found dead by the next process, and replaced.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a process that was killed leaves its socket");
        let (file, _listener) = SocketFile::listen(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(SocketFile::listen(&path), Err(SocketError::InUse)));
        drop(file);
        assert!(!path.exists());
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(SocketFile::listen(&path), Err(SocketError::NoSocket)));
    }

    #[test]
    fn a_path_too_long_is_named_as_such() {
        let error = SocketFile::listen(Path::new(&"x".repeat(108))).unwrap_err();
        assert!(error.to_string().contains("108 bytes"), "{error}");
    }
}
