package datatest

import (
	"fmt"

	"github.com/inos-mesh/inos"
	"pgregory.net/rapid"
)

// The random verbs of more than one node. Arguments come from small sets, so that verbs meet: a lease that is over, an
// epoch that has passed, a version that has been settled.

var (
	twinNodes   = rapid.SampledFrom([]inos.NodeID{"n1", "n2", "n3", "n4", "node-a"})
	twinInvites = rapid.SampledFrom([]string{"", "i1", "i2", "invite of n1"})
	twinStates  = rapid.SampledFrom([]inos.MemberState{0, inos.MemberActive, inos.MemberActive, inos.MemberDraining})
	twinEpochs  = rapid.SampledFrom([]uint64{1, 1, 1, 2, 3})
	twinIDs     = rapid.Custom(func(t *rapid.T) inos.ChunkID { return twinRow(numbers.Draw(t, "chunk")).Entry.ChunkID })
	recordIDs   = rapid.Custom(func(t *rapid.T) inos.ChunkID { return recordID(rapid.IntRange(0, 5).Draw(t, "record")) })
)

func drawIDs(t *rapid.T) []inos.ChunkID { return rapid.SliceOfN(twinIDs, 0, 6).Draw(t, "ids") }

func drawNodes(t *rapid.T, least int) []inos.NodeID {
	return rapid.SliceOfN(twinNodes, least, 3).Draw(t, "nodes")
}

func briefMembers(members []inos.Member) (s string) {
	for _, m := range members {
		s += fmt.Sprintf(" %+v", m)
	}
	return s
}

func (w *twins) admit(t *rapid.T) {
	n, invite := memberOf(twinNodes.Draw(t, "node")), twinInvites.Draw(t, "invite")
	n.Addrs = rapid.SliceOfN(rapid.SampledFrom([]string{"/a", "/b"}), 0, 2).Draw(t, "addrs")
	w.now++
	w.both(t, fmt.Sprintf("admit %s by %q", n.ID, invite), func(m inos.Semantic) (any, error) {
		admitted, err := m.AdmitNode(background, n, invite, w.now)
		return briefMembers([]inos.Member{admitted}), err
	})
}

// members compares all members: their counters after any verb.
func (w *twins) members(t *rapid.T) {
	after, limit := inos.NodeID(rapid.SampledFrom([]string{"", "", "", "b", "zz"}).Draw(t, "after")), rapid.IntRange(0, 3).Draw(t, "limit")
	w.both(t, fmt.Sprintf("%d members after %q", limit, after), func(m inos.Semantic) (any, error) {
		members, more, err := m.ListNodes(background, after, limit)
		return fmt.Sprint(briefMembers(members), more), err
	})
}

func (w *twins) setNode(t *rapid.T) {
	node, state := twinNodes.Draw(t, "node"), twinStates.Draw(t, "state")
	if rapid.IntRange(0, 19).Draw(t, "removed") == 0 {
		state = inos.MemberRemoved
	}
	var addrs []string
	if rapid.Bool().Draw(t, "set addrs") {
		addrs = []string{"/c"}
	}
	w.both(t, fmt.Sprintf("set %s %d", node, state), func(m inos.Semantic) (any, error) {
		member, err := m.SetNode(background, node, state, addrs)
		return briefMembers([]inos.Member{member}), err
	})
}

func (w *twins) distrust(t *rapid.T) {
	node := twinNodes.Draw(t, "node")
	w.both(t, "distrust "+string(node), func(m inos.Semantic) (any, error) { return m.DistrustNode(background, node) })
}

func (w *twins) raiseOrders(t *rapid.T) {
	ceiling := rapid.Uint64Range(0, 9).Draw(t, "ceiling")
	w.both(t, fmt.Sprintf("raise orders to %d", ceiling), func(m inos.Semantic) (any, error) { return m.RaiseOrders(background, ceiling) })
}

func (w *twins) addCopies(t *rapid.T) {
	node, epoch, ids := twinNodes.Draw(t, "node"), twinEpochs.Draw(t, "epoch"), drawIDs(t)
	promised := rapid.Uint32Range(0, 3).Draw(t, "promised")
	w.both(t, fmt.Sprintf("add %d copies of %s in %d, promised %d", len(ids), node, epoch, promised), func(m inos.Semantic) (any, error) {
		return m.AddCopies(background, node, epoch, ids, promised)
	})
}

func (w *twins) confirm(t *rapid.T) {
	node, epoch, ids := twinNodes.Draw(t, "node"), twinEpochs.Draw(t, "epoch"), drawIDs(t)
	w.both(t, fmt.Sprintf("confirm %d copies of %s in %d", len(ids), node, epoch), func(m inos.Semantic) (any, error) {
		return m.ConfirmCopies(background, node, epoch, ids)
	})
}

