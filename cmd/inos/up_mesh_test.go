package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// testMesh is a mesh whose nodes are not started.
func testMesh(t *testing.T, providers int) (*meshRun, *bytes.Buffer) {
	t.Helper()
	l, err := openLocal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	if err := l.grow(providers); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: &out}
	f := &upFlags{}
	f.node.graceCold, f.node.graceHot = time.Second, time.Minute
	m, err := a.newMeshRun(l, f, false)
	if err != nil {
		t.Fatal(err)
	}
	return m, &out
}

func TestMeshHearsItsNodes(t *testing.T) {
	m, out := testMesh(t, 2)
	if err := os.Mkdir(m.switchboard.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.switchboard.dir+"/token", []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.told(m.switchboard, []byte(`{"event":"listening","url":"http://127.0.0.1:5","node_id":"S"}`))
	m.told(m.providers[0], []byte(`{"event":"listening","url":"http://127.0.0.1:6","node_id":"P"}`))
	m.told(m.providers[0], []byte(`{"event":"listening","url":"http://127.0.0.1:7","node_id":"Q"}`))
	m.told(m.providers[1], []byte(`{"event":"notice","text":"careful"}`))
	m.told(m.providers[1], []byte(`not JSON`))
	select {
	case <-m.listening:
	default:
		t.Error("the providers wait for a switchboard that listens")
	}
	if m.client == nil || m.switchboard.view().state != childRunning {
		t.Error("the switchboard is not known to run")
	}
	names, err := readNames(m.l.dir)
	if err != nil || len(names) != 2 || names["S"] != "switchboard" || names["Q"] != "provider-1" {
		t.Errorf("%v %v", names, err)
	}
	for _, want := range []string{"listening: http://127.0.0.1:5", "inos: provider-2: notice: careful\n", "inos: provider-2: not JSON\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	args := strings.Join(m.switchboardArgs(), " ")
	for _, want := range []string{"node --json --switchboard ", "--listen 127.0.0.1:5", "--mesh-listen " + m.l.MeshListen, "--grace-cold 1s --grace-hot 1m0s", "--root-key " + m.l.path("root.key")} {
		if !strings.Contains(args, want) {
			t.Errorf("no %q in %s", want, args)
		}
	}
	if args := strings.Join(m.providerArgs("provider-2"), " "); strings.Contains(args, "grace") || !strings.Contains(args, "--data "+m.l.path("provider-2")) {
		t.Error(args)
	}
}

// What no other start mends ends the mesh with the node's own error; what is about to be mended does not.
func TestMeshJudgesItsSwitchboard(t *testing.T) {
	for line, fatal := range map[string]bool{
		`{"error":{"code":"read_only","operation":"open","message":"no","hint":"h"}}`:         true,
		`{"error":{"code":"conflict","operation":"start switchboard","message":"no map"}}`:    true,
		`{"error":{"code":"folder_in_use","operation":"open","message":"in use by process"}}`: false,
		`{"error":{"code":"second_switchboard","operation":"open","message":"process 5"}}`:    false,
		`{"error":{"code":"address_in_use","operation":"listen","message":"127.0.0.1:7770"}}`: true,
		`inos: something`: false,
	} {
		m, out := testMesh(t, 1)
		m.logged(m.switchboard, []byte(line))
		m.judge()
		var coded *inos.Error
		if got := errors.As(m.fatal, &coded); got != fatal {
			t.Errorf("%s: %v", line, m.fatal)
		}
		if told := strings.HasPrefix(out.String(), "inos: switchboard: "); told == strings.HasPrefix(line, "{") {
			t.Errorf("%s: an error is told with what becomes of it, other lines at once: %q", line, out)
		}
		m.began = time.Now().Add(-heldTimeout)
		m.judge()
		if m.fatal == nil && strings.HasPrefix(line, "{") {
			t.Errorf("%s: it is waited for without end", line)
		}
	}
	m, _ := testMesh(t, 1)
	m.urls[switchboardName] = "http://127.0.0.1:5" // it has run
	m.logged(m.switchboard, []byte(`{"error":{"code":"read_only"}}`))
	m.judge()
	if m.fatal != nil {
		t.Error("a switchboard that has run is given up at once")
	}
}

// An end that is mended is told with the reason that the node gave, once, however often it comes.
func TestMeshTellsWhyANodeEnded(t *testing.T) {
	m, out := testMesh(t, 1)
	for range 3 {
		m.logged(m.providers[0], []byte(`{"error":{"code":"disk_full","operation":"open","message":"no space"}}`))
		m.providers[0].mu.Lock()
		m.providers[0].state, m.providers[0].reason, m.providers[0].ran = childWaiting, "it ended with status 1", true
		m.providers[0].mu.Unlock()
		m.became(m.providers[0])
	}
	if got := out.String(); got != "inos: provider-1: open: no space; it is started again\n" {
		t.Error(got)
	}
}

// A mesh whose switchboard does not stay ends with what that said itself, not with its exit status.
func TestMeshTellsWhyItIsGivenUp(t *testing.T) {
	m, out := testMesh(t, 1)
	m.urls[switchboardName] = "http://127.0.0.1:5" // it has run
	m.logged(m.switchboard, []byte(`{"error":{"code":"disk_full","operation":"open","message":"no space"}}`))
	m.switchboard.mu.Lock()
	m.switchboard.state, m.switchboard.reason, m.switchboard.ran = childFailed, "it ended with status 1", true
	m.switchboard.mu.Unlock()
	m.became(m.switchboard)
	if !strings.Contains(out.String(), "switchboard: open: no space; it ended 31 times") || m.fatal == nil || !strings.Contains(m.fatal.Error(), "last: open: no space") {
		t.Errorf("%v: %s", m.fatal, out)
	}
}

// A provider that comes later stands where the others do, whatever the machine is called by then.
func TestNewProviderStandsWithTheOthers(t *testing.T) {
	m, _ := testMesh(t, 2)
	m.names[nodeA] = "provider-1"
	var asked api.InviteQuestion
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_ = json.NewEncoder(w).Encode(api.NodesReply{Nodes: []api.NodeInfo{
				{Member: api.Member{Node: nodeB, Zone: "garage", Host: "nas", State: "active"}}, {Member: api.Member{Node: nodeA, Zone: "home", Host: "of-before", State: "active"}},
			}})
			return
		}
		_ = json.NewDecoder(r.Body).Decode(&asked)
		w.WriteHeader(http.StatusForbidden) // no invite of a mesh that does not run
	}))
	t.Cleanup(node.Close)
	var err error
	if m.client, err = api.NewClient(node.URL, "secret"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.client.Close)
	close(m.listening)
	if err := m.join(context.Background(), "provider-2"); err == nil || asked.Zone != "home" || asked.Host != "of-before" {
		t.Errorf("%+v %v", asked, err)
	}
}

