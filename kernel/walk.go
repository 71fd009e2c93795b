package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of a walk, above those of the thread that walks.
const (
	opNodeRead = iota + 64 // content:read_chunk of a manifest node
	opNodeOpen             // storage:open_node
)

// walk goes through a file's manifest from one data chunk to another, one node at a time. A node of level L covers
// 1,024^(L+1) chunks when it is full, and only the last of a level is not: the way to a chunk is arithmetic.
type walk struct {
	root   inos.ChunkID
	chunks uint64 // data chunks of the file
	bytes  uint64 // plain bytes of the file
	at     uint64 // the next chunk
	end    uint64 // behind the last chunk wanted
	path   []step // from the root to the open leaf
	opened bool   // the root was
	wanted bool   // a node is being read or opened
	buffer uint64 // it is in
	want   inos.ChunkID
}

// step is one open node on the way.
type step struct {
	level   uint32
	entries []byte
	first   uint64 // index of the first data chunk below
}

func (w *walk) code(c *coder) {
	c.fixed(w.root[:])
	num(c, &w.chunks)
	num(c, &w.bytes)
	num(c, &w.at)
	num(c, &w.end)
	list(c, &w.path, levelsMax, func(c *coder, s *step) {
		num(c, &s.level)
		c.bytes(&s.entries)
		if len(s.entries)%inos.EntryBytes != 0 || s.level >= levelsMax {
			c.fail("a manifest node of level %d with %d bytes of entries", s.level, len(s.entries))
		}
		num(c, &s.first)
	})
	c.bool(&w.opened)
	c.bool(&w.wanted)
	num(c, &w.buffer)
	c.fixed(w.want[:])
}

// span returns how many data chunks an entry of a node of a level covers when it is full.
func span(level uint32) uint64 {
	n := uint64(1)
	for range level {
		n *= inos.ManifestEntriesMax
	}
	return n
}

// start sets out for the chunks from first to before end.
func (w *walk) start(f *eventpb.FileInfo, first, end uint64) *inos.Error {
	if len(f.ManifestId) != inos.HashBytes {
		return inos.Errorf(inos.CodeInternal, "semantic:lookup_file", "the file has a manifest id of %d bytes", len(f.ManifestId))
	}
	*w = walk{root: inos.ChunkID(f.ManifestId), chunks: f.Chunks, bytes: f.PlainBytes, at: first, end: end}
	return nil
}

// next returns the next data chunk's entry and moves on. Without one, ok is false, and want says which node has to be
// read first unless the walk is over.
func (w *walk) next() (index uint64, e inos.Entry, ok bool, err *inos.Error) {
	if w.at >= w.end {
		return 0, e, false, nil
	}
	if !w.opened {
		w.want = w.root
		return 0, e, false, nil
	}
	for len(w.path) > 0 {
		s := &w.path[len(w.path)-1]
		i := (w.at - s.first) / span(s.level)
		if w.at < s.first || i >= uint64(len(s.entries)/inos.EntryBytes) {
			w.path = w.path[:len(w.path)-1]
			continue
		}
		e, parseErr := inos.ParseEntry(s.entries[i*inos.EntryBytes:])
		if parseErr != nil {
			return 0, e, false, inos.Errorf(inos.CodeBadFormat, "read manifest", "%w", parseErr)
		}
		if s.level > 0 {
			w.want = e.ChunkID
			return 0, e, false, nil
		}
		w.at++
		return w.at - 1, e, true, nil
	}
	return 0, e, false, inos.Errorf(inos.CodeBadFormat, "read manifest", "chunk %d of %d is not in it", w.at, w.chunks)
}

// peek returns the entry of a data chunk further on in the open leaf.
func (w *walk) peek(index uint64) (e inos.Entry, ok bool) {
	if len(w.path) == 0 || index >= w.end {
		return e, false
	}
	s := &w.path[len(w.path)-1]
	if s.level != 0 || index < s.first || index-s.first >= uint64(len(s.entries)/inos.EntryBytes) {
		return e, false
	}
	e, err := inos.ParseEntry(s.entries[(index-s.first)*inos.EntryBytes:])
	return e, err == nil
}

// open takes the entries of the node that was wanted.
func (w *walk) open(r *eventpb.OpenNodeReply) *inos.Error {
	bad := func(format string, args ...any) *inos.Error {
		return inos.Errorf(inos.CodeBadFormat, "read manifest", format, args...)
	}
	if len(r.Entries)%inos.EntryBytes != 0 || len(r.Entries) > inos.ManifestEntriesMax*inos.EntryBytes || r.Level >= levelsMax {
		return bad("node %s has %d bytes of entries at level %d", w.want, len(r.Entries), r.Level)
	}
	first := uint64(0)
	if w.opened {
		parent := &w.path[len(w.path)-1]
		if r.Level+1 != parent.level || r.Root {
			return bad("node %s of level %d is below one of level %d", w.want, r.Level, parent.level)
		}
		first = parent.first + (w.at-parent.first)/span(parent.level)*span(parent.level)
	} else if !r.Root {
		return bad("node %s is not a root", w.want)
	}
	w.opened = true
	w.path = append(w.path, step{level: r.Level, entries: r.Entries, first: first})
	return nil
}

// walker is a unit of work that walks a manifest.
type walker interface {
	walk() *walk
	asks(op uint8) (*origin, ask)
	count(int32) // of effects under way
}

// readNode asks for the node that a walk wants next, from any node of the mesh that has it.
func (k *Kernel) readNode(r walker) {
	w := r.walk()
	if w.wanted {
		return // it is under way
	}
	w.wanted = true
	r.count(1)
	o, a := r.asks(opNodeRead)
	k.fetch(o, a, w.want, 0, nil)
}

// nodeRead hands the node's stored form to a module.
func (k *Kernel) nodeRead(r walker, a *answer) *inos.Error {
	w := r.walk()
	w.buffer = a.buffer
	if a.err != nil {
		w.wanted = false
		return a.err
	}
	r.count(1)
	o, next := r.asks(opNodeOpen)
	if err := k.module(o, next, event.OpenNode, job{input: w.buffer, key: w.want}, &eventpb.OpenNodeRequest{ChunkId: w.want[:]}); err != nil {
		r.count(-1)
		return err
	}
	return nil
}

// nodeOpened takes the node's entries.
func (k *Kernel) nodeOpened(r walker, a *answer) *inos.Error {
	w := r.walk()
	k.release(&w.buffer)
	w.wanted = false
	if a.err != nil {
		return a.err
	}
	var reply eventpb.OpenNodeReply
	if err := event.Open(a.env, &reply); err != nil {
		return inos.Errorf(inos.CodeModuleFailed, "storage:open_node", "%w", err)
	}
	return w.open(&reply)
}
