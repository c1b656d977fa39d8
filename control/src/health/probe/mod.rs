//! One check: what is sent, and what the answer means.
//!
//! A failure names the phase it came from; trouble of our own (no file descriptor, no local port) is never one.

mod body;
mod error;
mod grpc;
#[cfg(test)]
mod grpc_tests;
mod http;
mod http2;
mod lookup;
mod secure;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use memchr::memmem::Finder;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, timeout_at},
};
use weir_shared::{
    model::{
        HealthCheck, HealthCheckType, ProxyVersion, SendProxyProtocol, ServerProtocol, StatusRange,
        address::Address,
    },
    proxy_protocol,
    state::{Reason, Resolved, ServerState},
    tls::{Offer, OutgoingTls},
    units::Span,
};

pub(super) use self::lookup::MAX_LOOKUPS;
use self::{lookup::Lookups, secure::Stream};

/// How a check ended, if it says anything about the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The server works.
    Passed {
        /// Status of the answer, for an http or grpc check.
        status: Option<u16>,
    },
    /// The server does not work.
    Failed {
        /// Why.
        reason: Reason,
        /// The same for a person.
        detail: String,
        /// Status of the answer, if there was one.
        status: Option<u16>,
    },
    /// The check could not be made for a cause of our own.
    Unmade {
        /// The cause, for a person.
        detail: String,
    },
}

impl Answer {
    fn failed(reason: Reason, detail: String) -> Self {
        Self::Failed { reason, detail, status: None }
    }
}

/// What an http check was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Expected,
    WrongStatus,
    WrongBody,
}

/// How much of an expected text is repeated in a failure's detail.
const MAX_SHOWN_CHARS: usize = 100;

/// Makes checks. The one thing the scheduler does not do itself, so that its tests need no sockets.
pub(crate) trait Prober: Send + 'static {
    /// Checks the server at `address`, and notes in `state` what its name stands for.
    fn check(
        &self,
        probe: Arc<Probe>,
        address: Address,
        state: Arc<ServerState>,
    ) -> impl Future<Output = Answer> + Send + 'static;
}

/// Makes checks over the network.
#[derive(Debug, Default)]
pub(crate) struct Network {
    lookups: Lookups,
}

impl Prober for Network {
    fn check(
        &self,
        probe: Arc<Probe>,
        address: Address,
        state: Arc<ServerState>,
    ) -> impl Future<Output = Answer> + Send + 'static {
        let lookups = self.lookups.clone();
        async move { probe.check(&lookups, &address, &state.resolved).await }
    }
}

/// A check as configured, prepared for being made many times.
#[derive(Debug)]
pub(crate) struct Probe {
    spec: HealthCheck,
    /// What an http check speaks.
    protocol: ServerProtocol,
    kind: HealthCheckType,
    timeout: Span,
    /// How connections are secured; `None`: they are not.
    tls: Option<Arc<OutgoingTls>>,
    /// Looks for the expected body.
    finder: Option<Finder<'static>>,
    /// Whether a connection begins with a PROXY header, which names nobody.
    introduction: SendProxyProtocol,
}

impl Probe {
    /// Prepares the check that `spec` describes, of servers that speak `protocol`.
    #[must_use]
    pub(crate) fn new(spec: &HealthCheck, protocol: ServerProtocol) -> Self {
        Self {
            spec: spec.clone(),
            protocol,
            kind: spec.effective_type(),
            timeout: spec.effective_timeout(),
            tls: None,
            finder: spec.expected_body.as_deref().map(|text| Finder::new(text).into_owned()),
            introduction: SendProxyProtocol::Off,
        }
    }

    /// The same, of servers whose connections begin as `introduction` says.
    #[must_use]
    pub(crate) fn introduced(self, introduction: SendProxyProtocol) -> Self {
        Self { introduction, ..self }
    }

    /// The same over connections that are secured as `tls` says.
    #[must_use]
    pub(crate) fn secured(self, tls: Option<&Arc<OutgoingTls>>) -> Self {
        Self { tls: tls.cloned(), ..self }
    }

