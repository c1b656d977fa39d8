//! Listeners that want an address at the same time, among each other and with those that stay where they are.
//!
//! An address may go from one listener to another in one change, and two may exchange theirs. But a listener that cannot have
//! its new address keeps the old one, and then nobody else gets that: on a shared port the kernel would give each some of
//! the clients, whatever certificates either asks for.

use std::io;

use weir_shared::{id::ListenerId, model::ListenAddress};

use super::socket::{self, Neighbour, Sockets};

/// Why a listener has not got its address.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unbound {
    /// Another listener has it.
    #[error("the listener \"{0}\" has it")]
    Taken(ListenerId),
    #[error("{0}")]
    System(#[from] io::Error),
}

/// What one listener wants.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) id: ListenerId,
    pub(super) wants: ListenAddress,
    /// What it gives up for that; `None`: it has nothing yet.
    pub(super) has: Option<ListenAddress>,
    /// What came of it; `Ok(None)`: nothing yet.
    pub(super) got: Result<Option<Sockets>, Unbound>,
}

impl Claim {
    /// Whether it is to leave `address`.
    fn leaves(&self, address: &ListenAddress) -> bool {
        self.has.as_ref().is_some_and(|has| has.overlaps(address))
    }
}

/// Binds what the `claims` want, once for each of `workers`, while others `stay` where they are.
pub(super) fn bind(claims: &mut [Claim], stay: &[(ListenerId, ListenAddress)], workers: usize) {
    loop {
        refuse(claims, stay);
        reserve(claims, workers);
        // Nobody is let in whose address turns out to be kept by somebody else.
        refuse(claims, stay);
        if !ask_again(claims) {
            break;
        }
    }
    for claim in &mut *claims {
        if let Ok(Some(sockets)) = &mut claim.got
            && let Err(error) = sockets.listen()
        {
            claim.got = Err(error.into());
        }
    }
    refuse(claims, stay);
}

/// Binds, without listening, what nobody is known to keep.
fn reserve(claims: &mut [Claim], workers: usize) {
    for place in 0..claims.len() {
        let leaves = |wants: &ListenAddress| claims.iter().any(|claim| claim.leaves(wants));
        let Some(Claim { wants, got: Ok(None), .. }) = claims.get(place) else { continue };
        let neighbour = if leaves(wants) { Neighbour::Leaving } else { Neighbour::Unknown };
        let got = socket::reserve(wants, workers, neighbour);
        if let Some(claim) = claims.get_mut(place) {
            claim.got = got.map(Some).map_err(Unbound::from);
        }
    }
}

/// Lets those try who were refused in favour of one that the system has refused since. Answers whether there are any: each time
/// one more has been refused by the system.
fn ask_again(claims: &mut [Claim]) -> bool {
    let is_free = |claim: &Claim| {
        let Err(Unbound::Taken(holder)) = &claim.got else { return false };
        claims.iter().any(|other| {
            other.id == *holder && matches!(other.got, Err(Unbound::System(_))) && !other.leaves(&claim.wants)
        })
    };
    let free: Vec<bool> = claims.iter().map(is_free).collect();
    for (claim, _) in claims.iter_mut().zip(&free).filter(|(_, is_free)| **is_free) {
        claim.got = Ok(None);
    }
    free.contains(&true)
}

/// Refuses whoever wants what another listener keeps, until those that are left can all go. One at a time, and of rivals the last
/// to be asked: who is refused is nobody's rival any more.
fn refuse(claims: &mut [Claim], stay: &[(ListenerId, ListenAddress)]) {
    let next = |claims: &[Claim]| {
        let all = 0..claims.len();
        let keeper = |place| Some((place, keeper(claims, place, stay)?.clone()));
        let rival = |place| Some((place, rival(claims, place)?.clone()));
        all.clone().find_map(keeper).or_else(|| all.clone().find_map(rival))
    };
    while let Some((place, holder)) = next(claims) {
        let Some(claim) = claims.get_mut(place) else { return };
        claim.got = Err(Unbound::Taken(holder));
    }
}

/// Who keeps what the claim at `place` wants.
fn keeper<'c>(
    claims: &'c [Claim],
    place: usize,
    stay: &'c [(ListenerId, ListenAddress)],
) -> Option<&'c ListenerId> {
    let claim = claims.get(place).filter(|claim| claim.got.is_ok())?;
    let stays = stay.iter().find(|(_, address)| address.overlaps(&claim.wants)).map(|(id, _)| id);
    let keeps = |other: &&Claim| other.got.is_err() && other.id != claim.id && other.leaves(&claim.wants);
    stays.or_else(|| claims.iter().find(keeps).map(|other| &other.id))
}

