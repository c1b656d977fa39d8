//! Who calls, as decided once for each request.

use std::{fmt, net::SocketAddr, sync::Arc};

use super::scope::{Need, Scope};

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody over TCP.
    Tcp {
        /// From where; `None` inside the process.
        remote: Option<SocketAddr>,
        /// What the caller proved to be, with TLS.
        certificate: Option<Arc<Certificate>>,
    },
    /// A process on this machine, over the unix socket.
    Unix {
        /// The user it runs as, as the kernel says.
        uid: u32,
    },
}

/// What a verified client certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its names, in its own order.
    pub names: Vec<String>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { remote: Some(remote), .. } => remote.fmt(f),
            Self::Tcp { remote: None, .. } => f.write_str("local"),
            Self::Unix { .. } => f.write_str("unix"),
        }
    }
}

/// How somebody is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Not at all, but on this machine.
    Local,
    /// Not at all.
    Anybody,
    /// As a user of this machine.
    User(u32),
    /// By the token of this id.
    Token(String),
    /// By a certificate of this name.
    Certificate(String),
}

impl Who {
    /// How somebody is known, as a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Anybody => "anonymous",
            Self::User(_) => "uid",
            Self::Token(_) => "token",
            Self::Certificate(_) => "cert",
        }
    }

    /// Which one of that kind; nothing where all are alike.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        match self {
            Self::Local | Self::Anybody => None,
            Self::User(uid) => Some(uid.to_string()),
            Self::Token(id) | Self::Certificate(id) => Some(id.clone()),
        }
    }
}

/// As history names somebody: `local`, `uid:1000`, `token:ci`, `cert:ops.example`.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id() {
            Some(id) => write!(f, "{}:{id}", self.kind()),
            None => f.write_str(self.kind()),
        }
    }
}

/// Somebody, and what that one may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who it is.
    pub who: Who,
    scopes: Arc<[Scope]>,
}

impl Principal {
    /// Somebody who may do what `scopes` say.
    #[must_use]
    pub fn new(who: Who, scopes: impl Into<Arc<[Scope]>>) -> Self {
        Self { who, scopes: scopes.into() }
    }

    /// Whether this one may do what asks for `need`, to `upstream` if it is about one.
    #[must_use]
    pub fn may(&self, need: Need, upstream: Option<&str>) -> bool {
        self.scopes.iter().any(|scope| scope.meets(need, upstream))
    }

    /// Whether this one may do what asks for `need` to some upstream at least.
    #[must_use]
    pub fn may_somewhere(&self, need: Need) -> bool {
        self.scopes.iter().any(|scope| scope.meets(need, None) || scope.meets(need, scope.upstream()))
    }
}
