package kernel

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// domains is placement over the members, prepared. Labels and offers of all members that are neither removed nor drained decide the level
// and the weights; whether they are alive and have room only rules candidates out.
type domains struct {
	placement *Placement
	members   []*member   // by node of the placement
	alone     bool        // this node is the only member, drained ones counted
	rampAt    inos.Micros // when a newcomer's share grows and the weights change; 0: never
	step      uint64      // in which the candidates were found: they are those of one step
	cold      []bool      // by node: cold, and may take a copy now
	any       []bool      // may take a copy now
	crowded   []bool      // may take one, though it has said that it has too much to do
	full      []bool      // may take a commit record, though it has no room for chunks
}

// now returns placement over the members.
func (u *memberships) now() *domains {
	if d := u.prepared; d == nil || d.rampAt != 0 && d.rampAt <= u.k.now {
		u.prepared = u.prepare()
	}
	return u.prepared
}

// candidates returns placement with its candidates as they are in this step.
func (u *memberships) candidates() *domains {
	k := u.k
	d := u.now()
	if d.step == k.steps {
		return d
	}
	d.step = k.steps
	for i, m := range d.members {
		d.full[i] = u.listens(m)
		d.crowded[i] = d.full[i] && u.room(m) >= roomPerNode
		d.any[i] = d.crowded[i] && m.busyTill <= k.now
		d.cold[i] = d.any[i] && m.row.Tier != string(inos.TierHot)
	}
	return d
}

// listens says that a member may be given what takes next to no room: without the records of deletions nothing would ever leave a mesh
// that is full.
func (u *memberships) listens(m *member) bool {
	return m.state == liveAlive && m.row.State == uint32(inos.MemberActive) && m.failures < muteFailures && !m.avoided
}

// room returns how many bytes a member may still be given: what it says is free, but never more than it was granted and has not been given.
func (u *memberships) room(m *member) uint64 {
	free := uint64(1) << 62
	if m.row.OfferedBytes > 0 {
		free = m.row.OfferedBytes - min(m.row.OfferedBytes, m.row.PlacedBytes)
	}
	if m.id() == u.k.self() {
		if c := &u.k.collector; c.usageKnown {
			free = min(free, c.usage.free+c.usage.trash) // what is in the trash can be had (room.go)
		}
		return free
	}
	if m.usage != nil {
		free = min(free, m.usage.FreeBytes+m.usage.TrashBytes)
	}
	return free
}

// prepare builds placement over the members. A newcomer's weight grows with its age, unless the whole mesh is as young.
func (u *memberships) prepare() *domains {
	d := &domains{}
	var nodes []PlacementNode
	first, all := u.k.now, u.all()
	d.alone = len(all) == 1 && all[0] == u.k.self()
	for _, id := range u.sorted() {
		first = min(first, inos.Micros(u.table[id].row.JoinedUs))
	}
	for _, id := range u.sorted() {
		m := u.table[id]
		if m.removed() || m.draining() {
			continue // its copies count for no target
		}
		n := PlacementNode{ID: id, Zone: m.row.Zone, Host: m.row.Host, Offered: max(1, m.row.OfferedBytes)}
		if m.row.Operator != u.k.node.operator && u.k.node.operator != "" {
			n.Operator = m.row.Operator
		}
		joined := inos.Micros(m.row.JoinedUs)
		if joined > first+rampFounders {
			for _, step := range rampSteps {
				if u.k.now < joined+step.until {
					n.Offered = max(1, n.Offered/8*step.eighths)
					d.rampAt = earlier(d.rampAt, joined+step.until)
					break
				}
			}
		}
		nodes = append(nodes, n)
	}
	p := NewPlacement(nodes, 0)
	d.placement, d.cold, d.any = p, make([]bool, len(p.nodes)), make([]bool, len(p.nodes))
	d.crowded, d.full = make([]bool, len(p.nodes)), make([]bool, len(p.nodes))
	for _, n := range p.nodes {
		d.members = append(d.members, u.table[n.ID])
	}
	return d
}

// rampStep is the share of its weight that a newcomer has up to an age.
type rampStep struct {
	until   inos.Micros
	eighths uint64
}

var rampSteps = [...]rampStep{{inos.Hour, 1}, {6 * inos.Hour, 2}, {inos.Day, 4}}

