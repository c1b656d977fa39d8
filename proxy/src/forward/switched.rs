//! A connection to a server that has switched to another protocol.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{connection::ServerConnection, lease::Lease};
use crate::{
    connection::OpenTunnel,
    tunnel::{self, Early, Ended, Side, Watch, Way},
};

/// The server's side of a tunnel: in flight at the server until it has ended.
pub(crate) struct Switched {
    pub(super) lease: Lease,
    pub(super) connection: ServerConnection,
    /// How long nothing may move.
    pub(super) idle: Duration,
}

impl Switched {
    /// Carries bytes between `client`, of which `read` was read already, and the server, until `tunnel` has ended. If that is
    /// not in order, `reset` lets the client's side fail instead of ending as well.
    pub(crate) async fn carry<C>(self, tunnel: OpenTunnel, mut client: C, read: Bytes, reset: impl FnOnce(&C))
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let Self { lease, connection, idle } = self;
        let mut server = connection.stream;
        let early = Early { from_client: read, from_server: connection.buffer.freeze() };
        let count = |way: Way, bytes: usize| match way {
            Way::Up => lease.counters().bytes_sent.add(bytes as u64),
            Way::Down => lease.counters().bytes_received.add(bytes as u64),
        };
        let deadline = tunnel.worker().deadline();
        let watch =
            Watch { idle, deadline: &deadline, count: &count, stop: &|| lease.is_cut() || tunnel.is_over() };
        let ended = tunnel::relay(tunnel.worker(), &mut client, &mut server, early, &watch).await;
        match ended {
            // Who is left learns that this is no end in order.
            Ended::Failed(Way::Up, Side::Source) | Ended::Failed(Way::Down, Side::Sink) => {
                server.reset_on_drop()
            }
            Ended::Failed(..) => reset(&client),
            Ended::Stopped => {
                lease.counters().cut.add(u64::from(lease.is_cut()));
                server.reset_on_drop();
                reset(&client);
            }
            Ended::Whole | Ended::Idle => {}
        }
        tunnel.ended(ended);
    }
}
