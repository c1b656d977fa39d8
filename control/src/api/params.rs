//! Query parameters, read strictly: an unknown one is refused, because a mistyped `dry_run` would do what it was to try.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use http::Uri;
use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_shared::{error::FieldErrorCode, id::Revision, time::Timestamp, units::Span};

use super::problem::{Code, Fault, Problem};
use crate::strict;

/// The query parameters of a request. Take each known one, then [`Self::finish`].
#[derive(Debug)]
pub(super) struct Params {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl Params {
    /// The parameters of `uri`.
    ///
    /// # Errors
    /// When the query cannot be decoded.
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let given = query.map_err(|error| Problem::new(Code::MalformedRequest, error.body_text()))?.0;
        Ok(Self { given, known: Vec::new(), faults: Vec::new() })
    }

    /// The value of `name`.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let place = self.given.iter().position(|(given, _)| given == name)?;
        let (_, value) = self.given.swap_remove(place);
        if self.given.iter().any(|(given, _)| given == name) {
            self.given.retain(|(given, _)| given != name);
            self.fault(name, FieldErrorCode::Duplicate, "given twice".to_owned(), None, None);
        }
        Some(value)
    }

    /// The value of `name`, if it is not empty: at most `most` characters.
    pub(super) fn short_text(&mut self, name: &'static str, most: usize) -> Option<String> {
        let value = self.text(name).filter(|value| !value.is_empty())?;
        if value.chars().nth(most).is_none() {
            return Some(value);
        }
        let allowed = Some(format!("0..{most} characters"));
        let detail = format!("at most {most} characters");
        self.fault(name, FieldErrorCode::OutOfRange, detail, None, allowed);
        None
    }

    /// Whether `name` is true: `true`, `1` or nothing after its name.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        let value = self.text(name)?;
        match value.as_str() {
            "" | "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => {
                let allowed = Some("true, false".to_owned());
                self.fault(
                    name,
                    FieldErrorCode::InvalidValue,
                    "neither true nor false".to_owned(),
                    Some(value),
                    allowed,
                );
                None
            }
        }
    }

    /// The number `name`, within `range`.
    pub(super) fn number<T>(&mut self, name: &'static str, range: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        let value = self.text(name)?;
        match value.parse() {
            Ok(number) if range.contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                let (first, last) = range.into_inner();
                let detail = format!("must be a number from {first} to {last}");
                let allowed = Some(format!("{first}..{last}"));
                self.fault(name, FieldErrorCode::OutOfRange, detail, Some(value), allowed);
                None
            }
        }
    }

    /// The length of time `name`, within `range`.
    pub(super) fn span(&mut self, name: &'static str, range: RangeInclusive<Span>) -> Option<Span> {
        let value = self.text(name)?;
        match Span::parse(&value).filter(|span| range.contains(span)) {
            Some(span) => Some(span),
            None => {
                let (first, last) = range.into_inner();
                let detail = format!("must be a length of time from {first} to {last}, like \"30s\"");
                let allowed = Some(format!("{first}..{last}"));
                self.fault(name, FieldErrorCode::OutOfRange, detail, Some(value), allowed);
                None
            }
        }
    }

    /// The time `name`, as RFC 3339 has it.
    pub(super) fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        let value = self.text(name)?;
        let time = serde_json::from_value(Value::String(value.clone())).ok();
        if time.is_none() {
            let detail = "must be a time as RFC 3339 writes it, like \"2026-11-22T21:40:00Z\"".to_owned();
            self.fault(name, FieldErrorCode::InvalidValue, detail, Some(value), None);
        }
        time
    }

    /// The number of a revision.
    pub(super) fn revision(&mut self, name: &'static str) -> Option<Revision> {
        let value = self.text(name)?;
        match value.parse() {
            // The description calls it an int64, as JSON readers of most languages have it.
            Ok(number) if i64::try_from(number).is_ok() => Some(Revision(number)),
            Ok(_) | Err(_) => {
                let detail = "must be the number of a revision".to_owned();
                self.fault(name, FieldErrorCode::InvalidValue, detail, Some(value), None);
                None
            }
        }
    }

    /// One of the words of `T`.
    pub(super) fn word<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        let value = self.text(name)?;
        match serde_json::from_value(Value::String(value.clone())) {
            Ok(word) => Some(word),
            Err(error) => {
                self.fault(name, FieldErrorCode::InvalidValue, error.to_string(), Some(value), None);
                None
            }
        }
    }

    /// The one of `allowed` that `name` is.
    pub(super) fn choice(&mut self, name: &'static str, allowed: &[&'static str]) -> Option<&'static str> {
        let value = self.text(name)?;
        let known = allowed.iter().copied().find(|word| *word == value);
        if known.is_none() {
            let detail = "not one of the values that are possible here".to_owned();
            self.fault(name, FieldErrorCode::InvalidValue, detail, Some(value), Some(allowed.join(", ")));
        }
        known
    }

    /// The words of the comma-separated list `name`, each one of `allowed`.
    pub(super) fn words(&mut self, name: &'static str, allowed: &[&str]) -> Vec<String> {
        let Some(value) = self.text(name) else { return Vec::new() };
        let words: Vec<String> =
            value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        if let Some(unknown) = words.iter().find(|word| !allowed.contains(&word.as_str())) {
            let detail = format!("\"{unknown}\" is not known here");
            self.fault(name, FieldErrorCode::InvalidValue, detail, Some(value), Some(allowed.join(", ")));
        }
        words
    }

    /// A pair `key:value`.
    pub(super) fn pair(&mut self, name: &'static str) -> Option<(String, String)> {
        let value = self.text(name)?;
        if let Some((key, value)) = value.split_once(':') {
            return Some((key.to_owned(), value.to_owned()));
        }
        let allowed = Some("key:value".to_owned());
        self.fault(name, FieldErrorCode::InvalidValue, "must be key:value".to_owned(), Some(value), allowed);
        None
    }

    /// Refuses what was invalid.
    ///
    /// # Errors
    /// Every fault found so far.
    pub(super) fn faults(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }

    /// Refuses what was invalid or not taken.
    ///
    /// # Errors
    /// Every fault found.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.given).into_iter().take(strict::MAX_ERRORS) {
            let nearest = strict::nearest(&name, &self.known);
            let hint = nearest.map(|nearest| format!("; did you mean \"{nearest}\"?")).unwrap_or_default();
            let name = strict::echo(&name);
            let detail = format!("there is no parameter \"{name}\" here{hint}");
            let allowed = (!self.known.is_empty()).then(|| self.known.join(", "));
            self.fault(&name, FieldErrorCode::UnknownField, detail, None, allowed);
        }
        self.faults()
    }

    fn fault(
        &mut self,
        name: &str,
        code: FieldErrorCode,
        detail: String,
        value: Option<String>,
        allowed: Option<String>,
    ) {
        let parameter = Some(name.to_owned());
        let value = value.map(Value::String);
        self.faults.push(Fault { pointer: None, parameter, header: None, code, detail, value, allowed });
    }
}
