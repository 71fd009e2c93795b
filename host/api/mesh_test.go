package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// set is the double's answer to a change of replicas.
func (d *double) set(e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.FilesSetRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.files[q.Path]
	if !ok {
		return nil, inos.Errorf(inos.CodeFileNotFound, "semantic:set_replicas", "operator has no %s", q.Path)
	}
	s.info.Version++
	s.info.ReplicasWanted = q.Replicas
	d.files[q.Path] = s
	return &eventpb.FilesSetReply{File: &s.info}, nil
}

// mesh is the double's answer to questions about the mesh.
func (d *double) mesh(e *eventpb.Envelope) (event.Message, error) {
	member := &eventpb.Member{
		Node: "n1", Operator: "me", Zone: "attic", Host: "nas", Tier: "cold", OfferedBytes: 1 << 40, Addrs: []string{"/ip4/192.0.2.1/tcp/7771"},
		JoinedUs: 5, State: uint32(inos.MemberActive), Epoch: 2, Copies: 7, PlacedBytes: 700,
	}
	switch e.EventType {
	case event.NodesSet:
		var q eventpb.NodesSetRequest
		if err := event.Open(e, &q); err != nil {
			return nil, err
		}
		if q.Node != member.Node {
			return nil, inos.Errorf(inos.CodeNodeUnknown, "nodes:set", "%s", q.Node)
		}
		member.State = q.State
		return &eventpb.NodesSetReply{Member: member}, nil
	case event.NodesInvite:
		var q eventpb.NodesInviteRequest
		if err := event.Open(e, &q); err != nil {
			return nil, err
		}
		q.Invite.Id = "i1"
		return &eventpb.NodesInviteReply{Text: "inos-invite-x", Invite: q.Invite}, nil
	case event.RepairsList:
		return &eventpb.RepairsListReply{
			Repairs: []*eventpb.RepairInfo{{ChunkId: make([]byte, 32), Reason: "dead node", Live: 1, AddedUs: 3, Tries: 2, Lease: 9, LeaseUntilUs: 11, Holder: "n1"}},
			Total:   4, Done: 10, Bytes: 1000, Trimmed: 1, BytesPerSecond: 50, BytesPerSecondMax: 100, EtaUs: 6, Scanning: true,
		}, nil
	}
	var q eventpb.NodesListRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	if q.After == "n2" {
		return &eventpb.NodesListReply{Nodes: []*eventpb.NodeInfo{{Member: &eventpb.Member{Node: "n3", State: uint32(inos.MemberDraining)}, Liveness: "suspect"}}}, nil
	}
	return &eventpb.NodesListReply{
		Nodes: []*eventpb.NodeInfo{
			{
				Member: member, Liveness: "alive", SeenUs: 8, Usage: &eventpb.ContentUsage{Chunks: 6, UsedBytes: 600, Records: 2}, InFlight: 1,
				AuditsPassed: 20, AuditsFailed: 1, Complaints: 3, LatencyUs: 1500, Notice: "returning", Self: true, Version: "v1", Unchecked: 4,
			},
			{Member: &eventpb.Member{Node: "n2", State: uint32(inos.MemberRemoved)}, Liveness: "dead"},
		},
		Next: "n2", Level: "host", Domains: 2, Survives: "one host",
	}, nil
}

