//! What a name leads to, or the problem that it leads nowhere.

use super::problem::{Code, Problem};

/// What the caller named: 404 when it is not there.
///
/// # Errors
/// When it is not there.
pub(super) fn found<T>(resource: Option<T>, kind: &str, id: &str) -> Result<T, Problem> {
    resource.ok_or_else(|| not_found(kind, id))
}

/// The problem of a resource that is not there.
pub(super) fn not_found(kind: &str, id: &str) -> Problem {
    Problem::new(Code::NotFound, format!("There is no {kind} \"{id}\"."))
}

/// What a change has just made, which has to be there.
///
/// # Errors
/// When it is not, which is a fault of Weir.
pub(super) fn placed<T>(resource: Option<T>, kind: &str) -> Result<T, Problem> {
    resource.ok_or_else(|| Problem::new(Code::Internal, format!("The {kind} is not where it was put.")))
}
