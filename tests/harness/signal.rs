//! Signals to processes that a test started itself.

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

/// Sends `signal` to the process `pid`.
///
/// # Panics
/// When there is no such process any more.
pub fn send(pid: u32, signal: Signal) {
    let pid =
        Pid::from_raw(i32::try_from(pid).expect("a process id fits")).expect("a process id is not zero");
    kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot signal process {pid:?}: {error}"));
}
