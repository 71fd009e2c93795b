//! The binding: storage events in, replies out. One function per event; the rules are elsewhere.

use crate::chunk::{admit_chunk, describe_chunk, encode_chunk, inflate_chunk};
use crate::entry::Entry;
use crate::hash::Hash;
use crate::node::{build_node, open_node};
use crate::output::Output;
use crate::proof;
use crate::{Error, Kind};
use inos_abi::{Bulk, Code, Envelope, Failure, Module, Reply, export_module, pb};

/// Memory of an instance, at most, in bytes. Brotli at quality 9 asks for 32 MiB in one piece, and the allocator grows by a whole piece when the
/// free one is a little short: it settles at about 70 MiB.
const MEMORY_BYTES_MAX: u64 = 96 << 20;
/// The longest a call may take, in microseconds: quality 9 takes 0.25 s for a chunk; a loaded machine is slower.
const DEADLINE_US: u64 = 20_000_000;

type Result<T> = std::result::Result<T, Failure>;

/// Storage is the module: it answers the events of event/proto/storage.proto.
#[derive(Default)]
pub struct Storage;

export_module!(Storage);

impl Module for Storage {
    fn manifest(&self) -> pb::ModuleManifest {
        let actions = [
            "encode_chunk",
            "describe_chunk",
            "inflate_chunk",
            "admit_chunk",
            "build_node",
            "open_node",
            "prove_chunk",
            "verify_proof",
        ];
        pb::ModuleManifest {
            name: "storage".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            services: actions.iter().map(|action| format!("storage:{action}:v1:requested")).collect(),
            memory_bytes_max: MEMORY_BYTES_MAX,
            deadline_us: DEADLINE_US,
        }
    }

    fn handle(&mut self, request: &Envelope, bulk: &[u8], reply: &mut Reply) -> Result<()> {
        match request.event_type.as_str() {
            "storage:encode_chunk:v1:requested" => encode(&request.open()?, bulk, reply),
            "storage:describe_chunk:v1:requested" => describe(&request.open()?, bulk, reply),
            "storage:inflate_chunk:v1:requested" => inflate(&request.open()?, bulk, reply),
            "storage:admit_chunk:v1:requested" => admit(&request.open()?, bulk, reply),
            "storage:build_node:v1:requested" => build(&request.open()?, bulk, reply),
            "storage:open_node:v1:requested" => open(&request.open()?, bulk, reply),
            "storage:prove_chunk:v1:requested" => prove(&request.open()?, bulk, reply),
            "storage:verify_proof:v1:requested" => verify(&request.open()?, bulk, reply),
            other => Err(Failure::new(Code::UnknownEvent, other, "the storage module does not answer it")),
        }
    }
}

fn encode(request: &pb::EncodeChunkRequest, bulk: &[u8], reply: &mut Reply) -> Result<()> {
    if bulk.is_empty() {
        reply.complete(&pb::EncodeChunkReply { entry: Vec::new() });
        return Ok(());
    }
    let expected = match request.plain_hash.as_slice() {
        [] => None,
        bytes => Some(hash_of("encode chunk", "plain hash", bytes)?),
    };
    let entry = encode_chunk(bulk, request.offset_bytes, request.quality, expected, &mut reply.bulk())?;
    reply.complete(&pb::EncodeChunkReply { entry: entry.encode().into() });
    Ok(())
}

fn describe(request: &pb::DescribeChunkRequest, bulk: &[u8], reply: &mut Reply) -> Result<()> {
    let stored = Entry::decode("describe chunk", &request.entry)?;
    let entry = describe_chunk(bulk, request.offset_bytes, &stored)?;
    reply.complete(&pb::DescribeChunkReply { entry: entry.encode().into() });
    Ok(())
}

fn inflate(request: &pb::InflateChunkRequest, bulk: &[u8], reply: &mut Reply) -> Result<()> {
    let entry = Entry::decode("inflate chunk", &request.entry)?;
    inflate_chunk(bulk, &entry, &mut reply.bulk())?;
    reply.complete(&pb::InflateChunkReply {});
    Ok(())
}

fn admit(request: &pb::AdmitChunkRequest, bulk: &[u8], reply: &mut Reply) -> Result<()> {
    let id = hash_of("admit chunk", "chunk id", &request.chunk_id)?;
    let entry = admit_chunk(bulk, id, request.plain_bytes as usize, request.offset_bytes, request.quality)?;
    reply.complete(&pb::AdmitChunkReply { entry: entry.encode().into() });
    Ok(())
}

fn build(request: &pb::BuildNodeRequest, bulk: &[u8], reply: &mut Reply) -> Result<()> {
    no_bulk("build manifest node", bulk)?;
    let (entry, file_id) = build_node(request.level, &request.entries, request.root, &mut reply.bulk())?;
    reply.complete(&pb::BuildNodeReply {
        entry: entry.encode().into(),
        file_id: file_id.map(Into::into).unwrap_or_default(),
    });
    Ok(())
}

fn open(request: &pb::OpenNodeRequest, bulk: &[u8], reply: &mut Reply) -> Result<()> {
    let node = open_node(bulk, hash_of("open manifest node", "chunk id", &request.chunk_id)?)?;
    reply.complete(&pb::OpenNodeReply {
        level: node.level,
        entries: node.entries.iter().flat_map(Entry::encode).collect(),
        root: node.root,
        file_id: node.file_id().map(Into::into).unwrap_or_default(),
    });
    Ok(())
}

fn prove(request: &pb::ProveChunkRequest, bulk: &[u8], reply: &mut Reply) -> Result<()> {
    proof::prove(bulk, request.leaf, &mut reply.bulk())?;
    reply.complete(&pb::ProveChunkReply {});
    Ok(())
}

fn verify(request: &pb::VerifyProofRequest, bulk: &[u8], reply: &mut Reply) -> Result<()> {
    let stored_bytes = proof::verify(bulk, hash_of("verify proof", "chunk id", &request.chunk_id)?, request.leaf)?;
    reply.complete(&pb::VerifyProofReply { stored_bytes });
    Ok(())
}

fn hash_of<'a>(op: &'static str, what: &str, bytes: &'a [u8]) -> Result<&'a Hash> {
    bytes
        .try_into()
        .map_err(|_| Failure::new(Code::BadRequest, op, format!("{what} of {} bytes, it has 32", bytes.len())))
}

fn no_bulk(op: &'static str, bulk: &[u8]) -> Result<()> {
    if bulk.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Code::BadRequest, op, format!("{} bytes of bulk, it takes none", bulk.len())))
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        let code = match e.kind {
            Kind::BadRequest => Code::BadRequest,
            Kind::BadFormat => Code::BadFormat,
            Kind::ChunkCorrupt => Code::ChunkCorrupt,
            Kind::BodyMismatch => Code::BodyMismatch,
            Kind::ModuleFailed => Code::ModuleFailed,
        };
        Failure::new(code, e.op, e.message)
    }
}

impl Output for Bulk<'_> {
    fn bytes(&self) -> &[u8] {
        self.as_slice()
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
    fn reserve(&mut self, additional: usize) {
        Bulk::reserve(self, additional);
    }
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
    fn grow(&mut self, length: usize) {
        self.resize(length, 0);
    }
    fn cut(&mut self, length: usize) {
        self.truncate(length);
    }
}
