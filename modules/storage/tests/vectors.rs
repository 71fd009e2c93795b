//! The golden vectors of vectors/: what is computed here is what they say. `UPDATE=1` writes them.

mod common;

use common::random;
use inos_storage::chunk::{encode_chunk, inflate_chunk};
use inos_storage::entry::Entry;
use inos_storage::hash::hash;
use inos_storage::node::{Node, build_node};
use inos_storage::proof::{prove, verify};
use inos_storage::{CHUNK_BYTES_MAX, Kind};
use serde_json::{Value, json};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn repeat(text: &str, bytes: usize) -> (Value, Vec<u8>) {
    let made = text.bytes().cycle().take(bytes).collect();
    (json!({"rule": "repeat", "text": text, "bytes": bytes}), made)
}

fn splitmix(seed: u64, bytes: usize) -> (Value, Vec<u8>) {
    (json!({"rule": "splitmix64", "seed": seed, "bytes": bytes}), random(seed, bytes))
}

fn inputs() -> Vec<(Value, Vec<u8>)> {
    vec![
        repeat("a", 1),
        repeat("INOS ", 1023),
        repeat("INOS ", 1024),
        splitmix(1, 1025),
        splitmix(2, 65_536),
        splitmix(3, 65_537),
        splitmix(4, CHUNK_BYTES_MAX),
        repeat("the quick brown fox jumps over the lazy dog\n", CHUNK_BYTES_MAX),
    ]
}

fn chunks(plain: &[u8], quality: u32) -> Vec<(Entry, Vec<u8>)> {
    let parts = plain.chunks(CHUNK_BYTES_MAX).enumerate();
    parts
        .map(|(i, part)| {
            let mut stored = Vec::new();
            let entry = encode_chunk(part, (i as u64) << 20, quality, None, &mut stored).unwrap();
            inflate_chunk(&stored, &entry, &mut Vec::new()).unwrap();
            (entry, stored)
        })
        .collect()
}

fn check(name: &str, computed: Value) {
    let path = format!("{}/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&computed).unwrap() + "\n").unwrap();
    }
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (key, value) in computed.as_object().unwrap() {
        match value.as_array() {
            Some(cases) => {
                assert_eq!(cases.len(), written[key].as_array().map_or(0, Vec::len), "{name}: {key}");
                for (i, case) in cases.iter().enumerate() {
                    assert_eq!(*case, written[key][i], "{name}: {key} {i}");
                }
            }
            None => assert_eq!(*value, written[key], "{name}: {key}"),
        }
    }
}

#[test]
fn the_format_does_not_change() {
    let mut plain_hashes = Vec::new();
    for (input, plain) in inputs() {
        let (entry, _) = &chunks(&plain, 2)[0];
        let moved = inos_storage::chunk::describe_chunk(&plain, 3 << 20, entry).unwrap();
        plain_hashes.push(json!({
            "input": input,
            "plain_hash": hex(&entry.plain_hash),
            "chain_at_0": hex(&entry.chain),
            "chain_at_3_mib": hex(&moved.chain),
        }));
    }
    let mut raw = Vec::new();
    for (input, plain) in [splitmix(5, 4096), splitmix(2, 65_536), splitmix(3, 65_537), splitmix(4, CHUNK_BYTES_MAX)] {
        let (entry, stored) = &chunks(&plain, 2)[0];
        raw.push(json!({
            "input": input,
            "stored_head": hex(&stored[..3]),
            "stored_bytes": stored.len(),
            "chunk_id": hex(&entry.chunk_id),
            "entry": hex(&entry.encode()),
        }));
    }
    let mut files = Vec::new();
    for (input, plain) in [
        repeat("", 0),
        splitmix(6, 5000),
        splitmix(7, CHUNK_BYTES_MAX),
        splitmix(8, CHUNK_BYTES_MAX + 1),
        splitmix(9, 3 * CHUNK_BYTES_MAX + 777),
    ] {
        let entries: Vec<Entry> = chunks(&plain, 2).into_iter().map(|(entry, _)| entry).collect();
        let encoded: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
        let node = Node::new("vector", Kind::BadRequest, 0, true, entries).unwrap();
        assert_eq!(node.file_id(), Some(hash(&plain)));
        files.push(json!({
            "input": input,
            "file_id": hex(&hash(&plain)),
            "entries": hex(&encoded),
            "root_plain_head": hex(&node.encode()[..32]),
            "root_plain_hash": hex(&hash(&node.encode())),
            "root_chain": hex(&node.chain()),
        }));
    }
    let mut proofs = Vec::new();
    for ((input, content), leaf) in
        [(splitmix(10, 1), 0), (splitmix(10, 1025), 1), (splitmix(10, 5000), 2), (splitmix(10, 70_000), 68)]
    {
        let mut proof = Vec::new();
        prove(&content, leaf, &mut proof).unwrap();
        assert_eq!(verify(&proof, &hash(&content), leaf).unwrap(), content.len() as u64);
        let id = hex(&hash(&content));
        proofs.push(json!({"stored": input, "leaf": leaf, "chunk_id": id, "proof": hex(&proof)}));
    }
    check("format.json", json!({"chunks": plain_hashes, "raw_chunks": raw, "files": files, "proofs": proofs}));
}

#[test]
fn the_pinned_encoder_writes_what_it_wrote() {
    let mut cases = Vec::new();
    for (input, plain) in inputs() {
        for quality in 2..=9 {
            let (entry, stored) = &chunks(&plain, quality)[0];
            cases.push(json!({
                "input": input,
                "quality": quality,
                "stored_bytes": stored.len(),
                "chunk_id": hex(&entry.chunk_id),
                "entry": hex(&entry.encode()),
            }));
        }
    }
    let mut nodes = Vec::new();
    for count in [0usize, 1, 2, 1024] {
        let chunk = chunks(&repeat("INOS ", CHUNK_BYTES_MAX).1, 5).remove(0).0;
        let entries: Vec<u8> = std::iter::repeat_n(chunk.encode(), count).flatten().collect();
        let mut stored = Vec::new();
        let (entry, _) = build_node(0, &entries, true, &mut stored).unwrap();
        nodes.push(json!({
            "input": "COUNT times the entry of repeat \"INOS \", 1 MiB, at offset 0, quality 5",
            "count": count,
            "stored_bytes": stored.len(),
            "chunk_id": hex(&entry.chunk_id),
            "entry": hex(&entry.encode()),
        }));
    }
    check("brotli.json", json!({"encoder": "rust-brotli 9.1.1", "chunks": cases, "nodes": nodes}));
}
