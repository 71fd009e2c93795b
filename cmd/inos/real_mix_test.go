//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// realFile is what may be at a path: what was acknowledged last, and what was sent since and not answered. Only its lane uses it.
type realFile struct {
	path inos.Path
	may  []fileBody
}

// fileBody is one state of a path; the zero value: there is no file.
type fileBody struct {
	seed byte
	size int
}

// check reads the path.
func (f *realFile) check(m *realMesh) error {
	var last error
	for _, b := range f.may {
		if last = m.holdsBody(f.path, b); last == nil {
			f.may = []fileBody{b}
			return nil
		}
	}
	return fmt.Errorf("%s: none of the %d bodies that it may have: %w", f.path, len(f.may), last)
}

func (m *realMesh) holdsBody(p inos.Path, b fileBody) error {
	if b != (fileBody{}) {
		return m.readBody(p, b.seed, b.size)
	}
	_, err := m.client.Stat(context.Background(), api.Ref{Path: p}, 0, 1)
	switch {
	case err == nil:
		return fmt.Errorf("there is a file where none should be")
	case inos.CodeOf(err) == inos.CodeFileNotFound:
		return nil
	}
	return err
}

// A mix of faults, one provider or the switchboard at a time, under puts, overwrites, gets and deletes; the seed says which. For INOS_REAL_SOAK
// seconds, if that is given, what the processes use has to stay flat.
func TestRealMix(t *testing.T) {
	t.Parallel()
	seed := amount(t, "INOS_REAL_SEED", int(time.Now().UnixNano()%1_000_000))
	t.Logf("INOS_REAL_SEED=%d", seed)
	m := startMesh(t, []string{"cold", "cold", "cold", "hot", "cold"})
	x := &realMix{realMesh: m, random: rand.New(rand.NewPCG(uint64(seed), 0))}
	for lane := range 3 {
		var files []*realFile
		for i := range 5 {
			files = append(files, &realFile{path: inos.Path(fmt.Sprintf("/lane%d/f%d", lane, i)), may: []fileBody{{}}})
		}
		x.lanes = append(x.lanes, files)
	}
	x.soak = newSoak(time.Duration(amount(t, "INOS_REAL_SOAK", 0)) * time.Second)
	for round, rounds := 0, amount(t, "INOS_REAL_MIX", 4); round < rounds || time.Now().Before(x.soak.until); round++ {
		x.round(round)
		x.soak.sample(m)
		if t.Failed() {
			return
		}
	}
	x.final()
	x.soak.report(t)
}

type realMix struct {
	*realMesh
	random *rand.Rand
	lanes  [][]*realFile
	soak   *soak
}

// mixFault is one kind of fault: begin and end of it, and whether requests may fail meanwhile.
type mixFault struct {
	name       string
	begin, end func(n *realNode)
	failing    bool
}

const mixOps = 6 // of each lane in a round

func (x *realMix) faults() []mixFault {
	kill := func(n *realNode) { n.kill() }
	start := func(n *realNode) { n.start() }
	none := func(*realNode) {}
	return []mixFault{
		{name: "killed", begin: kill, end: start},
		{name: "killed for long", begin: kill, end: func(n *realNode) {
			x.await("what "+n.name+" held is made again", realQuietTimeout, func() error {
				return x.shortOf(n)
			})
			n.start()
		}},
		{name: "stopped", begin: func(n *realNode) { n.signal(syscall.SIGSTOP) }, end: func(n *realNode) { n.signal(syscall.SIGCONT) }},
		{name: "emptied", begin: func(n *realNode) {
			n.kill()
			n.empty()
		}, end: start},
		{name: "flipped", begin: func(n *realNode) {
			for i, name := range n.chunkFiles("content") {
				if i%2 == 0 {
					flip(x.t, name)
				}
			}
		}, end: none},
		{name: "switchboard killed", failing: true, begin: func(*realNode) { x.switchboard.kill() }, end: func(*realNode) {
			x.switchboard.start()
			x.connect()
		}},
		{name: "switchboard stopped", begin: func(*realNode) {
			x.switchboard.signal(syscall.SIGSTOP)
			<-time.After(2 * time.Second)
			x.switchboard.signal(syscall.SIGCONT)
		}, end: none},
	}
}

