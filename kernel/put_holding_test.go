package kernel

import (
	"slices"
	"strconv"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The quorum of each chunk may be other nodes than that of the one before. A put is not answered as long as no quorum has all of its chunks and writes
// under way can bring one about; its receipt names domains that have everything.
func TestReceiptNamesWhoHasEverything(t *testing.T) {
	nodes := []string{"node-2", "node-3", "node-4"}
	k, w, e := turns(t, nodes, 0)
	var chunks []string
	late := func(e *eventpb.Envelope) bool { // the writes that one node, each chunk another, is late with
		q, id := writeOf(e)
		if q == nil {
			return false
		}
		i := slices.Index(chunks, id)
		if i < 0 {
			i, chunks = len(chunks), append(chunks, id)
		}
		return q.Node == nodes[i%len(nodes)]
	}
	rest := func() {
		for {
			i := slices.IndexFunc(w.pending, func(e *eventpb.Envelope) bool { return !late(e) })
			if i < 0 {
				return
			}
			w.finish(i)
		}
	}
	rest()
	w.tick(w.now + 2*commitPatience)
	rest()
	if reply, _ := w.last(e.Id); reply != nil {
		t.Fatalf("answered while no domain has all of the file")
	}
	if len(w.pending) < len(chunks) {
		t.Fatalf("%d writes of %d chunks are late", len(w.pending), len(chunks))
	}
	w.run(1 << 16)
	w.mustNameQuorum(t, k, e.Id)
	w.check(t)
}

// hosts is a mesh of nodes that are alive, each on a host of its own.
func hosts(t *testing.T, nodes []string) (*Kernel, *world) {
	k := New()
	w := newWorld(&pair{t: t, k: k, every: 1000})
	for _, node := range nodes {
		w.join(node, "home", "host of "+node, "cold", 1<<40)
	}
	w.start()
	w.run(1000)
	for _, node := range nodes {
		w.beat(node)
	}
	w.run(1000)
	return k, w
}

// limitTime gives a request a deadline.
func limitTime(e *eventpb.Envelope, at inos.Micros) {
	e.Metadata.TraceContext = map[string]string{event.KeyDeadline: strconv.FormatInt(int64(at), 10)}
}

// turns begins a put of several chunks on a mesh of the nodes, with a deadline if it is not 0.
func turns(t *testing.T, nodes []string, deadline inos.Micros) (*Kernel, *world, *eventpb.Envelope) {
	k, w := hosts(t, nodes)
	w.ids++
	w.streams[w.ids] = &body{name: "/turns", length: 6 * inos.ChunkBytesMax}
	e := w.request("t", event.FilesPut, &eventpb.FilesPutRequest{Path: "/turns", Stream: w.ids, LengthBytes: 6 * inos.ChunkBytesMax})
	if deadline != 0 {
		limitTime(e, w.now+deadline)
	}
	w.give(e)
	return k, w, e
}

// writeOf returns the call and the chunk of a write to another node; nil: it is none.
func writeOf(e *eventpb.Envelope) (*eventpb.MeshCallRequest, string) {
	var q eventpb.MeshCallRequest
	if e.EventType != event.MeshCall || event.Open(e, &q) != nil {
		return nil, ""
	}
	inner, err := event.Decode(q.Envelope)
	var write eventpb.ContentWriteRequest
	if err != nil || inner.EventType != event.ContentWrite || event.Open(inner, &write) != nil {
		return nil, ""
	}
	return &q, string(write.ChunkId)
}

// mustNameQuorum says that a put is answered, and its receipt names a quorum of domains.
func (w *world) mustNameQuorum(t *testing.T, k *Kernel, id string) {
	t.Helper()
	w.mustComplete(t, id)
	reply, _ := w.last(id)
	var r eventpb.FilesPutReply
	w.open(reply, &r)
	if quorum, err := k.members.quorum(r.File.ReplicasWanted, 0); err != nil || len(r.Receipt.Domains) < int(quorum) {
		t.Errorf("the receipt names %v", r.Receipt.Domains)
	}
}

// Each node lets writes pass their time now and then, and others are asked in its place. All the same the receipt names domains that have everything: it is
// tried again as long as the chunk is at hand. Of two nodes that stay mute the put is rid after a while.
func TestReceiptOutlivesFailedWrites(t *testing.T) {
	for name, c := range map[string]struct {
		tries int // of each write that hangs: so many do
		named bool
	}{
		"once":    {tries: 1, named: true},
		"forever": {tries: 1 << 16},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := []string{"node-2", "node-3", "node-4", "node-5", "node-6", "node-7"}
			k, w, e := turns(t, nodes, 0)
			type write struct{ chunk, node string }
			var chunks, home []string
			hangs, tries, seen := map[write]bool{}, map[write]int{}, map[string]bool{}
			look := func() { // every chunk but the first hangs on two of the three nodes that it goes to first, and on one of them the next one does not
				for _, e := range w.pending {
					q, id := writeOf(e)
					if q == nil || seen[e.Id] {
						continue
					}
					seen[e.Id] = true
					i := slices.Index(chunks, id)
					if i < 0 {
						i, chunks = len(chunks), append(chunks, id)
					}
					if !slices.Contains(home, q.Node) && len(home) < 3 {
						home = append(home, q.Node)
					}
					x := write{id, q.Node}
					if at := slices.Index(home, q.Node); at >= 0 && i > 0 && at != i%3 && tries[x] < c.tries {
						tries[x]++
						hangs[write{e.Id, ""}] = true
					}
				}
			}
			began := w.now
			for step := 0; ; step++ {
				if reply, _ := w.last(e.Id); reply != nil {
					break
				}
				if step > 1<<16 {
					t.Fatal("the put does not end")
				}
				look()
				waits := func(e *eventpb.Envelope) bool { return hangs[write{e.Id, ""}] }
				if i := slices.IndexFunc(w.pending, func(e *eventpb.Envelope) bool { return !waits(e) }); i >= 0 {
					w.now += 100
					w.finish(i)
					continue
				}
				ends := func(e *eventpb.Envelope) inos.Micros {
					q, _ := writeOf(e)
					return inos.Micros(e.Timestamp + q.TimeoutUs)
				}
				if i := slices.IndexFunc(w.pending, func(e *eventpb.Envelope) bool { return ends(e) <= w.now }); i >= 0 {
					w.fail(i, inos.CodePeerUnreachable)
					continue
				}
				next := max(w.wake, w.now+1)
				for _, e := range w.pending {
					next = min(next, ends(e))
				}
				w.tick(next)
			}
			if len(tries) < len(chunks) {
				t.Fatalf("%d writes hung of %d chunks", len(tries), len(chunks))
			}
			if took := w.now - began; took > 4*regainPatience {
				t.Errorf("the put takes %d us", took)
			}
			if c.named {
				w.mustNameQuorum(t, k, e.Id)
			} else {
				w.mustComplete(t, e.Id)
			}
			w.run(1 << 16)
			w.check(t)
		})
	}
}

