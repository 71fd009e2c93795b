//! Chunks at every boundary: what is encoded inflates, describes and hashes to what it was.

mod common;

use common::{kinds, random, text};
use inos_storage::chunk::{admit_chunk, describe_chunk, encode_chunk, inflate_chunk};
use inos_storage::entry::{CODEC_BROTLI, CODEC_RAW, ENTRY_BYTES, Entry};
use inos_storage::hash::hash;
use inos_storage::raw::{append_raw, raw_len};
use inos_storage::walk::META_BLOCKS_MAX;
use inos_storage::{CHUNK_BYTES_MAX, Kind};

/// Sizes with a reason each.
const SIZES: [(usize, &str); 13] = [
    (1, "the shortest chunk"),
    (2, "both bytes whose context a chunk may not inherit"),
    (3, "the first byte behind them"),
    (1023, "one leaf of BLAKE3, not full"),
    (1024, "one leaf of BLAKE3: no tree yet"),
    (1025, "two leaves"),
    (65_535, "a raw meta-block of four nibbles"),
    (65_536, "the longest of four nibbles"),
    (65_537, "the shortest of five nibbles"),
    (CHUNK_BYTES_MAX / 2, "a power of two"),
    (CHUNK_BYTES_MAX - 1, "not a full subtree"),
    (CHUNK_BYTES_MAX, "a full subtree"),
    (4096, "one page: the common small file"),
];

#[test]
fn every_boundary_and_quality_goes_round() {
    for (size, why) in SIZES {
        for (kind, plain) in kinds(size) {
            for quality in 2..=9 {
                if size > 65_537 && ![2, 5, 9].contains(&quality) {
                    continue; // the walker's test has all of them
                }
                let offset = if quality % 2 == 0 { 0 } else { 3 << 20 };
                let what = format!("{size} bytes ({why}) of {kind} at q{quality}");
                let mut stored = vec![0x55]; // something before, which has to stay
                let entry = encode_chunk(&plain, offset, quality, None, &mut stored).expect(&what);
                assert_eq!(stored.remove(0), 0x55, "{what}");
                assert_eq!(entry.chunk_id, *blake3::hash(&stored).as_bytes(), "{what}");
                assert_eq!(entry.plain_hash, *blake3::hash(&plain).as_bytes(), "{what}");
                assert_eq!(
                    (entry.plain_bytes, entry.stored_bytes, entry.chunks),
                    (size as u64, stored.len() as u64, 1),
                    "{what}"
                );
                assert!(stored.len() <= raw_len(size), "{what}: longer than raw");
                assert_eq!(entry.codec == CODEC_RAW, stored.len() == raw_len(size), "{what}");
                let mut back = vec![0x66];
                inflate_chunk(&stored, &entry, &mut back).expect(&what);
                assert_eq!(back[1..], plain, "{what}");
                let moved = describe_chunk(&plain, 7 << 20, &entry).expect(&what);
                let mut again = Vec::new();
                let direct = encode_chunk(&plain, 7 << 20, quality, Some(&entry.plain_hash), &mut again).expect(&what);
                assert_eq!(moved, direct, "{what}: described and encoded at the same offset");
                assert_eq!(again, stored, "{what}: the offset does not change the stored form");
            }
        }
    }
}

#[test]
fn text_compresses_and_random_does_not() {
    for quality in 2..=9 {
        let mut stored = Vec::new();
        let entry = encode_chunk(&text(CHUNK_BYTES_MAX / 4), 0, quality, None, &mut stored).unwrap();
        assert_eq!((entry.codec, u32::from(entry.quality)), (CODEC_BROTLI, quality));
        assert!(stored.len() < CHUNK_BYTES_MAX / 8, "q{quality}: {}", stored.len());
    }
    let entry = encode_chunk(&random(1, CHUNK_BYTES_MAX), 0, 2, None, &mut Vec::new()).unwrap();
    assert_eq!((entry.codec, entry.quality), (CODEC_RAW, 0));
}

