//! One chunk: encoded, described at another offset, inflated, admitted from somebody else.

use crate::compress::{QUALITY_MAX, QUALITY_MIN, append_compressed};
use crate::entry::{CODEC_BROTLI, CODEC_RAW, Entry};
use crate::hash::{Hash, chain_at, check_offset, hash, plain_and_chain};
use crate::inflate::{compare, equal, inflate_exact};
use crate::output::Output;
use crate::probe::is_compressible;
use crate::raw::{append_raw, for_each_raw, raw_len};
use crate::walk::walk;
use crate::{CHUNK_BYTES_MAX, Error, Kind, Result};

/// Appends the stored form of `plain` to `out` and returns its entry at `offset` of its file. `plain` has 1 to 2^20
/// bytes, `offset` is a multiple of 1 MiB, `quality` is Brotli's, 2 to 9. When `expected` is given, `plain` has to hash
/// to it. What is returned was inflated again by another decoder and compared. On an error `out` is as before.
pub fn encode_chunk(
    plain: &[u8],
    offset: u64,
    quality: u32,
    expected: Option<&Hash>,
    out: &mut impl Output,
) -> Result<Entry> {
    const OP: &str = "encode chunk";
    check_plain(OP, plain)?;
    check_offset(OP, offset, plain.len())?;
    if !(QUALITY_MIN..=QUALITY_MAX).contains(&quality) {
        return Err(Error::new(
            Kind::BadRequest,
            OP,
            format!("quality {quality} is not in {QUALITY_MIN}..{QUALITY_MAX}"),
        ));
    }
    let (plain_hash, chain) = plain_and_chain(plain, offset);
    if expected.is_some_and(|e| *e != plain_hash) {
        return Err(Error::new(
            Kind::BodyMismatch,
            OP,
            format!("{} plain bytes do not have the plain hash asked for", plain.len()),
        ));
    }
    let base = out.length();
    let stored = append_stored(OP, plain, quality, out).inspect_err(|_| out.cut(base));
    let (codec, quality) = stored?;
    Ok(Entry {
        chunk_id: hash(&out.bytes()[base..]),
        plain_hash,
        chain,
        plain_bytes: plain.len() as u64,
        stored_bytes: (out.length() - base) as u64,
        codec,
        quality,
        chunks: 1,
    })
}

/// Appends the stored form of `plain`, checked, and returns its codec and quality. Never longer than the raw form.
pub(crate) fn append_stored(op: &'static str, plain: &[u8], quality: u32, out: &mut impl Output) -> Result<(u8, u8)> {
    let base = out.length();
    if is_compressible(plain) && append_compressed(out, plain, quality) {
        compare(op, &out.bytes()[base..], plain)?;
        return Ok((CODEC_BROTLI, quality as u8));
    }
    append_raw(out, plain);
    compare_raw(op, &out.bytes()[base..], plain)?;
    Ok((CODEC_RAW, 0))
}

/// Reads raw meta-blocks back and compares them with `plain`: the reader shares no line with the writer.
fn compare_raw(op: &'static str, stored: &[u8], plain: &[u8]) -> Result<()> {
    let mut rest = plain;
    for_each_raw(stored, |bytes| match rest.split_at_checked(bytes.len()) {
        Some((head, tail)) if equal(head, bytes) => {
            rest = tail;
            Ok(())
        }
        _ => Err(Error::new(Kind::ModuleFailed, op, "what was written raw reads back as other bytes")),
    })
    .map_err(|e| Error::new(Kind::ModuleFailed, op, e.message))?;
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Error::new(Kind::ModuleFailed, op, "what was written raw reads back short"))
    }
}

/// Returns the entry of a chunk that is stored already, for another `offset`: all but the chaining value is the same.
/// `plain` is the chunk's, and has to have the entry's plain hash and length.
pub fn describe_chunk(plain: &[u8], offset: u64, stored: &Entry) -> Result<Entry> {
    const OP: &str = "describe chunk";
    check_plain(OP, plain)?;
    check_offset(OP, offset, plain.len())?;
    stored.check_chunk(OP)?;
    if plain.len() as u64 != stored.plain_bytes || hash(plain) != stored.plain_hash {
        return Err(Error::new(
            Kind::BodyMismatch,
            OP,
            format!("{} plain bytes are not those of the entry", plain.len()),
        ));
    }
    Ok(Entry { chain: chain_at(plain, offset), ..stored.clone() })
}

