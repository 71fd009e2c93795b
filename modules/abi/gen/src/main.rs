//! Writes the payload messages of event/proto as Rust, into the folder given. The envelope is left out: it keeps unknown
//! fields, which prost drops, and has a codec of its own (inos-abi, envelope.rs).

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let (Some(protos), Some(out)) = (args.next(), args.next()) else {
        eprintln!("usage: inos-abi-gen PROTO_FOLDER OUT_FOLDER");
        std::process::exit(2);
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&protos)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|f| {
        f.extension().is_some_and(|e| e == "proto")
            && f.file_name().is_some_and(|n| n != "envelope.proto")
    });
    files.sort();
    let mut config = prost_build::Config::new();
    config.out_dir(out);
    config.compile_protos(&files, &[protos])
}
