package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/kernel"
)

// hostToken is the token id of a node itself.
const hostToken = "host"

// process is one node: a kernel and the model of its host.
type process struct {
	w           *World
	index       int
	id          inos.NodeID
	zone, host  string
	tier        inos.Tier
	offered     uint64
	switchboard bool
	provider    bool
	invite      []byte
	workerSlots uint32

	up       bool
	frozen   bool // stopped, and may be continued
	lost     bool // never comes back
	removed  bool // the operator took it out
	draining bool
	leaves   inos.Micros // since when it drains or is removed, if it does
	joined   bool        // was started once
	member   bool        // the semantic memory knows it
	life     int         // counts its starts
	clean    bool        // it was stopped in order
	since    inos.Micros
	slept    inos.Micros // for how long it was stopped in all its lives
	offset   inos.Micros // of its clock
	kernel   *kernel.Kernel
	parrots  map[inos.ChunkID]parrot // trash orders that come again
	disk     *disk
	liar     lie

	proved     map[inos.ChunkID]bool        // chunks proved to an audit since the map last trusted the node anew
	retired    map[inos.ChunkID]inos.Micros // when the map last let go of the copy here as surplus
	wrote      map[inos.ChunkID]inos.Micros // when its disk was last given a chunk
	looked     map[inos.ChunkID]bool        // chunks found there, or written, since the map last trusted the node anew, by the map's own word
	audits     audits
	apart      inos.Micros // until then it and the switchboard may not hear each other
	named      bool        // by the audits, once
	crashed    inos.Micros // when it last came back from a crash
	distrusted inos.Micros // when the map last stopped trusting its copies
	dead       inos.Micros // when the switchboard last called it so; 0: not in its present life
	gone       inos.Micros // when it last gave the node up: its copies are made elsewhere; 0: not in its present life
	heard      inos.Micros // when something of it last came to the switchboard
	silence    silence

	buffers  map[uint64][]byte
	hostBuf  uint64
	pending  map[string]*effect
	serving  map[string]*delivery
	requests map[string]*request
	asked    map[string]bool // by the world itself: node:status
	streams  map[uint64]*stream
	stream   uint64
	workers  []worker
	backlog  []*eventpb.Envelope
	wake     inos.Micros // the time at which the kernel wants to be called, by its own clock
	alarm    inos.Micros // the time at which it will be, by the world's; 0: it will not
	steps    uint64
}

// worker is one slot of a process.
type worker struct {
	pid  uint32
	up   bool
	free inos.Micros // when the last call ends
}

// effect is one that a kernel asked for and that has not ended.
type effect struct {
	p       *process
	life    int
	seq     uint64
	env     *eventpb.Envelope
	done    bool // performed, though the kernel has not heard of it
	ended   bool
	message event.Message
	err     error
	out     []byte // what its output buffer is filled with
	buffer  uint64 // that buffer; 0: none
	raw     []byte // of a read of a body: what a second one is filled with
	rawIn   uint64 // that buffer; 0: none
	copying copying
}

// now is the time on the process's clock.
func (p *process) now() inos.Micros { return p.w.now + p.offset }

func (p *process) String() string { return string(p.id) }

// hostEnvelope is an envelope of the host's own.
func (p *process) hostEnvelope(typ string, m event.Message) *eventpb.Envelope {
	e := &eventpb.Envelope{Id: p.w.newID(p.now()), EventType: typ, Timestamp: int64(p.now()), Metadata: &eventpb.Metadata{SecurityToken: hostToken}}
	if m != nil {
		e.Payload = event.Payload(m)
	}
	return e
}