func (w *twins) audit(t *rapid.T) {
	node, epoch, ids := twinNodes.Draw(t, "node"), twinEpochs.Draw(t, "epoch"), drawIDs(t)
	w.now++
	w.both(t, fmt.Sprintf("audit %d copies of %s in %d", len(ids), node, epoch), func(m inos.Semantic) (any, error) {
		return nil, m.AuditCopies(background, node, epoch, ids, w.now)
	})
}

// retire takes the generation that the first memory has; the states have been compared.
func (w *twins) retire(t *rapid.T) {
	id, node, keep := twinIDs.Draw(t, "chunk"), twinNodes.Draw(t, "node"), drawNodes(t, 0)
	states, err := w.a.ChunkStates(background, []inos.ChunkID{id})
	if err != nil {
		t.Fatal(err)
	}
	generation := states[0].Generation - uint64(rapid.IntRange(0, 4).Draw(t, "behind")/4)
	w.both(t, fmt.Sprintf("retire %.4x from %s for %v", id[:4], node, keep), func(m inos.Semantic) (any, error) {
		return nil, m.RetireCopy(background, id, generation, node, keep)
	})
}

func (w *twins) states(t *rapid.T) {
	ids, after, limit := drawIDs(t), twinIDs.Draw(t, "after"), rapid.IntRange(0, 5).Draw(t, "limit")
	w.both(t, "states", func(m inos.Semantic) (any, error) { return m.ChunkStates(background, ids) })
	w.both(t, "scan", func(m inos.Semantic) (any, error) {
		states, end, err := m.ScanChunks(background, after, limit)
		return []any{states, end}, err
	})
	w.both(t, "scan all", func(m inos.Semantic) (any, error) {
		states, end, err := m.ScanChunks(background, inos.ChunkID{}, 0)
		return []any{states, end}, err
	})
}

func (w *twins) want(t *rapid.T) {
	var wants []inos.RepairWant
	for _, id := range drawIDs(t) {
		wants = append(wants, inos.RepairWant{ID: id, Reason: "because", Live: rapid.Uint32Range(0, 3).Draw(t, "live")})
	}
	w.now++
	w.both(t, fmt.Sprintf("want %d repairs", len(wants)), func(m inos.Semantic) (any, error) { return m.WantRepairs(background, wants, w.now) })
}

func (w *twins) claim(t *rapid.T) {
	now, limit := w.now+inos.Micros(rapid.IntRange(-3, 3).Draw(t, "skew")), rapid.IntRange(0, 3).Draw(t, "limit")
	until := now + inos.Micros(rapid.IntRange(0, 12).Draw(t, "lease"))
	w.both(t, fmt.Sprintf("claim %d until %d", limit, until), func(m inos.Semantic) (any, error) {
		claimed, err := m.ClaimRepairs(background, "s", now, until, limit)
		w.leases = append(w.leases, claimed...)
		return claimed, err
	})
}

func (w *twins) settleRepair(t *rapid.T) {
	r := inos.Repair{}
	if len(w.leases) > 0 {
		r = rapid.SampledFrom(w.leases[max(0, len(w.leases)-8):]).Draw(t, "lease")
	}
	added, retry := drawNodes(t, 0), inos.Micros(0)
	if rapid.Bool().Draw(t, "retry") {
		retry = w.now + 5
	}
	w.both(t, fmt.Sprintf("settle repair %d with %v", r.Lease, added), func(m inos.Semantic) (any, error) {
		return nil, m.SettleRepair(background, r.ID, r.Lease, added, retry, w.now)
	})
}

func (w *twins) queue(t *rapid.T) {
	limit := rapid.IntRange(0, 4).Draw(t, "limit")
	w.both(t, "list repairs", func(m inos.Semantic) (any, error) {
		repairs, total, err := m.ListRepairs(background, limit)
		return []any{repairs, total}, err
	})
}

func (w *twins) setReplicas(t *rapid.T) {
	o, p, key, n := owners.Draw(t, "owner"), paths.Draw(t, "path"), keys.Draw(t, "key"), rapid.Uint32Range(0, 6).Draw(t, "replicas")
	pledge, version := rapid.SampledFrom([]int64{0, 0, 3, 20}).Draw(t, "pledge"), rapid.SampledFrom([]uint64{0, 0, 1, 2}).Draw(t, "version")
	w.now++
	w.both(t, fmt.Sprintf("set replicas of %s%s to %d", o, p, n), func(m inos.Semantic) (any, error) {
		f, repeated, err := m.SetReplicas(background, o, p, n, version, pledge, key, w.now)
		return []any{f, repeated}, err
	})
}

