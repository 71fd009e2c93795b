package engine

import (
	"encoding/binary"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A small assembler of WebAssembly for the modules of these tests.

const (
	tI32 = 0x7f
	tI64 = 0x7e

	opUnreachable = 0x00
	opLoop        = 0x03
	opIf          = 0x04
	opEnd         = 0x0b
	opBr          = 0x0c
	opReturn      = 0x0f
	opDrop        = 0x1a
	opI64ExtendU  = 0xad
	opI64Shl      = 0x86
	opI64Or       = 0x84
	opI32Add      = 0x6a
	opI32Eq       = 0x46
	opI32Eqz      = 0x45
	opVoid        = 0x40
)

func uleb(n uint64) []byte { return binary.AppendUvarint(nil, n) }

func sleb(n int64) (b []byte) {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func code(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func constI32(n int) []byte   { return append([]byte{0x41}, sleb(int64(int32(n)))...) }
func constI64(n int64) []byte { return append([]byte{0x42}, sleb(n)...) }
func get(local int) []byte    { return append([]byte{0x20}, uleb(uint64(local))...) }
func globalGet(g int) []byte  { return append([]byte{0x23}, uleb(uint64(g))...) }
func globalSet(g int) []byte  { return append([]byte{0x24}, uleb(uint64(g))...) }
func callTo(f int) []byte     { return append([]byte{0x10}, uleb(uint64(f))...) }
func loadByte(off int) []byte { return append([]byte{0x2d, 0}, uleb(uint64(off))...) }
func loadI32(off int) []byte  { return append([]byte{0x28, 0}, uleb(uint64(off))...) }
func storeI32(off int) []byte { return append([]byte{0x36, 0}, uleb(uint64(off))...) }
func storeI64(off int) []byte { return append([]byte{0x37, 0}, uleb(uint64(off))...) }
func memoryGrow() []byte      { return []byte{0x40, 0} }
func memoryCopy() []byte      { return []byte{0xfc, 10, 0, 0} }
func pair(ptr, n []byte) []byte { // ptr<<32|len
	return code(ptr, opI64ExtendU, constI64(32), opI64Shl, n, opI64ExtendU, opI64Or)
}

// ifByte runs body when the byte on the stack's local is c.
func ifEqual(value []byte, c byte, body ...any) []byte {
	return code(value, constI32(int(c)), opI32Eq, opIf, opVoid, code(body...), opEnd)
}

type asmFunc struct {
	export          string
	params, results []byte
	locals          int // of i32
	body            []byte
}

type asmImport struct {
	module, name    string
	params, results []byte
}

type asmModule struct {
	imports  []asmImport
	funcs    []asmFunc
	pages    int
	noMemory bool
	globals  []int // initial values, mutable i32
	data     map[int][]byte
}

func (m asmModule) bytes() []byte {
	vec := func(items ...[]byte) []byte {
		return append(uleb(uint64(len(items))), slices.Concat(items...)...)
	}
	name := func(s string) []byte { return append(uleb(uint64(len(s))), s...) }
	section := func(id byte, body []byte) []byte {
		return slices.Concat([]byte{id}, uleb(uint64(len(body))), body)
	}
	var types, imports, funcs, exports, bodies, globals, data [][]byte
	addType := func(params, results []byte) []byte {
		types = append(types, slices.Concat([]byte{0x60}, uleb(uint64(len(params))), params, uleb(uint64(len(results))), results))
		return uleb(uint64(len(types) - 1))
	}
	for _, i := range m.imports {
		imports = append(imports, slices.Concat(name(i.module), name(i.name), []byte{0}, addType(i.params, i.results)))
	}
	for n, f := range m.funcs {
		funcs = append(funcs, addType(f.params, f.results))
		if f.export != "" {
			exports = append(exports, slices.Concat(name(f.export), []byte{0}, uleb(uint64(len(m.imports)+n))))
		}
		body := append([]byte{0}, f.body...)
		if f.locals > 0 {
			body = slices.Concat([]byte{1}, uleb(uint64(f.locals)), []byte{tI32}, f.body)
		}
		body = append(body, opEnd)
		bodies = append(bodies, append(uleb(uint64(len(body))), body...))
	}
	if !m.noMemory {
		exports = append(exports, slices.Concat(name("memory"), []byte{2, 0}))
	}
	for _, g := range m.globals {
		globals = append(globals, code(tI32, 1, constI32(g), opEnd))
	}
	for offset, b := range m.data {
		data = append(data, code(0, constI32(offset), opEnd, uleb(uint64(len(b))), b))
	}
	return slices.Concat(
		[]byte("\x00asm\x01\x00\x00\x00"),
		section(1, vec(types...)), section(2, vec(imports...)), section(3, vec(funcs...)),
		section(5, vec(append([]byte{0}, uleb(uint64(m.pages))...))),
		section(6, vec(globals...)), section(7, vec(exports...)), section(10, vec(bodies...)), section(11, vec(data...)),
	)
}

const (
	manifestAt = 1024  // address of the module's manifest answer
	scratchAt  = 8192  // of small outputs
	heapAt     = 65536 // of the input buffer: the only allocation
)

// moduleMemoryMax is what the test module's manifest declares.
const moduleMemoryMax = 32 << 20

func manifestAnswer() []byte {
	return event.AppendGuest(nil, event.Encode(nil, &eventpb.Envelope{
		Id: event.NewID(1, [10]byte{}), EventType: "module:manifest:v1:completed", Timestamp: 1,
		Payload: event.Payload(&eventpb.ModuleManifest{
			Name: "test", Version: "1", Services: []string{"test:echo:v1:requested"},
			MemoryBytesMax: moduleMemoryMax, DeadlineUs: uint64(inos.Second),
		}),
	}), nil)
}

// abiFuncs are inos_abi, inos_alloc and inos_free: a bump of memory at heapAt that grows to fit.
func abiFuncs(version int) []asmFunc {
	return []asmFunc{
		{export: "inos_abi", results: []byte{tI32}, body: constI32(version)},
		{export: "inos_alloc", params: []byte{tI32}, results: []byte{tI32}, body: code(constI32(heapAt))},
		{export: "inos_free", params: []byte{tI32, tI32}},
	}
}

// testModule answers by the first byte of the envelope: E echo, L endless loop, T trap, M grow by a page for ever
// (trapping when it cannot), G the same (echoing when it cannot), O output beyond the memory, H output longer than a frame, S output too short to be a guest
// message, N envelope length beyond the message; anything else gets the manifest.
func testModule() asmModule {
	first := code(get(0), loadByte(4))
	answer := manifestAnswer()
	// spill makes n bytes at scratchAt, with a length word, the answer.
	spill := func(word, n int) []byte {
		return code(constI32(scratchAt), constI32(word), storeI32(0), pair(constI32(scratchAt), constI32(n)), opReturn)
	}
	// grow takes page after page and fills each, (memory.size - 1) << 16, so that it counts; then runs end.
	grow := func(end any) []byte {
		return code(opLoop, opVoid,
			constI32(1), memoryGrow(), constI32(-1), opI32Eq, opIf, opVoid, code(end), opEnd,
			code(0x3f, 0), constI32(1), 0x6b, constI32(16), 0x74, constI32(1), constI32(pageBytes), []byte{0xfc, 11, 0},
			opBr, 0, opEnd)
	}
	handle := asmFunc{
		export: "inos_handle", params: []byte{tI32, tI32}, results: []byte{tI64},
		body: code(
			ifEqual(first, 'E', pair(get(0), get(1)), opReturn),
			ifEqual(first, 'L', opLoop, opVoid, opBr, 0, opEnd),
			ifEqual(first, 'T', opUnreachable),
			ifEqual(first, 'M', grow(opUnreachable)),
			ifEqual(first, 'G', grow(code(pair(get(0), get(1)), opReturn))),
			ifEqual(first, 'O', pair(constI32(-16), constI32(4096)), opReturn),
			ifEqual(first, 'H', pair(constI32(0), constI32(frameBytesMax+1)), opReturn),
			ifEqual(first, 'S', spill(0, 3)),
			ifEqual(first, 'N', spill(1<<20, 64)),
			pair(constI32(manifestAt), constI32(len(answer))),
		),
	}
	return asmModule{
		funcs: append(abiFuncs(abiVersion), handle), pages: (heapAt+frameBytesMax)/pageBytes + 2,
		data: map[int][]byte{manifestAt: answer},
	}
}

// testKernel answers a step with wake = now and one effect, by the first byte of the envelope: C the wall and the
// monotonic clock, R 16 random bytes, T trap, X exit with status 7 after writing to standard error, S sleep 1 ms and
// the monotonic clock, Z sleep an hour and the result, W wake at -1, O output beyond the memory; anything else is
// counted and echoed. Its snapshot is the count, and 3 MiB of a repeated byte.
func testKernel() asmModule {
	const clockTimeGet, randomGet, fdWrite, procExit, pollOneoff = 0, 1, 2, 3, 4
	imports := []asmImport{
		{wasiModule, "clock_time_get", []byte{tI32, tI64, tI32}, []byte{tI32}},
		{wasiModule, "random_get", []byte{tI32, tI32}, []byte{tI32}},
		{wasiModule, "fd_write", []byte{tI32, tI32, tI32, tI32}, []byte{tI32}},
		{wasiModule, "proc_exit", []byte{tI32}, nil},
		{wasiModule, "poll_oneoff", []byte{tI32, tI32, tI32, tI32}, []byte{tI32}},
		{wasiModule, "sock_accept", []byte{tI32, tI32, tI32}, []byte{tI32}},
	}
	const out, snapAt = scratchAt, heapAt + 8<<20
	first := code(get(1), loadByte(0))
	// effect ends a step with the n bytes at out+12 as its effect.
	effect := func(n []byte) []byte {
		return code(
			constI32(out), get(0), storeI64(0),
			constI32(out), n, storeI32(8),
			pair(constI32(out), code(n, constI32(12), opI32Add)), opReturn)
	}
	sleep := func(nanos int64) []byte {
		return code(
			constI32(2048), constI64(0), storeI64(8), // a timer, relative
			constI32(2048), constI64(nanos), storeI64(24),
			constI32(2048), constI64(0), storeI64(40),
			constI32(2048), constI32(3072), constI32(1), constI32(4000), callTo(pollOneoff))
	}
	clock := func(id, at int) []byte {
		return code(constI32(id), constI64(0), constI32(at), callTo(clockTimeGet), opDrop)
	}
	step := asmFunc{
		export: "inos_step", params: []byte{tI64, tI32, tI32}, results: []byte{tI64},
		body: code(
			ifEqual(first, 'C', clock(0, out+12), clock(1, out+20), effect(constI32(16))),
			ifEqual(first, 'R', constI32(out+12), constI32(16), callTo(randomGet), opDrop, effect(constI32(16))),
			ifEqual(first, 'T', opUnreachable),
			ifEqual(first, 'X',
				constI32(2048), constI32(512), storeI32(0), constI32(2048), constI32(5), storeI32(4),
				constI32(2), constI32(2048), constI32(1), constI32(4000), callTo(fdWrite), opDrop,
				constI32(7), callTo(procExit)),
			ifEqual(first, 'S', sleep(1e6), opDrop, clock(1, out+12), effect(constI32(8))),
			ifEqual(first, 'Z', constI32(out+12), sleep(3600e9), storeI32(0), effect(constI32(4))),
			ifEqual(first, 'A', constI32(out+12), constI32(1), constI32(2), constI32(3), callTo(5), storeI32(0), effect(constI32(4))),
			ifEqual(first, 'W', constI32(out), constI64(-1), storeI64(0), pair(constI32(out), constI32(8)), opReturn),
			ifEqual(first, 'O', pair(constI32(-16), constI32(4096)), opReturn),
			globalGet(0), constI32(1), opI32Add, globalSet(0),
			constI32(out+12), get(1), get(2), memoryCopy(),
			effect(get(2)),
			opUnreachable,
		),
	}
	// Four pieces: the count, then three times 1 MiB.
	snapshot := asmFunc{
		export: "inos_snapshot", params: []byte{tI32}, results: []byte{tI64},
		body: code(
			globalGet(1), constI32(1), opI32Add, globalSet(1),
			ifEqual(globalGet(1), 1, constI32(snapAt), globalGet(0), storeI32(0), pair(constI32(snapAt), constI32(4)), opReturn),
			ifEqual(globalGet(1), 5, constI32(0), globalSet(1), constI64(0), opReturn),
			constI32(snapAt), constI32(0x55), constI32(1<<20), []byte{0xfc, 11, 0}, // memory.fill
			pair(constI32(snapAt), constI32(1<<20)),
		),
	}
	// The first piece begins with the count; the sum of the lengths must be that of a snapshot.
	restore := asmFunc{
		export: "inos_restore", params: []byte{tI32, tI32, tI32}, results: []byte{tI32},
		body: code(
			ifEqual(globalGet(2), 0, get(0), loadI32(0), globalSet(0)),
			globalGet(2), get(1), opI32Add, globalSet(2),
			get(2), opI32Eqz, opIf, opVoid, constI32(0), opReturn, opEnd,
			globalGet(2), constI32(4+3<<20), opI32Eq, opI32Eqz, opIf, opVoid, constI32(9), opReturn, opEnd,
			constI32(0), globalSet(2), constI32(0),
		),
	}
	return asmModule{
		imports: imports, funcs: append(abiFuncs(abiVersion), step, snapshot, restore),
		pages: (snapAt+1<<20)/pageBytes + 1, globals: []int{0, 0, 0},
		data: map[int][]byte{512: []byte("oops\n")},
	}
}
