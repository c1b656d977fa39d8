//! The hostile side of HTTP/2: what no client with a library would send, and what must not come of it.

mod end;
mod floods;
mod malformed;
mod slow;

use weir_tests::config;
use weir_tests::origin::Origin;
use weir_tests::weir::{Launch, Weir};

/// A Weir, started so, in front of this server.
fn in_front_of(origin: &Origin, launch: Launch) -> Weir {
    let weir = launch.start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    weir
}
