//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/build"
	"github.com/inos-mesh/inos/host/api"
)

// realMesh is a switchboard and providers, each a process of its own on loopback that nobody restarts, so that a test decides
// who is up.
type realMesh struct {
	t           *testing.T
	dir         string
	cache       string
	meshListen  string
	listen      string   // of the switchboard's HTTP interface
	address     string   // where this process reaches it
	net         *realNet // nil: all on the loopback
	switchboard *realNode
	providers   []*realNode
	client      *api.Client
}

// realNode is one process, or the folder of one that is down.
type realNode struct {
	mesh *realMesh
	name string
	dir  string
	id   string // empty until it was heard; nodeID
	args []string
	cmd  *exec.Cmd
	done chan struct{}
	log  logFile
}

// Bounds of what the tests wait for. They are limits for a hang, not measurements.
const (
	realReadyTimeout = 5 * time.Minute
	realQuietTimeout = 10 * time.Minute
	realPollEvery    = 100 * time.Millisecond
	realGrace        = "2s"
	realHeartbeat    = "2s"
)

// startMesh starts a switchboard and one provider for each tier, all on the loopback of this machine.
func startMesh(t *testing.T, tiers []string, extra ...string) *realMesh {
	t.Helper()
	m := newMesh(t)
	host := ownLoopback()
	m.listen = host + ":7770"
	m.address = m.listen
	m.meshListen = "/ip4/" + host + "/tcp/" + netPortNumber
	m.begin(tiers, extra)
	return m
}

// startNetMesh starts a switchboard and providers that are machines of their own to each other, each in a network namespace.
func startNetMesh(t *testing.T, tiers []string, extra ...string) *realMesh {
	t.Helper()
	n := newRealNet(t)
	m := newMesh(t)
	m.net = n
	m.listen = "127.0.0.1:7770"
	m.meshListen = "/ip4/" + n.attach("switchboard").String() + "/tcp/" + netPortNumber
	m.address = n.door("switchboard", m.listen)
	m.begin(tiers, extra)
	return m
}

func newMesh(t *testing.T) *realMesh {
	t.Helper()
	if _, err := build.Kernel(); err != nil {
		t.Skip("the WASM files are not built")
	}
	if testing.Short() {
		t.Skip("real processes take a while")
	}
	return &realMesh{t: t, dir: t.TempDir(), cache: sharedCache(t)}
}

// begin starts the nodes and waits until they are all there.
func (m *realMesh) begin(tiers, extra []string) {
	m.t.Helper()
	m.t.Cleanup(m.stop)
	m.switchboard = m.newNode("switchboard")
	m.switchboard.args = append([]string{
		"node", "--switchboard", "--listen", m.listen, "--mesh-listen", m.meshListen, "--heartbeat", realHeartbeat,
		"--root-key", filepath.Join(m.dir, "root.key"), "--grace-cold", realGrace, "--grace-hot", realGrace,
	}, extra...)
	m.switchboard.start()
	m.connect()
	for i, tier := range tiers {
		m.join(fmt.Sprintf("provider-%d", i+1), tier)
	}
	m.await("every node is alive", realReadyTimeout, func() error { return m.allAlive(len(tiers)) })
}

// sharedCache is one folder of compiled WASM for all meshes of this run.
var sharedCache = func() func(*testing.T) string {
	var once sync.Once
	var dir string
	return func(t *testing.T) string {
		once.Do(func() {
			if dir, _ = os.MkdirTemp("", "inos-real-cache-"); dir != "" {
				afterTests = append(afterTests, func() { _ = os.RemoveAll(dir) })
			}
		})
		if dir == "" {
			t.Fatal("no folder for compiled WASM")
		}
		return dir
	}
}()

// meshesMade counts the meshes of this run.
var meshesMade atomic.Uint32

// ownLoopback is a loopback address that no other mesh and no connection has: its ports are free whenever a node begins again, where a port
// that the system once gave may be another's by then.
func ownLoopback() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+meshesMade.Add(1)%63, pid>>8&0xff, pid&0xff)
}

func (m *realMesh) newNode(name string) *realNode {
	return &realNode{mesh: m, name: name, dir: filepath.Join(m.dir, name)}
}

// join invites a provider and starts it, with flags beside the usual ones.
func (m *realMesh) join(name, tier string, flags ...string) *realNode {
	m.t.Helper()
	n := m.newNode(name)
	listen, host := "/ip4/127.0.0.1/tcp/0", "here"
	if m.net != nil {
		listen, host = "/ip4/"+m.net.attach(name).String()+"/tcp/"+netPortNumber, name
	}
	m.run("join", m.invite(tier, host), "--no-start", "--data", n.dir)
	n.args = append([]string{"node", "--mesh-listen", listen}, flags...)
	m.providers = append(m.providers, n)
	n.start()
	return n
}

func (m *realMesh) invite(tier, host string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run("invite", "--quiet", "--zone", "home", "--host", host, "--tier", tier, "--bytes", "100G", "--data", m.switchboard.dir))
}

