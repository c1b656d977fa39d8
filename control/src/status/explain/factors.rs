//! Every factor that decides, with what it does to the weight.

use weir_shared::{
    model::AdminState,
    state::{HealthState, Reason},
    table::{Membership, Side, SlowStartPolicy, Tier},
};

use super::{
    super::window::tenths,
    Scene, overload,
    view::{Factor, FactorName},
};

/// The factors of a server, in the order in which they decide.
pub(super) fn all(scene: &Scene<'_>) -> Vec<Factor> {
    let mut factors = vec![
        route(scene),
        admin_state(scene),
        weight(scene),
        health(scene),
        ejection(scene),
        priority(scene),
    ];
    let place = scene.upstream.placement.place(scene.index);
    factors.extend(place.and_then(|place| subset(scene, place.membership)));
    factors.extend(place.and_then(|place| zone(scene, place.side)));
    factors.extend(slow_start(scene));
    factors.extend(overload::all(scene));
    factors
}

/// What a factor does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    Yes,
    No,
}

impl From<bool> for Says {
    fn from(ok: bool) -> Self {
        if ok { Self::Yes } else { Self::No }
    }
}

pub(super) fn factor(name: FactorName, says: Says, text: String) -> Factor {
    let ok = says == Says::Yes;
    Factor { name, ok, multiplier: f64::from(u8::from(ok)), text }
}

fn route(scene: &Scene<'_>) -> Factor {
    let id = &scene.upstream.id;
    let text = match scene.is_in_use {
        true => format!("A route or a listener sends to the upstream \"{id}\"."),
        false => format!(
            "No enabled route and no TCP listener sends to the upstream \"{id}\", so that none of its servers gets requests."
        ),
    };
    factor(FactorName::Route, scene.is_in_use.into(), text)
}

fn admin_state(scene: &Scene<'_>) -> Factor {
    let state = scene.server.admin_state;
    let text = match state {
        AdminState::Ready => "The operator wants it in use (ready).",
        AdminState::Drain => "The operator drains it: no new requests, those under way finish.",
        AdminState::Maint => "The operator has it in maintenance: no requests.",
    };
    factor(FactorName::AdminState, (state == AdminState::Ready).into(), text.to_owned())
}

fn weight(scene: &Scene<'_>) -> Factor {
    let weight = scene.server.weight;
    let text = match weight {
        0 => "Its weight is 0: no new requests.".to_owned(),
        _ => format!("Its weight is {weight}."),
    };
    Factor { multiplier: f64::from(weight), ..factor(FactorName::Weight, (weight > 0).into(), text) }
}

fn health(scene: &Scene<'_>) -> Factor {
    let health = &scene.status.health;
    let ok = scene.server.state.health.is_healthy();
    let detail = if health.detail.is_empty() { String::new() } else { format!(": {}", health.detail) };
    let mut text = match health.verdict {
        HealthState::Initial => "It has not been checked yet".to_owned(),
        HealthState::Unhealthy if health.reason == Some(Reason::RecheckPending) => {
            "It was unhealthy before Weir restarted, and has not been checked since".to_owned()
        }
        HealthState::Unhealthy => format!("Active checks fail{detail}"),
        _ if health.reason == Some(Reason::ChecksDisabled) => {
            "Active checks are turned off: it is taken as healthy".to_owned()
        }
        _ => "Active checks pass".to_owned(),
    };
    if health.late {
        text.push_str("; the checker is late, so that this is old");
    }
    verdict(scene, FactorName::Health, ok.into(), text)
}

fn ejection(scene: &Scene<'_>) -> Factor {
    let outlier = &scene.status.outlier;
    let text = match outlier.until.filter(|_| scene.is_ejected()) {
        Some(until) => format!("It is ejected until {until}: {}", outlier.cause()),
        None if !scene.upstream.record.spec.outlier_detection.enabled => {
            "Ejection by the outcome of real requests is turned off".to_owned()
        }
        None => "It is not ejected".to_owned(),
    };
    verdict(scene, FactorName::Ejection, (!scene.is_ejected()).into(), text)
}

