package kernel

import (
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A trash is emptied of nothing younger than its life, whoever orders it.
func TestServeEmptyTrash(t *testing.T) {
	w := providerWorld()
	w.run(10)
	w.out = nil
	inner := &eventpb.Envelope{Id: w.newID(), EventType: event.ContentEmptyTrash, Timestamp: 1, Payload: event.Payload(&eventpb.ContentEmptyTrashRequest{BeforeUs: 1 << 60})}
	w.give(w.host(event.MeshServe, &eventpb.MeshServeRequest{Peer: "p2", Switchboard: true, Envelope: event.Encode(nil, inner)}))
	for _, out := range w.out {
		var m eventpb.ContentEmptyTrashRequest
		if out.EventType == event.ContentEmptyTrash {
			if w.open(out, &m); m.BeforeUs != int64(w.now-trashLife) {
				t.Errorf("emptied up to %d, at %d", m.BeforeUs, w.now)
			}
			return
		}
	}
	t.Error("nothing was asked")
}

// An expired invite lets nobody in by a heartbeat, but for a node of before while the map is made again.
func TestBeatExpiredInvite(t *testing.T) {
	for _, rebuild := range []bool{false, true} {
		k := New()
		k.now, k.node.switchboard = inos.Hour, true
		k.members.loaded, k.recovery.done, k.node.booted = true, true, true
		if rebuild {
			k.rebuilding.phase = rebuildGather
		}
		invite := &eventpb.Invite{Id: "i", Operator: "ann", Zone: "home", Host: "nas2", Tier: "cold", OfferedBytes: 1, ExpiresUs: 1}
		reply, err := k.members.served(1, "p2", invite, &eventpb.Envelope{EventType: event.NodeHeartbeat, Payload: event.Payload(&eventpb.HeartbeatRequest{})})
		if in := reply == nil && err == nil && len(k.members.admissions) == 1; in != rebuild {
			t.Errorf("rebuild %v: let in %v, reply %v, error %v", rebuild, in, reply, err)
		}
	}
}

// A copy of a void claim is not trashed while a put relies on the chunk: it may have written it there.
func TestVoidCopyOfPut(t *testing.T) {
	for _, relied := range []bool{false, true} {
		k := New()
		k.node.id, k.node.switchboard, k.numbering.ceiling = "node-1", true, inos.OrdersMax
		id := inos.ChunkID{1}
		x := &mending{work: 7, id: id, step: mendVoid, added: []inos.NodeID{"n2"}}
		k.repairs.table[x.work] = x
		k.collector.live(id)
		if relied {
			k.collector.live(id)
		}
		k.repairs.voided(x, &answer{env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ChunkStatesReply{States: []*eventpb.ChunkState{{ChunkId: id[:]}}})}})
		if trashing := x.step == mendTrash; trashing == relied || k.holds(id) == relied {
			t.Errorf("relied on %v: trashed %v, held %v", relied, trashing, k.holds(id))
		}
		if swept := k.collector.sweep.wanted.has("n2"); swept != relied {
			t.Errorf("relied on %v: swept %v", relied, swept)
		}
	}
}

// A sweep has found a copy that the map does not name where copies were short, and is about to enter it, when a claim ends void whose repair has made the same
// copy: it is not trashed, nor trimmed, or the map would name a copy that is gone; and that it is lost is told behind its adoption.
func TestVoidCopyThatIsAdopted(t *testing.T) {
	id := inos.ChunkID{1}
	for name, adopt := range map[string]func(s *sweep){
		"nobody":       func(*sweep) {},
		"another node": func(s *sweep) { s.node, s.adopt = "n3", [][]byte{id[:]} },
		"another":      func(s *sweep) { s.node, s.adopt = "n2", [][]byte{hashOf("another")} },
		"is hashed":    func(s *sweep) { s.node, s.adopt = "n2", [][]byte{hashOf("another"), id[:]} },
		"is entered":   func(s *sweep) { s.node, s.good = "n2", [][]byte{id[:]} },
	} {
		t.Run(name, func(t *testing.T) {
			k := New()
			k.node.id, k.node.switchboard, k.numbering.ceiling = "node-1", true, inos.OrdersMax
			adopt(&k.collector.sweep)
			adopted := name == "is hashed" || name == "is entered"
			x := &mending{work: 7, id: id, step: mendVoid, added: []inos.NodeID{"n2"}}
			k.repairs.table[x.work] = x
			k.collector.live(id)
			k.repairs.voided(x, &answer{env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ChunkStatesReply{States: []*eventpb.ChunkState{{ChunkId: id[:]}}})}})
			if trashing := x.step == mendTrash; trashing == adopted {
				t.Errorf("trashed: %t", trashing)
			}
			if swept := k.collector.sweep.wanted.has("n2"); swept != adopted {
				t.Errorf("its node is swept once more: %t", swept)
			}
			if k.losses.named("n2", id) != adopted {
				t.Errorf("that it is lost waits for the adoption: %t", !adopted)
			}
			if k.repairs.trim.add(id); adopted {
				if k.repairs.trim.act(&k.repairs); k.repairs.trim.working {
					t.Error("it is trimmed")
				}
			}
		})
	}
}

