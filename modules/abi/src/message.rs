use crate::Failure;
use crate::codes::Code;
use crate::envelope::{ENVELOPE_HEAD_BYTES_MAX, PAYLOAD_BYTES_MAX};

/// Stored bytes of one chunk, at most: 1 MiB in raw meta-blocks and their headers.
pub const STORED_BYTES_MAX: usize = (1 << 20) + 64;
/// Bytes of a guest message, at most: an envelope and the bulk of one chunk.
pub const GUEST_BYTES_MAX: usize =
    4 + ENVELOPE_HEAD_BYTES_MAX + PAYLOAD_BYTES_MAX + STORED_BYTES_MAX;

/// Returns the envelope and the bulk of a guest message: the envelope's length (4 bytes, little-endian), the envelope, and
/// bulk bytes to the end.
///
/// ```
/// let message = inos_abi::join_guest(b"envelope", b"bulk");
/// let (envelope, bulk) = inos_abi::split_guest(&message).unwrap();
/// assert_eq!((envelope, bulk), (&b"envelope"[..], &b"bulk"[..]));
/// ```
pub fn split_guest(message: &[u8]) -> Result<(&[u8], &[u8]), Failure> {
    const OP: &str = "split guest message";
    if message.len() > GUEST_BYTES_MAX {
        let what = format!("{} bytes, at most {GUEST_BYTES_MAX}", message.len());
        return Err(Failure::new(Code::EnvelopeTooLarge, OP, what));
    }
    let Some((length, rest)) = message.split_first_chunk::<4>() else {
        let what = format!("{} bytes, the length alone has 4", message.len());
        return Err(Failure::new(Code::BadFormat, OP, what));
    };
    let length = u32::from_le_bytes(*length);
    if length as usize > rest.len() {
        let what = format!("the envelope has {length} bytes, {} follow", rest.len());
        return Err(Failure::new(Code::BadFormat, OP, what));
    }
    Ok(rest.split_at(length as usize))
}

/// Makes a guest message of an envelope and its bulk. Modules answer through [`crate::Reply`], which copies no bulk; this
/// is for tests and hosts.
pub fn join_guest(envelope: &[u8], bulk: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(4 + envelope.len() + bulk.len());
    message.extend_from_slice(&(envelope.len() as u32).to_le_bytes());
    message.extend_from_slice(envelope);
    message.extend_from_slice(bulk);
    message
}
