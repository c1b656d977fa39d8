//! `--demo`: three servers on loopback and the upstream that names them, so that a first look needs nothing else.
//!
//! They are posted through the REST API like anybody's servers; the rest of the program does not know about them.

mod api;
mod character;
mod server;

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use serde_json::json;
use tokio::task::JoinSet;

use self::{character::Character, server::DemoServer};
use crate::failure::Failure;

/// Name of the upstream.
const UPSTREAM: &str = "demo";

/// The running servers; dropping it stops them.
#[derive(Debug)]
pub(crate) struct Demo {
    _servers: JoinSet<()>,
}

/// Starts the servers, makes them the upstream `demo`, and tells what to try.
pub(crate) async fn start(data: SocketAddr, admin: SocketAddr) -> Result<Demo, Failure> {
    let mut servers = JoinSet::new();
    let mut listed = Vec::new();
    for character in Character::ALL {
        let server = DemoServer::bind(character)
            .await
            .map_err(|cause| Failure::System { what: "start the demo servers", cause })?;
        listed.push((character, server.address()));
        servers.spawn(server.serve());
    }
    post(admin, &listed).await.map_err(Failure::Demo)?;
    // Nobody may be reading; the demo runs all the same.
    let _ = introduce(data, admin, &listed);
    Ok(Demo { _servers: servers })
}

async fn post(admin: SocketAddr, servers: &[(Character, SocketAddr)]) -> Result<(), String> {
    let servers: Vec<_> = servers
        .iter()
        .map(|(character, address)| json!({ "id": character.id(), "address": address.to_string() }))
        .collect();
    let upstream = json!({
        "id": UPSTREAM,
        "description": "The servers that --demo starts.",
        "health_check": { "path": character::HEALTH_PATH, "interval": "2s", "timeout": "1s" },
        "servers": servers,
    });
    let created = api::send(admin, "POST", "/v1/upstreams", &upstream).await?;
    // Kept from an earlier demo in this data directory: its servers are gone, these take their place.
    let answer = if created.status == 409 {
        api::send(admin, "PUT", &format!("/v1/upstreams/{UPSTREAM}"), &upstream).await?
    } else {
        created
    };
    if (200..300).contains(&answer.status) {
        Ok(())
    } else {
        Err(format!("the API answered {}: {}", answer.status, answer.body))
    }
}

fn introduce(data: SocketAddr, admin: SocketAddr, servers: &[(Character, SocketAddr)]) -> io::Result<()> {
    let data = here(data);
    let mut out = io::stdout().lock();
    writeln!(out, "\nThe demo: three servers behind http://{data}, as upstream `{UPSTREAM}`.\n")?;
    for (character, address) in servers {
        writeln!(out, "  {:<6} {address}  {}", character.id(), character.description())?;
    }
    writeln!(out, "\nTry:\n")?;
    for (command, shows) in commands(data, admin) {
        writeln!(out, "  # {shows}\n  {command}")?;
    }
    writeln!(out, "\nEvery call of the API, in a browser: http://{admin}/docs   Ctrl-C ends the demo.\n")?;
    out.flush()
}

/// Commands to type, each with what it shows.
fn commands(data: SocketAddr, admin: SocketAddr) -> [(String, &'static str); 5] {
    let load = format!("seq 300 | xargs -P 20 -I @ curl -s {data}/ | sort | uniq -c");
    [
        (format!("curl {data}/"), "one request; again, and another server answers"),
        (
            load,
            "twenty at a time: `slow` gets fewer, and `flaky` is ejected when it has failed five times in a row",
        ),
        (format!("curl -s {admin}/v1/health"), "who is healthy, who is not, since when and why"),
        (
            format!("curl -X PATCH --json '{{\"weight\":0}}' {admin}/v1/upstreams/{UPSTREAM}/servers/slow"),
            "no new requests for `slow`, from the answer on",
        ),
        (format!("curl -s {admin}/metrics"), "the same for Prometheus"),
    ]
}

/// The address to type on this machine: a listener on all interfaces is reached on loopback.
fn here(listen: SocketAddr) -> SocketAddr {
    match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v6.port())),
        _ => listen,
    }
}
