package sim

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
)

var (
	oneSeed   = flag.Uint64("sim.seed", 0, "run the world of this seed only, and write its transcript to standard output")
	firstSeed = flag.Uint64("sim.first", 0, "the first seed; 0: from the clock, or 1 when no number of seeds is given")
	seedCount = flag.Int("sim.seeds", 0, "how many seeds; 0: those that the tests always run")
	quitAfter = flag.Int("sim.quit", 10, "stop after so many bad worlds")
	long      = flag.Bool("sim.long", false, "run the world of a thousand nodes too")
	shrinking = flag.Bool("sim.shrink", true, "shrink the faults of the first bad world and write its transcript")
)

func init() {
	flag.BoolVar(&allLone, "sim.lone", false, "worlds of one node only")
	flag.BoolVar(&allLie, "sim.lie", false, "worlds only that are prepared for a liar, with ten times as many challenges")
}

// seedsDefault are the worlds that the tests run, from seed 1 on: the same ones each time. Fresh ones are for make sim.
const seedsDefault = 500

// TestSeed runs the world of one seed and prints its transcript.
func TestSeed(t *testing.T) {
	if *oneSeed == 0 {
		t.Skip("no seed was named")
	}
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	r := Run(*oneSeed, out)
	_ = out.Flush()
	t.Logf("%d steps, %d faults, %d requests answered, digest %x", r.Steps, r.Faults, r.Ops, r.Digest)
	for _, v := range r.Violations {
		t.Error(v)
	}
}

// keptSeeds reads the seeds whose worlds went wrong once: a number a line, then what it was.
func keptSeeds(t *testing.T) (seeds []uint64) {
	t.Helper()
	raw, err := os.ReadFile("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		number, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if number == "" || number[0] == '#' {
			continue
		}
		seed, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatalf("testdata/seeds.txt: %v", err)
		}
		seeds = append(seeds, seed)
	}
	return seeds
}

// total sums what worlds did.
type total struct {
	mu     sync.Mutex // guards what follows
	worlds int
	steps  uint64
	faults int
	ops    int
	bad    []Result
	first  int // number of the first bad world; 0: none
	codes  map[inos.Code]int
}

func (s *total) add(i int, r Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worlds++
	s.steps += r.Steps
	s.faults += r.Faults
	s.ops += r.Ops
	for c, n := range r.Codes {
		s.codes[c] += n
	}
	if len(r.Violations) > 0 {
		s.bad = append(s.bad, r)
		if s.first == 0 || i+1 < s.first {
			s.first = i + 1
		}
	}
}

// spend runs worlds on all cores until there are no more seeds or enough are bad.
func spend(seeds []uint64) *total {
	s := &total{codes: map[inos.Code]int{}}
	var next atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				s.mu.Lock()
				enough := len(s.bad) >= *quitAfter
				s.mu.Unlock()
				if i >= len(seeds) || enough {
					return
				}
				s.add(i, Run(seeds[i], nil))
			}
		})
	}
	all.Wait()
	return s
}

func report(t *testing.T, s *total) {
	t.Helper()
	for _, r := range s.bad {
		t.Errorf("seed %d, digest %x: %s", r.Seed, r.Digest, r.Violations[0])
	}
	if s.first > 0 {
		t.Logf("first bad world: number %d, %s", s.first, s.bad[0].Violations[0])
	}
	if len(s.bad) > 0 && *shrinking {
		explain(t, s.bad[0].Seed)
	}
}

// explain shrinks a bad world and writes its transcript.
func explain(t *testing.T, seed uint64) {
	t.Helper()
	p, r := Shrink(newPlan(seed))
	t.Logf("seed %d goes wrong with %d faults and %d requests of clients too: %s", seed, len(p.Faults), len(p.ops), r.Violations[0])
	for _, f := range p.Faults {
		t.Logf("  %s", f)
	}
	for _, o := range p.ops {
		t.Logf("  %s client %s %s %s", clock(epoch+o.At), opNames[o.kind], o.path, describeOp(o))
	}
	name := filepath.Join(os.TempDir(), fmt.Sprintf("inos-sim-%d.txt", seed))
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriterSize(file, 1<<20)
	p.run(out)
	if err := out.Flush(); err != nil {
		t.Error(err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("transcript: %s", name)
}

// TestKeptSeeds runs the worlds in which a bug was found.
func TestKeptSeeds(t *testing.T) {
	if *oneSeed != 0 {
		t.Skip("one seed was named")
	}
	report(t, spend(keptSeeds(t)))
}

// TestSeeds runs worlds: those of the tests, or fresh ones that nobody has seen.
func TestSeeds(t *testing.T) {
	if *oneSeed != 0 {
		t.Skip("one seed was named")
	}
	first, count := *firstSeed, *seedCount
	if first == 0 && count > 0 {
		first = uint64(time.Now().UnixMilli()) << 12
	}
	if count == 0 {
		first, count = max(first, 1), seedsDefault
		if testing.Short() {
			count /= 10
		}
	}
	seeds := make([]uint64, count)
	for i := range seeds {
		seeds[i] = first + uint64(i)
	}
	began := time.Now()
	s := spend(seeds)
	took := time.Since(began)
	t.Logf("%d worlds from seed %d: %d faults, %d requests answered, %d steps, %.1f worlds/s; %d bad", s.worlds, first, s.faults, s.ops, s.steps,
		float64(s.worlds)/took.Seconds(), len(s.bad))
	var codes []string
	for _, c := range sortedCodes(s.codes) {
		codes = append(codes, fmt.Sprintf("%s %d", c.Name(), s.codes[c]))
	}
	t.Logf("requests that failed: %s", strings.Join(codes, ", "))
	report(t, s)
}

func sortedCodes(m map[inos.Code]int) (codes []inos.Code) {
	for c := range inos.Code(1 << 10) {
		if m[c] > 0 {
			codes = append(codes, c)
		}
	}
	return codes
}

// TestManyNodes runs one world of a thousand nodes with heartbeats every five minutes, of which a tenth die at once and come back.
func TestManyNodes(t *testing.T) {
	if !*long {
		t.Skip("it belongs to the long set: -sim.long")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(200)) // one large world
	began := time.Now()
	p := bigPlan(max(*oneSeed, 1), 1000)
	r := p.run(nil)
	t.Logf("%d steps, %d faults, %d requests answered, %d virtual minutes in %s", r.Steps, r.Faults, r.Ops, r.Virtual/inos.Minute, time.Since(began).Round(time.Second))
	t.Logf("%d copies made while a zone was dead, %d let go of since it is back", p.outage.repaired, p.outage.bySurplus)
	if p.outage.repaired == 0 || p.outage.bySurplus == 0 {
		t.Error("the death of a zone, or its return, had no consequences")
	}
	for _, v := range r.Violations {
		t.Error(v)
	}
}

// TestMain gives the collector of garbage less to do: worlds are small and there are many.
func TestMain(m *testing.M) {
	debug.SetGCPercent(1600)
	m.Run()
}

// TestReplay runs worlds twice: a seed is a world.
func TestReplay(t *testing.T) {
	if *oneSeed != 0 {
		t.Skip("one seed was named")
	}
	for seed := uint64(1); seed <= 8; seed++ {
		a, b := Run(seed, nil), Run(seed, nil)
		if a.Digest != b.Digest || a.Steps != b.Steps {
			t.Errorf("seed %d: %d steps with digest %x, then %d with %x", seed, a.Steps, a.Digest, b.Steps, b.Digest)
		}
	}
}
