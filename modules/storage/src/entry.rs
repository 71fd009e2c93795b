//! The manifest entry: 128 bytes that say all of a chunk, or of a manifest node below.

use crate::hash::Hash;
use crate::raw::raw_len;
use crate::{CHUNK_BYTES_MAX, Error, Kind, Result};

/// Bytes of an encoded entry.
pub const ENTRY_BYTES: usize = 128;
/// Codec of a stored form made of raw meta-blocks.
pub const CODEC_RAW: u8 = 0;
/// Codec of a stored form made of compressed meta-blocks.
pub const CODEC_BROTLI: u8 = 1;
/// The highest Brotli quality an entry can name.
pub const QUALITY_MAX: u8 = 11;

/// What a manifest says of one chunk, or of one manifest node below it.
///
/// Bytes 0–31 chunk id, 32–63 plain hash, 64–95 chaining value, 96–103 plain bytes, 104–111 stored bytes, 112 codec,
/// 113 quality, 114 cipher, 115 zero, 116–119 chunks, 120–127 key id; integers are little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// BLAKE3 of the stored bytes.
    pub chunk_id: Hash,
    /// BLAKE3 of the plain bytes of the chunk alone, or of the node's plain bytes.
    pub plain_hash: Hash,
    /// BLAKE3 chaining value of the file's bytes below, at their offset.
    pub chain: Hash,
    /// Bytes of the file below this entry.
    pub plain_bytes: u64,
    /// Stored bytes of the data chunks below this entry.
    pub stored_bytes: u64,
    /// [`CODEC_RAW`] or [`CODEC_BROTLI`], of the chunk or the node itself.
    pub codec: u8,
    /// Brotli quality; 0 for raw.
    pub quality: u8,
    /// Data chunks below this entry; 1 for a data chunk.
    pub chunks: u32,
}

impl Entry {
    /// The 128 bytes of the entry. The reserved fields (cipher, key id) are zero.
    pub fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut b = [0; ENTRY_BYTES];
        b[0..32].copy_from_slice(&self.chunk_id);
        b[32..64].copy_from_slice(&self.plain_hash);
        b[64..96].copy_from_slice(&self.chain);
        b[96..104].copy_from_slice(&self.plain_bytes.to_le_bytes());
        b[104..112].copy_from_slice(&self.stored_bytes.to_le_bytes());
        b[112] = self.codec;
        b[113] = self.quality;
        b[116..120].copy_from_slice(&self.chunks.to_le_bytes());
        b
    }

    /// Reads 128 bytes, neither more nor less. Reserved fields that are not zero are refused: their meaning is not known to this
    /// version. `op` names what is being done, for the error.
    pub fn decode(op: &'static str, b: &[u8]) -> Result<Entry> {
        let bad = |message: String| Err(Error::new(Kind::BadFormat, op, message));
        if b.len() != ENTRY_BYTES {
            return bad(format!("a manifest entry of {} bytes, it has {ENTRY_BYTES}", b.len()));
        }
        let hash = |at: usize| -> Hash { b[at..at + 32].try_into().expect("32 bytes") };
        let long = |at: usize| u64::from_le_bytes(b[at..at + 8].try_into().expect("8 bytes"));
        let (codec, quality, cipher, zero) = (b[112], b[113], b[114], b[115]);
        if cipher != 0 || zero != 0 || long(120) != 0 || codec > CODEC_BROTLI || quality > QUALITY_MAX {
            return bad(format!(
                "a manifest entry with codec {codec}, quality {quality}, cipher {cipher}, key {}: written by a later version",
                long(120)
            ));
        }
        if (codec == CODEC_RAW) != (quality == 0) {
            return bad(format!("a manifest entry with codec {codec} and quality {quality}"));
        }
        Ok(Entry {
            chunk_id: hash(0),
            plain_hash: hash(32),
            chain: hash(64),
            plain_bytes: long(96),
            stored_bytes: long(104),
            codec,
            quality,
            chunks: u32::from_le_bytes(b[116..120].try_into().expect("4 bytes")),
        })
    }

    /// Refuses an entry that cannot be a data chunk: one chunk of 1 to 2^20 plain bytes, stored no longer than raw.
    pub fn check_chunk(&self, op: &'static str) -> Result<()> {
        let plain = self.plain_bytes;
        let raw = if plain <= CHUNK_BYTES_MAX as u64 { raw_len(plain as usize) as u64 } else { 0 };
        let fits = match self.codec {
            CODEC_RAW => self.stored_bytes == raw,
            _ => self.stored_bytes > 0 && self.stored_bytes < raw,
        };
        if self.chunks != 1 || plain == 0 || plain > CHUNK_BYTES_MAX as u64 || !fits {
            return Err(Error::new(
                Kind::BadFormat,
                op,
                format!(
                    "a data chunk of {} chunks, {plain} plain and {} stored bytes, codec {}",
                    self.chunks, self.stored_bytes, self.codec
                ),
            ));
        }
        Ok(())
    }
}
