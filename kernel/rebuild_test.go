package kernel

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// performRestore are the verbs by which a map is made again.
func (w *world) performRestore(e *eventpb.Envelope) (event.Message, *inos.Error) {
	switch e.EventType {
	case event.Sight:
		var q eventpb.SightRequest
		w.open(e, &q)
		for _, id := range q.ChunkIds {
			if w.sighted[string(id)] == nil {
				w.sighted[string(id)] = map[string]bool{}
			}
			w.sighted[string(id)][q.Node] = true
		}
		return &eventpb.SightReply{}, nil
	case event.Sighted:
		var q eventpb.SightedRequest
		w.open(e, &q)
		r := &eventpb.SightedReply{}
		for _, id := range q.ChunkIds {
			r.Chunks = append(r.Chunks, &eventpb.NodeList{Nodes: sortedKeys(w.sighted[string(id)])})
		}
		return r, nil
	case event.EndRestore:
		clear(w.sighted)
		return &eventpb.EndRestoreReply{}, nil
	}
	var q eventpb.RestoreVersionRequest
	w.open(e, &q)
	f := q.Record.File
	at := f.Owner + f.Path
	if w.refused[at] {
		return nil, missing(inos.CodeBadRequest, "the map does not take it")
	}
	for _, node := range q.Record.Nodes {
		if w.members[node] == nil {
			return nil, missing(inos.CodeNodeUnknown, "%s is no member", node)
		}
	}
	if w.versions[at] >= f.Version {
		delete(w.pins, q.Upload)
		return &eventpb.RestoreVersionReply{}, nil
	}
	if !q.Record.Tombstone && f.Owner != "" && w.rows[string(f.ManifestId)] == nil {
		return nil, missing(inos.CodeConflict, "the manifest has no row")
	}
	w.versions[at] = f.Version
	w.files[at] = f.CloneVT()
	if q.Record.Tombstone || f.Owner == "" {
		delete(w.files, at)
	}
	w.settled[at] = q.Record.CloneVT()
	w.pendings[at] = w.settled[at]
	delete(w.pins, q.Upload)
	return &eventpb.RestoreVersionReply{Restored: true}, nil
}

// emptied returns a world whose switchboard has lost its folder and begins a rebuild; the other nodes have what they had.
func (w *world) emptied(k stepper) *world {
	n := newWorld(k)
	n.now, n.ids = w.now+inos.Minute, w.ids
	n.others, n.ever = w.others, w.ever
	n.boot.NodeId, n.boot.Rebuild = w.boot.NodeId, true
	return n
}

// namespace lists what can be seen of a world's files.
func (w *world) namespace() (out []string) {
	for _, at := range sortedKeys(w.versions) {
		line := fmt.Sprintf("%s version %d", at, w.versions[at])
		if f := w.files[at]; f != nil {
			line += fmt.Sprintf(" %x %x %d", f.FileId, f.ManifestId, f.PlainBytes)
		}
		if s := w.settled[at]; s != nil && s.File.Owner == "" {
			line += fmt.Sprintf(" %t %x", s.Tombstone, s.Fact)
		}
		out = append(out, line)
	}
	return out
}

// drive runs a world until it is ready, with the heartbeats of its nodes.
func (w *world) drive(t *testing.T, k *Kernel, done func() bool) {
	t.Helper()
	for i := 0; !done(); i++ {
		if i > 3000 {
			t.Fatalf("it does not end: %d pending, phase %d, %+v", len(w.pending), k.rebuilding.phase, k.rebuilding.progress())
		}
		w.run(1000)
		for _, node := range sortedKeys(w.others) {
			if !w.others[node].down {
				w.beat(node)
			}
		}
		w.run(1000)
		w.tick(w.now + 500*inos.Millisecond)
	}
}

