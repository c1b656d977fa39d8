//! Golden vectors from other implementations, and what consistent hashing promises.

use super::*;

/// `key-0` to `key-39`, then `""`, `/a/b?c=1`, `ä` and 200 times `z`.
fn keys() -> Vec<String> {
    let mut keys: Vec<String> = (0..40).map(|n| format!("key-{n}")).collect();
    keys.extend(["".into(), "/a/b?c=1".into(), "ä".into(), "z".repeat(200)]);
    keys
}

fn entries(weights: &[u16]) -> Vec<Entry> {
    (0_u32..)
        .zip(weights)
        .map(|(index, weight)| Entry { index, name: format!("10.0.0.{}:8080", index + 1), weight: *weight })
        .collect()
}

fn many(count: u32) -> Vec<Entry> {
    (0..count)
        .map(|index| Entry { index, name: format!("10.{}.{}.1:80", index / 250, index % 250), weight: 1 })
        .collect()
}

fn ring(entries: &[Entry]) -> HashTable {
    HashTable { tables: [Kind::Ring(Ring::build(entries))].into() }
}

fn maglev(entries: &[Entry], size: u32) -> HashTable {
    HashTable {
        tables: [Kind::Maglev { all: Arc::new(Maglev::build(entries.to_vec(), size)), wanted: None }].into(),
    }
}

fn first(table: &HashTable, key: &str) -> u32 {
    table.preferred(0, table.key(key.as_bytes())).next().unwrap()
}

fn picks(table: &HashTable) -> Vec<u32> {
    keys().iter().map(|key| first(table, key)).collect()
}

#[test]
fn the_ring_is_ketamas() {
    // uhashring 2.4 (PyPI), HashRing(nodes, hash_fn="ketama").get_node(key).
    let equal = [
        2, 0, 2, 3, 3, 1, 3, 1, 2, 1, 0, 4, 2, 3, 0, 3, 3, 4, 3, 1, 0, 0, 2, 3, 1, 2, 0, 0, 1, 1, 0, 1, 2, 1,
        3, 0, 2, 2, 0, 1, 3, 1, 2, 4,
    ];
    assert_eq!(picks(&ring(&entries(&[1; 5]))), equal);
    let weighted = [
        2, 0, 2, 3, 3, 1, 4, 4, 2, 4, 0, 4, 2, 3, 3, 3, 4, 4, 3, 1, 0, 0, 2, 3, 4, 2, 2, 4, 0, 1, 4, 0, 2, 1,
        3, 2, 4, 2, 1, 1, 3, 1, 2, 4,
    ];
    assert_eq!(picks(&ring(&entries(&[1, 2, 3, 4, 5]))), weighted);
}

#[test]
fn the_table_is_maglevs() {
    // From a program in Python after §3.4 of the paper, with xxhash 3 (PyPI) for XXH64.
    let equal = [
        1, 2, 3, 0, 3, 2, 2, 0, 4, 2, 2, 2, 4, 4, 3, 2, 3, 2, 4, 2, 3, 1, 3, 1, 2, 4, 4, 3, 1, 0, 2, 2, 0, 4,
        0, 3, 1, 1, 2, 2, 4, 4, 2, 2,
    ];
    assert_eq!(picks(&maglev(&entries(&[1; 5]), 1009)), equal);
    let weighted = [
        1, 2, 3, 1, 3, 3, 2, 4, 4, 2, 2, 4, 4, 4, 3, 2, 3, 3, 4, 2, 3, 1, 3, 3, 2, 4, 4, 3, 1, 2, 2, 3, 2, 4,
        4, 3, 2, 1, 2, 2, 4, 4, 2, 2,
    ];
    assert_eq!(picks(&maglev(&entries(&[1, 2, 3, 4, 5]), 1009)), weighted);
}

/// What moves when one of `count` servers is taken out, in units of what has to: of all that `parts` tells the server of. The
/// most of three tries.
fn disruption(parts: impl Fn(&[Entry]) -> Vec<u32>, count: u32) -> f64 {
    let before = parts(&many(count));
    let without = |gone: u32| {
        let mut entries = many(count);
        entries.remove(gone as usize);
        let moved = before.iter().zip(&parts(&entries)).filter(|(was, is)| was != is).count();
        moved as f64 / before.iter().filter(|was| **was == gone).count() as f64
    };
    [0, count / 2, count - 1].map(without).into_iter().fold(0.0, f64::max)
}

/// The servers of 20 000 keys.
fn homes(entries: &[Entry]) -> Vec<u32> {
    let ring = ring(entries);
    (0..20_000).map(|n| first(&ring, &format!("user-{n}"))).collect()
}

/// The servers of all slots.
fn slots(entries: &[Entry], size: u64) -> Vec<u32> {
    let table = Maglev::build(entries.to_vec(), u32::try_from(size).unwrap());
    (0..size).map(|slot| table.at(slot, 0).unwrap()).collect()
}

#[test]
fn a_ring_moves_the_keys_of_a_server_that_is_taken_out_and_no_others() {
    for count in [10, 100, 1000] {
        assert_eq!(disruption(homes, count), 1.0, "{count} servers");
    }
}

