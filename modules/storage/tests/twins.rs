//! The crate and its slow twin agree, on sizes at every boundary and on random ones.

mod common;
mod reference;

use common::{random, text_of};
use inos_storage::entry::Entry;
use inos_storage::hash::{chain_at, hash, merge, merge_root, plain_and_chain};
use inos_storage::raw::{append_raw, for_each_raw};
use proptest::prelude::*;

#[test]
fn hashes_agree() {
    for size in [0usize, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3072, 65_537, (1 << 20) - 1, 1 << 20] {
        let bytes = random(size as u64, size);
        assert_eq!(hash(&bytes), reference::hash(&bytes), "{size}");
        if size == 0 {
            continue; // an empty subtree has no chaining value
        }
        for offset in [0u64, 1 << 20, 3 << 20, 1 << 30, (1 << 40) + (7 << 20), 0u64.wrapping_sub(2 << 20)] {
            assert_eq!(chain_at(&bytes, offset), reference::chain(&bytes, offset), "{size} at {offset}");
            assert_eq!(plain_and_chain(&bytes, offset), (hash(&bytes), chain_at(&bytes, offset)), "{size} at {offset}");
        }
    }
}

/// Joining equal subtrees is the same arithmetic whatever their size: leaves of 1 KiB stand for chunks of 1 MiB, so that
/// 1,024 and 1,025 of them, a full node and the first file with two levels, take no time.
#[test]
fn merging_is_the_tree_of_blake3() {
    for n in [1usize, 2, 3, 4, 5, 7, 8, 9, 31, 33, 1023, 1024, 1025] {
        for last in [1, 1023, 1024] {
            let file = random(n as u64, (n - 1) * 1024 + last);
            let chains: Vec<_> =
                file.chunks(1024).enumerate().map(|(i, part)| reference::chain(part, 1024 * i as u64)).collect();
            assert_eq!(merge(&chains), Some(reference::chain(&file, 0)), "{n} leaves, the last of {last} bytes");
            if n > 1 {
                assert_eq!(merge_root(&chains), Some(reference::hash(&file)), "{n} leaves, the last of {last} bytes");
            }
        }
    }
    assert_eq!((merge(&[]), merge_root(&[]), merge_root(&[[0; 32]])), (None, None, None));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn raw_agrees(size in prop_oneof![0usize..70, 65_530usize..65_545, 1_048_570usize..=1_048_576], seed: u64) {
        let plain = random(seed, size);
        let mut out = vec![1];
        append_raw(&mut out, &plain);
        prop_assert_eq!(&out[1..], &reference::raw(&plain)[..]);
        let mut back = Vec::new();
        for_each_raw(&out[1..], |bytes| { back.extend_from_slice(bytes); Ok(()) }).unwrap();
        prop_assert_eq!(back, plain);
    }

    #[test]
    fn hashes_agree_on_any_size(size in 1usize..20_000, chunk in 0u64..1 << 40, seed: u64) {
        let bytes = text_of(seed, size);
        prop_assert_eq!(hash(&bytes), reference::hash(&bytes));
        prop_assert_eq!(chain_at(&bytes, chunk << 20), reference::chain(&bytes, chunk << 20));
    }

    #[test]
    fn entries_go_round(bytes in prop::collection::vec(any::<u8>(), 128)) {
        let mut bytes = bytes;
        bytes[112] &= 1;
        bytes[113] = if bytes[112] == 0 { 0 } else { 1 + bytes[113] % 11 };
        (bytes[114], bytes[115]) = (0, 0);
        bytes[120..].fill(0);
        let entry = Entry::decode("test", &bytes).unwrap();
        prop_assert_eq!(&entry.encode()[..], &bytes[..]);
    }
}
