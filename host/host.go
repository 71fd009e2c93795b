// Package host is layer 1 on a machine: it embeds the kernel, performs the kernel's effects on disk, databases, worker
// processes, clients' connections and other nodes, and serves the HTTP interface. It decides nothing that the kernel could decide.
//
// A node is a switchboard, a provider or both. A switchboard has the memories, the workers and a certificate; a mere provider has
// its chunks and commit records, and the invite that let it in. What is signed or secret stays here: the kernel, and so its log, sees
// what signatures say, and handles.
//
// A Node lives through Open, Done or Close. One goroutine, the loop, steps the kernel; every effect runs in a goroutine
// of its own and its end goes back to the kernel as an envelope with the effect's id. The kernel bounds all of it.
package host

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/build"
	"github.com/inos-mesh/inos/data/content"
	"github.com/inos-mesh/inos/data/episodic"
	"github.com/inos-mesh/inos/data/semantic"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/api"
	"github.com/inos-mesh/inos/host/engine"
	"github.com/inos-mesh/inos/host/mesh"
)

const (
	// workersMax bounds the worker processes of a node.
	workersMax = 64
	// drainTimeout bounds how long Close waits for work under way.
	drainTimeout = 30 * time.Second
	// kernelRestartsMax within kernelRestartWindow end the node: a kernel that traps that often will not recover.
	kernelRestartsMax   = 5
	kernelRestartWindow = 10 * inos.Minute
	// recordReserveBytes stays free of commit records on the disk. It is far less than chunks leave: where no chunk fits any more, a
	// file is still removed, and that needs a record.
	recordReserveBytes = 8 << 20
)

// Node is a running node.
type Node struct {
	config   Config
	clock    clock
	folder   *folder
	id       inos.NodeID
	key      ed25519.PrivateKey
	moduleID [inos.HashBytes]byte
	kernelID [inos.HashBytes]byte
	content  inos.Content
	records  inos.Content   // sealed commit records
	emptied  bool           // the node ran before, and its chunks or its records are gone
	semantic inos.Semantic  // nil: no switchboard
	episodic inos.Episodic  // nil: no switchboard
	local    *localOperator // of a mere provider
	// tokenKeys sign and verify access tokens; nil: no switchboard.
	tokenKeys *tokenKeys
	sessions  *sessions // nil: no switchboard
	operator  operatorSecret
	refusals  refusals
	buffers   *buffers
	streams   *streams
	requests  *requests
	recorder  *recorder
	recorded  announcer
	batches   atomic.Uint64
	started   inos.Micros

	rootKey         *rootKey // of a switchboard
	authority       authority
	signerMu        sync.Mutex    // guards authority.signer and authority.state once the node runs
	certifying      sync.Mutex    // held while the certificate is looked at, or revocations are taken
	certificateSaid inos.Micros   // when the log was told of it last
	mesh            *mesh.Mesh    // nil: a lone node
	incoming        atomic.Uint64 // buffers of bulk from other nodes so far
	tickets         *handles      // of calls being served
	secrets         *handles      // made and not handed out
	booted          chan struct{} // closed when there is a kernel
	peersMu         sync.Mutex    // held while the kernel is told of peers, so that it hears of them in order

	listener net.Listener
	server   *http.Server
	url      string
	stop     context.CancelFunc
	done     chan struct{}
	ended    sync.Once // closes done

	mu   sync.Mutex // guards loop and err
	loop *loop
	err  error
}

// Open locks the data folder, recovers what a crash left, starts the kernel and listens. The node then runs until Close
// or until it fails, which closes Done.
func Open(ctx context.Context, config Config) (_ *Node, err error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	wasm, err := build.Kernel()
	if err != nil {
		return nil, err
	}
	n := &Node{
		config: config, clock: clock{time.Now(), config.Now}, buffers: newBuffers(), streams: newStreams(), requests: newRequests(),
		kernelID: blake3.Sum256(wasm), done: make(chan struct{}), booted: make(chan struct{}),
		tickets: newHandles(ticketsMax), secrets: newHandles(secretTextsMax),
	}
	n.started = n.clock.Now()
	running, stop := context.WithCancel(context.Background())
	n.stop = stop
	limit, _ := config.memoryBytes()
	limitMemory(limit)
	if config.Switchboard && config.Provider {
		wideProcessors()
	}
	defer func() {
		if err != nil {
			stop()
			n.ended.Do(func() { close(n.done) })
			_ = n.closeResources()
		}
	}()
	if err = n.openFolder(ctx); err != nil {
		return nil, err
	}
	if err = n.listen(ctx); err != nil {
		return nil, err
	}
	if err = n.openMesh(ctx); err != nil {
		return nil, err
	}
	if config.mereProvider() {
		if err = n.join(ctx); err != nil {
			return nil, err
		}
	}
	l, err := n.boot(ctx, wasm)
	if err != nil {
		return nil, err
	}
	close(n.booted)
	debug.FreeOSMemory() // compiling the kernel took a hundred MiB that will not be needed again
	n.server = api.NewServer(api.New(n, api.Options{}))
	go n.watchAuthority(running)
	go n.run(running, wasm, l)
	go n.serve()
	return n, nil
}

