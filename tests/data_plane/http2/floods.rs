//! Too much of what costs work and carries nothing: it ends the connection, within the bounds of proxy/README.md, and no
//! other client notices. The best known floods are sent by another library's frames, in scripts/protocols.

use std::time::{Duration, Instant};

use weir_tests::frame_client::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Field, Frames, GOAWAY, HEADERS, PADDED, PING, PRIORITY,
    RST_STREAM, WINDOW_UPDATE, block, frame, get,
};
use weir_tests::load::{Load, Plan};
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Step};
use weir_tests::weir::{Launch, Weir};

use super::in_front_of;
use crate::semantics::metric;

/// The code of a GOAWAY that says why: ENHANCE_YOUR_CALM.
const CALM: u32 = 0xb;

/// Weir, a server that answers all but `/never`, and clients that must not notice anything.
struct Scene {
    weir: Weir,
    origin: Origin,
    others: Load,
}

impl Scene {
    fn set() -> Self {
        let origin = Origin::script(|seen| match seen.request.head.target.as_str() {
            "/never" => vec![Step::Hold],
            _ => reply::ok("fine"),
        });
        let weir = in_front_of(&origin, Launch::default());
        let others = Load::start(Plan::gets(weir.data()));
        Self { weir, origin, others }
    }

    fn attacker(&self) -> Frames {
        Frames::connect(self.weir.data(), &[])
    }

    /// The others were served all the time, at the pace they had before.
    fn close(self, floods: u64) {
        let (before, began) = (self.others.ok(), Instant::now());
        self.others.run_for(Duration::from_millis(300));
        let after = self.others.ok() - before;
        assert!(after > 0, "no other client was served in {:?}", began.elapsed());
        self.others.stop().assert_flawless();
        assert_eq!(metric(&self.weir, "weir_floods_total"), floods);
        assert_eq!(self.origin.violations(), Vec::<String>::new());
        self.weir.assert_no_errors();
    }
}

/// Sends `one` so often in one go. Answers whether the connection still serves requests afterwards.
fn survives(attacker: &mut Frames, one: &[u8], times: usize, next: u32) -> bool {
    attacker.send(one.repeat(times)) && attacker.is_served(next)
}

/// What may be sent is served; what is beyond ends the connection and says so.
#[test]
fn frames_that_carry_nothing() {
    let nothing: [u8; 8] = [0; 8];
    for (what, one, few, many) in [
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]), 900, 1500),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), 900, 1500),
        ("an answer to PING that was not asked", frame(PING, 1, 0, &nothing), 900, 1500),
        ("an unknown frame", frame(0xbe, 0, 0, &nothing), 900, 1500),
        ("a large unknown frame", frame(0xbe, 0, 0, &[0; 10_000]), 900, 1500),
    ] {
        let scene = Scene::set();
        let mut attacker = scene.attacker();
        assert!(attacker.is_served(1), "{what}");
        assert!(survives(&mut attacker, &one, few, 3), "{few} of {what} are too many");
        assert!(!survives(&mut attacker, &one, many, 5), "{many} of {what} are not too many");
        scene.close(1);
    }
}

/// Content of nothing but padding, on a stream that is open.
#[test]
fn content_of_padding() {
    let scene = Scene::set();
    let mut attacker = scene.attacker();
    attacker.frame(
        HEADERS,
        END_HEADERS,
        1,
        &block(&[(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]),
    );
    let padding = frame(DATA, PADDED, 1, &[[9].as_slice(), &[0; 9]].concat());
    assert!(!survives(&mut attacker, &padding, 3000, 3));
    scene.close(1);
}

/// The client says again and again that it is going.
#[test]
fn goaway() {
    let scene = Scene::set();
    let mut attacker = scene.attacker();
    assert!(attacker.is_served(1));
    attacker.send(frame(GOAWAY, 0, 0, &[0; 8]).repeat(200));
    attacker.farewells();
    let goodbye = scene.attacker().is_served(1);
    assert!(goodbye);
    drop(attacker);
    scene.others.stop().assert_flawless();
    scene.weir.assert_no_errors();
}

/// Requests begun and taken back, each after the server has got it: the servers' work is bounded too. (That they are taken
/// back before they are served is a case of scripts/protocols.)
#[test]
fn resets_of_requests_that_are_served() {
    let scene = Scene::set();
    let mut attacker = scene.attacker();
    let began = Instant::now();
    let mut resets = 0;
    while began.elapsed() < Duration::from_secs(30) {
        let stream = 2 * resets + 1;
        let taken = attacker.request(stream, &get("/never")) && attacker.sync();
        if !taken || !attacker.frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]) {
            break;
        }
        resets += 1;
    }
    let allowed = 500 + 50 * (began.elapsed().as_secs() as u32 + 1);
    assert!((450..=allowed).contains(&resets), "{resets} in {:?}", began.elapsed());
    scene.close(1);
}

