//! Who may call the API, and what they may do with it. Free of HTTP.
//!
//! **The rule.** As long as there is no token, whoever reaches a loopback admin address may do everything: the first five
//! minutes need no ceremony, and on loopback every caller has an account on this machine. With the first token (or a
//! token file, or a certificate authority for clients) every call over TCP must say who makes it. The unix socket asks
//! the kernel instead of the caller, so that the owner of the process is never locked out.

mod copy;
pub mod limit;
pub mod principal;
pub mod scope;
pub mod secret;
pub mod token;
pub mod tokens;

use std::collections::HashMap;

use weir_shared::time::Timestamp;

use self::{
    principal::{Peer, Principal, Who},
    scope::Scope,
    tokens::Tokens,
};

/// What a caller shows of itself beside its connection.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// A bearer token.
    Token(&'a str),
    /// Something that is no bearer token.
    Malformed,
}

/// Why a caller is not known. Only the audit tells; the answer is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// Nothing was shown, and something is needed.
    Missing,
    /// What was shown is no bearer token.
    Malformed,
    /// There is no such token, or there is no such token any more.
    Unknown,
    /// The token has expired.
    Expired,
    /// There is no such ticket, it was used, it is too old, or whom it stood for is not known any more.
    Ticket,
}

impl Stranger {
    /// The reason as a word, for the audit.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Malformed => "token_malformed",
            Self::Unknown => "token_unknown",
            Self::Expired => "token_expired",
            Self::Ticket => "ticket_invalid",
        }
    }
}

/// What a caller over TCP may do while there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutTokens {
    /// Everything: the address is loopback, or the operator insists.
    Open,
    /// Nothing: there is always a way to say who one is.
    Closed,
}

/// Whether numbers and details of the process's state are shown to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probes {
    /// `/livez` and `/readyz` are; `/healthz` and `/metrics` are not.
    Guarded,
    /// All four are.
    Open,
}

/// What is decided before the process serves anything.
#[derive(Debug)]
pub struct Policy {
    /// What a caller over TCP may do while there is no token.
    pub without_tokens: WithoutTokens,
    /// What is shown to anybody.
    pub probes: Probes,
    /// What certificates' names, and users of the unix socket written `uid:1000`, may do. Who is not here may nothing.
    pub principals: HashMap<String, Vec<Scope>>,
    /// The user that the process runs as.
    pub owner: u32,
}

/// Decides who calls.
#[derive(Debug)]
pub struct Access {
    /// The tokens in force.
    pub tokens: Tokens,
    /// What was decided at the start.
    pub policy: Policy,
}

impl Access {
    /// Whether a caller over TCP must say who it is.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.policy.without_tokens == WithoutTokens::Closed || self.tokens.exist()
    }

    /// Whether nobody over TCP would have to say who it is if there were no token.
    #[must_use]
    pub fn opens_without_tokens(&self) -> bool {
        self.policy.without_tokens == WithoutTokens::Open
    }

    /// Who calls over `peer`, showing `shown`. What is shown must be right even where nothing is needed: a caller with
    /// a wrong token believes in rights it does not have.
    ///
    /// # Errors
    /// Why nobody can be told.
    pub fn identify(&self, peer: &Peer, shown: Shown<'_>, now: Timestamp) -> Result<Principal, Stranger> {
        match shown {
            Shown::Token(text) => return self.tokens.find(text, now),
            Shown::Malformed => return Err(Stranger::Malformed),
            Shown::Nothing => {}
        }
        match peer {
            Peer::Unix { uid } if *uid == self.policy.owner || *uid == 0 => {
                Ok(Principal::new(Who::User(*uid), vec![Scope::Admin]))
            }
            Peer::Unix { uid } => Ok(self.named(Who::User(*uid), &[format!("uid:{uid}")])),
            Peer::Tcp { certificate: Some(certificate), .. } => {
                let who = |name: Option<&String>| Who::Certificate(name.cloned().unwrap_or_default());
                let known = certificate.names.iter().find(|name| self.policy.principals.contains_key(*name));
                Ok(self.named(who(known.or_else(|| certificate.names.first())), &certificate.names))
            }
            Peer::Tcp { certificate: None, .. } if self.is_required() => Err(Stranger::Missing),
            Peer::Tcp { remote, certificate: None } => {
                let is_local = remote.is_none_or(|remote| remote.ip().to_canonical().is_loopback());
                let who = if is_local { Who::Local } else { Who::Anybody };
                Ok(Principal::new(who, vec![Scope::Admin]))
            }
        }
    }

    /// Whether `principal`, who was known once, would still be taken for the same and may do the same.
    #[must_use]
    pub fn still_knows(&self, principal: &Principal, now: Timestamp) -> bool {
        match &principal.who {
            Who::Token(id) => self.tokens.holder(id, now).as_ref() == Some(principal),
            Who::Local | Who::Anybody => !self.is_required(),
            // What these may do is decided at the start.
            Who::User(_) | Who::Certificate(_) => true,
        }
    }

    fn named(&self, who: Who, names: &[String]) -> Principal {
        let scopes = names.iter().find_map(|name| self.policy.principals.get(name));
        Principal::new(who, scopes.cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
