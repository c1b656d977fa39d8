//! What Weir adds to a request for the server, and what it does not believe. RFC 9110 §7.6.3 for Via.

use weir_tests::config;
use weir_tests::origin::Origin;
use weir_tests::syntax::Fields;
use weir_tests::weir::Launch;

use super::in_front_of;

fn forwarded(fields: &str) -> (Fields, std::net::SocketAddr) {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    let response = client.exchange(format!("GET / HTTP/1.1\r\nHost: shop.test:8080\r\n{fields}\r\n"));
    assert_eq!(response.status, 200);
    (origin.only().request.head.fields, client.local_address())
}

#[test]
fn the_client_is_named() {
    let (fields, client) = forwarded("");
    assert_eq!(fields.one("x-forwarded-for"), Some(client.ip().to_string().as_str()));
    assert_eq!(fields.one("x-forwarded-proto"), Some("http"));
    assert_eq!(fields.one("x-forwarded-host"), Some("shop.test:8080"));
    assert_eq!(fields.one("host"), Some("shop.test:8080"), "the server is asked as the client asked");
    assert!(fields.one("via").is_some_and(|via| via.starts_with("1.1 ")), "{fields:?}");
    assert!(fields.one("x-request-id").is_some_and(|id| !id.is_empty()), "{fields:?}");
}

#[test]
fn what_an_unknown_client_claims_is_dropped() {
    let (fields, client) = forwarded(concat!(
        "X-Forwarded-For: 10.1.1.1\r\nx-forwarded-for: 10.2.2.2\r\nX-Forwarded-Proto: https\r\n",
        "X-Forwarded-Host: evil.test\r\nX-Request-Id: chosen-by-the-client\r\n",
    ));
    assert_eq!(fields.all("x-forwarded-for"), [client.ip().to_string().as_str()]);
    assert_eq!(fields.all("x-forwarded-proto"), ["http"]);
    assert_eq!(fields.all("x-forwarded-host"), ["shop.test:8080"]);
    let ids = fields.all("x-request-id");
    assert!(ids.len() == 1 && ids[0] != "chosen-by-the-client", "{ids:?}");
}

/// Fields that some servers read in their place.
#[test]
fn what_means_the_same_is_dropped_too() {
    let names = [
        "X-Forwarded-Ssl",
        "X-Forwarded-Scheme",
        "X-Forwarded-Protocol",
        "X-Forwarded-Prefix",
        "X-Url-Scheme",
        "Front-End-Https",
        "True-Client-IP",
        "x_forwarded_ssl",
        "X-Real-IP",
    ];
    let lines: String = names.iter().map(|name| format!("{name}: on\r\n")).collect();
    let (fields, _) = forwarded(&lines);
    let trusted = told(&["--trusted-proxies", "127.0.0.0/8"], &serde_json::json!({}), &lines);
    for name in names {
        assert!(!fields.has(name), "{name}: {fields:?}");
        assert_eq!(trusted.has(name), !name.contains('_'), "{name}: {trusted:?}");
    }
}

/// Each proxy may have added what it was asked by: what counts is what the client asked by.
#[test]
fn of_several_schemes_the_clients_counts() {
    let trusted = ["--trusted-proxies", "127.0.0.0/8,198.51.100.0/24"];
    let chain = "X-Forwarded-For: 203.0.113.7:4711, 198.51.100.2\r\n";
    for (lines, scheme) in [
        (format!("{chain}X-Forwarded-Proto: https, http\r\n"), "https"),
        (format!("{chain}X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n"), "https"),
        (format!("{chain}X-Forwarded-Proto: https\r\n"), "https"),
        (format!("{chain}X-Forwarded-Proto: https, http, http\r\n"), "http"),
        ("X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https, http\r\n".to_owned(), "http"),
        ("X-Forwarded-Proto: https, http\r\n".to_owned(), "http"),
        ("X-Forwarded-Proto: ,\r\n".to_owned(), "http"),
    ] {
        let fields = told(&trusted, &serde_json::json!({"forwarded": "append"}), &lines);
        assert_eq!(fields.all("x-forwarded-proto"), [scheme], "{lines}");
        let standard = fields.one("forwarded").unwrap();
        assert!(standard.contains(&format!(";proto={scheme};")), "{lines}: {standard}");
    }
    let fields = told(&trusted, &serde_json::json!({"x_forwarded": "replace"}), chain);
    assert_eq!(fields.all("x-forwarded-for"), ["203.0.113.7"], "a port does not hide an address");
}

/// `Forwarded` says the same in standard form, so it must not be believed either. RFC 7239 §8.1.
#[test]
fn a_claim_in_standard_form_is_dropped_too() {
    let (fields, _) = forwarded("Forwarded: for=10.1.1.1;proto=https\r\n");
    assert!(!fields.list("forwarded").iter().any(|value| value.contains("10.1.1.1")), "{fields:?}");
}

#[test]
fn via_is_added_behind_what_is_there() {
    let (fields, _) = forwarded("Via: 1.0 fred\r\n");
    let via = fields.list("via");
    assert_eq!((via.len(), via[0].as_str()), (2, "1.0 fred"), "{via:?}");
    assert!(via[1].starts_with("1.1 "), "{via:?}");
}