/// Within a tenth as long as there are a hundred slots or so for the square of the servers.
#[test]
fn a_maglev_table_moves_some_more_the_more_servers_share_it() {
    for (count, size, most) in [
        (10, 65_537, 1.03),
        (20, 65_537, 1.1),
        (100, 65_537, 1.65),
        (75, 655_373, 1.11),
        (100, 2_000_003, 1.1),
        (1000, 655_373, 4.6),
    ] {
        let of_maglev = disruption(|entries| slots(entries, size), count);
        assert!(of_maglev <= most, "{count} servers, {size} slots: {of_maglev}");
    }
}

/// How far the part of the busiest is above the mean, of all that are told the server of.
fn imbalance(parts: &[u32], count: u32) -> f64 {
    let mut counts = vec![0_u32; count as usize];
    parts.iter().for_each(|server| counts[*server as usize] += 1);
    let mean = parts.len() as f64 / f64::from(count);
    f64::from(*counts.iter().max().unwrap()) / mean - 1.0
}

#[test]
fn maglev_parts_differ_by_less_than_a_hundredth() {
    for (count, size) in [(3, 65_537), (10, 65_537), (100, 65_537), (655, 65_537), (1000, 655_373)] {
        let busiest = imbalance(&slots(&many(count), size), count);
        assert!(busiest < 0.01, "{count} servers: {busiest}");
    }
}

#[test]
fn a_maglev_table_is_the_same_whatever_the_order_of_servers() {
    let names = |mut entries: Vec<Entry>| {
        let named = |index: &u32| entries.iter().find(|entry| entry.index == *index).unwrap().name.clone();
        let before: Vec<String> = slots(&entries, 1009).iter().map(named).collect();
        entries.rotate_left(3);
        (0..).zip(&mut entries).for_each(|(index, entry)| entry.index = index);
        let named = |index: &u32| entries[*index as usize].name.clone();
        (before, slots(&entries, 1009).iter().map(named).collect::<Vec<_>>())
    };
    let (before, after) = names(many(7));
    assert_eq!(before, after);
}

#[test]
fn parts_follow_weights() {
    let table = Maglev::build(entries(&[1, 2, 3, 4, 5]), 65_537);
    let mut parts = [0_u32; 5];
    for slot in 0..65_537 {
        parts[table.at(slot, 0).unwrap() as usize] += 1;
    }
    for (weight, part) in (1..).zip(parts) {
        assert!((part * 15).abs_diff(weight * 65_537) <= 15 * 5, "{parts:?}");
    }
}

#[test]
fn a_small_table_grows_with_its_servers() {
    let table = Maglev::build(many(1000), 1009);
    let found: std::collections::HashSet<u32> = (0..655_373).filter_map(|slot| table.at(slot, 0)).collect();
    assert_eq!(found.len(), 1000);
}

#[test]
fn preferences_are_bounded_and_reach_other_servers() {
    let entries = entries(&[1; 5]);
    for table in [ring(&entries), maglev(&entries, 1009)] {
        let key = table.key(b"alpha");
        let order: Vec<u32> = table.preferred(0, key).collect();
        assert_eq!(order.len(), MAX_LOOKS);
        let distinct: std::collections::HashSet<&u32> = order.iter().collect();
        assert_eq!(distinct.len(), 5, "{order:?}");
    }
}

#[test]
fn light_and_single_servers_have_a_place() {
    let table = ring(&entries(&[u16::MAX, 1]));
    assert!((0..200_000).any(|n| first(&table, &format!("k{n}")) == 1));
    let one = entries(&[1]);
    assert_eq!(first(&ring(&one), "x"), 0);
    assert_eq!(first(&maglev(&one, 1009), "x"), 0);
}

#[test]
fn networks_keep_their_leading_bits() {
    let settings = model::Hash { ipv4_prefix: 20, ipv6_prefix: 52, ..model::Hash::default() };
    let (bytes, len) = Key::network("10.1.255.7".parse().unwrap(), &settings);
    assert_eq!(bytes[..len], [10, 1, 0xf0, 0]);
    let (mapped, len) = Key::network("::ffff:10.1.255.7".parse().unwrap(), &settings);
    assert_eq!(mapped[..len], [10, 1, 0xf0, 0]);
    let (bytes, len) = Key::network("2001:db8:1:ffff::1".parse().unwrap(), &settings);
    assert_eq!(bytes[..len], [0x20, 1, 0xd, 0xb8, 0, 1, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_table_that_would_be_the_same_is_taken_over() {
    let known = maglev(&many(5), 1009);
    let is_known = |entries: &[Entry], size| known.maglevs().any(|known| known.is_of(entries, size));
    let mut heavier = many(5);
    heavier[2].weight += 1;
    let fewer = &many(5)[..4];
    assert_eq!(
        [is_known(&many(5), 1009), is_known(&many(5), 2003), is_known(&heavier, 1009), is_known(fewer, 1009)],
        [true, false, false, false]
    );
}
