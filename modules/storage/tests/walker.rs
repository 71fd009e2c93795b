//! Every chunk that the encoder writes can stand behind any other: shown by the walker, over sizes, kinds and qualities.

mod common;

use common::{Rng, kinds, random, text_of};
use inos_storage::chunk::encode_chunk;
use inos_storage::entry::CODEC_RAW;
use inos_storage::walk::{self, Walk};

fn walk(stored: &[u8]) -> Result<Walk, String> {
    walk::walk(stored, 1 << 20)
}

fn encoded(plain: &[u8], quality: u32) -> Vec<u8> {
    let mut stored = Vec::new();
    encode_chunk(plain, 0, quality, None, &mut stored).unwrap();
    stored
}

fn checked(plain: &[u8], quality: u32, what: &str) -> Walk {
    let seen = walk(&encoded(plain, quality)).unwrap_or_else(|e| panic!("{what} at q{quality}: {e}"));
    assert!(seen.plain == plain, "{what} at q{quality}: other bytes");
    seen
}

#[test]
fn every_size_kind_and_quality_stands_alone() {
    for size in [1usize, 2, 3, 4, 5, 17, 100, 1023, 1024, 1025, 5000, 65_535, 65_536, 65_537, 200_000] {
        for (kind, plain) in kinds(size) {
            for quality in 2..=9 {
                checked(&plain, quality, &format!("{size} bytes of {kind}"));
            }
        }
    }
}

#[test]
fn full_chunks_stand_alone() {
    for quality in 2..=9 {
        let seen = checked(&text_of(u64::from(quality), 1 << 20), quality, "1 MiB of text");
        // The walker did see what it is there for.
        assert!(
            seen.compressed_blocks > 0 && seen.copies > 1000 && seen.last_distance_uses > 0,
            "q{quality}: {seen:?}"
        );
        if quality >= 5 {
            assert!(seen.block_switches + seen.context_maps > 0, "q{quality}: {seen:?}");
        }
    }
    let seen = checked(&random(3, 1 << 20), 5, "1 MiB of random");
    assert_eq!((seen.raw_blocks, seen.compressed_blocks), (1, 0));
}

/// Chunks that begin as one before them ended are what an encoder with a memory would get wrong.
#[test]
fn mixtures_stand_alone() {
    let mut rng = Rng(7);
    for round in 0..400 {
        let mut plain = Vec::new();
        for _ in 0..1 + rng.below(6) {
            let seed = rng.next();
            let n = 1 + rng.below(3000);
            match rng.below(4) {
                0 => plain.extend(random(seed, n)),
                1 => plain.extend(std::iter::repeat_n(seed as u8, n)),
                2 if !plain.is_empty() => {
                    let from = rng.below(plain.len());
                    plain.extend_from_within(from..(from + n).min(plain.len()));
                }
                _ => plain.extend(text_of(seed, n)),
            }
        }
        checked(&plain, 2 + rng.below(8) as u32, &format!("mixture {round} of {} bytes", plain.len()));
    }
}

