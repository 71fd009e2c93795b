//! Writes joined streams for other decoders: `joins DIR SEED COUNT BATCH` makes COUNT chunks and writes DIR/<n>.br and
//! DIR/<n>.plain for every BATCH of them. Chunks up to 64 KiB are walked too. tools/joins/run is the caller.

#[path = "../tests/common/mod.rs"]
mod common;

use common::chunks::Chunks;
use std::path::PathBuf;

/// Chunks up to this size are walked: the walker is slow.
const WALK_BYTES_MAX: usize = 65_540;

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, dir, seed, count, batch] = args.as_slice() else {
        eprintln!("usage: joins DIR SEED COUNT BATCH");
        std::process::exit(2);
    };
    let number = |s: &String| s.parse::<usize>().expect("a number");
    let (dir, seed, count, batch) = (PathBuf::from(dir), number(seed), number(count), number(batch));
    let mut chunks = Chunks::new(seed as u64);
    let (mut plain_bytes, mut stored_bytes) = (0, 0);
    for n in 0..count.div_ceil(batch) {
        let (mut stream, mut plain) = (vec![0x6b, 0x00], Vec::new());
        for chunk in chunks.by_ref().take(batch.min(count - n * batch)) {
            if chunk.plain.len() <= WALK_BYTES_MAX {
                match inos_storage::walk::walk(&chunk.stored, chunk.plain.len()) {
                    Ok(seen) if seen.plain == chunk.plain => {}
                    Ok(_) => panic!("seed {seed}, batch {n}: the walker reads other bytes"),
                    Err(e) => panic!("seed {seed}, batch {n}: {e}"),
                }
            }
            stream.extend_from_slice(&chunk.stored);
            plain.extend_from_slice(&chunk.plain);
        }
        stream.push(0x03);
        plain_bytes += plain.len();
        stored_bytes += stream.len();
        std::fs::write(dir.join(format!("{n}.br")), stream)?;
        std::fs::write(dir.join(format!("{n}.plain")), plain)?;
    }
    println!("{count} chunks, {plain_bytes} plain and {stored_bytes} stored bytes");
    Ok(())
}