// start begins a life of the process.
func (w *World) start(p *process) {
	if p.up || p.lost {
		return
	}
	p.life++
	p.up, p.frozen, p.joined = true, false, true
	p.since = w.now
	p.kernel = kernel.New()
	p.buffers, p.pending, p.serving = map[uint64][]byte{}, map[string]*effect{}, map[string]*delivery{}
	p.requests, p.streams = map[string]*request{}, map[uint64]*stream{}
	p.asked = map[string]bool{}
	p.hostBuf = 1 << 63
	p.backlog, p.wake, p.alarm = nil, 0, 0
	p.workers = make([]worker, p.workerSlots)
	seed := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(p.id), w.seed^uint64(p.life)<<32))
	boot := &eventpb.NodeBoot{
		NodeId: string(p.id), Zone: p.zone, Host: p.host, Seed: seed[:], Workers: p.workerSlots, ModuleId: moduleID[:],
		BufferBytesMax: 64 << 20, Unclean: !p.clean && p.life > 1, Version: "sim", Switchboard: p.switchboard, Provider: p.provider,
		Invite: p.invite, HeartbeatUs: int64(w.heartbeat), GraceColdUs: int64(w.graceCold), GraceHotUs: int64(w.graceHot),
		Operator: "ann", Tier: string(p.tier), OfferedBytes: p.offered, Addrs: []string{"/sim/" + string(p.id)}, RepairBytesPerSecond: w.repairRate,
		Rebuild: p.switchboard && w.rebuilding,
	}
	if !p.switchboard {
		boot.Switchboards = []string{string(w.board.id)}
	}
	p.clean = false
	if boot.Unclean {
		p.crashed = w.now
	}
	if p == w.board {
		for _, q := range w.nodes {
			q.dead, q.gone = 0, 0
			q.silence.heard, q.silence.failed = w.awake(), 0 // its kernel knows of no silence before
			q.audits = audits{}                              // nor of any audit
		}
	}
	w.logf("%s starts, life %d, unclean %t", p, p.life, boot.Unclean)
	p.give(p.hostEnvelope(event.NodeBoot, boot))
	if p.switchboard {
		for _, s := range sessions {
			p.give(p.hostEnvelope(event.IdentitySession, s))
		}
	}
	w.connect(p)
}

// moduleID names the storage module.
var moduleID = hash([]byte("storage"))

// sessions are the clients that the switchboard knows.
var sessions = []*eventpb.Session{
	{TokenId: "t-ann", Subject: "ann", Device: "laptop", Capabilities: []string{"*:*:*"}},
	{TokenId: "t-bob", Subject: "bob", Device: "phone", Capabilities: []string{"files:*:*"}},
}

// crash kills the process: what was under way on its disk and in its memories has happened or not.
func (w *World) crash(p *process) {
	if !p.up {
		return
	}
	w.logf("%s is killed", p)
	p.halt()
	w.disconnect(p)
}

func (p *process) halt() {
	w := p.w
	pending := make([]*effect, 0, len(p.pending))
	for _, f := range p.pending {
		pending = append(pending, f)
	}
	slices.SortFunc(pending, func(a, b *effect) int { return int(int64(a.seq) - int64(b.seq)) })
	for _, f := range pending {
		if !f.done && durable(f.env.EventType) && w.chance(f.env.EventType).IntN(2) == 0 {
			f.perform()
		}
		f.ended = true
	}
	p.up, p.frozen, p.kernel, p.since = false, false, nil, w.now
	p.life++
	for _, id := range sortedKeys(p.requests) {
		w.hungUp(p.requests[id])
	}
	p.buffers, p.pending, p.requests, p.streams, p.backlog = nil, nil, nil, nil, nil
	w.dropCalls(p)
}

// durable says that an effect changes what outlives the process.
func durable(effect string) bool {
	switch event.Stage(effect)[:4] {
	case "cont", "sema":
		return true
	}
	return false
}

// give steps the kernel with an envelope, or keeps it until the process goes on.
func (p *process) give(e *eventpb.Envelope) {
	if !p.up {
		return
	}
	if p.frozen {
		p.backlog = append(p.backlog, e)
		return
	}
	p.step(e)
}

