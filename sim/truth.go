package sim

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// truth is what the world knows of files, from the verbs that were done and the answers that clients have had.
type truth struct {
	files   map[string]*history // by owner and path
	byKey   map[string]*version // by the request that made it
	ops     map[string]*request // puts by the id of their request
	records map[inos.ChunkID]*eventpb.Record
	// recordsOf are the records of each version: one that is written anew gets another nonce, and so another id.
	recordsOf map[recordKey][]inos.ChunkID
	changes   uint64
	// guarded are the chunks of versions that must stay readable, with the version that wants most; made anew when changes moved on.
	guarded   map[inos.ChunkID]*version
	guardedAt uint64
}

// recordKey names a version.
type recordKey struct {
	owner, path string
	version     uint64
}

// history is all versions of a path, in their order.
type history struct {
	owner, path string
	versions    []*version
}

// version is one version of a path.
type version struct {
	number   uint64
	key      string // of the request that made it
	tomb     bool
	info     *eventpb.FileInfo
	body     *body // what the client sent
	at       inos.Micros
	acked    bool
	settled  bool
	receipt  *eventpb.Receipt
	told     inos.Micros    // when it was given
	chunks   []inos.ChunkID // data chunks and manifest nodes, each once
	level    string         // at which its copies spread when it was committed
	restored bool
	late     bool // more replicas were asked for when the world had taken what there was
}

func newTruth() truth {
	return truth{
		files: map[string]*history{}, byKey: map[string]*version{}, ops: map[string]*request{}, records: map[inos.ChunkID]*eventpb.Record{},
		recordsOf: map[recordKey][]inos.ChunkID{},
		changes:   1,
	}
}

func (t *truth) history(owner, path string) *history {
	key := owner + "\x00" + path
	h := t.files[key]
	if h == nil {
		h = &history{owner: owner, path: path}
		t.files[key] = h
	}
	return h
}

// committed takes a version that the semantic memory has written.
func (t *truth) committed(w *World, f *eventpb.FileInfo, key string, tomb, repeated bool) {
	t.changes++
	if repeated {
		if v := t.byKey[key]; v == nil || v.number != f.Version {
			w.violate("request %s was committed as version %d of %s before, the memory says", key, f.Version, f.Path)
		}
		return
	}
	if v := t.byKey[key]; v != nil {
		w.violate("request %s is committed a second time: version %d of %s, and it was %d", key, f.Version, f.Path, v.number)
	}
	h := t.history(f.Owner, f.Path)
	if last := h.last(); last != nil && f.Version <= last.number {
		w.violate("%s comes back: version %d is written after %d", f.Path, f.Version, last.number)
	}
	v := &version{number: f.Version, key: key, tomb: tomb, info: f, at: w.now}
	t.byKey[key] = v
	if r := t.ops[key]; !tomb && r != nil && r.makes() {
		v.body = &r.op.body
	} else if before := h.last(); !tomb && before != nil {
		v.body = before.body // the same content with other replicas
		v.late = !before.tomb && w.forsaken(before)
	}
	h.versions = append(h.versions, v)
	if tomb {
		return
	}
	v.chunks, v.level = w.below(inos.ChunkID(f.ManifestId)), w.levelOf(int(f.ReplicasWanted))
	w.checkManifest(v)
	if r := t.ops[key]; r != nil && r.makes() {
		w.checkSpread("commit", v)
	}
}

// settled takes a version whose commit record lies on the mesh.
func (t *truth) settled(k *eventpb.RecordKey) {
	t.changes++
	for _, v := range t.history(k.Owner, k.Path).versions {
		if v.number == k.Version {
			v.settled = true
		}
	}
}

// restored takes a version that a rebuild found again.
func (t *truth) restored(w *World, r *eventpb.Record) {
	t.changes++
	if r.File.Owner == "" {
		return // compareFacts looks at the end
	}
	h := t.history(r.File.Owner, r.File.Path)
	v := h.find(r.File.Version)
	if v == nil {
		w.violate("the rebuild makes version %d of %s, which never was", r.File.Version, r.File.Path)
		return
	}
	if w.rivals[inos.ChunkID(r.RecordId)] {
		return // the record of the version itself comes later, and then counts
	}
	if v.tomb != r.Tombstone || !v.tomb && !bytes.Equal(v.info.ManifestId, r.File.ManifestId) {
		w.violate("the rebuild makes another version %d of %s than there was", v.number, r.File.Path)
	}
	v.restored = true
}

