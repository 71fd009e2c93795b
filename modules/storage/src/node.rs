//! The manifest: a tree of nodes of at most 1,024 entries, each stored as a chunk.
//!
//! A node's plain bytes are a header of 32 bytes and its entries. Header: 0–7 "INOSNODE", 8–9 version 1, 10 level,
//! 11 flags (bit 0: root), 12–15 entries, 16–23 plain bytes of the file below, 24–31 data chunks below; integers are
//! little-endian. Entries of a node of level 0 are data chunks, those of level L are nodes of level L-1. A node of
//! level L covers 1,024^(L+1) chunks when full, and only the last entry of a node may cover less than its share, so
//! that the way to any offset is arithmetic.

use crate::chunk::append_stored;
use crate::entry::{ENTRY_BYTES, Entry};
use crate::hash::{Hash, hash, merge, merge_root};
use crate::inflate::inflate_capped;
use crate::output::Output;
use crate::{CHUNK_BYTES_MAX, Error, Kind, Result};

/// Entries of a node, at most.
pub const NODE_ENTRIES_MAX: usize = 1024;
/// Bytes of a node's header.
pub const NODE_HEADER_BYTES: usize = 32;
/// Plain bytes of a node, at most.
pub const NODE_BYTES_MAX: usize = NODE_HEADER_BYTES + NODE_ENTRIES_MAX * ENTRY_BYTES;
/// The highest level: its entries cover 2^30 chunks each, and an entry counts chunks in 32 bits.
pub const LEVEL_MAX: u32 = 3;
/// The Brotli quality of nodes: they are small and read often. Hashes do not compress, totals do.
pub const NODE_QUALITY: u32 = 5;

const MAGIC: &[u8; 8] = b"INOSNODE";
const VERSION: u16 = 1;
const FLAG_ROOT: u8 = 1;

/// A manifest node in the open, its entries checked against each other and against its level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// 0: entries are data chunks.
    pub level: u32,
    /// Whether it is the root of a file.
    pub root: bool,
    /// Its entries, in the order of the file.
    pub entries: Vec<Entry>,
    /// Bytes of the file below.
    pub plain_bytes: u64,
    /// Stored bytes of the data chunks below.
    pub stored_bytes: u64,
    /// Data chunks below.
    pub chunks: u32,
}

impl Node {
    /// Checks entries and sums them up. A root of level 0 has any number of entries up to 1,024, none for the empty
    /// file; a higher root has at least two (else its only child would be the root); other nodes have at least one.
    pub fn new(op: &'static str, kind: Kind, level: u32, root: bool, entries: Vec<Entry>) -> Result<Node> {
        let bad = |message: String| Err(Error::new(kind, op, message));
        if level > LEVEL_MAX {
            return bad(format!("level {level}, the highest is {LEVEL_MAX}"));
        }
        let least = match (root, level) {
            (true, 0) => 0,
            (true, _) => 2,
            (false, _) => 1,
        };
        if entries.len() < least || entries.len() > NODE_ENTRIES_MAX {
            return bad(format!(
                "{} entries of level {level}, root {root}: it has {least} to {NODE_ENTRIES_MAX}",
                entries.len()
            ));
        }
        let share = 1u64 << (10 * level); // chunks an entry covers when full
        let (mut plain, mut stored, mut chunks) = (0u64, 0u64, 0u32);
        for (i, entry) in entries.iter().enumerate() {
            check_entry(entry, level, share, i + 1 == entries.len())
                .map_err(|what| Error::new(kind, op, format!("entry {i} of level {level}: {what}")))?;
            let sums = (
                plain.checked_add(entry.plain_bytes),
                stored.checked_add(entry.stored_bytes),
                chunks.checked_add(entry.chunks),
            );
            let (Some(p), Some(s), Some(c)) = sums else {
                return bad(format!("entry {i} of level {level}: the totals overflow"));
            };
            (plain, stored, chunks) = (p, s, c);
        }
        Ok(Node { level, root, entries, plain_bytes: plain, stored_bytes: stored, chunks })
    }

