//! `/v1/certificates`. Private keys go in here and come out nowhere.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{
    id::Revision,
    model::{Certificate, CertificateKind, CertificateRecord, Config, Meta},
    time::Timestamp,
    tls::{self, CertificateStatus, Facts},
};

use super::{
    Api,
    answer::Answer,
    body, examples,
    found::{found, placed},
    paging::Paging,
    params::Params,
    problem::Problem,
    reply::{self, Call},
};
use crate::{
    catalog::{Applied, certificate, change::Change},
    error::Target,
};

/// A certificate, what it says, and what Weir notes. Never with its private key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CertificateResource)]
pub(super) struct View {
    /// Its name.
    #[schema(example = "site")]
    id: String,
    /// Free text.
    description: String,
    /// Labels.
    labels: std::collections::BTreeMap<String, String>,
    /// What it is for.
    kind: CertificateKind,
    /// The certificates in PEM.
    certificate: String,
    /// SHA-256 of the first certificate, in hexadecimal digits.
    fingerprint: String,
    /// Whom the first certificate is for.
    subject: String,
    /// Who signed it.
    issuer: String,
    /// Its number among those of its issuer, in hexadecimal digits.
    serial: String,
    /// Its subject alternative names.
    names: Vec<String>,
    /// Its kind of key: `rsa-2048`, `ecdsa-p256`, `ecdsa-p384` or `ed25519`; of kind `ca` others too.
    #[schema(example = "ecdsa-p256")]
    key_type: String,
    /// From when it is valid. Of kind `ca`: from when the first of them is.
    not_before: Timestamp,
    /// Until when it is valid. Of kind `ca`: until when the last of them is.
    not_after: Timestamp,
    /// Whether it can be used now.
    status: CertificateStatus,
    /// The paths of what names it.
    used_by: Vec<String>,
    #[serde(flatten)]
    meta: Meta,
}

impl View {
    /// The certificate of `record`, which `used_by` names, as it is at `now`.
    pub(super) fn of(record: &CertificateRecord, used_by: Vec<String>, now: Timestamp) -> Self {
        // What is stored was read before.
        let Facts { fingerprint, subject, issuer, serial, names, key_type, not_before, not_after, .. } =
            tls::read(&record.spec).unwrap_or_default();
        let Certificate { id, description, labels, kind, certificate, private_key: _ } = record.spec.clone();
        Self {
            id,
            description,
            labels,
            kind,
            certificate,
            fingerprint,
            subject,
            issuer,
            serial,
            names,
            key_type,
            not_before,
            not_after,
            status: CertificateStatus::of(not_before, not_after, now),
            used_by,
            meta: record.meta,
        }
    }
}

/// A page of certificates, ordered by id.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CertificatePage)]
pub(super) struct Page {
    /// The certificates.
    items: Vec<View>,
    /// Where the next page begins; null on the last.
    next: Option<String>,
    /// The revision they are of.
    revision: Revision,
}

/// Lists certificates
///
/// Ordered by id; without their private keys.
#[utoipa::path(
    get, path = "/v1/certificates", tag = "certificates", operation_id = "listCertificates",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most certificates in the answer. Default 100."),
        ("after" = Option<String>, Query, description = "Continues a list: the `next` of the answer before."),
        ("status" = Option<String>, Query, description = "Only certificates with one of these, with commas between them.", example = "expiring,expired"),
    ),
    responses((status = 200, description = "A page of certificates", body = Page, example = json!(examples::certificates())))
)]
pub(super) async fn list(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let paging = Paging::of(&mut params);
    let wanted = params.words("status", &["ok", "expiring", "expired", "not_yet_valid"]);
    params.finish()?;
    let table = api.catalog.reader().snapshot();
    let now = api.clock.now().wall;
    let users = users(table.config());
    let ahead = table.certificates().filter(|certificate| paging.is_ahead(certificate.id.as_str())).filter(
        |certificate| wanted.is_empty() || wanted.iter().any(|word| word == certificate.status(now).as_str()),
    );
    let view = |record: &CertificateRecord| {
        View::of(record, users.get(record.spec.id.as_str()).cloned().unwrap_or_default(), now)
    };
    let (page, next) = paging.page(ahead, |certificate| certificate.id.as_str());
    let items = page.into_iter().map(|certificate| view(&certificate.record)).collect();
    let page = Page { items, next, revision: table.revision() };
    let response = reply::json(StatusCode::OK, &page);
    // Never 304: a status changes without a revision.
    let mut response = reply::tagged(response, table.revision(), &table.config().epoch);
    reply::set(response.headers_mut(), reply::REVISION, &table.revision().to_string());
    Ok(response)
}

/// The paths of what names each certificate.
fn users(config: &Config) -> HashMap<&str, Vec<String>> {
    let mut users: HashMap<&str, Vec<String>> = HashMap::new();
    for (path, names) in config.certificate_users() {
        for name in names {
            let paths = users.entry(name).or_default();
            if paths.last() != Some(&path) {
                paths.push(path.clone());
            }
        }
    }
    users
}