#[test]
fn every_request_has_an_id_of_its_own() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    for _ in 0..50 {
        client.get("/");
    }
    let mut ids: Vec<String> = origin
        .seen()
        .iter()
        .map(|seen| seen.request.head.fields.one("x-request-id").unwrap().to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

#[test]
fn other_fields_pass_untouched_and_in_order() {
    let (fields, _) = forwarded("X-B: 2\r\nX-A: 1\r\nX-B: 3\r\nCookie: a=1; b=2\r\nAccept: */*\r\n");
    assert_eq!(fields.all("x-b"), ["2", "3"]);
    assert_eq!(fields.one("x-a"), Some("1"));
    assert_eq!(fields.one("cookie"), Some("a=1; b=2"));
    assert_eq!(fields.one("accept"), Some("*/*"));
    assert!(!fields.has("user-agent"), "nothing is made up: {fields:?}");
}

/// A proxy in front that the operator vouches for is believed, and this hop is added.
#[test]
fn what_a_trusted_proxy_says_is_kept() {
    let origin = Origin::named("origin");
    let weir = Launch::default().arg("--trusted-proxies").arg("127.0.0.0/8").start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let mut client = weir.client();
    client.exchange(concat!(
        "GET / HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n",
        "X-Forwarded-Host: front.test\r\nX-Request-Id: abc-123\r\n\r\n",
    ));
    let fields = origin.only().request.head.fields;
    assert_eq!(
        fields.list("x-forwarded-for"),
        ["203.0.113.7".to_owned(), client.local_address().ip().to_string()]
    );
    assert_eq!(fields.all("x-forwarded-proto"), ["https"]);
    assert_eq!(fields.all("x-forwarded-host"), ["front.test"]);
    assert_eq!(fields.all("x-request-id"), ["abc-123"]);
}

/// The fields a server gets by way of a Weir that trusts its client, with these settings of the upstream.
fn told(arguments: &[&str], settings: &serde_json::Value, lines: &str) -> Fields {
    let origin = Origin::named("origin");
    let weir = arguments.iter().fold(Launch::default(), |launch, argument| launch.arg(*argument)).start();
    let upstream = config::with(&[origin.address()], &serde_json::json!({ "forwarded": settings }));
    weir.api().set_default(&upstream);
    let request = format!("GET / HTTP/1.1\r\nHost: shop.test:81\r\n{lines}\r\n");
    assert_eq!(weir.client().exchange(request).status, 200);
    origin.only().request.head.fields
}

const CLAIMS: &str = concat!(
    "X-Forwarded-For: 203.0.113.7, 198.51.100.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: front.test\r\n",
    "X-Forwarded-Port: 443\r\nForwarded: for=203.0.113.7;proto=https\r\n",
);

#[test]
fn an_upstream_chooses_what_its_servers_are_told() {
    let trusted = ["--trusted-proxies", "127.0.0.0/8,198.51.100.0/24"];
    let modes = |x: &str, standard: &str| serde_json::json!({"x_forwarded": x, "forwarded": standard});
    let all = |fields: &Fields, name: &str| fields.list(name).join(" ");

    let fields = told(&trusted, &modes("append", "append"), CLAIMS);
    assert_eq!(all(&fields, "x-forwarded-for"), "203.0.113.7 198.51.100.2 127.0.0.1");
    assert_eq!(
        (fields.one("x-forwarded-proto"), fields.one("x-forwarded-port")),
        (Some("https"), Some("443"))
    );
    assert_eq!(
        fields.one("forwarded"),
        Some("for=203.0.113.7;proto=https, for=127.0.0.1;proto=https;host=\"front.test\"")
    );
    let fields = told(&trusted, &modes("replace", "replace"), CLAIMS);
    assert_eq!(all(&fields, "x-forwarded-for"), "203.0.113.7");
    assert_eq!(fields.one("forwarded"), Some("for=203.0.113.7;proto=https;host=\"front.test\""));
    let fields = told(&trusted, &modes("keep", "keep"), CLAIMS);
    assert_eq!(all(&fields, "x-forwarded-for"), "203.0.113.7 198.51.100.2");
    assert_eq!(fields.one("forwarded"), Some("for=203.0.113.7;proto=https"));
    let fields = told(&trusted, &modes("drop", "drop"), CLAIMS);
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded"]
    {
        assert!(!fields.has(name), "{name}: {fields:?}");
    }
    assert!(fields.has("x-request-id"));

    // Nobody vouches for the client.
    let fields = told(&[], &modes("append", "append"), CLAIMS);
    assert_eq!(all(&fields, "x-forwarded-for"), "127.0.0.1");
    assert_eq!(fields.one("forwarded"), Some("for=127.0.0.1;proto=http;host=\"shop.test:81\""));
    let fields = told(&[], &modes("keep", "keep"), CLAIMS);
    assert!(!fields.has("x-forwarded-for") && !fields.has("forwarded"), "{fields:?}");
}

#[test]
fn hops_are_trusted_by_their_number() {
    let replace = serde_json::json!({"x_forwarded": "replace"});
    for (hops, client) in
        [("1", "198.51.100.2"), ("2", "203.0.113.7"), ("3", "203.0.113.7"), ("0", "127.0.0.1")]
    {
        let fields = told(&["--trusted-hops", hops], &replace, CLAIMS);
        assert_eq!(fields.all("x-forwarded-for"), [client], "{hops}");
    }
}