// run runs a command of the binary and returns what it printed.
func (m *realMesh) run(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.t.Fatalf("inos %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func (m *realMesh) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), realQuietTimeout)
	defer cancel()
	name := "inos"
	if m.net != nil {
		name, args = m.net.command("switchboard", args)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "HOME="+m.dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w\n%s%s", err, out.String(), errs.String())
	}
	return out.String(), nil
}

func (n *realNode) start() {
	t := n.mesh.t
	t.Helper()
	name, args := "inos", slices.Concat(n.args, []string{"--data", n.dir, "--cache", n.mesh.cache})
	if n.mesh.net != nil {
		name, args = n.mesh.net.command(n.name, args)
	}
	n.cmd = exec.Command(name, args...)
	n.cmd.Env = append(os.Environ(), "HOME="+n.mesh.dir)
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	n.cmd.Stdout, n.cmd.Stderr = &n.log, &n.log
	if err := n.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", n.name, err)
	}
	n.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		defer close(done)
		_ = cmd.Wait()
	}(n.cmd, n.done)
}

// signal sends a signal; kill waits for the end.
func (n *realNode) signal(s syscall.Signal) {
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(s)
	}
}

func (n *realNode) kill() {
	if n.cmd == nil {
		return
	}
	n.signal(syscall.SIGKILL)
	<-n.done
	n.cmd = nil
}

// connect makes the client once the switchboard answers.
func (m *realMesh) connect() {
	m.t.Helper()
	m.await("the switchboard answers", realReadyTimeout, func() error {
		token, err := readSmall(filepath.Join(m.switchboard.dir, "token"))
		if err != nil {
			return err
		}
		c, err := api.NewClient("http://"+m.address, token)
		if err != nil {
			return err
		}
		s, err := c.Status(context.Background())
		if err == nil && !s.Ready {
			err = fmt.Errorf("not ready: %v", s.Notices)
		}
		if err != nil {
			c.Close()
			return err
		}
		m.client = c
		return nil
	})
}

// stop ends all processes; of a failed test it shows what they said.
func (m *realMesh) stop() {
	for _, n := range append([]*realNode{m.switchboard}, m.providers...) {
		if n == nil {
			continue
		}
		n.signal(syscall.SIGCONT)
		n.kill()
		if m.t.Failed() {
			m.t.Logf("%s said:\n%s", n.name, n.log.tail())
		}
	}
	if m.client != nil {
		m.client.Close()
	}
}

// await polls until check returns nil.
func (m *realMesh) await(what string, limit time.Duration, check func() error) {
	m.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("it did not come to this within %v: %s: %v", limit, what, err)
		}
		for _, n := range append([]*realNode{m.switchboard}, m.providers...) {
			if n.cmd == nil {
				continue
			}
			select {
			case <-n.done:
				m.t.Fatalf("%s has ended while waiting for: %s", n.name, what)
			default:
			}
		}
		time.Sleep(realPollEvery)
	}
}

// nodes returns the members, and fills in the ids of the providers from their folders.
func (m *realMesh) nodes() (api.NodesReply, error) {
	return m.client.Nodes(context.Background())
}

func (m *realMesh) allAlive(want int) error {
	r, err := m.nodes()
	if err != nil {
		return err
	}
	for _, p := range m.providers {
		p.nodeID() // while the log still has what it said first
	}
	alive := 0
	for _, n := range r.Nodes {
		if n.Liveness == "alive" && n.Unchecked == 0 && !n.Self {
			alive++
		}
	}
	if alive != want {
		text, _ := json.Marshal(r.Nodes)
		return fmt.Errorf("%d of %d providers are alive and checked: %s", alive, want, text)
	}
	return nil
}

// nodeID returns a node's id once it has said it.
func (n *realNode) nodeID() string {
	if n.id == "" {
		if _, text, ok := strings.Cut(n.log.all(), "inos: node "); ok {
			if id, _, whole := strings.Cut(text, ","); whole {
				n.id = id
			}
		}
	}
	return n.id
}

// up counts the providers that run.
func (m *realMesh) up() (n int) {
	for _, p := range m.providers {
		if p.cmd != nil {
			n++
		}
	}
	return n
}

// quiet says that nothing is left to do: repairs, records, uploads and garbage.
func (m *realMesh) quiet() error {
	s, err := m.client.Status(context.Background())
	if err != nil {
		return err
	}
	r, err := m.client.Repairs(context.Background(), 10)
	if err != nil {
		return err
	}
	if !s.Ready || s.Repairs != 0 || r.Total != 0 || r.Scanning || s.RecordsPending != 0 || s.Totals.CollectableChunks != 0 || s.Totals.Uploads != 0 || s.Puts != 0 {
		return fmt.Errorf("ready %t, %d repairs (%v), scanning %t, %d records pending, %d collectable chunks, %d uploads, %d puts: %v",
			s.Ready, r.Total, r.Repairs, r.Scanning, s.RecordsPending, s.Totals.CollectableChunks, s.Totals.Uploads, s.Puts, s.Notices)
	}
	return nil
}