// A node that the map does not know and that holds something comes in only while the map is made again: what only it knows would be trashed.
func TestStrangerIsLeftAlone(t *testing.T) {
	invite := &eventpb.Invite{Id: "i", Operator: "ann", Zone: "home", Host: "nas2", Tier: "cold", OfferedBytes: 1}
	join := func(held uint64) *eventpb.Envelope {
		return &eventpb.Envelope{EventType: event.NodeJoin, Payload: event.Payload(&eventpb.NodeJoinRequest{Held: held})}
	}
	beat := func(chunks, records uint64) *eventpb.Envelope {
		return &eventpb.Envelope{EventType: event.NodeHeartbeat, Payload: event.Payload(&eventpb.HeartbeatRequest{Usage: &eventpb.ContentUsage{Chunks: chunks}, Records: records})}
	}
	for name, c := range map[string]struct {
		call    *eventpb.Envelope
		rebuild bool
		in      bool
	}{
		"an empty node joins":       {join(0), false, true},
		"a full one does not":       {join(1), false, false},
		"but in a rebuild":          {join(1), true, true},
		"an empty node beats":       {beat(0, 0), false, true},
		"one with chunks does not":  {beat(1, 0), false, false},
		"one with records does not": {beat(0, 1), false, false},
		"both come in in a rebuild": {beat(1, 1), true, true},
	} {
		k := New()
		k.now, k.node.switchboard = inos.Hour, true
		k.members.loaded, k.recovery.done, k.node.booted = true, true, true
		if c.rebuild {
			k.rebuilding.phase = rebuildGather
		}
		_, err := k.members.served(1, "p2", invite, c.call)
		if in := err == nil && len(k.members.admissions) == 1; in != c.in {
			t.Errorf("%s: let in %v, error %v", name, in, err)
		}
		if named := k.members.strangers.node == "p2"; named == c.in {
			t.Errorf("%s: named to the operator: %v", name, named)
		}
	}
}

