//! Connections passed on as they are.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::load::{Load, Plan};
use weir_tests::process_origin::ProcessOrigin;
use weir_tests::tally::Kind;
use weir_tests::weir::Weir;

use super::{add_with, is_empty, metric};

/// Listens, and gives each connection to the test.
fn server() -> (SocketAddr, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (give, take) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if give.send(stream).is_err() {
                return;
            }
        }
    });
    (address, take)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// A TCP listener before one server, with the fields of `more`.
fn tunnel(weir: &Weir, server: SocketAddr, more: Value) -> SocketAddr {
    weir.api().set_default(&config::bare(&[server]));
    let mut listener = json!({"protocol": "tcp", "upstream": "default"});
    listener.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    add_with(weir, "tcp", listener)
}

fn text(stream: &mut TcpStream, count: usize) -> String {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn each_side_ends_by_itself() {
    let (address, accepted) = server();
    let weir = Weir::start();
    let listener = tunnel(&weir, address, json!({}));
    let mut client = connect(listener);
    let mut server = accepted.recv_timeout(Duration::from_secs(10)).unwrap();
    client.write_all(b"ping").unwrap();
    assert_eq!(text(&mut server, 4), "ping");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0; 1]).unwrap(), 0, "the server learns that the client has no more to say");
    server.write_all(b"pong").unwrap();
    assert_eq!(text(&mut client, 4), "pong", "and goes on by itself");
    drop(server);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    is_empty(&weir, "tcp");
    let text = weir.api().get("/metrics").expect(200).response.text();
    assert!(text.contains("weir_listener_bytes_total{listener=\"tcp\",direction=\"received\"} 4"), "{text}");
    assert!(text.contains("weir_listener_bytes_total{listener=\"tcp\",direction=\"sent\"} 4"), "{text}");
    weir.assert_no_errors();
}

#[test]
fn a_reset_is_passed_on_as_one() {
    let (address, accepted) = server();
    let weir = Weir::start();
    let listener = tunnel(&weir, address, json!({}));
    let mut client = connect(listener);
    let mut server = accepted.recv_timeout(Duration::from_secs(10)).unwrap();
    client.write_all(b"ping").unwrap();
    assert_eq!(text(&mut server, 4), "ping");
    Wire::of(server).reset();
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn what_is_left_after_the_drain_timeout_is_reset_at_both_ends() {
    let (address, accepted) = server();
    let weir = Weir::start();
    let listener = tunnel(&weir, address, json!({"drain_timeout": "200ms"}));
    let mut client = Wire::of(connect(listener));
    client.send("ping");
    let mut server = accepted.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(text(&mut server, 4), "ping");
    weir.api().delete("/v1/listeners/tcp").assert(204);
    assert!(client.is_reset() && Wire::of(server).is_reset());
}

/// What a side does not read stays with the other, beyond what kernels and one buffer hold.
#[test]
fn who_does_not_read_holds_back_who_writes() {
    const MOST: usize = 64 * 1024 * 1024;
    let (address, accepted) = server();
    let weir = Weir::start();
    let listener = tunnel(&weir, address, json!({}));
    let mut client = connect(listener);
    let mut server = accepted.recv_timeout(Duration::from_secs(10)).unwrap();
    let before = weir.resident_bytes();
    client.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let piece = vec![7; 256 * 1024];
    let mut sent = 0;
    while let Ok(count) = client.write(&piece) {
        sent += count;
        assert!(sent < MOST, "nobody reads, and still it is taken");
    }
    assert!(weir.resident_bytes() < before + 16 * 1024 * 1024, "nothing piles up");
    client.shutdown(Shutdown::Write).unwrap();
    let mut received = 0;
    let mut piece = vec![0; 256 * 1024];
    while let Ok(count @ 1..) = server.read(&mut piece) {
        received += count;
    }
    assert_eq!(received, sent, "every byte arrives");
}

#[test]
fn a_silent_connection_is_given_up_and_one_that_is_not_stays() {
    let (address, accepted) = server();
    let weir = Weir::start();
    let listener = tunnel(&weir, address, json!({"idle_timeout": "2s"}));
    let (mut silent, mut busy) = (connect(listener), connect(listener));
    let servers = [accepted.recv().unwrap(), accepted.recv().unwrap()];
    silent.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut rounds = 0;
    eventually("the silent one is given up", || {
        busy.write_all(b"x").unwrap();
        rounds += 1;
        let read = silent.read(&mut [0; 1]);
        let is_open = matches!(&read, Err(error) if error.kind() == ErrorKind::WouldBlock);
        (!is_open).then_some(())
    });
    assert!(rounds > 5, "given up long before its time: {rounds}");
    busy.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(
        matches!(busy.read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::WouldBlock),
        "{rounds}"
    );
    drop(servers);
}

#[test]
fn connections_go_to_servers_that_are_there() {
    let folder = TempDir::new().unwrap();
    let mut origins: Vec<ProcessOrigin> = (0..3).map(|_| ProcessOrigin::start(folder.path(), 1)).collect();
    let addresses: Vec<SocketAddr> = origins.iter().map(ProcessOrigin::address).collect();
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&addresses));
    let listener = add_with(&weir, "tcp", json!({"protocol": "tcp", "upstream": "default"}));
    let load = Load::start(Plan::gets(listener));
    load.run_for(Duration::from_millis(300));
    origins[0].kill();
    load.run_for(Duration::from_millis(1500));
    let tally = load.stop();
    // What was on the server that died is lost, as any connection's fate is shared; no new one is.
    let lost = tally.failed(Kind::Get);
    assert!(lost.len() <= 8, "at most one for each connection: {lost:#?}");
    assert!(tally.ok() > 300, "{}", tally.ok());
    for _ in 0..20 {
        assert_eq!(Wire::connect(listener).get("/").status, 200, "a new connection always finds a server");
    }
    assert_eq!(metric(&weir, "weir_listener_connect_failures_total", "tcp"), 0);
    weir.assert_no_errors();
}

