//! What the system knows of this process, under the names every Prometheus client library uses.
//!
//! Read from `/proc` (proc(5)); where there is none, or a line is missing, the family is left out.

use std::{fs, io};

use super::writer::{Kind, Writer};

/// Clock ticks a second in `/proc`: 100 on every Linux, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn write(text: &mut Writer) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let stat = Stat::parse(&read("/proc/self/stat"));
    let status = read("/proc/self/status");
    let limits = read("/proc/self/limits");
    let booted_at = number_after(&read("/proc/stat"), "btime");
    let cpu = stat.as_ref().map(|stat| stat.cpu_seconds);
    single(text, "process_cpu_seconds_total", Kind::Counter, "CPU time used.", cpu);
    let started_at = stat.zip(booted_at).map(|(stat, booted_at)| booted_at + stat.started_after_seconds);
    single(text, "process_start_time_seconds", Kind::Gauge, "Start, in Unix time.", started_at);
    let bytes = |name| number_after(&status, name).map(|kibibytes| kibibytes * 1024.0);
    let resident = bytes("VmRSS:");
    single(text, "process_resident_memory_bytes", Kind::Gauge, "Memory in use.", resident);
    single(text, "process_virtual_memory_bytes", Kind::Gauge, "Memory mapped.", bytes("VmSize:"));
    single(text, "process_threads", Kind::Gauge, "Threads.", number_after(&status, "Threads:"));
    let max_fds = number_after(&limits, "Max open files");
    single(text, "process_max_fds", Kind::Gauge, "Files that may be open.", max_fds);
    if let Ok(open) = open_fds() {
        text.single("process_open_fds", Kind::Gauge, "Files open.", open);
    }
}

fn single(text: &mut Writer, name: &str, kind: Kind, help: &str, value: Option<f64>) {
    if let Some(value) = value {
        text.single(name, kind, help, value);
    }
}

/// Since Linux 6.2 the directory's size is the number of its entries; before, it is 0 and they have to be counted.
fn open_fds() -> io::Result<u64> {
    match fs::metadata("/proc/self/fd")?.len() {
        0 => Ok(u64::try_from(fs::read_dir("/proc/self/fd")?.count()).unwrap_or(u64::MAX)),
        count => Ok(count),
    }
}

/// The number that follows `name` at the start of a line.
fn number_after(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What is read of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    started_after_seconds: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field, the program's name, may hold spaces and parentheses; the third follows the last one.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            started_after_seconds: field(22)? / TICKS_PER_SECOND,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read_by_field() {
        let stat = "7 (we (ir) x) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 123400 1000 300 18446744073709551615";
        let parsed = Stat { cpu_seconds: 3.0, started_after_seconds: 1234.0 };
        assert_eq!(Stat::parse(stat), Some(parsed));
        assert_eq!(Stat::parse("7 (weir) S 1"), None);
        let limits = "Max processes  5  6  processes\nMax open files            1024       524288    files\n";
        assert_eq!(number_after(limits, "Max open files"), Some(1024.0));
        assert_eq!(number_after("Max open files unlimited", "Max open files"), None);
    }
}
