//! `weir ctl` on a real Weir: what an operator types, what it prints, and the exit code a script goes by.

mod drain;
mod exit_codes;
mod first_steps;
mod output;
mod program;
