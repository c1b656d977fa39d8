//! What a caller may do: a few words, some of them limited to one upstream.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use weir_shared::id;

/// The words an operator may write, for messages.
pub const WORDS: &str = "admin, config:read, config:write, servers:write, servers:write:<upstream>, drain:write, \
                         drain:write:<upstream>, health:read, metrics:read";

/// Something a caller may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everything, tokens and the audit included.
    Admin,
    /// Read the configuration and its history.
    ConfigRead,
    /// Read and change the configuration.
    ConfigWrite,
    /// Add, change and remove servers, of one upstream or of all; and read those.
    ServersWrite(Reach),
    /// Drain servers, of one upstream or of all; and read those.
    DrainWrite(Reach),
    /// Read what is observed: health, states, events.
    HealthRead,
    /// Read the numbers.
    MetricsRead,
}

/// Which upstreams a scope is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// All, also those to come.
    All,
    /// The one of this id, whether it is there or not.
    Upstream(String),
}

impl Reach {
    fn covers(&self, upstream: Option<&str>) -> bool {
        match (self, upstream) {
            (Self::All, _) => true,
            (Self::Upstream(own), Some(asked)) => own == asked,
            (Self::Upstream(_), None) => false,
        }
    }
}

/// What an operation asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Everything.
    Admin,
    /// To read the configuration.
    ConfigRead,
    /// To change the configuration.
    ConfigWrite,
    /// To change servers.
    ServersWrite,
    /// To drain servers.
    DrainWrite,
    /// To read what is observed.
    HealthRead,
    /// To read the numbers.
    MetricsRead,
}

impl Need {
    /// The scope that meets it and no more.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::ConfigRead => "config:read",
            Self::ConfigWrite => "config:write",
            Self::ServersWrite => "servers:write",
            Self::DrainWrite => "drain:write",
            Self::HealthRead => "health:read",
            Self::MetricsRead => "metrics:read",
        }
    }
}

impl Scope {
    /// Whether whoever has this may do what asks for `need`, to `upstream` if it is about one.
    #[must_use]
    pub fn meets(&self, need: Need, upstream: Option<&str>) -> bool {
        // Nobody can change well what he cannot see: what may be changed in an upstream may be read there.
        let reads = matches!(need, Need::ConfigRead | Need::HealthRead) && upstream.is_some();
        match self {
            Self::Admin => true,
            Self::ConfigRead => need == Need::ConfigRead,
            Self::ConfigWrite => {
                reads
                    || matches!(
                        need,
                        Need::ConfigRead | Need::ConfigWrite | Need::ServersWrite | Need::DrainWrite
                    )
            }
            Self::ServersWrite(reach) => {
                reach.covers(upstream) && (reads || matches!(need, Need::ServersWrite | Need::DrainWrite))
            }
            Self::DrainWrite(reach) => reach.covers(upstream) && (reads || need == Need::DrainWrite),
            Self::HealthRead => need == Need::HealthRead,
            Self::MetricsRead => need == Need::MetricsRead,
        }
    }
}

impl Scope {
    /// The one upstream it is about; `None`: all, or none in particular.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        match self {
            Self::ServersWrite(Reach::Upstream(upstream)) | Self::DrainWrite(Reach::Upstream(upstream)) => {
                Some(upstream)
            }
            _ => None,
        }
    }
}

/// A text that is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: use {WORDS}")]
pub struct NotAScope;

impl FromStr for Scope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, NotAScope> {
        let limited = |prefix: &str| {
            let upstream = text.strip_prefix(prefix)?.strip_prefix(':')?;
            id::is_valid(upstream).then(|| Reach::Upstream(upstream.to_owned()))
        };
        match text {
            "admin" => Ok(Self::Admin),
            "config:read" => Ok(Self::ConfigRead),
            "config:write" => Ok(Self::ConfigWrite),
            "servers:write" => Ok(Self::ServersWrite(Reach::All)),
            "drain:write" => Ok(Self::DrainWrite(Reach::All)),
            "health:read" => Ok(Self::HealthRead),
            "metrics:read" => Ok(Self::MetricsRead),
            _ => limited("servers:write")
                .map(Self::ServersWrite)
                .or_else(|| limited("drain:write").map(Self::DrainWrite))
                .ok_or(NotAScope),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, reach) = match self {
            Self::Admin => ("admin", None),
            Self::ConfigRead => ("config:read", None),
            Self::ConfigWrite => ("config:write", None),
            Self::ServersWrite(reach) => ("servers:write", Some(reach)),
            Self::DrainWrite(reach) => ("drain:write", Some(reach)),
            Self::HealthRead => ("health:read", None),
            Self::MetricsRead => ("metrics:read", None),
        };
        match reach {
            Some(Reach::Upstream(upstream)) => write!(f, "{word}:{upstream}"),
            Some(Reach::All) | None => f.write_str(word),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in [
            "admin",
            "config:read",
            "config:write",
            "servers:write",
            "servers:write:web",
            "drain:write",
            "drain:write:web-2.x",
            "health:read",
            "metrics:read",
        ] {
            assert_eq!(word.parse::<Scope>().unwrap().to_string(), word);
        }
        for word in ["", "Admin", "servers:write:", "servers:write:WEB", "config:write:web", "servers:read"] {
            assert_eq!(word.parse::<Scope>(), Err(NotAScope), "{word}");
        }
    }

    fn meets(scope: &str, need: Need, upstream: Option<&str>) -> bool {
        scope.parse::<Scope>().unwrap().meets(need, upstream)
    }

    #[test]
    fn a_scope_is_worth_what_it_says() {
        let web = Some("web");
        assert!(meets("admin", Need::Admin, None));
        assert!(meets("admin", Need::ServersWrite, web));
        for scope in ["config:write", "servers:write", "health:read", "metrics:read", "config:read"] {
            assert!(!meets(scope, Need::Admin, None));
        }
        assert!(meets("config:write", Need::ConfigRead, None));
        assert!(meets("config:write", Need::ServersWrite, web));
        assert!(!meets("config:write", Need::MetricsRead, None));
        assert!(meets("config:read", Need::ConfigRead, web));
        assert!(!meets("config:read", Need::ConfigWrite, web));
        assert!(!meets("config:read", Need::HealthRead, None));
        assert!(meets("servers:write", Need::ServersWrite, web));
        assert!(!meets("servers:write", Need::ConfigWrite, web));
        assert!(!meets("servers:write", Need::ConfigRead, None));
        assert!(meets("drain:write", Need::DrainWrite, web));
        assert!(!meets("drain:write", Need::ServersWrite, web));
        assert!(!meets("health:read", Need::MetricsRead, None));
    }

    #[test]
    fn a_scope_of_one_upstream_ends_there() {
        for (need, own) in [
            (Need::ServersWrite, true),
            (Need::DrainWrite, true),
            (Need::ConfigRead, true),
            (Need::HealthRead, true),
            (Need::ConfigWrite, false),
            (Need::Admin, false),
        ] {
            assert_eq!(meets("servers:write:web", need, Some("web")), own, "{need:?}");
            assert!(!meets("servers:write:web", need, Some("web2")));
            assert!(!meets("servers:write:web", need, None));
        }
    }
}
