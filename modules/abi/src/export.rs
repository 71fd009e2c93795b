use std::cell::UnsafeCell;

use crate::guest::{Guest, Inputs, Module};

#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
compile_error!("inos-abi keeps its module in a static without a lock: build without threads");

/// Exported is the static behind a module's exports.
#[doc(hidden)]
pub struct Exported<M> {
    state: UnsafeCell<Option<State<M>>>,
}

struct State<M> {
    guest: Guest<M>,
    inputs: Inputs,
}

// SAFETY: only the exports of `export_module` reach the cell, in WASM without threads (refused above), and a module has no
// imports through which a call could enter it a second time.
unsafe impl<M> Sync for Exported<M> {}

#[doc(hidden)]
impl<M: Module> Exported<M> {
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Exported {
            state: UnsafeCell::new(None),
        }
    }

    #[allow(clippy::mut_from_ref)]
    fn state(&self) -> &mut State<M> {
        // SAFETY: see `Sync`; each export takes this once and lets it go before it returns.
        let state = unsafe { &mut *self.state.get() };
        state.get_or_insert_with(|| State {
            guest: Guest::default(),
            inputs: Inputs::default(),
        })
    }

    pub fn alloc(&self, len: u32) -> u32 {
        self.state().inputs.alloc(len as usize) as u32
    }

    pub fn free(&self, address: u32, len: u32) {
        self.state().inputs.free(address as usize, len as usize);
    }

    pub fn handle(&self, address: u32, len: u32) -> u64 {
        let state = self.state();
        let message = state.inputs.read(address as usize, len as usize);
        let reply = state.guest.handle(message);
        (reply.as_ptr() as usize as u64) << 32 | reply.len() as u64
    }
}

/// Exports a [`Module`](crate::Module) by the guest ABI, when the target is WASM:
///
/// - `inos_abi() -> u32`: 1.
/// - `inos_alloc(len: u32) -> u32`: a buffer for input, zeroed, or 0 when there is none to be had (longer than
///   [`GUEST_BYTES_MAX`](crate::GUEST_BYTES_MAX), or more than [`INPUTS_MAX`](crate::INPUTS_MAX) at once).
/// - `inos_free(ptr: u32, len: u32)`: gives such a buffer back; len is that of `inos_alloc`.
/// - `inos_handle(ptr: u32, len: u32) -> u64`: answers the guest message in the first len bytes of such a buffer; the result
///   is `ptr << 32 | len` of the reply, a guest message too.
///
/// **Who owns what.** An input buffer is the host's from `inos_alloc` to `inos_free`; the module only reads it, during
/// `inos_handle`, so one buffer serves many calls. The reply is the module's: it is never freed by the host, and it may be
/// read until the next call of any export. Each call may grow the memory, so addresses stay valid but a host's view of the
/// memory has to be taken again.
///
/// Wrong addresses and a panic of the module trap. After a trap nothing of the instance is to be trusted: throw it away.
#[macro_export]
macro_rules! export_module {
    ($module:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            static EXPORTED: $crate::Exported<$module> = $crate::Exported::new();

            #[unsafe(no_mangle)]
            extern "C" fn inos_abi() -> u32 {
                $crate::ABI_VERSION
            }

            #[unsafe(no_mangle)]
            extern "C" fn inos_alloc(len: u32) -> u32 {
                EXPORTED.alloc(len)
            }

            #[unsafe(no_mangle)]
            extern "C" fn inos_free(address: u32, len: u32) {
                EXPORTED.free(address, len);
            }

            #[unsafe(no_mangle)]
            extern "C" fn inos_handle(address: u32, len: u32) -> u64 {
                EXPORTED.handle(address, len)
            }
        };
        // Keeps the type used where there are no exports.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            fn is_module<M: $crate::Module>() {}
            is_module::<$module>();
        };
    };
}