// built returns a world of four machines with files, versions and deletions.
func builtWorld(t *testing.T, seed int64) (*world, *Kernel) {
	r := rand.New(rand.NewSource(seed))
	k := New()
	w := newWorld(native{k})
	for i := range 3 {
		w.join(fmt.Sprintf("n%d", i+2), "home", fmt.Sprintf("nas%d", i+2), "cold", 1<<40)
	}
	w.start()
	w.drive(t, k, func() bool { return k.ready() && k.members.alive("n4") })
	for i := range 60 {
		path := fmt.Sprintf("/%d", r.Intn(12))
		if r.Intn(4) == 0 {
			e := w.request("t", event.FilesDelete, &eventpb.FilesDeleteRequest{Path: path})
			w.give(e)
		} else {
			w.ids++
			size := uint64(r.Intn(3 * inos.ChunkBytesMax))
			if i == 7 {
				size = 1030 * inos.ChunkBytesMax // a manifest of two levels
			}
			w.streams[w.ids] = &body{name: fmt.Sprintf("body%d", r.Intn(20)), length: size, same: i == 7}
			w.give(w.request("t", event.FilesPut, &eventpb.FilesPutRequest{Path: path, Stream: w.ids, LengthBytes: int64(size)}))
		}
		w.drive(t, k, func() bool { return quiet(k) && len(k.changes.table) == 0 && len(w.pending) == 0 })
	}
	w.drive(t, k, func() bool { return len(k.records.table)+len(k.records.settles) == 0 && len(w.pending) == 0 })
	w.sound()
	return w, k
}

// An emptied switchboard has its map again: the same paths, versions and deletions, and nothing that is forged.
func TestRebuild(t *testing.T) {
	for seed := int64(1); seed <= 6; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			old, _ := builtWorld(t, seed)
			want := old.namespace()
			forged := stored{id: string(hashOf("forged")), plain: "no record", size: 10}
			old.others["n2"].records[forged.id] = forged
			k := New()
			w := old.emptied(&pair{t: t, k: k, every: 50})
			w.start()
			refused := w.request("t", event.FilesList, &eventpb.FilesListRequest{})
			w.run(100)
			w.give(refused)
			if e, _ := w.last(refused.Id); e == nil || event.FailureOf(e).Code != inos.CodeBusy {
				t.Errorf("a request during the rebuild: %v", e)
			}
			w.drive(t, k, func() bool { return !k.rebuilding.active() })
			if got := w.namespace(); !slices.Equal(got, want) {
				t.Errorf("it was\n%v\nit is\n%v", want, got)
			}
			p := k.rebuilding.progress()
			if !p.Done || p.Refused != 1 || p.Unreadable != 0 || p.Nodes != 4 || len(w.sighted) != 0 || len(w.pins) != 0 {
				t.Errorf("progress %v, %d sighted, %d pins", p, len(w.sighted), len(w.pins))
			}
			w.drive(t, k, func() bool { return len(w.pending) == 0 && quiet(k) })
			w.check(t)
			id, b := w.get(old.files[sortedKeys(old.files)[0]].Path, nil)
			w.drive(t, k, func() bool { return quiet(k) })
			w.mustComplete(t, id)
			if b.wrote != old.files[sortedKeys(old.files)[0]].PlainBytes {
				t.Errorf("%d bytes were read", b.wrote)
			}
		})
	}
}

// A node that sends other bytes for the records that it holds keeps nobody else's from being restored, and the rebuild from no end.
func TestRebuildPastALiar(t *testing.T) {
	old, _ := builtWorld(t, 2)
	want := old.namespace()
	liar := old.others["n2"]
	for _, id := range append(sortedKeys(liar.records), string(hashOf("only here"))) {
		liar.records[id] = stored{id: string(hashOf("other bytes")), size: 10}
	}
	k := New()
	w := old.emptied(&pair{t: t, k: k, every: 50})
	w.start()
	w.drive(t, k, func() bool { return !k.rebuilding.active() })
	if got := w.namespace(); !slices.Equal(got, want) {
		t.Errorf("it was\n%v\nit is\n%v", want, got)
	}
	if p := k.rebuilding.progress(); !p.Done || p.Refused != 1 || p.Unreadable != 0 {
		t.Errorf("progress %v", p)
	}
}

