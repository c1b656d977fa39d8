//! Every exit code, from the condition it stands for.

use std::net::TcpListener;

use weir_tests::ctl::{Ctl, Ended};
use weir_tests::origin::Origin;
use weir_tests::reply;
use weir_tests::weir::Weir;

fn against(origin: &Origin, args: &str) -> Ended {
    let mut words = vec!["ctl"];
    words.extend(args.split_whitespace());
    Ctl::weir(&words).env("WEIR_ADMIN", &origin.address().to_string()).run()
}

fn answering(status: &str, body: &str) -> Origin {
    let answer = reply::message(status, &["Content-Type: application/problem+json"], body);
    Origin::script(move |_| vec![reply::Step::Send(answer.clone())])
}

#[test]
fn what_is_invalid_is_2_with_every_place() {
    let weir = Weir::start();
    let refused = Ctl::on(&weir, "add upstream web no-port --field algoritm=random").run().expect(2);
    assert!(refused.out.is_empty(), "{refused:?}");
    let lines: Vec<&str> = refused.err.lines().collect();
    assert!(lines[0].starts_with("weir ctl: 2 fields are invalid"), "{refused:?}");
    assert!(refused.err.contains("  #/algoritm: there is no field"), "{refused:?}");
    assert!(refused.err.contains("  #/servers/0/address: missing port"), "{refused:?}");
}

#[test]
fn wrong_usage_is_2_in_one_line() {
    for (args, said) in [
        (&["ctl", "gte"][..], "unrecognized subcommand 'gte'"),
        (&["ctl", "get", "servers"], "<UPSTREAM>"),
        (&["ctl", "--admin", "ftp://x", "get", "info"], "expected http"),
        (&["ctl", "set", "upstream", "web", "weight"], "expected NAME=VALUE"),
        (&["ctl", "apply", "-f", "/nonexistent"], "cannot read /nonexistent"),
        (&["ctl", "get", "info", "--token-file", "/nonexistent"], "cannot read the token"),
        (&["ctl", "get", "info", "--output", "xml"], "invalid value 'xml'"),
    ] {
        let refused = Ctl::weir(args).run().expect(2);
        assert!(refused.err.contains(said), "{args:?}: {refused:?}");
        assert_eq!((refused.err.lines().count(), refused.out.as_str()), (1, ""), "{args:?}: {refused:?}");
    }
}

#[test]
fn a_command_that_is_not_complete_is_2_with_the_help() {
    for args in [&["ctl"][..], &["ctl", "get"]] {
        let refused = Ctl::weir(args).run().expect(2);
        assert!(refused.err.contains("Usage: weir ctl") && refused.out.is_empty(), "{refused:?}");
    }
}

#[test]
fn what_is_not_there_is_1() {
    let weir = Weir::start();
    for line in
        ["get upstream nope", "get server nope", "delete upstream nope", "get listener nope", "health nope"]
    {
        let refused = Ctl::on(&weir, line).run().expect(1);
        assert!(refused.err.contains("nope"), "{line}: {refused:?}");
    }
}

#[test]
fn a_conflict_is_3() {
    let weir = Weir::start();
    Ctl::on(&weir, "add upstream web 127.0.0.1:1").run().assert(0);
    let refused = Ctl::on(&weir, "add upstream web").run().expect(3);
    assert!(refused.err.contains("it is at /v1/upstreams/web"), "{refused:?}");
    let refused = Ctl::on(&weir, "set upstream web algorithm=random --if-match r0.000000").run().expect(3);
    assert!(refused.err.contains("the present state is \"r1."), "{refused:?}");
    let refused = Ctl::on(&weir, "delete upstream web").run().expect(3);
    assert!(refused.err.contains("--cascade"), "{refused:?}");
    let tag = weir.api().get("/v1/upstreams/web").etag();
    Ctl::on(&weir, "set upstream web algorithm=random --if-match").arg(tag.trim_matches('"')).run().assert(0);
}

#[test]
fn no_api_is_4() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = Ctl::weir(&["ctl", "get", "info", "--admin", &address.to_string()]).run().expect(4);
    assert!(refused.err.contains(&format!("cannot reach the API at http://{address}")), "{refused:?}");
    Ctl::weir(&["ctl", "get", "info", "--admin", "unix:/nonexistent"]).run().assert(4);
}

#[test]
fn no_authority_is_5() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let origin = answering(status, "{\"detail\":\"no\",\"code\":\"x\"}");
        against(&origin, "get info").assert(5);
    }
}

#[test]
fn a_fault_of_the_server_is_6() {
    let origin = answering("500 Internal Server Error", "{\"detail\":\"a fault\",\"request_id\":\"abc\"}");
    let refused = against(&origin, "get info").expect(6);
    assert!(refused.err.contains("a fault") && refused.err.contains("request abc"), "{refused:?}");
    let origin = answering("200 OK", "<html>");
    assert!(against(&origin, "get info").expect(6).err.contains("not JSON"));
}

/// An answer that is lost: what is safe to repeat is repeated once, with the same key.
#[test]
fn a_lost_answer_is_asked_for_again_where_that_is_safe() {
    let lost = || Origin::script(|_| vec![reply::Step::Close]);
    let origin = lost();
    let refused = against(&origin, "set upstream web algorithm=random").expect(6);
    assert!(refused.err.contains("may have been made"), "{refused:?}");
    let seen = origin.seen();
    let keys: Vec<_> = seen.iter().map(|seen| seen.request.head.fields.one("idempotency-key")).collect();
    assert!(keys.len() == 2 && keys[0].is_some() && keys[0] == keys[1], "{keys:?}");

    // Under a condition the second try would fail even if the first was done.
    let origin = lost();
    against(&origin, "set upstream web algorithm=random --if-match r1.a").assert(6);
    let methods: Vec<_> = origin.seen().into_iter().map(|seen| seen.request.head.method).collect();
    assert_eq!(methods, ["PATCH", "GET"], "the GET asks whether the server knows keys");

    let origin = Origin::script(|seen| match seen.nth {
        0 => vec![reply::Step::Close],
        _ => reply::ok("{\"algorithm\":\"random\"}"),
    });
    against(&origin, "set upstream web algorithm=random").assert(0);
    against(&lost(), "get info").assert(4);
}

/// The token goes into one header field and nowhere else.
#[test]
fn a_token_is_sent_and_never_shown() {
    let origin = Origin::script(|_| reply::ok("{}"));
    let admin = origin.address().to_string();
    let said =
        Ctl::weir(&["ctl", "get", "info"]).env("WEIR_ADMIN", &admin).env("WEIR_TOKEN", "secret-1").run();
    let said = said.expect(0);
    assert!(!said.out.contains("secret-1") && !said.err.contains("secret-1"), "{said:?}");
    assert_eq!(origin.only().request.head.fields.one("authorization"), Some("Bearer secret-1"));
}
