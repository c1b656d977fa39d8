//! Servers by what a client's cookie says.

use std::{collections::HashMap, sync::Arc};

use twox_hash::XxHash64;

use super::Server;

/// Finds the server a cookie names. The tag of a server follows from its id, so that it is the same for every process
/// and after every change.
#[derive(Debug)]
pub struct AffinityTable {
    by_tag: HashMap<u64, u32>,
}

impl AffinityTable {
    pub(super) fn new(servers: &[Arc<Server>]) -> Self {
        let tagged = (0_u32..).zip(servers).map(|(index, server)| (Self::tag(server), index));
        Self { by_tag: tagged.collect() }
    }

    /// What stands for `server` in a cookie.
    #[must_use]
    pub fn tag(server: &Server) -> u64 {
        XxHash64::oneshot(0, server.id.as_str().as_bytes())
    }

    /// The position of the server that `tag` stands for.
    #[must_use]
    pub fn find(&self, tag: u64) -> Option<usize> {
        self.by_tag.get(&tag).map(|index| *index as usize)
    }
}
