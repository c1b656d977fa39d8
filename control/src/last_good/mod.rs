//! `last-good.json`: a copy of the configuration in force that needs no database to be read.
//!
//! Written whole beside the old one and renamed over it, so that there is always one that is complete; guarded by a
//! checksum, so that a damaged one is noticed and left alone instead of obeyed. It also names the servers known to be
//! unhealthy, so that a restart does not send requests to the dead. It holds private keys, and nobody else may read it.

mod keeper;
#[cfg(test)]
mod properties;
mod steady;

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

pub use keeper::Keeper;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use weir_shared::{
    id::{Epoch, Revision},
    model::{Config, Document, Listener, Meta, Route},
    state::HealthState,
    table::Table,
    time::Timestamp,
};

use self::steady::Steady;
use crate::{clock::Clock, store::codec::WithKey};

/// Version of the file's form.
const FORMAT: u32 = 1;

/// Bytes handed to the system at once.
const BUFFER: usize = 256 * 1024;

/// Unhealthy servers by `upstream/server`, each with the verdict and its reason.
pub type KnownHealth = BTreeMap<String, String>;

/// The file.
#[derive(Deserialize)]
struct Envelope<'a> {
    format: u32,
    epoch: Epoch,
    revision: Revision,
    hash: String,
    written_at: Timestamp,
    #[serde(borrow)]
    config: &'a RawValue,
    #[serde(borrow)]
    health: &'a RawValue,
}

/// What a file said.
#[derive(Clone, Debug, PartialEq)]
pub struct LastGood {
    /// The configuration.
    pub config: Config,
    /// The servers known to be unhealthy.
    pub health: KnownHealth,
    /// When it was written.
    pub written_at: Timestamp,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LastGoodError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what was written.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        detail: String,
    },
}

/// Reads the file at `path`; `None` when there is none.
///
/// # Errors
/// When it cannot be read or is not what was written.
pub fn read(path: &Path) -> Result<Option<LastGood>, LastGoodError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LastGoodError::Unreadable { path: path.to_owned(), source }),
    };
    parse(&text).map(Some).map_err(|detail| LastGoodError::Damaged { path: path.to_owned(), detail })
}

/// What `text` says, or how it shows that it is not what was written.
fn parse(text: &[u8]) -> Result<LastGood, String> {
    let unreadable = |error: serde_json::Error| error.to_string();
    let envelope: Envelope<'_> = serde_json::from_slice(text).map_err(unreadable)?;
    if envelope.format != FORMAT {
        return Err(format!("its format is {}, not {FORMAT}", envelope.format));
    }
    if hash(&envelope) != envelope.hash {
        return Err("its checksum does not match".to_owned());
    }
    let document: Document = serde_json::from_str(envelope.config.get()).map_err(unreadable)?;
    let health = serde_json::from_str(envelope.health.get()).map_err(unreadable)?;
    let meta = Meta {
        revision: envelope.revision,
        created_at: envelope.written_at,
        updated_at: envelope.written_at,
    };
    let config = document.into_config(envelope.revision, envelope.epoch, meta);
    Ok(LastGood { config, health, written_at: envelope.written_at })
}

/// Writes the file at `path`: wholly or not at all, and durably. Never holds more than one upstream's text in memory.
///
/// # Errors
/// What the system said.
pub fn write(path: &Path, config: &Config, health: &KnownHealth, at: Timestamp) -> io::Result<()> {
    let part = path.with_extension("json.part");
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&part)?;
    let mut file = BufWriter::with_capacity(BUFFER, Steady::new(file));
    compose(&mut file, config, health, at)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    std::fs::rename(&part, path)?;
    // The new name is durable only once the folder is.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Writes the content of the file.
fn compose(
    file: &mut (impl Write + Seek),
    config: &Config,
    health: &KnownHealth,
    at: Timestamp,
) -> io::Result<()> {
    let epoch = serde_json::to_string(&config.epoch)?;
    write!(file, "{{\"format\":{FORMAT},\"epoch\":{epoch},\"revision\":{},\"hash\":\"", config.revision)?;
    // The checksum is known at the end, and takes this place then.
    let place = file.stream_position()?;
    write!(file, "{:064}\",\"written_at\":\"{at}\",\"config\":", 0)?;
    let mut hashed = Hashed { sha: Sha256::new(), file: &mut *file };
    hashed.sha.update(head(FORMAT, &config.epoch, config.revision, at).as_bytes());
    serde_json::to_writer(&mut hashed, &Written(config))?;
    hashed.sha.update(b"\n");
    hashed.file.write_all(b",\"health\":")?;
    serde_json::to_writer(&mut hashed, health)?;
    let sum = hex(hashed.sha);
    file.write_all(b"}")?;
    file.seek(SeekFrom::Start(place))?;
    file.write_all(sum.as_bytes())
}

/// Hashes what it writes.
struct Hashed<'a, W> {
    sha: Sha256,
    file: &'a mut W,
}