// A copy that the map does not name is trashed only where others are sure to be there: not while one of them is on a node that is silent and may
// not come back, nor adopted while it may.
func TestSweepWithinGrace(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m *member)
		want   int
	}{
		"all are alive":       {func(*member) {}, copyTrash},
		"one is suspected":    {func(m *member) { m.state = liveSuspect }, copyKeep},
		"one is dead":         {func(m *member) { m.state = liveDead }, copyKeep},
		"one does not answer": {func(m *member) { m.failures = 1 }, copyKeep},
		"one is named":        {func(m *member) { m.avoided = true }, copyKeep},
		"one is compared":     {func(m *member) { m.distrust = true }, copyKeep},
		"one is given up":     {func(m *member) { m.state, m.gone = liveDead, true }, copyAdopt},
	} {
		k := New()
		k.node.id, k.node.switchboard, k.now = "n0", true, inos.Hour
		s := &eventpb.ChunkState{ChunkId: make([]byte, inos.HashBytes), Generation: 1, Wanted: 3}
		for _, id := range []string{"n1", "n2", "n3", "n4"} {
			m := k.members.newMember()
			m.row, m.state = &eventpb.Member{Node: id, Zone: "home", Host: id, Tier: "cold", OfferedBytes: 1 << 40, State: uint32(inos.MemberActive), Epoch: 1}, liveAlive
			k.members.table[inos.NodeID(id)] = m
			if id != "n4" {
				s.Copies = append(s.Copies, &eventpb.Copy{Node: id, Trusted: true})
			}
		}
		k.collector.sweep.node = "n4"
		c.change(k.members.table["n3"])
		if got := k.collector.unlisted(s); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// A switchboard whose own disk was named by the audits takes copies again when its probation is over, as any other node.
func TestSelfIsPardoned(t *testing.T) {
	for _, node := range []inos.NodeID{"n0", "n1"} {
		k := New()
		k.node.id, k.node.switchboard, k.node.provider, k.now = "n0", true, true, inos.Hour
		for _, id := range []string{"n0", "n1"} {
			m := k.members.newMember()
			m.row, m.state = &eventpb.Member{Node: id, Zone: "home", Host: id, Tier: "cold", State: uint32(inos.MemberActive)}, liveAlive
			k.members.table[inos.NodeID(id)] = m
		}
		m := k.members.table[node]
		m.avoided, m.avoidedTill = true, k.now+inos.Second
		k.members.look()
		if !m.avoided || k.members.next == 0 || k.members.next > m.avoidedTill {
			t.Errorf("%s: avoided %v, and looked at again at %d", node, m.avoided, k.members.next)
		}
		k.now += inos.Second
		k.members.look()
		if m.avoided {
			t.Errorf("%s is given no copies for ever", node)
		}
	}
}

// A chunk that is wanted anew while its repair ends is queued once more: the queue does not take a chunk twice, and the claim was planned before. So it is
// when the claim turns out to have ended at a first try, of which nothing was known.
func TestWantedWhileItsRepairEnds(t *testing.T) {
	for _, ended := range [][]*inos.Error{{nil}, {inos.Errorf(inos.CodeIO, "settle", "it was done"), inos.Errorf(inos.CodeConflict, "settle", "no such claim")}} {
		w := newWorld(native{New()})
		k := w.kernel.(native).k
		x := &mending{work: 7, id: inos.ChunkID(hashOf("chunk")), step: mendSettle}
		k.repairs.table[x.work] = x
		k.collector.live(x.id)
		k.repairs.want(x.id[:], "short at put", 2)
		k.repairs.waiting = nil // the queue has the chunk already
		for _, err := range ended {
			k.repairs.settled(x, err)
		}
		if len(k.repairs.waiting) != 1 || len(k.repairs.table) != 0 {
			t.Errorf("%d repairs are wanted when the claim has ended: %v", len(k.repairs.waiting), ended)
		}
	}
}

// When no copy that the map knows can be read, all disks are looked through, once: one may have a copy that was let go of and is still there.
func TestLostChunkIsLookedFor(t *testing.T) {
	for _, good := range [][]inos.NodeID{nil, {"n2"}} {
		k := New()
		k.node.id, k.node.switchboard, k.node.provider = "node-1", true, true
		for _, node := range []string{"n2", "n3"} {
			m := k.members.newMember()
			m.row = &eventpb.Member{Node: node, State: uint32(inos.MemberActive)}
			k.members.table[m.id()] = m
		}
		x := &mending{work: 7, id: inos.ChunkID{1}, good: good}
		k.repairs.sourceless(x)
		if looked := slices.Equal(k.collector.sweep.wanted.list, []inos.NodeID{"n2", "n3"}); looked != (good == nil) {
			t.Errorf("good copies on %v: looked through %v", good, k.collector.sweep.wanted.list)
		}
		k.collector.sweep.wanted = nodeLine{}
		if k.repairs.sourceless(x); len(k.collector.sweep.wanted.list) > 0 {
			t.Errorf("looked for once more on %v", k.collector.sweep.wanted.list)
		}
	}
}

// A copy that the map is told of while its node's copies begin to count for nothing may have been taken for one of the next epoch: another one
// begins, whether it was told or the outcome is unknown, of a put and of a repair.
func TestCopyNamedBehindAReturn(t *testing.T) {
	for _, c := range []struct {
		name     string
		epoch    uint64 // of the node now
		distrust bool
		doubts   bool
	}{{"the same epoch", 1, false, false}, {"the next epoch", 2, false, true}, {"an epoch that ends", 1, true, true}} {
		for _, how := range []string{"told", "unknown", "repair"} {
			t.Run(c.name+", "+how, func(t *testing.T) {
				k := New()
				k.node.switchboard = true
				m := k.members.newMember()
				m.row = &eventpb.Member{Node: "n2", Epoch: 1, State: uint32(inos.MemberActive)}
				k.members.table["n2"] = m
				s := &fanout{work: 1, id: inos.ChunkID{1}, copies: []*fanoutCopy{{node: "n2", epoch: 1, state: copyStaging}}}
				k.puts.fanouts[1] = s
				x := &mending{work: 7, id: inos.ChunkID{1}, step: mendSettle, added: []inos.NodeID{"n2"}}
				k.repairs.table[7] = x
				k.collector.live(x.id)
				if c.doubts {
					k.repairs.distrusted("n2")
				}
				m.row.Epoch, m.distrust = c.epoch, c.distrust
				rows := []*row{{fanout: 1}}
				switch how {
				case "told":
					k.puts.rowed(&put{}, rows)
				case "unknown":
					if k.puts.unrowed(rows); s.any(copyFailed) != c.doubts {
						t.Errorf("the copy counts: %t", !s.any(copyFailed))
					}
				case "repair":
					k.repairs.settled(x, nil)
				}
				if doubts := m.doubtful || m.distrust && !c.distrust; doubts != c.doubts {
					t.Errorf("doubted: %t", doubts)
				}
			})
		}
	}
}

// A node comes back while a copy of a void claim is being trashed on it: the copy is forgotten once, and the claim ends.
func TestVoidCopyOnANodeThatReturns(t *testing.T) {
	for _, returns := range []bool{false, true} {
		k := New()
		k.node.id, k.node.switchboard = "node-1", true
		x := &mending{work: 7, id: inos.ChunkID{1}, step: mendTrash, target: "n2", added: []inos.NodeID{"n2"}}
		k.repairs.table[x.work] = x
		k.collector.live(x.id)
		if returns {
			k.repairs.distrusted("n2")
		}
		k.repairs.copied(x, &answer{op: opRepairTrash})
		if len(k.repairs.table) != 0 {
			t.Errorf("returns %t: the repair is still there with %v", returns, x.added)
		}
	}
}

// A node says that it has made a copy for a repair. The copy counts, unless the node has come back since it was asked, is about to be compared,
// or is gone: then another node is asked, and the disk is swept.
func TestCopyToldBehindAReturn(t *testing.T) {
	for _, c := range []struct {
		name     string
		epoch    uint64 // of the node now
		distrust bool
		state    inos.MemberState
		counts   bool
	}{
		{"the same epoch", 1, false, inos.MemberActive, true},
		{"the next epoch", 2, false, inos.MemberActive, false},
		{"an epoch that ends", 1, true, inos.MemberActive, false},
		{"no member", 1, false, inos.MemberRemoved, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := New()
			k.node.switchboard, k.numbering.ceiling = true, inos.OrdersMax
			m := k.members.newMember()
			m.row = &eventpb.Member{Node: "n2", Epoch: 1, State: uint32(inos.MemberActive)}
			k.members.table["n2"] = m
			x := &mending{work: 7, id: inos.ChunkID{1}, target: "n2", source: "n3", step: mendReady, wanted: 1, until: repairLease}
			k.repairs.table[7] = x
			k.collector.live(x.id)
			k.repairs.copy(x)
			m.row.Epoch, m.distrust, m.row.State = c.epoch, c.distrust, uint32(c.state)
			k.repairs.copied(x, &answer{op: opRepairCopy})
			if counts := slices.Contains(x.added, "n2") && slices.Contains(x.good, "n2"); counts != c.counts {
				t.Errorf("the copy counts: %t", counts)
			}
			if swept := k.collector.sweep.wanted.has("n2") && slices.Contains(x.avoid, "n2"); swept == c.counts {
				t.Errorf("the node is swept, and another asked: %t", swept)
			}
		})
	}
}