    /// The node's plain bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut b = Vec::with_capacity(NODE_HEADER_BYTES + self.entries.len() * ENTRY_BYTES);
        b.extend_from_slice(MAGIC);
        b.extend_from_slice(&VERSION.to_le_bytes());
        b.push(self.level as u8);
        b.push(if self.root { FLAG_ROOT } else { 0 });
        b.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        b.extend_from_slice(&self.plain_bytes.to_le_bytes());
        b.extend_from_slice(&u64::from(self.chunks).to_le_bytes());
        for entry in &self.entries {
            b.extend_from_slice(&entry.encode());
        }
        b
    }

    /// Reads a node's plain bytes and checks all of them.
    pub fn decode(op: &'static str, b: &[u8]) -> Result<Node> {
        let bad = |message: String| Err(Error::new(Kind::BadFormat, op, message));
        if b.len() < NODE_HEADER_BYTES || b[..8] != *MAGIC {
            return bad(format!("{} bytes are not a manifest node", b.len()));
        }
        let version = u16::from_le_bytes([b[8], b[9]]);
        let (level, flags) = (b[10], b[11]);
        if version != VERSION || flags & !FLAG_ROOT != 0 {
            return bad(format!("a manifest node of version {version}, flags {flags:#x}: written by a later version"));
        }
        let count = u32::from_le_bytes(b[12..16].try_into().expect("4 bytes")) as usize;
        if count > NODE_ENTRIES_MAX || b.len() != NODE_HEADER_BYTES + count * ENTRY_BYTES {
            return bad(format!("a manifest node of {count} entries in {} bytes", b.len()));
        }
        let entries =
            b[NODE_HEADER_BYTES..].chunks_exact(ENTRY_BYTES).map(|e| Entry::decode(op, e)).collect::<Result<_>>()?;
        let node = Node::new(op, Kind::BadFormat, u32::from(level), flags & FLAG_ROOT != 0, entries)?;
        let plain = u64::from_le_bytes(b[16..24].try_into().expect("8 bytes"));
        let chunks = u64::from_le_bytes(b[24..32].try_into().expect("8 bytes"));
        if plain != node.plain_bytes || chunks != u64::from(node.chunks) {
            return bad(format!(
                "a manifest node that says {plain} bytes in {chunks} chunks, its entries say {} in {}",
                node.plain_bytes, node.chunks
            ));
        }
        Ok(node)
    }

    /// The chaining value of the file's bytes below; zeros for the empty file, which has none.
    pub fn chain(&self) -> Hash {
        merge(&self.chains()).unwrap_or_default()
    }

    /// The FileID of a root: BLAKE3 of the whole file. None for other nodes.
    pub fn file_id(&self) -> Option<Hash> {
        if !self.root {
            return None;
        }
        Some(match self.entries.as_slice() {
            [] => hash(&[]),
            [one] => one.plain_hash, // one chunk is the whole file
            _ => merge_root(&self.chains()).expect("two entries or more"),
        })
    }

    fn chains(&self) -> Vec<Hash> {
        self.entries.iter().map(|e| e.chain).collect()
    }
}

/// What is wrong with an entry of a node, if anything.
fn check_entry(entry: &Entry, level: u32, share: u64, last: bool) -> std::result::Result<(), String> {
    const CHUNK: u64 = CHUNK_BYTES_MAX as u64;
    if level == 0 {
        entry.check_chunk("").map_err(|e| e.message)?;
    }
    let chunks = u64::from(entry.chunks);
    if chunks == 0 || chunks > share || (!last && chunks < share) {
        return Err(format!("{chunks} chunks, it covers {share}"));
    }
    // All chunks are full, but the last one of the file: chunks and bytes agree.
    let most = chunks * CHUNK;
    if entry.plain_bytes > most || entry.plain_bytes <= most - CHUNK || (!last && entry.plain_bytes < most) {
        return Err(format!("{} plain bytes in {chunks} chunks", entry.plain_bytes));
    }
    if entry.stored_bytes < chunks
        || entry.stored_bytes > entry.plain_bytes + chunks * crate::raw::RAW_HEADER_BYTES as u64
    {
        return Err(format!("{} stored bytes of {} plain bytes", entry.stored_bytes, entry.plain_bytes));
    }
    Ok(())
}

/// Appends a node's stored form and returns the node as an entry of its parent. The entry's plain hash is that of the
/// node's plain bytes; its totals are those of the file's bytes below. On an error `out` is as before.
pub fn build_node(level: u32, entries: &[u8], root: bool, out: &mut impl Output) -> Result<(Entry, Option<Hash>)> {
    const OP: &str = "build manifest node";
    if !entries.len().is_multiple_of(ENTRY_BYTES) || entries.len() > NODE_ENTRIES_MAX * ENTRY_BYTES {
        return Err(Error::new(
            Kind::BadRequest,
            OP,
            format!("{} bytes are not up to {NODE_ENTRIES_MAX} entries", entries.len()),
        ));
    }
    let entries = entries.chunks_exact(ENTRY_BYTES).map(|e| Entry::decode(OP, e)).collect::<Result<Vec<_>>>()?;
    let node = Node::new(OP, Kind::BadRequest, level, root, entries)?;
    let plain = node.encode();
    let base = out.length();
    let stored = append_stored(OP, &plain, NODE_QUALITY, out).inspect_err(|_| out.cut(base));
    let (codec, quality) = stored?;
    let entry = Entry {
        chunk_id: hash(&out.bytes()[base..]),
        plain_hash: hash(&plain),
        chain: node.chain(),
        plain_bytes: node.plain_bytes,
        stored_bytes: node.stored_bytes,
        codec,
        quality,
        chunks: node.chunks,
    };
    Ok((entry, node.file_id()))
}

/// Opens the stored form of a node: its hash is checked before anything is read, its size is capped, every field is
/// checked after.
pub fn open_node(stored: &[u8], chunk_id: &Hash) -> Result<Node> {
    const OP: &str = "open manifest node";
    if hash(stored) != *chunk_id {
        return Err(Error::new(
            Kind::ChunkCorrupt,
            OP,
            format!("{} stored bytes do not hash to the chunk id", stored.len()),
        ));
    }
    let mut plain = Vec::new();
    inflate_capped(OP, stored, NODE_BYTES_MAX, &mut plain)?;
    Node::decode(OP, &plain)
}