#[test]
fn without_a_server_the_connection_fails() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let weir = Weir::start();
    let listener = tunnel(&weir, closed, json!({}));
    let mut client = connect(listener);
    assert!(matches!(client.read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::ConnectionReset));
    assert_eq!(metric(&weir, "weir_listener_connect_failures_total", "tcp"), 1);
    weir.api().delete("/v1/upstreams/default?cascade=true").assert(409);
    weir.api().delete("/v1/listeners/tcp").assert(204);
    weir.api().delete("/v1/upstreams/default?cascade=true").assert(204);
}

#[test]
fn a_drained_server_keeps_its_connections_until_the_deadline() {
    let (first, accepted) = server();
    let (second, others) = server();
    let weir = Weir::start();
    let listener = tunnel(&weir, first, json!({}));
    let mut client = connect(listener);
    let mut server = accepted.recv_timeout(Duration::from_secs(10)).unwrap();
    weir.api().post("/v1/upstreams/default/servers", &json!(second.to_string())).assert(201);
    let path = format!("/v1/upstreams/default/servers/{}/drain", config::slug(first));
    weir.api().post(&path, &json!({"timeout": "1s", "then": "maint"})).assert(202);
    client.write_all(b"ping").unwrap();
    assert_eq!(text(&mut server, 4), "ping", "what is open goes on");
    let _next = connect(listener);
    others.recv_timeout(Duration::from_secs(10)).expect("new connections go elsewhere");
    assert_eq!(
        client.read(&mut [0; 1]).unwrap_err().kind(),
        ErrorKind::ConnectionReset,
        "until the deadline"
    );
}

