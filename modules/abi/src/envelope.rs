use std::collections::BTreeMap;

use crate::Failure;
use crate::codes::Code;
use crate::event_type::EventType;
use crate::wire::{Field, Reader, Wire, bytes_len, put_bytes, put_varint, varint_len};

/// Bytes of an envelope without its payload's content, at most.
pub const ENVELOPE_HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes of a payload, at most.
pub const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// Envelope is one event: `inos.v1.Envelope` of the specification's section 6.2.
///
/// The codec is written by hand, because two rules of the event standard are beyond the generated code: map entries are
/// encoded sorted by key, and fields this version does not know survive a round trip, behind the known ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// UUIDv7 of the request this event belongs to.
    pub id: String,
    /// `{service}:{action}:v{version}:{state}`.
    pub event_type: String,
    /// Unix microseconds.
    pub timestamp: i64,
    /// Who asks, and in which trace.
    pub metadata: Option<Metadata>,
    /// A message of [`crate::pb`], encoded.
    pub payload: Vec<u8>,
    /// Fields of later versions, as received.
    pub unknown_fields: Vec<u8>,
}

/// Metadata is the context that travels with every event: `inos.v1.Metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The user who asks.
    pub user_id: String,
    /// The device that asks.
    pub device_id: String,
    /// `traceparent`, `tracestate`, `inos-deadline`.
    pub trace_context: BTreeMap<String, String>,
    /// At the edge a token, inside the node the id of a verified one.
    pub security_token: String,
    /// Fields of later versions, as received.
    pub unknown_fields: Vec<u8>,
}

impl Envelope {
    /// Reads one envelope that fills `bytes`, and holds it to the standard: bounds, event type, timestamp. What exceeds
    /// the bounds is refused before anything is allocated.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        check_bounds(bytes)?;
        let mut envelope = Envelope::default();
        let mut reader = Reader::new(bytes);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => envelope.id = field.text()?.to_owned(),
                2 => envelope.event_type = field.text()?.to_owned(),
                3 => {
                    field.expect(Wire::Varint)?;
                    envelope.timestamp = field.varint as i64;
                }
                4 => {
                    field.expect(Wire::Bytes)?;
                    let metadata = envelope.metadata.get_or_insert_default();
                    metadata.merge(field.bytes)?;
                }
                5 => {
                    field.expect(Wire::Bytes)?;
                    envelope.payload.clear();
                    envelope.payload.extend_from_slice(field.bytes);
                }
                _ => envelope.unknown_fields.extend_from_slice(field.raw),
            }
        }
        envelope.check()?;
        Ok(envelope)
    }

    /// Holds the envelope to the standard: bounds, event type, timestamp.
    pub fn check(&self) -> Result<(), Failure> {
        too_large(self.encoded_len() - self.payload.len(), self.payload.len())?;
        if self.timestamp < 0 {
            return Err(Failure::new(
                Code::BadEnvelope,
                "check envelope",
                format!("the timestamp {} is before 1970", self.timestamp),
            ));
        }
        EventType::parse(&self.event_type).map(|_| ())
    }

    /// Returns the number of bytes that [`Envelope::encode`] appends.
    pub fn encoded_len(&self) -> usize {
        let mut n = text_len(&self.id) + text_len(&self.event_type);
        if self.timestamp != 0 {
            n += 1 + varint_len(self.timestamp as u64);
        }
        if let Some(metadata) = &self.metadata {
            n += bytes_len(metadata.encoded_len());
        }
        if !self.payload.is_empty() {
            n += bytes_len(self.payload.len());
        }
        n + self.unknown_fields.len()
    }

    /// Appends the canonical bytes: fields in order of their numbers, map entries sorted by key, unknown fields last, as
    /// they came.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_len());
        put_text(out, 1, &self.id);
        put_text(out, 2, &self.event_type);
        if self.timestamp != 0 {
            out.push(3 << 3);
            put_varint(out, self.timestamp as u64);
        }
        if let Some(metadata) = &self.metadata {
            out.push(4 << 3 | 2);
            put_varint(out, metadata.encoded_len() as u64);
            metadata.encode(out);
        }
        if !self.payload.is_empty() {
            put_bytes(out, 5, &self.payload);
        }
        out.extend_from_slice(&self.unknown_fields);
    }

    /// Reads the payload; the error names the event type.
    pub fn open<M: prost::Message + Default>(&self) -> Result<M, Failure> {
        M::decode(self.payload.as_slice()).map_err(|e| {
            let n = self.payload.len();
            let what = format!("the payload of {n} bytes does not decode: {e}");
            Failure::new(Code::BadEnvelope, self.event_type.as_str(), what)
        })
    }

    /// Answers this request: the same id, trace and type with another state, at the request's own time (a module has no
    /// clock). The security token is not repeated.
    pub fn reply(&self, state: crate::State, payload: Vec<u8>) -> Envelope {
        Envelope {
            id: self.id.clone(),
            event_type: crate::event_type::with_state(&self.event_type, state),
            timestamp: self.timestamp,
            metadata: self.metadata.as_ref().map(|m| Metadata {
                user_id: m.user_id.clone(),
                device_id: m.device_id.clone(),
                trace_context: m.trace_context.clone(),
                ..Metadata::default()
            }),
            payload,
            unknown_fields: Vec::new(),
        }
    }
}

