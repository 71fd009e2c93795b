package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/inos-mesh/inos/host/api"
)

const (
	liveInterval  = 500 * time.Millisecond // between drawings on a terminal
	plainInterval = time.Second            // between looks for a change elsewhere
	// summaryInterval is the least time between two plain summaries, which come only when work was done.
	summaryInterval = time.Minute
	logLineMax      = 64 << 10 // bytes of a log line without an end
	lookTimeout     = 10 * time.Second
	rebuildInterval = 3 * time.Second // between plain lines of how far a rebuild is
	// settleTime is how long after a start nodes that are still on their way are nothing to tell of.
	settleTime = 30 * time.Second
)

// look is what a view shows of one moment.
type look struct {
	status   *api.Status
	nodes    *api.NodesReply   // of a local mesh; nil otherwise
	repairs  *api.RepairsReply // of a local mesh; nil when it does not say
	children []childView       // of a local mesh
	names    nodeNames
}

// identity is what a view tells of a node that has begun to listen.
type identity struct{ url, nodeID, version, kernelID string }

// view shows a running node or a local mesh: a few lines that are drawn again on a terminal, lines of what changes
// elsewhere, lines of JSON for --json. It is also where the logs go, so that log and drawing do not mix.
type view struct {
	a     *app
	out   io.Writer // lines for a person, and logs
	json  io.Writer // lines of JSON
	dir   string
	width int
	live  bool

	mu      sync.Mutex // guards the fields below and the output
	url     string
	lines   int // drawn, to be erased before anything else is written
	partial []byte
	closed  bool

	began     time.Time // moved by tests
	settled   bool      // it was ready once, or settleTime is over
	last      *api.Status
	noticed   []string          // the notices that were told and still hold
	lastNodes map[string]string // what was told of each node of a mesh, by id
	ready     bool
	summaryAt time.Time
	summary   string
	rebuildAt time.Time
	rebuild   string // what was told last of a rebuild
	offer     func() // says where the dashboard is, once the node is ready; nil: there is nobody to be told, or it was
}

func (a *app) newView(dir string) *view {
	v := &view{a: a, out: a.stderr, json: a.stdout, dir: dir, began: time.Now()}
	v.width, v.live = terminalOf(a.stderr)
	v.live = v.live && !a.json && !a.quiet
	return v
}

// outliveReaders keeps a node running when nobody reads its output any more, or not now: without it the next line would end it, or stop it. The returned
// function is for the node's end, behind that of the view.
func (v *view) outliveReaders() (stop func()) {
	broken := make(chan os.Signal, 1) // nobody receives: the write that failed says it
	signal.Notify(broken, syscall.SIGPIPE)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.out = &outlet{to: v.out, patience: outletFlush, lost: func(n int) string {
		return fmt.Sprintf("inos: nobody has read: %s dropped\n", plural(uint64(n), "write was", "writes were"))
	}}
	v.json = &outlet{to: v.json, patience: outletFlush, lost: func(n int) string {
		return fmt.Sprintf(`{"event":"dropped","text":"nobody has read","lines":%d,"at_us":%d}`+"\n", n, time.Now().UnixMicro())
	}}
	return func() { signal.Stop(broken) }
}

// flush waits for the readers of what was said, not for ever.
func (v *view) flush() {
	for _, to := range []io.Writer{v.out, v.json} {
		if o, ok := to.(*outlet); ok {
			o.flush()
		}
	}
}

// brokenOff is the last thing that is said behind a second signal.
func (v *view) brokenOff() {
	v.mu.Lock()
	v.closed = true
	_, _ = io.WriteString(v.out, "inos: broken off; what was acknowledged is kept\n")
	v.mu.Unlock()
	v.close()
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
	_, err := io.WriteString(v.out, printableLines(string(v.partial[:end+1])))
	v.partial = append(v.partial[:0], v.partial[end+1:]...)
	return len(p), err
}

// offers has the view say where the dashboard is when the node is ready first. The address has a code in it, so it is shown to a person at a terminal and
// written to no log.
func (v *view) offers(client *api.Client) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.live || v.ready {
		return
	}
	v.offer = func() {
		address, expires, err := client.DashboardCode(v.a.ctx)
		if err != nil {
			v.say("dashboard", "'inos dashboard' prints its address; it cannot be made now: "+err.Error())
			return
		}
		v.say("dashboard", address+" (good once, until "+timeText(int64(expires))+"; 'inos dashboard' prints another; its pages are not here yet)")
	}
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
		_ = json.NewEncoder(v.json).Encode(line) // the node goes on when nobody reads
	case !v.a.quiet:
		fmt.Fprintf(v.out, "inos: %s: %s\n", event, printable(text))
	}
}