// A node turns out to have lost a copy while the map is being told that it has it: the copy is dropped when that has ended, or it would be there again.
func TestCopyLostWhileItIsTold(t *testing.T) {
	id := inos.ChunkID{1}
	for name, tell := range map[string]func(k *Kernel) (told func()){
		"a row": func(k *Kernel) func() {
			rows := []*row{{fanout: 1}}
			k.puts.fanouts[1].copies[0].state = copyWritten
			k.puts.chunkRow(&put{}, rows[0])
			return func() { k.puts.rowed(&put{phase: putRunning}, rows) }
		},
		"a row that fails": func(k *Kernel) func() {
			rows := []*row{{fanout: 1}}
			k.puts.fanouts[1].copies[0].state = copyWritten
			k.puts.chunkRow(&put{}, rows[0])
			return func() { k.puts.unrowed(rows) }
		},
		"a late copy": func(k *Kernel) func() {
			k.puts.fanouts[1].copies[0].state = copyStaging
			k.puts.lates.adding = []lateCopy{{fanout: 1, id: id, node: "n2", epoch: 1}}
			return func() { k.puts.toldLate(&answer{op: opAddCopies, env: &eventpb.Envelope{}}) }
		},
		"a repair": func(k *Kernel) func() {
			x := &mending{work: 7, id: id, step: mendSettle, added: []inos.NodeID{"n2"}}
			k.repairs.table[7] = x
			k.collector.live(id)
			return func() { k.repairs.settled(x, nil) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := New()
			k.node.id, k.node.switchboard = "node-1", true
			for _, node := range []inos.NodeID{"n2", "n3"} {
				m := k.members.newMember()
				m.row = &eventpb.Member{Node: string(node), Epoch: 1, State: uint32(inos.MemberActive)}
				k.members.table[node] = m
			}
			k.puts.fanouts[1] = &fanout{work: 1, id: id, copies: []*fanoutCopy{{node: "n2", epoch: 1, state: copyFailed}}}
			k.collector.live(id)
			told := tell(k)
			key := copyKey("n2", id)
			k.losses.enter(key)
			k.losses.lose(key)
			if k.losses.drop(); len(k.losses.dropping) > 0 {
				t.Error("it is dropped before the map has been told of it")
			}
			told()
			if k.losses.drop(); len(k.losses.dropping) != 1 {
				t.Error("it is not dropped behind that")
			}
		})
	}
}

