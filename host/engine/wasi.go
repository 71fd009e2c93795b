package engine

import (
	"context"
	"encoding/binary"
	"io"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/inos-mesh/inos"
)

const wasiModule = "wasi_snapshot_preview1"

// Errors of WASI, preview 1.
const (
	wasiOK        = 0
	wasiBadFile   = 8  // badf
	wasiFault     = 21 // fault
	wasiInvalid   = 28 // inval
	wasiNoSupport = 52 // nosys
)

// wasi serves the imports of a kernel so that two runs with the same inputs are equal in all of memory: the clock
// is the time of the step, random bytes come from a fixed stream, sleeping moves the clock, and there is nothing else.
type wasi struct {
	now    inos.Micros // wall clock of this step
	nanos  int64       // monotonic clock; grows by one at each reading, so that no loop waits for it in vain
	slept  int64       // nanoseconds asked for in this step
	random uint64      // state of the stream
	log    io.Writer   // what the guest writes to standard output and error
}

func newWASI(log io.Writer) *wasi {
	return &wasi{nanos: 1, random: 0x696e6f73, log: log} // Go's runtime refuses a clock at zero; the seed is any constant
}

// step sets the clock. A time before the last one leaves the monotonic clock where it is.
func (w *wasi) step(now inos.Micros) {
	w.now, w.slept = now, 0
	w.nanos = max(w.nanos, int64(now)*1000)
}

// wasiFunction serves one import; stack holds the parameters and then the result.
type wasiFunction struct {
	params int
	serve  func(w *wasi, m api.Memory, stack []uint64) uint64
}

var wasiFunctions = map[string]wasiFunction{
	"clock_time_get":    {3, (*wasi).clockTimeGet},
	"random_get":        {2, (*wasi).randomGet},
	"fd_write":          {4, (*wasi).fdWrite},
	"poll_oneoff":       {4, (*wasi).pollOneoff},
	"proc_exit":         {1, func(_ *wasi, _ api.Memory, stack []uint64) uint64 { panic(sys.NewExitError(uint32(stack[0]))) }},
	"sched_yield":       {0, func(*wasi, api.Memory, []uint64) uint64 { return wasiOK }},
	"args_sizes_get":    {2, (*wasi).sizesZero},
	"environ_sizes_get": {2, (*wasi).sizesZero},
	"args_get":          {2, func(*wasi, api.Memory, []uint64) uint64 { return wasiOK }},
	"environ_get":       {2, func(*wasi, api.Memory, []uint64) uint64 { return wasiOK }},
	"fd_prestat_get":    {2, func(*wasi, api.Memory, []uint64) uint64 { return wasiBadFile }},
	"fd_fdstat_get":     {2, func(*wasi, api.Memory, []uint64) uint64 { return wasiBadFile }},
}

// bind defines exactly the functions that the module imports. Functions of WASI that are not served answer "not
// supported"; an import from anywhere else is refused.
func (w *wasi) bind(ctx context.Context, runtime wazero.Runtime, compiled wazero.CompiledModule) error {
	const op = "load kernel"
	for _, m := range compiled.ImportedMemories() {
		module, name, _ := m.Import()
		return inos.Errorf(inos.CodeBadFormat, op, "the kernel imports the memory %s.%s", module, name)
	}
	builder := runtime.NewHostModuleBuilder(wasiModule)
	for _, f := range compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if module != wasiModule {
			return inos.Errorf(inos.CodeBadFormat, op, "the kernel imports %s.%s; it may import %s only", module, name, wasiModule)
		}
		served, known := wasiFunctions[name]
		if known && served.params != len(f.ParamTypes()) {
			return inos.Errorf(inos.CodeBadFormat, op, "the kernel imports %s with %d parameters, it has %d", name, len(f.ParamTypes()), served.params)
		}
		results := len(f.ResultTypes())
		builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, stack []uint64) {
			errno := uint64(wasiNoSupport)
			if known {
				errno = served.serve(w, m.Memory(), stack)
			}
			if results > 0 {
				stack[0] = errno
			}
		}), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	if _, err := builder.Instantiate(ctx); err != nil {
		return inos.Errorf(inos.CodeBadFormat, op, "bind the kernel's imports: %w", err)
	}
	return nil
}

