//! Manifests: trees of every shape, the FileID they give, and every lie they refuse.

mod common;
mod reference;

use common::{Rng, random};
use inos_storage::chunk::encode_chunk;
use inos_storage::entry::{CODEC_BROTLI, CODEC_RAW, ENTRY_BYTES, Entry};
use inos_storage::hash::{Hash, chain_at, hash};
use inos_storage::node::{LEVEL_MAX, NODE_BYTES_MAX, NODE_ENTRIES_MAX, Node, build_node, open_node};
use inos_storage::{CHUNK_BYTES_MAX, Kind};
use std::collections::HashMap;

const MIB: u64 = 1 << 20;

/// A node's store, and the way a put builds the tree: full nodes as they come, the rest at the end.
struct Tree {
    stored: HashMap<Hash, Vec<u8>>,
    root: Hash,
    file_id: Hash,
    levels: u32,
}

fn tree(mut entries: Vec<Entry>) -> Tree {
    let mut stored = HashMap::new();
    for level in 0.. {
        let root = entries.len() <= NODE_ENTRIES_MAX;
        let mut parents = Vec::new();
        let mut file_id = None;
        // The empty file has a root too.
        let groups: Vec<&[Entry]> =
            if entries.is_empty() { vec![&[]] } else { entries.chunks(NODE_ENTRIES_MAX).collect() };
        for group in groups {
            let bytes: Vec<u8> = group.iter().flat_map(Entry::encode).collect();
            let mut out = Vec::new();
            let (entry, id) = build_node(level, &bytes, root, &mut out).unwrap();
            assert_eq!(hash(&out), entry.chunk_id);
            let opened = open_node(&out, &entry.chunk_id).unwrap();
            assert_eq!((opened.level, opened.root, opened.file_id()), (level, root, id));
            assert_eq!(opened.entries, group);
            stored.insert(entry.chunk_id, out);
            parents.push(entry);
            file_id = id;
        }
        if root {
            return Tree { stored, root: parents[0].chunk_id, file_id: file_id.unwrap(), levels: level + 1 };
        }
        entries = parents;
    }
    unreachable!()
}

/// The leaves of a tree, read from its root.
fn leaves(tree: &Tree, id: &Hash, out: &mut Vec<Entry>) {
    let node = open_node(&tree.stored[id], id).unwrap();
    for entry in node.entries {
        if node.level == 0 {
            out.push(entry);
        } else {
            leaves(tree, &entry.chunk_id, out);
        }
    }
}

fn chunks_of(file: &[u8]) -> Vec<Entry> {
    let chunks = file.chunks(CHUNK_BYTES_MAX).enumerate();
    chunks.map(|(i, part)| encode_chunk(part, i as u64 * MIB, 2, None, &mut Vec::new()).unwrap()).collect()
}

#[test]
fn file_ids_are_what_b3sum_prints() {
    // Empty; one leaf; the end of a chunk and one byte more; three chunks, short and long; a last chunk one byte short;
    // eight, a full binary tree; thirteen and one leaf, the most lopsided.
    for size in [0, 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 777, 5 * MIB - 1, 8 * MIB, 13 * MIB + 1024] {
        let file = random(size, size as usize);
        let entries = chunks_of(&file);
        let tree = tree(entries.clone());
        assert_eq!(tree.file_id, *blake3::hash(&file).as_bytes(), "{size} bytes");
        if size < 4 * MIB {
            assert_eq!(tree.file_id, reference::hash(&file), "{size} bytes");
        }
        assert_eq!(tree.levels, 1);
        let mut read = Vec::new();
        leaves(&tree, &tree.root, &mut read);
        assert_eq!(read, entries, "{size} bytes");
    }
}

/// 1,023 to 1,025 chunks of zeros and a last one that is short: a full node, and the smallest tree of two levels.
#[test]
fn two_levels_begin_at_1025_chunks() {
    let zeros = vec![0; CHUNK_BYTES_MAX];
    let mut stored = Vec::new();
    let chunk = encode_chunk(&zeros, 0, 2, None, &mut stored).unwrap();
    let short = encode_chunk(&zeros[..5], 0, 2, None, &mut Vec::new()).unwrap();
    for (chunks, levels) in [(1023u64, 1), (1024, 1), (1025, 2)] {
        let mut hasher = blake3::Hasher::new();
        let mut entries: Vec<Entry> = (0..chunks - 1)
            .map(|i| {
                hasher.update(&zeros);
                Entry { chain: chain_at(&zeros, i * MIB), ..chunk.clone() }
            })
            .collect();
        hasher.update(&zeros[..5]);
        entries.push(Entry { chain: chain_at(&zeros[..5], (chunks - 1) * MIB), ..short.clone() });
        let tree = tree(entries.clone());
        assert_eq!(tree.levels, levels, "{chunks} chunks");
        assert_eq!(tree.file_id, *hasher.finalize().as_bytes(), "{chunks} chunks");
        let mut read = Vec::new();
        leaves(&tree, &tree.root, &mut read);
        assert!(read == entries, "{chunks} chunks");
    }
}