// While a mesh starts, its providers do not reach the switchboard yet: that is nothing to tell, and neither is that they do at last.
func TestMeshIsSilentOfWhatIsComing(t *testing.T) {
	m, out := testMesh(t, 1)
	m.names["S"+nodeA] = switchboardName
	m.logged(m.providers[0], []byte("inos: mesh: node S"+nodeA+" cannot be reached, trying on: connection refused"))
	m.logged(m.providers[0], []byte("inos: mesh: connected to node S"+nodeA+" again"))
	m.told(m.providers[0], []byte(`{"event":"notice","text":"the switchboard S`+nodeA+` does not answer"}`))
	if out.Len() > 0 {
		t.Error(out)
	}
	m.logged(m.providers[0], []byte("inos: mesh: node "+nodeB+" cannot be reached, trying on: connection refused"))
	m.logged(m.providers[0], []byte("inos: content: S"+nodeA+" is on fire"))
	if strings.Count(out.String(), "\n") != 2 {
		t.Errorf("what is not of the switchboard's coming has to be told:\n%s", out)
	}
}

func TestCodeNamed(t *testing.T) {
	for _, c := range []inos.Code{inos.CodeInternal, inos.CodeFolderInUse, inos.CodeQuorumLost} {
		if got := codeNamed(c.Name()); got != c {
			t.Errorf("%s: %d", c.Name(), got)
		}
	}
	if codeNamed("nonsense") != inos.CodeInternal {
		t.Error("a name that nobody knows has a code")
	}
}

func TestRemovedNodeIsStopped(t *testing.T) {
	m, out := testMesh(t, 2)
	m.names["P"] = "provider-2"
	r := &api.NodesReply{Nodes: []api.NodeInfo{{Member: api.Member{Node: "P", State: "removed"}}, {Member: api.Member{Node: "X", State: "removed"}}}}
	m.retire(r)
	m.retire(r)
	select {
	case <-m.providers[1].stop:
	default:
		t.Error("it runs on")
	}
	select {
	case <-m.providers[0].stop:
		t.Error("another was stopped")
	default:
	}
	if got := m.l.providerNames(); len(got) != 1 || got[0] != "provider-1" {
		t.Errorf("the next start would start %v", got)
	}
	if strings.Count(out.String(), "is no member of the mesh any more") != 1 {
		t.Error(out)
	}
}