// A copy that came to be behind the commit is added to its row as one that a receipt may name when it counted for it, or may yet.
func TestLateCopyOfAReceipt(t *testing.T) {
	for name, c := range map[string]struct {
		underWay, receipt bool
		want              uint32
	}{
		"the put is under way":        {true, false, 3},
		"the receipt counted it":      {false, true, 3},
		"it came behind the receipt":  {false, false, 0},
		"of a put under way, counted": {true, true, 3},
	} {
		t.Run(name, func(t *testing.T) {
			k, _ := sweptNode()
			u := &k.puts
			s := &fanout{work: 1, put: 2, id: inos.ChunkID{1}, wanted: 3, rowed: true, copies: []*fanoutCopy{{node: "n2", epoch: 1, state: copyWritten}}}
			u.fanouts = map[uint64]*fanout{1: s}
			if p := (&put{origin: origin{work: 2}}); c.receipt {
				u.receiptGiven(p)
			}
			u.table = map[uint64]*put{}
			if c.underWay {
				u.table[2] = &put{origin: origin{work: 2}}
			}
			u.lateCopies(s)
			k.node.draining = true // it waits for no more
			k.out = nil
			u.tellLate()
			var q eventpb.AddCopiesRequest
			if len(k.out) != 1 || event.Open(k.out[0], &q) != nil || q.Promised != c.want || len(q.ChunkIds) != 1 {
				t.Errorf("%d effects, promised %d of %d chunks; want %d", len(k.out), q.Promised, len(q.ChunkIds), c.want)
			}
		})
	}
}

// A domain is promised by nodes that stay in it: one that is drained, or that the audits name, keeps a chunk safe that was found on it, and no promise.
func TestReceiptNamesNobodyWhoLeaves(t *testing.T) {
	nodes := []inos.NodeID{"node-2", "node-3", "node-4"}
	for name, leave := range map[string]func(m *member){
		"it is drained":             func(m *member) { m.row.State = uint32(inos.MemberDraining) },
		"the audits name it":        func(m *member) { m.avoided = true },
		"a rebuild has not read it": func(m *member) { m.row.State = uint32(inos.MemberUnread) },
	} {
		k, _ := hosts(t, []string{"node-2", "node-3", "node-4"})
		leave(k.members.table["node-3"])
		k.members.changed()
		var x holding
		if x.count(k, nodes, 2); !slices.Equal(x.domains, []string{"home/host of node-2", "home/host of node-4"}) {
			t.Errorf("%s: all is in %q", name, x.domains)
		}
	}
}
