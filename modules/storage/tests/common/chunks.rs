//! Random stored chunks in random order, for the join proof.

use super::{Rng, random, text_of};
use inos_storage::chunk::encode_chunk;
use inos_storage::raw::append_raw;
use std::rc::Rc;

/// A chunk: plain bytes and their stored form.
pub struct Chunk {
    pub plain: Vec<u8>,
    pub stored: Vec<u8>,
}

/// Chunks remembered for repeats and for shared passages.
const RECENT: usize = 64;

/// An endless row of chunks: of all sizes, kinds and qualities, raw, empty, repeated.
pub struct Chunks {
    rng: Rng,
    recent: Vec<Rc<Chunk>>,
}

impl Chunks {
    pub fn new(seed: u64) -> Self {
        Chunks { rng: Rng(seed), recent: Vec::new() }
    }

    fn size(&mut self) -> usize {
        match self.rng.below(2000) {
            0 => (1 << 20) - self.rng.below(3),
            1..=10 => 65_534 + self.rng.below(5),
            11..=30 => self.rng.below(200_000),
            31..=100 => self.rng.below(20_000),
            101..=160 => 0,
            161..=400 => 1 + self.rng.below(8),
            401..=600 => 1022 + self.rng.below(5),
            _ => self.rng.below(3000),
        }
    }

    fn plain(&mut self) -> Vec<u8> {
        let n = self.size();
        let seed = self.rng.next();
        match self.rng.below(10) {
            0 | 1 => random(seed, n),
            2 => vec![seed as u8; n],
            3 => (0..n as u32).flat_map(|i| (i.wrapping_mul(seed as u32 | 1)).to_le_bytes()).take(n).collect(),
            // A passage of a chunk before, which a decoder's window still holds: an encoder with a memory would refer to it.
            4 | 5 if !self.recent.is_empty() => {
                let other = self.recent[self.rng.below(self.recent.len())].clone();
                let from = self.rng.below(other.plain.len() + 1);
                other.plain[from..].iter().chain(&text_of(seed, n)).take(n).copied().collect()
            }
            // Two halves that differ in kind, so that one chunk has several meta-blocks of both sorts.
            6 => [text_of(seed, n / 2), random(seed, n - n / 2)].concat(),
            _ => text_of(seed, n),
        }
    }
}

impl Iterator for Chunks {
    type Item = Rc<Chunk>;

    fn next(&mut self) -> Option<Rc<Chunk>> {
        if self.recent.len() > 4 && self.rng.below(8) == 0 {
            return Some(self.recent[self.rng.below(self.recent.len())].clone());
        }
        let plain = self.plain();
        let mut stored = Vec::new();
        if plain.is_empty() || self.rng.below(12) == 0 {
            append_raw(&mut stored, &plain);
        } else {
            // The high qualities are slow on large chunks; all of them see all of the small ones.
            let most = if plain.len() > 100_000 { 4 } else { 8 };
            encode_chunk(&plain, 0, 2 + self.rng.below(most) as u32, None, &mut stored).expect("a chunk");
        }
        let chunk = Rc::new(Chunk { plain, stored });
        if self.recent.len() < RECENT {
            self.recent.push(chunk.clone());
        } else {
            let i = self.rng.below(RECENT);
            self.recent[i] = chunk.clone();
        }
        Some(chunk)
    }
}