// What cannot be read is named and not restored; a node that comes late brings it back.
func TestRebuildOfWhatIsMissing(t *testing.T) {
	old, _ := builtWorld(t, 9)
	at := sortedKeys(old.files)[0]
	lost := old.files[at]
	leaf := string(old.ever[string(lost.ManifestId)].entries[:inos.HashBytes])
	kept := map[string]stored{}
	for _, node := range sortedKeys(old.others) {
		if s, ok := old.others[node].chunks[leaf]; ok {
			kept[node] = s
			delete(old.others[node].chunks, leaf)
		}
	}
	k := New()
	w := old.emptied(native{k})
	w.start()
	w.drive(t, k, func() bool {
		return k.rebuilding.phase == rebuildRecheck && k.rebuilding.check == len(k.rebuilding.bad) && len(w.pending) == 0
	})
	if p := k.rebuilding.progress(); p.Unreadable == 0 || p.Done || w.files[at] != nil || len(k.rebuilding.notices()) < 2 {
		t.Errorf("progress %v, restored %v, notices %v", p, w.files[at], k.rebuilding.notices())
	}
	// A node that was away has it.
	w.join("n9", "home", "nas9", "cold", 1<<40)
	delete(w.members, "n9")
	for _, node := range sortedKeys(kept) {
		w.others["n9"].chunks[leaf] = kept[node]
	}
	w.drive(t, k, func() bool { return !k.rebuilding.active() })
	if p := k.rebuilding.progress(); p.Unreadable != 0 || w.files[at] == nil || w.files[at].Version != lost.Version {
		t.Errorf("progress %v, restored %v", p, w.files[at])
	}
	if !slices.Equal(w.namespace(), old.namespace()) {
		t.Errorf("it was\n%v\nit is\n%v", old.namespace(), w.namespace())
	}
}

// What the map cannot take now it takes later: a disk that is full for a while loses no version.
func TestRebuildWhileTheMapTakesNothing(t *testing.T) {
	for _, code := range []inos.Code{inos.CodeIO, inos.CodeDiskFull, inos.CodeReadOnly, inos.CodeBusy, inos.CodeDeadlineExceeded} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			old, _ := builtWorld(t, 2)
			k := New()
			w := old.emptied(native{k})
			w.start()
			for refused := 0; refused < 5 && k.rebuilding.phase != rebuildDone; {
				switch w.now += 1000; {
				case len(w.pending) == 0:
					for _, node := range sortedKeys(w.others) {
						w.beat(node)
					}
					w.tick(w.now + inos.Second)
				case w.pending[0].EventType == event.StageChunks || w.pending[0].EventType == event.RestoreVersion:
					w.fail(0, code)
					refused++
				default:
					w.finish(0)
				}
			}
			w.drive(t, k, func() bool { return !k.rebuilding.active() })
			if got := w.namespace(); !slices.Equal(got, old.namespace()) {
				t.Errorf("it was\n%v\nit is\n%v", old.namespace(), got)
			}
			if n := k.rebuilding.notices(); len(n) != 0 {
				t.Errorf("notices %v", n)
			}
		})
	}
}

// A version that the map does not take is named, and the rebuild ends: a node that is removed in the middle is asked for nothing any more.
func TestRebuildOfWhatTheMapRefuses(t *testing.T) {
	for name, refuse := range map[string]func(w *world, at string){
		"the version":                  func(w *world, at string) { w.refused = map[string]bool{at: true} },
		"a node that holds its record": func(w *world, _ string) { delete(w.members, "n2") },
	} {
		t.Run(name, func(t *testing.T) {
			old, _ := builtWorld(t, 9)
			at := sortedKeys(old.files)[0]
			leaf := string(old.ever[string(old.files[at].ManifestId)].entries[:inos.HashBytes])
			for _, node := range sortedKeys(old.others) {
				delete(old.others[node].chunks, leaf)
			}
			k := New()
			w := old.emptied(native{k})
			w.start()
			w.drive(t, k, func() bool {
				return k.rebuilding.phase == rebuildRecheck && k.rebuilding.check == len(k.rebuilding.bad) && len(w.pending) == 0
			})
			if refuse(w, at); name != "the version" {
				k.members.table["n2"].row.State = uint32(inos.MemberRemoved)
			}
			k.rebuilding.check = 0
			w.drive(t, k, func() bool { return !k.rebuilding.active() })
			if p := k.rebuilding.progress(); p.Unreadable == 0 || w.files[at] != nil {
				t.Errorf("progress %v, notices %v", p, k.rebuilding.notices())
			}
		})
	}
}

