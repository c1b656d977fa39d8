//! The tokens in force: in memory for every call, in the store for the next start.
//!
//! A call reads one immutable list; a change swaps it. What is changed is durable and in force when it is answered.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use weir_shared::time::Timestamp;

use super::{
    Stranger, copy,
    principal::{Principal, Who},
    scope::Scope,
    secret::Secret,
    token::{self, Digest, Key, Token},
};
use crate::store::{CommitError, Page, RecordKind, RecordOp, Store, StoreError};

/// Most tokens. Every call with a token is compared with all of them, so that none is quicker to be refused.
pub const MAX_TOKENS: usize = 256;

/// Secrets of one token at once: the new one, and the one whose place it takes.
const MAX_KEYS: usize = 2;

/// Name of the token that an operator's file holds. No stored token has it.
const FILE_TOKEN: &str = "file";

/// Why tokens were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is one of this name.
    #[error("there is a token \"{0}\" already")]
    Exists(String),
    /// There is none of this name.
    #[error("there is no token \"{0}\"")]
    NotFound(String),
    /// There are [`MAX_TOKENS`].
    #[error("there are {MAX_TOKENS} tokens already")]
    TooMany,
    /// The store did not take the change.
    #[error(transparent)]
    Store(#[from] CommitError),
}

/// Tokens of the store, and what a file adds.
#[derive(Debug)]
pub struct Tokens {
    stored: ArcSwap<Vec<Arc<Token>>>,
    /// Tokens of the store that this release cannot read: nobody can use them, but they exist.
    unreadable: usize,
    /// The operator's own, which only a restart changes.
    file: Option<Digest>,
    /// Held by the one who changes tokens, from reading the list to swapping it.
    changing: tokio::sync::Mutex<()>,
    /// `None`: nothing can be changed.
    store: Option<Arc<dyn Store>>,
    /// Where the tokens are known from when the store is lost.
    copy: Option<PathBuf>,
}

