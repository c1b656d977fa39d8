//! Raises the limit on open files: each request in flight needs two connections, and the soft limit that a shell or a
//! service manager leaves (often 1024) is there for the sake of programs that call `select`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit as far as the hard limit allows and returns it; `None` means no limit.
///
/// A failure changes nothing: the limit then stays as it was.
pub(crate) fn raise_limit() -> Option<u64> {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => wanted.current,
        Err(_) => before.current,
    }
}