// A rebuild that is broken off begins anew and ends alike, and effects that fail are done again.
func TestRebuildIsBrokenOff(t *testing.T) {
	old, _ := builtWorld(t, 3)
	for seed := int64(1); seed <= 20; seed++ {
		r := rand.New(rand.NewSource(seed))
		k := New()
		w := old.emptied(native{k})
		w.start()
		for steps := r.Intn(600); steps > 0; steps-- {
			w.now += 1000
			switch {
			case len(w.pending) > 0 && r.Intn(20) == 0:
				w.fail(r.Intn(len(w.pending)), inos.CodeIO)
			case len(w.pending) > 0:
				w.finish(r.Intn(len(w.pending)))
			default:
				for _, node := range sortedKeys(w.others) {
					w.beat(node)
				}
				w.tick(w.now + inos.Second)
			}
		}
		again := New()
		w.kernel, w.pending, w.calls, w.workers = native{again}, nil, map[uint32]map[string]bool{}, map[uint32]uint32{}
		clear(w.buffers)
		clear(w.early)
		w.now += inos.Second
		w.start()
		w.drive(t, again, func() bool { return !again.rebuilding.active() })
		if got := w.namespace(); !slices.Equal(got, old.namespace()) {
			t.Errorf("seed %d: it was\n%v\nit is\n%v", seed, old.namespace(), got)
		}
		w.drive(t, again, func() bool { return len(w.pending) == 0 })
		w.check(t)
	}
}

// Facts of identity are on the mesh moments after they have changed, although nothing else is to be looked through, and an emptied switchboard
// has them again. What changed after their last version was written is not lost by it.
func TestRebuildOfFacts(t *testing.T) {
	old, k := builtWorld(t, 4)
	pending := func(w *world) bool {
		return slices.ContainsFunc(sortedKeys(w.pendings), func(at string) bool { return w.pendings[at].File.Owner == "" })
	}
	// Long after the last full look, when the next one is far away.
	for i := 0; k.records.scanning || k.records.scanAt < old.now+30*inos.Minute; i++ {
		if i > 200 {
			t.Fatal("the pending versions are looked through without an end")
		}
		old.tick(old.now + inos.Minute)
		old.drive(t, k, func() bool { return len(old.pending) == 0 })
	}
	due := k.records.scanAt
	old.pendings["ann/hidden"] = &eventpb.Record{File: &eventpb.FileInfo{Owner: "ann", Path: "/hidden", Version: 1}, Tombstone: true}
	old.versions["ann/hidden"] = 1
	old.give(old.host(event.IdentitySession, &eventpb.Session{TokenId: "op", Subject: "root", Capabilities: []string{"*:*:*"}}))
	old.users["root"] = &eventpb.User{Name: "root", Operator: true}
	ask := func(typ string, m event.Message) {
		t.Helper()
		e := old.request("op", typ, m)
		old.give(e)
		old.drive(t, k, func() bool { _, ends := old.last(e.Id); return ends > 0 })
		old.mustComplete(t, e.Id)
	}
	for i := range 70 { // more than a page
		ask(event.UsersPut, &eventpb.UsersPutRequest{User: &eventpb.User{Name: fmt.Sprintf("u%d", i)}, Create: true})
	}
	ask(event.UsersPut, &eventpb.UsersPutRequest{User: &eventpb.User{Name: "u3", Disabled: true}})
	ask(event.GroupsPut, &eventpb.GroupsPutRequest{Group: &eventpb.Group{Name: "g", Members: []string{"u1", "u2"}}})
	ask(event.GroupsPut, &eventpb.GroupsPutRequest{Group: &eventpb.Group{Name: "h", Members: []string{"u1"}}})
	ask(event.GroupsPut, &eventpb.GroupsPutRequest{Group: &eventpb.Group{Name: "h"}})
	old.drive(t, k, func() bool { return !pending(old) && !k.records.scanning && k.records.idle() })
	if old.now >= due || old.pendings["ann/hidden"] == nil {
		t.Errorf("all versions were looked through for the facts, at %d, due at %d", old.now, due)
	}
	if s := old.settled["/users/u3"]; s == nil || s.File.Version != 2 || len(s.Nodes) < 3 {
		t.Errorf("u3's record: %v", s)
	}
	delete(old.pendings, "ann/hidden")
	delete(old.versions, "ann/hidden")
	want := old.namespace()
	again := New()
	w := old.emptied(&pair{t: t, k: again, every: 50})
	w.start()
	w.drive(t, again, func() bool { return !again.rebuilding.active() })
	if got := w.namespace(); !slices.Equal(got, want) {
		t.Errorf("it was\n%v\nit is\n%v", want, got)
	}
	if p := again.rebuilding.progress(); p.Refused != 0 || p.Unreadable != 0 {
		t.Errorf("progress %v", p)
	}
}

