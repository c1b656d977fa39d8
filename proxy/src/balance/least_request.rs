//! The server with the fewest requests in flight for its weight.

use weir_shared::table::Server;

use super::{Policy, Sample, sample::unit};

/// The pick; `None` when there is no candidate. Source of `bias`: Envoy's `active_request_bias`, by which a server is drawn with
/// weight / (in flight + 1)^bias. With the default of 1 nothing is drawn: the least is better than any chance of it.
pub(super) fn pick<'u>(mut sample: Sample<'u>, policy: &Policy<'u>, random: u64) -> Option<&'u Server> {
    #[expect(clippy::cast_possible_truncation, reason = "a setting from 0 to 10")]
    let bias = policy.comparison.active_request_bias as f32;
    #[expect(clippy::float_cmp, reason = "exactly the default")]
    if bias == 1.0 {
        let loads = sample.loads(|server| policy.in_flight(server));
        for (member, load) in sample.members_mut().zip(loads) {
            member.cost = load;
        }
    } else {
        // In units of the least, so that no power is too large.
        let all = sample.members().map(|member| policy.in_flight(member.server));
        let least = all.fold(f32::INFINITY, f32::min) + 1.0;
        let share = |server: &Server| ((policy.in_flight(server) + 1.0) / least).powf(-bias);
        for member in sample.members_mut() {
            member.weight *= share(member.server);
        }
        // One that was drawn by its weight already is held to the rest of its share here.
        if let Some(guest) = sample.guest_mut()
            && unit(random << 24) >= share(guest.server)
        {
            guest.cost = f32::INFINITY;
        }
    }
    sample.least(random)
}