/// Who wants what the claim at `place` wants, and comes before it.
fn rival(claims: &[Claim], place: usize) -> Option<&ListenerId> {
    let claim = claims.get(place).filter(|claim| claim.got.is_ok())?;
    let came_first = |other: &&Claim| other.got.is_ok() && other.wants.overlaps(&claim.wants);
    claims.iter().take(place).find(came_first).map(|other| &other.id)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn address(text: &str) -> ListenAddress {
        ListenAddress::parse(text).unwrap()
    }

    fn claim(id: &str, has: Option<&Sockets>, wants: &ListenAddress) -> Claim {
        let has = has.map(|sockets| sockets.address.clone());
        Claim { id: ListenerId::new(id), wants: wants.clone(), has, got: Ok(None) }
    }

    fn told(claim: &Claim) -> String {
        claim.got.as_ref().map_or_else(ToString::to_string, |got| got.as_ref().unwrap().address.to_string())
    }

    #[test]
    fn what_a_listener_cannot_leave_nobody_else_gets() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = address(&taken.local_addr().unwrap().to_string());
        let [one, two] = [(); 2].map(|()| socket::bind(&address("127.0.0.1:0"), 1).unwrap());
        let mut claims = [
            claim("third", None, &two.address),
            claim("second", Some(&two), &one.address),
            claim("first", Some(&one), &taken),
        ];
        bind(&mut claims, &[], 1);
        let [third, second, first] = claims;
        assert!(matches!(first.got, Err(Unbound::System(_))), "{first:?}");
        assert_eq!(told(&second), "the listener \"first\" has it");
        assert_eq!(told(&third), "the listener \"second\" has it");
    }

    #[test]
    fn addresses_are_handed_on_and_exchanged() {
        let [one, two, three] = [(); 3].map(|()| socket::bind(&address("127.0.0.1:0"), 1).unwrap());
        let mut claims = [
            claim("a", Some(&one), &two.address),
            claim("b", Some(&two), &one.address),
            claim("c", Some(&three), &address("127.0.0.1:0")),
            claim("d", None, &three.address),
        ];
        bind(&mut claims, &[], 2);
        assert!(claims.iter().all(|claim| claim.got.is_ok()), "{claims:?}");
    }

    #[test]
    fn a_wildcard_is_narrowed_by_its_own_listener_alone() {
        let wide = socket::bind(&address("0.0.0.0:0"), 1).unwrap();
        let port = wide.address.to_string().rsplit_once(':').unwrap().1.to_owned();
        for wanted in ["127.0.0.1", "[::]"] {
            let mut own = [claim("own", Some(&wide), &address(&format!("{wanted}:{port}")))];
            bind(&mut own, &[], 2);
            assert!(own[0].got.is_ok(), "{own:?}");
        }
        let stay = [(ListenerId::new("own"), wide.address)];
        let mut other = [claim("other", None, &address(&format!("127.0.0.1:{port}")))];
        bind(&mut other, &stay, 2);
        assert_eq!(told(&other[0]), "the listener \"own\" has it");
    }

    #[test]
    fn of_two_that_overlap_the_first_is_let_in() {
        let free = socket::bind(&address("127.0.0.1:0"), 1).unwrap().address;
        let port = free.to_string().rsplit_once(':').unwrap().1.to_owned();
        let mut claims = [claim("a", None, &free), claim("b", None, &address(&format!("[::]:{port}")))];
        bind(&mut claims, &[], 1);
        assert!(claims[0].got.is_ok(), "{claims:?}");
        assert_eq!(told(&claims[1]), "the listener \"a\" has it");
    }

    #[test]
    fn who_is_refused_stands_in_nobodys_way() {
        let on = |text: &str, port: &str| address(&format!("{text}:{port}"));
        let free = socket::bind(&address("127.0.0.1:0"), 1).unwrap().address;
        let port = free.to_string().rsplit_once(':').unwrap().1.to_owned();
        let rivals =
            [("p", on("127.0.0.1", &port)), ("q", on("0.0.0.0", &port)), ("r", on("127.0.0.2", &port))];
        let mut claims = rivals.map(|(id, wants)| claim(id, None, &wants));
        bind(&mut claims, &[], 1);
        assert_eq!(claims.each_ref().map(|claim| claim.got.is_ok()), [true, false, true], "{claims:?}");
        // The same where the system refuses: somebody else has the address of the first.
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let rivals = [("q", on("0.0.0.0", &port)), ("r", on("127.0.0.2", &port))];
        let mut claims = rivals.map(|(id, wants)| claim(id, None, &wants));
        bind(&mut claims, &[], 1);
        assert_eq!(claims.each_ref().map(|claim| claim.got.is_ok()), [false, true], "{claims:?}");
    }
}
