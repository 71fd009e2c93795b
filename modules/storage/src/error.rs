//! Errors of the storage rules: what was wrong and where, without a word on transport.

use std::fmt;

/// What kind of fault an [`Error`] reports; each kind is one code of the error catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request cannot be met as asked: a field or a size is out of its bounds.
    BadRequest,
    /// Bytes do not follow their format.
    BadFormat,
    /// Bytes do not match their hash, their recorded length or their recorded content.
    ChunkCorrupt,
    /// The body does not have the hash that its sender promised.
    BodyMismatch,
    /// The module broke a rule of its own: the encoder's output did not inflate to its input.
    ModuleFailed,
}

/// An error of this crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The kind, and by it the catalogue's code.
    pub kind: Kind,
    /// What was being done: "encode chunk".
    pub op: &'static str,
    /// What was wrong, with the value and the place.
    pub message: String,
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Makes an error.
    pub fn new(kind: Kind, op: &'static str, message: impl Into<String>) -> Self {
        Error { kind, op, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.message)
    }
}

impl std::error::Error for Error {}
