//! Decoders fed with damaged and made-up bytes: they answer, they do not panic, and they never hold more memory than
//! their bound. FUZZ_CASES sets the number of cases of each (a few thousand by default), SEED where they start; a
//! failure names the seed of its case.

mod common;

use common::{Rng, random, text_of};
use inos_abi::{Envelope, Guest, join_guest, pb, prost::Message, split_guest};
use inos_storage::Storage;
use inos_storage::chunk::{admit_chunk, encode_chunk, inflate_chunk};
use inos_storage::entry::Entry;
use inos_storage::hash::hash;
use inos_storage::inflate::inflate_capped;
use inos_storage::node::{NODE_BYTES_MAX, build_node, open_node};
use inos_storage::proof::{prove, verify};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Heap bytes a decoder may hold at once: Brotli's window of 4 MiB, twice while it grows, its tables and the output.
const HEAP_BYTES_MAX: usize = 12 << 20;

/// Counts the heap of each thread, because tests run side by side.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static MADE: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does all the work; the counters are plain cells without destructors.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.get().wrapping_add(layout.size());
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
        MADE.set(MADE.get().wrapping_add(layout.size()));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

/// Runs `case` and checks that it held no more than `bytes` of heap on top of what was there.
fn bounded(bytes: usize, what: &str, case: impl FnOnce()) {
    let before = LIVE.get();
    PEAK.set(before);
    case();
    let held = PEAK.get() - before;
    assert!(held <= bytes, "{what}: {held} bytes of heap");
}

fn cases(default: u64) -> (u64, u64) {
    let number = |name: &str, default| std::env::var(name).map_or(default, |v| v.parse().expect("a number"));
    (number("SEED", 1), number("FUZZ_CASES", default))
}

/// Damages bytes: flips, overwrites, cuts, doubles, swaps and splices.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..1 + rng.below(4) {
        if bytes.is_empty() {
            bytes.extend(random(rng.next(), 1 + rng.below(64)));
            continue;
        }
        let at = rng.below(bytes.len());
        match rng.below(7) {
            0 | 1 => bytes[at] ^= 1 << rng.below(8),
            2 => bytes[at] = [0, 0xff, 0x7f, 0x80, 1][rng.below(5)],
            3 => bytes.truncate(at),
            4 => {
                let end = (at + rng.below(64)).min(bytes.len());
                bytes.extend_from_within(at..end);
            }
            5 => {
                let made = random(rng.next(), 8.min(bytes.len() - at));
                bytes[at..at + made.len()].copy_from_slice(&made);
            }
            _ => drop(bytes.drain(at..(at + 1 + rng.below(16)).min(bytes.len()))),
        }
    }
}

/// Stored forms of all kinds, as a corpus.
fn corpus() -> Vec<(Entry, Vec<u8>)> {
    let mut all = Vec::new();
    for (i, size) in [1usize, 60, 700, 5000, 40_000].into_iter().enumerate() {
        for quality in [2, 3, 5, 9] {
            for plain in
                [text_of(i as u64, size), [text_of(7, size / 2), random(8, size / 2 + 1)].concat(), vec![7; size]]
            {
                let mut stored = Vec::new();
                all.push((encode_chunk(&plain, 0, quality, None, &mut stored).unwrap(), stored));
            }
        }
    }
    all
}

#[test]
fn damaged_chunks() {
    let corpus = corpus();
    let (seed, count) = cases(4000);
    for case in seed..seed + count {
        let mut rng = Rng(case);
        let (entry, mut stored) = corpus[rng.below(corpus.len())].clone();
        damage(&mut rng, &mut stored);
        // The id is made to fit, so that everything behind it is reached.
        let entry = Entry { chunk_id: hash(&stored), stored_bytes: stored.len() as u64, ..entry };
        bounded(HEAP_BYTES_MAX, &format!("SEED={case}"), || {
            let mut out = Vec::new();
            if inflate_chunk(&stored, &entry, &mut out).is_ok() {
                assert_eq!(hash(&out), entry.plain_hash, "SEED={case}");
            } else {
                assert!(out.is_empty(), "SEED={case}");
            }
            let _ = inflate_capped("fuzz", &stored, 1 << 16, &mut Vec::new());
        });
    }
}

