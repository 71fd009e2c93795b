//! Proof of possession: one 1 KiB leaf of a chunk's stored bytes, checked against the chunk id alone.
//!
//! The format is the combined Bao slice of the Bao specification (<https://github.com/oconnor663/bao/blob/master/docs/spec.md>),
//! with leaves of 1 KiB and no chunk groups: the content's length (8 bytes, little-endian), then the tree in pre-order,
//! parents as two chaining values of 32 bytes, of which only those over the leaf appear, then the leaf. That is at most
//! 8 + 64 × 11 + 1,024 bytes. The crate `bao` reads and writes the same bytes; so does
//! `lukechampine.com/blake3/bao` with group 0, which is given the length of a last short leaf as it is.

use crate::hash::Hash;
use crate::output::Output;
use crate::raw::raw_len;
use crate::{CHUNK_BYTES_MAX, Error, Kind, Result};
use blake3::hazmat::{HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};

/// Bytes of a leaf; the last may be shorter.
pub const LEAF_BYTES: usize = 1024;
/// Stored bytes of a chunk, at most.
pub const STORED_BYTES_MAX: usize = raw_len(CHUNK_BYTES_MAX);
/// Bytes of a proof, at most: eleven levels of parents lie above a leaf of 2^20 + 3 bytes.
pub const PROOF_BYTES_MAX: usize = 8 + 11 * 64 + LEAF_BYTES;

/// The number of leaves of a content: one even for the empty one.
pub fn leaves(stored_bytes: u64) -> u64 {
    stored_bytes.div_ceil(LEAF_BYTES as u64).max(1)
}

/// Appends the proof of one leaf of `stored`.
pub fn prove(stored: &[u8], leaf: u64, out: &mut impl Output) -> Result<()> {
    const OP: &str = "prove chunk";
    if stored.len() > STORED_BYTES_MAX {
        return Err(Error::new(
            Kind::BadRequest,
            OP,
            format!("{} stored bytes, a chunk has at most {STORED_BYTES_MAX}", stored.len()),
        ));
    }
    if leaf >= leaves(stored.len() as u64) {
        return Err(Error::new(Kind::BadRequest, OP, format!("leaf {leaf} of {} leaves", leaves(stored.len() as u64))));
    }
    out.append(&(stored.len() as u64).to_le_bytes());
    let (mut start, mut part) = (0u64, stored);
    let at = leaf * LEAF_BYTES as u64;
    while part.len() > LEAF_BYTES {
        let (left, right) = part.split_at(left_subtree_len(part.len() as u64) as usize);
        let right_start = start + left.len() as u64;
        out.append(&chain(left, start));
        out.append(&chain(right, right_start));
        (start, part) = if at < right_start { (start, left) } else { (right_start, right) };
    }
    out.append(part);
    Ok(())
}

/// Checks the proof of one leaf against `chunk_id` and returns the length of the stored bytes, which the proof shows
/// too only where `leaf` is the last one: otherwise it is what the prover says.
pub fn verify(proof: &[u8], chunk_id: &Hash, leaf: u64) -> Result<u64> {
    const OP: &str = "verify proof";
    let bad = |kind, message: String| Err(Error::new(kind, OP, message));
    if proof.len() > PROOF_BYTES_MAX || proof.len() < 8 {
        return bad(Kind::BadFormat, format!("{} bytes are not a proof", proof.len()));
    }
    let (length, mut rest) = proof.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("8 bytes"));
    if length > STORED_BYTES_MAX as u64 || leaf >= leaves(length) {
        return bad(Kind::BadFormat, format!("leaf {leaf} of {length} stored bytes"));
    }
    let at = leaf * LEAF_BYTES as u64;
    let (mut start, mut part) = (0u64, length);
    let mut expected = *chunk_id;
    let mut root = true;
    while part > LEAF_BYTES as u64 {
        let Some((parent, tail)) = rest.split_at_checked(64) else {
            return bad(
                Kind::BadFormat,
                format!("the proof ends inside its tree, at byte {} of {}", proof.len() - rest.len(), proof.len()),
            );
        };
        let left: Hash = parent[..32].try_into().expect("32 bytes");
        let right: Hash = parent[32..].try_into().expect("32 bytes");
        let joined = if root {
            *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
        } else {
            merge_subtrees_non_root(&left, &right, Mode::Hash)
        };
        if joined != expected {
            return bad(Kind::ChunkCorrupt, format!("leaf {leaf}: the tree does not hash to the chunk id"));
        }
        let middle = start + left_subtree_len(part);
        (start, part, expected) =
            if at < middle { (start, middle - start, left) } else { (middle, start + part - middle, right) };
        (root, rest) = (false, tail);
    }
    if rest.len() as u64 != part {
        return bad(Kind::BadFormat, format!("leaf {leaf} has {} bytes, {part} of them count", rest.len()));
    }
    let got = if root { crate::hash::hash(rest) } else { chain(rest, start) };
    if got != expected {
        return bad(Kind::ChunkCorrupt, format!("leaf {leaf} does not hash to the chunk id"));
    }
    Ok(length)
}

/// The chaining value of a subtree that starts at `start`; not empty.
fn chain(part: &[u8], start: u64) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start);
    hasher.update(part);
    hasher.finalize_non_root()
}
