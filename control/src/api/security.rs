//! How a caller says who it is, written into the API's description: on every operation with the scope it needs.

use http::Method;
use utoipa::{
    Modify,
    openapi::{
        self,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    describe::operations,
    permissions::{self, Demand},
};
use crate::access::Probes;

const BEARER: &str = "bearer";

/// Describes tokens, and which scope each operation needs.
pub(super) struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("weir_<id>_<secret>")
            .description(Some(
                "Made at `/v1/tokens`. Needed over TCP as soon as there is one; a client certificate or the unix \
                 socket do as well.",
            ))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
        for (path, method, operation) in operations(document) {
            secure(path, &method, operation);
        }
    }
}

fn secure(path: &str, method: &Method, operation: &mut Operation) {
    // Nothing is needed as long as there is no token, hence the empty alternative. Scopes of bearer tokens have no place
    // in the requirement (OpenAPI 3.1 §4.8.30 has them for OAuth alone), so that a person is told.
    let token = || vec![SecurityRequirement::new(BEARER, [""; 0]), SecurityRequirement::default()];
    operation.security = Some(match permissions::of(method, Some(path), Probes::Guarded) {
        Demand::Public => Vec::new(),
        Demand::Anybody => token(),
        Demand::Needs(need) => {
            let description = operation.description.get_or_insert_default();
            description.push_str(&format!("\n\nNeeds the scope `{}`.", need.as_str()));
            token()
        }
    });
}
