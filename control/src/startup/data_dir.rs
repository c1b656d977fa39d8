//! The folder with everything a process must find again, held by one process at a time.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use weir_shared::time::Timestamp;

/// The embedded store's file.
const DATABASE: &str = "state.db";

/// The copy of the last good configuration.
const LAST_GOOD: &str = "last-good.json";

/// Part of the name of every damaged file that was set aside.
const DAMAGED: &str = ".corrupt-";

/// Part of the name of every copy that was newer than the store.
const NEWER: &str = ".newer-";

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made or written.
    #[error("cannot use the data directory {}: {source}", path.display())]
    Unusable {
        /// The folder or the file in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error("the data directory {} is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

/// A folder this process alone uses, until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock ends with the file, at the latest with the process, however that ends.
    _lock: File,
}

impl DataDir {
    /// Makes the folder at `path` where needed, and claims it.
    ///
    /// # Errors
    /// When it cannot be written, or another process has claimed it.
    pub fn claim(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |path: PathBuf| |source| DataDirError::Unusable { path, source };
        // What is kept may be secret to others on the machine.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable(path.to_owned()))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(unusable(lock_path.clone()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(DataDirError::Unusable { path: lock_path, source }),
        }
    }

    /// Whether the folder at `path` has neither a store nor anything else a process would start with.
    #[must_use]
    pub fn is_unused(path: &Path) -> bool {
        let is_absent = |name| matches!(path.join(name).try_exists(), Ok(false));
        is_absent(DATABASE) && is_absent(LAST_GOOD)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The embedded store's file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The copy of the last good configuration.
    #[must_use]
    pub fn last_good(&self) -> PathBuf {
        self.path.join(LAST_GOOD)
    }

    /// The copy of the tokens.
    #[must_use]
    pub fn tokens(&self) -> PathBuf {
        self.path.join("tokens.json")
    }

    /// What affinity cookies are signed with: made at the first start, kept from then on. Copied to another process's
    /// folder, each honours the other's cookies.
    ///
    /// # Errors
    /// What the system said, or that the file is not one of 32 bytes.
    pub fn affinity_secret(&self) -> io::Result<[u8; 32]> {
        let path = self.path.join("affinity.key");
        match std::fs::read(&path) {
            Ok(bytes) => bytes.try_into().map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, "affinity.key does not have 32 bytes")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret: [u8; 32] = rand::random();
                let new = with_suffix(&path, ".new");
                let mut file =
                    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
                file.write_all(&secret)?;
                file.sync_all()?;
                std::fs::rename(&new, &path)?;
                Ok(secret)
            }
            Err(error) => Err(error),
        }
    }

    /// The socket of the API for callers on this machine.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path.join("admin.sock")
    }

    /// Whether a file was set aside here and not cleared away since. A folder that cannot be listed may hold
    /// one.
    #[must_use]
    pub fn has_set_aside(&self) -> bool {
        let Ok(entries) = self.path.read_dir() else { return true };
        let mut names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        names.any(|name| {
            name.map_or(true, |name| {
                let name = name.to_string_lossy();
                name.contains(DAMAGED) || name.contains(NEWER)
            })
        })
    }

    /// Copies the last good configuration, durably, to where it is not written over. Answers its new name.
    ///
    /// # Errors
    /// What the system said.
    pub fn keep_newer(&self, at: Timestamp) -> io::Result<PathBuf> {
        let path = self.last_good();
        let kept = with_suffix(&path, &format!("{NEWER}{}", at.0));
        std::fs::copy(&path, &kept)?;
        File::open(&kept)?.sync_all()?;
        File::open(&self.path)?.sync_all()?;
        Ok(kept)
    }

    /// Whether the store's write-ahead log holds something while the file it belongs to is missing or empty. Opening
    /// such a store would throw the log away, and the commits in it.
    ///
    /// # Errors
    /// What the system said.
    pub fn has_stray_log(&self) -> io::Result<bool> {
        let database = self.database();
        Ok(length(&database)? == 0 && length(&with_suffix(&database, "-wal"))? > 0)
    }

    /// Renames the damaged file at `path`, so that it can be looked at and is not read again, together with what
    /// belongs to it; the file itself may be missing. Answers its new name.
    ///
    /// # Errors
    /// What the system said.
    pub fn set_aside(&self, path: &Path, at: Timestamp) -> io::Result<PathBuf> {
        let renamed = with_suffix(path, &format!("{DAMAGED}{}", at.0));
        for side in ["", "-wal", "-shm"] {
            match std::fs::rename(with_suffix(path, side), with_suffix(&renamed, side)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(renamed)
    }
}

/// Size of the file at `path`; 0 when there is none.
fn length(path: &Path) -> io::Result<u64> {
    match path.metadata() {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
