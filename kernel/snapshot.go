package kernel

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/inos-mesh/inos"
)

// A snapshot is "INOSKERN", the version of its layout (u32), the CRC-32 (IEEE) of what follows (u32), and the state. The
// layout belongs to one build of the kernel: a kernel is replaced by draining it, not by handing on a snapshot.
const (
	snapshotMagic   = "INOSKERN"
	snapshotVersion = 15
	snapshotHead    = len(snapshotMagic) + 8
)

// Snapshot returns all of the kernel's state between two steps: random generator, sessions, effects in flight, histograms.
// A kernel restored from it decides as this one does, to the byte.
func (k *Kernel) Snapshot() []byte {
	c := &coder{buf: make([]byte, snapshotHead, 64<<10)}
	k.code(c)
	copy(c.buf, snapshotMagic)
	binary.LittleEndian.PutUint32(c.buf[8:], snapshotVersion)
	binary.LittleEndian.PutUint32(c.buf[12:], crc32.ChecksumIEEE(c.buf[snapshotHead:]))
	return c.buf
}

// Restore replaces the kernel's state by a snapshot's. Bytes that are not a whole snapshot of this layout are refused with
// CodeBadFormat and leave the kernel as New makes it.
func (k *Kernel) Restore(b []byte) error {
	const op = "restore snapshot"
	fresh := New()
	defer func() { k.adopt(fresh) }()
	if len(b) < snapshotHead || string(b[:8]) != snapshotMagic {
		return inos.Errorf(inos.CodeBadFormat, op, "%d bytes that are not a kernel's snapshot", len(b))
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != snapshotVersion {
		return inos.Errorf(inos.CodeBadFormat, op, "its layout has version %d, this kernel's %d", v, snapshotVersion)
	}
	if crc32.ChecksumIEEE(b[snapshotHead:]) != binary.LittleEndian.Uint32(b[12:]) {
		return inos.Errorf(inos.CodeBadFormat, op, "its checksum does not match: it is cut off or changed")
	}
	c := &coder{reading: true, buf: b[snapshotHead:]}
	restored := New()
	restored.code(c)
	if c.err == nil && len(c.buf) > 0 {
		c.fail("%d bytes follow its end", len(c.buf))
	}
	if c.err != nil {
		return c.err
	}
	fresh = restored
	return nil
}

// adopt takes another kernel's state. Its threads are pointed at their new owner.
func (k *Kernel) adopt(from *Kernel) {
	*k = *from
	k.governance.own(k)
	k.identities.k = k
	k.supervisor.k, k.recovery.k, k.puts.k, k.uploads.k, k.gets.k, k.queries.k = k, k, k, k, k, k
	k.beats.k, k.members.k, k.serving.k, k.records.k, k.changes.k, k.repairs.k, k.challenges.k, k.rebuilding.k, k.operations.k = k, k, k, k, k, k, k, k, k
	k.inspections.k = k
	k.verifies.k, k.fetches.k, k.losses.k, k.reconciles.k, k.collector.k, k.concurrency.k, k.quality.k, k.watcher.k = k, k, k, k, k, k, k, k
	k.wire()
}

func (k *Kernel) code(c *coder) {
	n := &k.node
	c.bool(&n.booted)
	text(c, &n.id)
	text(c, &n.zone)
	text(c, &n.host)
	text(c, &n.version)
	num(c, &n.started)
	num(c, &n.workers)
	c.bytes(&n.moduleID)
	num(c, &n.bufferBytesMax)
	c.bool(&n.unclean)
	num(c, &n.qualityFixed)
	num(c, &n.moduleDeadline)
	c.bool(&n.draining)
	c.bool(&n.switchboard)
	c.bool(&n.provider)
	text(c, &n.operator)
	text(c, &n.tier)
	num(c, &n.offered)
	list(c, &n.addrs, inos.MemberAddrsMax, text[string])
	c.bytes(&n.invite)
	list(c, &n.switchboards, switchboardsMax, text[string])
	num(c, &n.heartbeat)
	num(c, &n.graceCold)
	num(c, &n.graceHot)
	num(c, &n.repairRate)
	c.bool(&n.rebuild)
	num(c, &k.now)
	num(c, &k.wanted)
	num(c, &k.woke)
	num(c, &k.steps)
	k.random.code(c)
	num(c, &k.lastWork)
	num(c, &k.lastBuf)
	k.numbering.code(c)
	num(c, &k.buffers)
	k.flights.code(c)
	table(c, &k.open, 1<<16, text[string], num[uint64])
	for i := range k.counters {
		num(c, &k.counters[i].envelopes)
		num(c, &k.counters[i].effects)
		num(c, &k.counters[i].inFlight)
	}
	for _, t := range k.threads {
		t.code(c)
	}
}
