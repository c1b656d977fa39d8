//! Plans that replace everything: a whole configuration that was submitted, or one from the history.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use weir_shared::{
    error::{FieldError, FieldErrorCode, Pointer},
    id::{Revision, UpstreamId},
    model::{
        Certificate, CertificateKind, Config, Listener, Route, Upstream, UpstreamRecord, check,
        check_references,
    },
};

use super::{
    Plan, Scene, certificates, draft::Draft, ids, listeners, none_or_invalid, planned,
    routes::unknown_upstream, upstreams,
};
use crate::{
    catalog::{
        change::{Effect, Unnamed},
        document::Whole,
        submitted::Submitted,
    },
    error::{CatalogError, Loss, Target},
    strict,
};

/// Groups smaller than this, and configurations with fewer servers in all, may lose any number of servers: what is small
/// changes by halves every day.
const GUARDED_SERVERS: usize = 4;

/// What shall be there.
struct Wanted {
    upstreams: Vec<Upstream>,
    /// `None`: nothing was said of certificates.
    certificates: Option<Vec<Certificate>>,
    /// `None`: nothing was said of routes.
    routes: Option<Vec<Route>>,
    /// `None`: nothing was said of listeners.
    listeners: Option<Vec<Listener>>,
}

/// Replaces everything by `whole`.
pub(super) fn put(
    scene: &Scene<'_>,
    whole: &Whole,
    unnamed: Unnamed,
    confirmed: Option<Revision>,
) -> Result<Plan, CatalogError> {
    scene.demand(Target::Config, Some(scene.config.revision))?;
    let mut errors = Vec::new();
    let mut wanted = Vec::with_capacity(whole.upstreams.len());
    for submitted in &whole.upstreams {
        let mut upstream = submitted.value.clone();
        let before = scene.config.upstreams.get(upstream.id.as_str());
        ids::fill(&mut upstream.servers, before.map_or(&[], |before| &before.servers));
        if !submitted.claims.is_empty() {
            let by_id: HashMap<&str, _> = before
                .iter()
                .flat_map(|before| &before.servers)
                .map(|record| (record.server.id.as_str(), &record.meta))
                .collect();
            let meta = |server: Option<usize>| match server {
                None => before.map(|before| &before.meta),
                Some(place) => by_id.get(upstream.servers.get(place)?.id.as_str()).copied(),
            };
            submitted.claims.check(meta, &scene.config.routes_to(&upstream.id), &mut errors);
        }
        wanted.push(upstream);
    }
    let certificates = wanted_certificates(scene, whole, &mut errors);
    references(scene, (&wanted, whole), certificates.as_deref(), unnamed, &mut errors);
    let names: HashSet<&str> = wanted.iter().map(|upstream| upstream.id.as_str()).collect();
    let root = Pointer::root();
    routes(scene, whole, &names, unnamed, &mut errors);
    let known = |id: &str| {
        names.contains(id) || (unnamed == Unnamed::Keep && scene.config.upstreams.contains_key(id))
    };
    let listeners = wanted_listeners(scene, whole, unnamed, known, &mut errors);
    if unnamed == Unnamed::Keep {
        let kept = scene.config.upstreams.values().filter(|record| !names.contains(record.spec.id.as_str()));
        let (upstreams, servers) = kept
            .fold((wanted.len(), servers(&wanted)), |(upstreams, servers), record| {
                (upstreams + 1, servers + record.servers.len())
            });
        if upstreams > check::MAX_UPSTREAMS || servers > check::MAX_SERVERS {
            let detail = format!(
                "with what is there and not named this makes {upstreams} upstreams and {servers} servers; at most {} \
                 and {} are held",
                check::MAX_UPSTREAMS,
                check::MAX_SERVERS
            );
            errors.push(root.at("upstreams").error(FieldErrorCode::TooMany, detail));
        }
    }
    none_or_invalid(errors)?;
    let routes = whole.routes.as_ref().map(|routes| routes.iter().map(|route| route.value.clone()).collect());
    let wanted = Wanted { upstreams: wanted, certificates, routes, listeners };
    carry_out(scene, wanted, unnamed, confirmed)
}

