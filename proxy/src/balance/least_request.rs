//! The server with the fewest requests in flight for its weight.

use weir_shared::table::Server;

use super::Sample;

/// The pick; `None` when there is no candidate. Source of `bias`: Envoy's `active_request_bias`.
#[expect(clippy::needless_pass_by_value, reason = "a sample is for one pick")]
pub(super) fn pick<'u>(sample: Sample<'u>, bias: f64, random: u64) -> Option<&'u Server> {
    #[expect(clippy::float_cmp, reason = "exactly the default, which needs no power")]
    if bias == 1.0 {
        return sample.least(random, &sample.each(|server| in_flight(server) / sample.weight(server)));
    }
    #[expect(clippy::cast_possible_truncation, reason = "a setting from 0 to 10")]
    let bias = bias as f32;
    sample.least(random, &sample.each(|server| (in_flight(server) + 1.0).powf(bias) / sample.weight(server)))
}

/// Requests in flight at `server`.
#[expect(clippy::cast_precision_loss, reason = "exact up to sixteen million requests in flight")]
pub(super) fn in_flight(server: &Server) -> f32 {
    server.state.in_flight.count() as f32
}