// What only a node holds that comes in the last moment is restored too, although all else has ended: it is a member by then, and what has no row on its
// disk would be trashed.
func TestRebuildOfANodeThatComesLast(t *testing.T) {
	old, _ := builtWorld(t, 2)
	old.hoard("n2")
	old.others["n2"].down = true
	k := New()
	w := old.emptied(&pair{t: t, k: k, every: 50})
	w.start()
	for k.rebuilding.phase != rebuildEnd || !k.rebuilding.underWay {
		if w.now += 1000; len(w.pending) > 0 {
			w.finish(0)
			continue
		}
		w.beat("n3")
		w.beat("n4")
		w.tick(w.now + inos.Second)
	}
	w.others["n2"].down = false
	w.beat("n2")
	for !k.members.alive("n2") { // its admission ends first
		w.finish(len(w.pending) - 1)
	}
	if k.rebuilding.phase != rebuildEnd {
		t.Fatal("it came too late for the test")
	}
	w.drive(t, k, func() bool { return !k.rebuilding.active() })
	if got := w.namespace(); !slices.Equal(got, old.namespace()) {
		t.Errorf("it was\n%v\nit is\n%v", old.namespace(), got)
	}
}

// A node that does not say or send what it holds does not keep the mesh from coming back: that is asked for in further passes for a while, and given up.
func TestRebuildOfWhatIsWithheld(t *testing.T) {
	const overlooked = "node n2 has not told, or given, all that it holds, and was passed over: what only it holds was not restored, and stays there"
	for _, c := range []struct {
		name     string
		lie      func(d *disk)
		withheld uint64
		notices  []string
	}{
		{"records", func(d *disk) {
			d.withholds = "records"
			for i := range 3 {
				id := string(hashOf(fmt.Sprint("withheld", i)))
				d.records[id] = stored{id: id, size: 10}
			}
		}, 3, []string{"3 commit records could not be read from any node that holds it: what only these say was not restored", overlooked}},
		{"the list of them", func(d *disk) { d.mum = true }, 0, []string{overlooked}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, _ := builtWorld(t, 2)
			c.lie(old.others["n2"])
			k := New()
			w := old.emptied(native{k})
			w.start()
			from := w.now
			w.drive(t, k, func() bool {
				if at := k.rebuilding.wake(); k.rebuilding.again > k.now && at <= k.now {
					t.Fatalf("it wants to be called at %d, which is not later than now, and does nothing before %d", at, k.rebuilding.again)
				}
				return !k.rebuilding.active()
			})
			if took := w.now - from; took < rebuildPatience || took > 2*rebuildPatience {
				t.Errorf("it took %s", seconds(took))
			}
			if got := w.namespace(); !slices.Equal(got, old.namespace()) {
				t.Errorf("it was\n%v\nit is\n%v", old.namespace(), got)
			}
			if p := k.rebuilding.progress(); p.Unreadable != c.withheld || !slices.Equal(k.rebuilding.notices(), c.notices) {
				t.Errorf("progress %v, notices %v", p, k.rebuilding.notices())
			}
		})
	}
}

