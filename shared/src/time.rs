//! Points in time, as values that fit an atomic.
//!
//! [`Moment`] orders events and measures; [`Timestamp`] is only shown to people. A jump of the wall clock therefore
//! never ejects, admits or times out anything.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::{PartialSchema, ToSchema, openapi::schema};

/// Monotonic time since the process started, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `elapsed` after the process started.
    #[must_use]
    pub fn from_elapsed(elapsed: Duration) -> Self {
        // In 64 bits, which hold half a million years: this is called several times for every request.
        Self(elapsed.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(elapsed.subsec_micros())))
    }

    /// Time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This moment moved later by `by`, at most to the end of time.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(Self::from_elapsed(by).0))
    }
}

/// Wall-clock time, in milliseconds since 1970-01-01 UTC. Written as RFC 3339 with milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds from `earlier` to here; 0 when the clock went backwards.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// This time moved later by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let at = OffsetDateTime::parse(&text, &Rfc3339).map_err(serde::de::Error::custom)?;
        i64::try_from(at.unix_timestamp_nanos() / 1_000_000).map(Self).map_err(serde::de::Error::custom)
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<schema::Schema> {
        schema::ObjectBuilder::new()
            .schema_type(schema::Type::String)
            .format(Some(schema::SchemaFormat::KnownFormat(schema::KnownFormat::DateTime)))
            .description(Some("RFC 3339, UTC, milliseconds."))
            .examples(["2026-11-22T21:40:00.123Z"])
            .into()
    }
}

impl ToSchema for Timestamp {}

/// Both clocks, read together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// For ordering and measuring.
    pub moment: Moment,
    /// For showing.
    pub wall: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_round_trip_through_rfc_3339() {
        let at = Timestamp(1_795_383_600_123);
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(text, "\"2026-11-22T21:40:00.123Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), at);
    }

    #[test]
    fn moments_saturate() {
        assert_eq!(Moment(5).since(Moment(9)), Duration::ZERO);
        assert_eq!(Moment(u64::MAX).plus(Duration::from_secs(1)), Moment(u64::MAX));
    }
}
