//! What a caller may ask to be changed, free of HTTP.

use std::sync::Arc;

use serde_json::Value;
use weir_shared::{
    id::Revision,
    model::{Certificate, Config, Listener, PrivateKey, Route, Server, Upstream},
};

use super::{document::Whole, submitted::Submitted};
use crate::{
    drains::{Drain, DrainOutcome, StartDrain, Then},
    error::Loss,
};

/// Whether a new upstream is bound to the catch-all route when that is bound to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Bind it, so that it gets requests at once.
    Automatic,
    /// Leave the route alone.
    Off,
}

/// Whether the caller named the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By the caller.
    Given,
    /// By us, because the caller gave none.
    Default,
}

/// What to do with routes that send to a deleted upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum References {
    /// Refuse to delete the upstream.
    Refuse,
    /// Unbind the routes.
    Unbind,
}

/// What to do with what a whole configuration does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// Delete it: what is named is all there shall be.
    Delete,
    /// Leave it as it is.
    Keep,
}

/// A change of the configuration.
#[derive(Clone, Debug)]
pub enum Change {
    /// Makes an upstream that is not there.
    CreateUpstream {
        /// The upstream.
        upstream: Submitted<Upstream>,
        /// Who named it.
        naming: Naming,
        /// Whether to bind it.
        binding: Binding,
    },
    /// Makes or replaces an upstream, servers included.
    PutUpstream {
        /// Its id.
        id: String,
        /// The upstream.
        upstream: Submitted<Upstream>,
        /// Whether to bind a new one.
        binding: Binding,
    },
    /// Changes some fields of an upstream, not its servers.
    PatchUpstream {
        /// Its id.
        id: String,
        /// The merge patch.
        patch: Value,
    },
    /// Deletes an upstream with its servers.
    DeleteUpstream {
        /// Its id.
        id: String,
        /// What to do with routes to it.
        references: References,
    },
    /// Adds servers, all or none.
    AddServers {
        /// The upstream.
        upstream: String,
        /// The servers.
        servers: Submitted<Vec<Server>>,
        /// Where errors point.
        shape: Shape,
    },
    /// Makes or replaces a server.
    PutServer {
        /// The upstream.
        upstream: String,
        /// The server's id or address.
        key: String,
        /// The server.
        server: Submitted<Server>,
    },
    /// Changes some fields of a server.
    PatchServer {
        /// The upstream.
        upstream: String,
        /// The server's id or address.
        key: String,
        /// The merge patch.
        patch: Value,
    },
    /// Deletes a server.
    DeleteServer {
        /// The upstream.
        upstream: String,
        /// The server's id or address.
        key: String,
    },
    /// Makes a listener that is not there.
    CreateListener {
        /// The listener.
        listener: Submitted<Listener>,
    },
    /// Makes or replaces a listener.
    PutListener {
        /// Its id.
        id: String,
        /// The listener.
        listener: Submitted<Listener>,
        /// Fields that stay as they are at the listener `default`, because the command line sets them.
        kept: Vec<&'static str>,
    },
    /// Changes some fields of a listener.
    PatchListener {
        /// Its id.
        id: String,
        /// The merge patch.
        patch: Value,
    },
    /// Deletes a listener.
    DeleteListener {
        /// Its id.
        id: String,
    },
    /// Makes a certificate that is not there.
    CreateCertificate {
        /// The certificate.
        certificate: Submitted<Certificate>,
    },
    /// Makes or replaces a certificate.
    PutCertificate {
        /// Its id.
        id: String,
        /// The certificate.
        certificate: Submitted<Certificate>,
    },
    /// Changes some fields of a certificate.
    PatchCertificate {
        /// Its id.
        id: String,
        /// The merge patch, but for the key.
        patch: Value,
        /// The key, if it is another one.
        private_key: Option<PrivateKey>,
    },
    /// Deletes a certificate that nothing uses.
    DeleteCertificate {
        /// Its id.
        id: String,
    },
    /// Begins the drain of a server.
    StartDrain(StartDrain),
    /// Ends the drain of a server and makes the server what it was before.
    CancelDrain {
        /// The upstream.
        upstream: String,
        /// The server's id or address.
        key: String,
    },
    /// Ends a drain as it is meant to end.
    EndDrain {
        /// The drain. Nothing is changed unless it is still this one.
        drain: Arc<Drain>,
        /// How it comes to its end.
        outcome: DrainOutcome,
    },
    /// Makes a route that is not there.
    CreateRoute {
        /// The route.
        route: Submitted<Route>,
    },
    /// Makes or replaces a route.
    PutRoute {
        /// Its id.
        id: String,
        /// The route.
        route: Submitted<Route>,
    },
    /// Changes some fields of a route.
    PatchRoute {
        /// Its id.
        id: String,
        /// The merge patch.
        patch: Value,
    },
    /// Deletes a route.
    DeleteRoute {
        /// Its id.
        id: String,
    },
    /// Replaces everything.
    PutConfig {
        /// What shall be there.
        whole: Whole,
        /// What becomes of the rest.
        unnamed: Unnamed,
        /// The revision of which the caller knows that much will be removed.
        confirmed: Option<Revision>,
    },
    /// Replaces everything by what was there before.
    RollBack {
        /// The revision to go back to.
        to: Revision,
        /// What it held.
        config: Arc<Config>,
        /// The revision of which the caller knows that much will be removed.
        confirmed: Option<Revision>,
    },
}

