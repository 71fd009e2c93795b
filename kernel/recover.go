package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

const opAbortAll = 1 // semantic:abort_upload of every upload

// recovery boots the node: it takes the configuration, starts the workers, drops the pins of uploads that the last run
// left, and after an unclean stop has the disk swept for chunks without a row and the rows compared with it for chunks that the disk has lost. Requests wait for the pins, not for the sweep.
type recovery struct {
	k        *Kernel
	done     bool // the pins are dropped: requests are served
	swept    bool // the disk has been swept, or needs no sweep
	underWay uint32
	again    inos.Micros
	pause    inos.Micros

	comparing    bool // what the semantic memory says this node holds is looked for on the disk
	compareOut   bool // an effect of the comparison is under way
	compareAgain inos.Micros
	compared     comparison
	comparedGone uint64
}

func (u *recovery) init(k *Kernel) { u.k = k }

func (u *recovery) about() about {
	return about{name: "recover", kind: "pipeline", hears: []string{event.NodeBoot, event.NodeTick}, inFlightMax: 2}
}

func (u *recovery) code(c *coder) {
	c.bool(&u.done)
	c.bool(&u.swept)
	num(c, &u.underWay)
	num(c, &u.again)
	num(c, &u.pause)
	c.bool(&u.comparing)
	c.bool(&u.compareOut)
	num(c, &u.compareAgain)
	u.compared.code(c)
	num(c, &u.comparedGone)
}

func (u *recovery) hear(in *input) {
	if in.env.EventType != event.NodeBoot {
		return // a tick: act does what is due
	}
	k := u.k
	var b eventpb.NodeBoot
	if event.Open(in.env, &b) != nil || len(b.Seed) != 32 || b.Workers == 0 && b.Switchboard || b.Workers > workersMax || b.NodeId == "" || !b.Switchboard && !b.Provider || b.BufferBytesMax < 8*chunkReserveBytes {
		panic("kernel: the boot is not valid: a node id, a role, a seed of 32 bytes, 1 to 256 workers on a switchboard and at least 16 MiB of buffers are needed")
	}
	if q := b.BrotliQuality; q != 0 && (q < qualityMin || q > qualityMax) {
		panic("kernel: the boot is not valid: Brotli qualities are 2 to 9")
	}
	k.random.seed(b.Seed)
	k.governance.names.seed(b.Seed)
	s := &k.governance.names.s
	*s = [4]uint64{s[1], s[2], s[3], s[0]} // another stream
	k.node = node{
		booted: true, id: b.NodeId, zone: b.Zone, host: b.Host, version: b.Version, started: k.now, workers: b.Workers, moduleID: b.ModuleId,
		bufferBytesMax: min(b.BufferBytesMax, bootBufferBytesMax), unclean: b.Unclean, qualityFixed: b.BrotliQuality, moduleDeadline: inos.Micros(b.ModuleDeadlineUs),
		switchboard: b.Switchboard, provider: b.Provider, operator: b.Operator, tier: b.Tier, offered: b.OfferedBytes, addrs: b.Addrs,
		invite: b.Invite, switchboards: b.Switchboards, heartbeat: inos.Micros(b.HeartbeatUs), graceCold: inos.Micros(b.GraceColdUs),
		graceHot: inos.Micros(b.GraceHotUs), repairRate: b.RepairBytesPerSecond, rebuild: b.Rebuild,
	}
	k.members.boot()
	k.supervisor.boot(b.Workers)
	k.concurrency.boot(b.Workers)
	k.quality.boot()
	k.collector.boot()
	k.beats.boot()
	k.rebuilding.boot()
	u.pause = retryBackoffMin
	if !b.Switchboard {
		u.done, u.swept = true, true // it has no memory to put in order: its switchboards compare its disk with theirs
		return
	}
	k.watcher.note(event.NodeBoot, event.StateCompleted, "version "+b.Version+", "+plural(uint64(b.Workers), "worker", "workers"))
}

// abort drops the pins of the last run, when the members are known: what follows concerns them all.
func (u *recovery) abort() {
	u.underWay++
	u.k.send(nil, ask{owner: threadRecovery, op: opAbortAll}, event.AbortUpload, &eventpb.AbortUploadRequest{})
}

func (u *recovery) answer(a *answer) {
	if a.op != opAbortAll {
		u.looked(a)
		return
	}
	u.underWay--
	if a.err != nil {
		u.again = u.k.now + u.pause
		u.pause = min(2*u.pause, retryBackoffMax)
		return
	}
	u.done = true
	var r eventpb.AbortUploadReply
	if event.Open(a.env, &r) == nil && r.Uploads > 0 {
		u.k.watcher.note(event.AbortUpload, event.StateCompleted, plural(uint64(r.Uploads), "upload", "uploads")+" of the last run dropped")
	}
	if u.k.node.unclean {
		u.k.collector.sweepWanted()
		u.comparing, u.compared.node = true, u.k.self()
	} else {
		u.swept = true
	}
}

// looked takes the end of an effect of the comparison. A page that fails is tried again.
func (u *recovery) looked(a *answer) {
	u.compareOut = false
	lost, done, err := u.compared.answer(u.k, nil, ask{owner: threadRecovery}, a)
	switch {
	case err != nil:
		u.compareAgain = u.k.now + retryBackoffMax
		return
	case !done:
		u.compareOut = true
		return
	}
	for _, id := range lost {
		u.k.losses.doubt(u.k.self(), inos.ChunkID(id))
	}
	u.comparedGone += uint64(len(lost))
	if u.comparing = !u.compared.end; !u.comparing && u.comparedGone > 0 {
		u.k.watcher.note(event.ContentMissing, event.StateCompleted, plural(u.comparedGone, "chunk", "chunks")+" that this node held before its unclean stop not found on its disk")
	}
}

func (u *recovery) act() {
	if u.again != 0 && u.again <= u.k.now {
		u.again = 0
	}
	if u.k.node.booted && !u.done && u.underWay == 0 && u.again == 0 && u.k.members.ready() {
		u.abort()
	}
	if u.compareAgain <= u.k.now {
		u.compareAgain = 0
	}
	if u.comparing && !u.compareOut && u.compareAgain == 0 && !u.k.losses.full() && !u.k.node.draining {
		u.compareOut = true
		u.compared.page(u.k, nil, ask{owner: threadRecovery})
	}
}

func (u *recovery) wake() inos.Micros { return earlier(u.again, u.compareAgain) }
