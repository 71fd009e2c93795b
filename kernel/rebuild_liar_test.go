package kernel

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A node that names chunks or commit records without an end is passed over, and all else is restored.
func TestRebuildPastAnEndlessList(t *testing.T) {
	for _, what := range []string{"chunks", "records", "a few chunks"} {
		t.Run(what, func(t *testing.T) {
			old, _ := builtWorld(t, 2)
			old.others["n2"].endless = what
			k := New()
			w := old.emptied(&pair{t: t, k: k, every: 500})
			w.start()
			w.drive(t, k, func() bool { return !k.rebuilding.active() })
			if got := w.namespace(); !slices.Equal(got, old.namespace()) {
				t.Errorf("it was\n%v\nit is\n%v", old.namespace(), got)
			}
			u := &k.rebuilding
			if p := u.progress(); !p.Done || p.Unreadable != 0 || p.Refused > recordsEmptyMax+recordsRestoring || len(u.over) != 1 || len(u.notices()) != 1 ||
				!strings.Contains(u.notices()[0], "node n2 has not told") {
				t.Errorf("progress %v, notices %v", p, u.notices())
			}
			w.tick(w.now + inos.Second)
			w.run(1000) // the history is written
			why := "node n2 names more than "
			if what == "a few chunks" { // at a time, each as late as can be
				why = "node n2 does not say what it holds"
			}
			if !slices.ContainsFunc(w.history, func(r *eventpb.EventRecord) bool { return strings.Contains(r.Detail, why) }) {
				t.Error("the history says nothing of it")
			}
		})
	}
}

// The same node is passed over too when a pass goes through its records, however many of them are had.
func TestRebuildPastAnEndlessPass(t *testing.T) {
	old, _ := builtWorld(t, 2)
	k := New()
	w := old.emptied(native{k})
	w.start()
	u := &k.rebuilding
	w.drive(t, k, func() bool { return u.phase == rebuildRecords && u.at < len(u.order) && u.order[u.at] == "n2" })
	old.others["n2"].endless, u.listed = "records", u.most("n2", true)
	w.drive(t, k, func() bool { return !u.active() })
	if p := u.progress(); len(u.over) != 1 || p.Refused > recordPage {
		t.Errorf("progress %v, notices %v", p, u.notices())
	}
	if got := w.namespace(); !slices.Equal(got, old.namespace()) {
		t.Errorf("it was\n%v\nit is\n%v", old.namespace(), got)
	}
}

// An honest node with very many chunks and records is not passed over, even when most of its records have gone bad.
func TestRebuildOfVeryManyRecords(t *testing.T) {
	old, _ := builtWorld(t, 2)
	d := old.others["n2"]
	for i := range listedSpare + 2*inventoryPage {
		id := string(hashOf(fmt.Sprint("chunk", i)))
		d.chunks[id] = stored{id: id, size: 10}
	}
	const bad = recordsEmptyMax + 1000 // spread among those that are good, as ids are
	for i := range bad {
		id := string(hashOf(fmt.Sprint("record", i)))
		d.records[id] = stored{id: string(hashOf("other bytes")), size: 10}
	}
	k := New()
	w := old.emptied(native{k})
	w.start()
	w.drive(t, k, func() bool { return !k.rebuilding.active() })
	if p := k.rebuilding.progress(); p.Refused != bad || p.Unreadable != 0 || len(k.rebuilding.notices()) != 0 {
		t.Errorf("progress %v, notices %v", p, k.rebuilding.notices())
	}
	if got := w.namespace(); !slices.Equal(got, old.namespace()) {
		t.Errorf("it was\n%v\nit is\n%v", old.namespace(), got)
	}
}

