//! Drives a module through the ABI without WASM.

use inos_abi::prost::Message;
use inos_abi::{
    CALL_FAILED, Code, Envelope, Failure, GUEST_BYTES_MAX, Guest, INPUTS_MAX, Inputs, Metadata,
    Module, PAYLOAD_BYTES_MAX, Reply, STORED_BYTES_MAX, export_module, join_guest, pb, split_guest,
};
use proptest::prelude::*;

/// Does what the text of the request's event type says.
#[derive(Default)]
struct Sample;

impl Module for Sample {
    fn manifest(&self) -> pb::ModuleManifest {
        let actions = [
            "echo",
            "fail",
            "fail_after_bulk",
            "silent",
            "huge_bulk",
            "huge_payload",
            "long_payload",
        ];
        pb::ModuleManifest {
            name: "sample".into(),
            services: actions.map(|a| format!("sample:{a}:v1:requested")).to_vec(),
            ..Default::default()
        }
    }

    fn handle(
        &mut self,
        request: &Envelope,
        bulk: &[u8],
        reply: &mut Reply,
    ) -> Result<(), Failure> {
        match request.event_type.as_str() {
            "sample:echo:v1:requested" => {
                let m: pb::ProveChunkRequest = request.open()?;
                assert!(reply.bulk().is_empty(), "the last call's bulk is gone");
                reply.bulk().extend_from_slice(bulk);
                reply.complete(&m);
            }
            "sample:fail_after_bulk:v1:requested" => {
                reply.bulk().extend_from_slice(bulk);
                reply.complete(&pb::ProveChunkReply {});
                return Err(Failure::new(
                    Code::ChunkCorrupt,
                    "sample:fail_after_bulk",
                    "it is bad",
                ));
            }
            "sample:fail:v1:requested" => {
                let mut failure = Failure::new(Code::Busy, "sample:fail", "not now".repeat(10_000));
                failure.retry_after_us = 7;
                return Err(failure);
            }
            "sample:silent:v1:requested" => {}
            "sample:huge_bulk:v1:requested" => {
                reply.bulk().resize(STORED_BYTES_MAX + 1, 0);
                reply.complete(&pb::ProveChunkReply {});
            }
            "sample:huge_payload:v1:requested" => {
                reply.complete(&pb::OpenNodeReply {
                    entries: vec![1; PAYLOAD_BYTES_MAX],
                    ..Default::default()
                });
            }
            // Longer than the room in front of the bulk: the bulk has to move.
            "sample:long_payload:v1:requested" => {
                reply.bulk().extend_from_slice(bulk);
                reply.complete(&pb::OpenNodeReply {
                    entries: vec![1; 128 << 10],
                    ..Default::default()
                });
            }
            other => unreachable!("{other} is not in the manifest"),
        }
        Ok(())
    }
}

export_module!(Sample);

fn request(event_type: &str, payload: Vec<u8>) -> Envelope {
    Envelope {
        id: "019aaf6e-7c00-7abc-8def-0123456789ab".into(),
        event_type: event_type.into(),
        timestamp: 7,
        metadata: Some(Metadata {
            user_id: "ada".into(),
            trace_context: [("traceparent".to_owned(), "00-1-2-3".to_owned())].into(),
            security_token: "secret".into(),
            ..Default::default()
        }),
        payload,
        unknown_fields: vec![0x30, 1],
    }
}

fn call(guest: &mut Guest<Sample>, request: &Envelope, bulk: &[u8]) -> (Envelope, Vec<u8>) {
    let mut envelope = Vec::new();
    request.encode(&mut envelope);
    let reply = guest.handle(&join_guest(&envelope, bulk)).to_vec();
    let (envelope, bulk) = split_guest(&reply).unwrap();
    (Envelope::decode(envelope).unwrap(), bulk.to_vec())
}

fn error(envelope: &Envelope) -> pb::Error {
    assert!(
        envelope.event_type.ends_with(":failed"),
        "{}",
        envelope.event_type
    );
    envelope.open().unwrap()
}