// clockTimeGet(clock, precision, result address): clock 0 is the wall clock, 1 the monotonic one.
func (w *wasi) clockTimeGet(m api.Memory, stack []uint64) uint64 {
	var t int64
	switch uint32(stack[0]) {
	case 0:
		t = int64(w.now) * 1000
	case 1:
		t = w.nanos
		w.nanos++
	default:
		return wasiInvalid
	}
	return fault(m.WriteUint64Le(uint32(stack[2]), uint64(t)))
}

// randomGet(address, length) writes the next bytes of SplitMix64.
func (w *wasi) randomGet(m api.Memory, stack []uint64) uint64 {
	view, ok := m.Read(uint32(stack[0]), uint32(stack[1]))
	if !ok {
		return wasiFault
	}
	var word [8]byte
	for len(view) > 0 {
		w.random += 0x9e3779b97f4a7c15
		z := w.random
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(word[:], z^z>>31)
		view = view[copy(view, word[:]):]
	}
	return wasiOK
}

// fdWrite(file, vectors, count, result address) appends to the log; only standard output and error exist.
func (w *wasi) fdWrite(m api.Memory, stack []uint64) uint64 {
	if file := uint32(stack[0]); file != 1 && file != 2 {
		return wasiBadFile
	}
	vectors, ok := m.Read(uint32(stack[1]), uint32(min(stack[2]&0xffffffff, 1024))*8)
	if !ok {
		return wasiFault
	}
	written := uint32(0)
	for ; len(vectors) > 0; vectors = vectors[8:] {
		b, ok := m.Read(binary.LittleEndian.Uint32(vectors), binary.LittleEndian.Uint32(vectors[4:]))
		if !ok {
			return wasiFault
		}
		_, _ = w.log.Write(b) // a tail, which never fails
		written += uint32(len(b))
	}
	return fault(m.WriteUint32Le(uint32(stack[3]), written))
}

// pollOneoff(subscriptions, events, count, result address) answers the earliest timer by moving the clock to it. A
// guest that sleeps longer than kernelSleepMax in one step gets an error, on which Go's runtime gives up.
func (w *wasi) pollOneoff(m api.Memory, stack []uint64) uint64 {
	const subscriptionBytes, eventBytes = 48, 32
	n := uint32(stack[2])
	if n == 0 || n > 64 {
		return wasiInvalid
	}
	subscriptions, ok := m.Read(uint32(stack[0]), n*subscriptionBytes)
	if !ok {
		return wasiFault
	}
	earliest, found := int64(0), []byte(nil)
	for ; len(subscriptions) > 0; subscriptions = subscriptions[subscriptionBytes:] {
		if subscriptions[8] != 0 { // not a timer
			continue
		}
		wait := int64(binary.LittleEndian.Uint64(subscriptions[24:]))
		if subscriptions[40]&1 != 0 { // an absolute time
			wait -= w.nanos
		}
		if wait = max(wait, 0); found == nil || wait < earliest {
			earliest, found = wait, subscriptions[:subscriptionBytes]
		}
	}
	if found == nil || earliest > int64(kernelSleepMax)-w.slept {
		return wasiNoSupport
	}
	w.nanos += earliest
	w.slept += earliest
	var event [eventBytes]byte
	copy(event[:8], found) // the subscription's user data; error 0, type 0 (clock)
	return fault(m.Write(uint32(stack[1]), event[:]) && m.WriteUint32Le(uint32(stack[3]), 1))
}

// sizesZero(count address, bytes address) says that there are no arguments and no environment.
func (w *wasi) sizesZero(m api.Memory, stack []uint64) uint64 {
	return fault(m.WriteUint32Le(uint32(stack[0]), 0) && m.WriteUint32Le(uint32(stack[1]), 0))
}

func fault(ok bool) uint64 {
	if !ok {
		return wasiFault
	}
	return wasiOK
}
