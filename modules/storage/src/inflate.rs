//! Inflating the stored form, strictly: by a decoder that is not the encoder's, capped, to the last byte.

use crate::output::Output;
use crate::{Error, Kind, Result};
use brotli_decompressor::{BrotliDecoderTakeOutput, BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

/// The first bytes of a file's br stream: window 2^22 and an empty metadata block up to the byte boundary.
pub const STREAM_HEAD: [u8; 2] = [0x6b, 0x00];
/// The last byte of a file's br stream: an empty last meta-block.
pub const STREAM_TAIL: [u8; 1] = [0x03];

/// A chunk that stands before every chunk that is inflated here: one compressed meta-block of words, whose plain bytes are
/// no other's and which leaves 32, 31, 91 and 39 as the last four distances. Behind it a chunk that reaches before its
/// first byte, takes over a distance or names the static dictionary inflates to other bytes than alone, and is refused: such a
/// chunk would corrupt the joined stream of a file. That the encoder writes none is shown by the tests' walker; that
/// none is let in, from whatever encoder, is seen here each time.
const FOREIGN: [u8; 83] = [
    0x08, 0x00, 0x08, 0x62, 0x65, 0x08, 0x04, 0x00, 0x00, 0xd4, 0x6d, 0xa9, 0x8e, 0x7e, 0xa4, 0x6b, 0x6a, 0x8b, 0xe2,
    0xe5, 0x16, 0x0f, 0x62, 0xb1, 0x2c, 0xe4, 0xa8, 0x4e, 0x4e, 0xf0, 0x40, 0x7a, 0x90, 0x5f, 0x5a, 0x58, 0x16, 0x58,
    0x00, 0x10, 0x07, 0x1e, 0xc3, 0x1c, 0x8e, 0x47, 0x19, 0x3b, 0xf3, 0x38, 0x22, 0x31, 0x74, 0x8f, 0xb5, 0xc7, 0x8d,
    0x1b, 0x8e, 0x99, 0xa7, 0x51, 0x78, 0x99, 0x36, 0x36, 0x3a, 0xe8, 0xde, 0x56, 0x85, 0x74, 0x1f, 0x0d, 0xe9, 0x1b,
    0x7e, 0x45, 0x51, 0x2c, 0xe2, 0xa7, 0x0c,
];
/// Plain bytes of [`FOREIGN`].
const FOREIGN_PLAIN_BYTES: usize = 132;

/// Hands the plain bytes of `stored` to `sink`, piece by piece, and refuses a form that does not end where it should.
/// An error of `sink` ends the work, so a sink that counts bounds the output. The decoder's memory is bounded by its
/// window of 4 MiB whatever `stored` says.
pub fn inflate_to(op: &'static str, stored: &[u8], mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut state =
        BrotliState::new_strict(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default());
    let corrupt = |what: &str| Error::new(Kind::ChunkCorrupt, op, format!("{} stored bytes: {what}", stored.len()));
    let parts: [&[u8]; 4] = [&STREAM_HEAD, &FOREIGN, stored, &STREAM_TAIL];
    let mut skip = FOREIGN_PLAIN_BYTES;
    for (i, part) in parts.into_iter().enumerate() {
        let (mut input_left, mut input_at) = (part.len(), 0);
        loop {
            let result = BrotliDecompressStream(
                &mut input_left,
                &mut input_at,
                part,
                &mut 0,
                &mut 0,
                &mut [],
                &mut 0,
                &mut state,
            );
            loop {
                let mut taken = 0; // as much as there is
                let piece = BrotliDecoderTakeOutput(&mut state, &mut taken);
                if taken == 0 {
                    break;
                }
                let skipped = skip.min(taken);
                skip -= skipped;
                sink(&piece[skipped..taken])?;
            }
            match result {
                BrotliResult::NeedsMoreOutput => continue,
                BrotliResult::NeedsMoreInput if i + 1 < parts.len() && input_left == 0 => break,
                BrotliResult::ResultSuccess if i + 1 == parts.len() && input_left == 0 => return Ok(()),
                BrotliResult::ResultSuccess => return Err(corrupt("the stream ends inside the chunk")),
                BrotliResult::NeedsMoreInput => return Err(corrupt("the chunk ends inside a meta-block")),
                BrotliResult::ResultFailure => return Err(corrupt("not Brotli")),
            }
        }
    }
    Err(corrupt("the chunk ends inside a meta-block"))
}

/// Appends the plain bytes of `stored`, which have to be exactly `plain_bytes`; on an error `out` is as before.
pub fn inflate_exact(op: &'static str, stored: &[u8], plain_bytes: usize, out: &mut impl Output) -> Result<()> {
    let base = out.length();
    out.reserve(plain_bytes);
    let result = inflate_capped(op, stored, plain_bytes, out).and_then(|()| {
        let got = out.length() - base;
        if got == plain_bytes {
            return Ok(());
        }
        Err(Error::new(Kind::ChunkCorrupt, op, format!("{got} plain bytes, the entry says {plain_bytes}")))
    });
    if result.is_err() {
        out.cut(base);
    }
    result
}

/// Appends the plain bytes of `stored`, at most `cap` of them.
pub fn inflate_capped(op: &'static str, stored: &[u8], cap: usize, out: &mut impl Output) -> Result<()> {
    let base = out.length();
    inflate_to(op, stored, |piece| {
        if out.length() - base + piece.len() > cap {
            return Err(Error::new(Kind::ChunkCorrupt, op, format!("more than {cap} plain bytes")));
        }
        out.append(piece);
        Ok(())
    })
}

/// Whether two slices are equal, 32 bytes at a time: WASM has no fast memcmp of its own.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (mut left, mut right) = (a.chunks_exact(32), b.chunks_exact(32));
    for (x, y) in (&mut left).zip(&mut right) {
        let mut differs = 0;
        for (x, y) in x.chunks_exact(8).zip(y.chunks_exact(8)) {
            let word = |w: &[u8]| u64::from_le_bytes(w.try_into().expect("eight bytes"));
            differs |= word(x) ^ word(y);
        }
        if differs != 0 {
            return false;
        }
    }
    left.remainder() == right.remainder()
}

/// Inflates `stored` and compares it with `plain`, byte for byte, without keeping it.
pub fn compare(op: &'static str, stored: &[u8], plain: &[u8]) -> Result<()> {
    let mut rest = plain;
    let differs = |at: usize| {
        Error::new(Kind::ModuleFailed, op, format!("what was encoded inflates to other bytes from byte {at} on"))
    };
    inflate_to(op, stored, |piece| {
        let at = plain.len() - rest.len();
        if rest.len() < piece.len() || !equal(&rest[..piece.len()], piece) {
            return Err(differs(at));
        }
        rest = &rest[piece.len()..];
        Ok(())
    })
    .map_err(|e| Error::new(Kind::ModuleFailed, op, e.message))?;
    if rest.is_empty() { Ok(()) } else { Err(differs(plain.len() - rest.len())) }
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn every_byte_is_compared() {
        for length in [0usize, 1, 31, 32, 33, 64, 100] {
            let a: Vec<u8> = (0..length as u8).collect();
            assert!(equal(&a, &a.clone()));
            assert!(!equal(&a, &[&a[..], &[0]].concat()));
            for at in 0..length {
                let mut b = a.clone();
                b[at] ^= 0x80;
                assert!(!equal(&a, &b), "byte {at} of {length}");
            }
        }
    }
}