/// What is admitted can be read again by its entry, alone and between other chunks of a file.
#[test]
fn damaged_chunks_are_admitted_only_when_they_can_be_read() {
    let corpus = corpus();
    let (seed, count) = cases(4000);
    let mut admitted = 0;
    for case in seed..seed + count {
        let mut rng = Rng(case);
        let (entry, good) = &corpus[rng.below(corpus.len())];
        let mut stored = good.clone();
        damage(&mut rng, &mut stored);
        let plain_bytes = match rng.below(4) {
            0 => rng.below(entry.plain_bytes as usize + 2),
            _ => entry.plain_bytes as usize,
        };
        let id = hash(&stored);
        bounded(HEAP_BYTES_MAX, &format!("SEED={case}"), || {
            let Ok(entry) = admit_chunk(&stored, &id, plain_bytes, 1 << 20, rng.below(20) as u32) else { return };
            admitted += 1;
            assert_eq!(Entry::decode("fuzz", &entry.encode()).as_ref(), Ok(&entry), "SEED={case}");
            let mut plain = Vec::new();
            inflate_chunk(&stored, &entry, &mut plain).unwrap_or_else(|e| panic!("SEED={case}: {e}"));
            assert_eq!(plain.len(), plain_bytes, "SEED={case}");
            let mut joined = Vec::new();
            let stream = [&[0x6b, 0x00], &good[..], &stored, &good[..], &[0x03]].concat();
            brotli::BrotliDecompress(&mut &stream[..], &mut joined).unwrap_or_else(|e| panic!("SEED={case}: {e}"));
            let middle = (joined.len() - plain_bytes) / 2;
            assert!(joined[middle..middle + plain_bytes] == plain, "SEED={case}: other bytes between others");
        });
    }
    assert!(count < 1000 || admitted > 0, "no damage was so small that a chunk came of it");
}

/// A chunk whose meta-blocks are all head, for one byte each: 256 block types and 256 codes of one symbol in every category, and context maps that
/// move the last to the front at every entry. It is valid Brotli, and has to be walked before it is admitted.
fn heads(blocks: usize) -> Vec<u8> {
    let mut stored = Vec::new();
    inos_storage::raw::append_raw(&mut stored, b"AA"); // the contexts of what follows are the chunk's own
    let (mut held, mut count) = (0u64, 0);
    let mut put = |n: u32, value: u64| {
        held |= value << count;
        count += n;
        while count >= 8 {
            stored.push(held as u8);
            held >>= 8;
            count -= 8;
        }
    };
    for _ in 0..blocks {
        put(20, 0); // not last, four nibbles, one byte, compressed
        for _ in 0..3 {
            put(11, 0x7ff); // 256 types
            put(4, 1); // their code: simple, one symbol
            put(9, 2);
            put(4, 1); // of the counts
            put(5, 0);
            put(2, 3);
        }
        put(6, 0x3f); // postfix 3, 120 direct distances
        for _ in 0..256 {
            put(2, 3); // context mode
        }
        for _ in 0..2 {
            put(11, 0x7ff); // 256 trees
            put(1, 0); // no runs
            put(4, 1); // each entry the last one
            put(8, 255);
            put(1, 1); // moved to the front
        }
        for (width, symbol) in [(8, 65), (10, 136), (10, 0)] {
            for _ in 0..256 {
                put(4, 1);
                put(width, symbol); // a literal; insert 1; any distance
            }
        }
    }
    put(6, 6); // metadata of no bytes, to the end of the byte
    put(7, 0);
    stored
}

/// What a head costs depends on its bits, not on the alphabets that they speak of: a MiB of heads took seconds of a worker's time.
#[test]
fn heads_cost_by_their_bits() {
    let mut stored = heads(600);
    let mut tail = Vec::new();
    encode_chunk(&vec![0; (1 << 20) - 602], 0, 2, None, &mut tail).unwrap();
    stored.extend(tail);
    let before = MADE.get();
    let entry = admit_chunk(&stored, &hash(&stored), 1 << 20, 0, 5).unwrap();
    let made = MADE.get() - before;
    assert!(made < 200 * stored.len(), "{made} bytes of heap for {} stored ones", stored.len());
    let mut plain = Vec::new();
    inflate_chunk(&stored, &entry, &mut plain).unwrap();
    assert!(plain[..602].iter().all(|b| *b == b'A') && plain[602..].iter().all(|b| *b == 0));
}

/// A bomb is cut at its cap, whatever it would become.
#[test]
fn bombs() {
    let mut bomb = Vec::new();
    encode_chunk(&vec![0; 1 << 20], 0, 9, None, &mut bomb).unwrap();
    let bombs = bomb.repeat(500); // 500 MiB of zeros in a few kilobytes
    bounded(HEAP_BYTES_MAX, "bomb", || {
        assert!(inflate_capped("fuzz", &bombs, 1 << 20, &mut Vec::new()).is_err());
    });
    bounded(HEAP_BYTES_MAX, "bomb as a node", || {
        assert!(open_node(&bombs, &hash(&bombs)).is_err());
    });
}

#[test]
fn damaged_nodes() {
    let (chunk, _) = &corpus()[0];
    let full = Entry { plain_bytes: 1 << 20, stored_bytes: (1 << 20) + 3, ..chunk.clone() };
    let mut corpus = Vec::new();
    for count in [0usize, 1, 2, 30, 1024] {
        let entries: Vec<u8> =
            (0..count).flat_map(|i| if i + 1 < count { full.encode() } else { chunk.encode() }).collect();
        let mut stored = Vec::new();
        build_node(0, &entries, true, &mut stored).unwrap();
        let mut plain = Vec::new();
        inflate_capped("fuzz", &stored, NODE_BYTES_MAX, &mut plain).unwrap();
        corpus.push(plain);
    }
    let (seed, count) = cases(3000);
    for case in seed..seed + count {
        let mut rng = Rng(case);
        let mut plain = corpus[rng.below(corpus.len())].clone();
        damage(&mut rng, &mut plain);
        if rng.below(2) == 0 && plain.len() > 32 {
            plain[rng.below(32)] ^= 1 << rng.below(8); // the header is small: hit it often
        }
        plain.truncate(1 << 20);
        let mut stored = Vec::new();
        inos_storage::raw::append_raw(&mut stored, &plain);
        bounded(HEAP_BYTES_MAX, &format!("SEED={case}"), || {
            if let Ok(node) = open_node(&stored, &hash(&stored)) {
                assert_eq!(node.encode(), plain, "SEED={case}: two forms of one node");
                assert_eq!(node.file_id().is_some(), node.root);
            }
        });
    }
}

