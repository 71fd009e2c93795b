//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/build"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/engine"
)

// mapLog follows the map of chunks and copies through the replay log of a switchboard: it steps the kernel once more, and what
// the kernel asked of the map and of other disks, and what came of it, gives the copies of every chunk at every moment. It holds each
// decision to take a copy away against that.
//
// An effect counts when its end is in the log: what a kernel decides on is not newer. When the log was cut by a kill, what was under
// way then is not known, and what the map says is learned anew from the map's own answers.
type mapLog struct {
	kernel  *engine.Kernel
	now     inos.Micros
	asked   map[string]*logAsk // under way, by id
	chunks  map[inos.ChunkID]*logChunk
	epochs  map[string]uint64
	heard   map[string]inos.Micros // by node: its last sign of life
	lost    map[string]inos.Micros // by node: when its connection was lost, if nothing was heard of it since
	gone    map[string]bool        // copies that were dropped as lost or retired, as "node chunk"
	cut     bool                   // a chunk that is not here may be in the map
	wrong   []string
	figures logFigures
}

// logFigures say that a log had something to prove.
type logFigures struct {
	steps, copies, confirmed, distrusts, retired, dropped, trashed, unknown int
}

func (f logFigures) String() string {
	return fmt.Sprintf("%d steps, %d copies noted, %d distrusted nodes, %d copies confirmed, %d copies retired, %d dropped as lost, %d chunks ordered to the trash (%d of them before the map was known)",
		f.steps, f.copies, f.distrusts, f.confirmed, f.retired, f.dropped, f.trashed, f.unknown)
}

type logChunk struct {
	wanted    uint32 // as the map said last; 0: it has not said
	condemned bool
	copies    map[string]uint64 // by node: the epoch in which it was written or confirmed
}

// logAsk is an effect under way.
type logAsk struct {
	e    *eventpb.Envelope
	call *eventpb.MeshCallRequest // of a call to another node
	risk string                   // of a copy to be retired: why that would be wrong
}

// What a node that lives shows: a sign of life within logSilence, and within logLost of losing its connection.
const (
	logSilence = 35 * inos.Second
	logLost    = 5 * inos.Second
	logWrong   = 20 // violations that are told
)

// checkLog proves by the log of the switchboard that no decision took a copy that was needed, and says what the log shows.
func (m *realMesh) checkLog() *mapLog {
	m.t.Helper()
	l, err := m.readLog()
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Logf("the log: %v", l.figures)
	for _, text := range l.wrong[:min(len(l.wrong), logWrong)] {
		m.t.Error(text)
	}
	if l.figures.copies == 0 {
		m.t.Error("the log shows no copy")
	}
	return l
}

// readLog follows the log that the switchboard's folder holds.
func (m *realMesh) readLog() (*mapLog, error) {
	wasm, err := build.Kernel()
	if err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(m.switchboard.dir, "log", "kernel-*.log"))
	if err != nil || len(names) == 0 {
		return nil, errors.Join(errors.New("the switchboard has no log"), err)
	}
	slices.Sort(names)
	l := newMapLog()
	for i, name := range names {
		if err := l.segment(wasm, m.cache, name, i == 0); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func newMapLog() *mapLog {
	return &mapLog{
		asked: map[string]*logAsk{}, chunks: map[inos.ChunkID]*logChunk{}, epochs: map[string]uint64{}, gone: map[string]bool{},
		heard: map[string]inos.Micros{}, lost: map[string]inos.Micros{},
	}
}

// segment steps a kernel through one segment. One that begins with a boot comes behind a kill or a stop.
func (l *mapLog) segment(wasm []byte, cache, name string, first bool) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	reader, err := event.NewLogReader(file)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) { // nothing of it reached the disk
			return nil
		}
		return err
	}
	if l.kernel, err = engine.NewKernel(context.Background(), wasm, cache); err != nil {
		return err
	}
	defer l.kernel.Close()
	if snapshot := reader.Header().Snapshot; len(snapshot) > 0 {
		if err := l.kernel.Restore(snapshot); err != nil {
			return err
		}
		l.cut = l.cut || first
	} else {
		l.cut = !first
		clear(l.asked)
		clear(l.chunks)
	}
	for {
		record, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		effects, wake, err := l.kernel.Step(record.Now, record.Envelope)
		if err != nil {
			return err
		}
		if event.EffectsDigest(wake, effects) != record.Digest {
			return fmt.Errorf("%s: a step gives other effects than it gave", name)
		}
		l.now = record.Now
		l.figures.steps++
		if err := l.took(record.Envelope); err != nil {
			return err
		}
		for _, effect := range effects {
			if err := l.made(effect); err != nil {
				return err
			}
		}
	}
}

