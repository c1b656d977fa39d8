//! Which statuses are meant: one, or from one to another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::{PartialSchema, ToSchema, openapi::schema};

/// One status or a range of them, written `"200"` or `"200-399"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// Lowest status that is in.
    pub first: u16,
    /// Highest status that is in.
    pub last: u16,
}

impl StatusRange {
    /// Whether `status` is in the range.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for StatusRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| match text.parse::<u16>() {
            Ok(n) if text.len() == 3 && (100..=599).contains(&n) => Ok(n),
            _ => Err(()),
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(text)?, number(text)?),
        };
        if first <= last { Ok(Self { first, last }) } else { Err(()) }
    }
}

impl Serialize for StatusRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(|()| {
            serde::de::Error::custom(format_args!(
                "invalid status \"{text}\": write \"200\" or \"200-399\", within 100..599"
            ))
        })
    }
}

impl PartialSchema for StatusRange {
    fn schema() -> utoipa::openapi::RefOr<schema::Schema> {
        schema::ObjectBuilder::new()
            .schema_type(schema::Type::String)
            .pattern(Some("^[1-5][0-9]{2}(-[1-5][0-9]{2})?$"))
            .description(Some("One status or a range: 200, 200-399."))
            .examples(["200-399"])
            .into()
    }
}

impl ToSchema for StatusRange {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_ranges_are_read_strictly() {
        assert_eq!("200".parse(), Ok(StatusRange { first: 200, last: 200 }));
        assert!("200-399".parse::<StatusRange>().is_ok_and(|r| r.contains(204) && !r.contains(400)));
        for bad in ["", "20", "600", "399-200", "200-", "+200", "200-399-400"] {
            assert_eq!(bad.parse::<StatusRange>(), Err(()), "{bad}");
        }
    }
}