func TestMeshOverTheClient(t *testing.T) {
	d, s := serve(t, Options{})
	c := connect(t, s, operatorSecret)
	ctx := context.Background()
	nodes, err := c.Nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := NodeInfo{
		Member: Member{
			Node: "n1", Operator: "me", Zone: "attic", Host: "nas", Tier: "cold", OfferedBytes: 1 << 40, Addrs: []string{"/ip4/192.0.2.1/tcp/7771"},
			JoinedUs: 5, State: "active", Epoch: 2, Copies: 7, PlacedBytes: 700,
		},
		Liveness: "alive", SeenUs: 8, Content: nodes.Nodes[0].Content, InFlight: 1, AuditsPassed: 20, AuditsFailed: 1, Complaints: 3,
		LatencyUs: 1500, Notice: "returning", Self: true, Version: "v1", Unchecked: 4,
	}
	if got := nodes.Nodes[0]; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || *got.Content != (Content{Chunks: 6, UsedBytes: 600, Records: 2}) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if nodes.Level != "host" || nodes.Domains != 2 || nodes.Survives != "one host" || nodes.Next != "" || len(nodes.Nodes) != 3 || nodes.Nodes[1].State != "removed" || nodes.Nodes[2].Content != nil {
		t.Errorf("%+v", nodes)
	}
	if page, err := c.NodesPage(ctx, "n2", 1); err != nil || len(page.Nodes) != 1 || page.Nodes[0].Node != "n3" || page.Next != "" {
		t.Errorf("%+v (%v)", page, err)
	}
	for _, query := range []string{"limit=129", "limit=x", "after=../x", "first=n1"} {
		wantCode(t, c.callJSON(ctx, "GET", "/v1/nodes?"+query, &nodes), inos.CodeBadRequest)
	}
	m, err := c.SetNode(ctx, "n1", inos.MemberDraining)
	if err != nil || m.State != "draining" {
		t.Errorf("%+v %v", m, err)
	}
	_, err = c.SetNode(ctx, "n9", inos.MemberDraining)
	wantCode(t, err, inos.CodeNodeUnknown)
	for _, bad := range []inos.NodeID{"", "../status", "n1?x", inos.NodeID(strings.Repeat("x", nodeIDMax+1))} {
		_, err = c.SetNode(ctx, bad, inos.MemberActive)
		wantCode(t, err, inos.CodeBadRequest)
	}
	repairs, err := c.Repairs(ctx, 10)
	if err != nil || len(repairs.Repairs) != 1 {
		t.Fatalf("%+v %v", repairs, err)
	}
	first := repairs.Repairs[0]
	repairs.Repairs = nil
	if got, want := fmt.Sprintf("%+v", repairs), fmt.Sprintf("%+v", RepairsReply{
		Total: 4, Done: 10, Bytes: 1000, Trimmed: 1, BytesPerSecond: 50, BytesPerSecondMax: 100, ETAUs: 6, Scanning: true,
	}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if want := (Repair{ChunkID: strings.Repeat("0", 64), Reason: "dead node", Live: 1, AddedUs: 3, Tries: 2, LeaseUntilUs: 11, Holder: "n1"}); first != want {
		t.Errorf("%+v, want %+v", first, want)
	}
	var q eventpb.RepairsListRequest
	if err := event.Open(d.last(event.RepairsList), &q); err != nil || q.Limit != 10 {
		t.Errorf("limit %d, %v", q.Limit, err)
	}
}

func TestInvite(t *testing.T) {
	now := time.UnixMicro(1_700_000_000_000_000)
	_, s := serve(t, Options{Now: func() time.Time { return now }})
	c := connect(t, s, operatorSecret)
	question := InviteQuestion{Operator: "eve", Zone: "garage", Host: "nas", Tier: "cold", OfferedBytes: 9}
	got, err := c.Invite(context.Background(), question)
	if err != nil || got.Text != "inos-invite-x" {
		t.Fatalf("%+v %v", got, err)
	}
	want := Invite{ID: "i1", Operator: "eve", Zone: "garage", Host: "nas", Tier: "cold", OfferedBytes: 9, ExpiresUs: now.UnixMicro() + int64(inos.Day), Switchboards: []string{}}
	if fmt.Sprintf("%+v", got.Invite) != fmt.Sprintf("%+v", want) {
		t.Errorf("%+v, want %+v", got.Invite, want)
	}
	if a := call(t, s, "POST", "/v1/invites", `{"zone":"z","host":"h","tier":"hot","offered_bytes":1,"life_us":60000000}`); a.status != 201 || a.header.Get("Cache-Control") != "no-store" ||
		!strings.Contains(a.body, fmt.Sprint(now.UnixMicro()+60_000_000)) {
		t.Errorf("%+v", a)
	}
	for name, change := range map[string]func(*InviteQuestion){
		"no zone": func(q *InviteQuestion) { q.Zone = "" }, "no host": func(q *InviteQuestion) { q.Host = "" }, "tier": func(q *InviteQuestion) { q.Tier = "warm" },
		"no bytes": func(q *InviteQuestion) { q.OfferedBytes = 0 }, "too many bytes": func(q *InviteQuestion) { q.OfferedBytes = 1 << 63 },
		"past": func(q *InviteQuestion) { q.LifeUs = -1 }, "for ever": func(q *InviteQuestion) { q.LifeUs = int64(inviteLifeMax) + 1 },
		"control": func(q *InviteQuestion) { q.Zone = "a\x1b[2J" }, "long": func(q *InviteQuestion) { q.Host = strings.Repeat("h", labelBytesMax+1) },
		"not UTF-8": func(q *InviteQuestion) { q.Operator = "\xff" },
	} {
		q := question
		change(&q)
		if _, err := c.Invite(context.Background(), q); inos.CodeOf(err) != inos.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
		raw, _ := json.Marshal(q)
		if a := call(t, s, "POST", "/v1/invites", string(raw)); a.status != 400 && name != "not UTF-8" { // JSON replaces that
			t.Errorf("%s: the node answers %d", name, a.status)
		}
	}
}

func TestSetReplicas(t *testing.T) {
	d, s := serve(t, Options{})
	c := connect(t, s, operatorSecret)
	ctx := context.Background()
	if _, err := c.Put(ctx, "/a b", strings.NewReader("x"), 1, PutOptions{}); err != nil {
		t.Fatal(err)
	}
	id := newID(time.Now())
	got, err := c.SetReplicas(ctx, "/a b", 5, id)
	if err != nil || got.Version != 2 || got.ReplicasWanted != 5 || got.TraceID == "" {
		t.Errorf("%+v %v", got, err)
	}
	if e := d.last(event.FilesSet); e.Id != id {
		t.Errorf("the request's id is %s, want %s", e.Id, id)
	}
	_, err = c.SetReplicas(ctx, "/none", 2, "")
	wantCode(t, err, inos.CodeFileNotFound)
	if !strings.Contains(err.Error(), `files:set: no file "/none"`) {
		t.Error(err)
	}
	if a := call(t, s, "PATCH", "/v1/files/a%20b", `{"replicas":2}`, "If-Match", `"0000"`); a.status != 412 {
		t.Errorf("%+v", a)
	}
	for _, body := range []string{"", "{", `{"replicas":0}`, `{"replicas":256}`, `{"replicas":-1}`, `{"replicas":2}{}`, `{"replica":2}`, `[]`, `{"replicas":"2"}`} {
		if a := call(t, s, "PATCH", "/v1/files/a%20b", body); a.status != 400 || a.problem(t).Code != "bad_request" {
			t.Errorf("%q: %+v", body, a)
		}
	}
	if a := call(t, s, "PATCH", "/v1/files/a%20b", `{"replicas":2}`, "Content-Type", "text/plain"); a.status != 400 {
		t.Errorf("%+v", a)
	}
	if a := call(t, s, "PATCH", "/v1/files/a%20b", `{"replicas":2}`+strings.Repeat(" ", questionBytesMax)); a.status != 413 {
		t.Errorf("%+v", a)
	}
}

// A provider decides nothing, and a mesh that has lost its quorum says when to come again.
func TestMeshRefusals(t *testing.T) {
	d, s := serve(t, Options{})
	var refusal error
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		return event.Failed(e, 1, refusal), nil
	}
	refusal = inos.Errorf(inos.CodeNotSwitchboard, "nodes:list", "this node is a provider")
	for _, c := range [][2]string{{"GET", "/v1/nodes"}, {"GET", "/v1/repairs"}, {"GET", "/v1/files"}} {
		if a := call(t, s, c[0], c[1], ""); a.status != 421 || a.problem(t).Code != "not_switchboard" {
			t.Errorf("%v: %+v", c, a)
		}
	}
	for _, code := range []inos.Code{inos.CodeQuorumLost, inos.CodePeerUnreachable} {
		refusal = inos.Errorf(code, "files:put", "1 of 2 domains is alive")
		if a := call(t, s, "DELETE", "/v1/files/a", ""); a.status != 503 || a.header.Get("Retry-After") != "5" {
			t.Errorf("%+v", a)
		}
	}
	refusal = &inos.Error{Code: inos.CodeQuorumLost, Op: "files:put", RetryAfter: 30 * inos.Second}
	if a := call(t, s, "DELETE", "/v1/files/a", ""); a.header.Get("Retry-After") != "30" {
		t.Errorf("%+v", a)
	}
}

