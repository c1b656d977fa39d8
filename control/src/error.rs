//! Why a change was not made, in the words of the domain; the API turns it into a problem document.

use std::sync::Arc;

use weir_shared::{error::FieldError, id::Revision, model::Config};

use crate::drains::Drain;

/// A resource, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Everything.
    Config,
    /// The list of certificates.
    Certificates,
    /// A certificate.
    Certificate(String),
    /// The list of upstreams.
    Upstreams,
    /// An upstream.
    Upstream(String),
    /// A server of an upstream, by id.
    Server(String, String),
    /// The list of listeners.
    Listeners,
    /// A listener.
    Listener(String),
    /// The list of routes.
    Routes,
    /// A route.
    Route(String),
}

/// What an upstream would lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The upstream.
    pub upstream: String,
    /// Servers that would be removed.
    pub removed: usize,
    /// Servers there are.
    pub of: usize,
}

/// Why a change was not made. Nothing was changed, except perhaps with [`CatalogError::Unknown`].
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is no such resource.
    #[error("there is no {0}")]
    NotFound(String),
    /// There is such a resource already, and it is different.
    #[error("{detail}")]
    Exists {
        /// The resource that is there.
        existing: Target,
        /// The configuration it is in.
        config: Arc<Config>,
        /// What is the same, for a person.
        detail: String,
        /// Where in the request, if it holds several resources.
        errors: Vec<FieldError>,
    },
    /// The upstream is in use.
    #[error("routes send to the upstream \"{upstream}\"")]
    InUse {
        /// The upstream.
        upstream: String,
        /// The routes that send to it.
        routes: Vec<String>,
    },
    /// Connections of listeners go to the upstream.
    #[error("connections of listeners go to the upstream \"{upstream}\"")]
    InUseByListeners {
        /// The upstream.
        upstream: String,
        /// The listeners.
        listeners: Vec<String>,
    },
    /// The listener is the process's own.
    #[error("the listener \"default\" is the one the process was started with")]
    OwnListener,
    /// The certificate is in use.
    #[error("the certificate \"{certificate}\" is in use")]
    CertificateInUse {
        /// The certificate.
        certificate: String,
        /// The paths of what names it.
        users: Vec<String>,
    },
    /// The server is being drained already.
    #[error("the server \"{}\" is being drained already", .0.server)]
    DrainUnderWay(Arc<Drain>),
    /// The resource is not in the state the caller knows.
    #[error("the resource is not in the state the request names")]
    PreconditionFailed {
        /// The resource, if there is one.
        current: Option<Target>,
        /// The configuration it is in.
        config: Arc<Config>,
    },
    /// The caller must name the state it knows, and did not.
    #[error("the request does not name the state of the resource")]
    PreconditionRequired {
        /// The resource.
        current: Target,
        /// The configuration it is in.
        config: Arc<Config>,
    },
    /// Much would be removed, and the caller has not said that it knows.
    #[error("{} upstream(s) would lose most of their servers", .losses.len())]
    LargeChange {
        /// The revision in force, by which the change is confirmed.
        revision: Revision,
        /// What would be lost.
        losses: Vec<Loss>,
    },
    /// The revision is not kept any more.
    #[error("revision {0} is not kept any more")]
    RevisionGone(Revision),
    /// What is kept of a revision cannot be understood.
    #[error("the revision cannot be read: {0}")]
    Unreadable(String),
    /// What was submitted is faulty.
    #[error("{} field(s) are invalid", .0.len())]
    Invalid(Vec<FieldError>),
    /// The store takes no writes.
    #[error("the store takes no writes: {0}")]
    Unavailable(String),
    /// Others kept committing first.
    #[error("other changes kept coming first")]
    Contention,
    /// It cannot be told whether the change was made.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}