#[test]
fn bad_requests_are_refused_and_leave_nothing() {
    let plain = text(5000);
    let big = vec![0; CHUNK_BYTES_MAX + 1];
    let wrong = [7; 32];
    type Case<'a> = (&'a str, &'a [u8], u64, u32, Option<&'a [u8; 32]>, Kind);
    let cases: [Case; 8] = [
        ("nothing", &[], 0, 2, None, Kind::BadRequest),
        ("one byte more than a chunk", &big, 0, 2, None, Kind::BadRequest),
        ("an offset inside a chunk", &plain, 1024, 2, None, Kind::BadRequest),
        ("an offset whose end overflows", &big[1..], 0u64.wrapping_sub(1 << 20), 2, None, Kind::BadRequest),
        ("quality 1, which joins wrongly", &plain, 0, 1, None, Kind::BadRequest),
        ("quality 10", &plain, 0, 10, None, Kind::BadRequest),
        ("quality 2^32-1", &plain, 0, u32::MAX, None, Kind::BadRequest),
        ("another plain hash", &plain, 0, 2, Some(&wrong), Kind::BodyMismatch),
    ];
    for (what, plain, offset, quality, expected, kind) in cases {
        let mut out = vec![1, 2, 3];
        let result = encode_chunk(plain, offset, quality, expected, &mut out);
        assert_eq!(result.expect_err(what).kind, kind, "{what}");
        assert_eq!(out, [1, 2, 3], "{what}");
    }
}

#[test]
fn damage_is_found() {
    let plain = text(70_000);
    let mut stored = Vec::new();
    let entry = encode_chunk(&plain, 0, 5, None, &mut stored).unwrap();
    let refused = |stored: &[u8], entry: &Entry, kind: Kind, what: &str| {
        let mut out = vec![9];
        assert_eq!(inflate_chunk(stored, entry, &mut out).expect_err(what).kind, kind, "{what}");
        assert_eq!(out, [9], "{what}");
    };
    for at in [0, stored.len() / 2, stored.len() - 1] {
        let mut bad = stored.clone();
        bad[at] ^= 1;
        refused(&bad, &entry, Kind::ChunkCorrupt, "a flipped bit");
    }
    refused(&stored[1..], &entry, Kind::ChunkCorrupt, "a byte short");
    // From here on the chunk id is right and the rest lies.
    let lie = |change: &dyn Fn(&mut Entry, &mut Vec<u8>)| {
        let (mut e, mut s) = (entry.clone(), stored.clone());
        change(&mut e, &mut s);
        e.chunk_id = *blake3::hash(&s).as_bytes();
        e.stored_bytes = s.len() as u64;
        (s, e)
    };
    let (s, e) = lie(&|e, _| e.plain_bytes -= 1);
    refused(&s, &e, Kind::ChunkCorrupt, "longer than recorded");
    let (s, e) = lie(&|e, _| e.plain_bytes += 1);
    refused(&s, &e, Kind::ChunkCorrupt, "shorter than recorded");
    let (s, e) = lie(&|e, _| e.plain_hash[0] ^= 1);
    refused(&s, &e, Kind::ChunkCorrupt, "another plain hash");
    let (s, e) = lie(&|_, s| s.push(0x03));
    refused(&s, &e, Kind::ChunkCorrupt, "a last meta-block inside");
    let (s, e) = lie(&|_, s| s.push(0x00));
    refused(&s, &e, Kind::ChunkCorrupt, "a meta-block cut");
    let (s, e) = lie(&|_, s| s.truncate(s.len() / 2));
    refused(&s, &e, Kind::ChunkCorrupt, "half of it");
    let (s, e) = lie(&|e, _| (e.codec, e.quality) = (CODEC_RAW, 0));
    refused(&s, &e, Kind::BadFormat, "compressed, but said to be raw");
    let (s, e) = lie(&|e, s| {
        *s = [5u8, 0, 8].into_iter().chain(plain[..1].iter().copied()).collect();
        (e.codec, e.quality, e.plain_bytes) = (CODEC_RAW, 0, 1);
    });
    refused(&s, &e, Kind::BadFormat, "raw, but not a raw meta-block");
    let mut wrong = entry.clone();
    wrong.plain_bytes = u64::MAX;
    refused(&stored, &wrong, Kind::BadFormat, "a plain length no chunk has");
    let other = describe_chunk(&text(69_999), 0, &entry).expect_err("other bytes");
    assert_eq!(other.kind, Kind::BodyMismatch);
}