// place returns the nodes that a chunk's copies go to so that, with those of have, it has the number of replicas: alive, with
// room for the bytes, each in a domain of its own, best first; none of avoid, nor one whose copy of the chunk is in doubt. There are fewer
// when there are no more.
func (u *memberships) place(id inos.ChunkID, replicas uint32, have, avoid []inos.NodeID, bytes uint64) []inos.NodeID {
	return u.placeBy(keyOfChunk(id), id, replicas, have, avoid, bytes)
}

// placeBy is place with nodes drawn by a key.
func (u *memberships) placeBy(key chunkKey, id inos.ChunkID, replicas uint32, have, avoid []inos.NodeID, bytes uint64) []inos.NodeID {
	d := u.candidates()
	return u.choose(key, id, replicas, have, avoid, bytes, [][]bool{d.cold, d.any, d.crowded})
}

// placeWithin is placeBy for what nodes in some domains only are to have.
func (u *memberships) placeWithin(domains []string, key chunkKey, id inos.ChunkID, replicas uint32, avoid []inos.NodeID, bytes uint64) []inos.NodeID {
	d := u.candidates()
	within := slices.Clone(d.crowded)
	for i, m := range d.members {
		within[i] = within[i] && slices.Contains(domains, u.domain(m.id(), replicas))
	}
	return u.choose(key, id, replicas, nil, avoid, bytes, [][]bool{within})
}

// placeRecord is place for a commit record, which nodes without room for chunks take as well, when there are no others; and so do nodes that
// have lost records.
func (u *memberships) placeRecord(id inos.ChunkID, replicas uint32, have, avoid []inos.NodeID) []inos.NodeID {
	d := u.candidates()
	lists := [][]bool{d.cold, d.any, d.crowded, d.full}
	forgetful := slices.Clone(avoid)
	for _, m := range d.members {
		if m.losesTill > u.k.now {
			forgetful = append(forgetful, m.id())
		}
	}
	out := u.choose(keyOfChunk(id), id, replicas, have, forgetful, 0, lists)
	if len(forgetful) > len(avoid) {
		out = append(out, u.choose(keyOfChunk(id), id, replicas, slices.Concat(have, out), avoid, 0, lists)...)
	}
	return out
}

// choose is draw, with nodes that have lost this chunk over and over only when there are no others.
func (u *memberships) choose(key chunkKey, id inos.ChunkID, replicas uint32, have, avoid []inos.NodeID, bytes uint64, lists [][]bool) []inos.NodeID {
	forgetful := u.k.losses.relapses.avoided(u.now().placement.nodes, id)
	if len(forgetful) == 0 {
		return u.draw(key, id, replicas, have, avoid, bytes, lists)
	}
	out := u.draw(key, id, replicas, have, slices.Concat(avoid, forgetful), bytes, lists)
	return append(out, u.draw(key, id, replicas, slices.Concat(have, out), avoid, bytes, lists)...)
}

// draw draws nodes of the lists of candidates, of one list after the other.
func (u *memberships) draw(key chunkKey, id inos.ChunkID, replicas uint32, have, avoid []inos.NodeID, bytes uint64, lists [][]bool) (out []inos.NodeID) {
	if replicas == 0 {
		return nil
	}
	p := u.now().placement
	level := p.Level(int(replicas))
	t := &occupied{}
	var at []int
	for _, node := range have {
		if i, ok := p.index[node]; ok {
			at = append(at, i)
			p.take(t, level, i)
		}
	}
	missing := int(p.lacking(at, replicas))
	for _, node := range avoid {
		if i, ok := p.index[node]; ok {
			t.nodes = append(t.nodes, i)
		}
	}
	if len(u.k.losses.table) > 0 {
		for i, n := range p.nodes {
			if u.k.losses.holds(n.ID, id) {
				t.nodes = append(t.nodes, i)
			}
		}
	}
	for _, ok := range lists {
		if missing <= 0 {
			break
		}
		if bytes > roomPerNode {
			ok = slices.Clone(ok)
			for i := range ok {
				ok[i] = ok[i] && u.room(u.prepared.members[i]) >= bytes
			}
		}
		chosen := p.choose(nil, key, level, int(replicas), missing, t, ok)
		missing -= len(chosen)
		out = append(out, chosen...)
	}
	return out
}