impl Metadata {
    fn merge(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut reader = Reader::new(bytes);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => self.user_id = field.text()?.to_owned(),
                2 => self.device_id = field.text()?.to_owned(),
                3 => {
                    let (key, value) = map_entry(&field)?;
                    self.trace_context.insert(key.to_owned(), value.to_owned());
                }
                4 => self.security_token = field.text()?.to_owned(),
                _ => self.unknown_fields.extend_from_slice(field.raw),
            }
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        let entries = self.trace_context.iter();
        text_len(&self.user_id)
            + text_len(&self.device_id)
            + entries
                .map(|(k, v)| bytes_len(bytes_len(k.len()) + bytes_len(v.len())))
                .sum::<usize>()
            + text_len(&self.security_token)
            + self.unknown_fields.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, 1, &self.user_id);
        put_text(out, 2, &self.device_id);
        for (key, value) in &self.trace_context {
            out.push(3 << 3 | 2);
            put_varint(out, (bytes_len(key.len()) + bytes_len(value.len())) as u64);
            // Both fields are written even when empty, as protobuf's own generators do for map entries.
            put_bytes(out, 1, key.as_bytes());
            put_bytes(out, 2, value.as_bytes());
        }
        put_text(out, 4, &self.security_token);
        out.extend_from_slice(&self.unknown_fields);
    }
}

fn map_entry<'a>(field: &Field<'a>) -> Result<(&'a str, &'a str), Failure> {
    field.expect(Wire::Bytes)?;
    let (mut key, mut value) = ("", "");
    let mut reader = Reader::new(field.bytes);
    while let Some(part) = reader.next()? {
        match part.number {
            1 => key = part.text()?,
            2 => value = part.text()?,
            _ => {} // a map entry has nowhere to keep it
        }
    }
    Ok((key, value))
}

/// Adds up what is head and what is payload, without allocating.
fn check_bounds(bytes: &[u8]) -> Result<(), Failure> {
    let bound = ENVELOPE_HEAD_BYTES_MAX + PAYLOAD_BYTES_MAX;
    if bytes.len() > bound {
        let what = format!("{} bytes, at most {bound}", bytes.len());
        return Err(Failure::new(
            Code::EnvelopeTooLarge,
            "decode envelope",
            what,
        ));
    }
    let (mut payload, mut longest) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next()? {
        if field.number == 5 {
            field.expect(Wire::Bytes)?;
            payload += field.bytes.len();
            longest = longest.max(field.bytes.len());
        }
    }
    too_large(bytes.len() - payload, longest)
}

fn too_large(head: usize, payload: usize) -> Result<(), Failure> {
    let what = if payload > PAYLOAD_BYTES_MAX {
        format!("the payload has {payload} bytes, at most {PAYLOAD_BYTES_MAX}")
    } else if head > ENVELOPE_HEAD_BYTES_MAX {
        format!("the head has {head} bytes, at most {ENVELOPE_HEAD_BYTES_MAX}")
    } else {
        return Ok(());
    };
    Err(Failure::new(Code::EnvelopeTooLarge, "check envelope", what))
}

fn text_len(text: &str) -> usize {
    if text.is_empty() {
        0
    } else {
        bytes_len(text.len())
    }
}

fn put_text(out: &mut Vec<u8>, number: u8, text: &str) {
    if !text.is_empty() {
        put_bytes(out, number, text.as_bytes());
    }
}