#[test]
fn a_reply_carries_id_type_trace_and_bulk_but_no_token() {
    let mut guest = Guest::default();
    let payload = pb::ProveChunkRequest { leaf: 9 }.encode_to_vec();
    for bulk in [&b""[..], b"bulk", &[7; 1 << 20]] {
        let request = request("sample:echo:v1:requested", payload.clone());
        let (reply, out) = call(&mut guest, &request, bulk);
        assert!(out == bulk);
        assert_eq!(reply.event_type, "sample:echo:v1:completed");
        assert_eq!(
            (&reply.id, reply.timestamp, &reply.payload),
            (&request.id, 7, &payload)
        );
        let (got, sent) = (reply.metadata.unwrap(), request.metadata.unwrap());
        assert_eq!(
            (got.user_id, got.trace_context),
            (sent.user_id, sent.trace_context)
        );
        assert_eq!(got.security_token, "");
    }
}

#[test]
fn a_long_envelope_moves_the_bulk() {
    let (reply, bulk) = call(
        &mut Guest::default(),
        &request("sample:long_payload:v1:requested", vec![]),
        b"bulk",
    );
    assert_eq!(
        reply.open::<pb::OpenNodeReply>().unwrap().entries.len(),
        128 << 10
    );
    assert_eq!(bulk, b"bulk");
}

#[test]
fn every_call_is_answered() {
    let mut guest = Guest::default();
    for (event_type, code) in [
        ("sample:fail:v1:requested", Code::Busy),
        ("sample:fail_after_bulk:v1:requested", Code::ChunkCorrupt),
        ("sample:silent:v1:requested", Code::ModuleFailed),
        ("sample:huge_bulk:v1:requested", Code::ModuleFailed),
        ("sample:huge_payload:v1:requested", Code::EnvelopeTooLarge),
        ("sample:unknown:v1:requested", Code::UnknownEvent),
        ("sample:echo:v2:requested", Code::UnknownEvent),
        ("sample:echo:v1:completed", Code::BadRequest),
    ] {
        let (reply, bulk) = call(&mut guest, &request(event_type, vec![]), b"bulk");
        let error = error(&reply);
        assert_eq!(
            (error.code, error.name.as_str()),
            (code as u32, code.name()),
            "{event_type}"
        );
        assert_eq!(error.hint, code.hint());
        assert!(
            error.message.len() <= 4096 && bulk.is_empty(),
            "{event_type}"
        );
    }
    // A request that is answered after all those that failed: nothing was left behind.
    let (reply, bulk) = call(
        &mut guest,
        &request("sample:echo:v1:requested", vec![]),
        b"bulk",
    );
    assert_eq!(
        (reply.event_type.as_str(), bulk.as_slice()),
        ("sample:echo:v1:completed", &b"bulk"[..])
    );
}

#[test]
fn a_payload_that_does_not_decode_fails_with_the_event_type() {
    let (reply, _) = call(
        &mut Guest::default(),
        &request("sample:echo:v1:requested", vec![0xff]),
        b"",
    );
    let error = error(&reply);
    assert_eq!(
        (error.code, error.operation.as_str()),
        (Code::BadEnvelope as u32, "sample:echo:v1:requested")
    );
}

#[test]
fn the_manifest_is_answered_for_the_module() {
    let (reply, _) = call(
        &mut Guest::default(),
        &request("module:manifest:v1:requested", vec![]),
        b"",
    );
    assert_eq!(reply.event_type, "module:manifest:v1:completed");
    assert_eq!(
        reply.open::<pb::ModuleManifest>().unwrap(),
        Sample.manifest()
    );
}

