//! How long a whole request may take, with all its attempts and its response's body: what its route allows, and what a gRPC
//! client waits for, whichever is less.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use http::Response;
use weir_shared::table::Route;

use crate::{body::ResponseBody, error::ProxyError, exchange::Exchange, grpc};

/// How a response ends that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It breaks off.
    Break,
    /// It says so, in the words of gRPC.
    Grpc,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimit {
    timeout: Duration,
    manner: Manner,
}

impl TimeLimit {
    /// What holds for a request that `route` takes and that is `call`, if it is one; `None`: it may take any time.
    pub(crate) fn of(route: &Route, call: Option<grpc::Call>) -> Option<Self> {
        let timeouts = [route.timeout, call.and_then(|call| call.timeout)];
        let timeout = timeouts.into_iter().flatten().min()?;
        Some(Self { timeout, manner: if call.is_some() { Manner::Grpc } else { Manner::Break } })
    }

    /// What comes of `attempts` in time. The response's body ends in time as well.
    ///
    /// # Errors
    /// Their own, and that there was none in time.
    pub(crate) async fn hold(
        self,
        exchange: &Exchange,
        attempts: impl Future<Output = Result<Response<ResponseBody>, ProxyError>>,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let deadline = exchange.worker().deadline();
        deadline.set(exchange.began.plus(self.timeout));
        let late = match self.manner {
            Manner::Break => ProxyError::RouteTimeout,
            Manner::Grpc => ProxyError::DeadlineExceeded,
        };
        let mut attempts = pin!(attempts);
        let response = poll_fn(|cx| match attempts.as_mut().poll(cx) {
            Poll::Pending if deadline.poll(cx).is_ready() => Poll::Ready(Err(late)),
            polled => polled,
        });
        Ok(response.await?.map(|body| body.until(deadline, self.manner)))
    }
}