// restart forgets the versions of a path above one, and that their requests made them: who asks again makes another. A key may name another version by
// now, which stays.
func (t *truth) restart(h *history, number uint64) {
	t.changes++
	h.versions = slices.DeleteFunc(h.versions, func(v *version) bool {
		gone := v.number > number
		if gone && t.byKey[v.key] == v {
			delete(t.byKey, v.key)
		}
		return gone
	})
}

func (h *history) last() *version {
	if len(h.versions) == 0 {
		return nil
	}
	return h.versions[len(h.versions)-1]
}

func (h *history) find(number uint64) *version {
	for _, v := range h.versions {
		if v.number == number {
			return v
		}
	}
	return nil
}

// acked returns the highest version that a client was told of, or nil.
func (h *history) acked() (last *version) {
	for _, v := range h.versions {
		if v.acked {
			last = v
		}
	}
	return last
}

// live returns the versions that must stay readable: those from the highest on that was acknowledged or whose record lies on
// the mesh. One before may be let go of; those after it may be what a reader or a rebuild finds.
func (h *history) live() []*version {
	from := 0
	for i, v := range h.versions {
		if v.acked || v.settled {
			from = i
		}
	}
	return h.versions[from:]
}

// sorted returns the histories in an order.
func (t *truth) sorted() (list []*history) {
	for _, k := range sortedKeys(t.files) {
		list = append(list, t.files[k])
	}
	return list
}

// guard returns the chunks that must not get lost.
func (t *truth) guard() map[inos.ChunkID]*version {
	if t.guardedAt == t.changes {
		return t.guarded
	}
	t.guarded, t.guardedAt = map[inos.ChunkID]*version{}, t.changes
	for _, h := range t.sorted() {
		for _, v := range h.live() {
			for _, id := range v.chunks {
				if old := t.guarded[id]; old == nil || old.info.ReplicasWanted < v.info.ReplicasWanted {
					t.guarded[id] = v
				}
			}
		}
	}
	return t.guarded
}

// below returns a manifest's chunks and nodes, its root among them, each once.
func (w *World) below(root inos.ChunkID) (ids []inos.ChunkID) {
	seen := map[inos.ChunkID]bool{}
	var walk func(id inos.ChunkID)
	walk = func(id inos.ChunkID) {
		if seen[id] {
			return
		}
		seen[id] = true
		ids = append(ids, id)
		if n, ok := parseNode(w.ever[id]); ok {
			n.each(func(e *inos.Entry) { walk(e.ChunkID) })
		}
	}
	walk(root)
	sortIDs(ids)
	return slices.Clip(ids)
}

// sealed takes a commit record that was made.
func (w *World) sealed(id inos.ChunkID, r *eventpb.Record) {
	w.truth.records[id] = r.CloneVT()
	key := recordKey{r.File.GetOwner(), r.File.GetPath(), r.File.GetVersion()}
	w.truth.recordsOf[key] = append(w.truth.recordsOf[key], id)
	if r.File.GetOwner() == "" {
		return
	}
	h := w.truth.history(r.File.GetOwner(), r.File.GetPath())
	v := h.find(r.File.GetVersion())
	if v == nil {
		w.violate("a record is sealed of version %d of %s, which never was", r.File.GetVersion(), r.File.GetPath())
		return
	}
	if w.rebuilding && r.Tombstone && !v.tomb && r.File.CreatedUs < v.info.CreatedUs {
		w.rivals[id] = true // where a rebuild has found no record of the version itself, its rival is restored and stays one
		return
	}
	if v.tomb != r.Tombstone || !v.tomb && !bytes.Equal(v.info.ManifestId, r.File.ManifestId) {
		w.violate("a record is sealed of another version %d of %s than there is", v.number, h.path)
	}
}
