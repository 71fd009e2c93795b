//! Proofs are Bao slices: compared with the `bao` crate in both directions, and broken in every byte.

mod common;

use common::random;
use inos_storage::Kind;
use inos_storage::hash::hash;
use inos_storage::proof::{LEAF_BYTES, PROOF_BYTES_MAX, STORED_BYTES_MAX, leaves, prove, verify};
use std::io::{Cursor, Read};

const SIZES: [usize; 12] =
    [0, 1, 1023, 1024, 1025, 2048, 2049, 65_535, 65_537, (1 << 20) - 1, 1 << 20, STORED_BYTES_MAX];

/// The slice the `bao` crate extracts.
fn bao_slice(content: &[u8], leaf: u64) -> Vec<u8> {
    let (encoded, _) = bao::encode::encode(content);
    let start = leaf * LEAF_BYTES as u64;
    let mut slice = Vec::new();
    bao::encode::SliceExtractor::new(Cursor::new(&encoded), start, LEAF_BYTES as u64).read_to_end(&mut slice).unwrap();
    slice
}

fn some_leaves(size: usize) -> Vec<u64> {
    let last = leaves(size as u64) - 1;
    let mut all = vec![0, 1, last / 2, last.saturating_sub(1), last];
    all.retain(|l| *l <= last);
    all.dedup();
    all
}

#[test]
fn proofs_are_bao_slices() {
    for size in SIZES {
        let content = random(size as u64 + 1, size);
        let id = hash(&content);
        for leaf in some_leaves(size) {
            let mut proof = Vec::new();
            prove(&content, leaf, &mut proof).unwrap();
            assert!(proof.len() <= PROOF_BYTES_MAX, "{size}, leaf {leaf}: {} bytes", proof.len());
            assert!(proof == bao_slice(&content, leaf), "{size}, leaf {leaf}");
            assert_eq!(verify(&proof, &id, leaf).unwrap(), size as u64, "{size}, leaf {leaf}");
            // And the other way round: the crate accepts ours, and reads the leaf.
            let mut read = Vec::new();
            let start = leaf * LEAF_BYTES as u64;
            bao::decode::SliceDecoder::new(&proof[..], &id.into(), start, LEAF_BYTES as u64)
                .read_to_end(&mut read)
                .unwrap();
            assert!(read == content[start as usize..(start as usize + LEAF_BYTES).min(size)], "{size}, leaf {leaf}");
        }
    }
}

#[test]
fn every_byte_counts() {
    for (size, leaf) in [(1usize, 0u64), (1024, 0), (5000, 4), (5000, 2), (70_000, 33)] {
        let content = random(3, size);
        let id = hash(&content);
        let mut proof = Vec::new();
        prove(&content, leaf, &mut proof).unwrap();
        // The length is shown by the last leaf only: another length with the same tree is nothing a hash speaks of.
        let from = if leaf + 1 == leaves(size as u64) { 0 } else { 8 };
        for at in from..proof.len() {
            let mut bad = proof.clone();
            bad[at] ^= 0x10;
            assert!(verify(&bad, &id, leaf).is_err(), "{size}, leaf {leaf}, byte {at}");
        }
        assert!(verify(&proof[..proof.len() - 1], &id, leaf).is_err(), "cut");
        assert!(verify(&[&proof[..], &[0]].concat(), &id, leaf).is_err(), "a byte behind");
        assert_eq!(verify(&proof, &[1; 32], leaf).unwrap_err().kind, Kind::ChunkCorrupt, "another id");
        if leaf > 0 {
            assert!(verify(&proof, &id, leaf - 1).is_err(), "another leaf's proof");
        }
    }
}

#[test]
fn what_is_not_there_is_refused() {
    let mut out = vec![4];
    assert_eq!(prove(&[0; 1024], 1, &mut out).unwrap_err().kind, Kind::BadRequest);
    assert_eq!(prove(&[], 1, &mut out).unwrap_err().kind, Kind::BadRequest);
    assert_eq!(prove(&[0; 5], u64::MAX, &mut out).unwrap_err().kind, Kind::BadRequest);
    assert_eq!(prove(&vec![0; STORED_BYTES_MAX + 1], 0, &mut out).unwrap_err().kind, Kind::BadRequest);
    assert_eq!(out, [4]);
    assert_eq!(verify(&[], &[0; 32], 0).unwrap_err().kind, Kind::BadFormat);
    assert_eq!(verify(&[0xff; 40], &[0; 32], 0).unwrap_err().kind, Kind::BadFormat, "a length no chunk has");
    assert_eq!(verify(&[0; 8], &[0; 32], u64::MAX).unwrap_err().kind, Kind::BadFormat);
}