/// Requests that Weir itself has to reset for what the client does with them (CVE-2025-8671).
#[test]
fn resets_that_the_client_provokes() {
    let scene = Scene::set();
    let mut attacker = scene.attacker();
    let mut count = 0;
    for stream in (1..2000).step_by(2) {
        let overflow = frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]);
        if !(attacker.request(stream, &get("/never")) && attacker.send(overflow) && attacker.sync()) {
            break;
        }
        count += 1;
    }
    assert!((200..=300).contains(&count), "{count}");
    scene.close(1);
}

/// Requests that are none.
#[test]
fn heads_without_fields() {
    let scene = Scene::set();
    let mut attacker = scene.attacker();
    for stream in (1..2000).step_by(2) {
        attacker.frame(HEADERS, END_HEADERS | END_STREAM, stream, &[]);
    }
    assert_eq!(attacker.farewells(), [CALM]);
    scene.close(1);
}

/// More streams than are allowed, again and again.
#[test]
fn streams_beyond_number() {
    let scene = Scene::set();
    let mut attacker = scene.attacker();
    for stream in (1..2000).step_by(2) {
        if !attacker.request(stream, &get("/never")) {
            break;
        }
    }
    assert_eq!(attacker.farewells(), [CALM]);
    assert!(scene.origin.open_connections() < 200, "{}", scene.origin.open_connections());
    scene.close(1);
}

/// A field of 4000 bytes, put in the table once and then named by one byte, thousands of times.
#[test]
fn a_block_that_grows_when_it_is_read() {
    let scene = Scene::set();
    let mut attacker = scene.attacker();
    let before = scene.weir.resident_bytes();
    let fields: [Field<'_>; 1] = [(b"x-large", &[b'x'; 4000])];
    let mut seed = block(&get("/"));
    let mut large = block(&fields);
    // With incremental indexing (RFC 7541 §6.2.1): it becomes field 62.
    large[0] = 0x40;
    seed.extend(large);
    let bomb = [seed, vec![0x80 | 62; 10_000]].concat();
    attacker.frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
    assert_eq!(attacker.farewells(), [CALM]);
    // As many as fit in one block, in blocks that are not too large by far: 431, and nothing is kept.
    let mut attacker = scene.attacker();
    let refused = [block(&get("/")), large_block(), vec![0x80 | 62; 20]].concat();
    for stream in (1..40).step_by(2) {
        attacker.frame(HEADERS, END_HEADERS | END_STREAM, stream, &refused);
    }
    assert!(attacker.is_served(41), "the connection is in step");
    let grown = scene.weir.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
    scene.close(1);
}

fn large_block() -> Vec<u8> {
    let mut large = block(&[(b"x-large", &[b'x'; 4000])]);
    large[0] = 0x40;
    large
}

/// The same bound for blocks in several frames as in one.
#[test]
fn a_block_in_many_small_frames() {
    let scene = Scene::set();
    let mut attacker = scene.attacker();
    let head = block(&get("/"));
    attacker.frame(HEADERS, END_STREAM, 1, &head[..10]);
    attacker.send(frame(CONTINUATION, 0, 1, b"").repeat(2));
    attacker.frame(CONTINUATION, END_HEADERS, 1, &head[10..]);
    assert!(attacker.answer(1).is_some_and(|answer| weir_tests::frame_client::is_ok(&answer)));
    scene.close(0);
}
