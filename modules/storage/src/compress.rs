//! Brotli (RFC 7932) to the stored form: byte-aligned meta-blocks without stream header or end, that refer to nothing
//! before their first byte, nor to the static dictionary.

use crate::output::Output;
use crate::raw::raw_len;
use brotli::enc::StandardAlloc;
use brotli::enc::encode::{
    BrotliEncoderDestroyInstance, BrotliEncoderOperation, BrotliEncoderParameter as Parameter, BrotliEncoderStateStruct,
};

/// The lowest quality this crate asks of the encoder: 0 and 1 ignore the flags below and would join wrongly.
pub const QUALITY_MIN: u32 = 2;
/// The highest quality this crate asks of the encoder: above it memory and time grow out of proportion.
pub const QUALITY_MAX: u32 = 9;

/// The window the encoder works with, 2^20 bytes: a chunk is no longer, and the ring buffer is a quarter of what the
/// stream's own window of 2^22 would take. Distances of a smaller window are valid in a larger one, and the window's
/// size is written nowhere but in the stream header, which chunks do not have.
const WINDOW_BITS: u32 = 20;

/// Appends the compressed form of `plain` and returns true, or appends nothing and returns false when that form would
/// not be shorter than the raw one. `quality` lies in [`QUALITY_MIN`]..=[`QUALITY_MAX`].
pub fn append_compressed(out: &mut impl Output, plain: &[u8], quality: u32) -> bool {
    assert!((QUALITY_MIN..=QUALITY_MAX).contains(&quality), "quality {quality} is checked by the caller");
    let limit = raw_len(plain.len()).saturating_sub(1);
    if limit == 0 {
        return false;
    }
    let base = out.length();
    out.grow(base + limit);
    let written = encode(plain, quality, &mut out.bytes_mut()[base..]);
    out.cut(base + written.unwrap_or(0));
    written.is_some()
}

/// Encodes into `out`; None when `out` is too short.
fn encode(plain: &[u8], quality: u32, out: &mut [u8]) -> Option<usize> {
    let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
    for (parameter, value) in [
        (Parameter::BROTLI_PARAM_QUALITY, quality),
        (Parameter::BROTLI_PARAM_LGWIN, WINDOW_BITS),
        (Parameter::BROTLI_PARAM_SIZE_HINT, plain.len() as u32),
        // No use of the distances or of the literal context that a chunk before may leave, no static dictionary.
        (Parameter::BROTLI_PARAM_CATABLE, 1),
        // No last meta-block.
        (Parameter::BROTLI_PARAM_APPENDABLE, 1),
        // End on a byte.
        (Parameter::BROTLI_PARAM_BYTE_ALIGN, 1),
        // No stream header.
        (Parameter::BROTLI_PARAM_BARE_STREAM, 1),
    ] {
        assert!(state.set_parameter(parameter, value), "the encoder knows its parameters");
    }
    let (mut input_left, mut input_at) = (plain.len(), 0);
    let (mut output_left, mut output_at) = (out.len(), 0);
    let complete = loop {
        let accepted = state.compress_stream(
            BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
            &mut input_left,
            plain,
            &mut input_at,
            &mut output_left,
            out,
            &mut output_at,
            &mut None,
            &mut |_, _, _, _| (),
        );
        if state.is_finished() {
            break accepted;
        }
        if !accepted || output_left == 0 {
            break false;
        }
    };
    BrotliEncoderDestroyInstance(&mut state);
    complete.then_some(output_at)
}