// What a node can name follows from its heartbeat and its grant, with room to spare and without an overflow.
func TestMostThatANodeCanName(t *testing.T) {
	k := New()
	k.node.switchboard = true
	usage := func(chunks, records uint64) *eventpb.ContentUsage {
		return &eventpb.ContentUsage{Chunks: chunks, Records: records}
	}
	for _, c := range []struct {
		usage           *eventpb.ContentUsage
		offered         uint64
		chunks, records uint64
	}{
		{nil, 0, listedMax, listedMax},
		{nil, 1 << 20, 1<<18 + listedSpare, listedMax},
		{usage(0, 0), 1 << 40, listedSpare, listedSpare},
		{usage(1000, 10), 1 << 40, 2000 + listedSpare, 20 + listedSpare},
		{usage(1e9, 1e9), 1 << 30, 1<<28 + listedSpare, 2e9 + listedSpare},
		{usage(math.MaxUint64, math.MaxUint64), math.MaxUint64, listedMax, listedMax},
	} {
		m := k.members.newMember()
		m.row.Node, m.row.State, m.row.OfferedBytes, m.usage = "n", uint32(inos.MemberActive), c.offered, c.usage
		k.members.table["n"] = m
		if chunks, records := k.rebuilding.most("n", false), k.rebuilding.most("n", true); chunks != c.chunks || records != c.records {
			t.Errorf("%v of %d bytes: %d chunks and %d records, want %d and %d", c.usage, c.offered, chunks, records, c.chunks, c.records)
		}
	}
}

// A node that answers for none of its records is asked last for those that others have too: each answer may take long.
func TestRebuildAsksAFailingNodeLast(t *testing.T) {
	old, other := builtWorld(t, 2)
	for i := range 30 {
		old.ids++
		old.streams[old.ids] = &body{name: fmt.Sprint("more", i), length: 100}
		old.give(old.request("t", event.FilesPut, &eventpb.FilesPutRequest{Path: fmt.Sprint("/more", i), Stream: old.ids, LengthBytes: 100}))
		old.drive(t, other, func() bool { return quiet(other) && len(old.pending) == 0 })
	}
	old.drive(t, other, func() bool { return len(other.records.table)+len(other.records.settles) == 0 && len(old.pending) == 0 })
	d := old.others["n2"]
	if len(d.records) < 2*(recordsFailedMax+recordsRestoring) {
		t.Fatalf("%d records are too few", len(d.records))
	}
	d.withholds = "records"
	k := New()
	w := old.emptied(native{k})
	w.start()
	w.drive(t, k, func() bool { return !k.rebuilding.active() })
	if got := w.namespace(); !slices.Equal(got, old.namespace()) {
		t.Errorf("it was\n%v\nit is\n%v", old.namespace(), got)
	}
	if d.reads > recordsFailedMax+recordsRestoring {
		t.Errorf("it was asked for %d of its %d records", d.reads, len(d.records))
	}
}

// A node that stops whenever it is to give its records, and comes back behind that, is waited for only so often.
func TestRebuildPastANodeThatComesAndGoes(t *testing.T) {
	old, _ := builtWorld(t, 2)
	k := New()
	w := old.emptied(native{k})
	w.start()
	u := &k.rebuilding
	for i := 0; u.active(); i++ {
		if i > 20_000 {
			t.Fatalf("it does not end: phase %d, %+v", u.phase, u.progress())
		}
		if m := k.members.table["n2"]; m != nil {
			m.failures, m.mute = 0, 0
			if u.phase == rebuildRecords {
				m.failures, m.mute = muteFailures, w.now
			}
		}
		if w.now += 1000; len(w.pending) > 0 {
			w.finish(0)
			continue
		}
		for _, node := range sortedKeys(w.others) {
			w.beat(node)
		}
		w.tick(w.now + inos.Second)
	}
	if got := w.namespace(); !slices.Equal(got, old.namespace()) {
		t.Errorf("it was\n%v\nit is\n%v", old.namespace(), got)
	}
	if n := u.notices(); len(n) != 1 || !strings.Contains(n[0], "node n2 has not told") {
		t.Errorf("notices %v", n)
	}
}