func (l *mapLog) fault(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// made takes an effect of the kernel.
func (l *mapLog) made(effect []byte) error {
	e, err := event.Decode(slices.Clone(effect))
	if err != nil || event.StateOf(e.EventType) != event.StateRequested {
		return err
	}
	a := &logAsk{e: e}
	l.asked[e.Id] = a
	switch e.EventType {
	case event.RetireCopy:
		var q eventpb.RetireCopyRequest
		if err := event.Open(e, &q); err != nil {
			return err
		}
		a.risk = l.risk(inos.ChunkID(q.ChunkId), q.Node)
	case event.ContentTrash:
		return l.trashes("the switchboard", e)
	case event.MeshCall:
		var q eventpb.MeshCallRequest
		if err := event.Open(e, &q); err != nil {
			return err
		}
		inner, err := event.Decode(q.Envelope)
		if err != nil {
			return err
		}
		if a.call = &q; inner.EventType == event.ContentTrash {
			return l.trashes(q.Node, inner)
		}
	}
	return nil
}

// risk says why a chunk must not lose a node's copy now; empty: it may.
func (l *mapLog) risk(id inos.ChunkID, node string) string {
	c := l.chunks[id]
	if c == nil {
		if l.cut {
			return ""
		}
		return fmt.Sprintf("chunk %s is in no map", id)
	}
	wanted := c.wanted
	if wanted == 0 {
		wanted = inos.ReplicasDefault
	}
	var rest []string
	for _, other := range slices.Sorted(maps.Keys(c.copies)) {
		if other != node && c.copies[other] == l.epochs[other] && l.lives(other) {
			rest = append(rest, shortNode(other))
		}
	}
	if len(rest) >= int(wanted) {
		return ""
	}
	return fmt.Sprintf("chunk %s wants %d copies; without that of node %s it has %d trusted ones on living nodes (%s)", id, wanted, shortNode(node), len(rest), strings.Join(rest, ", "))
}

// lives says whether a node has shown life lately. The switchboard's own disk does.
func (l *mapLog) lives(node string) bool {
	heard, known := l.heard[node]
	lost := l.lost[node]
	return known && l.now-heard <= logSilence && (lost == 0 || l.now-lost <= logLost)
}

// trashes checks an order to trash chunks: the map must not say that the node holds them.
func (l *mapLog) trashes(node string, e *eventpb.Envelope) error {
	var q eventpb.ContentTrashRequest
	if err := event.Open(e, &q); err != nil || q.Record {
		return err
	}
	for _, g := range q.Chunks {
		id := inos.ChunkID(g.ChunkId)
		l.figures.trashed++
		c := l.chunks[id]
		if c == nil {
			if l.cut {
				l.figures.unknown++
			}
			continue
		}
		if _, listed := c.copies[node]; listed && !c.condemned {
			l.fault("at %d node %s is told to trash chunk %s, which the map lists for it", l.now, shortNode(node), id)
		}
	}
	return nil
}

// took takes what the kernel was stepped with.
func (l *mapLog) took(envelope []byte) error {
	e, err := event.Decode(envelope)
	if err != nil {
		return err
	}
	switch e.EventType {
	case event.MeshServe:
		var q eventpb.MeshServeRequest
		if err := event.Open(e, &q); err != nil {
			return err
		}
		l.sign(q.Peer)
		return nil
	case event.MeshPeer:
		var p eventpb.MeshPeer
		if err := event.Open(e, &p); err != nil {
			return err
		}
		if p.Connected {
			delete(l.lost, p.Peer)
		} else {
			l.lost[p.Peer] = l.now
		}
		return nil
	}
	a := l.asked[e.Id]
	if a == nil {
		return nil
	}
	delete(l.asked, e.Id)
	if event.StateOf(e.EventType) == event.StateFailed {
		if a.call == nil && event.FailureOf(e).Code == inos.CodeIO && strings.HasPrefix(e.EventType, "semantic:") {
			l.cut = true // it may have been done
			clear(l.chunks)
		}
		return nil
	}
	if a.call != nil {
		l.sign(a.call.Node)
	}
	if err := l.ended(a, e); err != nil {
		return fmt.Errorf("%s: %w", e.EventType, err)
	}
	return nil
}

func (l *mapLog) sign(node string) {
	l.heard[node] = l.now
	delete(l.lost, node)
}