#[test]
fn damaged_proofs() {
    let (seed, count) = cases(5000);
    let contents: Vec<Vec<u8>> = [0usize, 1, 1024, 1025, 9000, 300_000].iter().map(|n| random(9, *n)).collect();
    for case in seed..seed + count {
        let mut rng = Rng(case);
        let content = &contents[rng.below(contents.len())];
        let leaf = rng.below(content.len().div_ceil(1024).max(1)) as u64;
        let mut proof = Vec::new();
        prove(content, leaf, &mut proof).unwrap();
        let good = proof.clone();
        damage(&mut rng, &mut proof);
        bounded(1 << 16, &format!("SEED={case}"), || {
            if verify(&proof, &hash(content), leaf).is_ok() {
                // Only the length may differ, and only above an inner leaf.
                assert_eq!(proof[8..], good[8..], "SEED={case}");
            }
            let _ = verify(&proof, &hash(content), rng.next());
        });
    }
}

#[test]
fn damaged_guest_messages() {
    let corpus = requests();
    let mut guest = Guest::<Storage>::default();
    let (seed, count) = cases(3000);
    for case in seed..seed + count {
        let mut rng = Rng(case);
        let (envelope, bulk) = &corpus[rng.below(corpus.len())];
        let (mut envelope, mut bulk) = (envelope.clone(), bulk.clone());
        let which = rng.below(3);
        if which != 0 {
            damage(&mut rng, &mut envelope);
        }
        if which != 1 {
            damage(&mut rng, &mut bulk);
        }
        let mut message = join_guest(&envelope, &bulk);
        if rng.below(8) == 0 {
            damage(&mut rng, &mut message);
        }
        // Encoding is among the requests: quality 9 takes the most.
        bounded(64 << 20, &format!("SEED={case}"), || {
            let (envelope, _) = split_guest(guest.handle(&message)).expect("a guest message");
            let reply = Envelope::decode(envelope).expect("an envelope");
            let state = reply.event_type.rsplit(':').next().map(str::to_owned);
            assert!(matches!(state.as_deref(), Some("completed" | "failed")), "SEED={case}: {}", reply.event_type);
        });
    }
}

/// One good request of each event, with its bulk.
fn requests() -> Vec<(Vec<u8>, Vec<u8>)> {
    let plain = text_of(3, 3000);
    let mut stored = Vec::new();
    let entry = encode_chunk(&plain, 0, 5, None, &mut stored).unwrap();
    let mut node = Vec::new();
    let (root, _) = build_node(0, &entry.encode(), true, &mut node).unwrap();
    let mut proof = Vec::new();
    prove(&stored, 0, &mut proof).unwrap();
    let encoded: Vec<u8> = entry.encode().into();
    let request = |action: &str, payload: Vec<u8>, bulk: &[u8]| {
        let envelope = Envelope {
            id: "0190f3c4-0000-7000-8000-000000000001".into(),
            event_type: format!("storage:{action}:v1:requested"),
            timestamp: 1,
            payload,
            ..Envelope::default()
        };
        let mut bytes = Vec::new();
        envelope.encode(&mut bytes);
        (bytes, bulk.to_vec())
    };
    let encode = pb::EncodeChunkRequest { offset_bytes: 0, quality: 5, plain_hash: entry.plain_hash.into() };
    let describe = pb::DescribeChunkRequest { offset_bytes: 1 << 20, entry: encoded.clone() };
    let admit =
        pb::AdmitChunkRequest { chunk_id: entry.chunk_id.into(), offset_bytes: 0, plain_bytes: 3000, quality: 5 };
    let build = pb::BuildNodeRequest { level: 0, entries: encoded.clone(), root: true };
    vec![
        request("encode_chunk", encode.encode_to_vec(), &plain),
        request("describe_chunk", describe.encode_to_vec(), &plain),
        request("inflate_chunk", pb::InflateChunkRequest { entry: encoded }.encode_to_vec(), &stored),
        request("admit_chunk", admit.encode_to_vec(), &stored),
        request("build_node", build.encode_to_vec(), &[]),
        request("open_node", pb::OpenNodeRequest { chunk_id: root.chunk_id.into() }.encode_to_vec(), &node),
        request("prove_chunk", pb::ProveChunkRequest { leaf: 0 }.encode_to_vec(), &stored),
        request(
            "verify_proof",
            pb::VerifyProofRequest { chunk_id: entry.chunk_id.into(), leaf: 0 }.encode_to_vec(),
            &proof,
        ),
    ]
}
