//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// cutKind is what cuts an upload.
type cutKind int

const (
	cutClient cutKind = iota // the client is killed, and run again
	cutLine                  // every connection between them is dropped
	cutNode                  // the node is killed, and started again
	cutKinds
)

func (c cutKind) String() string {
	return [...]string{"the client is killed", "the connections are dropped", "the node is killed"}[c]
}

// An upload that is cut at ten random points goes on each time, and no chunk is sent twice: of each, one whole body reaches the node. Only what a node
// had not answered when it was killed may have to be sent again: it may have lost it.
func TestRealUploadIsCutTenTimes(t *testing.T) {
	size := amount(t, "INOS_REAL_BYTES", 64<<20)
	cuts := amount(t, "INOS_REAL_CUTS", 10)
	ways := cutKind(amount(t, "INOS_REAL_CUT_KINDS", int(cutKinds))) // with 2 the node lives, and nothing at all may be sent twice
	seed := uint64(amount(t, "INOS_REAL_SEED", int(rand.Uint32())))
	t.Logf("INOS_REAL_SEED=%d INOS_REAL_CUTS=%d INOS_REAL_BYTES=%d", seed, cuts, size)
	random := rand.New(rand.NewPCG(seed, 1))
	m := newMesh(t)
	m.listen = ownLoopback() + ":7770"
	m.address = m.listen
	m.meshListen = "/ip4/127.0.0.1/tcp/0"
	m.t.Cleanup(m.stop)
	m.switchboard = m.newNode("node")
	m.switchboard.args = []string{"node", "--switchboard", "--provider", "--listen", m.listen}
	m.switchboard.start()
	m.connect()
	source := filepath.Join(m.dir, "source")
	sum := blake3.New(inos.HashBytes, nil)
	f, err := os.Create(source)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < size; at += 64 << 20 { // not all of it in memory
		part := body(byte(at>>26), min(size-at, 64<<20))
		_, _ = sum.Write(part)
		if _, err := f.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	// Half of the chunks are noise, which does not shrink: so much is carried at least.
	var points []int64
	for range cuts {
		points = append(points, random.Int64N(int64(size)*9/20))
	}
	slices.Sort(points)
	kinds := random.Perm(cuts)
	line := newLine(t, m.listen, 0)
	defer line.close()
	client := m.resumable(line.address(), source)
	for i, point := range points {
		line.await(max(point, line.carried.Load()+1), client.done) // something has gone on since the last
		kind := cutKind(kinds[i]) % ways
		t.Logf("at %d bytes, behind %d whole chunks: %v", line.carried.Load(), line.whole(), kind)
		switch kind {
		case cutClient:
			client.kill()
			client = m.resumable(line.address(), source)
		case cutNode:
			m.switchboard.kill()
			line.forget()
			m.switchboard.start()
			m.connect()
		case cutLine:
			line.drop()
		}
	}
	var reply api.PutReply
	for tries := 1; ; tries++ {
		<-client.done
		if client.err == nil {
			break
		}
		if tries == 5 {
			t.Fatalf("the put does not end: %v\n%s", client.err, client.errs.String())
		}
		client = m.resumable(line.address(), source) // it had waited long enough for the node
	}
	if err := json.Unmarshal(client.out.Bytes(), &reply); err != nil {
		t.Fatalf("%v: %s", err, client.out.String())
	}
	if want := inos.FileID(sum.Sum(nil)).String(); reply.FileID != want || reply.PlainBytes != uint64(size) {
		t.Fatalf("the file is %s of %d bytes, want %s", reply.FileID, reply.PlainBytes, want)
	}
	m.connect()
	h := blake3.New(inos.HashBytes, nil)
	if _, err := m.client.Get(context.Background(), api.Ref{Path: "/source"}, h, api.GetOptions{}); err != nil || !bytes.Equal(h.Sum(nil), sum.Sum(nil)) {
		t.Fatalf("it does not read back: %v", err)
	}
	for u, err := range m.client.Uploads(context.Background()) {
		t.Errorf("an upload is open still: %+v (%v)", u, err)
	}
	line.settle()
	chunks := (size + inos.ChunkBytesMax - 1) / inos.ChunkBytesMax
	again, lost := line.sentAgain()
	for _, x := range again {
		t.Errorf("chunk %s was sent twice, and no node was killed that might have lost it", x)
	}
	t.Logf("%d chunks, %d whole bodies; %d were sent again that a killed node had not answered", chunks, line.whole(), lost)
	if line.whole() > chunks+lost {
		t.Errorf("%d whole bodies for %d chunks", line.whole(), chunks)
	}
	if least := int64(size) / 2; line.carried.Load() < least {
		t.Errorf("%d bytes went by, the noise alone has %d: the line does not see it all", line.carried.Load(), least)
	}
}

// resumingClient is an 'inos put --resume' that runs.
type resumingClient struct {
	cmd       *exec.Cmd
	out, errs bytes.Buffer
	done      chan struct{}
	err       error // when done is closed
}

func (m *realMesh) resumable(address, source string) *resumingClient {
	m.t.Helper()
	c := &resumingClient{done: make(chan struct{})}
	c.cmd = exec.Command("inos", "put", "--resume", "--json", source, "/source", "--node", "http://"+address, "--token-file", filepath.Join(m.switchboard.dir, "token"))
	c.cmd.Env = append(os.Environ(), "HOME="+m.dir, "XDG_CACHE_HOME="+m.cache)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.errs
	if err := c.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		c.err = c.cmd.Wait()
	}()
	return c
}

func (c *resumingClient) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

// A file that is changed while it is sent is not committed, and a put of what it is then goes on from what is the same.
func TestRealUploadOfAChangedFile(t *testing.T) {
	m := newMesh(t)
	m.listen = ownLoopback() + ":7770"
	m.address = m.listen
	m.t.Cleanup(m.stop)
	m.switchboard = m.newNode("node")
	m.switchboard.args = []string{"node", "--switchboard", "--provider", "--listen", m.listen}
	m.switchboard.start()
	m.connect()
	source := filepath.Join(m.dir, "source")
	bytes := body(1, 3<<20)
	if err := os.WriteFile(source, bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	const some = 600_000 // bytes, less than one chunk: the client is not done with them, however fast it is
	line := newLine(t, m.listen, some)
	defer line.close()
	client := m.resumable(line.address(), source)
	line.await(some, client.done)
	copy(bytes[2<<20:], "changed")
	if err := os.WriteFile(source, bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	line.release()
	<-client.done
	if out := client.errs.String(); client.err == nil || !containsAll(out, "was changed while it was read", "go on") {
		t.Fatalf("%s", out)
	}
	client = m.resumable(line.address(), source)
	if <-client.done; client.err != nil {
		t.Fatalf("%v\n%s", client.err, client.errs.String())
	}
	var reply api.PutReply
	if err := json.Unmarshal(client.out.Bytes(), &reply); err != nil || reply.FileID != inos.FileID(blake3.Sum256(bytes)).String() {
		t.Fatalf("%+v (%v)", reply, err)
	}
	line.settle()
	if again, _ := line.sentAgain(); len(again) != 0 || line.whole() > 4 {
		t.Errorf("%d whole chunks, again %v: three, and the one that changed", line.whole(), again)
	}
}

func containsAll(s string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !bytes.Contains([]byte(s), []byte(part)) })
}
