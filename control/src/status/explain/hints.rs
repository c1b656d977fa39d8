//! What would change that a server gets no requests, in words for whoever has to do it.

use weir_shared::{model::AdminState, state::Reason};

use super::{
    Scene,
    view::{Factor, FactorName},
};

/// What to do, for each factor that keeps the server out or that only a panic overrules.
pub(super) fn of(scene: &Scene<'_>, factors: &[Factor]) -> Vec<String> {
    factors.iter().filter(|factor| !factor.ok).map(|factor| hint(scene, factor.name)).collect()
}

fn hint(scene: &Scene<'_>, factor: FactorName) -> String {
    let at = format!("/v1/upstreams/{}/servers/{}", scene.upstream.id, scene.server.id);
    match factor {
        FactorName::Route => format!(
            "Have an enabled route send a share to the upstream \"{}\", or a TCP listener its connections.",
            scene.upstream.id
        ),
        FactorName::AdminState => {
            let what = match scene.server.admin_state {
                AdminState::Drain => "is drained",
                AdminState::Ready | AdminState::Maint => "is in maintenance",
            };
            format!(
                "It {what} by the operator's wish: PATCH {at} with {{\"admin_state\": \"ready\"}} to use it again."
            )
        }
        FactorName::Weight => format!("PATCH {at} with {{\"weight\": 1}}, or any weight above 0."),
        FactorName::Health => health(scene),
        FactorName::Ejection => ejection(scene),
        FactorName::Subset => {
            "Other balancers use it; this one does when too few of its own may be picked, or with a larger subset.size."
                .to_owned()
        }
        FactorName::Zone => {
            "It is used when this balancer's zone is short of servers; {\"zone_awareness\": {\"mode\": \"off\"}} \
             uses all zones alike."
                .to_owned()
        }
        FactorName::Limits => {
            "It gets requests as places become free; raise max_requests of the server, limits.max_requests of the upstream or \
             adaptive_limit.max, or add servers."
                .to_owned()
        }
        FactorName::AdaptiveLimit => "Its limit grows while it answers as fast as usual.".to_owned(),
        FactorName::Pause => {
            "It asked for this with Retry-After; {\"server_retry_after\": {\"enabled\": false}} uses it regardless.".to_owned()
        }
        FactorName::CircuitBreaker => {
            "It closes when requests that are let through to try succeed: see why they failed.".to_owned()
        }
        FactorName::SlowStart => "It gets more requests by and by.".to_owned(),
        FactorName::Priority => {
            "It is used when too few servers of lower priority numbers are healthy; give it priority 0 to use it now."
                .to_owned()
        }
    }
}

fn health(scene: &Scene<'_>) -> String {
    let health = &scene.status.health;
    let address = &scene.server.address;
    let spec = &scene.upstream.record.spec.health_check;
    let mend = match health.reason {
        Some(Reason::ConnectRefused) => {
            format!("Nothing accepts connections at {address}: start the server there.")
        }
        Some(Reason::ConnectTimeout) => {
            format!(
                "No connection to {address} within {}: look for a host that is down, or a firewall.",
                spec.effective_timeout()
            )
        }
        Some(Reason::ConnectError) => format!("No connection to {address} can be made from here."),
        Some(Reason::TlsError) => "Its certificate is not accepted, or it speaks no TLS: check tls.ca and tls.server_name of the \
                                  upstream, and the certificate of the server."
            .to_owned(),
        Some(Reason::DnsError) => format!("The name in {address} cannot be resolved from here."),
        Some(Reason::ResponseTimeout) => {
            format!(
                "It takes a connection and does not answer within {}: it may be overloaded or hang.",
                spec.effective_timeout()
            )
        }
        Some(Reason::Reset) => "It ends the connection before its answer is complete.".to_owned(),
        Some(Reason::MalformedResponse) => {
            "It does not answer in HTTP: check the port, or use a tcp check.".to_owned()
        }
        Some(Reason::StatusMismatch) => {
            "Its answer has a status that is not expected: mend the answer, or change health_check.path or \
             health_check.expected_statuses."
                .to_owned()
        }
        Some(Reason::BodyMismatch) => {
            "The body of its answer does not hold health_check.expected_body: mend the answer, or change the text."
                .to_owned()
        }
        Some(Reason::GrpcNotServing) => {
            "It says itself that it is not serving: ask the server why.".to_owned()
        }
        Some(Reason::GrpcServiceUnknown) => {
            "It does not know the service: check health_check.grpc_service, or register it there.".to_owned()
        }
        Some(Reason::GrpcUnimplemented) => {
            "It has no gRPC health service: add grpc.health.v1.Health to it, or use a tcp check.".to_owned()
        }
        Some(Reason::GrpcStatus) => "Its health service answers with an error.".to_owned(),
        _ => "The first check decides.".to_owned(),
    };
    let needed = match health.reason {
        Some(Reason::FirstCheckPending | Reason::RecheckPending) | None => 1,
        Some(_) => scene.upstream.thresholds.healthy.saturating_sub(health.consecutive_ok).max(1),
    };
    let checks =
        if needed == 1 { "one passed check".to_owned() } else { format!("{needed} passed checks in a row") };
    let next = health.next_at.map(|at| format!("; the next is due at {at}")).unwrap_or_default();
    format!("{mend} It gets requests after {checks}{next}.")
}

fn ejection(scene: &Scene<'_>) -> String {
    let until = scene.status.outlier.until.unwrap_or(scene.now.wall);
    let spec = &scene.upstream.record.spec;
    let is_by_rates =
        scene.status.outlier.evidence.is_some_and(|evidence| evidence.detector().is_statistical());
    let may_end_early = spec.health_check.enabled
        && spec.outlier_detection.successful_active_health_check_uneject_server
        && !is_by_rates;
    let sooner = if may_end_early { ", or sooner if an active check speaks for it" } else { "" };
    format!("The ejection ends by itself at {until}{sooner}; errors right after that eject it for longer.")
}
