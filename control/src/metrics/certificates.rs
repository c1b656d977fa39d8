//! Until when certificates are valid, which alerts on expiry are made of; and what came of clients' handshakes.

use weir_shared::{
    model::ListenerProtocol,
    state::{HandshakeFailure, TlsTotals},
    table::Table,
};

use super::writer::{Kind, Writer};

/// Writes them, named by the operator.
pub(super) fn write(table: &Table, text: &mut Writer) {
    let help = "Until when the certificate is valid, in seconds since 1970-01-01 UTC.";
    let mut family = text.family("weir_certificate_not_after_seconds", Kind::Gauge, help);
    for certificate in table.certificates() {
        let seconds = certificate.facts.not_after.0.div_euclid(1000);
        family.sample(&[("certificate", certificate.id.as_str())], seconds);
    }
    handshakes(table, text);
}

fn handshakes(table: &Table, text: &mut Writer) {
    let secured = table.listeners().filter(|listener| listener.spec.protocol == ListenerProtocol::Https);
    let rows: Vec<(&str, TlsTotals)> = secured
        .map(|listener| {
            (listener.id.as_str(), TlsTotals::sum(&listener.state.counters, |counters| &counters.tls))
        })
        .collect();
    let help = "TLS handshakes of clients that were made.";
    let mut family = text.family("weir_listener_tls_handshakes_total", Kind::Counter, help);
    for (id, totals) in &rows {
        family.sample(&[("listener", id)], totals.handshakes);
    }
    let help = "TLS handshakes of clients that went on with an earlier session.";
    let mut family = text.family("weir_listener_tls_resumptions_total", Kind::Counter, help);
    for (id, totals) in &rows {
        family.sample(&[("listener", id)], totals.resumed);
    }
    let help = "TLS handshakes of clients that failed, by reason.";
    let mut family = text.family("weir_listener_tls_handshake_failures_total", Kind::Counter, help);
    for (id, totals) in &rows {
        for why in HandshakeFailure::ALL {
            family.sample(&[("listener", id), ("reason", why.as_str())], totals.failed(why));
        }
    }
}
