//! The protobuf wire format, as far as the envelope needs it. Groups are refused: proto3 has none.

use crate::Failure;
use crate::codes::Code;

/// A wire type of the protobuf encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Varint,
    Fixed64,
    Bytes,
    Fixed32,
}

/// Reads fields from a slice without copying.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// One field as it lies in the input.
pub(crate) struct Field<'a> {
    pub number: u32,
    pub wire: Wire,
    /// The value of a varint.
    pub varint: u64,
    /// The content of a length-delimited field.
    pub bytes: &'a [u8],
    /// Tag and value, as received.
    pub raw: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// Returns the next field, or nothing at the end.
    pub fn next(&mut self) -> Result<Option<Field<'a>>, Failure> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.rest;
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > FIELD_NUMBER_MAX {
            return Err(bad("a field number is not in 1..2^29"));
        }
        let mut field = Field {
            number: number as u32,
            wire: Wire::Varint,
            varint: 0,
            bytes: &[],
            raw: &[],
        };
        match tag & 7 {
            0 => field.varint = self.varint()?,
            1 => {
                field.wire = Wire::Fixed64;
                self.take(8)?;
            }
            2 => {
                field.wire = Wire::Bytes;
                let length = self.varint()?;
                field.bytes = self.take(length)?;
            }
            5 => {
                field.wire = Wire::Fixed32;
                self.take(4)?;
            }
            _ => return Err(bad("a wire type is not varint, fixed or length-delimited")),
        }
        field.raw = &start[..start.len() - self.rest.len()];
        Ok(Some(field))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Failure> {
        if length > self.rest.len() as u64 {
            return Err(bad("a field ends behind the input"));
        }
        let (taken, rest) = self.rest.split_at(length as usize);
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Failure> {
        let mut value = 0u64;
        for (i, &byte) in self.rest.iter().enumerate().take(10) {
            if i == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(bad("a varint does not end or exceeds 64 bits"))
    }
}

impl<'a> Field<'a> {
    /// Returns the field as text; it must be UTF-8 (proto3, "string").
    pub fn text(&self) -> Result<&'a str, Failure> {
        self.expect(Wire::Bytes)?;
        std::str::from_utf8(self.bytes).map_err(|_| bad("a string is not UTF-8"))
    }

    /// Refuses a field whose wire type is not the one of its declaration.
    pub fn expect(&self, wire: Wire) -> Result<(), Failure> {
        if self.wire == wire {
            return Ok(());
        }
        Err(bad("a field has the wrong wire type"))
    }
}

const FIELD_NUMBER_MAX: u64 = (1 << 29) - 1;

fn bad(what: &str) -> Failure {
    Failure::new(Code::BadEnvelope, "decode envelope", what)
}

pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Length of a length-delimited field with a tag of one byte.
pub(crate) fn bytes_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
