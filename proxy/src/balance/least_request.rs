//! The server with the fewest requests in flight for its weight.

use weir_shared::table::Server;

use super::Sample;

/// The pick; `None` when there is no candidate. Source of `bias`: Envoy's `active_request_bias`.
pub(super) fn pick<'u>(mut sample: Sample<'u>, bias: f64, random: u64) -> Option<&'u Server> {
    #[expect(clippy::cast_possible_truncation, reason = "a setting from 0 to 10")]
    let bias = bias as f32;
    #[expect(clippy::float_cmp, reason = "exactly the default, which needs no power")]
    let load = |server: &Server| match in_flight(server) {
        load if bias == 1.0 => load,
        load => (load + 1.0).powf(bias),
    };
    for member in sample.members_mut() {
        member.cost = load(member.server) / member.weight;
    }
    sample.least(random)
}

/// Requests in flight at `server`.
#[expect(clippy::cast_precision_loss, reason = "exact up to sixteen million requests in flight")]
pub(super) fn in_flight(server: &Server) -> f32 {
    server.state.in_flight.count() as f32
}
