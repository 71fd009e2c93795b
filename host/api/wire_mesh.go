package api

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Member is what a node of the mesh was granted, and what the map says of it.
type Member struct {
	Node         string   `json:"node"`
	Operator     string   `json:"operator"`
	Zone         string   `json:"zone"`
	Host         string   `json:"host"`
	Tier         string   `json:"tier"` // hot, cold
	OfferedBytes uint64   `json:"offered_bytes"`
	Addrs        []string `json:"addrs"` // multiaddresses it was last reached at
	JoinedUs     int64    `json:"joined_us"`
	State        string   `json:"state"` // active, draining, removed, unread
	Epoch        uint64   `json:"epoch"` // the life of its copies that is trusted
	Copies       uint64   `json:"copies"`
	PlacedBytes  uint64   `json:"placed_bytes"`
}

// NodeInfo is a member and how it is now.
type NodeInfo struct {
	Member
	Liveness     string   `json:"liveness"`          // alive, suspect, dead, never
	SeenUs       int64    `json:"seen_us"`           // last heartbeat; 0: none
	Content      *Content `json:"content,omitempty"` // as the node reports it
	InFlight     uint32   `json:"in_flight"`         // chunk calls that it serves
	AuditsPassed uint64   `json:"audits_passed"`
	AuditsFailed uint64   `json:"audits_failed"`
	Complaints   uint64   `json:"complaints"`       // reads of it that did not verify
	LatencyUs    int64    `json:"latency_us"`       // median of calls
	Notice       string   `json:"notice,omitempty"` // for a person
	Self         bool     `json:"self"`             // the node that answers
	Version      string   `json:"version"`
	Unchecked    uint64   `json:"unchecked"` // copies that are not trusted yet
}

// NodesReply is the mesh as its switchboard sees it: a page of its members, and on the first one what there is to say of the whole.
type NodesReply struct {
	Nodes    []NodeInfo `json:"nodes"`
	Next     string     `json:"next"`         // pass as after; empty at the end
	Level    string     `json:"level"`        // zone, host or process: what a file with the default replicas spreads over
	Domains  uint32     `json:"domains"`      // of that level, alive
	Survives string     `json:"survives"`     // a new file, for a person
	Stored   string     `json:"stored"`       // what the files that are stored survive now, for a person
	Short    uint64     `json:"chunks_short"` // that lack a copy
}

// InviteQuestion asks for an invite: what the newcomer is granted.
type InviteQuestion struct {
	Operator     string `json:"operator,omitempty"` // whose machine it is; empty: the mesh's operator
	Zone         string `json:"zone"`
	Host         string `json:"host"`
	Tier         string `json:"tier"`
	OfferedBytes uint64 `json:"offered_bytes"`
	LifeUs       int64  `json:"life_us,omitempty"` // how long it may be used; 0: a day
}

// Invite is what an invite grants.
type Invite struct {
	ID           string   `json:"id"`
	Operator     string   `json:"operator"`
	Zone         string   `json:"zone"`
	Host         string   `json:"host"`
	Tier         string   `json:"tier"`
	OfferedBytes uint64   `json:"offered_bytes"`
	ExpiresUs    int64    `json:"expires_us"`
	Switchboards []string `json:"switchboards"` // multiaddresses
}

// InviteReply is a signed invite: the text that a person hands on, once, and what it says.
type InviteReply struct {
	Text   string `json:"text"`
	Invite Invite `json:"invite"`
}

// NodeQuestion is what may be changed of a member.
type NodeQuestion struct {
	State string `json:"state"` // active, draining, removed
}

// FileQuestion is what may be changed of a file that is stored.
type FileQuestion struct {
	Replicas uint32 `json:"replicas"` // 1 to 255
}

// Repair is one chunk of the repair queue.
type Repair struct {
	ChunkID      string `json:"chunk_id"`
	Reason       string `json:"reason"` // for a person
	Live         uint32 `json:"live"`   // domains that hold it now; the fewest go first
	AddedUs      int64  `json:"added_us"`
	NotBeforeUs  int64  `json:"not_before_us,omitempty"`
	Tries        uint32 `json:"tries"`
	LeaseUntilUs int64  `json:"lease_until_us,omitempty"` // 0: nobody works on it
	Holder       string `json:"holder,omitempty"`         // who does
}

