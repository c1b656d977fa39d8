//! Until when certificates are valid: what an alert on expiry is made of.

use weir_shared::table::Table;

use super::writer::{Kind, Writer};

/// Writes them, named by the operator.
pub(super) fn write(table: &Table, text: &mut Writer) {
    let help = "Until when the certificate is valid, in seconds since 1970-01-01 UTC.";
    let mut family = text.family("weir_certificate_not_after_seconds", Kind::Gauge, help);
    for certificate in table.certificates() {
        let seconds = certificate.facts.not_after.0.div_euclid(1000);
        family.sample(&[("certificate", certificate.id.as_str())], seconds);
    }
}
