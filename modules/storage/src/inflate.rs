//! Inflating the stored form, strictly: by a decoder that is not the encoder's, capped, to the last byte.

use crate::output::Output;
use crate::{Error, Kind, Result};
use brotli_decompressor::{
    BrotliDecoderTakeOutput, BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc,
};

/// The first bytes of a file's br stream: window 2^22 and an empty metadata block up to the byte boundary.
pub const STREAM_HEAD: [u8; 2] = [0x6b, 0x00];
/// The last byte of a file's br stream: an empty last meta-block.
pub const STREAM_TAIL: [u8; 1] = [0x03];

/// Hands the plain bytes of `stored` to `sink`, piece by piece, and refuses a form that does not end where it should.
/// An error of `sink` ends the work, so a sink that counts bounds the output. The decoder's memory is bounded by its
/// window of 4 MiB whatever `stored` says.
pub fn inflate_to(op: &'static str, stored: &[u8], mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut state =
        BrotliState::new_strict(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default());
    let corrupt = |what: &str| Error::new(Kind::ChunkCorrupt, op, format!("{} stored bytes: {what}", stored.len()));
    let parts: [&[u8]; 3] = [&STREAM_HEAD, stored, &STREAM_TAIL];
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
                sink(&piece[..taken])?;
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

/// Inflates `stored` and compares it with `plain`, byte for byte, without keeping it.
pub fn compare(op: &'static str, stored: &[u8], plain: &[u8]) -> Result<()> {
    let mut rest = plain;
    let differs = |at: usize| {
        Error::new(Kind::ModuleFailed, op, format!("what was encoded inflates to other bytes from byte {at} on"))
    };
    inflate_to(op, stored, |piece| {
        let at = plain.len() - rest.len();
        if rest.len() < piece.len() || rest[..piece.len()] != *piece {
            return Err(differs(at));
        }
        rest = &rest[piece.len()..];
        Ok(())
    })
    .map_err(|e| Error::new(Kind::ModuleFailed, op, e.message))?;
    if rest.is_empty() {
        Ok(())
    } else {
        Err(differs(plain.len() - rest.len()))
    }
}