func (w *twins) pending(t *rapid.T) {
	after := inos.RecordKey{Owner: owners.Draw(t, "owner"), Path: paths.Draw(t, "path")}
	limit := rapid.IntRange(0, 3).Draw(t, "limit")
	w.both(t, "pending", func(m inos.Semantic) (any, error) { return m.PendingRecords(background, after, limit) })
	w.both(t, "all pending", func(m inos.Semantic) (any, error) { return m.PendingRecords(background, inos.RecordKey{}, 0) })
}

// settleRecord settles the highest version of a path, or one not far from it.
func (w *twins) settleRecord(t *rapid.T) {
	key := inos.RecordKey{Owner: owners.Draw(t, "owner"), Path: paths.Draw(t, "path"), Version: rapid.Uint64Range(0, 12).Draw(t, "version")}
	if f, err := w.a.LookupFile(background, key.Owner, key.Path, inos.FileID{}); err == nil {
		key.Version = f.Version - min(f.Version, rapid.Uint64Range(0, 3).Draw(t, "below")/2)
	}
	id, nodes, full := recordIDs.Draw(t, "id"), drawNodes(t, 1), rapid.Bool().Draw(t, "full")
	w.both(t, fmt.Sprintf("settle %s%s:%d on %v", key.Owner, key.Path, key.Version, nodes), func(m inos.Semantic) (any, error) {
		return m.SettleRecord(background, key, id, nodes, full)
	})
}

func (w *twins) unsettle(t *rapid.T) {
	node, limit := twinNodes.Draw(t, "node"), rapid.IntRange(0, 3).Draw(t, "limit")
	w.both(t, "unknown records", func(m inos.Semantic) (any, error) {
		return m.UnknownRecords(background, []inos.ChunkID{{}, recordID(0), recordID(1), recordID(2), recordID(3)})
	})
	var ids []inos.ChunkID
	for range rapid.IntRange(0, 2).Draw(t, "lost") {
		ids = append(ids, recordIDs.Draw(t, "id"))
	}
	w.both(t, "unsettle "+string(node), func(m inos.Semantic) (any, error) { return m.UnsettleRecords(background, node, ids, limit) })
	after := inos.RecordKey{Owner: owners.Draw(t, "owner"), Path: paths.Draw(t, "path")}
	w.both(t, "records of "+string(node), func(m inos.Semantic) (any, error) { return m.NodeRecords(background, node, after, limit) })
}

func (w *twins) sight(t *rapid.T) {
	node, ids := twinNodes.Draw(t, "node"), drawIDs(t)
	w.both(t, "sight by "+string(node), func(m inos.Semantic) (any, error) { return nil, m.Sight(background, node, ids) })
	w.both(t, "sighted", func(m inos.Semantic) (any, error) { return m.Sighted(background, ids) })
	if rapid.IntRange(0, 9).Draw(t, "end") == 0 {
		settle := rapid.Bool().Draw(t, "settle")
		w.both(t, "end restore", func(m inos.Semantic) (any, error) { return nil, m.EndRestore(background, settle, w.now) })
	}
}

// restore restores a version as it may come from any node, staged before or not.
func (w *twins) restore(t *rapid.T) {
	u, root := uploads.Draw(t, "upload"), rapid.IntRange(0, twinManifests-1).Draw(t, "root")
	f := fileOf(string(owners.Draw(t, "owner")), string(paths.Draw(t, "path")), twinManifest(root))
	f.Version, f.CreatedAt = rapid.Uint64Range(0, 14).Draw(t, "version"), max(0, w.now-inos.Micros(rapid.IntRange(0, 2).Draw(t, "ago")))
	r := inos.Record{File: f, Tombstone: rapid.IntRange(0, 3).Draw(t, "tombstone") == 0, RecordID: recordIDs.Draw(t, "id"), Nodes: drawNodes(t, 1)}
	if r.Tombstone {
		r.File = inos.FileInfo{Owner: f.Owner, Path: f.Path, Version: f.Version, CreatedAt: f.CreatedAt}
	} else if rapid.IntRange(0, 3).Draw(t, "staged") > 0 {
		rows := wholeFile(root)
		w.both(t, "stage to restore", func(m inos.Semantic) (any, error) { return nil, m.StageChunks(background, u, f.Owner, rows, 1) })
	}
	w.both(t, fmt.Sprintf("restore %s%s:%d by %s", f.Owner, f.Path, f.Version, u), func(m inos.Semantic) (any, error) {
		return m.RestoreVersion(background, u, r, w.now)
	})
}
