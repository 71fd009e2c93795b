//! Raw meta-blocks: the stored form of bytes that do not compress.
//!
//! RFC 7932 section 9.2. A raw meta-block that begins on a byte boundary is three header bytes and the bytes:
//! bit 0 ISLAST = 0, bits 1–2 MNIBBLES - 4, then MLEN - 1 in 16 or 20 bits, then ISUNCOMPRESSED = 1 and zeros up to the
//! byte boundary. The shortest number of nibbles has to be used: "if MNIBBLES is greater than 4, and the last nibble is
//! all zeros, the stream should be rejected as invalid".

use crate::output::Output;
use crate::{CHUNK_BYTES_MAX, Error, Kind, Result};

/// Bytes of one raw meta-block's header.
pub const RAW_HEADER_BYTES: usize = 3;

/// The length of `plain_bytes` bytes in raw form: one meta-block, because a chunk never exceeds 2^20 bytes.
pub const fn raw_len(plain_bytes: usize) -> usize {
    if plain_bytes == 0 { 0 } else { RAW_HEADER_BYTES + plain_bytes }
}

/// Appends the raw form of `plain`, which has at most 2^20 bytes.
pub fn append_raw(out: &mut impl Output, plain: &[u8]) {
    assert!(plain.len() <= CHUNK_BYTES_MAX, "a raw meta-block of this crate holds at most one chunk");
    if plain.is_empty() {
        return;
    }
    let length = (plain.len() - 1) as u32;
    let header = if plain.len() > 1 << 16 {
        1 << 1 | length << 3 | 1 << 23 // five nibbles
    } else {
        length << 3 | 1 << 19 // four nibbles
    };
    out.reserve(raw_len(plain.len()));
    out.append(&header.to_le_bytes()[..RAW_HEADER_BYTES]);
    out.append(plain);
}

/// Calls `each` with the bytes of every raw meta-block of `stored`, in order, and refuses anything that is not a
/// sequence of byte-aligned raw meta-blocks. It allocates nothing.
pub fn for_each_raw<'a>(stored: &'a [u8], mut each: impl FnMut(&'a [u8]) -> Result<()>) -> Result<()> {
    const OP: &str = "read raw chunk";
    let mut rest = stored;
    while !rest.is_empty() {
        let at = stored.len() - rest.len();
        let bad = |what: &str| Err(Error::new(Kind::BadFormat, OP, format!("{what} at byte {at} of {}", stored.len())));
        if rest.len() < RAW_HEADER_BYTES {
            return bad("a cut header");
        }
        let header = u32::from_le_bytes([rest[0], rest[1], rest[2], 0]);
        let (length, tail) = match header & 0b111 {
            0b000 => ((header >> 3 & 0xffff) + 1, header >> 19),
            0b010 if header >> 19 & 0xf != 0 => ((header >> 3 & 0xf_ffff) + 1, header >> 23),
            _ => return bad("not a raw meta-block of at most 1 MiB"),
        };
        if tail != 1 {
            return bad("not a raw meta-block, or its padding is not zero");
        }
        let Some(bytes) = rest.get(RAW_HEADER_BYTES..RAW_HEADER_BYTES + length as usize) else {
            return bad("a meta-block longer than the chunk");
        };
        each(bytes)?;
        rest = &rest[RAW_HEADER_BYTES + length as usize..];
    }
    Ok(())
}
