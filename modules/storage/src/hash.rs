//! BLAKE3 of chunks and of files: plain hashes, chaining values at an offset, and the FileID made of them.

use crate::{CHUNK_BYTES_MAX, Error, Kind, Result};
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// A BLAKE3-256 hash or chaining value.
pub type Hash = [u8; 32];

/// BLAKE3-256 of `bytes`: a chunk's id of its stored form, its plain hash of its plain bytes.
pub fn hash(bytes: &[u8]) -> Hash {
    *blake3::hash(bytes).as_bytes()
}

/// The plain hash of a chunk and its chaining value at `offset` of its file, a multiple of 1 MiB. A chunk's chaining
/// value depends on its offset: at zero one pass gives both, elsewhere it takes two. `plain` is not empty.
pub fn plain_and_chain(plain: &[u8], offset: u64) -> (Hash, Hash) {
    if offset == 0 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(plain);
        return (*hasher.finalize().as_bytes(), hasher.finalize_non_root());
    }
    (hash(plain), chain_at(plain, offset))
}

/// The chaining value of a chunk at `offset` of its file, a multiple of 1 MiB. `plain` is not empty.
pub fn chain_at(plain: &[u8], offset: u64) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset);
    hasher.update(plain);
    hasher.finalize_non_root()
}

/// Refuses an offset that no chunk can have.
pub fn check_offset(op: &'static str, offset: u64, plain_bytes: usize) -> Result<()> {
    if !offset.is_multiple_of(CHUNK_BYTES_MAX as u64) {
        return Err(Error::new(
            Kind::BadRequest,
            op,
            format!("offset {offset} is not a multiple of {CHUNK_BYTES_MAX}"),
        ));
    }
    if offset.checked_add(plain_bytes as u64).is_none() {
        return Err(Error::new(Kind::BadRequest, op, format!("offset {offset} exceeds the longest file")));
    }
    Ok(())
}

/// The chaining value over neighbouring subtrees of equal length, the last of which may be shorter; None of nothing.
/// Neighbours join as BLAKE3 does: the left side takes the largest power of two that leaves something to the right.
pub fn merge(chains: &[Hash]) -> Option<Hash> {
    match chains {
        [] => None,
        [one] => Some(*one),
        _ => {
            let (left, right) = chains.split_at(left_len(chains.len()));
            Some(merge_subtrees_non_root(&merge(left)?, &merge(right)?, Mode::Hash))
        }
    }
}

/// The root hash over at least two neighbouring subtrees as in [`merge`]: the FileID.
pub fn merge_root(chains: &[Hash]) -> Option<Hash> {
    if chains.len() < 2 {
        return None;
    }
    let (left, right) = chains.split_at(left_len(chains.len()));
    Some(*merge_subtrees_root(&merge(left)?, &merge(right)?, Mode::Hash).as_bytes())
}

/// The largest power of two below n; n > 1.
fn left_len(n: usize) -> usize {
    1 << (n - 1).ilog2()
}