// step steps the kernel and begins what it asks for.
func (p *process) step(e *eventpb.Envelope) {
	w := p.w
	w.steps++
	p.steps++
	if w.steps > stepsPerNode*uint64(len(w.nodes)) {
		w.violate("the kernels do not come to rest: %d steps, %d of them of %s", w.steps, p.steps, p)
		return
	}
	if w.tracing() {
		w.traceStep(p, e)
	}
	if w.plan.swaps && w.chance(e.EventType).IntN(400) == 0 {
		p.swap()
	}
	eff, ok := p.safely(e)
	if !ok {
		return
	}
	p.wake = eff.Wake
	if eff.Wake != 0 && eff.Wake <= p.now() {
		w.violate("%s wants to be woken at %d, which is not after now", p, eff.Wake)
	}
	for _, out := range eff.Out {
		w.note(p, out)
		if w.tracing() {
			w.traceEffect(p, out)
		}
		if !p.up {
			return // a checker may have ended the world
		}
		if event.StateOf(out.EventType) != event.StateRequested {
			p.reply(out)
			continue
		}
		p.begin(out)
	}
	if n := len(p.pending); n > flightsMax {
		w.violate("%s has %d effects under way", p, n)
	}
	p.setAlarm()
}

// stepsPerNode bounds a world. Usual ones need a hundredth.
const stepsPerNode = 50_000

// flightsMax and buffersMax bound what a kernel may have under way: its own bound of flights, and two buffers for each chunk in work with
// one for each request.
const (
	flightsMax = 8192
	buffersMax = 64 + 2*64 + 256
)

// safely steps the kernel; a panic is a violation.
func (p *process) safely(e *eventpb.Envelope) (eff kernel.Effects, ok bool) {
	if !p.w.catch {
		return p.kernel.Step(p.now(), e), true
	}
	defer func() {
		if r := recover(); r != nil {
			p.w.violate("the kernel of %s panics: %v%s", p, r, panicSite())
			eff, ok = kernel.Effects{}, false
		}
	}()
	return p.kernel.Step(p.now(), e), true
}

// swap puts a kernel restored from a snapshot in the place of the process's own: nothing may come of it.
func (p *process) swap() {
	next := kernel.New()
	if err := next.Restore(p.kernel.Snapshot()); err != nil {
		p.w.violate("the snapshot of %s is refused: %v", p, err)
		return
	}
	p.kernel = next
}

// panicSite names the lines of the kernel that a panic came through.
func panicSite() (s string) {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if strings.Contains(f.File, "/kernel/") {
			s += fmt.Sprintf(" < %s:%d", filepath.Base(f.File), f.Line)
		}
	}
	return s
}

// setAlarm sees to it that the kernel is called when it wants to be.
func (p *process) setAlarm() {
	if p.wake == 0 {
		return
	}
	at := max(p.wake-p.offset, p.w.now+1)
	if p.alarm != 0 && p.alarm <= at {
		return
	}
	p.alarm = at
	life := p.life
	p.w.at(at, func() {
		if p.life != life || p.alarm != at {
			return
		}
		p.alarm = 0
		if p.frozen {
			return // continue sets it again
		}
		if p.wake == 0 || p.wake > p.now() {
			p.setAlarm()
			return
		}
		p.step(p.hostEnvelope(event.NodeTick, nil))
	})
}

// freeze stops the process as a signal would; melt lets it go on.
func (p *process) freeze() {
	if p.up && !p.frozen {
		p.w.logf("%s is stopped", p)
		p.frozen, p.since = true, p.w.now
	}
}

func (p *process) melt() {
	if !p.up || !p.frozen {
		return
	}
	p.w.logf("%s goes on", p)
	p.slept += p.w.sleepOf(p.w.now - p.since)
	p.frozen, p.since = false, p.w.now
	if p == p.w.board {
		for _, q := range p.w.nodes {
			q.heard = p.w.now // what came meanwhile is only heard now
		}
	}
	backlog := p.backlog
	p.backlog = nil
	life := p.life
	for _, e := range backlog {
		if p.up && p.life == life {
			p.step(e)
		}
	}
	p.setAlarm()
}