func TestLookReady(t *testing.T) {
	l := &look{
		status: &api.Status{Ready: true, Survives: "one process"}, names: nodeNames{"P": "provider-1", "Q": "provider-2"},
		nodes: &api.NodesReply{Nodes: []api.NodeInfo{{Member: api.Member{Node: "P"}, Liveness: "alive"}, {Member: api.Member{Node: "Q"}, Liveness: "dead"}}},
		children: []childView{
			{name: switchboardName, state: childRunning},
			{name: "provider-1", state: childRunning},
			{name: "provider-2", state: childRunning},
			{name: "provider-3", state: childStarting},
		},
	}
	if ok, why := l.ready(); ok || why != "provider-2, provider-3 not alive yet" {
		t.Errorf("%v %s", ok, why)
	}
	l.children[2].state, l.children[3].state = childDown, childStopped
	if ok, why := l.ready(); !ok {
		t.Error(why)
	}
	if got, want := l.readyText(), "4 processes, 0 files; a file one process"; got != want {
		t.Error(got)
	}
	l.status.Short, l.status.Stored = 2, "2 chunks lack a copy"
	if got, want := l.readyText(), "4 processes, 0 files; 2 chunks lack a copy"; got != want {
		t.Error(got)
	}
	l.status.Ready = false
	if ok, why := l.ready(); ok || why != "no worker is ready" {
		t.Errorf("%v %s", ok, why)
	}
}

func TestMeshLines(t *testing.T) {
	l := &look{
		status: &api.Status{Survives: strings.Repeat("it survives ", 12), Rebuild: &api.Rebuild{}}, names: nodeNames{},
		nodes: &api.NodesReply{}, repairs: &api.RepairsReply{Total: 5, BytesPerSecond: 1 << 20},
	}
	for i := range 20 {
		name := providerPrefix + strings.Repeat("x", i)
		l.names[name] = name
		l.nodes.Nodes = append(l.nodes.Nodes, api.NodeInfo{Member: api.Member{Node: name, State: "active", Tier: "cold"}, Liveness: "alive"})
		l.children = append(l.children, childView{name: name, state: childRunning, pid: 12345})
	}
	l.children[7].state, l.children[7].pid = childWaiting, 0
	lines := l.meshLines(80)
	text := strings.Join(lines, "\n")
	for _, want := range []string{"mesh     20 of 20 nodes alive; a file it survives", "waiting", "more, all well", "repairs  5 chunks, 1.00 MiB/s", "rebuild  under way: 0 nodes"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if len(lines) > nodeLinesMax+10 {
		t.Errorf("%d lines", len(lines))
	}
}

// What is drawn is lower than the terminal, so that it can be drawn over.
func TestDrawnLinesFitTheTerminal(t *testing.T) {
	lines := strings.Fields("a b c d e f g h i")
	for height, want := range map[int]string{5: "a b c … and 6 more lines: the terminal is too low", 9: "a b c d e f g … and 2 more lines: the terminal is too low", 10: "a b c d e f g h i"} {
		if got := withinRows(lines, height); strings.Join(got, " ") != want || len(got) >= height {
			t.Errorf("%d rows: %q", height, got)
		}
	}
}

// A view tells each change of a node once.
func TestViewTellsNodeChanges(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: &out}
	v := a.newView("x")
	l := &look{status: &api.Status{Ready: true}, names: nodeNames{"P": "provider-1"}, nodes: &api.NodesReply{Nodes: []api.NodeInfo{{Member: api.Member{Node: "P", State: "active"}, Liveness: "alive"}}}}
	for _, liveness := range []string{"alive", "suspect", "suspect", "dead", "alive"} {
		l.nodes.Nodes[0].Liveness = liveness
		v.show(l)
	}
	if got := strings.Count(out.String(), "inos: node: provider-1: "); got != 3 {
		t.Errorf("%d changes are told:\n%s", got, out.String())
	}
}

// While nodes are on their way a view says neither that the mesh is degraded nor that they come; what still holds then is told.
func TestViewWaitsForTheNodes(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: &out}
	v := a.newView("x")
	l := &look{
		status: &api.Status{Notices: []string{"degraded: a copy can be written in 0 of 6 processes", "waiting for the nodes: 0 of 6 have come"}},
		names:  nodeNames{"P": "provider-1"}, children: []childView{{name: "provider-1", state: childRunning}},
		nodes: &api.NodesReply{Nodes: []api.NodeInfo{{Member: api.Member{Node: "P", State: "active"}, Liveness: "never"}}},
	}
	v.show(l)
	v.show(l)
	if out.Len() > 0 {
		t.Errorf("told too early:\n%s", &out)
	}
	v.began = time.Now().Add(-settleTime)
	v.show(l)
	v.show(l)
	for _, want := range []string{"not ready: waiting for the nodes", "notice: degraded: a copy", "notice: waiting for"} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("no %q, or several:\n%s", want, &out)
		}
	}
	out.Reset()
	v = a.newView("x")
	v.show(l)
	l.status = &api.Status{Ready: true, Notices: []string{"degraded: one machine"}}
	l.nodes.Nodes[0].Liveness = "alive"
	v.show(l)
	if got := out.String(); got != "inos: ready: 1 process, 0 files\ninos: notice: degraded: one machine\n" {
		t.Error(got)
	}
}
