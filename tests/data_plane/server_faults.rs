//! One of three servers misbehaves under a steady load, in every way a server can: what the clients of the three see.
//!
//! Health checks are off, so that only the requests themselves tell; everything else is as it comes unless said.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::config;
use weir_tests::load::{Load, Plan};
use weir_tests::origin::{Origin, Refusing};
use weir_tests::reply::{self, Reply, Step};
use weir_tests::tally::Tally;
use weir_tests::weir::Weir;

/// The longest time without a success that the clients together may see.
const MOST_GAP: Duration = Duration::from_millis(500);

/// What clients see for `time` when one of three servers is at `bad`, with what `more` says on top of the defaults.
fn clients_beside(bad: SocketAddr, time: Duration, more: &Value) -> Tally {
    let good: Vec<Origin> = (0..2).map(|_| Origin::named("good")).collect();
    let mut servers = vec![bad];
    servers.extend(good.iter().map(Origin::address));
    let mut document = config::plain(&servers);
    document["health_check"] = json!({ "enabled": false });
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    let weir = Weir::start();
    weir.api().set_default(&document);
    let load = Load::start(Plan::gets(weir.data()));
    load.run_for(time);
    let end = Instant::now();
    let mut tally = load.stop();
    // Whoever still waits at the end ends alone: that is no gap that others see.
    tally.successes.retain(|at| *at <= end);
    weir.assert_no_errors();
    tally
}

/// Nobody notices a server that does this.
fn unnoticed(what: &str, steps: Reply) {
    let bad = Origin::script(move |_| steps.clone());
    let tally = clients_beside(bad.address(), Duration::from_secs(1), &json!({}));
    assert!(bad.count() > 0, "{what}: the case came up");
    assert!(bad.count() <= 40, "{what}: it was ejected, {} requests", bad.count());
    assert!(tally.worst_gap() < MOST_GAP, "{what}: no success for {:?}", tally.worst_gap());
    tally.assert_flawless();
}

#[test]
fn half_closed() {
    unnoticed("half-closed", vec![Step::HalfClose, Step::Hold]);
}

#[test]
fn closed_and_reset() {
    unnoticed("closed", vec![Step::Close]);
    unnoticed("reset", vec![Step::Reset]);
}

#[test]
fn garbage() {
    unnoticed("not HTTP", reply::raw_close("220 ready\r\n"));
    unnoticed("bytes", reply::raw_close([0_u8, 255, 13, 10, 13, 10].repeat(100)));
    unnoticed(
        "two lengths",
        reply::raw_close("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    );
}

#[test]
fn an_endless_header_section() {
    unnoticed("endless", vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::EndlessHeader]);
}

#[test]
fn refused_connections() {
    let nobody = Refusing::start();
    let tally = clients_beside(nobody.address(), Duration::from_secs(1), &json!({}));
    assert!(tally.worst_gap() < MOST_GAP, "no success for {:?}", tally.worst_gap());
    tally.assert_flawless();
}

/// The kernel of a server that is gone says nothing: each of the first few requests costs its client the connect timeout,
/// the others go elsewhere meanwhile.
#[test]
fn connection_attempts_into_a_black_hole() {
    let hole = super::faults::BlackHole::start();
    let more = json!({ "connect_timeout": "1s" });
    let tally = clients_beside(hole.address, Duration::from_secs(2), &more);
    assert!(tally.worst_gap() < MOST_GAP, "no success for {:?}", tally.worst_gap());
    assert!(tally.ok() > 200, "only a few had to wait: {}", tally.ok());
    tally.assert_flawless();
}

/// A head that comes byte by byte is no answer until it is whole.
#[test]
fn an_answer_that_drips() {
    let drops = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Slow: yes, as slow as can be and slower still\r\n\r\nslow";
    let pause = Step::Pause(Duration::from_millis(20));
    let steps: Reply = drops.iter().flat_map(|byte| [Step::Send(vec![*byte]), pause.clone()]).collect();
    let bad = Origin::script(move |_| steps.clone());
    let more = json!({
        "response_timeout": "300ms",
        "retries": { "on": ["connect_error", "reset_before_response", "timeout"] },
    });
    let tally = clients_beside(bad.address(), Duration::from_secs(2), &more);
    assert!(bad.count() > 0, "the case came up");
    assert!(tally.worst_gap() < MOST_GAP, "no success for {:?}", tally.worst_gap());
    tally.assert_flawless();
}

/// The same without any timeout that would end it: hedging alone keeps clients from waiting.
#[test]
fn an_answer_that_never_ends_to_begin_is_outrun_by_a_hedge() {
    let bad = Origin::script(|_| vec![Step::Send(b"HTTP/1.1 200 OK\r\nX-".to_vec()), Step::Hold]);
    let began = Instant::now();
    let more = json!({ "hedging": { "enabled": true, "delay": "50ms", "max_percent": 100 } });
    let tally = clients_beside(bad.address(), Duration::from_secs(1), &more);
    assert!(bad.count() > 0, "the case came up");
    assert!(began.elapsed() < Duration::from_secs(10), "a client waited: {:?}", began.elapsed());
    tally.assert_flawless();
}
