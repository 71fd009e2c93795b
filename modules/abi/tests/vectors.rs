//! Holds the crate to event/vectors, which the Go twin wrote and reads too.

use inos_abi::prost::Message;
use inos_abi::{Code, Envelope, EventType, State, join_guest, pb, split_guest};
use serde::Deserialize;
use serde_json::Value;

fn load<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    let path = format!("{}/../../event/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[derive(Deserialize)]
struct Types {
    valid: Vec<ValidType>,
    invalid: Vec<InvalidType>,
}

#[derive(Deserialize)]
struct ValidType {
    r#type: String,
    service: String,
    action: String,
    version: u32,
    state: String,
}

#[derive(Deserialize)]
struct InvalidType {
    name: String,
    r#type: String,
}

#[test]
fn event_types() {
    let types: Types = load("types.json");
    assert!(types.valid.len() > 5 && types.invalid.len() > 20);
    for t in &types.valid {
        let parsed = EventType::parse(&t.r#type).unwrap();
        assert_eq!(
            (
                parsed.service,
                parsed.action,
                parsed.version,
                parsed.state.as_str()
            ),
            (
                t.service.as_str(),
                t.action.as_str(),
                t.version,
                t.state.as_str()
            )
        );
        assert_eq!(parsed.to_string(), t.r#type);
    }
    for t in &types.invalid {
        let failure = EventType::parse(&t.r#type).expect_err(&t.name);
        assert_eq!(failure.code, Code::BadEventType, "{}", t.name);
    }
}

#[derive(Deserialize)]
struct Envelopes {
    valid: Vec<ValidEnvelope>,
    sizes: Vec<Size>,
    invalid: Vec<Invalid>,
}

#[derive(Deserialize)]
struct ValidEnvelope {
    name: String,
    input: String,
    canonical: String,
    envelope: Value,
}

#[derive(Deserialize)]
struct Size {
    name: String,
    id_bytes: usize,
    payload_bytes: usize,
    code: u32,
}

#[derive(Deserialize)]
struct Invalid {
    name: String,
    input: String,
    code: u32,
}

#[test]
fn envelopes() {
    let vectors: Envelopes = load("envelopes.json");
    assert!(vectors.valid.len() > 10 && vectors.sizes.len() > 4 && vectors.invalid.len() > 20);
    for v in &vectors.valid {
        let envelope =
            Envelope::decode(&unhex(&v.input)).unwrap_or_else(|e| panic!("{}: {e}", v.name));
        assert_eq!(to_json(&envelope), v.envelope, "{}", v.name);
        let mut bytes = b"front".to_vec();
        envelope.encode(&mut bytes);
        assert_eq!(hex(&bytes[5..]), v.canonical, "{}", v.name);
        assert_eq!(envelope.encoded_len(), v.canonical.len() / 2, "{}", v.name);
        assert_eq!(
            Envelope::decode(&bytes[5..]).unwrap(),
            envelope,
            "{}",
            v.name
        );
    }
    for v in &vectors.sizes {
        let envelope = Envelope {
            id: "a".repeat(v.id_bytes),
            event_type: "files:put:v1:requested".into(),
            payload: vec![0x5a; v.payload_bytes],
            ..Envelope::default()
        };
        let mut bytes = Vec::new();
        envelope.encode(&mut bytes);
        let code = Envelope::decode(&bytes).err().map_or(0, |f| f.code as u32);
        assert_eq!(code, v.code, "{}", v.name);
        assert_eq!(
            envelope.check().err().map_or(0, |f| f.code as u32),
            v.code,
            "{}",
            v.name
        );
    }
    for v in &vectors.invalid {
        let failure = Envelope::decode(&unhex(&v.input)).expect_err(&v.name);
        assert_eq!(failure.code as u32, v.code, "{}: {failure}", v.name);
    }
}

fn to_json(e: &Envelope) -> Value {
    let metadata = e.metadata.as_ref().map(|m| {
        serde_json::json!({
            "user_id": m.user_id, "device_id": m.device_id,
            "trace_context": m.trace_context, "security_token": m.security_token,
        })
    });
    serde_json::json!({
        "id": e.id, "event_type": e.event_type, "timestamp": e.timestamp.to_string(),
        "metadata": metadata, "payload": hex(&e.payload),
    })
}

#[derive(Deserialize)]
struct Guests {
    valid: Vec<GuestMessage>,
    invalid: Vec<Invalid>,
}

#[derive(Deserialize)]
struct GuestMessage {
    name: String,
    message: String,
    envelope: String,
    bulk: String,
}

#[test]
fn guest_messages() {
    let vectors: Guests = load("guest.json");
    assert!(vectors.valid.len() > 2 && vectors.invalid.len() > 2);
    for v in &vectors.valid {
        let (envelope, bulk) = (unhex(&v.envelope), unhex(&v.bulk));
        let message = unhex(&v.message);
        assert_eq!(
            split_guest(&message).unwrap(),
            (&envelope[..], &bulk[..]),
            "{}",
            v.name
        );
        assert_eq!(join_guest(&envelope, &bulk), message, "{}", v.name);
    }
    for v in &vectors.invalid {
        let failure = split_guest(&unhex(&v.input)).expect_err(&v.name);
        assert_eq!(failure.code as u32, v.code, "{}", v.name);
    }
}

#[derive(Deserialize)]
struct Payload {
    message: String,
    bytes: String,
    fields: Value,
}

impl Payload {
    fn bytes(&self, name: &str) -> Vec<u8> {
        unhex(self.text(name).as_str())
    }

    fn text(&self, name: &str) -> String {
        self.fields[name]
            .as_str()
            .unwrap_or_else(|| panic!("{}.{name}", self.message))
            .to_owned()
    }

    fn u64(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap()
    }

    fn u32(&self, name: &str) -> u32 {
        self.fields[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{}.{name}", self.message))
            .try_into()
            .unwrap()
    }

    fn bool(&self, name: &str) -> bool {
        self.fields[name]
            .as_bool()
            .unwrap_or_else(|| panic!("{}.{name}", self.message))
    }

    /// Encodes the message made from the fields, and decodes the bytes: both ways have to agree.
    fn check<M: Message + Default + PartialEq + std::fmt::Debug>(&self, message: M) {
        assert_eq!(
            hex(&message.encode_to_vec()),
            self.bytes,
            "{}",
            self.message
        );
        assert_eq!(
            M::decode(unhex(&self.bytes).as_slice()).unwrap(),
            message,
            "{}",
            self.message
        );
    }
}

#[test]
fn payloads() {
    let vectors: Vec<Payload> = load("payloads.json");
    for v in &vectors {
        match v.message.as_str() {
            "Error" => v.check(pb::Error {
                code: v.u32("code"),
                name: v.text("name"),
                operation: v.text("operation"),
                message: v.text("message"),
                hint: v.text("hint"),
                retry_after_us: v.text("retry_after_us").parse().unwrap(),
            }),
            "EncodeChunkRequest" => v.check(pb::EncodeChunkRequest {
                offset_bytes: v.u64("offset_bytes"),
                quality: v.u32("quality"),
                plain_hash: v.bytes("plain_hash"),
            }),
            "EncodeChunkReply" => v.check(pb::EncodeChunkReply {
                entry: v.bytes("entry"),
            }),
            "DescribeChunkRequest" => v.check(pb::DescribeChunkRequest {
                offset_bytes: v.u64("offset_bytes"),
                entry: v.bytes("entry"),
            }),
            "DescribeChunkReply" => v.check(pb::DescribeChunkReply {
                entry: v.bytes("entry"),
            }),
            "InflateChunkRequest" => v.check(pb::InflateChunkRequest {
                entry: v.bytes("entry"),
            }),
            "InflateChunkReply" => v.check(pb::InflateChunkReply {}),
            "AdmitChunkRequest" => v.check(pb::AdmitChunkRequest {
                offset_bytes: v.u64("offset_bytes"),
                chunk_id: v.bytes("chunk_id"),
                plain_bytes: v.u32("plain_bytes"),
                quality: v.u32("quality"),
            }),
            "AdmitChunkReply" => v.check(pb::AdmitChunkReply {
                entry: v.bytes("entry"),
            }),
            "BuildNodeRequest" => v.check(pb::BuildNodeRequest {
                level: v.u32("level"),
                entries: v.bytes("entries"),
                root: v.bool("root"),
            }),
            "BuildNodeReply" => v.check(pb::BuildNodeReply {
                entry: v.bytes("entry"),
                file_id: v.bytes("file_id"),
            }),
            "OpenNodeRequest" => v.check(pb::OpenNodeRequest {
                chunk_id: v.bytes("chunk_id"),
            }),
            "OpenNodeReply" => v.check(pb::OpenNodeReply {
                level: v.u32("level"),
                entries: v.bytes("entries"),
                root: v.bool("root"),
                file_id: v.bytes("file_id"),
            }),
            "ProveChunkRequest" => v.check(pb::ProveChunkRequest {
                leaf: v.u64("leaf"),
            }),
            "ProveChunkReply" => v.check(pb::ProveChunkReply {}),
            "VerifyProofRequest" => v.check(pb::VerifyProofRequest {
                chunk_id: v.bytes("chunk_id"),
                leaf: v.u64("leaf"),
            }),
            "VerifyProofReply" => v.check(pb::VerifyProofReply {
                stored_bytes: v.u64("stored_bytes"),
            }),
            "ModuleManifest" => v.check(pb::ModuleManifest {
                name: v.text("name"),
                version: v.text("version"),
                services: v.fields["services"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|s| s.as_str().unwrap().to_owned())
                    .collect(),
                memory_bytes_max: v.u64("memory_bytes_max"),
                deadline_us: v.u64("deadline_us"),
            }),
            other => panic!("{other} has a vector but no case here"),
        }
    }
    assert!(vectors.len() >= 18);
}

/// A string that is not UTF-8 is refused in payloads as in the envelope.
#[test]
fn payload_text_is_utf8() {
    let request = Envelope {
        event_type: "files:delete:v1:requested".into(),
        payload: vec![0x0a, 1, 0xff],
        ..Envelope::default()
    };
    assert_eq!(
        request.open::<pb::FilesDeleteRequest>().unwrap_err().code,
        Code::BadEnvelope
    );
}

#[test]
fn states_have_the_names_of_the_standard() {
    let states = [
        State::Requested,
        State::Processing,
        State::Completed,
        State::Failed,
    ];
    assert_eq!(
        states.map(State::as_str),
        ["requested", "processing", "completed", "failed"]
    );
}
