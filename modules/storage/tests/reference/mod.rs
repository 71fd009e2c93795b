//! The slow and readable twin: BLAKE3 from its paper, raw meta-blocks bit by bit, a manifest from the plain file.
#![allow(dead_code)]

const IV: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 2;
const PARENT: u32 = 4;
const ROOT: u32 = 8;
/// A BLAKE3 chunk: a leaf of the tree.
const LEAF: usize = 1024;

fn mix(v: &mut [u32; 16], [a, b, c, d]: [usize; 4], x: u32, y: u32) {
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(x);
    v[d] = (v[d] ^ v[a]).rotate_right(16);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(12);
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(y);
    v[d] = (v[d] ^ v[a]).rotate_right(8);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(7);
}

/// BLAKE3 paper section 2.2; the first eight words of the output.
fn compress(cv: [u32; 8], block: &[u8], counter: u64, flags: u32) -> [u32; 8] {
    let mut padded = [0; 64];
    padded[..block.len()].copy_from_slice(block);
    let mut m: [u32; 16] = std::array::from_fn(|i| u32::from_le_bytes(padded[4 * i..4 * i + 4].try_into().unwrap()));
    let mut v = [0; 16];
    v[..8].copy_from_slice(&cv);
    v[8..12].copy_from_slice(&IV[..4]);
    v[12..].copy_from_slice(&[counter as u32, (counter >> 32) as u32, block.len() as u32, flags]);
    for _ in 0..7 {
        for i in 0..4 {
            mix(&mut v, [i, i + 4, i + 8, i + 12], m[2 * i], m[2 * i + 1]);
        }
        for i in 0..4 {
            mix(&mut v, [i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12], m[8 + 2 * i], m[9 + 2 * i]);
        }
        m = PERMUTATION.map(|i| m[i]);
    }
    std::array::from_fn(|i| v[i] ^ v[i + 8])
}

/// The chaining value of the bytes of one subtree that starts at leaf `counter`; with `root`, the hash.
fn subtree(bytes: &[u8], counter: u64, root: u32) -> [u32; 8] {
    if bytes.len() > LEAF {
        let mut left = LEAF;
        while 2 * left < bytes.len() {
            left *= 2;
        }
        let l = subtree(&bytes[..left], counter, 0);
        let r = subtree(&bytes[left..], counter + (left / LEAF) as u64, 0);
        return compress(IV, &[words(l), words(r)].concat(), 0, PARENT | root);
    }
    let blocks: Vec<&[u8]> = if bytes.is_empty() { vec![&[]] } else { bytes.chunks(64).collect() };
    let mut cv = IV;
    for (i, block) in blocks.iter().enumerate() {
        let start = if i == 0 { CHUNK_START } else { 0 };
        let end = if i + 1 == blocks.len() { CHUNK_END | root } else { 0 };
        cv = compress(cv, block, counter, start | end);
    }
    cv
}

fn words(w: [u32; 8]) -> [u8; 32] {
    std::array::from_fn(|i| w[i / 4].to_le_bytes()[i % 4])
}

/// BLAKE3 of a file.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    words(subtree(bytes, 0, ROOT))
}

/// BLAKE3's chaining value of part of a file that starts at `offset`.
pub fn chain(bytes: &[u8], offset: u64) -> [u8; 32] {
    words(subtree(bytes, offset / LEAF as u64, 0))
}

/// Raw meta-blocks, bit by bit, as RFC 7932 section 9.2 lists the fields.
pub fn raw(plain: &[u8]) -> Vec<u8> {
    if plain.is_empty() {
        return Vec::new();
    }
    let mut bits = Vec::new();
    let mut put = |n: u32, value: usize| bits.extend((0..n).map(|i| value >> i & 1 == 1));
    let nibbles = if plain.len() <= 65_536 { 4 } else { 5 };
    put(1, 0); // ISLAST
    put(2, nibbles - 4); // MNIBBLES
    put(4 * nibbles as u32, plain.len() - 1); // MLEN - 1
    put(1, 1); // ISUNCOMPRESSED
    while bits.len() % 8 > 0 {
        bits.push(false);
    }
    let mut out: Vec<u8> = bits.chunks(8).map(|b| (0..8).map(|i| u8::from(b[i]) << i).sum()).collect();
    out.extend_from_slice(plain);
    out
}
