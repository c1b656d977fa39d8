//! What an intermediary does to well-formed messages. RFC 9110 §7 to §10, RFC 9112 §6 to §9, RFC 9113, RFC 9209.

mod backpressure;
mod errors;
mod expectations;
mod forwarded;
mod framing;
mod hop_by_hop;
mod http2;
mod limits;
mod targets;

pub(crate) use errors::assert_own_error;
use weir_tests::config;
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

/// A Weir that sends everything to this server.
fn in_front_of(origin: &Origin) -> Weir {
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    weir
}

/// A number of `GET /metrics`.
pub(crate) fn metric(weir: &Weir, name: &str) -> u64 {
    let text = weir.api().get("/metrics").response.text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}
