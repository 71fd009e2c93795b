package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/inos-mesh/inos/host"
	"github.com/inos-mesh/inos/host/api"
)

const (
	liveInterval  = 500 * time.Millisecond // between drawings on a terminal
	plainInterval = time.Second            // between looks for a change elsewhere
	// summaryInterval is the least time between two plain summaries, which come only when work was done.
	summaryInterval = time.Minute
	logLineMax      = 64 << 10 // bytes of a log line without an end
)

// view shows a running node: a few lines that are drawn again on a terminal, lines of what changes elsewhere, lines of
// JSON for --json. It is also where the node's log goes, so that log and drawing do not mix.
type view struct {
	a     *app
	out   io.Writer
	dir   string
	width int
	live  bool

	mu      sync.Mutex // guards the fields below and the output
	node    *host.Node
	lines   int // drawn, to be erased before anything else is written
	partial []byte
	closed  bool

	last      *api.Status
	summaryAt time.Time
	summary   string
}

func (a *app) newView(dir string) *view {
	v := &view{a: a, out: a.stderr, dir: dir}
	v.width, v.live = terminalOf(a.stderr)
	v.live = v.live && !a.json && !a.quiet
	return v
}

// Write takes log lines; it implements io.Writer for the node.
func (v *view) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.partial = append(v.partial, p...)
	end := bytes.LastIndexByte(v.partial, '\n')
	if end < 0 && len(v.partial) < logLineMax {
		return len(p), nil
	}
	if end < 0 {
		end = len(v.partial) - 1
	}
	v.erase()
	_, err := v.a.stderr.Write(v.partial[:end+1])
	v.partial = append(v.partial[:0], v.partial[end+1:]...)
	return len(p), err
}

// say tells that something happened to the node.
func (v *view) say(event, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sayLocked(event, text, nil)
}

func (v *view) sayLocked(event, text string, more map[string]any) {
	v.erase()
	switch {
	case v.a.json:
		line := map[string]any{"event": event, "text": text, "at_us": time.Now().UnixMicro()}
		for k, value := range more {
			line[k] = value
		}
		_ = json.NewEncoder(v.a.stdout).Encode(line) // the node goes on when nobody reads
	case !v.a.quiet:
		fmt.Fprintf(v.out, "inos: %s: %s\n", event, text)
	}
}

// started tells where the node is and what to do with it.
func (v *view) started(node *host.Node) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.node = node
	i := node.Info()
	v.sayLocked("listening", node.URL(), map[string]any{"url": node.URL(), "node_id": i.NodeID, "version": i.Version, "kernel_id": i.KernelID, "data": v.dir})
	if v.a.json || v.a.quiet {
		return
	}
	fallback, _ := (&app{}).dataDir()
	fmt.Fprintf(v.out, "inos: node %s, version %s, data in %s\n", i.NodeID, i.Version, v.dir)
	fmt.Fprintf(v.out, "inos: next, in another terminal:\n")
	for _, s := range nextSteps(v.dir, fallback) {
		fmt.Fprintf(v.out, "        %s\n", s)
	}
}

