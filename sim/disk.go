package sim

import (
	"context"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
)

// background is the context of all calls to the memories: a simulation has no other.
var background = context.Background()

// averageStoredBytes stands for the length of a chunk on disk when space is counted.
const averageStoredBytes = 700 << 10

// disk is a process's disk: the store of chunks, the store of commit records, and what is wrong with them. What a store has
// acknowledged is on the platter; what was under way when the process is killed is there or not (World.crash).
type disk struct {
	chunks  *content.Memory
	records *content.Memory
	// spoiled are the chunks and records that the world itself has taken from this disk: rotten, wiped, or acknowledged by a liar and
	// dropped. The kernels are not to blame for them.
	spoiled  map[inos.ChunkID]bool
	hurt     bool // some were, once
	capacity int64
	fullTo   inos.Micros // until then nothing fits
	errorsTo inos.Micros // until then calls fail now and then
	slowTo   inos.Micros
}

func (w *World) newDisk(capacity int64) *disk {
	d := &disk{spoiled: map[inos.ChunkID]bool{}, capacity: capacity}
	w.format(d)
	return d
}

// spoil notes that the world itself has taken a chunk or record from the disk.
func (d *disk) spoil(id inos.ChunkID) { d.spoiled[id], d.hurt = true, true }

// format makes the disk empty.
func (w *World) format(d *disk) {
	o := content.Options{Now: func() inos.Micros { return w.now }}
	d.chunks, d.records = content.NewMemory(o), content.NewMemory(o)
}

func (d *disk) store(record bool) *content.Memory {
	if record {
		return d.records
	}
	return d.chunks
}

// used counts the space of chunks held and trashed.
func (d *disk) used() (used, trash int64) {
	u := d.chunks.Usage()
	used = u.Chunks * averageStoredBytes
	if u.TrashBytes > 0 {
		trash = u.TrashBytes / 27 * averageStoredBytes
	}
	return used, trash
}

func (d *disk) free(now inos.Micros) int64 {
	if now < d.fullTo {
		return 0
	}
	used, trash := d.used()
	return max(0, d.capacity-used-trash)
}

// holds says that the disk has the chunk or record, and that its bytes are right. It changes nothing.
func (d *disk) holds(id inos.ChunkID, record bool) bool {
	if d.spoiled[id] {
		return false
	}
	missing, err := d.store(record).Missing(background, []inos.ChunkID{id})
	return err == nil && len(missing) == 0
}

// accounts says that the disk has the chunk or record, or had it and lost it by the world's doing.
func (d *disk) accounts(id inos.ChunkID, record bool) bool {
	return d.spoiled[id] || d.holds(id, record)
}

// rot makes the bytes of a chunk wrong.
func (d *disk) rot(id inos.ChunkID, record bool) {
	if d.store(record).Corrupt(id) {
		d.spoil(id)
	}
}

// vanish takes a record off the disk, without a word to its node's kernel.
func (d *disk) vanish(id inos.ChunkID) {
	if n, _, err := d.records.Trash(background, []inos.ChunkID{id}); err == nil && n > 0 {
		d.spoil(id)
	}
}

// list returns all ids that the disk names.
func (d *disk) list(record bool) (ids []inos.ChunkID) {
	for after, end := (inos.ChunkID{}), false; !end; {
		var page []inos.ChunkID
		page, end, _ = d.store(record).Inventory(background, after, 4096)
		if ids = append(ids, page...); len(page) > 0 {
			after = page[len(page)-1]
		}
	}
	return ids
}
