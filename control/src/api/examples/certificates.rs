//! Examples of certificates.

use serde_json::{Value, json};

use super::AT;

/// A certificate as one would write it.
pub(in crate::api) fn certificate_to_put() -> Value {
    json!({
        "id": "site",
        "certificate": "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n",
        "private_key": "-----BEGIN PRIVATE KEY-----\nMIGH…\n-----END PRIVATE KEY-----\n"
    })
}

/// Certificates to believe, as one would write them.
pub(in crate::api) fn authority_to_put() -> Value {
    json!({
        "id": "internal-ca", "kind": "ca",
        "certificate": "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n"
    })
}

/// A certificate.
pub(in crate::api) fn certificate() -> Value {
    json!({
        "id": "site", "description": "", "labels": {}, "kind": "identity",
        "certificate": "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n",
        "fingerprint": "3f1c0e6a9b3d4c7e8a5f2b1d0c9e8f7a3f1c0e6a9b3d4c7e8a5f2b1d0c9e8f7a",
        "subject": "CN=www.example.com", "issuer": "CN=Example CA", "serial": "0a1b2c",
        "names": ["www.example.com", "*.shop.example.com"], "key_type": "ecdsa-p256", "not_before": AT,
        "not_after": AT.plus(std::time::Duration::from_secs(90 * 86_400)), "status": "ok",
        "used_by": ["/listeners/https"], "revision": 1, "created_at": AT, "updated_at": AT
    })
}

/// A page of certificates.
pub(in crate::api) fn certificates() -> Value {
    json!({"items": [certificate()], "next": null, "revision": 1})
}
