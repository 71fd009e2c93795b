//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/host/api"
)

// amount returns a size of a test, which the environment may raise for a long run.
func amount(t *testing.T, name string, short int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return short
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

var sixProviders = []string{"cold", "cold", "cold", "cold", "hot", "hot"}

// Any two providers are killed and stay down, whichever tiers: the file reads back, the rest brings it to three copies, and the
// return of the two takes nothing away.
func TestRealTwoProvidersDown(t *testing.T) {
	t.Parallel()
	m := startMesh(t, sixProviders)
	size := amount(t, "INOS_REAL_BYTES", 24<<20)
	if _, err := m.put("/big", 1, size); err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]int{{1, 4}, {0, 1}, {4, 5}}[:amount(t, "INOS_REAL_PAIRS", 2)] {
		m.await("everything is quiet", realQuietTimeout, m.quiet)
		for _, i := range pair {
			m.providers[i].kill()
		}
		m.wantBody("/big", 1, size)
		m.await(fmt.Sprintf("three live copies without providers %v", pair), realQuietTimeout, func() error {
			if err := m.wantReplicas(nil, "/big"); err != nil {
				return err
			}
			return m.allAlive(len(sixProviders) - 2)
		})
		m.wantBody("/big", 1, size)
		stayed := m.epochs()
		for _, i := range pair {
			delete(stayed, m.providers[i].nodeID())
			m.providers[i].start()
		}
		m.await("the killed ones are back and checked", realQuietTimeout, func() error {
			if err := m.wantReplicas(nil, "/big"); err != nil {
				for id, epoch := range m.epochs() {
					if before, ok := stayed[id]; ok && epoch != before { // its process was given no time for longer than the grace
						return fmt.Errorf("node %s, which stayed, was taken for dead meanwhile: %w", id, err)
					}
				}
				m.checkLog()
				t.Fatalf("while nodes came back: %v", err)
			}
			return m.allAlive(len(sixProviders))
		})
	}
	m.await("everything is quiet", realQuietTimeout, m.quiet)
	m.wantBody("/big", 1, size)
	m.checkLog()
}

// epochs returns which life of each node's copies the map trusts.
func (m *realMesh) epochs() map[string]uint64 {
	m.t.Helper()
	r, err := m.nodes()
	if err != nil {
		m.t.Fatal(err)
	}
	of := map[string]uint64{}
	for _, n := range r.Nodes {
		of[n.Node] = n.Epoch
	}
	return of
}

// The switchboard is killed among ten puts, again and again.
func TestRealSwitchboardKilled(t *testing.T) {
	t.Parallel()
	m := startMesh(t, []string{"cold", "cold", "cold", "hot"})
	const lanes = 10
	type sent struct {
		path  inos.Path
		id    string
		seed  byte
		size  int
		acked bool
	}
	var all []*sent
	for round := range amount(t, "INOS_REAL_ROUNDS", 3) {
		var wg sync.WaitGroup
		var first sync.Once
		began, ends := make(chan struct{}), make(chan struct{}, lanes)
		for lane := range lanes {
			s := &sent{
				path: inos.Path(fmt.Sprintf("/r%d/f%d", round, lane)), id: newRequestID(), seed: byte(round*lanes + lane), size: (1 + lane%4) * 700_000,
			}
			all = append(all, s)
			wg.Go(func() {
				_, err := m.client.Put(context.Background(), s.path, &notifying{Reader: reader(s.seed, s.size), at: s.size / 2, tell: func() { first.Do(func() { close(began) }) }},
					int64(s.size), api.PutOptions{RequestID: s.id})
				s.acked = err == nil
				if ends <- struct{}{}; err != nil && inos.CodeOf(err) != inos.CodeNodeUnreachable {
					t.Logf("put %s: %v", s.path, err)
				}
			})
		}
		<-began
		for range (3 * round) % (lanes - 1) { // at another moment in each round
			<-ends
		}
		m.switchboard.kill()
		wg.Wait()
		m.switchboard.start()
		m.connect()
	}
	m.await("every provider is alive", realQuietTimeout, func() error { return m.allAlive(4) })
	m.await("everything is quiet", realQuietTimeout, m.quiet)
	acked := 0
	for _, s := range all {
		err := m.readBody(s.path, s.seed, s.size)
		switch {
		case s.acked:
			acked++
			if err != nil {
				t.Errorf("%s was acknowledged: %v", s.path, err)
			}
		case err == nil: // committed, and its answer was lost: the same request says so
			if _, err := m.client.Put(context.Background(), s.path, reader(s.seed, s.size), int64(s.size), api.PutOptions{RequestID: s.id}); err != nil {
				t.Errorf("%s is there, and its request says: %v", s.path, err)
			}
		case inos.CodeOf(err) != inos.CodeFileNotFound:
			t.Errorf("%s was not acknowledged: %v", s.path, err)
		}
	}
	t.Logf("%d of %d puts were acknowledged", acked, len(all))
	if acked == 0 {
		t.Error("no put was acknowledged: the test shows nothing")
	}
	m.noOrphans()
	m.checkLog()
}

