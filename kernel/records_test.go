package kernel

import (
	"bytes"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Two records of one version, noted at once by a memory that does not say what became of it: the one that the map names in the end stays.
func TestRecordsOfOneVersionAreNotedInTurn(t *testing.T) {
	k := New()
	w := newWorld(native{k})
	w.start()
	w.run(1000)
	id := w.put("/a", 1, false)
	w.run(1000)
	w.mustComplete(t, id)
	key := &eventpb.RecordKey{Owner: "ann", Path: "/a", Version: 1}
	for _, first := range []byte{1, 2} {
		k.records.note(settling{key: key, id: bytes.Repeat([]byte{first}, inos.HashBytes), nodes: []string{string(k.self())}, full: true})
	}
	w.tick(w.now + 1)
	var unknown [][]byte // whose first outcome was
	for {
		var under []*eventpb.Envelope
		for i, e := range w.pending {
			if e.EventType == event.SettleRecord {
				w.act(i)
				under = append(under, e)
			}
		}
		if len(under) == 0 {
			break
		}
		for _, e := range under {
			var q eventpb.SettleRecordRequest
			w.open(e, &q)
			i := slices.Index(w.pending, e)
			if slices.ContainsFunc(unknown, func(id []byte) bool { return bytes.Equal(id, q.RecordId) }) {
				w.finish(i)
				continue
			}
			unknown = append(unknown, q.RecordId)
			delete(w.early, e.Id)
			w.fail(i, inos.CodeIO)
		}
	}
	if len(unknown) != 2 {
		t.Fatalf("%d records were noted", len(unknown))
	}
	held := w.settled["ann/a"]
	if held == nil || !slices.ContainsFunc(unknown, func(id []byte) bool { return bytes.Equal(id, held.RecordId) }) {
		t.Fatalf("the map names %v", held)
	}
	for _, n := range append(slices.Clone(k.records.needless), k.records.trashing...) {
		if bytes.Equal(n.id, held.RecordId) {
			t.Errorf("the record that the map names goes to the trash")
		}
	}
}

// A record is noted for a node that is drained meanwhile: its records are made pending once more behind the note, which may have come after
// the first time, even while that is under way.
func TestRecordNotedBehindADrain(t *testing.T) {
	for _, state := range []inos.MemberState{inos.MemberActive, inos.MemberDraining, inos.MemberRemoved} {
		k := New()
		m := k.members.newMember()
		m.row = &eventpb.Member{Node: "n2", State: uint32(state)}
		k.members.table["n2"] = m
		u := &k.records
		u.going, u.ungoing = "n2", true
		u.settling[1] = settling{key: &eventpb.RecordKey{}, nodes: []string{"n2"}, full: true}
		u.settled(&answer{work: 1, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.SettleRecordReply{})}})
		if again := u.gone.has("n2"); again != (state != inos.MemberActive) {
			t.Errorf("%s: made pending again %t", state, again)
		}
	}
}

// A record that is on fewer domains than it could be is looked at again soon, also on a mesh that has fewer than are wanted. One that is on all there
// are waits for the mesh to change.
func TestRecordOnFewerDomainsThanThereAre(t *testing.T) {
	for name, c := range map[string]struct {
		copies int
		soon   bool
	}{"one of two": {1, true}, "both": {2, false}} {
		t.Run(name, func(t *testing.T) {
			k, first := sweptNode()
			other := k.members.newMember()
			other.row, other.state = first.row.CloneVT(), liveAlive
			other.row.Node, other.row.Host = "n2", "n2"
			k.members.table["n2"] = other
			u := &k.records
			x := &sealing{record: &eventpb.Record{File: &eventpb.FileInfo{Owner: "ann", Path: "/f", Version: 1}}, waiter: threadRecords, id: make([]byte, inos.HashBytes), wanted: 3, quorum: 1}
			for _, node := range []inos.NodeID{"n1", "n2"}[:c.copies] {
				x.copies = append(x.copies, &fanoutCopy{node: node, state: copyWritten})
			}
			u.upkeep, u.scanAt = 1, k.now+recordsIdleEvery
			u.end(x)
			if soon := u.scanAt <= k.now+recordsEvery; soon != c.soon {
				t.Errorf("looked at again in %d us", u.scanAt-k.now)
			}
		})
	}
}

// A record that is on its way to more nodes takes the place of none of the same version that was noted meanwhile: it was declared needless then, and the nodes
// that held it trash it. One of another version, or the one that was noted itself, is noted when it ends.
func TestRecordThatIsNeedlessMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		version uint64
		id      byte
		noted   int
	}{
		"another of the version": {version: 1, id: 2, noted: 1},
		"the same":               {version: 1, id: 1, noted: 2},
		"of another version":     {version: 2, id: 2, noted: 2},
	} {
		t.Run(name, func(t *testing.T) {
			k, _ := sweptNode()
			u := &k.records
			id := func(b byte) []byte { return append(make([]byte, inos.HashBytes-1), b) }
			x := &sealing{work: 1, waiter: threadRecords, record: &eventpb.Record{File: &eventpb.FileInfo{Owner: "o", Path: "/a", Version: 1}}, id: id(1), wanted: 1, held: []inos.NodeID{"n1"}}
			u.table[x.work], u.upkeep = x, 1
			u.note(settling{key: &eventpb.RecordKey{Owner: "o", Path: "/a", Version: c.version}, id: id(c.id), nodes: []string{"n1"}})
			u.end(x)
			if len(u.settles) != c.noted {
				t.Errorf("%d records are noted, not %d", len(u.settles), c.noted)
			}
			if len(u.table) != 0 || u.upkeep != 0 {
				t.Errorf("%d records are in work", len(u.table))
			}
		})
	}
}

