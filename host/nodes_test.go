package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// testMesh is a switchboard and its providers in one process, on loopback.
type testMesh struct {
	t         *testing.T
	parent    string
	board     *testNode
	providers []*Node
	opened    map[string]int64 // by provider: when its life of now began
}

// testHeartbeat is long enough that a process which stands still for a moment is not taken for dead.
const testHeartbeat = 2 * inos.Second

// openMesh opens a switchboard that holds no chunks, and providers, each said to be on a host of its own.
func openMesh(t *testing.T, providers int) *testMesh {
	t.Helper()
	m := &testMesh{t: t, parent: t.TempDir()}
	m.openBoard(nil)
	for i := range providers {
		m.providers = append(m.providers, nil)
		m.openProvider(i, m.invite(fmt.Sprintf("host-%d", i)))
	}
	m.waitAlive(providers)
	return m
}

// startBoard opens the switchboard, and does not wait for members: one that knows some waits 15 s for those that have not come, before it says that it is ready.
func (m *testMesh) startBoard(change func(*Config)) {
	m.t.Helper()
	m.board = openNode(m.t, filepath.Join(m.parent, "switchboard"), func(c *Config) {
		c.Switchboard, c.RootKeyPath, c.HeartbeatEvery = true, filepath.Join(m.parent, "root.key"), testHeartbeat
		c.GraceCold, c.GraceHot = inos.Second, inos.Second
		c.MeshListen = []string{"/ip4/127.0.0.1/tcp/0"}
		if change != nil {
			change(c)
		}
	})
	m.board.waitFor("it has started", func(s *eventpb.NodeStatusReply) bool {
		notices := strings.Join(s.Notices, "\n")
		return s.Ready || strings.Contains(notices, "waiting for the nodes") && !strings.Contains(notices, "recovering: requests")
	})
}

func (m *testMesh) openBoard(change func(*Config)) {
	m.t.Helper()
	m.startBoard(change)
	m.board.waitFor("it is ready", func(s *eventpb.NodeStatusReply) bool { return s.Ready })
}

func (m *testMesh) openProvider(i int, invite string) {
	m.t.Helper()
	m.openProviderWith(i, invite, func(*Config) {})
}

func (m *testMesh) openProviderWith(i int, invite string, change func(*Config)) {
	m.t.Helper()
	config := Config{
		DataDir: m.folderOf(i), Provider: true, Record: true, Stderr: testLog{m.t}, CacheDir: testCache, Invite: invite,
		MeshListen: []string{"/ip4/127.0.0.1/tcp/0"}, HeartbeatEvery: testHeartbeat,
	}
	change(&config)
	began := int64(m.board.clock.Now())
	n, err := Open(m.t.Context(), config)
	if err != nil {
		m.t.Fatalf("open provider %d: %v", i, err)
	}
	if m.opened == nil {
		m.opened = map[string]int64{}
	}
	m.providers[i], m.opened[string(n.id)] = n, began
}

func (m *testMesh) folderOf(i int) string {
	return filepath.Join(m.parent, fmt.Sprintf("provider-%d", i))
}

func (m *testMesh) invite(host string) string {
	m.t.Helper()
	var reply eventpb.NodesInviteReply
	if err := m.board.request(context.Background(), event.NodesInvite, &eventpb.NodesInviteRequest{Invite: &eventpb.Invite{
		Zone: "home", Host: host, Operator: host, Tier: "cold", OfferedBytes: 8 << 30, ExpiresUs: int64(m.board.clock.Now() + inos.Hour),
	}}, &reply); err != nil {
		m.t.Fatalf("invite: %v", err)
	}
	return reply.Text
}

func (m *testMesh) nodes() *eventpb.NodesListReply {
	m.t.Helper()
	var reply eventpb.NodesListReply
	if err := m.board.request(context.Background(), event.NodesList, &eventpb.NodesListRequest{}, &reply); err != nil {
		m.t.Fatalf("list nodes: %v", err)
	}
	return &reply
}

// waitAlive waits until so many providers are alive. One that was opened again has to have been heard since: the switchboard may not have noticed yet
// that it was closed.
func (m *testMesh) waitAlive(want int) {
	m.t.Helper()
	m.board.waitFor(fmt.Sprintf("%d providers are alive", want), func(*eventpb.NodeStatusReply) bool {
		alive := 0
		for _, n := range m.nodes().Nodes {
			if n.Liveness == "alive" && !n.Self && n.SeenUs >= m.opened[n.Member.Node] {
				alive++
			}
		}
		return alive == want
	})
}

// close ends all nodes, the providers first.
func (m *testMesh) close() {
	m.t.Helper()
	for _, p := range m.providers {
		if p != nil {
			closeNode(m.t, p)
		}
	}
	m.board.close()
}

// TestAMeshKeepsAFileOnDistinctHosts: a put reaches as many providers as it wants replicas, the file reads back, and it does with any one of them
// gone.
func TestAMeshKeepsAFileOnDistinctHosts(t *testing.T) {
	m := openMesh(t, 3)
	body := append(noise(30, 3<<20), text(31, 2<<20)...)
	m.board.mustPut("/file", body)
	m.board.mustHold("/file", body)
	for i := range m.providers {
		closeNode(t, m.providers[i])
		m.providers[i] = nil
		m.board.mustHold("/file", body)
		m.openProvider(i, "")
		m.waitAlive(3)
	}
	m.close()
}