/// Appends the plain bytes of a stored chunk: the stored hash is checked before anything is read, the output is capped
/// at the recorded length, the plain hash is checked after. On an error `out` is as before.
pub fn inflate_chunk(stored: &[u8], entry: &Entry, out: &mut impl Output) -> Result<()> {
    const OP: &str = "inflate chunk";
    entry.check_chunk(OP)?;
    if stored.len() as u64 != entry.stored_bytes {
        let message = format!("{} stored bytes, the entry says {}", stored.len(), entry.stored_bytes);
        return Err(Error::new(Kind::ChunkCorrupt, OP, message));
    }
    if hash(stored) != entry.chunk_id {
        return Err(Error::new(
            Kind::ChunkCorrupt,
            OP,
            format!("{} stored bytes do not hash to the chunk id", stored.len()),
        ));
    }
    let base = out.length();
    let plain_bytes = entry.plain_bytes as usize; // at most 2^20, checked above
    if entry.codec == CODEC_RAW {
        inflate_raw(OP, stored, plain_bytes, out)?;
    } else {
        inflate_exact(OP, stored, plain_bytes, out)?;
    }
    if hash(&out.bytes()[base..]) != entry.plain_hash {
        out.cut(base);
        return Err(Error::new(
            Kind::ChunkCorrupt,
            OP,
            format!("{plain_bytes} plain bytes do not have the plain hash"),
        ));
    }
    Ok(())
}

/// Returns the entry, at `offset` of its file, of a chunk from somebody who is not trusted: it has to hash to `chunk_id`, to hold
/// `plain_bytes`, 1 to 2^20, and to decode to the same bytes behind whatever stands before it. Two decoders have to agree on them. No
/// form is taken that is longer than the raw one. `quality` is what its sender says of it, a note: 0 when it is not known.
pub fn admit_chunk(stored: &[u8], chunk_id: &Hash, plain_bytes: usize, offset: u64, quality: u32) -> Result<Entry> {
    const OP: &str = "admit chunk";
    if plain_bytes == 0 || plain_bytes > CHUNK_BYTES_MAX {
        let message = format!("{plain_bytes} plain bytes, a chunk has 1 to {CHUNK_BYTES_MAX}");
        return Err(Error::new(Kind::BadRequest, OP, message));
    }
    check_offset(OP, offset, plain_bytes)?;
    let corrupt = |message: String| Error::new(Kind::ChunkCorrupt, OP, message);
    if hash(stored) != *chunk_id {
        return Err(corrupt(format!("{} stored bytes do not hash to the chunk id", stored.len())));
    }
    if stored.len() > raw_len(plain_bytes) {
        return Err(corrupt(format!(
            "{} stored bytes for {plain_bytes} plain ones: the raw form is shorter",
            stored.len()
        )));
    }
    let seen = walk(stored, plain_bytes).map_err(|e| corrupt(format!("it cannot stand behind other chunks: {e}")))?;
    if seen.plain.len() != plain_bytes {
        return Err(corrupt(format!("{} plain bytes, {plain_bytes} are expected", seen.plain.len())));
    }
    let raw = seen.raw_blocks == 1 && seen.compressed_blocks + seen.metadata_blocks == 0;
    if !raw {
        compare(OP, stored, &seen.plain).map_err(|e| corrupt(e.message))?;
        if stored.len() == raw_len(plain_bytes) {
            return Err(corrupt(format!(
                "{} stored bytes for {plain_bytes} plain ones: the raw form is as short",
                stored.len()
            )));
        }
    }
    let (plain_hash, chain) = plain_and_chain(&seen.plain, offset);
    Ok(Entry {
        chunk_id: *chunk_id,
        plain_hash,
        chain,
        plain_bytes: plain_bytes as u64,
        stored_bytes: stored.len() as u64,
        codec: if raw { CODEC_RAW } else { CODEC_BROTLI },
        quality: if raw { 0 } else { quality.clamp(1, u32::from(crate::entry::QUALITY_MAX)) as u8 },
        chunks: 1,
    })
}

fn inflate_raw(op: &'static str, stored: &[u8], plain_bytes: usize, out: &mut impl Output) -> Result<()> {
    let base = out.length();
    out.reserve(plain_bytes);
    let read = for_each_raw(stored, |bytes| {
        out.append(bytes); // bounded by the stored length
        Ok(())
    });
    let got = out.length() - base;
    if read.is_err() || got != plain_bytes {
        out.cut(base);
    }
    read?;
    if got != plain_bytes {
        return Err(Error::new(Kind::ChunkCorrupt, op, format!("{got} plain bytes, the entry says {plain_bytes}")));
    }
    Ok(())
}

fn check_plain(op: &'static str, plain: &[u8]) -> Result<()> {
    if plain.is_empty() || plain.len() > CHUNK_BYTES_MAX {
        return Err(Error::new(
            Kind::BadRequest,
            op,
            format!("{} plain bytes, a chunk has 1 to {CHUNK_BYTES_MAX}", plain.len()),
        ));
    }
    Ok(())
}