/// The listeners of `whole`, checked together with those that stay. `known` tells which upstreams there will be.
fn wanted_listeners(
    scene: &Scene<'_>,
    whole: &Whole,
    unnamed: Unnamed,
    known: impl Fn(&str) -> bool,
    errors: &mut Vec<FieldError>,
) -> Option<Vec<Listener>> {
    let present = |id: &str| scene.config.listeners.get(id).map(AsRef::as_ref);
    for submitted in whole.listeners.iter().flatten() {
        submitted.claims.check(|_| present(&submitted.value.id).map(|record| &record.meta), &[], errors);
    }
    let wanted: Option<Vec<Listener>> = whole.listeners.as_ref().map(|all| {
        let spec = |one: &Submitted<Listener>| {
            listeners::keeping(&whole.kept, present(&one.value.id), one.value.clone())
        };
        all.iter().map(spec).collect()
    });
    let root = Pointer::root();
    let is_named = |id: &str| wanted.iter().flatten().any(|listener| listener.id == id);
    let stay = |id: &str| !is_named(id) && (wanted.is_none() || unnamed == Unnamed::Keep);
    let staying = scene.config.listeners.values().map(|record| &record.spec).filter(|spec| stay(&spec.id));
    let staying: Vec<&Listener> = staying.collect();
    for spec in &staying {
        if let Some(upstream) = spec.upstream.as_deref().filter(|id| !known(id)) {
            let detail = format!("the connections of the listener \"{}\" go to \"{upstream}\"", spec.id);
            errors.push(root.at("upstreams").error(FieldErrorCode::UnknownReference, detail));
        }
    }
    // Those were told of.
    let known = |id: &str| known(id) || staying.iter().any(|spec| spec.upstream.as_deref() == Some(id));
    let staying = staying.iter().map(|spec| (root.at("upstreams"), *spec));
    let named = wanted.iter().flatten().enumerate();
    let all = staying.chain(named.map(|(index, spec)| (root.at("listeners").at(index), spec)));
    check::listeners_together(all, known, errors);
    for (index, spec) in wanted.iter().flatten().enumerate() {
        listeners::beside_default(scene, present(&spec.id), spec, &root.at("listeners").at(index), errors);
    }
    wanted
}

/// The certificates of `whole`, each with a private key: its own, or the one that is there.
fn wanted_certificates(
    scene: &Scene<'_>,
    whole: &Whole,
    errors: &mut Vec<FieldError>,
) -> Option<Vec<Certificate>> {
    let at = Pointer::root().at("certificates");
    let wanted = whole.certificates.as_ref()?.iter().enumerate().map(|(index, submitted)| {
        let before = scene.config.certificates.get(submitted.value.id.as_str()).map(AsRef::as_ref);
        submitted.claims.check(|_| before.map(|before| &before.meta), &[], errors);
        certificates::with_key(before, &submitted.value, &at.at(index), errors)
    });
    Some(wanted.collect())
}

/// Checks that the certificates that upstreams and listeners name will be there.
fn references(
    scene: &Scene<'_>,
    (upstreams, whole): (&[Upstream], &Whole),
    certificates: Option<&[Certificate]>,
    unnamed: Unnamed,
    errors: &mut Vec<FieldError>,
) {
    let wanted: HashMap<&str, CertificateKind> = certificates
        .into_iter()
        .flatten()
        .map(|certificate| (certificate.id.as_str(), certificate.kind))
        .collect();
    let keeps = certificates.is_none() || unnamed == Unnamed::Keep;
    let kind =
        |id: &str| wanted.get(id).copied().or_else(|| scene.config.certificate_kind(id).filter(|_| keeps));
    let at = Pointer::root().at("upstreams");
    for (index, upstream) in upstreams.iter().enumerate() {
        if upstream.tls.references().next().is_some() {
            check_references(upstream.tls.references(), kind, &at.at(index).at("tls"), errors);
        }
    }
    let at = Pointer::root().at("listeners");
    for (index, listener) in whole.listeners.iter().flatten().enumerate() {
        check_references(listener.value.tls.references(), kind, &at.at(index).at("tls"), errors);
    }
}