/// An entry that stands for `chunks` chunks, the last of them with `last` bytes.
fn synthetic(rng: &mut Rng, chunks: u32, last: u64, level: u32) -> Entry {
    let plain = u64::from(chunks - 1) * MIB + last;
    let mut hash = || -> Hash { std::array::from_fn(|_| rng.next() as u8) };
    let raw = level == 0;
    Entry {
        chunk_id: hash(),
        plain_hash: hash(),
        chain: hash(),
        plain_bytes: plain,
        stored_bytes: if raw { plain + 3 } else { plain / 2 + u64::from(chunks) },
        codec: if raw { CODEC_RAW } else { CODEC_BROTLI },
        quality: if raw { 0 } else { 5 },
        chunks,
    }
}

fn node(level: u32, root: bool, entries: &[Entry]) -> inos_storage::Result<(Entry, Option<Hash>)> {
    let bytes: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
    let mut out = vec![7];
    let result = build_node(level, &bytes, root, &mut out);
    match &result {
        Ok((entry, _)) => {
            let opened = open_node(&out[1..], &entry.chunk_id).unwrap();
            assert_eq!(opened.entries, entries);
            assert_eq!(opened.chunks, entry.chunks);
        }
        Err(_) => assert_eq!(out, [7], "a refused node leaves nothing"),
    }
    result
}

#[test]
fn every_level_up_to_the_highest() {
    let mut rng = Rng(5);
    let (k, m, g) = (1u32 << 10, 1u32 << 20, 1u32 << 30);
    for (level, full, last) in [(0, 1, 1), (1, k, 1), (1, k, k), (2, m, m - 1), (3, g, 17)] {
        let entries = [
            synthetic(&mut rng, full, MIB, level),
            synthetic(&mut rng, full, MIB, level),
            synthetic(&mut rng, last, 1, level),
        ];
        let (entry, file_id) = node(level, true, &entries).unwrap();
        assert_eq!(u64::from(entry.chunks), 2 * u64::from(full) + u64::from(last), "level {level}");
        assert_eq!(entry.plain_bytes, (2 * u64::from(full) + u64::from(last) - 1) * MIB + 1, "level {level}");
        assert!(file_id.is_some());
        let (inner, no_id) = node(level, false, &entries).unwrap();
        assert_eq!(
            (inner.chain, no_id),
            (entry.chain, None),
            "level {level}: a root joins as any other below a parent"
        );
        assert_ne!(inner.chunk_id, entry.chunk_id, "the flag is in the node");
    }
}

