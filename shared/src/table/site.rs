//! Where this balancer is among others. Told once, on the command line.

use std::sync::Arc;

/// Where a balancer is.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// The zone it is in, as servers name theirs; `None`: zones do not count.
    pub zone: Option<Arc<str>>,
    /// Which of the balancers it is; `None`: it uses all servers.
    pub number: Option<BalancerNumber>,
}

/// One of several balancers that share servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalancerNumber {
    index: u32,
    count: u32,
}

impl BalancerNumber {
    /// The `index`th, from 0, of `count`; `None` when there is no such one.
    #[must_use]
    pub fn new(index: u32, count: u32) -> Option<Self> {
        (index < count).then_some(Self { index, count })
    }

    /// Where on a ring of `servers` its own begin: balancers stand at equal distances.
    pub(super) fn start(self, servers: usize) -> usize {
        let start = u64::from(self.index) * servers as u64 / u64::from(self.count);
        usize::try_from(start).unwrap_or(0)
    }
}
