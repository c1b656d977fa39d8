//! Refuses requests to an upstream whose circuit breaker is open, and tells the breaker how the others ended.

use http::Response;
use weir_shared::{
    state::{BreakerPolicy, BreakerState, Outcome, Pass},
    table::Upstream,
};

use crate::{
    body::ResponseBody,
    error::ProxyError,
    exchange::{Exchange, Refusal},
    grpc,
};

/// A request that was let through, and is reported when it has ended.
pub(crate) struct Trip<'a> {
    exchange: &'a Exchange,
    upstream: &'a Upstream,
    /// The breaker, if there is one.
    pass: Option<(BreakerPolicy, Pass)>,
}

impl<'a> Trip<'a> {
    /// Lets a request to `upstream` through.
    ///
    /// # Errors
    /// The breaker is open.
    pub(crate) fn begin(exchange: &'a Exchange, upstream: &'a Upstream) -> Result<Self, ProxyError> {
        let Some(policy) = upstream.breaker else { return Ok(Self { exchange, upstream, pass: None }) };
        match upstream.state.breaker.admit(policy, exchange.worker().now()) {
            Ok(pass) => {
                tell(upstream, pass.turned(), policy);
                Ok(Self { exchange, upstream, pass: Some((policy, pass)) })
            }
            Err(wait) => {
                exchange.refuse(Refusal { wait: Some(wait), rate: None });
                Err(ProxyError::CircuitOpen)
            }
        }
    }

    /// The request has ended, or the head of its response has come.
    pub(crate) fn end(mut self, result: &Result<Response<ResponseBody>, ProxyError>) {
        self.report(match result {
            Ok(response) if grpc::effective_status(response) >= 500 => Outcome::Failure,
            Ok(_) => Outcome::Success,
            Err(error) if error.server_fault().is_some() => Outcome::Failure,
            Err(_) => Outcome::Unknown,
        });
    }

    fn report(&mut self, outcome: Outcome) {
        let Some((policy, pass)) = self.pass.take() else { return };
        let upstream = self.upstream;
        tell(
            upstream,
            upstream.state.breaker.report(pass, outcome, policy, self.exchange.worker().now()),
            policy,
        );
    }
}

/// Logs that the breaker of `upstream` has turned, once for each turn: only one request makes it.
fn tell(upstream: &Upstream, turned: Option<BreakerState>, policy: BreakerPolicy) {
    match turned {
        Some(BreakerState::Open) => {
            tracing::warn!(upstream = %upstream.id, seconds = policy.open_time.as_secs_f64(), "circuit opened");
        }
        Some(BreakerState::HalfOpen) => tracing::info!(upstream = %upstream.id, "circuit half open"),
        Some(BreakerState::Closed) => tracing::info!(upstream = %upstream.id, "circuit closed"),
        None => {}
    }
}

impl Drop for Trip<'_> {
    /// The client has left.
    fn drop(&mut self) {
        self.report(Outcome::Unknown);
    }
}
