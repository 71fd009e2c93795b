//! The module through its guest messages: every event, every reply, and whatever bytes come.

mod common;

use common::{random, text};
use inos_abi::{Code, Envelope, Guest, join_guest, pb, prost::Message, split_guest};
use inos_storage::Storage;
use proptest::prelude::*;

struct Host(Guest<Storage>);

impl Host {
    fn new() -> Self {
        Host(Guest::default())
    }

    fn call(&mut self, action: &str, payload: &impl Message, bulk: &[u8]) -> Result<(Vec<u8>, Vec<u8>), pb::Error> {
        let request = Envelope {
            id: "0190f3c4-0000-7000-8000-000000000001".into(),
            event_type: format!("{action}:v1:requested"),
            timestamp: 1,
            payload: payload.encode_to_vec(),
            ..Envelope::default()
        };
        let mut envelope = Vec::new();
        request.encode(&mut envelope);
        let reply = self.0.handle(&join_guest(&envelope, bulk));
        let (envelope, bulk) = split_guest(reply).unwrap();
        let envelope = Envelope::decode(envelope).unwrap();
        assert_eq!(envelope.id, request.id);
        if envelope.event_type == format!("{action}:v1:failed") {
            assert!(bulk.is_empty(), "a failure has no bulk");
            return Err(pb::Error::decode(&envelope.payload[..]).unwrap());
        }
        assert_eq!(envelope.event_type, format!("{action}:v1:completed"));
        Ok((envelope.payload, bulk.to_vec()))
    }

    fn encode(&mut self, offset_bytes: u64, plain: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let request =
            pb::EncodeChunkRequest { offset_bytes, quality: 4, plain_hash: blake3::hash(plain).as_bytes().into() };
        let (payload, stored) = self.call("storage:encode_chunk", &request, plain).unwrap();
        (pb::EncodeChunkReply::decode(&payload[..]).unwrap().entry, stored)
    }
}

#[test]
fn a_file_goes_in_and_out() {
    let mut host = Host::new();
    let file = [random(1, 1 << 20), text((1 << 20) + 5)].concat();
    let mut entries = Vec::new();
    let mut chunks = Vec::new();
    for (i, plain) in file.chunks(1 << 20).enumerate() {
        let (entry, stored) = host.encode((i as u64) << 20, plain);
        entries.extend_from_slice(&entry);
        chunks.push((entry, stored));
    }
    let request = pb::BuildNodeRequest { level: 0, entries: entries.clone(), root: true };
    let (payload, node) = host.call("storage:build_node", &request, &[]).unwrap();
    let built = pb::BuildNodeReply::decode(&payload[..]).unwrap();
    assert_eq!(built.file_id, blake3::hash(&file).as_bytes());
    let request = pb::OpenNodeRequest { chunk_id: built.entry[..32].into() };
    let (payload, _) = host.call("storage:open_node", &request, &node).unwrap();
    let opened = pb::OpenNodeReply::decode(&payload[..]).unwrap();
    assert_eq!((opened.level, opened.root, &opened.entries, opened.file_id), (0, true, &entries, built.file_id));
    let mut back = Vec::new();
    for (entry, stored) in &chunks {
        let (_, plain) =
            host.call("storage:inflate_chunk", &pb::InflateChunkRequest { entry: entry.clone() }, stored).unwrap();
        back.extend_from_slice(&plain);
    }
    assert!(back == file);
    let leaf = 3;
    let (_, proof) = host.call("storage:prove_chunk", &pb::ProveChunkRequest { leaf }, &chunks[1].1).unwrap();
    let request = pb::VerifyProofRequest { chunk_id: chunks[1].0[..32].into(), leaf };
    let (payload, _) = host.call("storage:verify_proof", &request, &proof).unwrap();
    assert_eq!(pb::VerifyProofReply::decode(&payload[..]).unwrap().stored_bytes, chunks[1].1.len() as u64);
    let (first, _) = host.encode(0, &file[..1 << 20]);
    let request = pb::DescribeChunkRequest { offset_bytes: 5 << 20, entry: first };
    let (payload, bulk) = host.call("storage:describe_chunk", &request, &file[..1 << 20]).unwrap();
    assert!(bulk.is_empty());
    assert_eq!(pb::DescribeChunkReply::decode(&payload[..]).unwrap().entry, host.encode(5 << 20, &file[..1 << 20]).0);
}