/// Checks what the routes of `whole` refer to, and what they repeat of what Weir notes. `names` are its upstreams.
fn routes(
    scene: &Scene<'_>,
    whole: &Whole,
    names: &HashSet<&str>,
    unnamed: Unnamed,
    errors: &mut Vec<FieldError>,
) {
    let at = Pointer::root().at("routes");
    let kept = || scene.config.upstreams.keys().map(UpstreamId::as_str).filter(|_| unnamed == Unnamed::Keep);
    let mut known = None;
    for (index, route) in whole.routes.iter().flatten().enumerate() {
        let present = scene.config.routes.get(route.value.id.as_str());
        route.claims.check(|_| present.map(|record| &record.meta), &[], errors);
        for (place, target) in route.value.action.upstreams.iter().enumerate() {
            let id = target.upstream.as_str();
            let is_kept = unnamed == Unnamed::Keep && scene.config.upstreams.contains_key(id);
            if !names.contains(id) && !is_kept && errors.len() < strict::MAX_ERRORS {
                let known: &Vec<&str> =
                    known.get_or_insert_with(|| names.iter().copied().chain(kept()).collect());
                let at = at.at(index).at("action").at("upstreams").at(place);
                errors.push(unknown_upstream(&at, id, known));
            }
        }
    }
}

fn servers(upstreams: &[Upstream]) -> usize {
    upstreams.iter().map(|upstream| upstream.servers.len()).sum()
}

/// Replaces everything by what `target` holds, which is from the history.
pub(super) fn roll_back(
    scene: &Scene<'_>,
    target: &Config,
    confirmed: Option<Revision>,
) -> Result<Plan, CatalogError> {
    scene.demand(Target::Config, Some(scene.config.revision))?;
    let upstreams = target.upstreams.values().map(|record| record.to_model()).collect();
    let routes = target.routes.values().map(|record| record.spec.clone()).collect();
    let listeners = target.listeners.values().map(|record| record.spec.clone()).collect();
    let certificates = target.certificates.values().map(|record| record.spec.clone()).collect();
    let wanted = Wanted {
        upstreams,
        certificates: Some(certificates),
        routes: Some(routes),
        listeners: Some(listeners),
    };
    carry_out(scene, wanted, Unnamed::Delete, confirmed)
}

fn carry_out(
    scene: &Scene<'_>,
    wanted: Wanted,
    unnamed: Unnamed,
    confirmed: Option<Revision>,
) -> Result<Plan, CatalogError> {
    let before = scene.config;
    let mut draft = scene.draft();
    if let Some(certificates) = wanted.certificates {
        set_certificates(&mut draft, before, certificates, unnamed);
    }
    let names: HashSet<String> = wanted.upstreams.iter().map(|upstream| upstream.id.clone()).collect();
    if unnamed == Unnamed::Delete {
        for record in before.upstreams.values().filter(|record| !names.contains(&record.spec.id)) {
            draft.delete_upstream(record);
        }
    }
    let mut first_new = None;
    for upstream in wanted.upstreams {
        match before.upstreams.get(upstream.id.as_str()) {
            Some(record) => upstreams::revise(&mut draft, record, upstream),
            None => {
                first_new.get_or_insert_with(|| upstream.id.clone());
                draft.create_upstream(upstream);
            }
        }
    }
    let bound_routes = match wanted.routes {
        Some(routes) => {
            set_routes(&mut draft, before, routes, unnamed);
            Vec::new()
        }
        None => keep_routes(&mut draft, before, first_new.as_deref()),
    };
    if let Some(listeners) = wanted.listeners {
        set_listeners(&mut draft, before, listeners, unnamed);
    }
    if draft.is_untouched() {
        return Ok(scene.unchanged("", Vec::new()));
    }
    let mut plan = planned(draft, Effect::Changed, "", Vec::new());
    plan.outcome.bound_routes = bound_routes;
    if confirmed != Some(before.revision) {
        plan.outcome.losses = losses(before, &plan.next);
    }
    Ok(plan)
}