// shortOf says whether a file that is surely there still lacks copies on other nodes than n.
func (x *realMix) shortOf(n *realNode) error {
	for _, lane := range x.lanes {
		for _, f := range lane {
			if len(f.may) == 1 && f.may[0] != (fileBody{}) {
				if err := x.wantReplicas(n, f.path); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// round runs all lanes, begins a fault among them and ends it behind them.
func (x *realMix) round(number int) {
	x.t.Helper()
	faults := x.faults()
	fault := faults[x.random.IntN(len(faults))]
	for fault.failing && time.Now().After(x.soak.calm) && time.Now().Before(x.soak.until) {
		fault = faults[x.random.IntN(len(faults))]
	}
	victims := x.providers
	if time.Now().Before(x.soak.until) {
		victims = victims[1:] // one process lives from the beginning to the end
	}
	victim := victims[x.random.IntN(len(victims))]
	if fault.name == "flipped" {
		victim = x.providers[1] // one disk is bad: whom the audits name gets no copies for a time that doubles, and five cannot do without two
	}
	after := x.random.IntN(len(x.lanes) * mixOps / 2)
	x.t.Logf("round %d: %s is the victim, %q after %d requests", number, victim.name, fault.name, after)
	ends := make(chan struct{}, len(x.lanes)*mixOps)
	var wg sync.WaitGroup
	for _, files := range x.lanes {
		random := rand.New(rand.NewPCG(x.random.Uint64(), 0))
		wg.Go(func() {
			for range mixOps {
				f := files[random.IntN(len(files))]
				if err := x.op(f, random); err != nil && !fault.failing {
					x.t.Errorf("round %d, %s %s: %v", number, victim.name, fault.name, err)
				}
				ends <- struct{}{}
			}
		})
	}
	for range after {
		<-ends
	}
	fault.begin(victim)
	wg.Wait()
	fault.end(victim)
	if fault.name == "flipped" { // what nobody reads stays bad until the next scrub
		if _, err := x.client.Verify(context.Background(), "", nil); err != nil {
			x.t.Errorf("verify: %v", err)
		}
	}
	x.settled()
}

// op does one thing to a file. What is not answered may have been done.
func (x *realMix) op(f *realFile, random *rand.Rand) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), realQuietTimeout)
	defer cancel()
	name := "get"
	defer func(began time.Time) { x.soak.timed(name, began, err) }(time.Now())
	switch kind := random.IntN(10); {
	case kind < 5:
		name = "put"
		b := fileBody{seed: byte(random.IntN(256)), size: 1 + random.IntN(2_500_000)}
		f.may = append(f.may, b)
		if _, err := x.client.Put(ctx, f.path, reader(b.seed, b.size), int64(b.size), api.PutOptions{}); err != nil {
			return fmt.Errorf("put: %w", err)
		}
		f.may = []fileBody{b}
	case kind < 7:
		name = "delete"
		there := !slices.Contains(f.may, fileBody{})
		f.may = append(f.may, fileBody{})
		_, err := x.client.Delete(ctx, f.path)
		if missing := inos.CodeOf(err) == inos.CodeFileNotFound; err != nil && (!missing || there) {
			return fmt.Errorf("delete: %w", err)
		}
		f.may = []fileBody{{}}
	default:
		if err := f.check(x.realMesh); err != nil {
			return fmt.Errorf("get: %w", err)
		}
	}
	return nil
}

// final holds the mesh against what was acknowledged, and the counters against the disks.
func (x *realMix) final() {
	x.t.Helper()
	want := map[inos.Path]bool{}
	var plain uint64
	for _, lane := range x.lanes {
		for _, f := range lane {
			if err := f.check(x.realMesh); err != nil {
				x.t.Error(err)
				continue
			}
			if b := f.may[0]; b != (fileBody{}) {
				want[f.path] = true
				plain += uint64(b.size)
				x.awaitReplicas(f.path)
			}
		}
	}
	for f, err := range x.client.List(context.Background(), "/") {
		if err != nil {
			x.t.Fatal(err)
		}
		if !want[inos.Path(f.Path)] {
			x.t.Errorf("%s is listed and should not be", f.Path)
		}
		delete(want, inos.Path(f.Path))
	}
	if len(want) > 0 {
		x.t.Errorf("not listed: %v", want)
	}
	s, err := x.client.Status(context.Background())
	if err != nil {
		x.t.Fatal(err)
	}
	if s.Totals.PlainBytes != plain {
		x.t.Errorf("the map counts %d plain bytes, the files have %d", s.Totals.PlainBytes, plain)
	}
	x.noOrphans()
	x.wantSound()
	x.wantCounters()
	x.checkLog()
}

// wantCounters waits until every node reports what its disk holds.
func (m *realMesh) wantCounters() {
	m.t.Helper()
	m.await("the counters are those of the disks", realQuietTimeout, func() error {
		r, err := m.nodes()
		if err != nil {
			return err
		}
		for _, p := range m.providers {
			var chunks, bytes int64
			for _, name := range p.chunkFiles("content") {
				if info, err := os.Stat(name); err == nil {
					chunks++
					bytes += info.Size()
				}
			}
			i := slices.IndexFunc(r.Nodes, func(n api.NodeInfo) bool { return n.Node == p.nodeID() })
			if i < 0 || r.Nodes[i].Content == nil {
				return fmt.Errorf("%s reports nothing", p.name)
			}
			if n := r.Nodes[i]; int64(n.Copies) != chunks || int64(n.Content.Chunks) != chunks || int64(n.Content.UsedBytes) != bytes {
				return fmt.Errorf("%s holds %d chunks of %d bytes, the map lists %d, it reports %d of %d bytes", p.name, chunks, bytes, n.Copies, n.Content.Chunks, n.Content.UsedBytes)
			}
		}
		return nil
	})
}
