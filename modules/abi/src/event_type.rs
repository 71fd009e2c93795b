use std::fmt;

use crate::Failure;
use crate::codes::Code;

/// Bytes of an event type, at most.
pub const EVENT_TYPE_BYTES_MAX: usize = 128;

/// State is the lifecycle position of an event. The specification names the first three; `Failed` closes a lifecycle that
/// did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Work is asked for.
    Requested,
    /// Work is under way.
    Processing,
    /// Work is done.
    Completed,
    /// Work could not be done; the payload is an error.
    Failed,
}

impl State {
    /// The state as it is written in an event type.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Requested => "requested",
            State::Processing => "processing",
            State::Completed => "completed",
            State::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Option<State> {
        [
            State::Requested,
            State::Processing,
            State::Completed,
            State::Failed,
        ]
        .into_iter()
        .find(|s| s.as_str() == text)
    }
}

/// EventType is a parsed event type: `{service}:{action}:v{version}:{state}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventType<'a> {
    /// `[a-z][a-z0-9_]*`
    pub service: &'a str,
    /// `[a-z][a-z0-9_]*`
    pub action: &'a str,
    /// From 1.
    pub version: u32,
    /// The lifecycle position.
    pub state: State,
}

impl<'a> EventType<'a> {
    /// Reads an event type (specification 6.1). What does not follow the grammar to the letter is refused.
    ///
    /// ```
    /// use inos_abi::{EventType, State};
    /// let t = EventType::parse("storage:encode_chunk:v1:requested").unwrap();
    /// assert_eq!((t.service, t.action, t.version, t.state), ("storage", "encode_chunk", 1, State::Requested));
    /// assert!(EventType::parse("storage:encode_chunk:v01:requested").is_err());
    /// ```
    pub fn parse(text: &'a str) -> Result<Self, Failure> {
        if text.len() > EVENT_TYPE_BYTES_MAX {
            let n = text.len();
            return Err(bad(format!("{n} bytes, at most {EVENT_TYPE_BYTES_MAX}")));
        }
        let mut parts = text.split(':');
        let (Some(service), Some(action), Some(version), Some(state), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(bad(format!(
                "{text:?} has not 4 parts, {{service}}:{{action}}:v{{version}}:{{state}} has"
            )));
        };
        for (name, part) in [("service", service), ("action", action)] {
            if !is_snake(part) {
                return Err(bad(format!(
                    "the {name} of {text:?} is not [a-z][a-z0-9_]*"
                )));
            }
        }
        let version = parse_version(version).ok_or_else(|| {
            bad(format!(
                "the version of {text:?} is not v and a positive integer without leading zeros"
            ))
        })?;
        let state = State::parse(state).ok_or_else(|| {
            bad(format!(
                "the state of {text:?} is not requested, processing, completed or failed"
            ))
        })?;
        Ok(EventType {
            service,
            action,
            version,
            state,
        })
    }
}

impl fmt::Display for EventType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.as_str();
        write!(
            f,
            "{}:{}:v{}:{state}",
            self.service, self.action, self.version
        )
    }
}

/// Returns a valid event type with its state replaced.
pub(crate) fn with_state(event_type: &str, state: State) -> String {
    let end = event_type.rfind(':').map_or(0, |i| i + 1);
    let mut text = String::with_capacity(end + 10);
    text.push_str(&event_type[..end]);
    text.push_str(state.as_str());
    text
}

fn bad(what: String) -> Failure {
    Failure::new(Code::BadEventType, "parse event type", what)
}

fn is_snake(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_lowercase())
        && s.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn parse_version(s: &str) -> Option<u32> {
    let digits = s.strip_prefix('v')?;
    if !digits.starts_with(|c: char| ('1'..='9').contains(&c)) {
        return None;
    }
    // u32's parser would also take a sign.
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    digits.parse().ok()
}
