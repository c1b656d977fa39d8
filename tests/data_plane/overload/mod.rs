//! More work than there is room for: what goes through, what waits, and what is refused, and how.

mod adaptive;
mod circuit;
mod limits;
mod memory;
mod queue;
mod rates;
mod retry_after;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use weir_tests::client::Wire;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Gate, Step};
use weir_tests::weir::Weir;

/// A server that notes how many requests it works on at once.
struct Busy {
    origin: Origin,
    most: Arc<AtomicUsize>,
}

impl Busy {
    /// One that takes this long for each request.
    fn taking(time: Duration) -> Self {
        let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let noted = Arc::clone(&most);
        let origin = Origin::script(move |_| {
            noted.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(time);
            now.fetch_sub(1, Ordering::SeqCst);
            reply::ok("done")
        });
        Self { origin, most }
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// A server that answers each request when the gate is open.
fn gated(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::script(move |_| {
        let mut steps = vec![Step::Wait(gate.clone())];
        steps.extend(reply::ok("done"));
        steps
    })
}

/// What health says of the queue of the upstream `default`.
fn queue(weir: &Weir) -> Value {
    weir.api().get("/v1/upstreams/default/health").expect(200).json()["queue"].clone()
}

/// Waits until so many requests wait.
fn until_waiting(weir: &Weir, count: u64) {
    eventually("requests wait", || (queue(weir)["waiting"] == count).then_some(()));
}

/// A client that has sent a request which does not come back at once.
fn asking(weir: &Weir, target: &str, field: &str) -> Wire {
    let mut client = weir.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: weir.test\r\n{field}\r\n"));
    client
}
