//! Routes: how many requests each has answered.

use weir_shared::state::RouteCounters;

use super::{
    Sources,
    upstreams::CLASSES,
    writer::{Kind, Writer},
};

/// With more routes than this, only classes of responses that have occurred are written: four of five mostly have not.
const MAX_EMPTY: usize = 1000;

pub(super) fn write(sources: &Sources<'_>, text: &mut Writer) {
    let routes = sources.table.routes().iter();
    let shows_empty = routes.len() <= MAX_EMPTY;
    let help = "Responses to requests that the route took, by class, those of Weir's own included.";
    let mut family = text.family("weir_route_responses_total", Kind::Counter, help);
    for route in routes {
        let totals = RouteCounters::sum(&route.state.counters);
        for (class, count) in CLASSES.iter().zip(totals).filter(|(_, count)| shows_empty || *count > 0) {
            family.sample(&[("route", route.id.as_str()), ("code_class", class)], count);
        }
    }
}
