//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// A provider is small and is full soon: puts go to the others. Then the mesh is full: the put is refused, nothing of it stays, and what is
// removed makes room.
func TestRealFull(t *testing.T) {
	t.Parallel()
	m := startMesh(t, nil)
	for i, capacity := range []string{"14M", "30M", "30M", "30M"} {
		m.join(fmt.Sprintf("provider-%d", i+1), "cold", "--capacity", capacity)
	}
	m.await("every provider is alive", realReadyTimeout, func() error { return m.allAlive(4) })
	const size, most = 3_000_000, 40
	path := func(i int) inos.Path { return inos.Path(fmt.Sprintf("/f%d", i)) }
	for i := range 8 {
		m.mustPut(path(i), byte(i), size)
	}
	m.await("everything is quiet", realQuietTimeout, m.quiet)
	for i := range 8 {
		m.awaitReplicas(path(i)) // one provider is full, others are not
	}
	kept := 8
	for ; kept < most; kept++ {
		_, err := m.put(path(kept), byte(kept), size)
		if err == nil {
			continue
		}
		t.Logf("%d files fit: %v", kept, err)
		if code := inos.CodeOf(err); code != inos.CodeDiskFull && code != inos.CodeQuorumLost {
			t.Errorf("the mesh is full, and the put says: %v", err)
		}
		break
	}
	if kept == most {
		t.Fatalf("%d files of %d bytes fit into 104 MB", most, size)
	}
	if _, err := m.client.Stat(context.Background(), api.Ref{Path: path(kept)}, 0, 1); inos.CodeOf(err) != inos.CodeFileNotFound {
		t.Errorf("the file that was refused: %v", err)
	}
	m.noOrphans()
	for i := range kept {
		m.wantBody(path(i), byte(i), size)
	}
	for i := range 6 {
		if _, err := m.client.Delete(context.Background(), path(i)); err != nil {
			t.Fatal(err)
		}
	}
	m.await("a file fits again", realQuietTimeout, func() error {
		_, err := m.put("/again", 99, size)
		return err
	})
	m.wantBody("/again", 99, size)
	m.await("everything is quiet", realQuietTimeout, m.quiet)
	m.noOrphans()
	m.checkLog()
}

// A provider's chunks are lost while it is down: what it comes back with is looked at, and made good. One that has lost its key as well
// is not the node it was.
func TestRealEmptied(t *testing.T) {
	t.Parallel()
	m := startMesh(t, []string{"cold", "cold", "cold", "hot"})
	const files, size = 4, 2_500_000
	path := func(i int) inos.Path { return inos.Path(fmt.Sprintf("/f%d", i)) }
	for i := range files {
		m.mustPut(path(i), byte(i), size)
	}
	m.await("everything is quiet", realQuietTimeout, m.quiet)
	lost := m.providers[1]
	lost.kill()
	lost.empty()
	lost.start()
	for i := range files {
		m.wantBody(path(i), byte(i), size)
	}
	m.await("its copies are made again", realQuietTimeout, func() error { return m.wantReplicas(nil, path(0), path(1), path(2), path(3)) })
	m.settled()

	m.providers[2].kill()
	if err := os.RemoveAll(m.providers[2].dir); err != nil {
		t.Fatal(err)
	}
	if out, err := m.try("node", "--provider", "--data", m.providers[2].dir); err == nil || !strings.Contains(err.Error(), "inos join") {
		t.Errorf("a provider without its folder: %v\n%s", err, out)
	}
	m.providers = slices.Delete(m.providers, 2, 3)
	m.join("provider-5", "cold")
	m.await("four live, of five members", realQuietTimeout, func() error {
		r, err := m.nodes()
		if err == nil && len(r.Nodes) != 5 {
			err = fmt.Errorf("%d members", len(r.Nodes))
		}
		return errors.Join(err, m.allAlive(4))
	})
	m.await("what the lost node held is made again", realQuietTimeout, func() error { return m.wantReplicas(nil, path(0), path(1), path(2), path(3)) })
	for i := range files {
		m.wantBody(path(i), byte(i), size)
	}
	m.checkLog()
}

// empty removes the chunks and records of a node that is down; what it is stays.
func (n *realNode) empty() {
	n.mesh.t.Helper()
	for _, store := range []string{"content", "records"} {
		if err := os.RemoveAll(filepath.Join(n.dir, store)); err != nil {
			n.mesh.t.Fatal(err)
		}
	}
}

// The switchboard stands still under load: its clients wait, and nobody is taken for dead because of it.
func TestRealPausedSwitchboard(t *testing.T) {
	t.Parallel()
	m := startMesh(t, []string{"cold", "cold", "cold", "hot"})
	const files, size = 12, 1_500_000
	path := func(i int) inos.Path { return inos.Path(fmt.Sprintf("/f%d", i)) }
	pause := time.Duration(amount(t, "INOS_REAL_PAUSE", 4)) * time.Second
	began := make(chan struct{})
	var first sync.Once
	var wg sync.WaitGroup
	errs := make([]error, files)
	for i := range files {
		wg.Go(func() {
			tell := func() { first.Do(func() { close(began) }) }
			_, errs[i] = m.client.Put(context.Background(), path(i), &notifying{Reader: reader(byte(i), size), at: size / 2, tell: tell}, int64(size), api.PutOptions{})
		})
	}
	<-began
	m.switchboard.signal(syscall.SIGSTOP)
	<-time.After(pause)
	m.switchboard.signal(syscall.SIGCONT)
	wg.Wait()
	m.settled()
	for i, err := range errs {
		if err != nil {
			t.Errorf("put %s: %v", path(i), err)
			continue
		}
		m.wantBody(path(i), byte(i), size)
	}
	m.checkLog()
}

// Providers are killed, one after the other, among the put of a larger file, while others are read.
func TestRealKilledAmongPuts(t *testing.T) {
	t.Parallel()
	m := startMesh(t, []string{"cold", "cold", "cold", "hot"})
	const small = 2_500_000
	size := amount(t, "INOS_REAL_BIG", 12_000_000)
	m.mustPut("/old", 200, small)
	rounds := amount(t, "INOS_REAL_KILLS", 3)
	for i := range rounds {
		victim := m.providers[i%len(m.providers)]
		var wg sync.WaitGroup
		began, done := make(chan struct{}), make(chan struct{})
		var first sync.Once
		wg.Go(func() {
			defer close(done)
			tell := func() { first.Do(func() { close(began) }) }
			body := &notifying{Reader: reader(byte(i), size), at: size / 4 * (1 + i%3), tell: tell}
			if _, err := m.client.Put(context.Background(), inos.Path(fmt.Sprintf("/big%d", i)), body, int64(size), api.PutOptions{}); err != nil {
				t.Errorf("put /big%d while %s is killed: %v", i, victim.name, err)
				tell()
			}
		})
		wg.Go(func() {
			for reading := true; reading; {
				select {
				case <-done:
					reading = false
				default:
				}
				if err := m.readBody("/old", 200, small); err != nil {
					t.Errorf("get /old while %s is killed: %v", victim.name, err)
				}
			}
		})
		<-began
		victim.kill()
		wg.Wait()
		victim.start()
		m.await("every provider is alive", realQuietTimeout, func() error { return m.allAlive(len(m.providers)) })
		m.wantBody(inos.Path(fmt.Sprintf("/big%d", i)), byte(i), size)
	}
	m.settled()
	for i := range rounds {
		p := inos.Path(fmt.Sprintf("/big%d", i))
		m.awaitReplicas(p)
		m.wantBody(p, byte(i), size)
	}
	m.checkLog()
}
