//! The program `weir`: reads the command line, does one of the program's tasks, and turns the outcome into an exit code.
#![doc = include_str!("../README.md")]

mod admin_access;
mod admin_address;
mod cli;
mod completion;
mod ctl;
mod demo;
mod failure;
mod log;
mod memory;
mod open_files;
mod process;
mod settings;
mod signals;
mod usage;
mod validate;

use std::{io::Write, process::ExitCode};

use usage::Task;

/// Many small, thread-local allocations are this program's shape, and what this allocator is fastest at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match usage::parse(std::env::args_os()) {
        Ok(Task::Balance(args)) => args,
        Ok(Task::Ctl(args)) => return ctl::run(&args),
        Ok(Task::Validate(args)) => return validate::run(&args),
        Ok(Task::Completion(shell)) => return completion::print(shell),
        Err(outcome) => return outcome.show(),
    };
    log::start(args.log.log_format, args.log.log_level);
    match process::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Not a log line: whoever typed the command reads this, whatever the log's format. A closed standard
            // error leaves the exit code to tell.
            let _ = writeln!(std::io::stderr(), "weir: {failure}");
            ExitCode::FAILURE
        }
    }
}