// openFolder opens what the node keeps on its disk, and finds out who it is.
func (n *Node) openFolder(ctx context.Context) (err error) {
	if n.folder, err = openFolder(n.config.DataDir); err != nil {
		return err
	}
	before := n.folder.filled("semantic.db")
	if n.config.mereProvider() {
		err = n.openMembership()
		before = err == nil && n.authority.state.Joined
	} else {
		err = n.openAuthority(!before)
	}
	if err != nil {
		return err
	}
	n.emptied = before && !(n.folder.has("content/chunks") && n.folder.has("records/chunks"))
	chunks, err := content.Open(n.folder.path("content"), content.Options{CapacityBytes: n.config.CapacityBytes})
	if err != nil {
		return err
	}
	n.content = chunks // not before: what failed to open is nothing to close
	records, err := content.Open(n.folder.path("records"), content.Options{ReserveBytes: recordReserveBytes})
	if err != nil {
		return err
	}
	n.records = records
	if n.config.Record {
		if n.recorder, err = openRecorder(n.folder.path("log"), n.unrecorded); err != nil {
			return err
		}
	}
	if n.config.mereProvider() {
		n.local, err = n.folder.localOperator()
		return err
	}
	return n.openMemories(ctx)
}

// openMemories opens what a switchboard has and a mere provider has not.
func (n *Node) openMemories(ctx context.Context) error {
	module, err := build.Storage()
	if err != nil {
		return err
	}
	n.moduleID = blake3.Sum256(module)
	facts, err := semantic.Open(n.folder.path("semantic.db"))
	if err != nil {
		return unopened(err, "Bring it back from a copy, or move it away, with -wal and -shm, and run 'inos rebuild' with the mesh's root key.")
	}
	n.semantic = facts
	if err := n.keepAuthority(); err != nil {
		return err
	}
	history, err := episodic.Open(n.folder.path("episodic.db"), episodic.Options{})
	if err != nil {
		return unopened(err, "It has only history: move it away, with -wal and -shm, and start again.")
	}
	n.episodic = history
	n.sessions = newSessions(n.lookupSession)
	if n.tokenKeys, err = openTokenKeys(n.folder, n.authority.verifier.RootKey(), n.clock.Now()); err != nil {
		return err
	}
	_, err = n.ensureOperator(ctx)
	return err
}

// unopened says what to do when a database is damaged.
func unopened(err error, hint string) error {
	var coded *inos.Error
	if errors.As(err, &coded) && coded.Code == inos.CodeBadFormat {
		hinted := *coded
		hinted.Hint = hint
		return &hinted
	}
	return err
}

// boot makes a kernel and steps it with its first envelope; the loop does not run yet.
func (n *Node) boot(ctx context.Context, wasm []byte) (*loop, error) {
	k, err := engine.NewKernel(ctx, wasm, n.config.CacheDir)
	if err != nil {
		return nil, err
	}
	n.recorder.begin(k.ID(), nil)
	seed := make([]byte, 32)
	if _, err := rand.Read(seed); err != nil {
		return nil, errors.Join(inos.Errorf(inos.CodeIO, "seed kernel", "%w", err), k.Close())
	}
	l := newLoop(n, k)
	l.pool = engine.NewPool(engine.Config{Command: n.workerCommand, OnExit: l.workerExited})
	l.results <- n.hostEnvelope(event.NodeBoot, n.bootPayload(seed))
	n.mu.Lock()
	n.loop = l
	n.mu.Unlock()
	n.tellPeers(l)
	return l, nil
}

