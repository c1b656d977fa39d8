//! The log: lines for people on a terminal, JSON lines otherwise, always on standard error.

use std::{
    io::{self, IsTerminal},
    panic::PanicHookInfo,
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::cli::{LogFormat, LogLevel};

/// Starts to log events of `level` and above. Called once.
pub(crate) fn start(format: LogFormat, level: LogLevel) {
    let on_terminal = io::stderr().is_terminal();
    let is_human = match format {
        LogFormat::Auto => on_terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let registry = tracing_subscriber::registry();
    // A log that cannot be written must not bring traffic down: internal errors, which would be printed, stay off.
    let lines = fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    if is_human {
        registry.with(lines.with_ansi(on_terminal).with_target(false)).with(targets(level)).init();
    } else {
        let json = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
        registry.with(json).with(targets(level)).init();
    }
    std::panic::set_hook(Box::new(report_panic));
}

/// Weir's own events from `level` on; those of the libraries, which name single frames, only from WARN on.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Covers `weir_proxy` and `weir_control` too: targets match by prefix.
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("weir", level)
}

/// Makes a panic a log line like any other; the connection it happened on is closed, the others go on.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let reason =
        text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given");
    let thread = std::thread::current();
    tracing::error!(at, reason, thread = thread.name(), "panicked: a defect in Weir");
}
