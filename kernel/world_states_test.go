package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// performStates says what repair has to know of chunks, and queues repairs.
func (w *world) performStates(e *eventpb.Envelope) (event.Message, *inos.Error) {
	if e.EventType == event.ChunkStates {
		var q eventpb.ChunkStatesRequest
		w.open(e, &q)
		r := &eventpb.ChunkStatesReply{}
		for _, id := range q.ChunkIds {
			r.States = append(r.States, w.stateOf(string(id)))
		}
		return r, nil
	}
	var q eventpb.WantRepairsRequest
	w.open(e, &q)
	r := &eventpb.WantRepairsReply{}
	for _, want := range q.Wants {
		if w.rows[string(want.ChunkId)] == nil {
			continue
		}
		if w.wants[string(want.ChunkId)] == nil {
			r.Added++
		}
		w.wants[string(want.ChunkId)] = want
		w.wantRepair(want, q.NowUs)
	}
	return r, nil
}

// stateOf returns a chunk's state as semantic:chunk_states has it.
func (w *world) stateOf(id string) *eventpb.ChunkState {
	s := &eventpb.ChunkState{ChunkId: []byte(id)}
	row := w.rows[id]
	if row == nil {
		return s
	}
	s.StoredBytes, s.Generation, s.Condemned, s.Manifest = row.entry.StoredBytes, row.generation, w.condemned[id], row.node
	s.Copies, s.Wanted = w.copiesOf(row), w.wantedOf(id)
	return s
}

// wantedOf returns the most replicas that a file or an upload which reaches the chunk asks for.
func (w *world) wantedOf(id string) (wanted uint32) {
	reaches := func(root string) bool {
		var walk func(string) bool
		walk = func(at string) bool {
			if at == id {
				return true
			}
			if row := w.rows[at]; row != nil {
				for _, child := range row.children {
					if walk(child) {
						return true
					}
				}
			}
			return false
		}
		return walk(root)
	}
	for _, at := range sortedKeys(w.files) {
		if f := w.files[at]; f.ReplicasWanted > wanted && reaches(string(f.ManifestId)) {
			wanted = f.ReplicasWanted
		}
	}
	for _, upload := range sortedKeys(w.pins) {
		for _, pin := range sortedKeys(w.pins[upload]) {
			if wanted < inos.ReplicasDefault && reaches(pin) {
				wanted = inos.ReplicasDefault
			}
		}
	}
	return wanted
}
