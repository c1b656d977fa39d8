//! What servers are told of the client.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What becomes of fields that tell of the client. What an unknown client says in them is never passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedMode {
    /// This hop is added to what trusted proxies said.
    Append,
    /// They tell of the client alone, as far as trusted proxies know it, and of no proxy in between.
    Replace,
    /// What a trusted proxy said is passed on as it is, and nothing is added.
    Keep,
    /// They are left out.
    Drop,
}

/// How servers are told of the client: where it is, what it asked for, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = ForwardedFields)]
pub struct Forwarded {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`. Default `append`.
    pub x_forwarded: ForwardedMode,
    /// `Forwarded` (RFC 7239). Default `keep`.
    pub forwarded: ForwardedMode,
}

impl Default for Forwarded {
    fn default() -> Self {
        Self { x_forwarded: ForwardedMode::Append, forwarded: ForwardedMode::Keep }
    }
}
