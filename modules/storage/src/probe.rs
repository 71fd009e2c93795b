//! Is a chunk worth compressing? A cheap look that reads a sample and a few thousand places, not all of the bytes twice.

/// Bytes sampled for the entropy estimate.
const SAMPLE_BYTES: usize = 16 << 10;
/// A chunk shorter than this is compressed without a look: trying costs less than being wrong.
const PROBE_BYTES_MIN: usize = 4 << 10;
/// Entropy of the sample, in 1/65,536 bits per byte, from which on order-0 coding saves too little: 7.9 bits.
const ENTROPY_RAW_Q16: u64 = 79 * 65_536 / 10;
/// Slots of the table of places looked at for repeats.
const PLACES: usize = 4096;

/// Reports whether `plain` is likely to shrink. It never decides correctness: a wrong "yes" costs time and falls back
/// to the raw form, a wrong "no" costs space.
pub fn is_compressible(plain: &[u8]) -> bool {
    plain.len() < PROBE_BYTES_MIN || entropy_q16(plain) < ENTROPY_RAW_Q16 || repeats(plain)
}

/// The order-0 entropy of evenly spaced samples, in 1/65,536 bits per byte. Integers only, so that native code and
/// WASM decide alike.
fn entropy_q16(plain: &[u8]) -> u64 {
    // An odd step, so that records of a power-of-two length do not show the sample only one of their columns.
    let step = (plain.len() / SAMPLE_BYTES).max(1) | 1;
    let mut counts = [0u32; 256];
    let mut n = 0u64;
    for &byte in plain.iter().step_by(step) {
        counts[byte as usize] += 1;
        n += 1;
    }
    let sum: u64 = counts.iter().filter(|&&c| c > 0).map(|&c| c as u64 * log2_q16(c as u64)).sum();
    log2_q16(n) - sum / n
}

/// log2(x) in 1/65,536 by repeated squaring; x > 0.
fn log2_q16(x: u64) -> u64 {
    let whole = x.ilog2() as u64;
    let mut mantissa = (x << 31) >> whole; // in [2^31, 2^32); x < 2^32 here
    let mut fraction = 0;
    for _ in 0..16 {
        mantissa = (mantissa * mantissa) >> 31;
        fraction <<= 1;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    whole << 16 | fraction
}

/// Looks for long repeats among high-entropy bytes (an archive that holds one member twice): eight bytes are remembered
/// behind every occurrence of one byte value, about every 256th place of random bytes, wherever the repeat lies.
fn repeats(plain: &[u8]) -> bool {
    const ANCHOR: u8 = 0xa7;
    let mut places = [0u32; PLACES]; // position + 1
    let (mut anchors, mut hits) = (0u32, 0u32);
    let mut position = 0;
    while let Some(found) = find(&plain[position..], ANCHOR) {
        position += found + 1;
        let Some(window) = plain.get(position..position + 8) else { break };
        let word = u64::from_le_bytes(window.try_into().expect("eight bytes"));
        let slot = &mut places[(word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize];
        let before = *slot as usize;
        *slot = position as u32 + 1;
        anchors += 1;
        if before > 0 && plain[before - 1..before + 7] == *window {
            hits += 1;
        }
    }
    hits >= 2 && hits * 32 >= anchors
}

/// The first place of `byte`, sixteen bytes at a time so that the compiler can use SIMD.
fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    let mut chunks = bytes.chunks_exact(16);
    for (i, chunk) in (&mut chunks).enumerate() {
        let mut any = 0u8;
        for &b in chunk {
            any |= (b == byte) as u8;
        }
        if any != 0 {
            return chunk.iter().position(|&b| b == byte).map(|at| i * 16 + at);
        }
    }
    let tail = chunks.remainder();
    tail.iter().position(|&b| b == byte).map(|at| bytes.len() - tail.len() + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log2_is_close() {
        for x in [1u64, 2, 3, 7, 100, 255, 256, 16_384, 1_000_003] {
            let want = ((x as f64).log2() * 65_536.0) as i64;
            assert!((log2_q16(x) as i64 - want).abs() <= 1, "{x}");
        }
    }

    #[test]
    fn random_is_raw_and_the_rest_is_not() {
        let mut random = vec![0; 1 << 20];
        let mut state = 1u64;
        for b in &mut random {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *b = (state >> 56) as u8;
        }
        assert!(!is_compressible(&random));
        assert!(!is_compressible(&random[..65_537]));
        let half = random[..1 << 19].to_vec();
        assert!(is_compressible(&[half.clone(), half].concat()), "a repeat at 512 KiB is found");
        let text: Vec<u8> = b"the mesh keeps what it acknowledged. ".iter().cycle().take(1 << 20).copied().collect();
        assert!(is_compressible(&text));
    }

    #[test]
    fn find_sees_every_place() {
        for length in [0usize, 1, 15, 16, 17, 33] {
            for at in 0..length {
                let mut bytes = vec![0; length];
                bytes[at] = 9;
                assert_eq!(find(&bytes, 9), Some(at));
            }
            assert_eq!(find(&vec![0; length], 9), None);
        }
    }
}
