//! Inputs made by rule, shared by the tests.
#![allow(dead_code)]

pub mod chunks;

/// A small generator (SplitMix64): the same bytes for the same seed in every language.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Bytes that do not compress.
pub fn random(seed: u64, n: usize) -> Vec<u8> {
    let mut rng = Rng(seed);
    let mut out = Vec::with_capacity(n + 8);
    while out.len() < n {
        out.extend_from_slice(&rng.next().to_le_bytes());
    }
    out.truncate(n);
    out
}

const WORDS: [&str; 32] = [
    "the ",
    "mesh ",
    "of ",
    "chunk",
    "s ",
    "and ",
    "time",
    " is ",
    "a ",
    "provider ",
    "that ",
    "holds ",
    "what ",
    "it ",
    "was ",
    "given",
    ", ",
    "node ",
    "proof ",
    "leaf ",
    "in ",
    "their ",
    "which ",
    "information ",
    "because ",
    "government ",
    ".\n",
    "file ",
    "repair ",
    "quorum ",
    "&nbsp;",
    "http://www.",
];

/// Text with words of the static dictionary in it, which an encoder would like to use.
pub fn text_of(seed: u64, n: usize) -> Vec<u8> {
    let mut rng = Rng(seed);
    let mut out = Vec::with_capacity(n + 16);
    while out.len() < n {
        if rng.below(20) == 0 {
            out.extend_from_slice(format!("{} ", rng.next() % 100_000).as_bytes());
        }
        out.extend_from_slice(WORDS[rng.below(WORDS.len())].as_bytes());
    }
    out.truncate(n);
    out
}

/// As [`text_of`], of one seed.
pub fn text(n: usize) -> Vec<u8> {
    text_of(42, n)
}

/// One input of each kind.
pub fn kinds(n: usize) -> Vec<(&'static str, Vec<u8>)> {
    let random_bytes = random(n as u64, n);
    let half: Vec<u8> = random_bytes[..n / 2].iter().chain(&text(n - n / 2)).copied().collect();
    let counter: Vec<u8> = (0..n.div_ceil(4) as u32).flat_map(u32::to_le_bytes).take(n).collect();
    vec![
        ("zeros", vec![0; n]),
        ("text", text(n)),
        ("random", random_bytes),
        ("half random", half),
        ("counters", counter),
    ]
}
