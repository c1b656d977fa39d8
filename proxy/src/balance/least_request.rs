//! The server with the fewest requests in flight for its weight.

use weir_shared::table::Server;

use super::{Policy, Sample};

/// The pick; `None` when there is no candidate. Source of `bias`: Envoy's `active_request_bias`.
pub(super) fn pick<'u>(mut sample: Sample<'u>, policy: &Policy<'u>, random: u64) -> Option<&'u Server> {
    #[expect(clippy::cast_possible_truncation, reason = "a setting from 0 to 10")]
    let bias = policy.comparison.active_request_bias as f32;
    #[expect(clippy::float_cmp, reason = "exactly the default, which needs no power")]
    let load = |server: &Server| match policy.in_flight(server) {
        load if bias == 1.0 => load,
        load => (load + 1.0).powf(bias),
    };
    for member in sample.members_mut() {
        member.cost = load(member.server) / member.weight;
    }
    sample.least(random)
}
