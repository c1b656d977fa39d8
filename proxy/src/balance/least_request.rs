//! The server with the fewest requests in flight for its weight.
//!
//! Of a small group all are compared. Of a large one, two drawn at random are: that bounds the worst server's excess load
//! to ln ln n with two reads, where a scan would cost n of them and send every worker to the same idle server.
//!
//! Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (IEEE TPDS 12, 2001). With two servers,
//! two draws pick the busier one a quarter of the time, hence the scan.

use weir_shared::table::Server;

use super::Candidates;

/// Largest group of which all servers are compared: as many cache lines as a pick may reasonably touch.
const SCANNED: usize = 8;
/// Draws for a second server before the first is taken as it is.
const DRAWS: usize = 3;

/// The pick; `None` when there is no candidate.
pub(super) fn pick<'u>(
    candidates: &Candidates<'u, '_>,
    mut random: impl FnMut() -> u64,
) -> Option<&'u Server> {
    if candidates.len() <= SCANNED {
        scan(candidates, random())
    } else {
        two_choices(candidates, &mut random)
    }
}

/// The least loaded of all. Among equals one is drawn by weight, so that an idle group is used evenly.
fn scan<'u>(candidates: &Candidates<'u, '_>, random: u64) -> Option<&'u Server> {
    let mut best: Option<(&Server, u32)> = None;
    let mut weights = 0;
    let mut bits = random;
    for server in candidates.iter() {
        let load = server.state.in_flight.count();
        let weight = u64::from(server.weight);
        match best.map(|(best, least)| compare(server, load, best, least)) {
            None | Some(std::cmp::Ordering::Less) => {
                best = Some((server, load));
                weights = weight;
            }
            Some(std::cmp::Ordering::Equal) => {
                weights += weight;
                // Replaces with probability weight / weights: in the end each of the equals has its share.
                bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if (bits >> 33).wrapping_mul(weights) >> 31 < weight {
                    best = Some((server, load));
                }
            }
            Some(std::cmp::Ordering::Greater) => {}
        }
    }
    best.map(|(server, _)| server)
}

fn two_choices<'u>(candidates: &Candidates<'u, '_>, random: &mut impl FnMut() -> u64) -> Option<&'u Server> {
    let first = candidates.draw(random())?;
    let other = |server: &&Server| !std::ptr::eq(*server, first);
    let Some(second) = (0..DRAWS).find_map(|_| candidates.draw(random()).filter(other)) else {
        return Some(first);
    };
    // Both came up in proportion to their weights already.
    let is_less = second.state.in_flight.count() < first.state.in_flight.count();
    Some(if is_less { second } else { first })
}

/// Compares loads per weight, without dividing.
fn compare(server: &Server, load: u32, best: &Server, least: u32) -> std::cmp::Ordering {
    (u64::from(load) * u64::from(best.weight)).cmp(&(u64::from(least) * u64::from(server.weight)))
}