// bootPayload is what the kernel is told of its node.
func (n *Node) bootPayload(seed []byte) *eventpb.NodeBoot {
	c := &n.config
	_, buffers := c.memoryBytes()
	held := n.content.Usage()
	b := &eventpb.NodeBoot{
		NodeId: string(n.id), Zone: c.Zone, Host: c.HostLabel, Operator: c.Operator, Tier: string(c.Tier), OfferedBytes: c.OfferedBytes,
		Seed: seed, Workers: uint32(c.Workers), ModuleId: n.moduleID[:], BufferBytesMax: uint64(buffers),
		Unclean: held.Unclean || n.records.Usage().Unclean || n.emptied, Version: Version().Version,
		BrotliQuality: uint32(c.Quality), ModuleDeadlineUs: uint64(c.ModuleDeadline),
		Switchboard: c.Switchboard, Provider: c.Provider, Addrs: n.MeshAddrs(),
		HeartbeatUs: int64(c.HeartbeatEvery), GraceColdUs: int64(c.GraceCold), GraceHotUs: int64(c.GraceHot),
		RepairBytesPerSecond: c.RepairBytesPerSecond, Rebuild: n.authority.root != nil,
	}
	if b.OfferedBytes == 0 && c.Provider {
		b.OfferedBytes = uint64(max(0, held.UsedBytes+held.TrashBytes+held.FreeBytes))
	}
	if invite := n.authority.invite; invite != nil {
		b.Invite = event.Payload(invite.Content)
		for _, addr := range invite.Content.Switchboards {
			if node, err := nodeOfAddr(addr); err == nil { // they were read when the folder joined
				b.Switchboards = append(b.Switchboards, string(node))
			}
		}
	}
	return b
}

// run keeps a kernel running: after a trap it sets the envelope aside, ends what the kernel had under way, and boots
// again from the memories.
func (n *Node) run(ctx context.Context, wasm []byte, l *loop) {
	defer n.ended.Do(func() { close(n.done) })
	var restarts []inos.Micros
	for {
		go func() {
			if e := l.watch(l.ctx); e != nil {
				n.hung(l, e)
			}
		}()
		culprit, err := l.run(ctx)
		now, lost := n.clock.Now(), errStopped()
		if err != nil {
			n.quarantine(culprit, err)
			lost = inos.Errorf(inos.CodeInternal, "kernel", "it stopped at %s and starts again: %w", eventTypeOf(culprit), err)
		}
		n.requests.failAll(now, lost) // before the performers have ended: one may wait for a slow client's body, which package api cuts then
		l.end()
		if err == nil {
			return
		}
		restarts = append(restarts, now)
		for len(restarts) > 0 && restarts[0] < now-kernelRestartWindow {
			restarts = restarts[1:]
		}
		if len(restarts) > kernelRestartsMax {
			n.fail(inos.Errorf(inos.CodeInternal, "run kernel", "it stopped %d times in %d minutes, last: %w", len(restarts), kernelRestartWindow/inos.Minute, err))
			return
		}
		if l, err = n.boot(ctx, wasm); err != nil {
			n.fail(err)
			return
		}
	}
}

// end closes a loop that has stopped running, and waits for its performers.
func (l *loop) end() {
	l.cancel()
	l.pool.Close()
	l.performing.Wait()
	l.node.buffers.releaseAll()
	if err := l.kernel.Close(); err != nil {
		l.node.logf("close kernel: %v", err)
	}
}

func eventTypeOf(e *eventpb.Envelope) string {
	if e == nil {
		return "no envelope"
	}
	return e.EventType
}

// quarantineMax bounds the envelopes kept for a report.
const quarantineMax = 16

// quarantine keeps the envelope that made the kernel stop.
func (n *Node) quarantine(e *eventpb.Envelope, cause error) {
	n.logf("kernel stopped at %s: %v", eventTypeOf(e), cause)
	if e == nil {
		return
	}
	dir := n.folder.path("quarantine")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		n.logf("keep the envelope: %v", err)
		return
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) >= quarantineMax {
		_ = os.Remove(dir + "/" + entries[0].Name()) // names begin with the time
	}
	name := fmt.Sprintf("%s/%d.envelope", dir, n.clock.Now())
	if err := os.WriteFile(name, event.Encode(nil, e), 0o600); err != nil {
		n.logf("keep the envelope: %v", err)
	}
}

// unrecorded says why the node has no replay log.
func (n *Node) unrecorded(err error) {
	n.logf("recording has ended until the next start, and the replay log is removed to make room: %v", err)
}

func (n *Node) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err == nil {
		n.err = err
	}
}