// Of a record that several nodes were seen to hold it counts who gives it: one that says later that it has none, or that comes to no end, keeps nobody from
// bringing it back.
func TestRebuildPastAFickleNode(t *testing.T) {
	for _, fickle := range []string{"none", "same"} {
		t.Run(fickle, func(t *testing.T) {
			old, _ := builtWorld(t, 2)
			old.others["n2"].fickle, old.others["n2"].lists = fickle, 0
			k := New()
			w := old.emptied(&pair{t: t, k: k, every: 50})
			w.start()
			w.drive(t, k, func() bool { return !k.rebuilding.active() })
			if got := w.namespace(); !slices.Equal(got, old.namespace()) {
				t.Errorf("it was\n%v\nit is\n%v", old.namespace(), got)
			}
			if p := k.rebuilding.progress(); p.Refused != 0 || p.Unreadable != 0 {
				t.Errorf("progress %v", p)
			}
		})
	}
}

// hoard moves the record of the first file to one node, which alone has it, and returns the file's place and the record's id.
func (w *world) hoard(node string) (at, id string) {
	at = sortedKeys(w.files)[0]
	id = string(w.settled[at].RecordId)
	for _, other := range sortedKeys(w.others) {
		if s, ok := w.others[other].records[id]; ok {
			delete(w.others[other].records, id)
			w.others[node].records[id] = s
		}
	}
	return at, id
}

// A node that stops in the middle of a rebuild is waited for, for a while: a record may be nowhere else. One that stays away, or is removed, is not.
func TestRebuildWaitsForANodeThatStopped(t *testing.T) {
	for name, c := range map[string]struct {
		back   func(w *world)
		wanted bool
	}{
		"it comes back": {func(w *world) { w.others["n2"].down = false }, true},
		"it stays away": {func(*world) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			old, _ := builtWorld(t, 2)
			at, _ := old.hoard("n2")
			k := New()
			w := old.emptied(native{k})
			w.start()
			for k.rebuilding.phase != rebuildRecords { // not a step more
				w.now += 1000
				if len(w.pending) > 0 {
					w.finish(0)
					continue
				}
				for _, node := range sortedKeys(w.others) {
					w.beat(node)
				}
				w.tick(w.now + inos.Second)
			}
			w.others["n2"].down = true
			w.drive(t, k, func() bool {
				return !k.rebuilding.active() || k.rebuilding.phase == rebuildRecheck && len(w.pending) == 0
			})
			c.back(w)
			from := w.now
			w.drive(t, k, func() bool { return !k.rebuilding.active() })
			if found := w.files[at] != nil && w.files[at].Version == old.files[at].Version; found != c.wanted {
				t.Errorf("%s is restored: %t", at, found)
			}
			if took := w.now - from; took > 2*rebuildPatience || !c.wanted && took < rebuildPatience/2 {
				t.Errorf("it took %s", seconds(took))
			}
		})
	}
}

// Of a mesh with a node that was not read whole, because it stopped in the middle or did not give what it was seen to hold, nothing goes that the map does
// not know: a rebuild with it brings that back. It takes no new copies, until the operator gives up what only it has.
func TestRebuildKeepsWhatItHasNotRead(t *testing.T) {
	for _, fault := range []string{"it stops", "it does not give its records", "it does not give a manifest"} {
		t.Run(fault, func(t *testing.T) { rebuildKeeps(t, fault) })
	}
}