// noOrphans checks that the disks hold the chunks that the map says and no other.
func (m *realMesh) noOrphans() {
	m.t.Helper()
	m.await("the disks hold what the map says", realQuietTimeout, func() error {
		r, err := m.nodes()
		if err != nil {
			return err
		}
		var listed, held uint64
		for _, n := range r.Nodes {
			listed += n.Copies
		}
		for _, p := range m.providers {
			held += uint64(len(p.chunkFiles("content")))
		}
		if listed != held {
			return fmt.Errorf("the map lists %d copies, the disks hold %d", listed, held)
		}
		return nil
	})
}

// One byte is flipped in every chunk of one provider: every read is right, and the verification, with the reads and audits that were
// faster, finds every bad copy and has it replaced.
func TestRealFlippedBytes(t *testing.T) {
	t.Parallel()
	m := startMesh(t, []string{"cold", "cold", "cold", "hot"})
	const files, size = 4, 9_000_000
	for i := range files {
		m.mustPut(inos.Path(fmt.Sprintf("/f%d", i)), byte(i), size)
	}
	m.await("everything is quiet", realQuietTimeout, m.quiet)
	bad := m.providers[0]
	var flipped []string
	for _, name := range bad.chunkFiles("content") {
		if flip(t, name) {
			flipped = append(flipped, filepath.Base(name))
		}
	}
	if len(flipped) == 0 {
		t.Fatal("the provider holds nothing")
	}
	for i := range files / 2 {
		m.wantBody(inos.Path(fmt.Sprintf("/f%d", i)), byte(i), size)
	}
	result, err := m.client.Verify(context.Background(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d chunks flipped; the verification found %d bad, reads and audits before it the rest", len(flipped), result.Bad)
	m.settled()
	for i := range files {
		m.awaitReplicas(inos.Path(fmt.Sprintf("/f%d", i)))
		m.wantBody(inos.Path(fmt.Sprintf("/f%d", i)), byte(i), size)
	}
	if result, err = m.client.Verify(context.Background(), "", nil); err != nil || result.Bad != 0 {
		t.Errorf("after the repair %d chunks are bad: %v", result.Bad, err)
	}
	m.wantSound()
	log := m.checkLog()
	for _, name := range flipped {
		if !log.gone[bad.nodeID()+" "+name] {
			t.Errorf("the bad copy of chunk %s was not found", name)
		}
	}
}

// wantSound hashes every chunk on the disks of the providers. One that is trashed meanwhile, as surplus, is none of theirs any more.
func (m *realMesh) wantSound() {
	m.t.Helper()
	for _, p := range m.providers {
		for _, name := range p.chunkFiles("content") {
			b, err := os.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				m.t.Error(err)
				continue
			}
			if sum := blake3.Sum256(b); hex.EncodeToString(sum[:]) != filepath.Base(name) {
				m.t.Errorf("%s: chunk %s does not hash to its name", p.name, filepath.Base(name))
			}
		}
	}
}

// flip changes a byte in the middle of a chunk, if the chunk is not on its way to the trash: what is surplus goes there at any moment.
func flip(t *testing.T, name string) bool {
	t.Helper()
	err := os.Chmod(name, 0o600)
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(name, os.O_RDWR, 0)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	info, err := f.Stat()
	if err == nil {
		_, err = f.ReadAt(b[:], info.Size()/2)
	}
	if b[0] ^= 1; err == nil {
		_, err = f.WriteAt(b[:], info.Size()/2)
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// A provider acknowledges and drops: the audit names it, nobody having read a thing, and nothing is lost.
func TestRealLiar(t *testing.T) {
	t.Parallel()
	m := startMesh(t, []string{"cold", "cold", "cold", "hot"})
	const size = 6_000_000
	if _, err := m.put("/f", 7, size); err != nil {
		t.Fatal(err)
	}
	m.await("everything is quiet", realQuietTimeout, m.quiet)
	liar := m.providers[1]
	for _, name := range liar.chunkFiles("content") {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // what is surplus may have gone
			t.Fatal(err)
		}
	}
	m.await("the audit names the liar", realQuietTimeout, func() error {
		r, err := m.nodes()
		if err != nil {
			return err
		}
		named := false
		for _, n := range r.Nodes {
			if n.AuditsFailed > 0 && n.Node != liar.nodeID() {
				t.Fatalf("the audit names %s, which holds all it should", n.Node)
			}
			named = named || n.AuditsFailed > 0
		}
		if !named {
			return fmt.Errorf("no node has failed an audit")
		}
		return nil
	})
	m.await("three copies again", realQuietTimeout, func() error {
		return m.wantReplicas(nil, "/f")
	})
	m.wantBody("/f", 7, size)
	m.settled()
	m.checkLog()
}

// The switchboard's folder is lost among a thousand changes, and made again from the mesh.
func TestRealRebuild(t *testing.T) {
	t.Parallel()
	m := startMesh(t, []string{"cold", "cold", "cold", "hot"})
	changes := amount(t, "INOS_REAL_CHANGES", 120)
	for i := range changes {
		p := inos.Path(fmt.Sprintf("/d%d/f%d", i%7, i%(changes/3+1)))
		if i%5 == 4 {
			if _, err := m.client.Delete(context.Background(), p); err != nil && inos.CodeOf(err) != inos.CodeFileNotFound {
				t.Fatal(err)
			}
			continue
		}
		if _, err := m.put(p, byte(i), 1+i*997%2_500_000); err != nil {
			t.Fatal(err)
		}
	}
	m.await("everything is quiet", realQuietTimeout, m.quiet)
	before := m.namespace()
	m.switchboard.kill()
	if err := os.RemoveAll(m.switchboard.dir); err != nil {
		t.Fatal(err)
	}
	m.run("rebuild", "--data", m.switchboard.dir, "--root-key", m.dir+"/root.key", "--mesh-listen", m.meshListen, "--listen", m.listen)
	m.switchboard.start()
	m.connect()
	m.await("every provider is alive", realQuietTimeout, func() error { return m.allAlive(4) })
	after := m.namespace()
	if !slices.Equal(before, after) {
		t.Fatalf("the namespace was\n%v\nand is\n%v", before, after)
	}
	if result, err := m.client.Verify(context.Background(), "", nil); err != nil || result.Bad != 0 {
		t.Fatalf("%d chunks are bad: %v", result.Bad, err)
	}
	m.await("everything is quiet", realQuietTimeout, m.quiet)
	m.noOrphans()
}

// namespace lists the live files, a line each.
func (m *realMesh) namespace() (lines []string) {
	m.t.Helper()
	for f, err := range m.client.List(context.Background(), "/") {
		if err != nil {
			m.t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%s v%d %s %d bytes, %d chunks, RF %d, %s, %d", f.Path, f.Version, f.FileID, f.PlainBytes, f.Chunks, f.ReplicasWanted, f.ContentType, f.CreatedUs))
	}
	return lines
}

// A provider stands still under load: puts and gets go on, and when it goes on itself nothing is wrong.
func TestRealPausedProvider(t *testing.T) {
	t.Parallel()
	m := startMesh(t, []string{"cold", "cold", "cold", "hot"})
	m.providers[0].signal(syscall.SIGSTOP)
	for i := range 6 {
		if _, err := m.put(inos.Path(fmt.Sprintf("/f%d", i)), byte(i), 2_000_000); err != nil {
			t.Fatal(err)
		}
		m.wantBody(inos.Path(fmt.Sprintf("/f%d", i)), byte(i), 2_000_000)
	}
	m.providers[0].signal(syscall.SIGCONT)
	m.settled()
	for i := range 6 {
		m.wantBody(inos.Path(fmt.Sprintf("/f%d", i)), byte(i), 2_000_000)
	}
	m.checkLog()
}

// reader returns a body.
func reader(seed byte, size int) *bytes.Reader { return bytes.NewReader(body(seed, size)) }

// notifying is a body that tells when part of it was read.
type notifying struct {
	*bytes.Reader
	at   int
	tell func()
}

func (n *notifying) Read(p []byte) (int, error) {
	if n.Len() <= n.at {
		n.tell()
	}
	return n.Reader.Read(p[:min(len(p), 64<<10)])
}

func newRequestID() string {
	var random [10]byte
	_, _ = rand.Read(random[:])
	return event.NewID(inos.Micros(time.Now().UnixMicro()), random)
}