// RepairsReply is the head of the repair queue and how repair goes on. Counters begin with the switchboard's start.
type RepairsReply struct {
	Repairs           []Repair `json:"repairs"`
	Total             uint64   `json:"total"`   // queued
	Done              uint64   `json:"done"`    // chunks brought back to their replicas
	Bytes             uint64   `json:"bytes"`   // copied
	Trimmed           uint64   `json:"trimmed"` // surplus copies taken away
	BytesPerSecond    uint64   `json:"bytes_per_second"`
	BytesPerSecondMax uint64   `json:"bytes_per_second_max"` // the share that repair may take now
	ETAUs             int64    `json:"eta_us"`               // 0: not known
	Scanning          bool     `json:"scanning"`             // the map is being looked through
}

// memberStates are the names of the states of a member, which JSON uses.
var memberStates = map[string]inos.MemberState{
	inos.MemberActive.String(): inos.MemberActive, inos.MemberDraining.String(): inos.MemberDraining, inos.MemberRemoved.String(): inos.MemberRemoved,
}

func memberOf(m *eventpb.Member) Member {
	if m == nil {
		m = &eventpb.Member{}
	}
	return Member{
		Node: m.Node, Operator: m.Operator, Zone: m.Zone, Host: m.Host, Tier: m.Tier, OfferedBytes: m.OfferedBytes,
		Addrs: append([]string{}, m.Addrs...), JoinedUs: m.JoinedUs, State: inos.MemberState(m.State).String(), Epoch: m.Epoch, Copies: m.Copies,
		PlacedBytes: m.PlacedBytes,
	}
}

// NodesOf returns a list of nodes as JSON shows it.
func NodesOf(r *eventpb.NodesListReply) NodesReply {
	out := NodesReply{Nodes: make([]NodeInfo, len(r.Nodes)), Level: r.Level, Domains: r.Domains, Survives: r.Survives, Stored: r.Stored, Short: r.ChunksShort, Next: r.Next}
	for i, n := range r.Nodes {
		out.Nodes[i] = NodeInfo{
			Member: memberOf(n.Member), Liveness: n.Liveness, SeenUs: n.SeenUs, InFlight: n.InFlight, AuditsPassed: n.AuditsPassed,
			AuditsFailed: n.AuditsFailed, Complaints: n.Complaints, LatencyUs: n.LatencyUs, Notice: n.Notice, Self: n.Self, Version: n.Version,
			Unchecked: n.Unchecked,
		}
		if n.Usage != nil {
			c := contentOf(n.Usage)
			out.Nodes[i].Content = &c
		}
	}
	return out
}

func inviteOf(r *eventpb.NodesInviteReply) InviteReply {
	i := r.Invite
	if i == nil {
		i = &eventpb.Invite{}
	}
	return InviteReply{Text: r.Text, Invite: Invite{
		ID: i.Id, Operator: i.Operator, Zone: i.Zone, Host: i.Host, Tier: i.Tier, OfferedBytes: i.OfferedBytes, ExpiresUs: i.ExpiresUs,
		Switchboards: append([]string{}, i.Switchboards...),
	}}
}

func repairsOf(r *eventpb.RepairsListReply) RepairsReply {
	out := RepairsReply{
		Repairs: make([]Repair, len(r.Repairs)), Total: r.Total, Done: r.Done, Bytes: r.Bytes, Trimmed: r.Trimmed,
		BytesPerSecond: r.BytesPerSecond, BytesPerSecondMax: r.BytesPerSecondMax, ETAUs: r.EtaUs, Scanning: r.Scanning,
	}
	for i, p := range r.Repairs {
		out.Repairs[i] = Repair{
			ChunkID: hash(p.ChunkId), Reason: p.Reason, Live: p.Live, AddedUs: p.AddedUs, NotBeforeUs: p.NotBeforeUs, Tries: p.Tries,
			LeaseUntilUs: p.LeaseUntilUs, Holder: p.Holder,
		}
	}
	return out
}