func TestMeshMetricsAndStatus(t *testing.T) {
	d, s := serve(t, Options{})
	a := call(t, s, "GET", "/metrics", "")
	for _, want := range []string{
		"inos_members 2\n", "inos_members_alive 1\n", "inos_repairs_queued 4\n", "inos_commit_records_pending 5\n", "inos_domains_alive 2\n",
		`inos_member_up{node="n1",zone="attic",host="nas",tier="cold",state="active",liveness="alive"} 1`, `inos_member_audits_passed_total{node="n1"} 20`,
		`inos_member_copies{node="n1"} 7`, `inos_member_call_seconds{node="n1"} 0.0015`, `inos_member_up{node="n3"`, "inos_repairs_done_total 10\n", "inos_repair_bytes_total 1000\n",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %s in\n%s", want, a.body)
		}
	}
	if strings.Contains(a.body, `node="n2"`) {
		t.Error("a removed member is measured")
	}
	status, err := connect(t, s, operatorSecret).Status(context.Background())
	if err != nil || !status.Switchboard || !status.Provider || status.Members != 2 || status.MembersAlive != 1 || status.Repairs != 4 ||
		status.RecordsPending != 5 || status.Survives != "nothing" || status.Rebuild == nil || *status.Rebuild != (Rebuild{Records: 3, Refused: 1}) {
		t.Errorf("%+v %v", status, err)
	}
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		if e.EventType == event.NodeStatus {
			return nil, nil
		}
		return event.Failed(e, 1, inos.Errorf(inos.CodeBusy, "list", "x")), nil
	}
	if a := call(t, s, "GET", "/metrics", ""); a.status != 200 || !strings.Contains(a.body, "inos_members 2\n") || strings.Contains(a.body, "inos_member_up") {
		t.Errorf("%+v", a)
	}
}