#[test]
fn nothing_encodes_to_nothing() {
    let mut host = Host::new();
    let (payload, stored) = host.call("storage:encode_chunk", &pb::EncodeChunkRequest::default(), &[]).unwrap();
    assert!(stored.is_empty() && pb::EncodeChunkReply::decode(&payload[..]).unwrap().entry.is_empty());
    let request = pb::BuildNodeRequest { level: 0, entries: Vec::new(), root: true };
    let (payload, _) = host.call("storage:build_node", &request, &[]).unwrap();
    assert_eq!(pb::BuildNodeReply::decode(&payload[..]).unwrap().file_id, blake3::hash(b"").as_bytes());
}

#[test]
fn the_manifest_names_every_event() {
    let mut host = Host::new();
    let (payload, _) = host.call("module:manifest", &pb::ModuleManifest::default(), &[]).unwrap();
    let manifest = pb::ModuleManifest::decode(&payload[..]).unwrap();
    assert_eq!(manifest.name, "storage");
    assert!(manifest.memory_bytes_max <= 96 << 20);
    for service in &manifest.services {
        let action = service.strip_suffix(":v1:requested").unwrap();
        // An empty request and bulk are wrong for most, and known to all.
        if let Err(error) = host.call(action, &pb::InflateChunkReply {}, b"x") {
            assert_ne!(error.code, Code::UnknownEvent as u32, "{action}");
        }
    }
    let error = host.call("storage:destroy_chunk", &pb::InflateChunkReply {}, &[]).unwrap_err();
    assert_eq!(error.code, Code::UnknownEvent as u32);
}

#[test]
fn each_fault_has_its_code() {
    let mut host = Host::new();
    let plain = text(5000);
    let (entry, mut stored) = host.encode(0, &plain);
    let code = |r: Result<(Vec<u8>, Vec<u8>), pb::Error>| r.expect_err("a fault").code;
    let quality = |quality| pb::EncodeChunkRequest { quality, ..Default::default() };
    assert_eq!(code(host.call("storage:encode_chunk", &quality(1), &plain)), Code::BadRequest as u32);
    let hash = |bytes: Vec<u8>| pb::EncodeChunkRequest { quality: 2, plain_hash: bytes, ..Default::default() };
    assert_eq!(code(host.call("storage:encode_chunk", &hash(vec![1; 31]), &plain)), Code::BadRequest as u32);
    assert_eq!(code(host.call("storage:encode_chunk", &hash(vec![1; 32]), &plain)), Code::BodyMismatch as u32);
    stored[40] ^= 1;
    let request = pb::InflateChunkRequest { entry: entry.clone() };
    assert_eq!(code(host.call("storage:inflate_chunk", &request, &stored)), Code::ChunkCorrupt as u32);
    let request = pb::InflateChunkRequest { entry: entry[1..].into() };
    assert_eq!(code(host.call("storage:inflate_chunk", &request, &stored)), Code::BadFormat as u32);
    let request = pb::BuildNodeRequest { entries: entry, level: 0, root: true };
    assert_eq!(code(host.call("storage:build_node", &request, b"bulk")), Code::BadRequest as u32);
    let request = pb::OpenNodeRequest { chunk_id: vec![0; 32] };
    assert_eq!(code(host.call("storage:open_node", &request, &stored)), Code::ChunkCorrupt as u32);
    let request = pb::OpenNodeRequest { chunk_id: vec![] };
    assert_eq!(code(host.call("storage:open_node", &request, &stored)), Code::BadRequest as u32);
    // After all of this it still works, in the same buffers.
    assert_eq!(host.encode(0, &plain).0.len(), 128);
}

const ACTIONS: [&str; 8] = [
    "storage:encode_chunk",
    "storage:describe_chunk",
    "storage:inflate_chunk",
    "storage:admit_chunk",
    "storage:build_node",
    "storage:open_node",
    "storage:prove_chunk",
    "storage:verify_proof",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Any bytes get an answer, never a panic.
    #[test]
    fn any_message_is_answered(message in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut guest = Guest::<Storage>::default();
        let (envelope, _) = split_guest(guest.handle(&message)).unwrap();
        prop_assert!(Envelope::decode(envelope).unwrap().event_type.ends_with(":failed"));
    }

    /// Any payload and bulk get an answer from every event.
    #[test]
    fn any_payload_is_answered(
        action in prop::sample::select(&ACTIONS[..]),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        bulk in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let request = Envelope { id: "x".into(), event_type: format!("{action}:v1:requested"), timestamp: 1, payload, ..Envelope::default() };
        let mut envelope = Vec::new();
        request.encode(&mut envelope);
        let mut guest = Guest::<Storage>::default();
        let (envelope, _) = split_guest(guest.handle(&join_guest(&envelope, &bulk))).unwrap();
        prop_assert!(Envelope::decode(envelope).is_ok());
    }
}
