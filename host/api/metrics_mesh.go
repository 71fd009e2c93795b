package api

import (
	"cmp"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// meshMetrics adds what a switchboard knows of its mesh. A list that cannot be had is left out, so that the rest of the
// scrape tells why.
func (x *exchange) meshMetrics(e *exposition, s *Status) {
	e.single("inos_members", "gauge", "Members of the mesh.", float64(s.Members))
	e.single("inos_members_alive", "gauge", "Members whose heartbeats come.", float64(s.MembersAlive))
	e.single("inos_repairs_queued", "gauge", "Chunks that wait for repair.", float64(s.Repairs))
	e.single("inos_commit_records_pending", "gauge", "Versions whose commit record is not on all of its nodes.", float64(s.RecordsPending))
	if list, ok := x.measured(); ok {
		memberMetrics(e, list)
	}
	var repairs eventpb.RepairsListReply
	if x.ask(event.RepairsList, &eventpb.RepairsListRequest{Limit: 1}, &repairs) == nil {
		r := repairsOf(&repairs)
		e.single("inos_repairs_done_total", "counter", "Chunks brought back to their replicas.", float64(r.Done))
		e.single("inos_repair_bytes_total", "counter", "Bytes that repair has copied.", float64(r.Bytes))
		e.single("inos_copies_trimmed_total", "counter", "Surplus copies taken away.", float64(r.Trimmed))
		e.single("inos_repair_bytes_per_second", "gauge", "Rate of repair now.", float64(r.BytesPerSecond))
		e.single("inos_repair_bytes_per_second_max", "gauge", "The share that repair may take now.", float64(r.BytesPerSecondMax))
	}
}

// measured walks the pages of the members and returns those that metrics tell apart: of a large mesh the ones that need an operator first.
func (x *exchange) measured() (*NodesReply, bool) {
	var list NodesReply
	for after := ""; ; {
		var reply eventpb.NodesListReply
		if x.ask(event.NodesList, &eventpb.NodesListRequest{After: after}, &reply) != nil || reply.Next != "" && reply.Next <= after {
			return nil, false
		}
		page := NodesOf(&reply)
		if after == "" {
			list.Domains = page.Domains
		}
		list.Nodes = append(list.Nodes, slices.DeleteFunc(page.Nodes, func(n NodeInfo) bool { return n.State == inos.MemberRemoved.String() })...)
		slices.SortStableFunc(list.Nodes, func(a, b NodeInfo) int {
			return cmp.Compare(truth(a.Liveness == "alive"), truth(b.Liveness == "alive"))
		})
		list.Nodes = list.Nodes[:min(len(list.Nodes), nodesMeasuredMax)]
		if after = reply.Next; after == "" {
			return &list, true
		}
	}
}

// memberMetrics writes a sample for each member.
func memberMetrics(e *exposition, r *NodesReply) {
	e.single("inos_domains_alive", "gauge", "Failure domains alive, at the level that files spread over.", float64(r.Domains))
	nodes := r.Nodes
	e.family("inos_member_up", "gauge", "Whether a member's heartbeats come.")
	for i := range nodes {
		n := &nodes[i]
		e.sample("inos_member_up", truth(n.Liveness == "alive"), "node", n.Node, "zone", n.Zone, "host", n.Host, "tier", n.Tier, "state", n.State, "liveness", n.Liveness)
	}
	for _, m := range []struct {
		name, kind, help string
		value            func(*NodeInfo) float64
	}{
		{"inos_member_offered_bytes", "gauge", "Bytes that a member was granted to hold.", func(n *NodeInfo) float64 { return float64(n.OfferedBytes) }},
		{"inos_member_placed_bytes", "gauge", "Bytes of the copies that the map places on a member.", func(n *NodeInfo) float64 { return float64(n.PlacedBytes) }},
		{"inos_member_copies", "gauge", "Copies that the map places on a member.", func(n *NodeInfo) float64 { return float64(n.Copies) }},
		{"inos_member_copies_unchecked", "gauge", "Copies of a member that are not trusted yet.", func(n *NodeInfo) float64 { return float64(n.Unchecked) }},
		{"inos_member_audits_passed_total", "counter", "Challenges that a member has passed.", func(n *NodeInfo) float64 { return float64(n.AuditsPassed) }},
		{"inos_member_audits_failed_total", "counter", "Challenges that a member has failed.", func(n *NodeInfo) float64 { return float64(n.AuditsFailed) }},
		{"inos_member_complaints_total", "counter", "Reads of a member that did not verify.", func(n *NodeInfo) float64 { return float64(n.Complaints) }},
		{"inos_member_call_seconds", "gauge", "Median latency of calls to a member.", func(n *NodeInfo) float64 { return float64(n.LatencyUs) / 1e6 }},
	} {
		e.family(m.name, m.kind, m.help)
		for i := range nodes {
			e.sample(m.name, m.value(&nodes[i]), "node", nodes[i].Node)
		}
	}
}
