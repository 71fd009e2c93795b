//! What every INOS module speaks: the event envelope, its payloads, guest messages, the error catalogue, and the guest ABI.
//!
//! A module is a type that implements [`Module`], in a `cdylib` crate, and one line:
//!
//! ```
//! use inos_abi::{Code, Envelope, Failure, Module, Reply, export_module, pb};
//!
//! #[derive(Default)]
//! struct Upper;
//!
//! impl Module for Upper {
//!     fn manifest(&self) -> pb::ModuleManifest {
//!         pb::ModuleManifest {
//!             name: "upper".into(),
//!             version: "1.0.0".into(),
//!             services: vec!["upper:run:v1:requested".into()],
//!             memory_bytes_max: 16 << 20,
//!             deadline_us: 1_000_000,
//!         }
//!     }
//!
//!     fn handle(&mut self, request: &Envelope, bulk: &[u8], reply: &mut Reply) -> Result<(), Failure> {
//!         if bulk.is_empty() {
//!             return Err(Failure::new(Code::BadRequest, &request.event_type, "there is no text"));
//!         }
//!         let mut out = reply.bulk();
//!         out.extend_from_slice(bulk);
//!         out.as_mut_slice().make_ascii_uppercase();
//!         reply.complete(&pb::InflateChunkReply {});
//!         Ok(())
//!     }
//! }
//!
//! export_module!(Upper);
//! ```
//!
//! Formats are described byte for byte in docs/format.md; `event/` is the Go twin, and both read `event/vectors/`.
//! The crate leaves out clocks, randomness and files: a module has none.

mod codes;
mod envelope;
mod event_type;
mod export;
mod failure;
mod guest;
mod message;
mod reply;
mod wire;

/// Payload messages, generated from event/proto.
#[allow(clippy::all, missing_docs)]
pub mod pb {
    include!("pb/inos.v1.rs");
}

pub use codes::Code;
pub use envelope::{ENVELOPE_HEAD_BYTES_MAX, Envelope, Metadata, PAYLOAD_BYTES_MAX};
pub use event_type::{EVENT_TYPE_BYTES_MAX, EventType, State};
#[doc(hidden)]
pub use export::Exported;
pub use failure::{ERROR_TEXT_BYTES_MAX, Failure};
pub use guest::{ABI_VERSION, CALL_FAILED, Guest, INPUTS_MAX, Inputs, Module};
pub use message::{GUEST_BYTES_MAX, STORED_BYTES_MAX, join_guest, split_guest};
pub use prost;
pub use reply::{Bulk, Reply};
