package sim

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/semantic"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// remake makes the map again, in some worlds without nodes that stop in the middle of it and come back behind its end. Nothing that they alone hold, or that
// is of use with that, goes meanwhile: with all nodes a second time brings everything back.
func (w *World) remake() {
	w.rebuild()
	if w.over || w.random.IntN(3) > 0 {
		return
	}
	w.partial = true
	w.run(w.now + w.heartbeat + w.micros(2*w.heartbeat))
	var away []*process
	for _, p := range w.nodes {
		if p != w.board && p.up && w.random.IntN(2) == 0 {
			away = append(away, p)
			w.crash(p)
		}
	}
	w.run(w.now + partialTime)
	for _, p := range away {
		w.start(p)
	}
	w.run(w.now + partialTime)
	w.partial = false
	w.rebuild()
}

// partialTime is longer than a rebuild waits for nodes that have stopped, and for a collection of what a map does not know.
const partialTime = 10 * inos.Minute

// rebuild empties the switchboard, lays forged and foreign records on a disk, and starts it again to make its map from the mesh.
func (w *World) rebuild() {
	w.logf("the switchboard is emptied")
	w.crash(w.board)
	w.forgetUnrecorded()
	w.semantic.Memory = semantic.NewMemory()
	for _, p := range w.nodes {
		p.member, p.removed, p.draining = false, false, false
		p.looked = map[inos.ChunkID]bool{}
		p.proved, p.retired, p.distrusted = map[inos.ChunkID]bool{}, map[inos.ChunkID]inos.Micros{}, w.now // in the new map nothing is
	}
	w.forge()
	w.rebuilding, w.rebuilt = true, w.now
	w.board.clean = true
	w.start(w.board)
}

// unread returns the members that a rebuild has not read whole.
func (w *World) unread() (nodes []inos.NodeID) {
	members, _, err := w.semantic.ListNodes(background, "", 0)
	if err != nil {
		w.violate("list nodes: %v", err)
	}
	for i := range members {
		if members[i].State == inos.MemberUnread {
			nodes = append(nodes, members[i].ID)
		}
	}
	return nodes
}

// giveUp has the operator give up what nodes hold that a rebuild has not read whole.
func (w *World) giveUp() {
	for _, node := range w.unread() {
		at := slices.IndexFunc(w.nodes, func(p *process) bool { return p.id == node })
		if at >= 0 && !w.nodes[at].liar.any() {
			w.violate("%s was there all the while, answered, and is said not to be read whole by a rebuild", w.nodes[at])
			return
		}
		asked := slices.ContainsFunc(sortedKeys(w.clients.open), func(k string) bool {
			o := w.clients.open[k].op
			return o.kind == opNodeSet && o.node == at
		})
		if at >= 0 && !asked {
			w.ask(&op{kind: opNodeSet, node: at, state: inos.MemberActive, tries: 100})
		}
	}
}

// forgetUnrecorded lets go of the last versions that the map alone had: of which nobody was told, and whose record is on no disk, since there were too
// few domains for it. The paths go on from what was before.
func (w *World) forgetUnrecorded() {
	for _, h := range w.truth.sorted() {
		for v := h.last(); v != nil && !v.acked && !v.settled; v = h.last() {
			if slices.ContainsFunc(w.nodes, func(p *process) bool { return w.recorded(p, v, false) }) {
				break
			}
			w.truth.restart(h, v.number-1)
		}
	}
}

// forge lays records on a disk that are not of this mesh: a path in a version above all, and one that never was; and rivals of this mesh: deletions
// under the numbers of versions that were made after them, as maps leave them that were made again without all nodes.
func (w *World) forge() {
	p := w.nodes[len(w.nodes)-1]
	if !p.up || !p.provider {
		return
	}
	for _, h := range w.truth.sorted() {
		v := h.last()
		if v == nil || v.tomb {
			continue
		}
		r := &eventpb.Record{File: &eventpb.FileInfo{Owner: h.owner, Path: h.path, Version: v.number, CreatedUs: v.info.CreatedUs - 1}, Tombstone: true}
		b := append([]byte{kindRecord}, meshMark...)
		b = append(b, make([]byte, 8)...)
		b = append(b, event.Payload(r)...)
		w.rivals[chunkID(b)] = true
		if _, err := p.disk.records.Put(background, chunkID(b), b); err != nil {
			w.violate("a rival's record is not kept: %v", err)
		}
	}
	for _, path := range []string{"/a", "/forged"} {
		r := &eventpb.Record{File: &eventpb.FileInfo{Owner: "ann", Path: path, Version: 1000, CreatedUs: int64(w.now)}, Tombstone: true}
		b := append([]byte{kindRecord}, "that mesh"...)
		b = append(b, make([]byte, 8)...)
		b = append(b, event.Payload(r)...)
		if _, err := p.disk.records.Put(background, chunkID(b), b); err != nil {
			w.violate("a forged record is not kept: %v", err)
		}
	}
}

// compare holds the map that was made again against the one before: paths, versions, content, deletions.
func (w *World) compare() {
	if w.over {
		return
	}
	w.rebuilding = false
	for _, owner := range []string{sessions[0].Subject, sessions[1].Subject} {
		files, _, err := w.semantic.ListFiles(background, inos.Subject(owner), "", "", 0)
		if err != nil {
			w.violate("list: %v", err)
			return
		}
		found := map[string]inos.FileInfo{}
		for _, f := range files {
			found[string(f.Path)] = f
			if len(w.truth.history(owner, string(f.Path)).versions) == 0 {
				w.violate("the rebuild makes %s, which never was", f.Path)
			}
		}
		for _, h := range w.truth.sorted() {
			v := h.last()
			if h.owner != owner || v == nil {
				continue
			}
			f, ok := found[h.path]
			if !v.tomb && f.Version < v.number && w.forsaken(v) {
				w.truth.restart(h, f.Version) // what the world took cannot be restored: the path goes on from what was
				w.lacked = true
				continue
			}
			switch {
			case v.tomb && ok:
				w.violate("%s was deleted by version %d and comes back as version %d by the rebuild", h.path, v.number, f.Version)
			case !v.tomb && !ok:
				w.violate("the rebuild does not find %s version %d (acknowledged: %t)", h.path, v.number, v.acked)
			case !v.tomb && (f.Version != v.number || !bytes.Equal(f.ManifestID[:], v.info.ManifestId) || f.ReplicasWanted != v.info.ReplicasWanted || f.CreatedAt != inos.Micros(v.info.CreatedUs)):
				w.violate("the rebuild makes another %s: version %d with %d replicas, not %d with %d", h.path, f.Version, f.ReplicasWanted, v.number, v.info.ReplicasWanted)
			}
		}
	}
}
