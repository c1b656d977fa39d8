//! From flags and the files they name to who may call the API.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use weir_control::{
    AccessConfig,
    access::{Probes, WithoutTokens, limit::Rate, scope::Scope, secret::Secret, token},
    tls::TlsFiles,
};

use crate::{
    admin_address::Reach,
    cli::{AdminArgs, ProbeAccess},
    failure::Failure,
};

/// What the token in a new file is called.
const FILE_TOKEN: &str = "file";

/// Shortest token in an operator's file: 128 bits in hexadecimal.
const MIN_TOKEN_CHARS: usize = 32;

/// Largest file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Calls at once for each call in a second.
const BURST: u32 = 2;

/// Who may call, as the flags in `args` say.
pub(crate) fn config(args: &AdminArgs, reach: Reach) -> Result<AccessConfig, Failure> {
    let token = args.admin_token_file.as_deref().map(token).transpose()?;
    let principals = args.admin_principals.as_deref().map(principals).transpose()?.unwrap_or_default();
    let tls = match (&args.admin_cert, &args.admin_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: args.admin_client_ca.clone(),
        }),
        (_, _) => None,
    };
    if reach == Reach::Guarded && tls.is_none() {
        tracing::warn!(
            "tokens cross the network in clear text: give the admin port a certificate (--admin-cert)"
        );
    }
    let is_closed = reach == Reach::Guarded || args.admin_client_ca.is_some();
    Ok(AccessConfig {
        without_tokens: if is_closed { WithoutTokens::Closed } else { WithoutTokens::Open },
        probes: match args.admin_probes {
            ProbeAccess::Guarded => Probes::Guarded,
            ProbeAccess::Open => Probes::Open,
        },
        rate: (args.admin_rate > 0)
            .then(|| Rate { per_second: args.admin_rate, burst: args.admin_rate.saturating_mul(BURST) }),
        tls,
        token,
        principals,
    })
}

fn unusable(path: &Path, detail: impl ToString) -> Failure {
    Failure::File { path: path.to_owned(), detail: detail.to_string() }
}

/// The token in the file at `path`, which gets a new one when it is not there.
fn token(path: &Path) -> Result<Secret<String>, Failure> {
    match read_private(path) {
        Ok(text) => {
            let text = text.trim();
            let is_usable = text.len() >= MIN_TOKEN_CHARS && text.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_usable {
                let detail =
                    format!("a token is one word of at least {MIN_TOKEN_CHARS} printable characters");
                return Err(unusable(path, detail));
            }
            Ok(Secret::new(text.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = token::draw(FILE_TOKEN);
            write_private(path, text.expose()).map_err(|error| unusable(path, error))?;
            tracing::info!(path = %path.display(), "a token for the admin API was written");
            Ok(text)
        }
        Err(error) => Err(unusable(path, error)),
    }
}

/// Reads a file that nobody but its owner may read.
fn read_private(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(io::Error::other(format!("others may read it (mode {mode:o}): chmod 600")));
    }
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

/// What certificates' names and users may do: `{"ops.example": ["admin"], "uid:1000": ["config:read"]}`.
fn principals(path: &Path) -> Result<HashMap<String, Vec<Scope>>, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    read.map_err(|error| unusable(path, error))?;
    serde_json::from_str(&text).map_err(|error| unusable(path, error))
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_token_file_is_private_and_made_when_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        let made = token(&path).unwrap();
        assert!(token::is_well_formed(made.expose()));
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(token(&path).unwrap().expose(), made.expose(), "the same at the next start");
        write(&path, made.expose(), 0o640);
        assert!(token(&path).unwrap_err().to_string().contains("chmod 600"));
        write(&path, "short", 0o600);
        assert!(token(&path).unwrap_err().to_string().contains("at least 32"));
        assert!(token(folder.path()).is_err());
    }

    #[test]
    fn principals_are_read_strictly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("principals.json");
        write(
            &path,
            r#"{"ops.example": ["admin"], "uid:1000": ["config:read", "servers:write:web"]}"#,
            0o644,
        );
        let found = principals(&path).unwrap();
        assert_eq!(found["uid:1000"].len(), 2);
        write(&path, r#"{"ops.example": ["root"]}"#, 0o644);
        assert!(principals(&path).unwrap_err().to_string().contains("not a scope"));
    }
}