/// Makes the listeners those that are wanted. `default` is always there.
fn set_listeners(draft: &mut Draft, before: &Config, listeners: Vec<Listener>, unnamed: Unnamed) {
    let names: HashSet<String> = listeners.iter().map(|listener| listener.id.clone()).collect();
    for listener in listeners {
        draft.set_listener(listener);
    }
    if unnamed == Unnamed::Delete {
        for id in before.listeners.keys().filter(|id| !names.contains(id.as_str())) {
            draft.delete_listener(id.as_str());
        }
    }
}

/// Makes the certificates those that are wanted.
fn set_certificates(draft: &mut Draft, before: &Config, certificates: Vec<Certificate>, unnamed: Unnamed) {
    let names: HashSet<String> = certificates.iter().map(|certificate| certificate.id.clone()).collect();
    for certificate in certificates {
        draft.set_certificate(certificate);
    }
    if unnamed == Unnamed::Delete {
        for id in before.certificates.keys().filter(|id| !names.contains(id.as_str())) {
            draft.delete_certificate(id.as_str());
        }
    }
}

/// Makes the routes those that are wanted. The one that takes every request is always there.
fn set_routes(draft: &mut Draft, before: &Config, routes: Vec<Route>, unnamed: Unnamed) {
    let names: HashSet<String> = routes.iter().map(|route| route.id.clone()).collect();
    for route in routes {
        draft.set_route(route);
    }
    if unnamed == Unnamed::Keep {
        return;
    }
    for id in before.routes.keys().filter(|id| !names.contains(id.as_str())) {
        if id.as_str() == Route::DEFAULT_ID {
            draft.set_route(Route::catch_all(None));
        } else {
            draft.delete_route(id.as_str());
        }
    }
}

/// Leaves the routes as they are, apart from upstreams that are gone, and binds the catch-all route to the first upstream
/// that is new if it is bound to nothing, as creating that upstream would. Answers the routes bound.
fn keep_routes(draft: &mut Draft, before: &Config, first_new: Option<&str>) -> Vec<String> {
    for record in before.routes.values() {
        for target in &record.spec.action.upstreams {
            if !draft.has_upstream(&target.upstream) {
                draft.unbind(&record.spec.id, &target.upstream);
            }
        }
    }
    first_new.map(|id| draft.bind_default(id)).unwrap_or_default()
}

/// What looks like a wiped template: an upstream that loses more than half of its servers, less than half as
/// many servers in all, or every upstream gone. A server at another address is another one. The largest loss comes first.
fn losses(before: &Config, after: &Config) -> Vec<Loss> {
    let mut losses = Vec::new();
    let (mut all, mut is_any_kept) = (0, false);
    for (id, record) in &before.upstreams {
        let next = after.upstreams.get(id);
        is_any_kept |= next.is_some();
        let (removed, of) = (removed(record, next.map(AsRef::as_ref)), record.servers.len());
        all += of;
        if removed > 0 {
            losses.push(Loss { upstream: id.to_string(), removed, of });
        }
    }
    let is_large = |removed: usize, of: usize| of >= GUARDED_SERVERS && removed * 2 > of;
    let left: usize = after.upstreams.values().map(|record| record.servers.len()).sum();
    if is_any_kept && !is_large(all.saturating_sub(left), all) {
        losses.retain(|loss| is_large(loss.removed, loss.of));
    }
    losses.sort_by_key(|loss| Reverse(loss.removed));
    losses
}

fn removed(before: &UpstreamRecord, after: Option<&UpstreamRecord>) -> usize {
    let Some(after) = after else { return before.servers.len() };
    if std::ptr::eq(before, after) {
        return 0;
    }
    let kept: HashMap<&str, &str> = after
        .servers
        .iter()
        .map(|record| (record.server.id.as_str(), record.server.address.as_str()))
        .collect();
    let is_kept = |id: &str, address: &str| kept.get(id) == Some(&address);
    let servers = before.servers.iter().map(|record| &record.server);
    servers.filter(|server| !is_kept(&server.id, &server.address)).count()
}
