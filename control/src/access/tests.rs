//! Who is taken for whom.

use std::sync::Arc;

use super::{principal::Certificate, scope::Need, token::Token, *};
use crate::store::{Memory, Store};

const NOW: Timestamp = Timestamp(1_000_000_000);

async fn access(without_tokens: WithoutTokens) -> Access {
    let store = Memory::default();
    store.initialise(weir_shared::id::Epoch("abc123".into())).await.unwrap();
    let principals = HashMap::from([
        ("ops.example".to_owned(), vec![Scope::Admin]),
        ("uid:7".to_owned(), vec![Scope::HealthRead]),
    ]);
    Access {
        tokens: Tokens::load(Some(Arc::new(store)), None, None).await.unwrap(),
        policy: Policy { without_tokens, probes: Probes::Guarded, principals, owner: 1000 },
    }
}

fn token(id: &str, expires_at: Option<Timestamp>) -> Token {
    Token {
        id: id.to_owned(),
        scopes: vec!["servers:write:web".parse().unwrap()],
        description: None,
        created_at: NOW,
        created_by: "local".to_owned(),
        expires_at,
        keys: Vec::new(),
    }
}

fn tcp(remote: &str) -> Peer {
    Peer::Tcp { remote: Some(remote.parse().unwrap()), certificate: None }
}

fn shows(names: &[&str]) -> Peer {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Peer::Tcp { remote: None, certificate: Some(Arc::new(Certificate { names })) }
}

#[tokio::test]
async fn the_first_token_closes_the_port_and_the_socket_stays_open() {
    let access = access(WithoutTokens::Open).await;
    let port = tcp("127.0.0.1:5000");
    let who = |peer: &Peer| access.identify(peer, Shown::Nothing, NOW).map(|found| found.who.to_string());
    assert_eq!(who(&port), Ok("local".to_owned()));
    assert_eq!(who(&tcp("10.0.0.1:5000")), Ok("anonymous".to_owned()));
    let text = access.tokens.create(token("ci", None), Vec::new()).await.unwrap();
    assert_eq!(who(&port), Err(Stranger::Missing));
    assert_eq!(who(&Peer::Unix { uid: 1000 }), Ok("uid:1000".to_owned()));
    let ci = access.identify(&port, Shown::Token(text.expose()), NOW).unwrap();
    assert_eq!(ci.who.to_string(), "token:ci");
    assert!(ci.may(Need::ServersWrite, Some("web")) && !ci.may(Need::ServersWrite, Some("api")));
    assert!(access.tokens.is_last("ci"));
    access.tokens.revoke("ci", Vec::new()).await.unwrap();
    assert_eq!(access.identify(&port, Shown::Token(text.expose()), NOW), Err(Stranger::Unknown));
    assert_eq!(who(&port), Ok("local".to_owned()));
}

#[tokio::test]
async fn without_the_store_tokens_are_known_from_their_copy() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("tokens.json");
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    store.initialise(weir_shared::id::Epoch("abc123".into())).await.unwrap();
    let tokens = Tokens::load(Some(Arc::clone(&store)), Some(copy.clone()), None).await.unwrap();
    assert!(!tokens.exist());
    let text = tokens.create(token("ci", None), Vec::new()).await.unwrap();
    let written = std::fs::read_to_string(&copy).unwrap();
    assert!(written.contains("\"ci\"") && !written.contains(text.expose().as_str()));
    let tokens = Tokens::load(None, Some(copy.clone()), None).await.unwrap();
    assert!(tokens.exist() && tokens.find(text.expose(), NOW).is_ok());
    assert!(tokens.revoke("ci", Vec::new()).await.is_err() && tokens.find(text.expose(), NOW).is_ok());
    std::fs::write(&copy, "[").unwrap();
    let tokens = Tokens::load(None, Some(copy.clone()), None).await.unwrap();
    assert!(tokens.exist() && tokens.find(text.expose(), NOW).is_err(), "a damaged copy opens nothing");
    let tokens = Tokens::load(Some(store), Some(copy), None).await.unwrap();
    assert!(tokens.find(text.expose(), NOW).is_ok(), "the store says what counts");
}

#[tokio::test]
async fn users_and_certificates_may_what_the_operator_says_and_no_more() {
    let access = access(WithoutTokens::Closed).await;
    let who = |peer: &Peer| access.identify(peer, Shown::Nothing, NOW);
    assert_eq!(who(&tcp("127.0.0.1:1")), Err(Stranger::Missing));
    for uid in [0, 1000] {
        assert!(who(&Peer::Unix { uid }).unwrap().may(Need::Admin, None), "{uid}");
    }
    let seven = who(&Peer::Unix { uid: 7 }).unwrap();
    assert!(seven.may(Need::HealthRead, None) && !seven.may(Need::ConfigRead, None));
    assert!(!who(&Peer::Unix { uid: 8 }).unwrap().may(Need::HealthRead, None));
    let ops = who(&shows(&["other.example", "ops.example"])).unwrap();
    assert!(ops.who.to_string() == "cert:ops.example" && ops.may(Need::Admin, None));
    let other = who(&shows(&["other.example"])).unwrap();
    assert!(other.who.to_string() == "cert:other.example" && !other.may(Need::HealthRead, None));
    assert!(!who(&shows(&[])).unwrap().may(Need::HealthRead, None));
}

#[tokio::test]
async fn what_is_shown_must_be_right_everywhere() {
    let access = access(WithoutTokens::Open).await;
    for peer in [tcp("127.0.0.1:1"), Peer::Unix { uid: 1000 }, shows(&["ops.example"])] {
        let refused = |shown| access.identify(&peer, shown, NOW).unwrap_err();
        assert_eq!(refused(Shown::Malformed), Stranger::Malformed);
        assert_eq!(refused(Shown::Token("garbage")), Stranger::Malformed);
        assert_eq!(refused(Shown::Token(token::draw("ci").expose())), Stranger::Unknown);
    }
}

#[tokio::test]
async fn tokens_end_with_a_minute_of_leeway() {
    let access = access(WithoutTokens::Open).await;
    let text = access.tokens.create(token("ci", Some(NOW)), Vec::new()).await.unwrap();
    let at = |millis: i64| access.tokens.find(text.expose(), Timestamp(NOW.0 + millis)).map(|_| ());
    assert_eq!((at(0), at(60_000), at(60_001)), (Ok(()), Ok(()), Err(Stranger::Expired)));
    assert!(access.is_required(), "an expired token is still one");
}

#[tokio::test]
async fn two_secrets_are_good_while_one_takes_the_others_place() {
    let access = access(WithoutTokens::Open).await;
    let tokens = &access.tokens;
    let is_good = |text: &secret::Secret<String>, at| tokens.find(text.expose(), at).is_ok();
    let until = Timestamp(NOW.0 + 3_600_000);
    let first = tokens.create(token("ci", None), Vec::new()).await.unwrap();
    let second = tokens.rotate("ci", until, NOW, Vec::new()).await.unwrap();
    assert!(is_good(&first, NOW) && is_good(&second, NOW));
    let later = Timestamp(until.0 + 60_001);
    assert!(!is_good(&first, later) && is_good(&second, later));
    let third = tokens.rotate("ci", until, NOW, Vec::new()).await.unwrap();
    assert!(!is_good(&first, NOW) && is_good(&second, NOW) && is_good(&third, NOW), "two at most");
    let fourth = tokens.rotate("ci", NOW, NOW, Vec::new()).await.unwrap();
    assert!(
        !is_good(&second, NOW) && !is_good(&third, NOW) && is_good(&fourth, NOW),
        "no leeway without overlap"
    );
}
