//! A configuration in a file: read, checked as `PUT /v1/config` would, and put in force where there is none yet.
//!
//! It is a seed, not a second truth: once a store holds a revision, the API is where the configuration is changed, and a
//! restart with the same flags must not undo what was done there.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use weir_shared::{
    error::{FieldError, FieldErrorCode, Invalid, Pointer},
    id::{Epoch, Revision},
    model::{Config, ListenerFlags},
    table::Compiler,
    time::Now,
};

use crate::{
    ControlError,
    api::{body::MAX_BODY_BYTES, json},
    catalog::{
        self, Catalog, Mode,
        change::{Change, Unnamed},
        document::{self, Whole},
        plan,
        precondition::Precondition,
        warning::{Warning, warnings},
    },
    error::CatalogError,
    strict,
    withhold::withhold,
    yaml,
};

/// A configuration that was read from a file and is valid.
#[derive(Clone, Debug)]
pub struct Seed {
    path: PathBuf,
    whole: Whole,
    warnings: Vec<Warning>,
}

/// A file that is no seed.
#[derive(Debug, thiserror::Error)]
#[error("{} {fault}", path.display())]
pub struct SeedError {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub fault: SeedFault,
}

/// Why a file is no seed.
#[derive(Debug)]
pub enum SeedFault {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It is larger than what the API takes.
    TooLarge,
    /// It is neither JSON nor YAML.
    Malformed(String),
    /// It is not a valid configuration.
    Invalid(Vec<FieldError>),
}

impl fmt::Display for SeedFault {
    /// One fault a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::TooLarge => write!(f, "is larger than {MAX_BODY_BYTES} bytes"),
            Self::Malformed(detail) => write!(f, "is {detail}"),
            Self::Invalid(errors) => {
                f.write_str("is no valid configuration:")?;
                let mut lines = errors.iter();
                lines.try_for_each(|error| {
                    let FieldError { pointer, detail, .. } = withhold(error.clone());
                    write!(f, "\n{}: {}", strict::shorten(pointer), strict::shorten(detail))
                })
            }
        }
    }
}

impl Seed {
    /// Reads and checks the file at `path`, JSON or YAML. `flags` are what the command line says of the listener `default`,
    /// if that is known.
    ///
    /// # Errors
    /// Why it is no valid configuration.
    pub fn read(path: &Path, flags: Option<&ListenerFlags>) -> Result<Self, SeedError> {
        let read = || {
            let value = parse(path, &bytes(path)?)?;
            let whole = document::read(value, flags).map_err(SeedFault::Invalid)?;
            let mut warnings = whole.ignored.clone();
            warnings.extend(try_out(&whole, flags).map_err(SeedFault::Invalid)?);
            Ok((whole, warnings))
        };
        let path = path.to_owned();
        match read() {
            Ok((whole, warnings)) => Ok(Self { path, whole, warnings }),
            Err(fault) => Err(SeedError { path, fault }),
        }
    }

    /// What is allowed and probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Upstreams, and servers in all of them.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let upstreams = &self.whole.upstreams;
        (upstreams.len(), upstreams.iter().map(|upstream| upstream.value.servers.len()).sum())
    }
}

/// Puts a seed in force when nothing ever was; otherwise says that it is ignored, whatever it holds: a file that is gone
/// or was spoilt since the first start must not keep a process from its configuration.
///
/// # Errors
/// When the file is no seed, or it could not be put in force.
pub(crate) async fn plant(seed: Result<Seed, SeedError>, catalog: &Catalog) -> Result<(), ControlError> {
    let revision = catalog.config().revision;
    if revision != Revision::default() || catalog.store().is_err() {
        let path = match &seed {
            Ok(Seed { path, .. }) | Err(SeedError { path, .. }) => path.display(),
        };
        tracing::info!(%path, %revision, "there is a configuration already: the file is ignored");
        return Ok(());
    }
    let Seed { path, whole, warnings } = seed?;
    let path = path.display();
    let request = catalog::Request {
        change: change(whole),
        precondition: Precondition::default(),
        mode: Mode::Commit,
        actor: "file".to_owned(),
        request_id: String::new(),
        message: Some(format!("first start with {path}")),
        beside: catalog::Beside::default(),
        held: None,
    };
    let applied = catalog.apply(request).await?;
    tracing::info!(%path, upstreams = applied.config.upstreams.size(), "the configuration is that of the file");
    for Warning { path, detail } in warnings {
        tracing::warn!(path, detail, "probably not meant");
    }
    Ok(())
}

fn change(whole: Whole) -> Change {
    Change::PutConfig { whole, unnamed: Unnamed::Delete, confirmed: None }
}

fn bytes(path: &Path) -> Result<Vec<u8>, SeedFault> {
    let mut bytes = Vec::new();
    let most = MAX_BODY_BYTES as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(SeedFault::Unreadable)?;
    if bytes.len() > MAX_BODY_BYTES { Err(SeedFault::TooLarge) } else { Ok(bytes) }
}

/// JSON if its name or its first character says so, otherwise YAML.
fn parse(path: &Path, bytes: &[u8]) -> Result<Value, SeedFault> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let looks_like_json = || bytes.trim_ascii_start().starts_with(b"{");
    let is_json = match extension {
        "json" => true,
        "yaml" | "yml" => false,
        _ => looks_like_json(),
    };
    if is_json {
        json::parse(bytes).map_err(|error| SeedFault::Malformed(format!("not JSON: {error}")))
    } else {
        yaml::parse(bytes).map_err(|error| SeedFault::Malformed(format!("not YAML: {error}")))
    }
}

/// Does with `whole` all that is done with a change, short of making it.
fn try_out(whole: &Whole, flags: Option<&ListenerFlags>) -> Result<Vec<Warning>, Vec<FieldError>> {
    let nothing = Arc::new(Config::empty(Epoch("000000".into())));
    let (change, anything) = (change(whole.clone()), Precondition::default());
    let planned =
        plan::plan(&nothing, &change, &anything, flags, Now::default()).map_err(|error| match error {
            CatalogError::Invalid(errors) => errors,
            other => vec![Pointer::root().error(FieldErrorCode::InvalidValue, other.to_string())],
        })?;
    let compiled = Compiler { workers: 1, ..Compiler::default() }.compile(
        Arc::clone(&planned.next),
        None,
        Now::default(),
    );
    compiled.map_err(|Invalid(errors)| errors)?;
    Ok(warnings(&planned.next, &planned.outcome.bound_routes))
}
