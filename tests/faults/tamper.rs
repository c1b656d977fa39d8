//! System calls that go wrong: strace between Weir and the kernel.
//!
//! Calls are counted per thread, and only those on the file named. The store has a thread of its own, so that its first
//! write to the log is the first of the first commit.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// One kind of call on one file, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tamper<'a> {
    /// The file, with its path.
    pub(crate) file: &'a Path,
    /// Names of the calls, as strace takes them.
    pub(crate) calls: &'a str,
}

impl Tamper<'_> {
    /// The command that kills the process when it makes the `nth` of the calls.
    pub(crate) fn kill(self, nth: usize) -> Vec<OsString> {
        // Not with --seccomp-bpf, whose stops swallow the signal.
        self.command(&[], &format!("signal=KILL:when={nth}"))
    }

    /// The command that has the calls `when` (strace's words: `3`, `1..4`, `2+`) fail with `error`.
    pub(crate) fn fail(self, error: &str, when: &str) -> Vec<OsString> {
        self.command(&["--seccomp-bpf"], &format!("error={error}:when={when}"))
    }

    fn command(self, flags: &[&str], what: &str) -> Vec<OsString> {
        assert_can_trace();
        let Self { file, calls } = self;
        let mut command: Vec<OsString> =
            ["strace", "-f", "-qq", "-o", "/dev/null"].map(OsString::from).to_vec();
        command.extend(flags.iter().map(OsString::from));
        command.extend(["-P".into(), file.as_os_str().to_owned()]);
        command.extend(
            ["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{what}")].map(OsString::from),
        );
        command
    }
}

/// Requires a strace that may do its work. Without it nothing here would be tested.
fn assert_can_trace() {
    let attempt =
        Command::new("strace").args(["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "true"]).output();
    let output = attempt.unwrap_or_else(|error| {
        panic!("these tests need strace ({error}): run `scripts/setup strace`, or `apt-get install strace`")
    });
    assert!(
        output.status.success(),
        "these tests need to trace processes, which is not permitted here (in a container: --cap-add SYS_PTRACE): {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
