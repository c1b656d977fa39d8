//! The process from start to end: open both ports, read the configuration, serve, drain.
//!
//! Whatever an operator can get wrong fails before the first request is accepted. Both planes bring threads of their own;
//! this one only waits for signals, so that a signal is never late.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    runtime::{self, Runtime},
    sync::{oneshot, watch},
    time::Instant,
};
use weir_control::{AccessConfig, Control, ControlConfig, clock::Clock};
use weir_proxy::{AffinitySecret, Drained, Proxy, RunningProxy};
use weir_shared::{id::Revision, state::ListenerState, table::Compiler, units::Span};

use crate::{
    admin_access,
    admin_address::{self, Reach},
    cli::Cli,
    demo,
    failure::Failure,
    open_files, settings,
    signals::Signals,
};

/// What the control plane may take to finish calls and write its last file once traffic has ended: a full disk answers
/// late, but it answers.
const CONTROL_SHUTDOWN: Duration = Duration::from_secs(5);

/// Runs until told to stop and everything under way has ended.
pub(crate) fn run(args: &Cli) -> Result<(), Failure> {
    let reach = admin_address::check(&args.admin)?;
    let main = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::System { what: "start the main thread's runtime", cause })?;
    let access = admin_access::config(&args.admin, reach)?;
    let planes = Planes::start(args, access)?;
    let signals = {
        let _context = main.enter();
        Signals::install().map_err(|cause| Failure::System { what: "handle signals", cause })?
    };
    planes.announce();
    let demo = if args.demo { Some(main.block_on(planes.demo())?) } else { None };
    let stopped = planes.serve(&main, signals, reach, args.drain_timeout);
    drop(demo);
    stopped
}

/// Both planes at work.
#[derive(Debug)]
struct Planes {
    proxy: RunningProxy,
    control: Control,
    data: SocketAddr,
    workers: usize,
}

impl Planes {
    fn start(args: &Cli, access: AccessConfig) -> Result<Self, Failure> {
        // Before anything counts on it: the proxy derives how many connections it may hold.
        let open_files = open_files::raise_limit();
        let clock_base = Instant::now();
        let clock = Clock::new(clock_base);
        let workers = settings::workers(args);
        let connections = settings::connections(args, open_files);
        let site = settings::site(&args.site)?;
        let seed = settings::seed(args)?;
        let listener_state = Arc::new(ListenerState::new(workers));
        let proxy =
            Proxy::bind(settings::proxy(args, connections, workers, clock_base), Arc::clone(&listener_state))
                .map_err(|cause| Failure::Listen { address: args.listen, cause })?;
        let data = proxy.local_addr();
        let admin = TcpListener::bind(args.admin.admin)
            .map_err(|cause| Failure::Listen { address: args.admin.admin, cause })?;
        let tls = settings::tls()
            .map_err(|cause| Failure::System { what: "draw keys for TLS session tickets", cause })?;
        let flags = settings::flags(args, data);
        let compiler = Compiler { workers, site, flags, tls, ..Compiler::default() };
        let (control, reader) = Control::prepare(ControlConfig {
            access,
            ..settings::control(args, seed, compiler, listener_state, clock)
        })?;
        let (settle, settled) = watch::channel(Revision::default());
        let proxy = proxy
            .start(reader, AffinitySecret(control.affinity_secret()), control.published(), settle)
            .map_err(|cause| Failure::System { what: "start the data plane's threads", cause })?;
        let control = control.serve(admin, settled)?;
        tracing::debug!(open_files, "limit on open files");
        Ok(Self { proxy, control, data, workers })
    }

    fn announce(&self) {
        tracing::info!(address = %self.data, workers = self.workers, "data plane listening");
        tracing::info!(address = %self.control.admin_address(), "admin listening");
    }

    async fn demo(&self) -> Result<demo::Demo, Failure> {
        demo::start(self.data, self.control.admin_address()).await
    }

    /// Waits for the first signal, then drains; a second signal ends the wait.
    fn serve(
        self,
        main: &Runtime,
        mut signals: Signals,
        reach: Reach,
        deadline: Span,
    ) -> Result<(), Failure> {
        let signal = main.block_on(async {
            tokio::select! {
                signal = signals.next() => signal,
                never = reach.remind() => match never {},
            }
        });
        tracing::info!(%signal, %deadline, "draining");
        let drained = self.drain(deadline.duration())?;
        let outcome = main.block_on(async {
            tokio::select! {
                drained = drained => Ok(drained),
                signal = signals.next() => Err(Failure::Interrupted(signal)),
            }
        })?;
        match outcome {
            Ok(Drained { aborted: 0 }) => tracing::info!("stopped"),
            Ok(Drained { aborted }) => tracing::warn!(aborted, "stopped; requests under way were cut"),
            // The sender went away without a word: its thread panicked, which was logged.
            Err(_) => return Err(Failure::Drain),
        }
        Ok(())
    }

    /// Ends both planes, traffic first, on a thread of its own: it blocks, and a second signal must not wait for it.
    fn drain(self, deadline: Duration) -> Result<oneshot::Receiver<Drained>, Failure> {
        let Self { proxy, control, .. } = self;
        proxy.drain();
        let (done, drained) = oneshot::channel();
        let end = move || {
            let outcome = proxy.wait(deadline);
            control.shutdown(CONTROL_SHUTDOWN);
            // Nobody waits any more when a second signal came.
            let _ = done.send(outcome);
        };
        thread::Builder::new()
            .name("weir-drain".to_owned())
            .spawn(end)
            .map_err(|cause| Failure::System { what: "start a thread to drain", cause })?;
        Ok(drained)
    }
}
