//go:build linux

package main

import (
	"bufio"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a process has between two rounds, when the mesh is quiet.
type usageSample struct {
	residentKiB, files, goroutines int
}

// soak watches a mesh under a mixture of work and faults for a long time: what its processes use must not grow, and how long requests take is told.
type soak struct {
	until   time.Time // rounds go on until then
	calm    time.Time // no switchboard is killed from then on, so that its memory is seen over hours
	mu      sync.Mutex
	took    map[string][]time.Duration // by kind of request
	samples map[int][]usageSample      // by process id
	names   map[int]string
}

// Bounds of what may differ between the first and the last third of a process's life.
const (
	soakSamplesMin    = 12  // fewer say nothing
	soakFilesMore     = 16  // connections that come and go, a log segment
	soakGoroutineMore = 48  // the same, and requests to peers
	soakMemoryPercent = 120 // the collector's heap goes up and down
	soakMemoryMore    = 24 << 10
)

func newSoak(length time.Duration) *soak {
	now := time.Now()
	return &soak{until: now.Add(length), calm: now.Add(length / 4), took: map[string][]time.Duration{}, samples: map[int][]usageSample{}, names: map[int]string{}}
}

// timed notes how long a request of a kind took, if it went well.
func (s *soak) timed(kind string, began time.Time, err error) {
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took[kind] = append(s.took[kind], time.Since(began))
}

// sample looks at all processes that are up.
func (s *soak) sample(m *realMesh) {
	m.t.Helper()
	for _, n := range append([]*realNode{m.switchboard}, m.providers...) {
		if n.cmd == nil {
			continue
		}
		var u usageSample
		m.await(n.name+" tells what it uses", realReadyTimeout, func() (err error) { // it may be alive and not have written down yet where it listens
			u, err = n.usage()
			return err
		})
		pid := n.cmd.Process.Pid
		s.names[pid] = n.name
		s.samples[pid] = append(s.samples[pid], u)
	}
}

// usage reads what a node's process has from the system, and its goroutines from its own metrics.
func (n *realNode) usage() (u usageSample, err error) {
	proc := filepath.Join("/proc", strconv.Itoa(n.cmd.Process.Pid))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return u, err
	}
	u.files = len(files)
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return u, err
	}
	if u.residentKiB, err = figure(string(status), "VmRSS:"); err != nil {
		return u, err
	}
	url, err := readSmall(filepath.Join(n.dir, "url"))
	if err != nil {
		return u, err
	}
	token, err := readSmall(filepath.Join(n.dir, "token"))
	if err != nil {
		return u, err
	}
	request, err := http.NewRequest(http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return u, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return u, err
	}
	defer func() { _ = answer.Body.Close() }()
	var text strings.Builder
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
	}
	u.goroutines, err = figure(text.String(), "go_goroutines ")
	return u, err
}

// figure returns the number behind a name at the beginning of a line.
func figure(text, name string) (int, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("no line begins with %q", name)
}

// report tells the latencies, and fails for each process whose memory, open files or goroutines have grown.
func (s *soak) report(t *testing.T) {
	t.Helper()
	for _, kind := range slices.Sorted(maps.Keys(s.took)) {
		took := s.took[kind]
		slices.Sort(took)
		at := func(percent int) time.Duration {
			return took[(len(took)-1)*percent/100].Round(time.Millisecond)
		}
		t.Logf("%s: %d, median %v, 99 of 100 within %v, longest %v", kind, len(took), at(50), at(99), at(100))
	}
	for _, pid := range slices.Sorted(maps.Keys(s.samples)) {
		samples := s.samples[pid]
		if len(samples) < soakSamplesMin {
			continue
		}
		first, last := ends(samples)
		t.Logf("%s, process %d, %d samples: %d -> %d KiB resident, %d -> %d files, %d -> %d goroutines", s.names[pid], pid, len(samples),
			first.residentKiB, last.residentKiB, first.files, last.files, first.goroutines, last.goroutines)
		if grows(first, last) {
			t.Errorf("%s, process %d: what it uses grows", s.names[pid], pid)
		}
	}
}

// ends returns the medians of the first and the last third.
func ends(samples []usageSample) (first, last usageSample) {
	third := len(samples) / 3
	return middle(samples[:third]), middle(samples[len(samples)-third:])
}

func grows(first, last usageSample) bool {
	return last.residentKiB > first.residentKiB*soakMemoryPercent/100+soakMemoryMore || last.files > first.files+soakFilesMore ||
		last.goroutines > first.goroutines+soakGoroutineMore
}

// A leak of one file, goroutine or 200 KiB in each round is seen within an hour's rounds, and what goes up and down is none.
func TestSoakSeesWhatGrows(t *testing.T) {
	for name, each := range map[string]usageSample{"memory": {residentKiB: 200}, "files": {files: 1}, "goroutines": {goroutines: 1}, "": {}} {
		var samples []usageSample
		for i := range 360 {
			wave := i % 7
			samples = append(samples, usageSample{residentKiB: 90_000 + 3000*wave + i*each.residentKiB, files: 40 + wave + i*each.files, goroutines: 200 + 4*wave + i*each.goroutines})
		}
		if got := grows(ends(samples)); got != (name != "") {
			t.Errorf("%q leaks: %t", name, got)
		}
	}
}

// middle returns the median of each figure.
func middle(samples []usageSample) usageSample {
	of := func(get func(usageSample) int) int {
		var all []int
		for _, s := range samples {
			all = append(all, get(s))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return usageSample{
		residentKiB: of(func(s usageSample) int { return s.residentKiB }),
		files:       of(func(s usageSample) int { return s.files }),
		goroutines:  of(func(s usageSample) int { return s.goroutines }),
	}
}