// follow looks at the node's status until ctx ends.
func (v *view) follow(ctx context.Context, node *host.Node) {
	interval := plainInterval
	if v.live {
		interval = liveInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, 10*time.Second)
		reply, err := node.Status(asking)
		cancel()
		if err == nil {
			s := api.StatusOf(reply)
			v.show(&s)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (v *view) show(s *api.Status) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	if v.last == nil || v.last.Ready != s.Ready {
		if s.Ready {
			v.sayLocked("ready", fmt.Sprintf("%s, %s used, %s free", plural(s.Totals.Files, "file"), sizeText(s.Content.UsedBytes), sizeText(s.Content.FreeBytes)), nil)
		} else if v.last != nil {
			v.sayLocked("not ready", notReadyText(s), nil)
		}
	}
	if !v.live {
		v.changes(s)
	}
	if v.live {
		v.draw(s)
	}
	v.last = s
}

// notReadyText says why a node takes no work. That it is degraded is no reason.
func notReadyText(s *api.Status) string {
	var reasons []string
	for _, n := range s.Notices {
		if !strings.HasPrefix(n, "degraded") {
			reasons = append(reasons, printable(n))
		}
	}
	if len(reasons) == 0 {
		return "no worker is ready"
	}
	return strings.Join(reasons, "; ")
}

// changes tells new notices, workers that ended, and once a minute what was done.
func (v *view) changes(s *api.Status) {
	for _, n := range s.Notices {
		if v.last == nil || !contains(v.last.Notices, n) {
			v.sayLocked("notice", printable(n), nil)
		}
	}
	for i, w := range s.Workers {
		if v.last != nil && i < len(v.last.Workers) && w.Restarts > v.last.Workers[i].Restarts {
			v.sayLocked("worker", fmt.Sprintf("%d started again: %s", w.Worker, printable(w.Reason)), nil)
		}
	}
	summary := fmt.Sprintf("%s, %s plain, %s used", plural(s.Totals.Files, "file"), sizeText(s.Totals.PlainBytes), sizeText(s.Content.UsedBytes))
	now := time.Now()
	switch {
	case v.summary == "":
		v.summary, v.summaryAt = summary, now
	case summary != v.summary && now.Sub(v.summaryAt) >= summaryInterval:
		v.sayLocked("status", summary, nil)
		v.summary, v.summaryAt = summary, now
	}
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// draw draws the live lines over the ones before.
func (v *view) draw(s *api.Status) {
	v.width, _ = terminalOf(v.a.stderr) // it may have changed
	ready := 0
	for _, w := range s.Workers {
		if w.State == "ready" {
			ready++
		}
	}
	lines := []string{
		strings.Repeat("─", min(v.width-1, 60)),
		fmt.Sprintf("%s   up %s", v.node.URL(), (time.Duration(s.NowUs-s.StartedUs) * time.Microsecond).Round(time.Second)),
		fmt.Sprintf("files    %s, %s plain as %s stored", groupText(s.Totals.Files), sizeText(s.Totals.PlainBytes), sizeText(s.Totals.StoredBytes)),
		fmt.Sprintf("disk     %s used, %s free", sizeText(s.Content.UsedBytes), sizeText(s.Content.FreeBytes)),
		fmt.Sprintf("work     %s, %s, %d queued   %s", plural(uint64(s.Puts), "put"), plural(uint64(s.Gets), "get"), s.Queued, v.speed(s)),
		fmt.Sprintf("workers  %d of %d ready, Brotli quality %d", ready, len(s.Workers), s.BrotliQuality),
	}
	for _, n := range s.Notices {
		lines = append(lines, wrap("notice   ", printable(n), v.width-1)...)
	}
	v.erase()
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(clip(line, v.width-1))
		b.WriteByte('\n')
	}
	_, _ = io.WriteString(v.out, b.String())
	v.lines = len(lines)
}

// speed tells chunks per second since the last look; a chunk is at most 1 MiB of plain bytes.
func (v *view) speed(s *api.Status) string {
	if v.last == nil || s.NowUs <= v.last.NowUs {
		return ""
	}
	seconds := float64(s.NowUs-v.last.NowUs) / 1e6
	rate := func(stage string) float64 { return float64(calls(s, stage)-calls(v.last, stage)) / seconds }
	in, out := rate("storage:encode_chunk"), rate("storage:inflate_chunk")
	if in <= 0 && out <= 0 {
		return "idle"
	}
	return fmt.Sprintf("%.0f chunks/s in, %.0f chunks/s out", in, out)
}

func calls(s *api.Status, stage string) uint64 {
	for i := range s.Stages {
		if s.Stages[i].Stage == stage {
			return s.Stages[i].Calls
		}
	}
	return 0
}

// erase removes the live lines.
func (v *view) erase() {
	if v.lines > 0 {
		fmt.Fprintf(v.out, "\x1b[%dA\x1b[J", v.lines)
		v.lines = 0
	}
}

// close leaves the terminal as it is; later drawings are dropped.
func (v *view) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	if len(v.partial) > 0 {
		_, _ = v.a.stderr.Write(append(v.partial, '\n'))
		v.partial = nil
	}
}