/// Creates a certificate
///
/// Of kind `identity`: the certificate with its chain, and its private key. Of kind `ca`: certificates to believe. One that has
/// expired is taken, and shown as such: it may be what is to be put back.
#[utoipa::path(
    post, path = "/v1/certificates", tag = "certificates", operation_id = "createCertificate",
    params(("dry_run" = Option<bool>, Query, description = "Does everything but make the change.")),
    request_body(content = Certificate, examples(
        ("To prove with" = (value = json!(examples::certificate_to_put()))),
        ("To believe" = (value = json!(examples::authority_to_put()))),
    )),
    responses(
        (status = 201, description = "Created", body = View, headers(("Location" = String, description = "Where it is"), ("ETag" = String, description = "Its state")), example = json!(examples::certificate())),
    )
)]
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let certificate = body::read(request, |body| Ok(certificate::certificate(body, None)?)).await?;
    let id = certificate.value.id.clone();
    call.apply(Change::CreateCertificate { certificate }, answer(&api, id)).await
}

/// Reads a certificate
///
/// Without its private key.
#[utoipa::path(
    get, path = "/v1/certificates/{certificate}", tag = "certificates", operation_id = "getCertificate",
    params(("certificate" = String, Path, description = "Id of the certificate", example = "site")),
    responses((status = 200, description = "The certificate", body = View, headers(("ETag" = String, description = "Its state")), example = json!(examples::certificate())))
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let config = api.catalog.config();
    let record = found(config.certificates.get(id.as_str()), "certificate", &id)?;
    let view = View::of(record, of(&config, &id), api.clock.now().wall);
    // Never 304: its status changes without a revision.
    let mut response = reply::tagged(reply::json(StatusCode::OK, &view), record.meta.revision, &config.epoch);
    reply::set(response.headers_mut(), reply::REVISION, &config.revision.to_string());
    Ok(response)
}

/// Creates or replaces a certificate
///
/// In force with the answer: handshakes that begin after it use the new one, those under way end with the old one, and no
/// connection is closed. Without a private key the one that is there is kept, if it is that of the new certificate too.
#[utoipa::path(
    put, path = "/v1/certificates/{certificate}", tag = "certificates", operation_id = "putCertificate",
    params(
        ("certificate" = String, Path, description = "Id of the certificate", example = "site"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is none"),
    ),
    request_body(content = Certificate, example = json!(examples::certificate_to_put())),
    responses(
        (status = 200, description = "Replaced, or equal already", body = View, example = json!(examples::certificate())),
        (status = 201, description = "Created", body = View, example = json!(examples::certificate())),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let name = id.clone();
    let certificate =
        body::read(request, move |body| Ok(certificate::certificate(body, Some(&name))?)).await?;
    call.apply(Change::PutCertificate { id: id.clone(), certificate }, answer(&api, id)).await
}

/// Changes some fields of a certificate
///
/// A JSON Merge Patch (RFC 7396). To renew it, name `certificate` and `private_key` together, or the former alone when the key
/// stays.
#[utoipa::path(
    patch, path = "/v1/certificates/{certificate}", tag = "certificates", operation_id = "patchCertificate",
    params(
        ("certificate" = String, Path, description = "Id of the certificate", example = "site"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
    ),
    request_body(content = Certificate, content_type = "application/merge-patch+json", example = json!({"description": "the shop's"})),
    responses((status = 200, description = "Changed, or equal already", body = View, example = json!(examples::certificate())))
)]
pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let mut patch = body::read_patch(request).await?;
    let private_key = certificate::take_key(&mut patch)?;
    let change = Change::PatchCertificate { id: id.clone(), patch, private_key };
    call.apply(change, answer(&api, id)).await
}

/// Deletes a certificate
///
/// Refused while a listener or an upstream names it.
#[utoipa::path(
    delete, path = "/v1/certificates/{certificate}", tag = "certificates", operation_id = "deleteCertificate",
    params(
        ("certificate" = String, Path, description = "Id of the certificate", example = "site"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
    ),
    responses((status = 204, description = "Deleted"))
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    call.apply(Change::DeleteCertificate { id }, |applied| Ok(Answer::empty(applied))).await
}

/// The paths of what names the certificate `id`.
fn of(config: &Config, id: &str) -> Vec<String> {
    config.certificate_users().filter(|(_, names)| names.contains(&id)).map(|(path, _)| path).collect()
}

fn answer(
    api: &Api,
    id: String,
) -> impl Fn(&Applied) -> Result<Answer, Problem> + Clone + Send + Sync + 'static + use<> {
    let clock = api.clock;
    move |applied| {
        let record = placed(applied.config.certificates.get(id.as_str()), "certificate")?;
        let view = View::of(record, of(&applied.config, &id), clock.now().wall);
        Answer::resource(applied, &Target::Certificate(id.clone()), record.meta.revision, &view)
    }
}