func rebuildKeeps(t *testing.T, fault string) {
	old, _ := builtWorld(t, 2)
	at, id := old.hoard("n2")
	for node, d := range old.others {
		if node != "n2" {
			delete(d.chunks, string(old.files[at].ManifestId))
		}
	}
	k := New()
	w := old.emptied(&pair{t: t, k: k, every: 50})
	w.start()
	w.drive(t, k, func() bool { return k.rebuilding.phase == rebuildRecords })
	n2 := w.others["n2"]
	switch fault {
	case "it stops":
		n2.down = true
	case "it does not give its records":
		n2.withholds = "records"
	default:
		n2.withholds = "chunks"
	}
	w.drive(t, k, func() bool { return !k.rebuilding.active() })
	if w.files[at] != nil {
		t.Fatalf("%s is restored", at)
	}
	if state := inos.MemberState(w.members["n2"].State); state != inos.MemberUnread || inos.MemberState(w.members["n3"].State) != inos.MemberActive {
		t.Fatalf("n2 is %s", state)
	}
	chunks, records := len(n2.chunks), sortedKeys(n2.records)
	n3 := len(w.others["n3"].chunks)
	n2.down, n2.withholds = false, ""
	hour := func() {
		for from := w.now; w.now < from+inos.Hour; {
			w.run(1000)
			for _, node := range sortedKeys(w.others) {
				w.beat(node)
			}
			w.run(1000)
			w.tick(w.now + 20*inos.Second)
		}
		w.drive(t, k, func() bool { return len(w.pending) == 0 && quiet(k) })
	}
	hour()
	if len(n2.chunks) < chunks || !slices.Equal(sortedKeys(n2.records), records) {
		t.Errorf("of %d chunks and %d records %d and %d are left", chunks, len(records), len(n2.chunks), len(n2.records))
	}
	if left := len(w.others["n3"].chunks); left < n3 {
		t.Errorf("of %d chunks of n3, which may be of files that only n2 knows, %d are left", n3, left)
	}
	keeps := func() bool {
		return slices.ContainsFunc(k.notices(), func(s string) bool {
			return s == "what is deleted gives no space back: a rebuild has not read 1 node whole; see the nodes for which, and what to do"
		})
	}
	if !keeps() {
		t.Errorf("notices %q", k.notices())
	}
	if m := k.members.table["n2"]; k.members.listens(m) || !strings.Contains(k.members.notice(m), "inos rebuild") {
		t.Errorf("it takes copies: %t, notice %q", k.members.listens(m), k.members.notice(m))
	}

	again := New()
	w2 := w.emptied(native{again})
	w2.start()
	w2.drive(t, again, func() bool { return !again.rebuilding.active() })
	if w2.files[at] == nil || w2.files[at].Version != old.files[at].Version || inos.MemberState(w2.members["n2"].State) != inos.MemberActive {
		t.Errorf("another rebuild does not bring %s back, or n2 is %s", at, inos.MemberState(w2.members["n2"].State))
	}

	w.give(w.request("t", event.NodesSet, &eventpb.NodesSetRequest{Node: "n2", State: uint32(inos.MemberActive)}))
	hour()
	if keeps() {
		t.Errorf("given up, notices %q", k.notices())
	}
	if _, kept := n2.records[id]; kept && !k.rebuilding.lacking() || !k.members.listens(k.members.table["n2"]) {
		t.Errorf("given up, the record of %s stays: %t", at, kept)
	}
}

// A node that comes back while the end is noted is read after all, and is an ordinary one then.
func TestRebuildReadsANodeThatComesAtItsEnd(t *testing.T) {
	old, _ := builtWorld(t, 2)
	k := New()
	w := old.emptied(&pair{t: t, k: k, every: 50})
	w.start()
	w.drive(t, k, func() bool { return k.rebuilding.phase == rebuildRecords })
	w.others["n2"].down = true
	w.drive(t, k, func() bool { return k.rebuilding.phase == rebuildRecheck && len(k.rebuilding.left) > 0 })
	for inos.MemberState(w.members["n2"].State) != inos.MemberUnread { // not a step more
		if w.now += 1000; len(w.pending) > 0 {
			w.finish(0)
			continue
		}
		for _, node := range []string{"n3", "n4"} {
			w.beat(node)
		}
		w.tick(w.now + inos.Second)
	}
	w.others["n2"].down = false
	for !k.members.alive("n2") { // while the end is being noted
		w.beat("n2")
		for i := 0; i < len(w.pending); i++ {
			if w.pending[i].EventType != event.EndRestore {
				w.finish(i)
				i = -1
			}
		}
		w.tick(w.now + inos.Second)
	}
	w.drive(t, k, func() bool { return !k.rebuilding.active() })
	if state := inos.MemberState(w.members["n2"].State); state != inos.MemberActive || !slices.Equal(w.namespace(), old.namespace()) || k.members.unread != 0 {
		t.Errorf("n2 is %s; it was\n%v\nit is\n%v", state, old.namespace(), w.namespace())
	}
}

