//! `tokens.json`: a copy of the tokens that needs no database to be read.
//!
//! A process whose store is lost goes on with the last good configuration, and must go on knowing who may call: without
//! the copy a damaged file would open the API to everybody on the machine. It holds digests, no secrets.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use super::token::Token;

/// Reads the copy at `path`; nothing when there is none, which means that there never was a token.
///
/// # Errors
/// When it cannot be read or is not what was written.
pub(super) fn read(path: &Path) -> io::Result<Vec<Arc<Token>>> {
    match std::fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice::<Vec<Token>>(&text)?.into_iter().map(Arc::new).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Writes the copy at `path`: wholly or not at all, and durably.
///
/// # Errors
/// What the system said.
pub(super) fn write(path: &Path, tokens: &[Arc<Token>]) -> io::Result<()> {
    let tokens: Vec<&Token> = tokens.iter().map(|token| &**token).collect();
    let part = path.with_extension("json.part");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&part)?;
    file.write_all(&serde_json::to_vec(&tokens)?)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&part, path)?;
    // The new name is durable only once the folder is.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
