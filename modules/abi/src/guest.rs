use crate::Failure;
use crate::State;
use crate::codes::Code;
use crate::envelope::Envelope;
use crate::event_type::EventType;
use crate::message::{GUEST_BYTES_MAX, split_guest};
use crate::pb;
use crate::reply::Reply;

/// Version of the guest ABI, what `inos_abi` returns.
pub const ABI_VERSION: u32 = 1;
/// Input buffers a host may hold at once, at most.
pub const INPUTS_MAX: usize = 4;
/// Event type of the reply to bytes that are no request: there is no request to take id and type from.
pub const CALL_FAILED: &str = "module:call:v1:failed";
const CALL: &str = "module:call:v1:requested";
const MANIFEST: &str = "module:manifest:v1:requested";

/// Module is what the author of a module writes; [`crate::export_module`] does the rest.
///
/// One instance serves one call after the other and may keep scratch memory between them, but no state that a reply
/// depends on: the host runs many instances, restarts them, and hands a request to any.
pub trait Module: Default {
    /// What the module is. It is asked once, when the instance starts, and answers `module:manifest:v1:requested`;
    /// requests whose event type is not among its services are refused with `unknown_event` before they get here.
    fn manifest(&self) -> pb::ModuleManifest;

    /// Does what the request asks: fills the reply's bulk, calls [`Reply::complete`], returns `Ok`; or returns a failure,
    /// which becomes a `failed` event without bulk. Input from outside never panics; a panic is a bug of the module, traps,
    /// and costs the host this instance.
    fn handle(&mut self, request: &Envelope, bulk: &[u8], reply: &mut Reply)
    -> Result<(), Failure>;
}

/// Guest is a module behind the ABI, without the addresses: what native tests call, and what the exports call in WASM.
pub struct Guest<M> {
    module: M,
    manifest: pb::ModuleManifest,
    reply: Reply,
}

impl<M: Module> Default for Guest<M> {
    fn default() -> Self {
        let module = M::default();
        let manifest = module.manifest();
        Guest {
            module,
            manifest,
            reply: Reply::new(),
        }
    }
}

impl<M: Module> Guest<M> {
    /// Answers one guest message with another, which lives until the next call. Every input gets an answer: what is not a
    /// request gets one of type [`CALL_FAILED`] with an empty id.
    pub fn handle(&mut self, message: &[u8]) -> &[u8] {
        self.reply.reset();
        let (request, bulk) = match open(message) {
            Ok(parts) => parts,
            Err(failure) => {
                let nobody = Envelope {
                    event_type: CALL.to_owned(),
                    ..Envelope::default()
                };
                return self.reply.fail(&nobody, &failure);
            }
        };
        let result = self.answer(&request, bulk);
        self.reply.seal(&request, result)
    }

    fn answer(&mut self, request: &Envelope, bulk: &[u8]) -> Result<(), Failure> {
        let event_type = request.event_type.as_str();
        if EventType::parse(event_type)?.state != State::Requested {
            let what = format!("{event_type} asks for nothing, its state is not requested");
            return Err(Failure::new(Code::BadRequest, event_type, what));
        }
        if event_type == MANIFEST {
            self.reply.complete(&self.manifest);
            return Ok(());
        }
        if !self.manifest.services.iter().any(|s| s == event_type) {
            let what = format!("module {} does not answer it", self.manifest.name);
            return Err(Failure::new(Code::UnknownEvent, event_type, what));
        }
        self.module.handle(request, bulk, &mut self.reply)
    }
}

fn open(message: &[u8]) -> Result<(Envelope, &[u8]), Failure> {
    let (envelope, bulk) = split_guest(message)?;
    Ok((Envelope::decode(envelope)?, bulk))
}

/// Inputs are the buffers that the host has asked for and not yet given back.
#[derive(Default)]
pub struct Inputs {
    live: Vec<Box<[u8]>>,
}

impl Inputs {
    /// Returns the address of a new zeroed buffer, or 0 when it is longer than a guest message may be, empty, or one more
    /// than [`INPUTS_MAX`].
    pub fn alloc(&mut self, len: usize) -> usize {
        if len == 0 || len > GUEST_BYTES_MAX || self.live.len() == INPUTS_MAX {
            return 0;
        }
        let buffer = vec![0u8; len].into_boxed_slice();
        let address = buffer.as_ptr() as usize;
        self.live.push(buffer);
        address
    }

    /// Gives a buffer back. An address and length that [`Inputs::alloc`] did not return are a bug of the host: panics.
    pub fn free(&mut self, address: usize, len: usize) {
        let i = self.find(address, len);
        assert_eq!(
            self.live[i].len(),
            len,
            "inos_free: the length is not that of inos_alloc"
        );
        self.live.swap_remove(i);
    }

    /// Returns the first `len` bytes of a live buffer; panics when there is no such buffer.
    pub fn read(&self, address: usize, len: usize) -> &[u8] {
        &self.live[self.find(address, len)][..len]
    }

    fn find(&self, address: usize, len: usize) -> usize {
        self.live
            .iter()
            .position(|b| b.as_ptr() as usize == address && len <= b.len())
            .expect("the address is not that of a live input buffer")
    }
}
