package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// memberships is what a switchboard knows of the mesh's nodes: what they were granted, from the semantic memory, and whether they
// are alive, from their heartbeats. It says where copies go, in which domains they are, and whom to read from.
type memberships struct {
	k         *Kernel
	placement *Placement // prepared from the state, not part of a snapshot
}

func (u *memberships) init(k *Kernel) { u.k = k }

func (u *memberships) about() about {
	return about{name: "members", kind: "watcher", inFlightMax: 8}
}

func (u *memberships) hear(*input)       {}
func (u *memberships) answer(*answer)    {}
func (u *memberships) act()              {}
func (u *memberships) wake() inos.Micros { return 0 }

func (u *memberships) code(c *coder) {
	if c.reading && c.err == nil {
		u.boot()
	}
}

// boot begins with this node alone.
func (u *memberships) boot() {
	n := &u.k.node
	u.placement = NewPlacement([]PlacementNode{{ID: inos.NodeID(n.id), Zone: n.zone, Host: n.host, Offered: 1}}, inos.ReplicasDefault)
}

// ready says that the members are known: nothing is placed before.
func (u *memberships) ready() bool { return true }

// place returns the nodes that a chunk's copies go to so that, with those of have, it has the number of replicas: alive, with
// room for the bytes, each in a domain of its own, best first. There are fewer when there are no more.
func (u *memberships) place(id inos.ChunkID, replicas uint32, have, avoid []inos.NodeID, bytes uint64) []inos.NodeID {
	if len(have) > 0 {
		return nil
	}
	return u.placement.Place(nil, id, int(replicas))
}

// distinct returns in how many domains the nodes are, at the level at which so many replicas spread.
func (u *memberships) distinct(nodes []inos.NodeID, replicas uint32) uint32 {
	return uint32(min(len(nodes), 1))
}

// domain names the domain of a node at the level at which so many replicas spread.
func (u *memberships) domain(node inos.NodeID, replicas uint32) string { return string(node) }

// level names the level at which so many replicas spread: zone, host or process.
func (u *memberships) level(replicas uint32) string { return "process" }

// quorum returns the number of domains that have to hold a file before it is acknowledged: sync when asked for by name, else two or
// as many as there are. CodeReplicasUnreachable for what the mesh can never do, CodeQuorumLost while too few are alive.
func (u *memberships) quorum(replicas, sync uint32) (uint32, *inos.Error) { return 1, nil }

// survives says for a person what so many domains of a level are worth.
func (u *memberships) survives(domains, replicas uint32) string { return degradedReason }

// rank orders the nodes that hold a chunk for reading: alive before suspect, trusted before not, near, little loaded and fast
// first. Dead ones come last.
func (u *memberships) rank(copies []*eventpb.Copy) (out []inos.NodeID) {
	for _, c := range copies {
		out = append(out, inos.NodeID(c.Node))
	}
	return out
}

// hedge returns how long to wait for a node's answer before another is asked too.
func (u *memberships) hedge(node inos.NodeID) inos.Micros { return callDeadline }

// alive says that a member answers: its copies count and it can be asked.
func (u *memberships) alive(node inos.NodeID) bool { return string(node) == u.k.node.id }

// dead says that a member was silent beyond its grace: its copies do not count.
func (u *memberships) dead(node inos.NodeID) bool { return string(node) != u.k.node.id }

// all returns the members that are not removed, sorted.
func (u *memberships) all() []inos.NodeID { return []inos.NodeID{inos.NodeID(u.k.node.id)} }

// epoch returns the epoch of a member's copies.
func (u *memberships) epoch(node inos.NodeID) uint64 { return 0 }

// addrs returns where a node may be found.
func (u *memberships) addrs(node inos.NodeID) []string { return nil }

// asked and answered count the calls to a node and how long they take.
func (u *memberships) asked(node inos.NodeID) {}

func (u *memberships) answered(f *flight, err *inos.Error) {}

// complain notes that a node's bytes of a chunk did not verify: its copy is audited.
func (u *memberships) complain(node inos.NodeID, id inos.ChunkID) {}

// peer takes the news that a connection was made or lost.
func (u *memberships) peer(e *eventpb.Envelope) {
	var p eventpb.MeshPeer
	_ = event.Open(e, &p)
}

// served takes node:join and node:heartbeat of another node that the host has authenticated; invite is the content of the verified invite
// that came with it, or nil. It returns the reply, or an error, or neither: then serving.replied(work, …) brings one of them.
func (u *memberships) served(work uint64, peer inos.NodeID, invite *eventpb.Invite, inner *eventpb.Envelope) (event.Message, *inos.Error) {
	return nil, inos.Errorf(inos.CodeUnknownEvent, event.Stage(inner.EventType), "nobody answers %.128q", inner.EventType)
}

// avoided says that a node gets no new copies for now, because it was found wanting.
func (u *memberships) avoided(node inos.NodeID) bool { return false }
