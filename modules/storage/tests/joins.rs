//! Any chunks in any order are one br stream. The Rust decoder says so here; `tools/joins/run` asks the C decoder, Node's
//! zlib and a Go decoder too.

mod common;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use common::chunks::Chunks;
use inos_storage::walk::walk;

/// Inflates a stream that is given `step` bytes at a time.
fn inflate(stream: &[u8], step: usize) -> Vec<u8> {
    let mut state =
        BrotliState::new_strict(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default());
    let mut out = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    for (i, part) in stream.chunks(step).enumerate() {
        let (mut left, mut at) = (part.len(), 0);
        loop {
            let (mut room, mut end) = (buffer.len(), 0);
            let result =
                BrotliDecompressStream(&mut left, &mut at, part, &mut room, &mut end, &mut buffer, &mut 0, &mut state);
            out.extend_from_slice(&buffer[..end]);
            match result {
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::NeedsMoreInput => break,
                BrotliResult::ResultSuccess => {
                    assert_eq!(i * step + part.len() - left, stream.len(), "the stream ends before its end");
                    return out;
                }
                BrotliResult::ResultFailure => panic!("not a br stream at part {i}"),
            }
        }
    }
    panic!("the stream does not end");
}

#[test]
fn joins() {
    let count: usize = std::env::var("COUNT").map(|c| c.parse().expect("COUNT is a number")).unwrap_or(300);
    let seed: u64 = std::env::var("SEED").map(|s| s.parse().expect("SEED is a number")).unwrap_or(1);
    let mut chunks = Chunks::new(seed);
    for batch in 0..count.div_ceil(100) {
        let (mut stream, mut plain) = (vec![0x6b, 0x00], Vec::new());
        for chunk in chunks.by_ref().take(100.min(count - 100 * batch)) {
            let seen =
                walk(&chunk.stored, chunk.plain.len()).unwrap_or_else(|e| panic!("SEED={seed}, batch {batch}: {e}"));
            assert!(seen.plain == chunk.plain, "SEED={seed}, batch {batch}: the walker reads other bytes");
            stream.extend_from_slice(&chunk.stored);
            plain.extend_from_slice(&chunk.plain);
        }
        stream.push(0x03);
        for step in [1, 1 << 16, usize::MAX] {
            assert!(inflate(&stream, step) == plain, "SEED={seed}, batch {batch}, {step} bytes at a time");
        }
    }
}