#[test]
fn a_process_that_ends_lets_connections_finish() {
    let (address, accepted) = server();
    let mut weir = Weir::start();
    let listener = tunnel(&weir, address, json!({}));
    let mut client = connect(listener);
    let mut server = accepted.recv_timeout(Duration::from_secs(10)).unwrap();
    weir.signal(weir_tests::signal::Signal::TERM);
    eventually("nobody listens", || TcpStream::connect(listener).is_err().then_some(()));
    client.write_all(b"ping").unwrap();
    assert_eq!(text(&mut server, 4), "ping");
    assert!(weir.is_running());
    // With the connections that were tried while it still listened.
    drop((client, server, accepted));
    assert!(weir.wait(Duration::from_secs(10)).success());
}

/// The address of a server that does `deed` with each connection.
fn doing(deed: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let (address, accepted) = server();
    thread::spawn(move || accepted.into_iter().for_each(deed));
    address
}

/// A port that accepts connections and closes them.
struct Port {
    address: SocketAddr,
    is_closed: Arc<AtomicBool>,
    ended: Arc<AtomicUsize>,
    accepting: thread::JoinHandle<()>,
}

impl Port {
    fn open(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (is_closed, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let accepting = thread::spawn({
            let (is_closed, ended) = (Arc::clone(&is_closed), Arc::clone(&ended));
            move || {
                while !is_closed.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok(_) => drop(ended.fetch_add(1, Ordering::Relaxed)),
                        Err(_) => thread::sleep(Duration::from_millis(1)),
                    }
                }
            }
        });
        Self { address, is_closed, ended, accepting }
    }

    /// Refuses connections from here on; answers how many it has accepted.
    fn close(self) -> usize {
        self.is_closed.store(true, Ordering::Relaxed);
        self.accepting.join().unwrap();
        self.ended.load(Ordering::Relaxed)
    }
}

/// A check that only connects ends one ejection for want of connections. It ends the next one as well only if the server has done
/// something for a client meanwhile, and to accept and to close is nothing.
#[test]
fn a_connection_that_ends_without_a_byte_proves_nothing() {
    let port = Port::open(SocketAddr::from(([127, 0, 0, 1], 0)));
    let bad = port.address;
    let good = doing(|mut stream| drop(stream.write_all(b"good")));
    let weir = Weir::start();
    weir.api().set_default(&config::with(
        &[bad, good],
        &json!({ "algorithm": "round_robin", "health_check": { "interval": "2s" }, "outlier_detection": {} }),
    ));
    let listener = add_with(&weir, "tcp", json!({"protocol": "tcp", "upstream": "default"}));
    let until = |what: &str, is_there: &dyn Fn(&Value) -> bool| {
        eventually(what, || {
            drop(connect(listener).read(&mut [0; 8]));
            let health = weir.api().server_health(bad);
            is_there(&health).then_some(health)
        })
    };
    let is_ejected = |health: &Value| health["reason"] == "ejected";
    let ejections = |health: &Value| health["passive"]["ejections"].as_u64().unwrap();
    let checks = |health: &Value| health["check"]["total"].as_u64().unwrap();
    // The port is closed for much less than the time between two checks, so that none of them finds it so.
    let ejected_between_checks = |port: Port, count: u64| {
        let before = checks(&weir.api().server_health(bad));
        until("a check has just been made", &|health| checks(health) > before);
        let ended = port.close();
        let health = until("it is ejected", &|health| is_ejected(health) && ejections(health) == count);
        let port = Port::open(bad);
        assert_eq!(health["check"]["failed"], 0, "{health}");
        (port, ended, health)
    };
    let (port, _, _) = ejected_between_checks(port, 1);
    let back = until("a check ends that", &|health| !is_ejected(health));
    let (port, ended, again) = ejected_between_checks(port, 2);
    assert!(ended as u64 > checks(&again) - checks(&back) + 3, "clients were accepted too");
    let later = until("checks go on", &|health| checks(health) >= checks(&again) + 3);
    assert!(is_ejected(&later) && ejections(&later) == 2, "{later}");
    assert_eq!(later["check"]["failed"], 0, "{later}");
    port.close();
}