// started tells where the node is and what to do with it; with steps, also where to go next.
func (v *view) started(i identity, steps bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.url = i.url
	v.sayLocked("listening", i.url, map[string]any{"url": i.url, "node_id": i.nodeID, "version": i.version, "kernel_id": i.kernelID, "data": v.dir})
	if v.a.json || v.a.quiet {
		return
	}
	fmt.Fprintf(v.out, "inos: node %s, version %s, data in %s\n", i.nodeID, i.version, v.dir)
	if !onLoopback(i.url) {
		fmt.Fprintf(v.out, "inos: warning: HTTP at this address is not encrypted: the network can read tokens and files; put a TLS proxy in front (docs/operate.md)\n")
	}
	if !steps {
		return
	}
	fallback, _ := (&app{}).dataDir()
	fmt.Fprintf(v.out, "inos: next, in another terminal:\n")
	for _, s := range nextSteps(v.dir, fallback) {
		fmt.Fprintf(v.out, "        %s\n", s)
	}
}

// follow shows what a look sees until ctx ends.
func (v *view) follow(ctx context.Context, see func(context.Context) (look, error)) {
	interval := plainInterval
	if v.live {
		interval = liveInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, lookTimeout)
		l, err := see(asking)
		cancel()
		if err == nil {
			v.show(&l)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (v *view) show(l *look) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	s := l.status
	ready, why := l.ready()
	late := !v.settled && !ready && time.Since(v.began) >= settleTime
	if ready && !v.ready {
		v.sayLocked("ready", l.readyText(), nil)
		if v.offer != nil {
			go v.offer()
			v.offer = nil
		}
	}
	if v.ready && !ready || late {
		v.sayLocked("not ready", why, nil)
	}
	v.ready = ready
	if !v.settled {
		v.settled, v.lastNodes = ready || late, nil // changes of nodes begin with what holds now
	}
	if !v.live {
		v.changes(s)
	}
	v.nodeChanges(l)
	if v.live {
		v.draw(l)
	}
	v.last = s
}

// ready tells whether the node takes work and every node of a local mesh that should run answers; else why not.
func (l *look) ready() (bool, string) {
	if !l.status.Ready {
		return false, notReadyText(l.status)
	}
	if l.nodes == nil {
		return true, ""
	}
	var missing []string
	alive := map[string]bool{}
	for i := range l.nodes.Nodes {
		n := &l.nodes.Nodes[i]
		if n.Liveness == "alive" {
			alive[l.names[n.Node]] = true
		}
	}
	for _, c := range l.children {
		if c.name != switchboardName && c.state != childDown && c.state != childStopped && !alive[c.name] {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return false, strings.Join(missing, ", ") + " not alive yet"
	}
	return true, ""
}

// readyText says what is ready.
func (l *look) readyText() string {
	s := l.status
	if onlyProvider(s) {
		return fmt.Sprintf("%s, %s used, %s free", plural(s.Content.Chunks, "chunk"), sizeText(s.Content.UsedBytes), sizeText(s.Content.FreeBytes))
	}
	text := fmt.Sprintf("%s, %s used, %s free", plural(s.Totals.Files, "file"), sizeText(s.Content.UsedBytes), sizeText(s.Content.FreeBytes))
	if l.nodes == nil {
		return text
	}
	text = fmt.Sprintf("%s, %s", plural(uint64(len(l.children)), "process", "processes"), plural(s.Totals.Files, "file"))
	if worth := worthText(s); worth != "" {
		text += "; " + worth
	}
	return text
}

// worthText says what a mesh survives in few words: while stored chunks are short, that; else what a file does.
func worthText(s *api.Status) string {
	switch {
	case s.Short > 0:
		return printable(s.Stored)
	case s.Survives != "":
		return "a file " + printable(s.Survives)
	}
	return ""
}

// onlyProvider tells whether a node holds chunks and decides nothing.
func onlyProvider(s *api.Status) bool { return s.Provider && !s.Switchboard }

// nodeChanges tells what became of the members of a mesh since the last look.
func (v *view) nodeChanges(l *look) {
	if l.nodes == nil {
		return
	}
	told := map[string]string{}
	for i := range l.nodes.Nodes {
		n := &l.nodes.Nodes[i]
		now := n.Liveness
		if n.State != "active" {
			now += ", " + n.State
		}
		told[n.Node] = now
		if before, known := v.lastNodes[n.Node]; v.lastNodes != nil && before != now && (known || n.Liveness != "alive") {
			v.sayLocked("node", l.names.of(n.Node)+": "+printable(now)+remark(n.Notice), map[string]any{"node_id": n.Node, "liveness": n.Liveness, "state": n.State})
		}
	}
	v.lastNodes = told
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
	var noticed []string
	for _, n := range s.Notices {
		if !v.settled && (strings.HasPrefix(n, "degraded") || strings.HasPrefix(n, "waiting for the nodes")) {
			continue // the first nodes are still coming
		}
		if noticed = append(noticed, n); !contains(v.noticed, n) {
			v.sayLocked("notice", printable(n), nil)
		}
	}
	v.noticed = noticed
	for i, w := range s.Workers {
		if v.last != nil && i < len(v.last.Workers) && w.Restarts > v.last.Workers[i].Restarts {
			v.sayLocked("worker", fmt.Sprintf("%d started again: %s", w.Worker, printable(w.Reason)), nil)
		}
	}
	if b := s.Rebuild; b != nil {
		if text := rebuildText(b); text != v.rebuild && (b.Done || time.Since(v.rebuildAt) >= rebuildInterval) {
			v.sayLocked("rebuild", text, map[string]any{"rebuild": b})
			v.rebuild, v.rebuildAt = text, time.Now()
		}
	}
	summary := fmt.Sprintf("%s, %s plain, %s stored", plural(s.Totals.Files, "file"), sizeText(s.Totals.PlainBytes), sizeText(s.Totals.StoredBytes))
	if onlyProvider(s) {
		summary = fmt.Sprintf("%s, %s used", plural(s.Content.Chunks, "chunk"), sizeText(s.Content.UsedBytes))
	}
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
func (v *view) draw(l *look) {
	s := l.status
	var height int
	v.width, height, _ = terminalSize(v.a.stderr) // it may have changed
	lines := []string{
		strings.Repeat("─", min(v.width-1, 60)),
		fmt.Sprintf("%s   up %s", v.url, (time.Duration(s.NowUs-s.StartedUs) * time.Microsecond).Round(time.Second)),
	}
	if onlyProvider(s) {
		lines = append(lines, fmt.Sprintf("holds    %s, %s used, %s free", plural(s.Content.Chunks, "chunk"), sizeText(s.Content.UsedBytes), sizeText(s.Content.FreeBytes)))
	} else {
		lines = append(lines, v.workLines(l)...)
	}
	for _, n := range s.Notices {
		lines = append(lines, wrap("notice   ", printable(n), v.width-1)...)
	}
	lines = withinRows(lines, height)
	v.erase()
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(clip(line, v.width-1))
		b.WriteByte('\n')
	}
	_, _ = io.WriteString(v.out, b.String())
	v.lines = len(lines)
}

// withinRows keeps what a terminal of so many rows shows of lines: what has left it at the top cannot be drawn over, and would stay there again and again.
func withinRows(lines []string, height int) []string {
	shown := height - 2 // the cursor takes one, and what was left out another
	if len(lines) <= height-1 {
		return lines
	}
	return append(lines[:shown:shown], fmt.Sprintf("… and %d more lines: the terminal is too low", len(lines)-shown))
}

// workLines are the live lines of a switchboard: what it keeps and what it does.
func (v *view) workLines(l *look) []string {
	s := l.status
	ready := 0
	for _, w := range s.Workers {
		if w.State == "ready" {
			ready++
		}
	}
	lines := []string{
		fmt.Sprintf("files    %s, %s plain as %s stored", groupText(s.Totals.Files), sizeText(s.Totals.PlainBytes), sizeText(s.Totals.StoredBytes)),
		fmt.Sprintf("work     %s, %s, %d queued   %s", plural(uint64(s.Puts), "put"), plural(uint64(s.Gets), "get"), s.Queued, v.speed(s)),
		fmt.Sprintf("workers  %d of %d ready, Brotli quality %d", ready, len(s.Workers), s.BrotliQuality),
	}
	if l.nodes == nil {
		return append(lines, fmt.Sprintf("disk     %s used, %s free", sizeText(s.Content.UsedBytes), sizeText(s.Content.FreeBytes)))
	}
	return append(lines, l.meshLines(v.width)...)
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

// close leaves the terminal as it is; later drawings are dropped. What is written behind it comes behind what the view has said.
func (v *view) close() {
	defer v.flush()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	if len(v.partial) > 0 {
		_, _ = v.out.Write(append(v.partial, '\n'))
		v.partial = nil
	}
}

// onLoopback says that only this machine reaches a node's address.
func onLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
