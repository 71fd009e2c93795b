use std::io;

use crate::Failure;
use crate::State;
use crate::codes::Code;
use crate::envelope::Envelope;
use crate::message::STORED_BYTES_MAX;

/// Room in front of the bulk for the reply's envelope. A longer envelope costs one move of the bulk.
const HEADROOM: usize = 20 << 10;

/// Reply is the answer to one request, built in the buffer that the host reads: the bulk is written to its final place, and
/// the envelope is put in front of it when the handler has returned. The buffer is kept for the next call.
pub struct Reply {
    /// `HEADROOM` bytes for the envelope, then the bulk.
    buffer: Vec<u8>,
    payload: Option<Vec<u8>>,
}

impl Reply {
    pub(crate) fn new() -> Self {
        Reply {
            buffer: vec![0; HEADROOM],
            payload: None,
        }
    }

    /// Sets the payload of the `completed` event. Called again, it replaces the payload.
    pub fn complete(&mut self, payload: &impl prost::Message) {
        self.payload = Some(payload.encode_to_vec());
    }

    /// Returns the reply's bulk bytes, to read and to extend. They are dropped when the handler fails.
    pub fn bulk(&mut self) -> Bulk<'_> {
        Bulk {
            buffer: &mut self.buffer,
        }
    }

    /// Forgets what the last call left, and gives back memory that no reply may need.
    pub(crate) fn reset(&mut self) {
        self.buffer.truncate(HEADROOM);
        if self.buffer.capacity() > HEADROOM + 2 * STORED_BYTES_MAX {
            self.buffer.shrink_to(HEADROOM);
        }
        self.payload = None;
    }

    /// Turns what the handler left into a guest message.
    pub(crate) fn seal(&mut self, request: &Envelope, result: Result<(), Failure>) -> &[u8] {
        let bulk = self.buffer.len() - HEADROOM;
        let result = result.and_then(|()| {
            let operation = request.event_type.as_str();
            let payload = self.payload.take().ok_or_else(|| {
                let what = "the handler returned without an answer";
                Failure::new(Code::ModuleFailed, operation, what)
            })?;
            if bulk > STORED_BYTES_MAX {
                let what = format!("{bulk} bytes of bulk, at most {STORED_BYTES_MAX}");
                return Err(Failure::new(Code::ModuleFailed, operation, what));
            }
            let envelope = request.reply(State::Completed, payload);
            envelope.check()?;
            Ok(envelope)
        });
        match result {
            Ok(envelope) => self.put_in_front(&envelope),
            Err(failure) => self.fail(request, &failure),
        }
    }

    /// Answers with a failure and without bulk.
    pub(crate) fn fail(&mut self, request: &Envelope, failure: &Failure) -> &[u8] {
        self.buffer.truncate(HEADROOM);
        let payload = prost::Message::encode_to_vec(&failure.to_payload());
        self.put_in_front(&request.reply(State::Failed, payload))
    }

    fn put_in_front(&mut self, envelope: &Envelope) -> &[u8] {
        let mut head = Vec::with_capacity(envelope.encoded_len() + 4);
        head.extend_from_slice(&(envelope.encoded_len() as u32).to_le_bytes());
        envelope.encode(&mut head);
        let mut bulk_start = HEADROOM;
        if head.len() > HEADROOM {
            let bulk = bulk_start..self.buffer.len();
            self.buffer.resize(head.len() + bulk.len(), 0);
            self.buffer.copy_within(bulk, head.len());
            bulk_start = head.len();
        }
        let start = bulk_start - head.len();
        self.buffer[start..bulk_start].copy_from_slice(&head);
        &self.buffer[start..]
    }
}

/// Bulk is the bulk bytes of a reply, where the host will read them.
pub struct Bulk<'a> {
    buffer: &'a mut Vec<u8>,
}

impl<'a> Bulk<'a> {
    /// The number of bytes written so far.
    pub fn len(&self) -> usize {
        self.buffer.len() - HEADROOM
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer[HEADROOM..]
    }

    /// The bytes written so far, to change in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.buffer[HEADROOM..]
    }

    /// Makes room, so that writing `additional` bytes more does not move what is there.
    pub fn reserve(&mut self, additional: usize) {
        self.buffer.reserve_exact(additional);
    }

    /// Appends bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Cuts or extends the bulk to `len` bytes; new bytes are `value`.
    pub fn resize(&mut self, len: usize, value: u8) {
        self.buffer.resize(HEADROOM + len, value);
    }

    /// Cuts the bulk to `len` bytes; a longer `len` changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.buffer.truncate(HEADROOM.saturating_add(len));
    }
}

impl io::Write for Bulk<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
