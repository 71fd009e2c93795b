use std::fmt;

use crate::codes::Code;
use crate::pb;

/// Bytes of each text of an error, at most; longer ones are cut.
pub const ERROR_TEXT_BYTES_MAX: usize = 4 << 10;

/// Failure says what failed, where, and what a person can do about it. It travels as the payload of a `failed` event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Number of the error catalogue.
    pub code: Code,
    /// What was being done: `storage:encode_chunk`, `parse manifest entry`.
    pub operation: String,
    /// What was wrong, with the value and the place.
    pub message: String,
    /// What a person can do; empty for the catalogue's hint.
    pub hint: String,
    /// Microseconds after which a retry may succeed; 0 when a retry alone does not help.
    pub retry_after_us: i64,
}

impl Failure {
    /// Makes a failure with the catalogue's hint.
    pub fn new(code: Code, operation: impl Into<String>, message: impl Into<String>) -> Self {
        Failure {
            code,
            operation: operation.into(),
            message: message.into(),
            hint: String::new(),
            retry_after_us: 0,
        }
    }

    /// Returns the failure as the payload of a `failed` event.
    pub fn to_payload(&self) -> pb::Error {
        let hint = if self.hint.is_empty() {
            self.code.hint()
        } else {
            &self.hint
        };
        pb::Error {
            code: self.code as u32,
            name: self.code.name().to_owned(),
            operation: clip(&self.operation).to_owned(),
            message: clip(&self.message).to_owned(),
            hint: clip(hint).to_owned(),
            retry_after_us: self.retry_after_us,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return f.write_str(&self.operation);
        }
        write!(f, "{}: {}", self.operation, self.message)
    }
}

impl std::error::Error for Failure {}

fn clip(text: &str) -> &str {
    let mut end = text.len().min(ERROR_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
