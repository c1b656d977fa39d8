//! What is wrong with a configuration, field by field.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Kind of a [`FieldError`]; also the machine-readable `code` of the API's error list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldErrorCode {
    /// A value outside its documented range.
    OutOfRange,
    /// A value of the wrong JSON type or an unknown enum word.
    InvalidType,
    /// Not `host:port`.
    InvalidAddress,
    /// Not a valid id.
    InvalidId,
    /// A value that is of the right type but malformed.
    InvalidValue,
    /// A field this version does not know.
    UnknownField,
    /// A field only the server sets, given with another value.
    ReadOnly,
    /// A field that never changes after creation.
    Immutable,
    /// A required field is absent.
    Required,
    /// The same name or address twice.
    Duplicate,
    /// The name of something that does not exist.
    UnknownReference,
    /// More items than one configuration may hold.
    TooMany,
}

/// One fault in one field of what was submitted.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON Pointer as a URI fragment (RFC 6901 §6), for example `#/servers/1/address`.
    pub pointer: String,
    /// Kind of fault.
    pub code: FieldErrorCode,
    /// What is wrong and how to mend it, for a person.
    pub detail: String,
    /// The value found, where that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What is allowed instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.detail)
    }
}

/// Place in a document, extended while walking down.
#[derive(Clone, Debug)]
pub struct Pointer(String);

impl Pointer {
    /// The document itself.
    #[must_use]
    pub fn root() -> Self {
        Self("#".to_owned())
    }

    /// The place named `key` (a field name or an index) below this one.
    #[must_use]
    pub fn at(&self, key: impl fmt::Display) -> Self {
        let key = key.to_string().replace('~', "~0").replace('/', "~1");
        Self(format!("{}/{key}", self.0))
    }

    /// The pointer's text, as in [`FieldError::pointer`].
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A fault at this place.
    #[must_use]
    pub fn error(&self, code: FieldErrorCode, detail: impl Into<String>) -> FieldError {
        FieldError { pointer: self.0.clone(), code, detail: detail.into(), value: None, allowed: None }
    }
}

/// Every fault of one document. Never empty.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{} field(s) are invalid", .0.len())]
pub struct Invalid(pub Vec<FieldError>);
