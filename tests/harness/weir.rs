//! A real Weir process on ports of its own, with a data directory of its own.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

use crate::api::Api;
use crate::client::Wire;
use crate::eventually::{PATIENCE, eventually, within};
use crate::logs::Logs;
use crate::signal::{self, Signal};

/// How to start Weir.
#[derive(Debug, Default)]
pub struct Launch {
    args: Vec<OsString>,
    data_dir: Option<PathBuf>,
    listen: Option<String>,
    wrapper: Vec<OsString>,
    admin: Option<String>,
}

impl Launch {
    /// Adds a flag, or a flag's value.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Uses this data directory and leaves it behind.
    #[must_use]
    pub fn data_dir(mut self, path: &Path) -> Self {
        self.data_dir = Some(path.to_owned());
        self
    }

    /// Listens here for traffic, in place of a free port.
    #[must_use]
    pub fn listen(mut self, address: impl ToString) -> Self {
        self.listen = Some(address.to_string());
        self
    }

    /// Listens here for the API, in place of a free port.
    #[must_use]
    pub fn admin(mut self, address: impl ToString) -> Self {
        self.admin = Some(address.to_string());
        self
    }

    /// Starts the process by this command, which gets Weir's own as its arguments and ends with it.
    #[must_use]
    pub fn wrapped(mut self, command: Vec<OsString>) -> Self {
        self.wrapper = command;
        self
    }

    /// Starts the process and waits until both ports are open.
    ///
    /// # Panics
    /// When it ends instead, or does not say in time where it listens.
    pub fn start(self) -> Weir {
        self.attempt()
            .unwrap_or_else(|(status, logs)| panic!("weir ended at start with {status}: {:#?}", logs.lines()))
    }

    /// Starts the process and waits until both ports are open.
    ///
    /// # Errors
    /// It has ended instead: how, and what it wrote.
    ///
    /// # Panics
    /// When it does neither in time.
    pub fn attempt(self) -> Result<Weir, (ExitStatus, Logs)> {
        let is_wrapped = !self.wrapper.is_empty();
        let (mut child, scratch, logs) = self.spawn();
        let mut port = |message: &str| {
            within(PATIENCE * 2, message, || {
                let address = logs.event(message).and_then(|event| event["address"].as_str()?.parse().ok());
                address.map(Ok).or_else(|| child.try_wait().unwrap().map(Err))
            })
        };
        let ports: [Result<SocketAddr, ExitStatus>; 2] =
            [port("data plane listening"), port("admin listening")];
        match ports {
            [Ok(data), Ok(admin)] => {
                let pid = if is_wrapped { only_child(child.id()) } else { Some(child.id()) };
                Ok(Weir { child, pid, data, admin, logs, scratch })
            }
            [Err(status), _] | [_, Err(status)] => Err((status, logs)),
        }
    }

    /// Starts the process, which is expected to end by itself, and returns its exit status and what it wrote.
    ///
    /// # Panics
    /// When it still runs after [`PATIENCE`].
    pub fn refused(self) -> (ExitStatus, Vec<String>) {
        let (mut child, scratch, logs) = self.spawn();
        let status = poll_exit(&mut child, PATIENCE);
        if status.is_none() {
            // The verdict is reached; a process that is gone by now needs no kill.
            let _ = child.kill();
            let _ = child.wait();
        }
        drop(scratch);
        let status = status.unwrap_or_else(|| panic!("weir should not have started: {:#?}", logs.lines()));
        let lines = eventually("the process's last words", || {
            let lines: Vec<String> =
                logs.lines().into_iter().filter(|line| !line.trim().is_empty()).collect();
            (!lines.is_empty()).then_some(lines)
        });
        (status, lines)
    }

    fn spawn(self) -> (Child, Option<TempDir>, Logs) {
        let scratch = self.data_dir.is_none().then(|| TempDir::new().unwrap());
        let data_dir = self.data_dir.unwrap_or_else(|| scratch.as_ref().unwrap().path().join("weir-data"));
        let mut command = match self.wrapper.split_first() {
            None => Command::new(binary("weir")),
            Some((wrapper, args)) => {
                let mut command = Command::new(wrapper);
                command.args(args).arg(binary("weir"));
                command
            }
        };
        let mut child = command
            .arg("--listen")
            .arg(self.listen.unwrap_or_else(|| "127.0.0.1:0".to_owned()))
            .arg("--admin")
            .arg(self.admin.unwrap_or_else(|| "127.0.0.1:0".to_owned()))
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--workers", "2"])
            .args(self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let logs = Logs::collect(child.stderr.take().unwrap());
        (child, scratch, logs)
    }
}

/// A running Weir. Dropping it kills it.
#[derive(Debug)]
pub struct Weir {
    child: Child,
    /// Its own process, which is not `child` when it was started by another command; none when it is gone already.
    pid: Option<u32>,
    data: SocketAddr,
    admin: SocketAddr,
    logs: Logs,
    scratch: Option<TempDir>,
}

impl Weir {
    /// Starts one with a fresh data directory.
    pub fn start() -> Self {
        Launch::default().start()
    }

    /// Where clients connect.
    pub fn data(&self) -> SocketAddr {
        self.data
    }

    /// Where the API listens.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its API.
    pub fn api(&self) -> Api {
        Api::new(self.admin)
    }

    /// A new client connection.
    pub fn client(&self) -> Wire {
        Wire::connect(self.data)
    }

    /// What it has logged.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// The data directory, when it is this process's own.
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.scratch.as_ref().map(|scratch| scratch.path().join("weir-data"))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            signal::send(pid, signal);
        }
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        self.kill_now();
        self.child.wait().unwrap();
    }

    fn kill_now(&mut self) {
        // Gone already is as good.
        if let Some(pid) = self.pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        if self.pid != Some(self.child.id()) {
            // The command it was started by ends with it, and leaves nothing behind when it is given the time.
            let _ = poll_exit(&mut self.child, PATIENCE);
        }
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        poll_exit(&mut self.child, limit)
            .unwrap_or_else(|| panic!("weir still runs after {limit:?}: {:#?}", self.logs.lines()))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The part of it that no file stands behind.
    pub fn anonymous_bytes(&self) -> u64 {
        self.memory("RssAnon:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Fails the test if an error was logged or anything panicked.
    ///
    /// # Panics
    /// In just that case.
    pub fn assert_no_errors(&self) {
        let trouble = self.logs.trouble(&["ERROR"]);
        assert!(trouble.is_empty(), "errors were logged: {trouble:#?}");
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill_now();
        }
        // Both fail only when the process has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let lines = self.logs.lines();
            let last = &lines[lines.len().saturating_sub(30)..];
            #[expect(clippy::print_stderr, reason = "libtest shows it with the failed test")]
            {
                eprintln!("the last lines of weir's log: {last:#?}");
            }
        }
    }
}

/// The process that `parent` has started.
fn only_child(parent: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn poll_exit(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let started = std::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if started.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The path of a binary of this workspace, which lies beside the folder of the test executables.
///
/// # Panics
/// When it has not been built.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let path = folder.join(name);
    assert!(path.is_file(), "{} is missing: build it first with `cargo build -p {name}`", path.display());
    path
}
