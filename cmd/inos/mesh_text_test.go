package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

const (
	nodeA = "12D3KooWAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAaaaaaaaa"
	nodeB = "12D3KooWAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAbbbbbbbb"
	nodeC = "12D3KooWAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAcccccccc"
)

// meshApp is an app whose data folder names one node, printing into a buffer.
func meshApp(t *testing.T, width int) (*app, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	raw, err := json.Marshal(nodeNames{nodeA: "provider-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, namesFile), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	return &app{data: dir, stdout: &out, stderr: &out, width: width}, &out
}

func meshNodes() []api.NodeInfo {
	return []api.NodeInfo{
		{
			Member:   api.Member{Node: nodeA, Zone: "home", Host: "box", Tier: "cold", State: "active", OfferedBytes: 1 << 40, PlacedBytes: 5 << 30, Copies: 9},
			Liveness: "alive", Content: &api.Content{UsedBytes: 6 << 30}, AuditsPassed: 1234, AuditsFailed: 1, LatencyUs: 1500, Complaints: 2, Self: true,
		},
		{Member: api.Member{Node: nodeB, Zone: "home", Host: "nas", Tier: "hot", State: "draining"}, Liveness: "dead", SeenUs: 1, Notice: "draining: 12 copies left", Unchecked: 4},
		{Member: api.Member{Node: nodeC, Zone: "home", Host: "box", Tier: "hot", State: "removed"}, Liveness: "never"},
	}
}

func TestPrintNodes(t *testing.T) {
	a, out := meshApp(t, 0)
	r := &api.NodesReply{Nodes: meshNodes(), Level: "process", Domains: 1, Survives: "survives a process, not this machine", Stored: "5 chunks lack a copy", Short: 5}
	r.Nodes[1].Notice = "draining: 12 copies left; no other node takes 12 chunks: …aaaaaaaa (home/box) is full"
	if err := a.printNodes(r, false, time.UnixMicro(61_000_001)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"provider-1 *  cold  home/box   active    alive      5.00 GiB  6.00 GiB  1.00 TiB  1,234 passed, 1 failed  1.5 ms",
		"…bbbbbbbb     hot   home/nas   draining  dead 1m1s  0 B       –         0 B       –                       –",
		"  provider-1: 2 reads of it did not verify", "  …bbbbbbbb: draining: 12 copies left; no other node takes 12 chunks: provider-1 is full",
		"1 of 2 nodes alive; a file spreads over processes, 1 alive", "stored    5 chunks lack a copy\nnew file  survives a process, not this machine\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out.String(), "cccccccc") {
		t.Error("a removed member is shown")
	}
	out.Reset()
	a.width = 80
	if err := a.printNodes(r, true, time.UnixMicro(61_000_001)); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(out.String(), "\n") {
		if len([]rune(line)) >= 80 {
			t.Errorf("%d columns: %s", len([]rune(line)), line)
		}
	}
	if !strings.Contains(out.String(), "…cccccccc") || strings.Contains(out.String(), "audits") {
		t.Error(out)
	}
}

func TestFindNode(t *testing.T) {
	names := nodeNames{nodeA: "provider-1"}
	nodes := meshNodes()
	for arg, want := range map[string]string{
		nodeA: nodeA, "provider-1": nodeA, "aaaa": nodeA, "…bbbbbbbb": nodeB, "nas": nodeB, "home/nas": nodeB, "box": nodeA, nodeC: nodeC,
	} {
		if n, err := names.find(arg, nodes); err != nil || n.Node != want {
			t.Errorf("%s: %+v %v", arg, n, err)
		}
	}
	for arg, want := range map[string]inos.Code{
		"": inos.CodeNodeUnknown, "aaa": inos.CodeNodeUnknown, "cccccccc": inos.CodeNodeUnknown, "home": inos.CodeNodeUnknown, "provider-9": inos.CodeNodeUnknown,
	} {
		if n, err := names.find(arg, nodes); inos.CodeOf(err) != want {
			t.Errorf("%q: %+v %v", arg, n, err)
		}
	}
	nodes[1].Host = "box"
	if n, err := names.find("home/box", nodes); inos.CodeOf(err) != inos.CodeBadRequest || !strings.Contains(err.Error(), "provider-1, …bbbbbbbb") {
		t.Errorf("%+v %v", n, err)
	}
}

func TestMatrix(t *testing.T) {
	a, out := meshApp(t, 0)
	copyOf := func(node, host, liveness string, trusted bool, audited int64) api.Copy {
		return api.Copy{Node: node, Zone: "home", Host: host, Tier: "cold", Liveness: liveness, Trusted: trusted, AuditedUs: audited}
	}
	s := &api.StatReply{
		File: api.File{Path: "/a", Chunks: 3},
		Receipt: &api.Receipt{
			Level: "process", Domains: []string{nodeB, nodeA}, Survives: "the loss of one process",
		},
		ChunkList: []api.Chunk{
			{Index: 0, ChunkID: "00", Codec: "raw", Copies: []api.Copy{copyOf(nodeB, "nas", "alive", true, 0), copyOf(nodeA, "box", "alive", true, 7)}},
			{Index: 1, ChunkID: "01", Codec: "brotli", Quality: 5, Copies: []api.Copy{copyOf(nodeA, "box", "alive", false, 7), copyOf(nodeC, "zoo", "dead", true, 7)}},
			{Index: 2, ChunkID: "02", Codec: "raw"},
		},
	}
	if err := a.printStat(s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  on        2 processes: provider-1, …bbbbbbbb\n  survives  the loss of one process\n",
		"  1  provider-1  cold  home/box  alive", "  2  …bbbbbbbb", "  3  …cccccccc", matrixLegend, "recipe     123\n", "raw        ●○·\n", "brotli 5   ?·x\n", "raw        ···\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	// More nodes than columns are counted.
	var many api.Chunk
	for i := range matrixColumnsMax + 2 {
		many.Copies = append(many.Copies, api.Copy{Node: strings.Repeat("n", i+1), Liveness: "alive", Trusted: true})
	}
	if got, want := newMatrix([]api.Chunk{many}, nil).row(&many), strings.Repeat(markTrusted, matrixColumnsMax)+" +2"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if head := newMatrix([]api.Chunk{many}, nil).head(); len(head) != matrixColumnsMax {
		t.Errorf("%d columns have a name", len(head))
	}
}

func TestPrintReceipt(t *testing.T) {
	a, out := meshApp(t, 0)
	r := &api.PutReply{
		File:    api.File{Path: "/a", ReplicasWanted: 3, ReplicasReached: 2, Degraded: true, DegradedReason: "repair follows"},
		Receipt: &api.Receipt{Level: "host", Domains: []string{"home/nas", "garage/box"}, Wanted: 3, Survives: "one host"}, TraceID: "t",
	}
	if err := a.printReceipt(r); err != nil {
		t.Fatal(err)
	}
	if want := "  replicas  2 of 3, degraded: repair follows\n  receipt   2 hosts: garage/box, home/nas\n  survives  one host\n  trace     t\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("%s\nwant %s", out, want)
	}
	r.Receipt.Domains = nil
	if err := a.printReceipt(r); err != nil {
		t.Fatal(err)
	}
	if want := "  receipt   no host alone has all of it\n  survives  one host\n  trace     t\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("%s\nwant %s", out, want)
	}
}

func TestPrintRepairs(t *testing.T) {
	a, out := meshApp(t, 0)
	now := time.UnixMicro(100_000_000)
	r := &api.RepairsReply{
		Total: 5, Done: 1, Bytes: 1 << 20, Trimmed: 1, BytesPerSecond: 1 << 20, BytesPerSecondMax: 4 << 20, ETAUs: 90_000_000, Scanning: true,
		Repairs: []api.Repair{
			{ChunkID: strings.Repeat("a", 64), Reason: "dead node", Live: 1, AddedUs: 40_000_000, Tries: 1, Holder: nodeA, LeaseUntilUs: 110_000_000},
			{ChunkID: strings.Repeat("b", 64), Reason: "short at put", Live: 2, AddedUs: 99_000_000, NotBeforeUs: 130_000_000},
			{ChunkID: strings.Repeat("c", 64), Reason: "drain", Live: 2, AddedUs: 99_000_000, Holder: nodeB, LeaseUntilUs: 90_000_000},
		},
	}
	if err := a.printRepairs(r, now); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"queued   5 chunks, about 1m30s to go; the map is being looked through\n", "done     1 chunk, 1.00 MiB copied, 1 surplus copy trimmed",
		"rate     1.00 MiB/s of at most 4.00 MiB/s", "aaaaaaaaaaaaaaaa  1     1m0s   1      at provider-1  dead node", "again in 30s", "queued         drain", "and 2 more",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// What was not looked at is no success, and says which node.
func TestPrintVerified(t *testing.T) {
	a, out := meshApp(t, 0)
	r := &api.VerifyResult{Nodes: []api.NodeVerified{
		{Node: nodeA, VerifyCounts: api.VerifyCounts{Chunks: 2}}, {Node: nodeB, Error: "it does not answer"},
	}}
	if err := a.printVerified(r); inos.CodeOf(err) != inos.CodePeerUnreachable || !strings.Contains(err.Error(), "not verified: …bbbbbbbb") {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "provider-1  2") {
		t.Error(out)
	}
	r.Bad, r.BadChunkIDs = 1, []string{"00"}
	if err := a.printVerified(r); a.report(err) != statusDamage {
		t.Error(err)
	}
}

func TestRebuildText(t *testing.T) {
	if got, want := rebuildText(&api.Rebuild{Nodes: 6, Chunks: 2000, Records: 10, Versions: 1, Refused: 2, Unreadable: 1, Done: true}),
		"done: 6 nodes with 2,000 chunks, 10 commit records, 1 version restored, 2 records refused as forged, foreign or damaged, 1 version unreadable: no node holds all of the chunks"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestOnlyLoopback(t *testing.T) {
	for list, want := range map[string]bool{
		"": false, "/ip4/127.0.0.1/tcp/1/p2p/x": true, "/ip6/::1/tcp/1": true, "/ip4/127.0.0.1/tcp/1 /ip4/192.0.2.1/tcp/1": false,
	} {
		if got := onlyLoopback(strings.Fields(list)); got != want {
			t.Errorf("%q: %v", list, got)
		}
	}
}

func TestJoinPages(t *testing.T) {
	s := &api.StatReply{
		File: api.File{ReplicasWanted: 3, ReplicasReached: 3}, ChunkList: make([]api.Chunk, 2),
		Receipt: &api.Receipt{Level: "host", Domains: []string{"a", "b", "c"}, Survives: "two hosts"},
	}
	join(s, &api.StatReply{
		File: api.File{ReplicasWanted: 3, ReplicasReached: 2, Degraded: true}, ChunkList: make([]api.Chunk, 1),
		Receipt: &api.Receipt{Level: "host", Domains: []string{"b", "c", "d"}, Survives: "one host"},
	})
	if len(s.ChunkList) != 3 || s.ReplicasReached != 2 || !s.Degraded || strings.Join(s.Receipt.Domains, "") != "bc" || s.Receipt.Survives != "one host" {
		t.Errorf("%+v %+v", s, s.Receipt)
	}
	join(s, &api.StatReply{File: api.File{ReplicasReached: 3}, Receipt: &api.Receipt{Domains: []string{"c"}, Survives: "two hosts"}})
	if s.ReplicasReached != 2 || strings.Join(s.Receipt.Domains, "") != "c" || s.Receipt.Survives != "one host" {
		t.Errorf("%+v %+v", s, s.Receipt)
	}
}