impl<W: Write> Write for Hashed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.sha.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A configuration, written as the [`Document`] it would be read as.
struct Written<'a>(&'a Config);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Upstreams<'a>(&'a Config);
        impl Serialize for Upstreams<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.upstreams.values().map(|record| record.to_model()))
            }
        }
        let certificates: Vec<WithKey<'_>> =
            self.0.certificates.values().map(|record| WithKey::from(&record.spec)).collect();
        let routes: Vec<&Route> = self.0.routes.values().map(|record| &record.spec).collect();
        let listeners: Vec<&Listener> = self.0.listeners.values().map(|record| &record.spec).collect();
        let mut document = serializer.serialize_struct("Document", 5)?;
        document.serialize_field("api_version", Document::API_VERSION)?;
        document.serialize_field("listeners", &listeners)?;
        document.serialize_field("certificates", &certificates)?;
        document.serialize_field("routes", &routes)?;
        document.serialize_field("upstreams", &Upstreams(self.0))?;
        document.end()
    }
}

/// Checksum over everything but itself.
fn hash(envelope: &Envelope<'_>) -> String {
    let mut sha = Sha256::new();
    let head = head(envelope.format, &envelope.epoch, envelope.revision, envelope.written_at);
    sha.update(head.as_bytes());
    sha.update(envelope.config.get().as_bytes());
    sha.update(b"\n");
    sha.update(envelope.health.get().as_bytes());
    hex(sha)
}

fn head(format: u32, epoch: &Epoch, revision: Revision, at: Timestamp) -> String {
    format!("{format}\n{epoch}\n{revision}\n{at}\n")
}

fn hex(sha: Sha256) -> String {
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The servers of `table` that checks call unhealthy.
#[must_use]
pub fn unhealthy(table: &Table) -> KnownHealth {
    let mut known = KnownHealth::new();
    for upstream in table.upstreams() {
        for server in upstream.servers.iter().filter(|server| !server.state.health.is_healthy()) {
            let record = server.state.health.record();
            if record.verdict == HealthState::Unhealthy {
                let reason = record.reason.and_then(|reason| serde_json::to_value(reason).ok());
                let reason = reason.as_ref().and_then(|reason| reason.as_str()).unwrap_or("unknown");
                known.insert(format!("{}/{}", upstream.id, server.id), format!("unhealthy:{reason}"));
            }
        }
    }
    known
}

/// Notes on the servers of `table` that were unhealthy when `health` was taken.
pub fn restore(table: &Table, health: &KnownHealth, clock: &Clock) {
    let now = clock.now();
    for key in health.keys() {
        let server =
            key.split_once('/').and_then(|(upstream, server)| table.upstream(upstream)?.server(server));
        if let Some(server) = server {
            server.state.health.restore_unhealthy(now);
        }
    }
    table.upstreams().for_each(|upstream| upstream.state.eligibility_changed());
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::Arc};

    use weir_shared::{
        id::{RouteId, UpstreamId},
        model::{RouteRecord, Server, ServerRecord, Upstream, UpstreamRecord},
    };

    use super::*;

    fn config() -> Config {
        let meta = Meta { revision: Revision(7), created_at: Timestamp(5), updated_at: Timestamp(5) };
        let server = Server { id: "a".into(), address: "127.0.0.1:1".into(), ..Server::default() };
        let record = UpstreamRecord {
            spec: Upstream { id: "web".into(), ..Upstream::default() },
            meta,
            servers: vec![Arc::new(ServerRecord { server, meta })],
        };
        let mut config = Config::empty(Epoch("abcdef".into()));
        config.revision = Revision(7);
        config.upstreams.insert_mut(UpstreamId::new("web"), Arc::new(record));
        let route = RouteRecord { spec: Route::catch_all(None), meta };
        config.routes.insert_mut(RouteId::new(Route::DEFAULT_ID), Arc::new(route));
        config
    }

    #[test]
    fn what_is_written_is_read_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last-good.json");
        assert_eq!(read(&path).unwrap(), None);
        let health = KnownHealth::from([("web/a".to_owned(), "unhealthy:reset".to_owned())]);
        write(&path, &config(), &health, Timestamp(5)).unwrap();
        write(&path, &config(), &health, Timestamp(5)).unwrap();
        let read = read(&path).unwrap().unwrap();
        assert_eq!((read.config, read.health), (config(), health));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "no part is left behind");
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last-good.json");
        write(&path, &config(), &KnownHealth::new(), Timestamp(5)).unwrap();
        let good = std::fs::read(&path).unwrap();
        let meant = read(&path).unwrap();
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let outcome = read(&path);
            // A letter between date and time may be another one and the time the same (RFC 3339 §5.6).
            let is_same = matches!(&outcome, Ok(read) if *read == meant);
            assert!(
                is_same || matches!(outcome, Err(LastGoodError::Damaged { .. })),
                "byte {place} of {}: {outcome:?}",
                String::from_utf8_lossy(&bad)
            );
        }
        std::fs::write(&path, &good[..good.len() / 2]).unwrap();
        assert!(matches!(read(&path), Err(LastGoodError::Damaged { .. })));
    }
}