    /// Whether its connections are secured as `tls` says.
    #[must_use]
    pub(crate) fn is_secured_as(&self, tls: Option<&Arc<OutgoingTls>>) -> bool {
        match (&self.tls, tls) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            _ => false,
        }
    }

    /// What is checked at `address` over a secured connection, as a URL for a person.
    #[must_use]
    pub(crate) fn secured_url(spec: &HealthCheck, address: &Address) -> String {
        let plain = Self::url(spec, address);
        match plain.strip_prefix("tcp") {
            Some(rest) => format!("tls{rest}"),
            None => plain.replacen("://", "s://", 1),
        }
    }

    /// What is checked at `address`, as a URL for a person.
    #[must_use]
    pub(crate) fn url(spec: &HealthCheck, address: &Address) -> String {
        let address = at_port(address, spec.port);
        match spec.effective_type() {
            HealthCheckType::Http => format!("http://{address}{}", spec.path.as_deref().unwrap_or("/")),
            HealthCheckType::Tcp => format!("tcp://{address}"),
            HealthCheckType::Grpc => {
                format!("grpc://{address}/{}", spec.grpc_service.as_deref().unwrap_or_default())
            }
        }
    }

    /// Whether it is the check that `spec` describes, of servers that speak `protocol` after such an `introduction`.
    #[must_use]
    pub(crate) fn is_of(
        &self,
        spec: &HealthCheck,
        protocol: ServerProtocol,
        introduction: SendProxyProtocol,
    ) -> bool {
        self.spec == *spec && self.protocol == protocol && self.introduction == introduction
    }

    /// What it does.
    #[must_use]
    pub(crate) fn kind(&self) -> HealthCheckType {
        self.kind
    }

    /// How long it may take.
    #[must_use]
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.duration()
    }

    async fn check(&self, lookups: &Lookups, address: &Address, resolved: &Resolved) -> Answer {
        let deadline = Instant::now() + self.timeout.duration();
        let target = at_port(address, self.spec.port);
        let sockets = match lookups.resolve(&target, deadline).await {
            Ok(sockets) => sockets,
            Err(answer) => return answer,
        };
        if let Address::Name { .. } = address {
            resolved.note(sockets.iter().map(SocketAddr::ip));
        }
        let secured = match self.connect(&target, sockets, deadline).await {
            Ok(mut stream) => match self.greet(&mut stream, &target).await {
                Ok(()) => self.secure(stream, address, &target, deadline).await,
                Err(answer) => return answer,
            },
            Err(answer) => return answer,
        };
        let (stream, agreed) = match secured {
            Ok(secured) => secured,
            Err(answer) => return answer,
        };
        match self.kind {
            HealthCheckType::Tcp => Answer::Passed { status: None },
            HealthCheckType::Http => self.ask(stream, agreed, address, &target, deadline).await,
            HealthCheckType::Grpc => self.call(stream, address, &target, deadline).await,
        }
    }

    /// Secures `stream`, if that is asked for. Answers what an http check speaks as well.
    async fn secure(
        &self,
        stream: TcpStream,
        address: &Address,
        target: &Address,
        deadline: Instant,
    ) -> Result<(Stream, ServerProtocol), Answer> {
        let Some(tls) = &self.tls else { return Ok((Box::new(stream), self.protocol)) };
        let offer = match (self.kind, self.protocol) {
            (HealthCheckType::Http, ServerProtocol::Http1) => Offer::Http1,
            (HealthCheckType::Http, ServerProtocol::Auto) => Offer::Both,
            (HealthCheckType::Http, ServerProtocol::Http2) | (HealthCheckType::Grpc, _) => Offer::Http2,
            (HealthCheckType::Tcp, _) => Offer::Nothing,
        };
        match timeout_at(deadline, secure::handshake(stream, tls, address, offer)).await {
            Ok(Ok((stream, agreed))) => match self.protocol {
                ServerProtocol::Auto => Ok((stream, agreed)),
                said => Ok((stream, said)),
            },
            Ok(Err(why)) => {
                Err(Answer::failed(Reason::TlsError, format!("tls handshake with {target}: {why}")))
            }
            Err(_) => {
                let detail = format!("tls handshake with {target}: not done within {}", self.timeout);
                Err(Answer::failed(Reason::ConnectTimeout, detail))
            }
        }
    }

    /// Begins `stream` as is asked for. A port for checks alone is taken to expect no header.
    async fn greet(&self, stream: &mut TcpStream, target: &Address) -> Result<(), Answer> {
        let version = match self.introduction {
            _ if self.spec.port.is_some() => return Ok(()),
            SendProxyProtocol::Off => return Ok(()),
            SendProxyProtocol::V1 => ProxyVersion::V1,
            SendProxyProtocol::V2 => ProxyVersion::V2,
        };
        let header = proxy_protocol::encode(proxy_protocol::Ends::Own, version);
        stream.write_all(&header).await.map_err(|failed| {
            let detail = format!("PROXY header to {target}: {}", error::text(&failed));
            Answer::failed(Reason::Reset, detail)
        })
    }

    async fn connect(
        &self,
        target: &Address,
        sockets: Vec<SocketAddr>,
        deadline: Instant,
    ) -> Result<TcpStream, Answer> {
        let mut failure = Answer::failed(Reason::DnsError, format!("lookup of {target}: no address"));
        for socket in sockets {
            match timeout_at(deadline, TcpStream::connect(socket)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error::of_connect(target, socket, &error),
                Err(_) => {
                    let detail = format!("tcp connect to {target}: no connection within {}", self.timeout);
                    return Err(Answer::failed(Reason::ConnectTimeout, detail));
                }
            }
        }
        Err(failure)
    }

    async fn ask(
        &self,
        stream: Stream,
        protocol: ServerProtocol,
        address: &Address,
        target: &Address,
        deadline: Instant,
    ) -> Answer {
        let path = self.spec.path.as_deref().unwrap_or("/");
        let what = format!("{} http://{target}{path}", self.spec.method);
        let asked = async {
            match protocol {
                // Without TLS nothing is agreed on.
                ServerProtocol::Http1 | ServerProtocol::Auto => {
                    let asked = self.ask_http1(stream, address).await;
                    asked.map_err(|error| (error.reason(), error.to_string()))
                }
                ServerProtocol::Http2 => {
                    let asked = http2::exchange(stream, self, address).await;
                    asked.map_err(|error| (error.reason(), error.to_string()))
                }
            }
        };
        match timeout_at(deadline, asked).await {
            Ok(Ok((status, said))) => self.judge(&what, status, said),
            Ok(Err((reason, error))) => Answer::failed(reason, format!("{what}: {error}")),
            Err(_) => {
                let detail = format!("{what}: no answer within {}", self.timeout);
                Answer::failed(Reason::ResponseTimeout, detail)
            }
        }
    }

    async fn ask_http1(
        &self,
        mut stream: Stream,
        address: &Address,
    ) -> Result<(u16, Said), http::ExchangeError> {
        let reply = http::exchange(&mut stream, &http::request(&self.spec, address)).await?;
        let status = reply.status;
        let said = match &self.finder {
            _ if !self.expects(status) => Said::WrongStatus,
            Some(finder) if !body::holds(&mut stream, reply, finder).await? => Said::WrongBody,
            _ => Said::Expected,
        };
        Ok((status, said))
    }

    fn judge(&self, what: &str, status: u16, said: Said) -> Answer {
        let (reason, detail) = match said {
            Said::Expected => return Answer::Passed { status: Some(status) },
            Said::WrongStatus => {
                let expected: Vec<String> =
                    self.spec.expected_statuses.iter().map(StatusRange::to_string).collect();
                (Reason::StatusMismatch, format!("{what}: status {status}, expected {}", expected.join(", ")))
            }
            Said::WrongBody => {
                let text = self.spec.expected_body.as_deref().unwrap_or_default();
                let text: String = text.chars().take(MAX_SHOWN_CHARS).collect();
                let size = body::MAX_BODY_BYTES / 1024;
                let detail = format!("{what}: the first {size} KiB of the body do not hold {text}");
                (Reason::BodyMismatch, detail)
            }
        };
        Answer::Failed { reason, detail, status: Some(status) }
    }

    async fn call(&self, stream: Stream, address: &Address, target: &Address, deadline: Instant) -> Answer {
        let service = self.spec.grpc_service.as_deref().unwrap_or_default();
        let what = format!("grpc health check of \"{service}\" at {target}");
        match timeout_at(deadline, grpc::exchange(stream, &self.spec, address)).await {
            Ok(Ok(())) => Answer::Passed { status: Some(200) },
            Ok(Err(error)) => Answer::Failed {
                reason: error.reason(),
                detail: format!("{what}: {error}"),
                status: error.status(),
            },
            Err(_) => {
                let detail = format!("{what}: no answer within {}", self.timeout);
                Answer::failed(Reason::ResponseTimeout, detail)
            }
        }
    }

    fn expects(&self, status: u16) -> bool {
        self.spec.expected_statuses.iter().any(|range| range.contains(status))
    }
}

fn at_port(address: &Address, port: Option<u16>) -> Address {
    let mut address = address.clone();
    if let Some(checked) = port {
        match &mut address {
            Address::Socket(socket) => socket.set_port(checked),
            Address::Name { port, .. } => *port = checked,
        }
    }
    address
}
