//! Quantities as operators write them.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::{PartialSchema, ToSchema, openapi::schema};

/// What a duration must look like, as a regular expression (Gateway API, GEP-2257).
pub const SPAN_PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// A length of time, written `"250ms"`, `"5s"` or `"1m30s"`.
///
/// The Gateway API's form (GEP-2257): one to four numbers of one to five digits, each with `h`, `m`, `s` or `ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

impl Span {
    /// A span of whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The span for use with clocks.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Reads the text form; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut total = Duration::ZERO;
        let mut parts = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 || digits > 5 || parts == 4 {
                return None;
            }
            let (number, tail) = rest.split_at(digits);
            let number: u64 = number.parse().ok()?;
            let unit = tail.bytes().take_while(u8::is_ascii_lowercase).count();
            let (unit, tail) = tail.split_at(unit);
            total += match unit {
                "h" => Duration::from_secs(number * 3600),
                "m" => Duration::from_secs(number * 60),
                "s" => Duration::from_secs(number),
                "ms" => Duration::from_millis(number),
                _ => return None,
            };
            rest = tail;
            parts += 1;
        }
        (parts > 0).then_some(Self(total))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        // One unit wherever it fits five digits, as people write it: 75s, not 1m15s.
        match millis {
            _ if millis.is_multiple_of(3_600_000) && millis > 0 => write!(f, "{}h", millis / 3_600_000),
            _ if millis.is_multiple_of(60_000) && millis >= 120_000 => write!(f, "{}m", millis / 60_000),
            _ if millis.is_multiple_of(1000) && millis < 100_000_000 => write!(f, "{}s", millis / 1000),
            _ if millis < 100_000 => write!(f, "{millis}ms"),
            _ => {
                let parts =
                    [("h", millis / 3_600_000), ("m", millis / 60_000 % 60), ("s", millis / 1000 % 60)];
                for (unit, number) in parts.into_iter().chain([("ms", millis % 1000)]) {
                    if number > 0 {
                        write!(f, "{number}{unit}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "invalid duration \"{text}\": write it like \"250ms\", \"5s\" or \"1m30s\""
            ))
        })
    }
}

impl PartialSchema for Span {
    fn schema() -> utoipa::openapi::RefOr<schema::Schema> {
        schema::ObjectBuilder::new()
            .schema_type(schema::Type::String)
            .pattern(Some(SPAN_PATTERN))
            .description(Some("A length of time: 250ms, 5s, 1m30s."))
            .examples(["5s"])
            .into()
    }
}

impl ToSchema for Span {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_in_one_form() {
        for (text, millis) in [
            ("250ms", 250),
            ("1500ms", 1500),
            ("5s", 5000),
            ("60s", 60_000),
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            let span = Span::parse(text).unwrap();
            assert_eq!(span.duration().as_millis(), millis, "{text}");
            assert_eq!(span.to_string(), text);
        }
        assert_eq!(Span::parse("1m30s"), Span::parse("90s"));
        for millis in [0, 1, 999, 1001, 59_999, 61_000, 99_999, 100_001, 3_599_999, 86_400_000, 123_456_789] {
            assert_eq!(
                Span::parse(&Span::from_millis(millis).to_string()),
                Some(Span::from_millis(millis)),
                "{millis}"
            );
        }
        for bad in ["", "5", "s", "-1s", "1.5s", "5 s", "123456s", "1h1m1s1ms1s", "5S", "1d"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }
}