// TestALostNodeIsMadeUpFor: copies that are gone with a node are made again by the others, which pull them from one another under tickets that
// their kernels never see. The commit record is on the providers too.
func TestALostNodeIsMadeUpFor(t *testing.T) {
	m := openMesh(t, 4)
	body := noise(33, 4<<20)
	m.board.mustPut("/file", body)
	m.board.waitFor("the records are kept", func(*eventpb.NodeStatusReply) bool {
		held := int64(0)
		for _, p := range m.providers {
			held += p.records.Usage().Chunks
		}
		return held >= 2
	})
	lost := 0
	for i, p := range m.providers {
		if p.content.Usage().Chunks > m.providers[lost].content.Usage().Chunks {
			lost = i
		}
	}
	closeNode(t, m.providers[lost])
	m.providers[lost] = nil
	m.board.waitFor("every other node holds every chunk", func(*eventpb.NodeStatusReply) bool {
		for _, p := range m.providers {
			if p != nil && p.content.Usage().Chunks < 5 { // four chunks and their manifest
				return false
			}
		}
		return true
	})
	m.board.mustHold("/file", body)
	m.close()
}

// The kernels of a mesh decide from their logs alone. No provider's folder, and no replay log of any node, holds a secret of the mesh: the operator's token, an invite, a ticket's signature.
func TestLogsReplayAndHoldNoSecret(t *testing.T) {
	m := openMesh(t, 2)
	m.board.mustPut("/file", noise(32, 3<<20))
	m.board.mustHold("/file", noise(32, 3<<20))
	token, err := m.board.folder.secret("token", tokenPrefix, tokenBytes)
	if err != nil {
		t.Fatal(err)
	}
	certificate := m.board.authority.signer.Certificate()
	root, err := os.ReadFile(filepath.Join(m.parent, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	invites := make([]string, len(m.providers))
	for i, p := range m.providers {
		invites[i] = p.authority.state.Invite
	}
	m.close()
	for _, dir := range []string{filepath.Join(m.parent, "switchboard"), m.folderOf(0)} {
		if report, err := Replay(t.Context(), filepath.Join(dir, "log"), io.Discard); err != nil || report.Steps == 0 {
			t.Errorf("%s: %+v, %v", dir, report, err)
		}
	}
	err = filepath.WalkDir(m.parent, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(m.parent, path)
		inLog := strings.Contains(rel, "/log/")
		if bytes.Contains(raw, []byte(token)) && rel != filepath.Join("switchboard", "token") {
			t.Errorf("%s holds the operator's token", rel)
		}
		if bytes.Contains(raw, bytes.TrimSpace(root)) && rel != "root.key" {
			t.Errorf("%s holds the root seed", rel)
		}
		for _, invite := range invites {
			if bytes.Contains(raw, []byte(invite)) && !strings.HasSuffix(rel, meshStateFile) {
				t.Errorf("%s holds an invite", rel)
			}
		}
		if inLog && bytes.Contains(raw, certificate) {
			t.Errorf("%s holds a certificate, and so the signature of a ticket or an invite", rel)
		}
		if inLog && len(raw) == 0 {
			t.Errorf("%s is empty", rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAProviderServesItsStatusAlone(t *testing.T) {
	m := openMesh(t, 1)
	defer m.close()
	p := m.providers[0]
	secret, err := p.folder.secret("token", tokenPrefix, tokenBytes)
	if err != nil {
		t.Fatal(err)
	}
	session, err := p.Authenticate(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	n := &testNode{Node: p, t: t, session: session}
	var status eventpb.NodeStatusReply
	if err := n.request(t.Context(), event.NodeStatus, &eventpb.NodeStatusRequest{}, &status); err != nil || !status.Provider || status.Switchboard {
		t.Errorf("status: %v, %v", &status, err)
	}
	if _, err := n.put("/file", []byte("x")); err == nil {
		t.Error("a provider takes a file")
	}
	if _, err := p.Events(t.Context(), inos.EventFilter{}); inos.CodeOf(err) != inos.CodeNotSwitchboard {
		t.Errorf("events: %v", err)
	}
	if _, err := p.Authenticate(t.Context(), tokenPrefix+"0"); inos.CodeOf(err) != inos.CodeUnauthenticated {
		t.Errorf("a wrong secret: %v", err)
	}
	for _, name := range []string{"semantic.db", "episodic.db", "root.key"} {
		if _, err := os.Stat(p.folder.path(name)); err == nil {
			t.Errorf("a provider has %s", name)
		}
	}
}

// An invite lets one node in.
func TestAnInviteIsUsedOnce(t *testing.T) {
	m := openMesh(t, 1)
	defer m.close()
	used := m.providers[0].authority.state.Invite
	_, err := Open(t.Context(), Config{
		DataDir: filepath.Join(m.parent, "second"), Provider: true, Stderr: testLog{t}, CacheDir: testCache, Invite: used,
	})
	if err == nil {
		t.Fatal("an invite that was used lets another node in")
	}
	t.Log(err)
}