// replicas returns the least number of trusted copies of a file's chunks on nodes that run, without one of them.
func (m *realMesh) replicas(p inos.Path, without *realNode) (least int, err error) {
	counts := map[string]bool{}
	for _, n := range m.providers {
		if id := n.nodeID(); id != "" && n.cmd != nil && n != without {
			counts[id] = true
		}
	}
	least = 1 << 30
	for first := uint64(0); ; {
		s, err := m.client.Stat(context.Background(), api.Ref{Path: p}, first, 1024)
		if err != nil {
			return 0, err
		}
		for _, c := range s.ChunkList {
			trusted := 0
			for _, held := range c.Copies {
				if held.Trusted && counts[held.Node] {
					trusted++
				}
			}
			least = min(least, trusted)
		}
		first += uint64(len(s.ChunkList))
		if first >= s.Chunks || len(s.ChunkList) == 0 {
			return least, nil
		}
	}
}

// wantReplicas checks that files have as many copies as usual, without those of one node.
func (m *realMesh) wantReplicas(without *realNode, paths ...inos.Path) error {
	for _, p := range paths {
		least, err := m.replicas(p, without)
		if err == nil && least < inos.ReplicasDefault {
			err = fmt.Errorf("%s: %d copies", p, least)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitReplicas waits until files have as many copies as usual. That nothing is left to do does not say so of the next moment: a process that is given no
// time by the machine for longer than the grace is taken for dead, and its copies count again when they were looked at.
func (m *realMesh) awaitReplicas(paths ...inos.Path) {
	m.t.Helper()
	m.await(fmt.Sprintf("%v have their copies", paths), realQuietTimeout, func() error { return m.wantReplicas(nil, paths...) })
}

// put stores bytes that a seed gives and returns their FileID.
func (m *realMesh) put(p inos.Path, seed byte, size int) (api.PutReply, error) {
	return m.client.Put(context.Background(), p, bytes.NewReader(body(seed, size)), int64(size), api.PutOptions{})
}

// body makes bytes, half text and half noise in turn by chunk, the same for a seed and size.
func body(seed byte, size int) []byte {
	b := make([]byte, size)
	for at := 0; at < size; at += inos.ChunkBytesMax {
		part := b[at:min(at+inos.ChunkBytesMax, size)]
		if at/inos.ChunkBytesMax%2 == 0 {
			key := [32]byte{seed, byte(at >> 20), byte(at >> 28)}
			_, _ = rand.NewChaCha8(key).Read(part)
			continue
		}
		line := fmt.Sprintf("seed %d at %d: what is stored stays readable while one copy lives\n", seed, at)
		for i := 0; i < len(part); i += copy(part[i:], line) {
		}
	}
	return b
}

func (m *realMesh) mustPut(p inos.Path, seed byte, size int) {
	m.t.Helper()
	if _, err := m.put(p, seed, size); err != nil {
		m.t.Fatalf("put %s: %v", p, err)
	}
}

// settled waits until all nodes are there and nothing is left to do, and holds the disks against the map.
func (m *realMesh) settled() {
	m.t.Helper()
	m.await("every provider is alive", realQuietTimeout, func() error { return m.allAlive(m.up()) })
	m.await("everything is quiet", realQuietTimeout, m.quiet)
	m.noOrphans()
}

// wantBody checks that a path reads back as the seed says.
func (m *realMesh) wantBody(p inos.Path, seed byte, size int) {
	m.t.Helper()
	if err := m.readBody(p, seed, size); err != nil {
		m.t.Fatalf("get %s: %v", p, err)
	}
}

func (m *realMesh) readBody(p inos.Path, seed byte, size int) error {
	h := blake3.New(inos.HashBytes, nil)
	ctx, cancel := context.WithTimeout(context.Background(), realQuietTimeout)
	defer cancel()
	if _, err := m.client.Get(ctx, api.Ref{Path: p}, h, api.GetOptions{}); err != nil {
		return err
	}
	want := blake3.Sum256(body(seed, size))
	if !bytes.Equal(h.Sum(nil), want[:]) {
		return fmt.Errorf("other bytes came back")
	}
	return nil
}

// chunkFiles returns the files of the chunks that a node's disk holds.
func (n *realNode) chunkFiles(store string) (files []string) {
	n.mesh.t.Helper()
	err := filepath.WalkDir(filepath.Join(n.dir, store, "chunks"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a store that was emptied has no folder before its first chunk
			return nil
		}
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		n.mesh.t.Fatal(err)
	}
	return files
}

// logFile keeps the last lines that a process said.
type logFile struct {
	mu sync.Mutex // guards b
	b  []byte
}

const logBytesMax = 64 << 10

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	if len(l.b) > 2*logBytesMax {
		l.b = slices.Clone(l.b[len(l.b)-logBytesMax:])
	}
	return len(p), nil
}

func (l *logFile) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

func (l *logFile) tail() string {
	all := l.all()
	return all[max(0, len(all)-8<<10):]
}

var _ io.Writer = (*logFile)(nil)