// possible says that a chunk which those nodes hold could be in more domains, of some level of which it lacks one, if all members that take
// copies and are not given up could be written to now.
func (u *memberships) possible(have []inos.NodeID, replicas uint32) bool {
	all := slices.Clone(have)
	for _, m := range u.now().members {
		if m.stays() {
			all = append(all, m.id())
		}
	}
	p := u.now().placement
	return p.helps(p.indices(have), p.indices(all), replicas)
}

// lacking returns how many copies a chunk that those nodes hold lacks: of so many at their level, and of as many as there are domains at
// the wider levels. A file of fewer replicas may have the same chunk, and spreads at a wider level.
func (u *memberships) lacking(nodes []inos.NodeID, replicas uint32) uint32 {
	p := u.now().placement
	return p.lacking(p.indices(nodes), replicas)
}

// widens says that a node is in a zone in which none of the others is.
func (u *memberships) widens(nodes []inos.NodeID, node inos.NodeID) bool {
	p := u.now().placement
	return p.distinct(levelZone, p.indices(append(slices.Clone(nodes), node))) > p.distinct(levelZone, p.indices(nodes))
}

// distinct returns in how many domains the nodes are, at the level at which so many replicas spread.
func (u *memberships) distinct(nodes []inos.NodeID, replicas uint32) uint32 {
	p := u.now().placement
	return p.distinct(p.Level(int(replicas)), p.indices(nodes))
}

// domain names the domain of a node at the level at which so many replicas spread.
func (u *memberships) domain(node inos.NodeID, replicas uint32) string {
	m := u.table[node]
	if m == nil {
		return string(node)
	}
	switch u.now().placement.Level(int(replicas)) {
	case levelZone:
		return m.row.Zone
	case levelHost:
		return m.row.Zone + "/" + m.row.Host
	}
	return string(node)
}

// level names the level at which so many replicas spread: zone, host or process.
func (u *memberships) level(replicas uint32) string {
	return levelNames[u.now().placement.Level(int(replicas))]
}

// domains returns how many domains the mesh has at the level at which so many replicas spread, and in how many of them a copy can be
// written now.
func (u *memberships) domains(replicas uint32) (all, open uint32) {
	return u.count(replicas, u.candidates().crowded)
}

// count returns how many domains the mesh has at a level, and in how many of them there are candidates.
func (u *memberships) count(replicas uint32, candidates []bool) (all, open uint32) {
	p := u.now().placement
	level := p.Level(int(replicas))
	var at []int
	for i, ok := range candidates {
		if ok {
			at = append(at, i)
		}
	}
	return p.counts[level], p.distinct(level, at)
}

// quorum returns the number of domains that have to hold a file before it is acknowledged: sync when asked for by name, else two or
// as many as there are. CodeReplicasUnreachable for what the mesh can never do, CodeQuorumLost while too few are alive; whoever asks names the operation.
func (u *memberships) quorum(replicas, sync uint32) (uint32, *inos.Error) {
	return u.quorumOf(replicas, sync, u.candidates().crowded)
}

// recordQuorum is quorum for a change that stores nothing but its commit record.
func (u *memberships) recordQuorum(replicas uint32) (uint32, *inos.Error) {
	return u.quorumOf(replicas, 0, u.candidates().full)
}

func (u *memberships) quorumOf(replicas, sync uint32, candidates []bool) (uint32, *inos.Error) {
	all, open := u.count(max(replicas, sync), candidates)
	want := min(replicas, 2, all)
	if sync > 0 {
		if want = sync; sync > all {
			return 0, inos.Errorf(inos.CodeReplicasUnreachable, "", "%d domains are to be waited for, the mesh has %s", sync, u.counted(all, max(replicas, sync)))
		}
	}
	if want = max(want, 1); want > open {
		err := again(inos.Errorf(inos.CodeQuorumLost, "", "%d domains have to hold the file, a copy can be written in %d of %s", want, open, u.counted(all, max(replicas, sync))))
		return 0, err
	}
	return want, nil
}

// reachable refuses a number of replicas, asked for by name, for which the mesh has too few domains.
func (u *memberships) reachable(replicas uint32) *inos.Error {
	if all, _ := u.domains(replicas); replicas > all {
		return inos.Errorf(inos.CodeReplicasUnreachable, "", "%d replicas are asked for, the mesh has %s", replicas, u.counted(all, replicas))
	}
	return nil
}