#[test]
fn what_is_no_request_is_answered_without_an_id() {
    let mut guest = Guest::<Sample>::default();
    for message in [
        vec![],
        vec![1, 2],
        vec![9, 0, 0, 0, 1],
        join_guest(&[0xff], b""),
        join_guest(b"", b"bulk"),
        vec![0; GUEST_BYTES_MAX + 1],
    ] {
        let reply = guest.handle(&message);
        let (envelope, bulk) = split_guest(reply).unwrap();
        let envelope = Envelope::decode(envelope).unwrap();
        assert_eq!(
            (envelope.event_type.as_str(), envelope.id.as_str()),
            (CALL_FAILED, "")
        );
        assert!(error(&envelope).code != 0 && bulk.is_empty());
    }
}

#[test]
fn inputs_are_bounded_and_reused() {
    let mut inputs = Inputs::default();
    assert_eq!(inputs.alloc(0), 0);
    assert_eq!(inputs.alloc(GUEST_BYTES_MAX + 1), 0);
    let addresses: Vec<usize> = (0..INPUTS_MAX).map(|_| inputs.alloc(8)).collect();
    assert!(addresses.iter().all(|&a| a != 0));
    assert_eq!(inputs.alloc(8), 0, "one more than the bound");
    assert_eq!(inputs.read(addresses[1], 3), [0; 3]);
    inputs.free(addresses[1], 8);
    assert_ne!(inputs.alloc(GUEST_BYTES_MAX), 0);
}

#[test]
fn wrong_addresses_panic() {
    fn panics(f: impl FnOnce(&mut Inputs, usize) + std::panic::UnwindSafe) -> bool {
        std::panic::catch_unwind(|| {
            let mut inputs = Inputs::default();
            let address = inputs.alloc(8);
            f(&mut inputs, address);
        })
        .is_err()
    }
    assert!(panics(|inputs, a| inputs.free(a + 1, 8)));
    assert!(panics(|inputs, a| inputs.free(a, 7)));
    assert!(panics(|inputs, a| {
        inputs.free(a, 8);
        inputs.free(a, 8);
    }));
    assert!(panics(|inputs, a| {
        inputs.read(a, 9);
    }));
    assert!(!panics(|inputs, a| inputs.free(a, 8)));
}

proptest! {
    /// Arbitrary bytes are answered: no panic, and the answer is a guest message with an envelope that failed or completed.
    #[test]
    fn arbitrary_messages_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut guest = Guest::<Sample>::default();
        let reply = guest.handle(&bytes);
        Envelope::decode(split_guest(reply).unwrap().0).unwrap();
    }

    /// A request with some bytes changed, cut or added is decoded to something canonical, or refused.
    #[test]
    fn mutated_envelopes_are_canonical_or_refused(changes in proptest::collection::vec((any::<usize>(), any::<u8>(), 0..3u8), 1..6)) {
        let mut bytes = Vec::new();
        request("sample:echo:v1:requested", vec![1, 2, 3]).encode(&mut bytes);
        for (at, byte, kind) in changes {
            let at = at % (bytes.len() + 1);
            match kind {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => { bytes.remove(at); }
                _ => bytes.insert(at, byte),
            }
        }
        if let Ok(envelope) = Envelope::decode(&bytes) {
            let mut once = Vec::new();
            envelope.encode(&mut once);
            prop_assert_eq!(once.len(), envelope.encoded_len());
            let again = Envelope::decode(&once).unwrap();
            prop_assert_eq!(again, envelope);
        }
    }

    /// What is made is what is read.
    #[test]
    fn envelopes_round_trip(
        id in ".{0,40}", timestamp in 0..i64::MAX, payload in proptest::collection::vec(any::<u8>(), 0..100),
        user in ".{0,40}", token in ".{0,40}", context in proptest::collection::btree_map(".{0,20}", ".{0,20}", 0..8),
    ) {
        let envelope = Envelope {
            id, timestamp, payload,
            metadata: Some(Metadata { user_id: user, trace_context: context, security_token: token, ..Default::default() }),
            ..request("sample:echo:v1:requested", vec![])
        };
        let mut bytes = Vec::new();
        envelope.encode(&mut bytes);
        prop_assert_eq!(Envelope::decode(&bytes).unwrap(), envelope);
    }
}
