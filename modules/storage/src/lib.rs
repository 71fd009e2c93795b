//! The storage rules of INOS: how bytes become chunks, chunks become files, and how either is checked.
//!
//! - A **chunk** is at most 1 MiB of plain bytes. Its **stored form** is a run of byte-aligned Brotli meta-blocks
//!   (RFC 7932) that refer to nothing outside the chunk, without stream header or end. So `6b 00`, any chunks in any
//!   order, `03` is one valid br stream ([`compress`], [`raw`], [`inflate`]).
//! - Its **id** is the BLAKE3 of the stored form; its **plain hash** the BLAKE3 of the plain bytes; its **chaining
//!   value** the BLAKE3 subtree at its offset, from which the **FileID**, the BLAKE3 of the whole file, is computed
//!   without reading the file again ([`hash`](mod@hash)).
//! - An **entry** says all of this in 128 bytes ([`entry`]); a **manifest** is a tree of nodes of up to 1,024 entries,
//!   stored as chunks themselves ([`node`]).
//! - A chunk from somebody else is **admitted** when it decodes to the same bytes behind whatever stands before it ([`walk`]).
//! - A **proof** shows one KiB of a stored chunk against the chunk id alone ([`proof`]).
//!
//! All but [`Storage`], the binding, knows nothing of events. The crate leaves out encryption (reserved fields of the
//! entry), placement and everything that touches a disk.

pub mod chunk;
pub mod compress;
pub mod entry;
mod error;
mod guest;
pub mod hash;
pub mod inflate;
pub mod node;
mod output;
mod probe;
pub mod proof;
pub mod raw;
pub mod walk;

pub use error::{Error, Kind, Result};
pub use guest::Storage;
pub use output::Output;
pub use probe::is_compressible;

/// Plain bytes of a chunk, at most: 1 MiB.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