#[test]
fn entries_go_round_and_refuse_what_they_do_not_know() {
    let entry = encode_chunk(b"hello", 0, 2, None, &mut Vec::new()).unwrap();
    let bytes = entry.encode();
    assert_eq!(Entry::decode("test", &bytes).unwrap(), entry);
    for (what, at, value) in [
        ("cipher", 114, 1),
        ("reserved byte", 115, 1),
        ("key id, low", 120, 1),
        ("key id, high", 127, 1),
        ("codec", 112, 2),
        ("quality of raw", 113, 5),
        ("quality", 113, 12),
    ] {
        let mut bad = bytes;
        bad[at] = value;
        assert_eq!(Entry::decode("test", &bad).expect_err(what).kind, Kind::BadFormat, "{what}");
    }
    for length in [0, ENTRY_BYTES - 1, ENTRY_BYTES + 1] {
        assert!(Entry::decode("test", &vec![0; length]).is_err());
    }
}

#[test]
fn what_the_encoder_writes_is_admitted() {
    for (size, why) in SIZES {
        for (kind, plain) in kinds(size) {
            let mut stored = Vec::new();
            let offset = 7 << 20;
            let entry = encode_chunk(&plain, offset, 5, None, &mut stored).unwrap();
            let admitted = admit_chunk(&stored, &entry.chunk_id, size, offset, 5);
            assert_eq!(admitted.as_ref(), Ok(&entry), "{size} bytes ({why}) of {kind}");
            let mut back = Vec::new();
            inflate_chunk(&stored, &admitted.unwrap(), &mut back).unwrap();
            assert!(back == plain);
        }
    }
}

#[test]
fn what_is_not_what_it_says_is_not_admitted() {
    let plain = text(10_000);
    let mut stored = Vec::new();
    let entry = encode_chunk(&plain, 0, 5, None, &mut stored).unwrap();
    let refused = |stored: &[u8], id: &[u8; 32], plain: usize, offset: u64, kind: Kind, what: &str| {
        let error = admit_chunk(stored, id, plain, offset, 5).expect_err(what);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(what), "{error}");
    };
    let own =
        |stored: &[u8], plain: usize, what: &str| refused(stored, &hash(stored), plain, 0, Kind::ChunkCorrupt, what);
    refused(&stored, &[7; 32], 10_000, 0, Kind::ChunkCorrupt, "do not hash");
    refused(&stored, &entry.chunk_id, 0, 0, Kind::BadRequest, "0 plain bytes");
    refused(&stored, &entry.chunk_id, CHUNK_BYTES_MAX + 1, 0, Kind::BadRequest, "plain bytes");
    refused(&stored, &entry.chunk_id, 10_000, 5, Kind::BadRequest, "offset 5");
    own(&stored, 9_999, "more than 9999");
    own(&stored, 10_001, "10001 are expected");
    own(&stored[..stored.len() - 1], 10_000, "ends inside");
    own(&[&stored[..], &[3]].concat(), 10_000, "last meta-block");
    own(&[], 1, "0 plain bytes");
    // A bomb: as much as a chunk can say in few bytes. It ends where the chunk has to.
    let mut bomb = Vec::new();
    encode_chunk(&vec![0; CHUNK_BYTES_MAX], 0, 9, None, &mut bomb).unwrap();
    let many = bomb.repeat(1000);
    own(&many, CHUNK_BYTES_MAX, "more than 1048576");
    own(&bomb, 1000, "more than 1000");
    // Meta-blocks that hold nothing: 06 is one of metadata, of no bytes.
    own(&vec![6; META_BLOCKS_MAX + 1], 100_000, "meta-blocks");
    // Longer than raw, though it says the same.
    let mut raw = Vec::new();
    append_raw(&mut raw, &plain);
    own(&[&raw[..], &[6]].concat(), 10_000, "raw form is shorter");
    let mut halves = Vec::new();
    append_raw(&mut halves, &plain[..5000]);
    append_raw(&mut halves, &plain[5000..]);
    own(&halves, 10_000, "raw form is shorter");
    assert_eq!(admit_chunk(&raw, &hash(&raw), 10_000, 0, 5).unwrap().codec, CODEC_RAW);
}