// What a page says of a version's record does not hold any more when another one was noted, or the record was made pending, after the page was asked for:
// the record that it names may be needless and on its way to the trash, and noted once more it would take the place of the one that the map names.
func TestRecordOfAPageThatWasOvertaken(t *testing.T) {
	key := func(path string) *eventpb.RecordKey { return &eventpb.RecordKey{Owner: "o", Path: path, Version: 1} }
	noted := func(path string, unknown bool) func(*Kernel) {
		return func(k *Kernel) {
			u := &k.records
			u.settling[1] = settling{key: key(path), id: bytes.Repeat([]byte{2}, inos.HashBytes), nodes: []string{"n1"}, tries: retriesMax}
			a := &answer{work: 1, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.SettleRecordReply{})}}
			if unknown {
				a.err = inos.Errorf(inos.CodeIO, "semantic:settle_record", "it may have been done")
			}
			u.settled(a)
		}
	}
	for name, c := range map[string]struct {
		happens func(*Kernel)
		begun   bool
	}{
		"another was noted":             {noted("/a", false), false},
		"another was noted, maybe":      {noted("/a", true), false},
		"one of another path was noted": {noted("/b", false), true},
		"nothing":                       {func(*Kernel) {}, true},
		"its node was found without it": {func(k *Kernel) {
			k.inspections.node, k.inspections.page = "n1", [][]byte{bytes.Repeat([]byte{1}, inos.HashBytes)}
			k.inspections.answer(&answer{op: opInspectLost, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.UnsettleRecordsReply{Unsettled: 1})}})
		}, false},
		"its node has not proved it": {func(k *Kernel) {
			k.inspections.proof.node, k.inspections.proof.id = "n1", bytes.Repeat([]byte{1}, inos.HashBytes)
			k.inspections.answer(&answer{op: opProofLost, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.UnsettleRecordsReply{Unsettled: 1})}})
		}, false},
		"a node has left": {func(k *Kernel) {
			k.records.going, k.records.ungoing = "n3", true
			k.records.answer(&answer{op: opUnsettle, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.UnsettleRecordsReply{Unsettled: 1})}})
		}, false},
	} {
		for _, late := range []bool{false, true} { // the page's answer comes behind it
			k, _ := sweptNode()
			u := &k.records
			u.scan() // asks for the page
			page := &answer{env: &eventpb.Envelope{Payload: event.Payload(&eventpb.PendingRecordsReply{Records: []*eventpb.Record{{
				File: &eventpb.FileInfo{Owner: "o", Path: "/a", Version: 1, ReplicasWanted: 1}, RecordId: bytes.Repeat([]byte{1}, inos.HashBytes), Nodes: []string{"n1"},
			}}})}}
			if !late {
				u.listed(page)
			}
			c.happens(k)
			if late {
				u.listed(page)
			}
			u.scan()
			if begun := len(u.settles) > 0; begun != c.begun {
				t.Errorf("%s, page late %t: noted by what the page says %t", name, late, begun)
			}
			if !c.begun && !u.short {
				t.Errorf("%s, page late %t: it is not looked at again", name, late)
			}
		}
	}
}

// A node that was found twice without a record gets it once more only when no other can have it: it may drop it whenever it takes it.
func TestRecordIsGivenToOthers(t *testing.T) {
	nodes := []string{"node-2", "node-3", "node-4"}
	id := inos.ChunkID(bytes.Repeat([]byte{1}, inos.HashBytes))
	for name, lost := range map[string]func(k *Kernel, node inos.NodeID){
		"it is not there": func(k *Kernel, node inos.NodeID) {
			k.inspections.node, k.inspections.page = node, [][]byte{id[:]}
			k.inspections.op = opInspectLook
			k.inspections.answer(&answer{op: opInspectLook, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ContentMissingReply{ChunkIds: [][]byte{id[:], {1}, hashOf("not asked for")}})}})
			if len(k.inspections.page) != 1 {
				t.Fatalf("%d records are told of as lost", len(k.inspections.page))
			}
			k.inspections.answer(&answer{op: opInspectLost, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.UnsettleRecordsReply{Unsettled: 1})}})
		},
		"it does not prove it": func(k *Kernel, node inos.NodeID) {
			k.inspections.proof.node, k.inspections.proof.id = node, id[:]
			k.inspections.answer(&answer{op: opProofLost, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.UnsettleRecordsReply{Unsettled: 1})}})
		},
	} {
		k, _ := hosts(t, nodes)
		first := k.members.placeRecord(id, 1, nil, nil)[0]
		for range relapsesAvoided {
			lost(k, first)
		}
		if now := k.members.placeRecord(id, 1, nil, nil); len(now) != 1 || now[0] == first {
			t.Errorf("%s: the record goes to %q again, which was %q", name, now, first)
		}
		if now := k.members.placeRecord(id, 4, nil, nil); !slices.Contains(now, first) {
			t.Errorf("%s: where four are wanted it goes to %q", name, now)
		}
	}
}
