//! Certificates: `get certificates` and `add certificate`, which reads them from files.

use std::path::Path;

use hyper::Method;
use serde_json::Value;

use super::{
    Session, apply,
    args::{AddCertificate, CertificateKind},
    call::Call,
    change::done,
    error::CtlError,
    fields,
    get::{entries, named},
    pages,
    table::Table,
    text::{self, segment},
};

/// Where a certificate is.
pub(super) fn path(certificate: &str) -> String {
    format!("/v1/certificates/{}", segment(certificate))
}

/// Shows those with these names, or all of the list that `filters` asks for.
pub(super) async fn show(session: &Session, names: &[String], filters: Call) -> Result<(), CtlError> {
    let answer = if names.is_empty() {
        pages::all(&session.client, filters, "items").await?
    } else {
        named(session, "/v1/certificates", names).await?
    };
    session.output.show(&answer, |document| {
        let columns = [
            ("ID", "id"),
            ("KIND", "kind"),
            ("NAMES", "names"),
            ("KEY", "key_type"),
            ("EXPIRES", "not_after"),
            ("STATUS", "status"),
            ("USED BY", "used_by"),
        ];
        Table::of(&columns, entries(document)).render(session.output.paint)
    })
}

/// Adds a certificate, or replaces it.
pub(super) async fn add(session: &Session, wanted: &AddCertificate) -> Result<(), CtlError> {
    let mut document = fields::document(&wanted.fields)?;
    document.insert("id".to_owned(), wanted.name.as_str().into());
    let kind = match wanted.kind {
        CertificateKind::Identity => "identity",
        CertificateKind::Ca => "ca",
    };
    document.insert("kind".to_owned(), kind.into());
    document.insert("certificate".to_owned(), pem(&wanted.certificate)?.into());
    if let Some(file) = &wanted.private_key {
        document.insert("private_key".to_owned(), pem(file)?.into());
    }
    let call = if wanted.replace {
        Call::new(Method::PUT, path(&wanted.name))
    } else {
        Call::new(Method::POST, "/v1/certificates")
    };
    let answer = session.client.send(&wanted.write.on(call).json(&Value::Object(document))).await?;
    session.output.changed(&answer, |document| {
        let verb = if answer.status() == 200 { "replaced" } else { "added" };
        let until = text::time(&text::at(document, "not_after"));
        let what = format!("certificate {} {verb}, valid until {until}", text::at(document, "id"));
        done(&answer, document, &what, session.output.paint)
    })
}

fn pem(file: &Path) -> Result<String, CtlError> {
    let wrong = |_| CtlError::Usage(format!("{} is not PEM: it is no text", file.display()));
    String::from_utf8(apply::read(file)?).map_err(wrong)
}
