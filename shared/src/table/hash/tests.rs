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
    HashTable { tables: [Kind::Maglev(Maglev::build(entries, size))].into() }
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

/// Share of keys that go elsewhere when the last of `count` servers is taken out, in units of the least possible.
fn disruption(build: impl Fn(&[Entry]) -> HashTable, count: u32) -> f64 {
    const KEYS: u32 = 100_000;
    let mut entries = many(count);
    let before = build(&entries);
    entries.pop();
    let after = build(&entries);
    let (mut moved, mut homeless) = (0, 0);
    for n in 0..KEYS {
        let key = format!("user-{n}");
        let (was, is) = (first(&before, &key), first(&after, &key));
        moved += u32::from(was != is);
        homeless += u32::from(was == count - 1);
    }
    f64::from(moved) / f64::from(homeless)
}

#[test]
fn taking_a_server_out_moves_hardly_more_than_its_own_keys() {
    for count in [10, 100] {
        let of_ring = disruption(ring, count);
        assert!(of_ring <= 1.0, "ring of {count}: {of_ring}");
    }
    // Of a larger group a larger table disturbs less; of a thousand no table that would be small enough to be worth it does, but
    // it is nothing like all keys, as it would be if the table changed its size.
    for (count, size, most) in
        [(10, 65_537, 1.1), (100, 65_537, 1.7), (100, 1_000_000, 1.15), (1000, 65_537, 6.0)]
    {
        let of_maglev = disruption(|entries| maglev(entries, size), count);
        assert!(of_maglev <= most, "Maglev of {count}, {size} slots: {of_maglev}");
    }
}

#[test]
fn maglev_parts_differ_by_less_than_a_hundredth() {
    for count in [3, 10, 100, 655] {
        let mut parts = vec![0_u32; count as usize];
        let table = Maglev::build(&many(count), 65_537);
        for slot in 0..65_537 {
            parts[table.at(slot, 0).unwrap() as usize] += 1;
        }
        let ideal = 65_537.0 / f64::from(count);
        let most = f64::from(*parts.iter().max().unwrap());
        assert!(most <= (ideal * 1.01).ceil(), "{count} servers: {most} for {ideal}");
    }
}

#[test]
fn parts_follow_weights() {
    let table = Maglev::build(&entries(&[1, 2, 3, 4, 5]), 65_537);
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
    let table = Maglev::build(&many(1000), 1009);
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
