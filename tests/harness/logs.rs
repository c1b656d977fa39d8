//! What a Weir process wrote to its standard error, line by line.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// How many lines are kept, so that a runaway process cannot fill memory.
const MAX_LINES: usize = 20_000;

/// The lines so far; more may come while the process lives.
#[derive(Clone, Debug, Default)]
pub struct Logs(Arc<Mutex<Vec<String>>>);

impl Logs {
    /// Collects `source` on a thread of its own until it ends.
    pub fn collect(source: impl Read + Send + 'static) -> Self {
        let logs = Self::default();
        let lines = Arc::clone(&logs.0);
        thread::spawn(move || {
            for line in BufReader::new(source).lines() {
                let Ok(line) = line else { return };
                let mut lines = lines.lock().unwrap();
                if lines.len() < MAX_LINES {
                    lines.push(line);
                }
            }
        });
        logs
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The lines that are JSON objects.
    pub fn events(&self) -> Vec<Value> {
        self.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first event with this message.
    pub fn event(&self, message: &str) -> Option<Value> {
        self.events().into_iter().find(|event| event["message"] == message)
    }

    /// The lines that report trouble: the given levels, or a panic.
    pub fn trouble(&self, levels: &[&str]) -> Vec<String> {
        self.lines()
            .into_iter()
            .filter(|line| {
                let event: Value = serde_json::from_str(line).unwrap_or_default();
                levels.iter().any(|level| event["level"] == *level) || line.contains("panicked at")
            })
            .collect()
    }
}
