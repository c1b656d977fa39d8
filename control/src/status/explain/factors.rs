//! Every factor that decides, with what it does to the weight.

use weir_shared::{
    model::AdminState,
    state::{HealthState, Reason},
};

use super::{
    Scene,
    view::{Factor, FactorName},
};

/// The factors of a server, in the order in which they decide.
pub(super) fn all(scene: &Scene<'_>) -> Vec<Factor> {
    vec![route(scene), admin_state(scene), weight(scene), health(scene), ejection(scene), priority(scene)]
}

/// What a factor does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Yes,
    No,
}

impl From<bool> for Says {
    fn from(ok: bool) -> Self {
        if ok { Self::Yes } else { Self::No }
    }
}

fn factor(name: FactorName, says: Says, text: String) -> Factor {
    let ok = says == Says::Yes;
    Factor { name, ok, multiplier: u32::from(ok), text }
}

fn route(scene: &Scene<'_>) -> Factor {
    let id = &scene.upstream.id;
    let text = match scene.is_routed {
        true => format!("A route sends to the upstream \"{id}\"."),
        false => {
            format!("No route sends to the upstream \"{id}\", so that none of its servers gets requests.")
        }
    };
    factor(FactorName::Route, scene.is_routed.into(), text)
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
    Factor { multiplier: weight.into(), ..factor(FactorName::Weight, (weight > 0).into(), text) }
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
    if is_distrusted { Factor { multiplier: 1, ..factor } } else { factor }
}

fn priority(scene: &Scene<'_>) -> Factor {
    let priority = scene.server.priority;
    let in_use = scene.members().any(|member| (member.priority == 0) == (priority == 0));
    let may_join = scene.server.is_wanted() && (scene.status.eligible || scene.eligible.panic);
    let ok = in_use || !may_join;
    let text = match (priority, in_use) {
        (_, true) => format!("Priority {priority} is in use."),
        (0, false) => "No server of priority 0 may be picked.".to_owned(),
        (_, false) => {
            format!("It is a backup (priority {priority}), and enough servers of priority 0 are healthy.")
        }
    };
    factor(FactorName::Priority, ok.into(), text)
}
