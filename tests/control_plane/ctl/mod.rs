//! `weir ctl` on a real Weir: what an operator types, what it prints, and the exit code a script goes by.

mod access;
mod certificates;
mod drain;
mod events;
mod exit_codes;
mod explain;
mod first_steps;
mod output;
mod program;
mod routes;
mod tls;
mod whole;
