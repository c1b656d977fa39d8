//! `weir ctl`: the API on the command line.
//!
//! A client like any other: it knows the API by its documents and none of the control plane's types, so that it works with
//! a Weir of another version. One file per command; reading order: [`args`], [`call`] and [`client`], then a command.

mod apply;
mod args;
mod call;
mod certificates;
mod change;
mod client;
mod drain;
mod error;
mod events;
mod explain;
mod fields;
mod get;
mod health;
mod history;
mod output;
mod pages;
mod place;
mod problem;
mod routes;
mod sse;
mod table;
mod text;
mod tls;
mod token;
mod token_file;

use std::process::ExitCode;

use args::Command;
pub(crate) use args::{CtlArgs, Shell};
use client::Client;
use error::{CtlError, Exit};
use output::{Loudness, Output};
use tls::Tls;

/// What every command works with.
#[derive(Debug)]
struct Session {
    client: Client,
    output: Output,
}

/// Carries out one command.
pub(crate) fn run(args: &CtlArgs) -> ExitCode {
    let exit = match begin(args) {
        Ok(exit) => exit,
        Err(error) => {
            if !matches!(error, CtlError::Closed) {
                output::remark(&error.to_string());
            }
            error.exit()
        }
    };
    ExitCode::from(exit.code())
}

fn begin(args: &CtlArgs) -> Result<Exit, CtlError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| CtlError::System { what: "start the runtime", cause })?;
    let place = args.connection.admin.clone();
    let authorization = token_file::authorization(args.connection.token_file.as_deref())?;
    if authorization.is_some() && place.is_exposed() {
        output::remark(&format!("the token goes to {place} unencrypted"));
    }
    let tls = place.is_https().then(|| Tls::new(&args.connection.tls)).transpose()?;
    let loudness = if args.output.quiet { Loudness::Quiet } else { Loudness::Normal };
    let session = Session {
        client: Client::new(place, tls, authorization),
        output: Output::new(args.output.output, loudness),
    };
    runtime.block_on(dispatch(&session, &args.command))
}

async fn dispatch(session: &Session, command: &Command) -> Result<Exit, CtlError> {
    match command {
        Command::Get { kind } => get::run(session, kind).await,
        Command::Apply(args) => apply::apply(session, args).await,
        Command::Diff(args) => apply::diff(session, args).await,
        Command::Add { kind } => change::add(session, kind).await,
        Command::Set { kind } => change::set(session, kind).await,
        Command::Delete { kind } => change::delete(session, kind).await,
        Command::Health(args) => health::run(session, args).await,
        Command::Drain(args) => drain::drain(session, args).await,
        Command::Undrain { server, write } => drain::undrain(session, server, write).await,
        Command::Explain(args) => explain::run(session, args).await,
        Command::History(args) => history::run(session, args).await,
        Command::Rollback(args) => history::roll_back(session, args).await,
        Command::Token { kind } => token::run(session, kind).await,
        Command::Events(args) => events::run(session, args).await,
    }
}