func (n *Node) listen(ctx context.Context) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", n.config.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return inos.Errorf(inos.CodeAddressInUse, "listen", "another process listens on %s", n.config.Listen)
	}
	if err != nil {
		e := inos.Errorf(inos.CodeIO, "listen", "%s: %w", n.config.Listen, err)
		e.Hint = "Give --listen an address of this machine and a port, such as 127.0.0.1:7770; port 0 is any free one."
		return e
	}
	n.listener = listener
	n.url = "http://" + listener.Addr().String()
	err = n.folder.write("url", n.url+"\n")
	if inos.CodeOf(err) == inos.CodeDiskFull && n.recorder != nil {
		n.recorder.giveWay(err)
		err = n.folder.write("url", n.url+"\n")
	}
	return err
}

func (n *Node) serve() {
	if err := n.server.Serve(n.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		n.fail(inos.Errorf(inos.CodeIO, "serve", "%s: %w", n.url, err))
		n.stop()
	}
}

// URL returns where the node listens.
func (n *Node) URL() string { return n.url }

// Done is closed when the node has ended, by Close or by itself; Err says why.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err returns why the node ended by itself, or nil.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// Status returns what an operator sees of the node.
func (n *Node) Status(ctx context.Context) (*eventpb.NodeStatusReply, error) {
	var status eventpb.NodeStatusReply
	return &status, n.ask(ctx, event.NodeStatus, &eventpb.NodeStatusRequest{}, &status)
}

// ask submits a request of the host's own and reads its reply.
func (n *Node) ask(ctx context.Context, eventType string, q, reply event.Message) error {
	e, err := n.Request(ctx, n.hostEnvelope(eventType, q), nil)
	if err != nil {
		return err
	}
	if event.StateOf(e.EventType) == event.StateFailed {
		return event.FailureOf(e)
	}
	return event.Open(e, reply)
}

// hostEnvelope makes an envelope that the host itself sends.
func (n *Node) hostEnvelope(eventType string, m event.Message) *eventpb.Envelope {
	now := n.clock.Now()
	var random [10]byte
	_, _ = rand.Read(random[:]) // crypto/rand.Read never fails: it ends the process instead
	e := &eventpb.Envelope{Id: event.NewID(now, random), EventType: eventType, Timestamp: int64(now), Metadata: hostMetadata(nil)}
	if m != nil {
		e.Payload = event.Payload(m)
	}
	return e
}

// hostMetadata marks an envelope as the host's own, in the trace of another.
func hostMetadata(of *eventpb.Metadata) *eventpb.Metadata {
	m := &eventpb.Metadata{SecurityToken: hostTokenID}
	if of != nil {
		m.TraceContext = of.TraceContext
	}
	return m
}

func (n *Node) currentLoop() *loop {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.loop
}

func (n *Node) logf(format string, args ...any) {
	_, _ = fmt.Fprintf(n.config.Stderr, "inos: "+format+"\n", args...)
}

// Close finishes the work under way, at most drainTimeout, and ends the node.
func (n *Node) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	var drained eventpb.NodeStatusRequest // an empty payload
	select {
	case <-n.done:
	default:
		if err := n.ask(ctx, event.NodeDrain, &eventpb.NodeStatusRequest{}, &drained); err != nil {
			n.logf("drain: %v", err)
		}
	}
	if err := n.server.Shutdown(ctx); err != nil {
		_ = n.server.Close()
	}
	if n.mesh != nil {
		if err := n.mesh.Close(); err != nil { // while the kernel still answers what is being served
			n.logf("close mesh: %v", err)
		}
	}
	n.stop()
	<-n.done
	return errors.Join(n.closeResources(), n.Err())
}

func (n *Node) closeResources() error {
	var errs []error
	if n.mesh != nil {
		_ = n.mesh.Close() // closed already unless the node failed to start
	}
	if n.listener != nil {
		_ = n.listener.Close() // the server has closed it already when it ran
	}
	n.recorder.finish()
	n.closeRefusals()
	if n.content != nil {
		errs = append(errs, n.content.Close())
	}
	if n.records != nil {
		errs = append(errs, n.records.Close())
	}
	if n.semantic != nil {
		errs = append(errs, n.semantic.Close())
	}
	if n.episodic != nil {
		errs = append(errs, n.episodic.Close())
	}
	if n.folder != nil {
		_ = os.Remove(n.folder.path("url"))
		n.folder.close()
	}
	n.rootKey.close()
	limit, _ := n.config.memoryBytes()
	limitMemory(-limit)
	return errors.Join(errs...)
}

// Info implements api.Node.
func (n *Node) Info() api.Info {
	v := Version()
	return api.Info{
		Version: v.Version, KernelID: v.KernelID, Modules: v.Modules, Go: v.Go, NodeID: string(n.id), URL: n.url,
		MeshID: hex.EncodeToString(n.authority.verifier.RootKey()),
	}
}
