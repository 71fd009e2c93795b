package engine

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
)

// abiVersion is the version of the guest ABI that this package speaks.
const abiVersion = 1

// ModuleID returns the id of a module or a kernel: the BLAKE3 of its .wasm bytes.
func ModuleID(wasm []byte) [32]byte { return blake3.Sum256(wasm) }

// instance is one module, loaded and initialised, with its input buffer. It is not safe for concurrent use. The first
// trap or broken rule of the ABI makes it unusable: every later call returns the same error.
type instance struct {
	runtime wazero.Runtime
	cache   wazero.CompilationCache // nil: none
	module  api.Module
	memory  api.Memory
	limit   *memoryLimit
	alloc   api.Function
	free    api.Function

	input      uint32 // address of the input buffer, owned by this side until freed
	inputBytes uint32
	stack      [4]uint64
	broken     error
}

// signature of an export; every guest function uses i32 and i64 only.
type signature struct {
	params, results []api.ValueType
}

var (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// newInstance compiles and instantiates a module. bind serves its imports; nil means that it may have none. A module
// of another ABI version, without the common exports, or with more memory than bytesMax is refused with CodeBadFormat.
func newInstance(ctx context.Context, wasm []byte, cacheDir string, bytesMax uint64, bind func(context.Context, wazero.Runtime, wazero.CompiledModule) error) (_ *instance, err error) {
	const op = "load module"
	in := &instance{limit: &memoryLimit{bytesMax: bytesMax}}
	defer func() {
		if err != nil {
			in.close(ctx)
		}
	}()
	ctx = experimental.WithMemoryAllocator(ctx, in.limit)
	compiled, err := in.compile(ctx, wasm, cacheDir, uint32(bytesMax/pageBytes))
	if err != nil {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%d bytes of WebAssembly: %w", len(wasm), err)
	}
	if bind != nil {
		err = bind(ctx, in.runtime, compiled)
	} else {
		err = refuseImports(compiled)
	}
	if err != nil {
		return nil, err
	}
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	if in.module, err = in.runtime.InstantiateModule(ctx, compiled, config); err != nil {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "instantiate: %w", err)
	}
	if in.memory = in.module.ExportedMemory("memory"); in.memory == nil {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "the module exports no memory named memory")
	}
	if initialize := in.module.ExportedFunction("_initialize"); initialize != nil {
		if _, err = in.call(ctx, initialize); err != nil {
			return nil, err
		}
	}
	return in, in.checkABI(ctx)
}

// compile uses the cache on disk when there is one. A damaged cache costs time, not the start.
func (in *instance) compile(ctx context.Context, wasm []byte, cacheDir string, pagesMax uint32) (wazero.CompiledModule, error) {
	config := wazero.NewRuntimeConfig().WithMemoryLimitPages(pagesMax).WithDebugInfoEnabled(false).WithCustomSections(false)
	if cacheDir != "" {
		if cache, err := wazero.NewCompilationCacheWithDir(cacheDir); err == nil {
			in.cache = cache
			in.runtime = wazero.NewRuntimeWithConfig(ctx, config.WithCompilationCache(cache))
			if compiled, err := in.runtime.CompileModule(ctx, wasm); err == nil {
				return compiled, nil
			}
			in.unload(ctx)
		}
	}
	in.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	return in.runtime.CompileModule(ctx, wasm)
}

func refuseImports(compiled wazero.CompiledModule) error {
	const op = "load module"
	for _, f := range compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		return inos.Errorf(inos.CodeBadFormat, op, "the module imports %s.%s; a module may import nothing", module, name)
	}
	for _, m := range compiled.ImportedMemories() {
		module, name, _ := m.Import()
		return inos.Errorf(inos.CodeBadFormat, op, "the module imports the memory %s.%s; a module may import nothing", module, name)
	}
	return nil
}

func (in *instance) checkABI(ctx context.Context) error {
	abi, err := in.export("inos_abi", signature{nil, []api.ValueType{i32}})
	if err != nil {
		return err
	}
	version, err := in.call(ctx, abi)
	if err != nil {
		return err
	}
	if uint32(version) != abiVersion {
		return inos.Errorf(inos.CodeBadFormat, "load module", "the module speaks guest ABI %d, this node speaks %d", uint32(version), abiVersion)
	}
	if in.alloc, err = in.export("inos_alloc", signature{[]api.ValueType{i32}, []api.ValueType{i32}}); err != nil {
		return err
	}
	in.free, err = in.export("inos_free", signature{[]api.ValueType{i32, i32}, nil})
	return err
}