impl Tokens {
    /// The tokens that `store` holds, or without one those of the copy at `copy`; and the one of the operator's file.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn load(
        store: Option<Arc<dyn Store>>,
        copy: Option<PathBuf>,
        file: Option<&Secret<String>>,
    ) -> Result<Self, StoreError> {
        let (stored, unreadable) = match (&store, &copy) {
            (Some(store), _) => read_records(&**store).await?,
            (None, Some(copy)) => read_copy(copy),
            (None, None) => (Vec::new(), 0),
        };
        let tokens = Self { copy, ..Self::new(store, stored, unreadable, file) };
        if tokens.store.is_some() && tokens.exist() {
            // It may be missing, or older by what happened between the store's writing and its own.
            tokens.copy().await;
        }
        Ok(tokens)
    }

    /// The tokens `stored`, `unreadable` ones that `store` holds as well, and the one of the operator's file.
    #[must_use]
    pub fn new(
        store: Option<Arc<dyn Store>>,
        mut stored: Vec<Arc<Token>>,
        unreadable: usize,
        file: Option<&Secret<String>>,
    ) -> Self {
        stored.sort_by(|one, other| one.id.cmp(&other.id));
        Self {
            stored: ArcSwap::from_pointee(stored),
            unreadable,
            file: file.map(|text| Digest::of(text.expose())),
            changing: tokio::sync::Mutex::default(),
            store,
            copy: None,
        }
    }

    /// Whether there is any token, usable or not.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.file.is_some() || self.unreadable > 0 || !self.stored.load().is_empty()
    }

    /// Whether the token `id` is the only one there is.
    #[must_use]
    pub fn is_last(&self, id: &str) -> bool {
        let stored = self.stored.load();
        self.file.is_none()
            && self.unreadable == 0
            && stored.len() == 1
            && stored.iter().all(|one| one.id == id)
    }

    /// All tokens of the store, ordered by id.
    #[must_use]
    pub fn all(&self) -> Arc<Vec<Arc<Token>>> {
        self.stored.load_full()
    }

    /// The token `id` of the store.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Token>> {
        self.stored.load().iter().find(|token| token.id == id).cloned()
    }

    /// Whose token `text` is.
    ///
    /// # Errors
    /// Why it is nobody's. This takes the same time whatever the reason.
    pub fn find(&self, text: &str, now: Timestamp) -> Result<Principal, Stranger> {
        let shown = Digest::of(text);
        let stored = self.stored.load();
        let mut found = None;
        for token in stored.iter() {
            for key in &token.keys {
                if key.digest.matches(&shown) {
                    found = Some((token, key));
                }
            }
        }
        let is_file = self.file.is_some_and(|file| file.matches(&shown));
        match found {
            _ if is_file => Ok(of_file()),
            None if token::is_well_formed(text) => Err(Stranger::Unknown),
            None => Err(Stranger::Malformed),
            Some((token, key))
                if token.has_expired(now) || key.until.is_some_and(|at| token::is_over(at, now)) =>
            {
                Err(Stranger::Expired)
            }
            Some((token, _)) => Ok(of_token(token)),
        }
    }

    /// Who shows the token `id`, unless there is none of that name any more or it has expired.
    #[must_use]
    pub fn holder(&self, id: &str, now: Timestamp) -> Option<Principal> {
        if id == FILE_TOKEN {
            return self.file.map(|_| of_file());
        }
        self.get(id).filter(|token| !token.has_expired(now)).map(|token| of_token(&token))
    }

    /// Makes a token, with `beside` in the same transaction. `token` has no keys yet. Answers its text, which is known to
    /// nobody else and never will be again.
    ///
    /// # Errors
    /// Why it was not made.
    pub async fn create(
        &self,
        mut token: Token,
        beside: Vec<RecordOp>,
    ) -> Result<Secret<String>, TokenError> {
        let _changing = self.changing.lock().await;
        self.check_new(&token.id)?;
        let text = token::draw(&token.id);
        token.keys = vec![Key { digest: Digest::of(text.expose()), until: None }];
        let at = token.created_at;
        self.put(token, beside, at).await?;
        Ok(text)
    }

    /// Whether a token called `id` could be made.
    ///
    /// # Errors
    /// Why not.
    pub fn check_new(&self, id: &str) -> Result<(), TokenError> {
        let stored = self.stored.load();
        if stored.iter().any(|token| token.id == id) || id == FILE_TOKEN {
            return Err(TokenError::Exists(id.to_owned()));
        }
        if stored.len() + self.unreadable >= MAX_TOKENS {
            return Err(TokenError::TooMany);
        }
        Ok(())
    }

    /// Gives the token `id` another secret. The one it has is accepted until `until`, and not at all if that is not after
    /// `at`: whoever leaves no time means a secret that others know. One that was on its way out already is not any more.
    ///
    /// # Errors
    /// Why not.
    pub async fn rotate(
        &self,
        id: &str,
        until: Timestamp,
        at: Timestamp,
        beside: Vec<RecordOp>,
    ) -> Result<Secret<String>, TokenError> {
        let _changing = self.changing.lock().await;
        let token = self.get(id).ok_or_else(|| TokenError::NotFound(id.to_owned()))?;
        let mut token = Token::clone(&token);
        let text = token::draw(id);
        token.keys.truncate(if until > at { MAX_KEYS - 1 } else { 0 });
        for key in &mut token.keys {
            key.until = Some(until);
        }
        token.keys.insert(0, Key { digest: Digest::of(text.expose()), until: None });
        self.put(token, beside, at).await?;
        Ok(text)
    }

    async fn put(&self, token: Token, beside: Vec<RecordOp>, at: Timestamp) -> Result<(), TokenError> {
        // A token is plain data: there is nothing in it that could not be written.
        let json = serde_json::to_string(&token).unwrap_or_default();
        let put = RecordOp::Put { kind: RecordKind::Token, id: token.id.clone(), json, at };
        self.record(put, beside).await?;
        let mut stored = Vec::clone(&self.stored.load());
        stored.retain(|other| other.id != token.id);
        stored.push(Arc::new(token));
        stored.sort_by(|one, other| one.id.cmp(&other.id));
        self.stored.store(Arc::new(stored));
        self.copy().await;
        Ok(())
    }

    /// Ends the token `id`: no call that begins after the answer is made with it.
    ///
    /// # Errors
    /// Why it is still good.
    ///
    /// # Cancel safety
    /// When the answer is dropped, the token is refused from then on, and forgotten if the store takes it.
    pub async fn revoke(&self, id: &str, beside: Vec<RecordOp>) -> Result<(), TokenError> {
        let _changing = self.changing.lock().await;
        let before = self.stored.load_full();
        if !before.iter().any(|token| token.id == id) {
            return Err(TokenError::NotFound(id.to_owned()));
        }
        let after: Vec<Arc<Token>> = before.iter().filter(|token| token.id != id).cloned().collect();
        // Refused first: whatever becomes of the rest, nobody uses it meanwhile.
        self.stored.store(Arc::new(after));
        let delete = RecordOp::Delete { kind: RecordKind::Token, id: id.to_owned() };
        let outcome = self.record(delete, beside).await;
        if matches!(outcome, Err(TokenError::Store(CommitError::Unavailable(_)))) {
            // Nothing was changed, and that is what is answered.
            self.stored.store(before);
        } else {
            self.copy().await;
        }
        outcome
    }

    /// Writes the copy. Without it nothing is lost but what it is for, so that trouble with it fails nobody's change.
    async fn copy(&self) {
        let Some(path) = self.copy.clone() else { return };
        let tokens = self.all();
        let written = tokio::task::spawn_blocking(move || copy::write(&path, &tokens)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "the copy of the tokens cannot be written");
        }
    }

    async fn record(&self, op: RecordOp, beside: Vec<RecordOp>) -> Result<(), TokenError> {
        let store = self
            .store
            .as_ref()
            .ok_or_else(|| CommitError::Unavailable("the store takes no writes".to_owned()))?;
        let mut ops = vec![op];
        ops.extend(beside);
        Ok(store.record(ops).await?)
    }
}

fn of_file() -> Principal {
    Principal::new(Who::Token(FILE_TOKEN.to_owned()), vec![Scope::Admin])
}

fn of_token(token: &Token) -> Principal {
    Principal::new(Who::Token(token.id.clone()), token.scopes.clone())
}

/// The tokens that `store` holds, and how many more of them this release cannot read.
async fn read_records(store: &dyn Store) -> Result<(Vec<Arc<Token>>, usize), StoreError> {
    let mut stored = Vec::new();
    let mut unreadable = 0;
    for record in store.records(RecordKind::Token, Page::ALL).await? {
        match serde_json::from_str::<Token>(&record.json) {
            Ok(token) => stored.push(Arc::new(token)),
            Err(error) => {
                tracing::error!(token = record.id, %error, "a token cannot be read and is refused");
                unreadable += 1;
            }
        }
    }
    Ok((stored, unreadable))
}

fn read_copy(path: &Path) -> (Vec<Arc<Token>>, usize) {
    match copy::read(path) {
        Ok(tokens) => (tokens, 0),
        Err(error) => {
            tracing::error!(%error, "the tokens are not known; the API answers over the unix socket alone");
            (Vec::new(), 1)
        }
    }
}
