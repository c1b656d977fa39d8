//! What a caller of the health page may ask for.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use weir_shared::state::HealthState;

/// How much of each upstream is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthFormat {
    /// With its servers.
    #[default]
    Full,
    /// Without its servers.
    Summary,
}

/// What to show of the health of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HealthQuery {
    /// Only the upstream with this id.
    #[param(example = "web")]
    pub upstream: Option<String>,
    /// Only servers in this state. Upstreams that have none are left out.
    #[param(inline, example = "unhealthy")]
    pub state: Option<HealthState>,
    /// Most servers in the answer (with `format=summary`: most upstreams), 1 to 10000. Default 1000.
    #[param(minimum = 1, maximum = 10000, default = 1000, example = 1000)]
    pub limit: Option<u32>,
    /// Continues a list: the `next` of the answer before.
    #[param(example = "web/10.0.0.7-8080")]
    pub after: Option<String>,
    /// `full` or `summary` (without servers).
    #[param(inline, example = "summary")]
    pub format: HealthFormat,
}

impl HealthQuery {
    /// Entries in an answer when the caller does not say.
    pub const DEFAULT_LIMIT: u32 = 1000;
    /// Most entries in one answer.
    pub const MAX_LIMIT: u32 = 10_000;

    /// The limit in force: what was asked, moved into its range.
    #[must_use]
    pub fn effective_limit(&self) -> usize {
        let limit = self.limit.unwrap_or(Self::DEFAULT_LIMIT).clamp(1, Self::MAX_LIMIT);
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// The upstream, and in it the server, that the page before ended with.
    pub(super) fn cursor(&self) -> (Option<&str>, Option<&str>) {
        match self.after.as_deref() {
            None => (None, None),
            Some(after) => match after.split_once('/') {
                Some((upstream, server)) => (Some(upstream), Some(server)),
                None => (Some(after), None),
            },
        }
    }
}
