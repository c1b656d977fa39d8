//! The folder with everything a process must find again, held by one process at a time.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use weir_shared::time::Timestamp;

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

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The embedded store's file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path.join("state.db")
    }

    /// The copy of the last good configuration.
    #[must_use]
    pub fn last_good(&self) -> PathBuf {
        self.path.join("last-good.json")
    }

    /// Whether a damaged file was set aside here and not cleared away since.
    #[must_use]
    pub fn has_set_aside(&self) -> bool {
        let Ok(entries) = self.path.read_dir() else { return false };
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains(".corrupt-"))
    }

    /// Renames the damaged file at `path`, so that it can be looked at and is not read again. Answers its new name.
    ///
    /// # Errors
    /// What the system said.
    pub fn set_aside(&self, path: &Path, at: Timestamp) -> io::Result<PathBuf> {
        let renamed = with_suffix(path, &format!(".corrupt-{}", at.0));
        std::fs::rename(path, &renamed)?;
        for side in ["-wal", "-shm"] {
            match std::fs::rename(with_suffix(path, side), with_suffix(&renamed, side)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(renamed)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
