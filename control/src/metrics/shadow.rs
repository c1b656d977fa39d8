//! What shadows would have done. Only of upstreams that have one.

use weir_shared::{
    state::HistogramCounts,
    table::{Shadow, Upstream},
};

use super::{
    Sources,
    upstreams::histogram,
    writer::{Kind, Writer},
};
use crate::status::shadow::{counts, imbalances};

/// The two algorithms, as a label.
const POLICIES: [&str; 2] = ["real", "shadow"];

pub(super) fn write(sources: &Sources<'_>, text: &mut Writer) {
    let with_shadow: Vec<(&Upstream, &Shadow)> = sources
        .table
        .upstreams()
        .filter_map(|upstream| Some((&**upstream, upstream.shadow.as_ref()?)))
        .collect();
    totals(&with_shadow, text);
    shares(&with_shadow, text);
    if sources.servers.is_on(sources.table) {
        picks(&with_shadow, text);
    }
}

fn totals(rows: &[(&Upstream, &Shadow)], text: &mut Writer) {
    let rows: Vec<_> =
        rows.iter().map(|(upstream, shadow)| (upstream.id.as_str(), shadow.state.totals())).collect();
    let mut family = text.family(
        "weir_shadow_requests_total",
        Kind::Counter,
        "Requests for which the algorithm and its shadow both picked a server.",
    );
    rows.iter().for_each(|(upstream, totals)| family.sample(&[("upstream", upstream)], totals.requests));
    let mut family = text.family(
        "weir_shadow_elsewhere_total",
        Kind::Counter,
        "Those of them for which they picked different servers.",
    );
    rows.iter().for_each(|(upstream, totals)| family.sample(&[("upstream", upstream)], totals.elsewhere));
    let mut family = text.family(
        "weir_shadow_unplaced_total",
        Kind::Counter,
        "Requests for which the shadow found no server with room.",
    );
    rows.iter().for_each(|(upstream, totals)| family.sample(&[("upstream", upstream)], totals.unplaced));
    let help = "Latency expected of the servers that were picked, and of those the shadow picked.";
    let mut family = text.family("weir_shadow_expected_latency_seconds", Kind::Histogram, help);
    for (upstream, totals) in &rows {
        let both: [&HistogramCounts; 2] = [&totals.real, &totals.shadow];
        for (policy, counts) in POLICIES.into_iter().zip(both) {
            histogram(&mut family, &[("upstream", upstream), ("policy", policy)], counts);
        }
    }
}

fn shares(rows: &[(&Upstream, &Shadow)], text: &mut Writer) {
    let help = "Requests of the busiest server over those of all, both for their weight.";
    let mut family = text.family("weir_shadow_imbalance", Kind::Gauge, help);
    for (upstream, shadow) in rows {
        let (real, shadow) = imbalances(upstream, &counts(upstream, shadow));
        for (policy, imbalance) in POLICIES.into_iter().zip([real, shadow]) {
            if let Some(imbalance) = imbalance {
                family.sample(&[("upstream", upstream.id.as_str()), ("policy", policy)], imbalance);
            }
        }
    }
}

fn picks(rows: &[(&Upstream, &Shadow)], text: &mut Writer) {
    let help = "Requests of the server that were compared, and those the shadow would have given it.";
    let mut family = text.family("weir_shadow_picks_total", Kind::Counter, help);
    for (upstream, shadow) in rows {
        for (server, (real, shadow)) in upstream.servers.iter().zip(counts(upstream, shadow)) {
            for (policy, count) in POLICIES.into_iter().zip([real, shadow]) {
                let labels =
                    [("upstream", upstream.id.as_str()), ("server", server.id.as_str()), ("policy", policy)];
                family.sample(&labels, count);
            }
        }
    }
}
