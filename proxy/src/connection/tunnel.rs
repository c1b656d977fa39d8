//! Counts a tunnel of a client while it is open, however it ends.

use std::{cell::Cell, rc::Rc};

use super::Client;
use crate::{tunnel::Ended, worker::Worker};

/// How a stream that became a connection ends when its tunnel has: told to whoever writes it.
#[derive(Debug, Default)]
pub(crate) struct StreamEnd {
    is_broken: Cell<bool>,
}

impl StreamEnd {
    /// It is reset: what the client got may not be all there was.
    pub(crate) fn break_off(&self) {
        self.is_broken.set(true);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }
}

/// A tunnel of a client, from the answer that opens it until it has ended.
pub(crate) struct OpenTunnel(Rc<Client>);

impl OpenTunnel {
    /// Begins to count one.
    pub(crate) fn count(client: &Rc<Client>) -> Self {
        client.began();
        // It has a deadline of its own.
        client.deadline.clear();
        let counters = client.worker.listener();
        counters.tunnels.add(1);
        counters.tunnels_active.add(1);
        Self(Rc::clone(client))
    }

    /// Whose client it is.
    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.0.worker
    }

    /// Whether it is to be broken off.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_over()
    }

    /// Notes how it ended.
    pub(crate) fn ended(self, how: Ended) {
        if how == Ended::Idle {
            self.0.worker.listener().tunnel_timeouts.add(1);
        }
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.worker.listener().tunnels_active.sub(1);
        self.0.ended();
    }
}