func (in *instance) export(name string, want signature) (api.Function, error) {
	f := in.module.ExportedFunction(name)
	if f == nil {
		return nil, inos.Errorf(inos.CodeBadFormat, "load module", "the module exports no function %s", name)
	}
	got := f.Definition()
	if string(got.ParamTypes()) != string(want.params) || string(got.ResultTypes()) != string(want.results) {
		return nil, inos.Errorf(inos.CodeBadFormat, "load module", "the export %s has other parameters or results than guest ABI %d says", name, abiVersion)
	}
	return f, nil
}

// call runs an export to its end. Its result, if any, is returned.
func (in *instance) call(ctx context.Context, f api.Function, params ...uint64) (uint64, error) {
	if in.broken != nil {
		return 0, in.broken
	}
	copy(in.stack[:], params)
	if err := f.CallWithStack(ctx, in.stack[:]); err != nil {
		in.broken = &trapError{inos.Errorf(inos.CodeModuleFailed, "call "+f.Definition().Name(), "the module trapped: %w", err)}
		return 0, in.broken
	}
	return in.stack[0], nil
}

// breach marks the instance as one that broke the ABI.
func (in *instance) breach(format string, args ...any) error {
	in.broken = &breachError{inos.Errorf(inos.CodeModuleFailed, "call module", "the module broke the guest ABI: "+format, args...)}
	return in.broken
}

// inputView returns n bytes of guest memory to fill with the next input. The view ends with the next call.
func (in *instance) inputView(ctx context.Context, n int) ([]byte, error) {
	if in.broken != nil {
		return nil, in.broken
	}
	if need := uint32(n); need > in.inputBytes {
		if err := in.growInput(ctx, need); err != nil {
			return nil, err
		}
	}
	view, ok := in.memory.Read(in.input, uint32(n))
	if !ok {
		return nil, in.breach("the input buffer %d+%d is outside the memory of %d bytes", in.input, n, in.memory.Size())
	}
	return view, nil
}

func (in *instance) growInput(ctx context.Context, need uint32) error {
	size := max(in.inputBytes, inputBytesMin)
	for size < need {
		size *= 2
	}
	size = max(min(size, frameBytesMax), need)
	if in.inputBytes > 0 {
		if _, err := in.call(ctx, in.free, uint64(in.input), uint64(in.inputBytes)); err != nil {
			return err
		}
		in.inputBytes = 0
	}
	address, err := in.call(ctx, in.alloc, uint64(size))
	if err != nil {
		return err
	}
	if address == 0 {
		return in.breach("inos_alloc(%d) returned 0", size)
	}
	if _, ok := in.memory.Read(uint32(address), size); !ok {
		return in.breach("inos_alloc(%d) returned %d, the memory has %d bytes", size, uint32(address), in.memory.Size())
	}
	in.input, in.inputBytes = uint32(address), size
	return nil
}

// output returns the view of guest memory that a result of ptr<<32|len names, at most bytesMax long.
func (in *instance) output(result uint64, bytesMax int) ([]byte, error) {
	ptr, n := uint32(result>>32), uint32(result)
	if uint64(n) > uint64(bytesMax) {
		return nil, in.breach("an output of %d bytes, at most %d", n, bytesMax)
	}
	view, ok := in.memory.Read(ptr, n)
	if !ok {
		return nil, in.breach("the output %d+%d is outside the memory of %d bytes", ptr, n, in.memory.Size())
	}
	return view[:n:n], nil
}

// close frees everything; the instance must not be used after it.
func (in *instance) close(ctx context.Context) {
	in.unload(ctx)
	if in.broken == nil {
		in.broken = inos.Errorf(inos.CodeShuttingDown, "call module", "the module is closed")
	}
}

func (in *instance) unload(ctx context.Context) {
	if in.runtime != nil {
		_ = in.runtime.Close(ctx) // only host modules with a Close of their own can fail
		in.runtime = nil
	}
	if in.cache != nil {
		_ = in.cache.Close(ctx)
		in.cache = nil
	}
}

// trapError says that guest code ended a call by a trap or an exit.
type trapError struct{ err *inos.Error }

// Error implements error.
func (e *trapError) Error() string { return e.err.Error() }

// Unwrap returns the error with its code.
func (e *trapError) Unwrap() error { return e.err }

// breachError says that guest code returned, with values that the ABI forbids.
type breachError struct{ err *inos.Error }

// Error implements error.
func (e *breachError) Error() string { return e.err.Error() }

// Unwrap returns the error with its code.
func (e *breachError) Unwrap() error { return e.err }
