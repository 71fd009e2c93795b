package kernel

import (
	"fmt"
	"math/rand"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// randomUploads asks for uploads in a random world. It draws from chance of its own, so that worlds without them stay as they were.
type randomUploads struct {
	w       *world
	r       *rand.Rand
	ids     []string
	pieces  map[string]uint64 // stream of a piece, by request
	commits map[string]bool
}

// newRandomUploads returns nil for worlds without uploads.
func newRandomUploads(w *world, seed int64) *randomUploads {
	r := rand.New(rand.NewSource(^seed))
	if r.Intn(3) != 0 {
		return nil
	}
	return &randomUploads{w: w, r: r, pieces: map[string]uint64{}, commits: map[string]bool{}}
}

// ask makes a request now and then; it returns its id.
func (x *randomUploads) ask(paths, names []string) (id string) {
	if x == nil || x.r.Intn(4) != 0 {
		return ""
	}
	w, r := x.w, x.r
	send := func(typ string, m event.Message) string {
		e := w.request("t", typ, m)
		w.give(e)
		return e.Id
	}
	if len(x.ids) == 0 || w.opened[x.ids[len(x.ids)-1]] == nil && r.Intn(4) == 0 || r.Intn(100) == 0 {
		id = send(event.UploadsOpen, &eventpb.UploadsOpenRequest{Path: paths[r.Intn(len(paths))], PlainBytes: uint64(r.Intn(5)) * inos.ChunkBytesMax / 2})
		x.ids = append(x.ids, id)
		return id
	}
	upload := x.ids[max(0, len(x.ids)-1-r.Intn(2))]
	up := w.opened[upload]
	index, bytes := uint64(r.Intn(4)), uint64(inos.ChunkBytesMax)
	if up != nil && up.Chunks > 0 {
		index = uint64(r.Intn(int(up.Chunks)))
		for i := range up.Chunks {
			if w.slots[upload][i] == nil && r.Intn(3) > 0 {
				index = i // so that uploads become whole
			}
		}
		bytes = w.chunkBytes(up, index)
	}
	name, of := names[r.Intn(len(names))], uint64(r.Intn(4)) // chunks of other places too
	kind := r.Intn(16)
	if whole := up != nil && len(w.slots[upload]) == int(up.Chunks); kind > 8 && whole {
		kind = 5
	}
	switch kind {
	case 0:
		return send(event.UploadsList, &eventpb.UploadsListRequest{})
	case 1:
		return send(event.UploadsStat, &eventpb.UploadsStatRequest{Upload: upload})
	case 2:
		if r.Intn(8) == 0 {
			return send(event.UploadsDrop, &eventpb.UploadsDropRequest{Upload: upload})
		}
		fallthrough
	case 3, 4:
		return send(event.UploadsClaim, &eventpb.UploadsClaimRequest{Upload: upload, FirstChunk: index, PlainHashes: [][]byte{hashOf("plain", pieceName(name, of, bytes))}})
	case 5:
		id = send(event.UploadsCommit, &eventpb.UploadsCommitRequest{Upload: upload})
		x.commits[id] = true
		return id
	case 6:
		for _, id := range sortedKeys(x.pieces) {
			w.streams[x.pieces[id]].gone = true
			w.give(w.host(event.RequestGone, &eventpb.RequestGone{Id: id}))
			delete(x.pieces, id)
			break
		}
		return ""
	}
	if r.Intn(20) == 0 {
		name = "/false"
	}
	form, _ := encoded(pieceName(name, of, bytes), uint32(bytes), 0, 0)
	w.ids++
	w.streams[w.ids] = &body{name: name, length: uint64(form.size), form: form}
	q := &eventpb.UploadsSendRequest{Upload: upload, Index: index, ChunkId: []byte(form.id), Stream: w.ids, StoredBytes: uint64(form.size), Quality: 5}
	if r.Intn(20) == 0 {
		w.streams[w.ids].length--
	}
	id = send(event.UploadsSend, q)
	x.pieces[id] = q.Stream
	return id
}

// end gives up what is open.
func (x *randomUploads) end() (ids []string) {
	if x == nil {
		return nil
	}
	for _, id := range sortedKeys(x.w.opened) {
		e := x.w.request("t", event.UploadsDrop, &eventpb.UploadsDropRequest{Upload: id})
		x.w.give(e)
		ids = append(ids, e.Id)
	}
	return ids
}

// chained checks that a file's entries have the chaining values of their places. Names of stored chunks say what their bytes are.
func (w *world) chained(path, root string) {
	offset := uint64(0)
	var walk func(id string)
	walk = func(id string) {
		s := w.ever[id]
		for i := 0; i < len(s.entries); i += inos.EntryBytes {
			e, err := inos.ParseEntry(s.entries[i:])
			if err != nil {
				w.problem("%s: %v", path, err)
				return
			}
			if s.level > 0 {
				walk(string(e.ChunkID[:]))
				continue
			}
			if plain := w.ever[string(e.ChunkID[:])].plain; e.Chain != [32]byte(hashOf("chain", plain, fmt.Sprint(offset))) {
				w.problem("%s: the chunk at %d has the chaining value of another place", path, offset)
			}
			offset += e.PlainBytes
		}
	}
	walk(root)
}
