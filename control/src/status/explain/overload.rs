//! Factors that too much work brings about: limits, pauses, and circuit breakers. Only where they are set.

use weir_shared::state::BreakerState;

use super::{
    Scene,
    factors::{Says, factor},
    view::{Factor, FactorName},
};

/// The factors of a server, in the order in which they decide.
pub(super) fn all(scene: &Scene<'_>) -> impl Iterator<Item = Factor> {
    [circuit_breaker(scene), pause(scene), adaptive_limit(scene), limits(scene)].into_iter().flatten()
}

fn circuit_breaker(scene: &Scene<'_>) -> Option<Factor> {
    scene.upstream.breaker?;
    let breaker = &scene.upstream.state.breaker;
    let (state, since) = breaker.state();
    let (says, text) = match state {
        BreakerState::Closed => (Says::Yes, "The circuit breaker is closed: requests go through.".to_owned()),
        BreakerState::HalfOpen => (
            Says::Yes,
            format!("The circuit breaker is half open since {since}: a few requests go through to try."),
        ),
        BreakerState::Open if breaker.is_due(scene.now.moment) => (
            Says::Yes,
            format!(
                "The circuit breaker was open since {since}, and its time is over: the next request tries."
            ),
        ),
        BreakerState::Open => {
            let refused = breaker.refused();
            (
                Says::No,
                format!("The circuit breaker is open since {since}; {refused} requests were refused in all."),
            )
        }
    };
    Some(factor(FactorName::CircuitBreaker, says, text))
}

fn pause(scene: &Scene<'_>) -> Option<Factor> {
    scene.upstream.pause.as_ref()?;
    let (upstream, now) = (scene.upstream, scene.now.moment);
    let Some(until) = scene.server.state.pause.until(now) else {
        return Some(factor(FactorName::Pause, Says::Yes, "It has not asked to be left alone.".to_owned()));
    };
    let mut others = scene.eligible.members().filter(|index| *index != scene.index);
    let is_open = |index: u32| {
        let server = upstream.servers.get(index as usize);
        server.is_some_and(|server| upstream.has_room(server) && !upstream.is_paused(server, now))
    };
    let paused = |what: &str| format!("It asked to be left alone until {until}{what}.");
    Some(match others.any(is_open) {
        true => factor(FactorName::Pause, Says::No, paused("")),
        false => {
            factor(FactorName::Pause, Says::Yes, paused(", and gets requests because there is no other"))
        }
    })
}

fn adaptive_limit(scene: &Scene<'_>) -> Option<Factor> {
    let policy = scene.upstream.limits.as_ref()?.adaptive?;
    let limit = scene.server.state.adaptive.limit(policy);
    let text =
        format!("It was found to bear {limit} requests at once (from {} to {}).", policy.min, policy.max);
    Some(factor(FactorName::AdaptiveLimit, Says::Yes, text))
}

fn limits(scene: &Scene<'_>) -> Option<Factor> {
    let (upstream, server) = (scene.upstream, scene.server);
    let limits = upstream.limits.as_ref()?;
    let mut text = match upstream.limit_of(server) {
        Some(limit) => {
            format!("It has {} of at most {limit} requests under way", server.state.in_flight.count())
        }
        None => "It has no limit".to_owned(),
    };
    if limits.max_requests != u32::MAX {
        let all = upstream.state.limited.count();
        text += &format!("; the upstream has {all} of at most {}", limits.max_requests);
    }
    let waiting = upstream.state.queue.len();
    if waiting > 0 {
        text += &format!("; {waiting} wait");
    }
    let has_room = upstream.has_room(server) && !upstream.is_full();
    Some(factor(FactorName::Limits, has_room.into(), text + "."))
}
