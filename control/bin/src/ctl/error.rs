//! Why a command did not do what it was asked to, and the exit code that tells a script.

use super::problem::Problem;

/// What the exit codes mean, for the help.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  no: not there, different, not healthy, not finished in time
  2  wrong usage, or refused because something in it is invalid
  3  in conflict with the present state
  4  cannot reach the API
  5  not authorised
  6  a fault of the server, or an outcome that is not known";

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Done,
    /// The answer is no.
    No,
    /// Wrong usage, or refused by validation.
    Invalid,
    /// In conflict with the present state.
    Conflict,
    /// The API cannot be reached.
    Unreachable,
    /// Not authorised.
    Unauthorised,
    /// A fault of the server, or an unknown outcome.
    Fault,
}

impl Exit {
    /// The number a shell sees.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Invalid => 2,
            Self::Conflict => 3,
            Self::Unreachable => 4,
            Self::Unauthorised => 5,
            Self::Fault => 6,
        }
    }

    /// What an answer with the status `status` means for the caller.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            200..=399 => Self::Done,
            401 | 403 => Self::Unauthorised,
            404 | 410 => Self::No,
            409 | 412 | 428 => Self::Conflict,
            // Too slow or too many: nothing is wrong with the command itself.
            408 | 429 => Self::Fault,
            400..=499 => Self::Invalid,
            _ => Self::Fault,
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CtlError {
    /// The command cannot be carried out as it is written.
    #[error("{0}")]
    Usage(String),
    /// No connection, or none that answers a question.
    #[error("cannot reach the API at {place}: {cause}")]
    Unreachable {
        /// Where the API should be.
        place: String,
        /// What happened.
        cause: String,
    },
    /// A change was sent and no answer came.
    #[error(
        "the answer of {place} was lost ({cause}): the change may have been made; look before you repeat it"
    )]
    Unknown {
        /// Where the API is.
        place: String,
        /// What happened.
        cause: String,
    },
    /// The API said no.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The API answered something this program cannot read.
    #[error("{place} does not answer like Weir's API: {detail}")]
    Strange {
        /// Where the API should be.
        place: String,
        /// What is strange.
        detail: String,
    },
    /// Whoever read the output has gone away.
    #[error("nobody reads the output any more")]
    Closed,
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(std::io::Error),
    /// The operating system refused something.
    #[error("cannot {what}: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        cause: std::io::Error,
    },
}

impl CtlError {
    /// The exit code it stands for.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Invalid,
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Refused(problem) => Exit::of_status(problem.status()),
            // Whoever closes a pipe has read enough.
            Self::Closed => Exit::Done,
            Self::Unknown { .. } | Self::Strange { .. } | Self::Output(_) | Self::System { .. } => {
                Exit::Fault
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_exit_code() {
        for (status, code) in [
            (200, 0),
            (304, 0),
            (400, 2),
            (401, 5),
            (403, 5),
            (404, 1),
            (405, 2),
            (409, 3),
            (410, 1),
            (412, 3),
            (413, 2),
            (415, 2),
            (422, 2),
            (428, 3),
            (429, 6),
            (500, 6),
            (503, 6),
            (504, 6),
        ] {
            assert_eq!(Exit::of_status(status).code(), code, "{status}");
        }
    }
}
