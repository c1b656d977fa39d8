//! What holds for any content of the file: it is what was written, or it is refused.

use std::io::Cursor;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::arbitrary;

fn composed(config: &Config, health: &KnownHealth, at: Timestamp) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    compose(&mut file, config, health, at).unwrap();
    file.into_inner()
}

fn health() -> impl Strategy<Value = KnownHealth> {
    proptest::collection::btree_map("[a-z/\"\\\\]{0,8}", "\\PC{0,8}", 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read_as_it_was(config in arbitrary::config(), health in health(), at in 0..1_i64 << 40) {
        let read = parse(&composed(&config, &health, Timestamp(at))).unwrap();
        prop_assert_eq!(read.config.to_document(), config.to_document());
        prop_assert_eq!((read.config.revision, &read.config.epoch), (config.revision, &config.epoch));
        prop_assert_eq!((read.health, read.written_at), (health, Timestamp(at)));
    }

    /// A piece is replaced by another, longer or shorter.
    #[test]
    fn what_was_damaged_is_refused_or_means_the_same(
        config in arbitrary::config(), start in any::<Index>(), length in 0..40_usize, piece in vec(any::<u8>(), 0..8),
    ) {
        let mut text = composed(&config, &KnownHealth::new(), Timestamp(5));
        let meant = parse(&text).unwrap();
        let start = start.index(text.len());
        let end = text.len().min(start + length);
        text.splice(start..end, piece);
        if let Ok(read) = parse(&text) {
            prop_assert_eq!(read, meant);
        }
    }

    #[test]
    fn anything_else_is_refused(text in vec(any::<u8>(), 0..200), json in arbitrary::json()) {
        prop_assert!(parse(&text).is_err());
        prop_assert!(parse(json.to_string().as_bytes()).is_err());
    }
}