/// The walker can say no: what each rule is there for is refused.
#[test]
fn what_leans_on_others_is_refused() {
    let plain = text_of(9, 20_000);
    let whole = |parameters: &dyn Fn(&mut brotli::enc::BrotliEncoderParams)| {
        let mut params = brotli::enc::BrotliEncoderParams { quality: 5, lgwin: 22, ..Default::default() };
        parameters(&mut params);
        let mut stream = Vec::new();
        brotli::BrotliCompress(&mut &plain[..], &mut stream, &params).unwrap();
        stream
    };
    // An ordinary stream names the static dictionary, or the distances a decoder starts with, or is last.
    let ordinary = whole(&|p| (p.appendable, p.byte_align, p.bare_stream, p.catable) = (true, true, true, false));
    let refused = walk(&ordinary[1..]).is_err() && walk(&ordinary).is_err();
    assert!(refused, "a stream with a header was taken for a chunk");
    let stored = encoded(&plain, 5);
    assert!(walk(&stored).is_ok());
    assert!(walk(&[&stored[..], &[3]].concat()).unwrap_err().contains("last"));
    assert!(walk(&stored[..stored.len() - 1]).is_err());
    assert!(walk(&stored[1..]).is_err());
    // A copy as a chunk's first command: insert 0, copy 4 at the last distance. Codes of one symbol take no bits.
    let mut bits = 0u128;
    let mut at = 0;
    let mut put = |n: u32, value: u128| {
        bits |= value << at;
        at += n;
    };
    put(1, 0); // not last
    put(2, 0); // four nibbles
    put(16, 3); // four bytes
    put(1, 0); // compressed
    put(3, 0); // one type of each
    put(6, 0); // no postfix, no direct distances
    put(2, 0); // context mode
    put(2, 0); // one tree of literals, one of distances
    put(4, 1); // literals: simple, one symbol
    put(8, 0);
    put(4, 1); // commands: simple, one symbol: insert 0, copy 4
    put(10, 2);
    put(4, 1); // distances
    put(6, 0);
    let bytes = bits.to_le_bytes();
    let error = walk(&bytes[..at.div_ceil(8) as usize]).unwrap_err();
    assert!(error.contains("left by a chunk before"), "{error}");
}

/// An encoder that was not told what comes of its output: a flush drops the header, and what follows inflates alone.
fn forgetful(plain: &[u8], quality: u32) -> Vec<u8> {
    use brotli::enc::encode::{BrotliEncoderOperation::*, BrotliEncoderParameter::*, BrotliEncoderStateStruct};
    let mut state = BrotliEncoderStateStruct::new(brotli::enc::StandardAlloc::default());
    state.set_parameter(BROTLI_PARAM_QUALITY, quality);
    state.set_parameter(BROTLI_PARAM_LGWIN, 22);
    let mut out = vec![0; plain.len() + 1000];
    let mut end = 0;
    for input in [&[], plain] {
        let (mut left, mut at, mut room) = (input.len(), 0, out.len() - end);
        let done = state.compress_stream(
            BROTLI_OPERATION_FLUSH,
            &mut left,
            input,
            &mut at,
            &mut room,
            &mut out,
            &mut end,
            &mut None,
            &mut |_, _, _, _| (),
        );
        assert!(done && left == 0 && !state.has_more_output());
    }
    assert_eq!(out[..2], [0x6b, 0x00]);
    out[2..end].to_vec()
}

/// What the walker refuses, inflating refuses too, though the same bytes inflate well when they stand alone.
#[test]
fn what_leans_on_others_is_not_inflated() {
    use inos_storage::inflate::inflate_exact;
    let inflated = |stored: &[u8], plain: &[u8]| {
        let mut out = Vec::new();
        inflate_exact("test", stored, plain.len(), &mut out).is_ok() && out == plain
    };
    let mut caught = 0;
    for seed in 0..40 {
        let plain = text_of(seed, 3000);
        for quality in [5, 9] {
            let stored = forgetful(&plain, quality);
            let mut alone = Vec::new();
            let stream = [&[0x6b, 0x00], &stored[..], &[0x03]].concat();
            brotli::BrotliDecompress(&mut &stream[..], &mut alone).unwrap();
            assert!(alone == plain, "it does inflate alone");
            assert_eq!(walk(&stored).is_ok(), inflated(&stored, &plain), "seed {seed} at q{quality}");
            caught += walk(&stored).is_err() as usize;
            assert!(inflated(&encoded(&plain, quality), &plain));
        }
    }
    assert!(caught > 70, "{caught} of 80: the texts are made of the dictionary's words");
}

#[test]
fn raw_is_what_the_walker_reads() {
    for size in [1usize, 1000, 65_535, 65_536, 65_537, 1 << 20] {
        let plain = random(size as u64, size);
        let mut stored = Vec::new();
        let entry = encode_chunk(&plain, 0, 2, None, &mut stored).unwrap();
        if size > 100 {
            assert_eq!(entry.codec, CODEC_RAW);
        }
        assert!(walk(&stored).unwrap().plain == plain);
    }
}