func TestReceiptAndCopies(t *testing.T) {
	d, s := serve(t, Options{})
	c := connect(t, s, operatorSecret)
	ctx := context.Background()
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		if e.EventType != event.FilesVerify {
			return nil, nil
		}
		return event.Reply(e, event.StateCompleted, 1, event.Payload(&eventpb.FilesVerifyReply{Nodes: []*eventpb.NodeVerified{{Node: "n1", Chunks: 1, StoredBytes: 2, Bad: 3, Error: "gone"}}})), nil
	}
	if _, err := c.Put(ctx, "/a", strings.NewReader("x"), 1, PutOptions{}); err != nil {
		t.Fatal(err)
	}
	st, err := c.Stat(ctx, Ref{Path: "/a"}, 0, 5)
	if err != nil || st.Receipt == nil || st.Receipt.Level != "host" || len(st.Receipt.Domains) != 1 || st.Receipt.Wanted != 3 {
		t.Fatalf("%+v %v", st, err)
	}
	if want := (Copy{Node: "n1", Zone: "z", Host: "h", Tier: "cold", Liveness: "alive", Trusted: true, AuditedUs: 7}); len(st.ChunkList) != 1 || len(st.ChunkList[0].Copies) != 1 || st.ChunkList[0].Copies[0] != want {
		t.Errorf("%+v", st.ChunkList)
	}
	v, err := c.Verify(ctx, "", nil)
	if want := (NodeVerified{Node: "n1", VerifyCounts: VerifyCounts{Chunks: 1, StoredBytes: 2, Bad: 3}, Error: "gone"}); err != nil || len(v.Nodes) != 1 || v.Nodes[0] != want {
		t.Errorf("%+v %v", v, err)
	}
}

// A question is outside bytes: whatever comes is decoded or refused with a code, and an invite that passes grants
// something that can be signed.
func FuzzDecodeQuestion(f *testing.F) {
	for _, s := range []string{
		`{"zone":"z","host":"h","tier":"cold","offered_bytes":1}`, `{"state":"draining"}`, `{"replicas":3}`, `{"offered_bytes":1e999}`, "[[[[", `{"zone":"\u0000"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var invite InviteQuestion
		for _, out := range []any{&invite, &NodeQuestion{}, &FileQuestion{}} {
			if err := decodeQuestion(raw, out); err != nil && inos.CodeOf(err) != inos.CodeBadRequest {
				t.Errorf("%q: %v", raw, err)
			}
		}
		if invite.check() == nil && (invite.Zone == "" || invite.Host == "" || invite.OfferedBytes == 0 || strings.ContainsAny(invite.Zone+invite.Host, "\x00\n\x1b")) {
			t.Errorf("%q passed as %+v", raw, invite)
		}
	})
}