// What a rebuild has brought back may never have been safe: its record may lie on one node. Nothing is collected before it lies on others too.
func TestRebuildCollectsWhenRecordsAreSafe(t *testing.T) {
	old, _ := builtWorld(t, 5)
	id := string(old.settled[sortedKeys(old.files)[0]].RecordId)
	holders := func(w *world) (n int) {
		for _, node := range sortedKeys(w.others) {
			if _, ok := w.others[node].records[id]; ok {
				n++
			}
		}
		return n
	}
	for _, node := range sortedKeys(old.others) {
		if holders(old) > 1 {
			delete(old.others[node].records, id)
		}
	}
	if holders(old) != 1 {
		t.Fatalf("the record is on %d nodes", holders(old))
	}
	r := rand.New(rand.NewSource(1))
	k := New()
	w := old.emptied(native{k})
	w.start()
	for steps := 0; k.collector.rounds == 0 && k.collector.sweep.pages == 0; steps++ {
		if steps > 100000 {
			t.Fatal("nothing is ever collected")
		}
		w.now += 1000
		if len(w.pending) > 0 {
			w.finish(r.Intn(len(w.pending)))
		} else {
			for _, node := range sortedKeys(w.others) {
				w.beat(node)
			}
			w.tick(w.now + inos.Second)
		}
		if u := &k.collector; (u.open || len(u.ordered) > 0 || u.sweep.node != "") && holders(w) == 1 {
			t.Fatalf("step %d: the collector is at work while the record is on one node", steps)
		}
	}
	if !k.rebuilding.progress().Done || holders(w) < 2 {
		t.Errorf("progress %v, the record is on %d nodes", k.rebuilding.progress(), holders(w))
	}
}

// A node that lies about a record, while the only one that holds it does not answer for a moment, keeps it from nobody: it is read with its holder when that
// has its turn.
func TestRebuildPastALiarWhileTheHolderIsMute(t *testing.T) {
	old, _ := builtWorld(t, 2)
	at := sortedKeys(old.files)[0]
	id := string(old.settled[at].RecordId)
	var kept stored
	for _, node := range sortedKeys(old.others) {
		if s, ok := old.others[node].records[id]; ok {
			kept = s
			delete(old.others[node].records, id)
		}
	}
	old.others["n2"].records[id] = stored{id: string(hashOf("other bytes")), size: 10}
	old.others["n3"].records[id] = kept
	k := New()
	w := old.emptied(native{k})
	w.start()
	u := &k.rebuilding
	mute, spoken := false, false // n3 while n2 says which records it holds, and no longer
	for i := 0; u.active(); i++ {
		if i > 1<<13 {
			t.Fatalf("it does not end: phase %d, node %d, %d records under way, asked %t, %+v", u.phase, u.at, len(u.table), u.asked, u.progress())
		}
		switch m := k.members.table["n3"]; {
		case spoken || u.phase != rebuildRecords || u.at == len(u.order) || u.order[u.at] != "n2":
		case len(u.page) > 0 && !u.asked:
			m.failures, spoken = 0, true
		default:
			m.failures, m.mute, mute = muteFailures, w.now, true
		}
		w.now += 1000
		if len(w.pending) > 0 {
			w.finish(0)
			continue
		}
		for _, node := range sortedKeys(w.others) {
			w.beat(node)
		}
		w.tick(w.now + inos.Second)
	}
	if !mute || !spoken {
		t.Fatal("n2 had no turn")
	}
	if got := w.namespace(); !slices.Equal(got, old.namespace()) {
		t.Errorf("it was\n%v\nit is\n%v", old.namespace(), got)
	}
	if p := u.progress(); p.Refused != 0 || p.Unreadable != 0 {
		t.Errorf("progress %v", p)
	}
}
