package kernel

import (
	"fmt"
	"strconv"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// mend does the commands about members and repairs:
//
//	pass time=D [quiet]                         time goes by: nodes that are up beat every five seconds, all effects end; writes the
//	                                            history but for clients' requests
//	join node=N host=H [operator=O] [zone=Z] [expired]   a newcomer shows its invite
//	member node=N state=1|2|3                   an operator sets a member's state
//	members    queue                            what nodes:list and repairs:list answer
//	whole [replicas=N]                          checks that every chunk that is wanted has so many copies on disks that are up
func (s *script) mend(verb string, args map[string]string, has func(string) bool) bool {
	w := s.w
	switch verb {
	case "pass":
		d, err := time.ParseDuration(args["time"])
		if err != nil {
			panic(err)
		}
		s.pass(inos.Micros(d.Microseconds()), has("quiet"))
	case "join":
		w.addDisk(args["node"])
		i := &eventpb.Invite{Id: "invite of " + args["node"], Operator: "ann", Zone: "home", Host: args["host"], Tier: "cold", OfferedBytes: 1 << 40, ExpiresUs: int64(w.now + inos.Hour)}
		if has("operator") {
			i.Operator = args["operator"]
		}
		if has("zone") {
			i.Zone = args["zone"]
		}
		if has("expired") {
			i.ExpiresUs = int64(w.now - 1)
		}
		if has("same") {
			i.Id = args["same"]
		}
		inner := &eventpb.Envelope{Id: w.newID(), EventType: event.NodeJoin, Timestamp: int64(w.now), Payload: event.Payload(&eventpb.NodeJoinRequest{})}
		s.give(w.host(event.MeshServe, &eventpb.MeshServeRequest{Peer: args["node"], Envelope: event.Encode(nil, inner), Invite: event.Payload(i)}))
	case "member":
		n, _ := strconv.Atoi(args["state"])
		s.give(w.request("t", event.NodesSet, &eventpb.NodesSetRequest{Node: args["node"], State: uint32(n)}))
	case "members", "queue":
		e := w.request("t", event.NodesList, nil)
		if verb == "queue" {
			e = w.request("t", event.RepairsList, nil)
		}
		w.give(e)
		for reply, _ := w.last(e.Id); reply == nil; reply, _ = w.last(e.Id) {
			w.finish(len(w.pending) - 1)
		}
		reply, _ := w.last(e.Id)
		var nodes eventpb.NodesListReply
		var repairs eventpb.RepairsListReply
		if verb == "queue" {
			w.open(reply, &repairs)
			s.lines = append(s.lines, fmt.Sprintf("%d queued, %d copies made, %d bytes, %d trimmed", repairs.Total, repairs.Done, repairs.Bytes, repairs.Trimmed))
			for _, r := range repairs.Repairs {
				s.lines = append(s.lines, fmt.Sprintf("  %x %s live=%d tries=%d", r.ChunkId[:4], r.Reason, r.Live, r.Tries))
			}
			break
		}
		w.open(reply, &nodes)
		s.lines = append(s.lines, fmt.Sprintf("level %s, %d domains: %s", nodes.Level, nodes.Domains, nodes.Survives))
		s.lines = append(s.lines, fmt.Sprintf("stored, %d short: %s", nodes.ChunksShort, nodes.Stored))
		for _, n := range nodes.Nodes {
			s.lines = append(s.lines, fmt.Sprintf("  %s %s %s passed=%t failed=%d %s", n.Member.Node, inos.MemberState(n.Member.State), n.Liveness, n.AuditsPassed > 0, n.AuditsFailed, n.Notice))
		}
	case "whole":
		want, _ := strconv.Atoi(args["replicas"])
		for _, id := range sortedKeys(w.rows) {
			if w.wantedOf(id) == 0 {
				continue
			}
			up := 0
			for _, node := range w.where(id) {
				if d := w.diskOf(node); !d.down && w.rows[id].copies[node] != nil && w.rows[id].copies[node].epoch == w.epochOf(node) {
					up++
				}
			}
			if up != want {
				s.lines = append(s.lines, fmt.Sprintf("  %s has %d copies: on %v", chunkName(w.ever[id]), up, w.where(id)))
			}
		}
	default:
		return false
	}
	return true
}

// pass lets time go by.
func (s *script) pass(d inos.Micros, quiet bool) {
	w := s.w
	before, end := len(w.history), w.now+d
	beat := w.now
	for {
		if !w.run(100000) {
			w.problem("work does not end")
			return
		}
		next := end
		if w.wake != 0 {
			next = min(next, max(w.wake, w.now+1))
		}
		if beat <= next {
			w.now = max(w.now, beat)
			for _, node := range sortedKeys(w.others) {
				if !w.others[node].down && w.members[node] != nil && w.members[node].State != uint32(inos.MemberRemoved) {
					w.beat(node)
				}
			}
			beat = w.now + 5*inos.Second
			continue
		}
		if next >= end {
			break
		}
		w.tick(next)
	}
	w.tick(end)
	if !w.run(100000) {
		w.problem("work does not end")
	}
	for _, e := range w.history[before:] {
		if !quiet && e.Subject == "" && e.Detail != "" {
			s.lines = append(s.lines, "  "+e.EventType+" "+e.Detail)
		}
	}
}
