package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// What is in the trash counts as used until it is old. A put that finds the disk full has the trash emptied before its time,
// as far as it needs, and tries once more.

// room is what a write knows of the space it needs.
type room struct {
	roomless bool // waits until the trash is emptied
	emptied  bool // it was, for this write
}

func (r *room) code(c *coder) {
	c.bool(&r.roomless)
	c.bool(&r.emptied)
}

// makeRoom says that a write which failed is to be tried again when the trash is emptied, and asks for that.
func (u *puts) makeRoom(err *inos.Error, bytes uint64, r *room) bool {
	if err.Code != inos.CodeDiskFull || r.emptied || !u.k.collector.wantRoom(bytes) {
		return false
	}
	r.roomless, r.emptied = true, true
	return true
}

// roomy goes on with what waited for room.
func (u *puts) roomy() {
	for _, work := range u.waiting {
		u.table[work].roomless = false
	}
	for _, p := range u.active {
		for _, x := range p.chunks {
			x.roomless = false
		}
		for _, n := range p.tree.nodes {
			n.roomless = false
		}
	}
	u.unheld()
}

// crowded returns the error of a put whose body does not fit on the only node; the put waits when it would with the trash emptied.
func (u *puts) crowded(p *put) *inos.Error {
	c := &u.k.collector
	if !u.k.lone() || !c.usageKnown || p.length <= 0 || uint64(p.length) <= c.usage.free {
		return nil
	}
	if missing := uint64(p.length) - c.usage.free; !p.emptied && missing <= c.usage.trash && c.wantRoom(missing) {
		p.roomless, p.emptied = true, true
		return nil
	}
	return inos.Errorf(inos.CodeDiskFull, p.stage(), "the body has %d bytes, %d are free", p.length, c.usage.free)
}

// wantRoom asks for at least so many bytes from the trash; it says false when the trash is known to be empty.
func (u *collector) wantRoom(bytes uint64) bool {
	if u.usageKnown && !u.usageStale && u.usage.trash == 0 {
		return false
	}
	u.roomNeed = max(u.roomNeed, bytes, roomLeast)
	return true
}

// makeRoom removes the next page from the trash, however young.
func (u *collector) makeRoom() {
	u.send(opMakeRoom, event.ContentEmptyTrash, &eventpb.ContentEmptyTrashRequest{BeforeUs: int64(u.k.now), Limit: emptyTrashPage})
}

// roomMade takes the end of a page. The puts go on when there is enough room, or nothing more to remove.
func (u *collector) roomMade(a *answer) {
	var r eventpb.ContentEmptyTrashReply
	if a.err == nil && event.Open(a.env, &r) == nil {
		u.usage.free += r.Bytes
		u.usage.trash -= min(r.Bytes, u.usage.trash)
		u.roomNeed -= min(r.Bytes, u.roomNeed)
		if u.roomNeed > 0 && r.Chunks >= emptyTrashPage {
			return // act asks for the next page
		}
	}
	u.roomNeed = 0
	u.usageStale, u.usageAt = true, u.k.now
	u.k.puts.roomy()
	u.k.serving.roomy()
}