/// How servers were submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One by itself.
    One,
    /// An array.
    Many,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Something new is there.
    Created,
    /// What was there is different now.
    Changed,
    /// Everything was so already; there is no new revision.
    Unchanged,
    /// What was there is gone.
    Deleted,
}

/// What came of a change, with the names of what it was about.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What came of it.
    pub effect: Effect,
    /// The upstream; empty when it was about everything or about none.
    pub upstream: String,
    /// The listener; empty when it was about something else.
    pub listener: String,
    /// Ids of the servers, in the order they were submitted.
    pub servers: Vec<String>,
    /// Routes bound by the change.
    pub bound_routes: Vec<String>,
    /// What much would be lost of, unless the caller has said that it knows.
    pub losses: Vec<Loss>,
}

impl Change {
    /// What the change does, in a few words, for the history.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::CreateUpstream { upstream, .. } => format!("create upstream {}", upstream.value.id),
            Self::PutUpstream { id, .. } => format!("put upstream {id}"),
            Self::PatchUpstream { id, .. } => format!("patch upstream {id}"),
            Self::DeleteUpstream { id, .. } => format!("delete upstream {id}"),
            Self::AddServers { upstream, servers, .. } => {
                format!("add {} server(s) to upstream {upstream}", servers.value.len())
            }
            Self::PutServer { upstream, key, .. } => format!("put server {key} of upstream {upstream}"),
            Self::PatchServer { upstream, key, .. } => format!("patch server {key} of upstream {upstream}"),
            Self::DeleteServer { upstream, key } => format!("delete server {key} of upstream {upstream}"),
            Self::CreateListener { listener } => format!("create listener {}", listener.value.id),
            Self::PutListener { id, .. } => format!("put listener {id}"),
            Self::PatchListener { id, .. } => format!("patch listener {id}"),
            Self::DeleteListener { id } => format!("delete listener {id}"),
            Self::CreateCertificate { certificate } => format!("create certificate {}", certificate.value.id),
            Self::PutCertificate { id, .. } => format!("put certificate {id}"),
            Self::PatchCertificate { id, .. } => format!("patch certificate {id}"),
            Self::DeleteCertificate { id } => format!("delete certificate {id}"),
            Self::StartDrain(StartDrain { upstream, key, .. }) => {
                format!("drain server {key} of upstream {upstream}")
            }
            Self::CancelDrain { upstream, key } => {
                format!("cancel the drain of server {key} of upstream {upstream}")
            }
            Self::EndDrain { drain, outcome } => {
                let end = match outcome {
                    DrainOutcome::Drained => "drained",
                    DrainOutcome::Deadline => "drain deadline",
                    DrainOutcome::Cancelled => "drain cancelled",
                };
                let deed = match drain.then {
                    Then::Keep => "keep",
                    Then::Maint => "take out of use",
                    Then::Remove => "remove",
                };
                format!("{end}: {deed} server {} of upstream {}", drain.server, drain.upstream)
            }
            Self::CreateRoute { route } => format!("create route {}", route.value.id),
            Self::PutRoute { id, .. } => format!("put route {id}"),
            Self::PatchRoute { id, .. } => format!("patch route {id}"),
            Self::DeleteRoute { id } => format!("delete route {id}"),
            Self::PutConfig { .. } => "put the configuration".to_owned(),
            Self::RollBack { to, .. } => format!("roll back to revision {to}"),
        }
    }
}