// counted says a number of domains for a person.
func (u *memberships) counted(n, replicas uint32) string {
	switch u.level(replicas) {
	case levelNames[levelZone]:
		return plural(uint64(n), "zone", "zones")
	case levelNames[levelHost]:
		return plural(uint64(n), "machine", "machines")
	}
	return plural(uint64(n), "process", "processes")
}

// survives says for a person what so many domains of a level are worth.
func (u *memberships) survives(domains, replicas uint32) string {
	all, _ := u.domains(replicas)
	process := u.level(replicas) == levelNames[levelProcess]
	switch {
	case domains == 0:
		return "survives nothing: no node holds all of it"
	case domains == 1 && all <= 1:
		return "survives a crash of the node, not the loss of its disk"
	case domains == 1:
		return "survives a crash of its node, not the loss of it"
	case process && domains == 2:
		return "survives a process, not this machine"
	case process:
		return "survives " + strconv.FormatUint(uint64(domains-1), 10) + " processes, not this machine"
	}
	return "survives the loss of " + strconv.FormatUint(uint64(domains-1), 10) + " of " + u.counted(all, replicas)
}

// degraded says for a person why files of so many replicas have fewer; empty when they need not.
func (u *memberships) degraded(replicas uint32) string {
	all, open := u.domains(replicas)
	n := strconv.FormatUint(uint64(replicas), 10)
	switch {
	case len(u.all()) == 0:
		return "degraded: no provider has joined: nothing can be stored"
	case all <= 1:
		return "degraded: one node, replication factor 1 of " + n + ": files survive a crash of the node, not the loss of its disk"
	case all < replicas:
		return "degraded: the mesh has " + u.counted(all, replicas) + ", replication factor " + strconv.FormatUint(uint64(all), 10) + " of " + n
	case open < replicas:
		return "degraded: a copy can be written in " + strconv.FormatUint(uint64(open), 10) + " of " + u.counted(all, replicas) + ", files want " + n
	case u.level(replicas) == levelNames[levelProcess]:
		return "degraded: one machine: files survive a process, not this machine"
	}
	return ""
}

// rank orders the nodes that hold a chunk for reading: alive before suspect, trusted before not, near, little loaded and fast
// first. Dead ones come last.
func (u *memberships) rank(copies []*eventpb.Copy) (out []inos.NodeID) {
	type ranked struct {
		node inos.NodeID
		key  [5]uint64
	}
	var list []ranked
	for _, c := range copies {
		r := ranked{node: inos.NodeID(c.Node)}
		m := u.member(r.node)
		if m == nil {
			m = &member{row: &eventpb.Member{}, state: liveDead}
		}
		switch {
		case m.state == liveAlive && m.failures < muteFailures:
		case m.state == liveSuspect:
			r.key[0] = 1
		case m.state != liveDead:
			r.key[0] = 2
		default:
			r.key[0] = 3
		}
		if !c.Trusted {
			r.key[1] = 1
		}
		if r.key[2] = 3; r.node == u.k.self() {
			r.key[2] = 0
		} else if m.row.Zone == u.k.node.zone {
			if r.key[2] = 2; m.row.Host == u.k.node.host {
				r.key[2] = 1
			}
		}
		r.key[3] = uint64(m.calls) + uint64(m.load)/4
		if m.busyTill > u.k.now {
			r.key[3] += servingMax
		}
		r.key[4] = uint64(m.latency.percentile(50))
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b ranked) int {
		for i := range a.key {
			if c := cmp.Compare(a.key[i], b.key[i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(a.node, b.node)
	})
	for _, r := range list {
		out = append(out, r.node)
	}
	return out
}

// hedge returns how long to wait for a node's answer before another is asked too.
func (u *memberships) hedge(node inos.NodeID) inos.Micros {
	m := u.table[node]
	if m == nil || m.latency.count < hedgeSamples {
		return hedgeDefault
	}
	return min(max(m.latency.percentile(95), hedgeMin), hedgeMax)
}

// complain notes that a node's bytes of a chunk did not verify: its copy is audited.
func (u *memberships) complain(node inos.NodeID, id inos.ChunkID) {
	if m := u.member(node); m != nil {
		m.complaints++
		u.k.challenges.complained(node, id)
	}
}