// begin starts an effect.
func (p *process) begin(e *eventpb.Envelope) {
	w := p.w
	if e.EventType == event.BufferFill {
		var q eventpb.BufferFill
		w.open(e, &q)
		if _, ok := parseNode(q.Bytes); !ok {
			w.violate("%s fills buffer %d with what is no manifest node", p, q.Buffer)
		}
		w.ever[chunkID(q.Bytes)] = q.Bytes
		p.fill(q.Buffer, q.Bytes)
		return
	}
	if e.EventType == event.BufferRelease {
		var q eventpb.BufferRelease
		w.open(e, &q)
		for _, b := range q.Buffers {
			if _, ok := p.buffers[b]; !ok {
				w.violate("%s releases buffer %d, which does not exist", p, b)
			}
			delete(p.buffers, b)
		}
		return
	}
	w.seq++
	f := &effect{p: p, life: p.life, seq: w.seq, env: e}
	if p.pending[e.Id] != nil {
		w.violate("%s asks for two effects with the id %s", p, e.Id)
	}
	p.pending[e.Id] = f
	switch e.EventType {
	case event.WorkerCall, event.WorkerStart, event.WorkerStop:
		p.beginWorker(f)
	case event.MeshCall:
		w.beginCall(f)
	default:
		if e.EventType == event.WantRepairs {
			var q eventpb.WantRepairsRequest
			w.open(e, &q)
			w.checkWanted(&q)
		}
		if e.EventType == event.DropCopies {
			var q eventpb.DropCopiesRequest
			w.open(e, &q)
			w.dropping(&q)
		}
		at := w.now + p.latency(e.EventType)
		if r := w.chance(e.EventType); durable(e.EventType) && r.IntN(4) == 0 {
			w.at(w.now+1+inos.Micros(r.Int64N(int64(at-w.now))), f.early)
		}
		w.at(at, f.end)
	}
}

// early performs an effect whose end is told later.
func (f *effect) early() {
	if f.ended || f.done || f.p.life != f.life {
		return
	}
	f.perform()
}

// end performs an effect unless that has happened, and tells the kernel.
func (f *effect) end() {
	p := f.p
	if f.ended || p.life != f.life || !p.up {
		return
	}
	if !f.done {
		f.perform()
	}
	f.tell()
}

// tell gives the end of an effect to its kernel.
func (f *effect) tell() {
	p := f.p
	f.ended = true
	if p.switchboard && f.env.EventType == event.MeshCall {
		p.w.called(f)
	}
	delete(p.pending, f.env.Id)
	var reply *eventpb.Envelope
	if f.err != nil {
		reply = event.Failed(f.env, p.now(), f.err)
	} else {
		if f.buffer != 0 && f.out != nil {
			p.fill(f.buffer, f.out)
		}
		if f.rawIn != 0 {
			p.fill(f.rawIn, f.raw)
		}
		reply = event.Reply(f.env, event.StateCompleted, p.now(), event.Payload(f.message))
	}
	if reply.Metadata == nil {
		reply.Metadata = &eventpb.Metadata{}
	}
	reply.Metadata.SecurityToken = hostToken
	p.give(reply)
}

func (p *process) fill(buffer uint64, b []byte) {
	if _, ok := p.buffers[buffer]; ok {
		p.w.violate("%s has buffer %d filled twice", p, buffer)
	}
	p.buffers[buffer] = b
	if n := len(p.buffers); n > p.w.buffersMost {
		p.w.buffersMost = n
		if n > buffersMax {
			p.w.violate("%s has %d buffers", p, n)
		}
	}
}

// buffer returns the bytes of a buffer that an effect uses.
func (p *process) buffer(number uint64) []byte {
	b, ok := p.buffers[number]
	if !ok {
		p.w.violate("%s uses buffer %d, which does not exist", p, number)
	}
	return b
}

// reply takes an answer of the kernel to a client or to another node.
func (p *process) reply(e *eventpb.Envelope) {
	if d := p.serving[e.Id]; d != nil {
		p.w.served(p, d, e)
		return
	}
	if r := p.requests[e.Id]; r != nil {
		p.w.answered(r, e)
		return
	}
	if p.asked[e.Id] {
		delete(p.asked, e.Id)
		p.checkStatus(e)
		return
	}
	p.w.violate("%s answers %s %s, which nobody asked", p, e.EventType, e.Id)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
