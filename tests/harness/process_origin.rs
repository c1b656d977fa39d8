//! A server in a process of its own, which a test may kill, freeze and start again on the same port.
//!
//! Each has a loopback address of its own (127.77.x.y): outgoing connections come from 127.0.0.1, so nobody takes the port
//! while the server is down.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::signal::{self, Signal};
use crate::weir::binary;

static NEXT: AtomicU16 = AtomicU16::new(1);

/// A server process. Dropping it kills it.
#[derive(Debug)]
pub struct ProcessOrigin {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    delay_ms: u32,
}

impl ProcessOrigin {
    /// Starts a server that keeps its log in `folder` and takes `delay_ms` for each request.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(folder: &Path, delay_ms: u32) -> Self {
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        // The process id keeps two suites that run at once apart.
        let salt = std::process::id() % 250;
        let address: SocketAddr = format!("127.77.{salt}.{number}:0").parse().unwrap();
        let log = folder.join(format!("origin-{number}.log"));
        File::create(&log).unwrap();
        let (child, address) = spawn(address, &log, delay_ms);
        Self { child, address, log, delay_ms }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again at the same address with the same log.
    pub fn restart(&mut self) {
        (self.child, self.address) = spawn(self.address, &self.log, self.delay_ms);
    }

    /// Stops it in its tracks.
    pub fn freeze(&self) {
        signal::send(self.child.id(), Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        signal::send(self.child.id(), Signal::CONT);
    }

    /// The ids of the POSTs it began to run, over all its lives.
    pub fn ran(&self) -> Vec<String> {
        std::fs::read_to_string(&self.log).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for ProcessOrigin {
    fn drop(&mut self) {
        // Both fail only when the process has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(address: SocketAddr, log: &Path, delay_ms: u32) -> (Child, SocketAddr) {
    let mut child = Command::new(binary("test-origin"))
        .arg(address.to_string())
        .arg(log)
        .arg(delay_ms.to_string())
        // It ends with its standard input, so that it does not outlive a test that was killed.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().parse().unwrap_or_else(|_| panic!("test-origin did not start: {line:?}"));
    (child, address)
}