#[test]
fn lies_are_refused() {
    let mut rng = Rng(6);
    let full = synthetic(&mut rng, 1, MIB, 0);
    let short = synthetic(&mut rng, 1, 9, 0);
    let inner = synthetic(&mut rng, 1024, MIB, 1);
    let tail = synthetic(&mut rng, 3, 9, 1);
    let with = |e: &Entry, change: &dyn Fn(&mut Entry)| {
        let mut e = e.clone();
        change(&mut e);
        e
    };
    let many = vec![full.clone(); NODE_ENTRIES_MAX + 1];
    let cases: Vec<(&str, u32, bool, Vec<Entry>)> = vec![
        ("a short entry before the last", 0, true, vec![short.clone(), full.clone()]),
        ("an inner entry that is not full before the last", 1, true, vec![tail.clone(), inner.clone()]),
        ("a root above one entry", 1, true, vec![inner.clone()]),
        ("a node of nothing", 0, false, vec![]),
        ("an inner root of nothing", 1, true, vec![]),
        ("a level above the highest", LEVEL_MAX + 1, true, vec![inner.clone(), inner.clone()]),
        ("a level of 2^32-1", u32::MAX, true, vec![inner.clone(), inner.clone()]),
        ("1,025 entries", 0, true, many),
        ("a chunk of no bytes", 0, true, vec![with(&short, &|e| e.plain_bytes = 0)]),
        ("a chunk of 1 MiB + 1", 0, true, vec![with(&full, &|e| e.plain_bytes += 1)]),
        ("a chunk of two chunks", 0, true, vec![with(&full, &|e| e.chunks = 2)]),
        ("a chunk of no chunks", 0, true, vec![with(&full, &|e| e.chunks = 0)]),
        ("a chunk stored in no bytes", 0, true, vec![with(&full, &|e| e.stored_bytes = 0)]),
        ("a chunk stored longer than raw", 0, true, vec![with(&full, &|e| e.stored_bytes += 1)]),
        ("a raw chunk stored shorter", 0, true, vec![with(&full, &|e| e.stored_bytes -= 1)]),
        ("more chunks than the level covers", 1, true, vec![inner.clone(), with(&inner, &|e| e.chunks = 1025)]),
        ("fewer bytes than chunks", 1, true, vec![inner.clone(), with(&tail, &|e| e.plain_bytes = 2 * MIB)]),
        ("more bytes than chunks", 1, true, vec![inner.clone(), with(&tail, &|e| e.plain_bytes = 3 * MIB + 1)]),
        ("bytes that overflow", 1, true, vec![inner.clone(), with(&inner, &|e| e.plain_bytes = u64::MAX)]),
        ("stored bytes that overflow", 1, true, vec![inner.clone(), with(&inner, &|e| e.stored_bytes = u64::MAX)]),
        ("more than 2^32 - 1 chunks", 3, true, vec![synthetic(&mut rng, 1 << 30, MIB, 3); 4]),
    ];
    for (what, level, root, entries) in cases {
        assert_eq!(node(level, root, &entries).expect_err(what).kind, Kind::BadRequest, "{what}");
    }
    let kind = build_node(0, &[0; ENTRY_BYTES + 1], true, &mut Vec::new()).unwrap_err().kind;
    assert_eq!(kind, Kind::BadRequest, "half an entry");
}

#[test]
fn every_header_field_is_checked() {
    let mut rng = Rng(8);
    let entries = vec![synthetic(&mut rng, 1, MIB, 0), synthetic(&mut rng, 1, 9, 0)];
    let plain = Node::new("test", Kind::BadRequest, 0, true, entries).unwrap().encode();
    assert!(Node::decode("test", &plain).is_ok());
    for (what, at, value) in [
        ("magic", 0, b'i'),
        ("version", 8, 2),
        ("version, high byte", 9, 1),
        ("level", 10, 1),
        ("a level above the highest", 10, 4),
        ("an unknown flag", 11, 3),
        ("count", 12, 1),
        ("a large count", 15, 0xff),
        ("plain bytes", 16, 8),
        ("chunks", 24, 3),
        ("chunks, high byte", 31, 1),
    ] {
        let mut bad = plain.clone();
        assert_ne!(bad[at], value, "{what}");
        bad[at] = value;
        assert_eq!(Node::decode("test", &bad).expect_err(what).kind, Kind::BadFormat, "{what}");
    }
    for length in [0, 31, 32, plain.len() - 1] {
        assert!(Node::decode("test", &plain[..length]).is_err(), "{length} bytes");
    }
    assert!(Node::decode("test", &[&plain[..], &[0]].concat()).is_err(), "a byte behind");
}

#[test]
fn stored_nodes_are_checked_and_capped() {
    let (entry, _) = {
        let mut rng = Rng(9);
        node(0, true, &[synthetic(&mut rng, 1, 5, 0)]).unwrap()
    };
    assert_eq!(open_node(b"anything", &entry.chunk_id).unwrap_err().kind, Kind::ChunkCorrupt);
    // A bomb: 200 bytes that inflate to 1 MiB end at the cap.
    let mut bomb = Vec::new();
    encode_chunk(&vec![0; CHUNK_BYTES_MAX], 0, 9, None, &mut bomb).unwrap();
    assert!(bomb.len() < 200);
    let error = open_node(&bomb, &hash(&bomb)).unwrap_err();
    assert_eq!(error.kind, Kind::ChunkCorrupt);
    assert!(error.message.contains(&NODE_BYTES_MAX.to_string()), "{error}");
    // A file that is no manifest.
    let mut text = Vec::new();
    encode_chunk(b"not a node, but a chunk like any other", 0, 5, None, &mut text).unwrap();
    assert_eq!(open_node(&text, &hash(&text)).unwrap_err().kind, Kind::BadFormat);
}
