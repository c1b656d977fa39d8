//! `weir ctl`, as a shell runs it.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::eventually::eventually;
use crate::logs::Logs;
use crate::weir::{Weir, binary};

/// A command line that is being put together.
#[derive(Debug)]
pub struct Ctl {
    command: Command,
    stdin: String,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

/// A command that goes on. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: Logs,
    err: Logs,
}

impl Ctl {
    /// `weir ARGS`, with no variable of Weir's set.
    pub fn weir(args: &[&str]) -> Self {
        let mut command = Command::new(binary("weir"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
            command.env_remove(name);
        }
        command.args(args);
        Self { command, stdin: String::new() }
    }

    /// `weir ctl ARGS` against `weir`; words have spaces between them.
    pub fn on(weir: &Weir, args: &str) -> Self {
        let mut words = vec!["ctl"];
        words.extend(args.split_whitespace());
        Self::weir(&words).env("WEIR_ADMIN", &weir.admin().to_string())
    }

    /// The same with another argument, whatever is in it.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    /// The same with this variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// The same with this text on its standard input.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<String>) -> Self {
        self.stdin = text.into();
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Ended {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        // A command that fails early does not read its input.
        let _ = child.stdin.take().unwrap().write_all(self.stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let out = Logs::collect(child.stdout.take().unwrap());
        let err = Logs::collect(child.stderr.take().unwrap());
        Running { child, out, err }
    }

    /// Starts it, reads `bytes` of its output, closes the pipe, and waits for its end.
    pub fn closed_after(mut self, bytes: usize) -> Ended {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut out = vec![0; bytes];
        child.stdout.take().unwrap().read_exact(&mut out).unwrap();
        let output = child.wait_with_output().unwrap();
        Ended {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&out).into_owned(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// Requires this exit code.
    ///
    /// # Panics
    /// When it is another.
    #[must_use]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Requires this exit code and does not look at the rest.
    ///
    /// # Panics
    /// When it is another.
    pub fn assert(self, code: i32) {
        let _ = self.expect(code);
    }

    /// The output as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl Running {
    /// What it has written to standard output.
    pub fn out(&self) -> Vec<String> {
        self.out.lines()
    }

    /// What it has written to standard error.
    pub fn err(&self) -> Vec<String> {
        self.err.lines()
    }

    /// Waits for a line of output that contains `text`.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn line(&self, text: &str) -> String {
        eventually(&format!("a line with {text:?}"), || {
            self.out().into_iter().find(|line| line.contains(text))
        })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, and returns its exit code.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn ended(&mut self) -> i32 {
        let child = &mut self.child;
        let status = eventually("the end of weir ctl", || child.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