// The claim of a repair is over when its result is told. A copy that the map does not name is trashed only where enough others are.
func TestVoidCopyOfAShortChunk(t *testing.T) {
	for _, c := range []struct {
		name      string
		copies    []string
		condemned bool
		trashed   bool
	}{
		{"too few others", []string{"n3"}, false, false},
		{"enough others", []string{"n3", "n4"}, false, true},
		{"the chunk is being collected", []string{"n3"}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := New()
			k.node.id, k.node.switchboard, k.numbering.ceiling = "node-1", true, inos.OrdersMax
			for _, node := range []inos.NodeID{"n2", "n3", "n4"} {
				m := k.members.newMember()
				m.row = &eventpb.Member{Node: string(node), Zone: "home", Host: string(node), State: uint32(inos.MemberActive), OfferedBytes: 1 << 40}
				k.members.table[node] = m
			}
			x := &mending{work: 7, id: inos.ChunkID{1}, step: mendVoid, target: "n2", added: []inos.NodeID{"n2"}}
			k.repairs.table[7] = x
			k.collector.live(x.id)
			s := &eventpb.ChunkState{ChunkId: x.id[:], Wanted: 2, Condemned: c.condemned}
			for _, node := range c.copies {
				s.Copies = append(s.Copies, &eventpb.Copy{Node: node, Trusted: true})
			}
			a := &answer{op: opRepairVoid, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ChunkStatesReply{States: []*eventpb.ChunkState{s}})}}
			k.repairs.voided(x, a)
			if trashed := x.step == mendTrash; trashed != c.trashed {
				t.Errorf("it is trashed: %t", trashed)
			}
			if swept := k.collector.sweep.wanted.has("n2"); swept == c.trashed {
				t.Errorf("its node is swept: %t", swept)
			}
		})
	}
}
