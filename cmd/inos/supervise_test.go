package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shell is a child that runs a script, and the states and lines that were seen of it.
type shell struct {
	*child
	mu     sync.Mutex // guards the fields below
	states []childState
	lines  []string
	news   chan struct{} // holds one entry when something was added
}

func startShell(t *testing.T, script string) *shell {
	t.Helper()
	s := &shell{news: make(chan struct{}, 1)}
	s.child = newChild("node", t.TempDir(), func() []string { return []string{"-c", script} })
	add := func(f func()) {
		s.mu.Lock()
		f()
		s.mu.Unlock()
		select {
		case s.news <- struct{}{}:
		default:
		}
	}
	s.out = func(c *child, line []byte) {
		c.running()
		add(func() { s.lines = append(s.lines, string(line)) })
	}
	s.log = func(_ *child, line []byte) { add(func() { s.lines = append(s.lines, "log "+string(line)) }) }
	s.changed = func(c *child) { add(func() { s.states = append(s.states, c.view().state) }) }
	go newSupervisor("/bin/sh").keep(s.child)
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		s.end(ended)
	})
	return s
}

// until waits for a condition on what was seen.
func (s *shell) until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	timeout := time.After(stateTimeout)
	for {
		s.mu.Lock()
		met := condition()
		s.mu.Unlock()
		if met {
			return
		}
		select {
		case <-s.news:
		case <-timeout:
			t.Fatalf("no %s: states %v, lines %q", what, s.states, s.lines)
		}
	}
}

func (s *shell) saw(state childState) func() bool {
	return func() bool {
		for _, have := range s.states {
			if have == state {
				return true
			}
		}
		return false
	}
}

func TestChildIsStartedAgain(t *testing.T) {
	s := startShell(t, `echo careful >&2; printf 'up %s\nunended' $$; exec sleep 600 2>/dev/null`)
	s.until(t, "first run", func() bool { return len(s.lines) >= 2 })
	first := s.view()
	if first.state != childRunning || first.pid == 0 || first.restarts != 0 {
		t.Errorf("%+v", first)
	}
	if err := syscall.Kill(first.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.until(t, "second run", func() bool { return strings.Count(strings.Join(s.lines, "\n"), "up ") == 2 })
	if v := s.view(); v.restarts != 1 || v.reason != "killed by SIGKILL" || v.pid == first.pid {
		t.Errorf("%+v", v)
	}
	s.end(context.Background())
	if v := s.view(); v.state != childStopped || v.pid != 0 {
		t.Errorf("%+v", v)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if all := strings.Join(s.lines, "|"); !strings.Contains(all, "log careful") || !strings.Contains(all, "unended") {
		t.Errorf("%q", s.lines)
	}
}

func TestChildIsKeptDown(t *testing.T) {
	s := startShell(t, `echo up; exec sleep 600`)
	s.until(t, "run", s.saw(childRunning))
	down := filepath.Join(s.dir, downFile)
	if err := os.WriteFile(down, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.kill()
	s.until(t, "rest", s.saw(childDown))
	if err := os.Remove(down); err != nil {
		t.Fatal(err)
	}
	s.until(t, "second run", func() bool { return len(s.lines) == 2 })
}

// What ignores the signal to end is killed when the time for it is over.
func TestChildThatDoesNotEnd(t *testing.T) {
	s := startShell(t, `trap '' TERM; echo up; while :; do sleep 1; done`)
	s.until(t, "run", s.saw(childRunning))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	s.end(ctx)
	if v := s.view(); v.state != childStopped {
		t.Errorf("%+v", v)
	}
}

func TestBudget(t *testing.T) {
	c := newChild("node", t.TempDir(), nil)
	c.ran = true
	for i := range restartsMax {
		if !c.noteEnd("x") {
			t.Fatalf("the budget was used up by %d ends", i+1)
		}
	}
	if c.noteEnd("x") || c.view().restarts != restartsMax {
		t.Error("the budget has no end")
	}
	c.starts = c.starts[:0]
	for range restartsMax {
		c.starts = append(c.starts, time.Now().Add(-2*restartWindow))
	}
	if !c.noteEnd("x") {
		t.Error("ends of long ago count")
	}
}

func TestLineWriterIsBounded(t *testing.T) {
	var lines []string
	w := &lineWriter{each: func(l []byte) { lines = append(lines, string(l)) }}
	long := strings.Repeat("x", childLineMax+10)
	for _, p := range []string{"a\nb", "c\n\n", long, long, "\nend"} {
		if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.end()
	want := []string{"a", "bc", "", long[:childLineMax], "end"}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d lines", len(lines))
	}
}