/// A factor that is a verdict, and does not count in a panic.
fn verdict(scene: &Scene<'_>, name: FactorName, says: Says, mut text: String) -> Factor {
    let is_distrusted = says == Says::No && scene.eligible.panic;
    text.push_str(if is_distrusted { ". It does not count, because the upstream is in panic." } else { "." });
    let factor = factor(name, says, text);
    if is_distrusted { Factor { multiplier: 1.0, ..factor } } else { factor }
}

fn priority(scene: &Scene<'_>) -> Factor {
    let priority = scene.server.priority;
    let mut in_use = scene.eligible.tiers.iter().filter(|tier| tier.priority == priority).peekable();
    let may_join = scene.server.is_wanted() && (scene.status.eligible || scene.eligible.panic);
    let ok = in_use.peek().is_some() || !may_join;
    let text = match in_use.map(|tier| tier.share).reduce(|sum, share| sum + share) {
        Some(share) => {
            format!("Priority {priority} is in use, for {} % of the requests.", tenths(share * 100.0))
        }
        None if may_join => {
            format!("It is a backup (priority {priority}): the levels before it can take all requests.")
        }
        None => format!("No server of priority {priority} may be picked."),
    };
    factor(FactorName::Priority, ok.into(), text)
}

fn subset(scene: &Scene<'_>, membership: Membership) -> Option<Factor> {
    let size = scene.upstream.record.spec.subset.size;
    let (says, text) = match membership {
        Membership::OfAll => return None,
        Membership::OfSubset => (Says::Yes, format!("It is one of the {size} servers this balancer uses.")),
        Membership::Spare if scene.is_member() => {
            (Says::Yes, "It stands in for one of this balancer's servers that may not be picked.".to_owned())
        }
        Membership::Spare => (Says::No, format!("It is not one of the {size} servers this balancer uses.")),
    };
    Some(factor(FactorName::Subset, says, text))
}

fn zone(scene: &Scene<'_>, side: Side) -> Option<Factor> {
    let priority = scene.server.priority;
    let is_its = |tier: &&Tier| tier.priority == priority && tier.side == side;
    let share = scene.eligible.tiers.iter().find(is_its).map(|tier| tenths(tier.share * 100.0));
    let (says, text) = match (side, share) {
        (Side::Anywhere, _) => return None,
        (Side::Local, Some(share)) => {
            (Says::Yes, format!("It is in this balancer's zone, which takes {share} % of the requests."))
        }
        (Side::Local, None) => (Says::Yes, "It is in this balancer's zone.".to_owned()),
        (Side::Remote, Some(share)) => (
            Says::Yes,
            format!(
                "It is in another zone than this balancer; {share} % of the requests go to such servers."
            ),
        ),
        (Side::Remote, None) if scene.eligible.tiers.iter().any(|tier| tier.priority == priority) => {
            let text = "It is in another zone than this balancer, whose own can take all requests.";
            (Says::No, text.to_owned())
        }
        (Side::Remote, None) => (Says::Yes, "It is in another zone than this balancer.".to_owned()),
    };
    Some(factor(FactorName::Zone, says, text))
}

fn slow_start(scene: &Scene<'_>) -> Option<Factor> {
    let policy = SlowStartPolicy::of(&scene.upstream.record.spec.slow_start)?;
    let percent = scene.eligible.percent(scene.index);
    let warm = scene.eligible.since(scene.index).map(|since| scene.now.moment.since(since));
    let text = match warm {
        None => "It warms up when it may be picked.".to_owned(),
        Some(_) if percent == 100 => "It has all of its weight.".to_owned(),
        Some(warm) => {
            let left = tenths(policy.left(warm).as_secs_f64());
            format!("It warms up: it has {percent} % of its weight, and all of it in {left} s.")
        }
    };
    let multiplier = f64::from(percent) / 100.0;
    Some(Factor { multiplier, ..factor(FactorName::SlowStart, Says::Yes, text) })
}
