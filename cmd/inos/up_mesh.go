package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host"
	"github.com/inos-mesh/inos/host/api"
)

const (
	// heldTimeout is how long the first start of a switchboard waits for nodes of an 'inos up' that was killed to end.
	heldTimeout = 15 * time.Second
	// localHeartbeat is the time between two heartbeats where a call costs next to nothing.
	localHeartbeat = time.Second
	// inviteLife is how long the invite of a local provider may be used: it is used at once.
	inviteLife = 10 * time.Minute
)

// meshRun is a local mesh while 'inos up' runs it.
type meshRun struct {
	a       *app
	l       *local
	f       *upFlags
	rebuild bool
	view    *view
	sup     *supervisor
	began   time.Time
	isFirst bool // the switchboard has never run

	switchboard *child
	providers   []*child

	stopping  atomic.Bool
	listening chan struct{} // closed when the switchboard listens for the first time

	mu       sync.Mutex // guards the fields below
	names    nodeNames
	urls     map[string]string      // by a child's name
	failures map[string]*inos.Error // what a child said last before it ended
	reasons  map[string]string      // what was told last of why a child ended
	client   *api.Client            // of the switchboard, once it listens
	rebuilt  *api.Rebuild           // what came of a rebuild
	fatal    error                  // why the mesh cannot run
	dead     chan struct{}          // closed with fatal
	done     chan struct{}          // closed with rebuilt
}

// upMesh runs a local mesh until a signal, or until a rebuild is done.
func (a *app) upMesh(dir string, f *upFlags, rebuild bool) error {
	l, err := openLocal(dir)
	if err != nil {
		return err
	}
	defer l.close()
	if l.isNew() {
		if err := l.free(); err != nil {
			return err
		}
		if f.nodes == 0 {
			f.nodes = upNodes
		}
	}
	if !l.isNew() && f.node.capacity > 0 {
		a.note("--capacity counts for providers that are new; those that are there offer what their invites say ('inos nodes')")
	}
	if f.nodes > 0 {
		if err := l.fit(f.nodes); err != nil {
			return err
		}
	}
	if err := l.link(); err != nil {
		return err
	}
	m, err := a.newMeshRun(l, f, rebuild)
	if err != nil {
		return err
	}
	return m.run()
}

func (a *app) newMeshRun(l *local, f *upFlags, rebuild bool) (*meshRun, error) {
	command, err := os.Executable()
	if err != nil {
		return nil, inos.Errorf(inos.CodeIO, "start mesh", "the path of this binary: %w", err)
	}
	names, err := readNames(l.dir)
	if err != nil || names == nil {
		names = nodeNames{} // they are told again by the nodes
	}
	m := &meshRun{
		a: a, l: l, f: f, rebuild: rebuild, view: a.newView(l.dir), sup: newSupervisor(command), began: time.Now(), isFirst: !l.hasJoined(switchboardName) && !rebuild, names: names, urls: map[string]string{},
		failures: map[string]*inos.Error{}, reasons: map[string]string{}, dead: make(chan struct{}), done: make(chan struct{}), listening: make(chan struct{}),
	}
	m.switchboard = m.newNode(switchboardName, m.switchboardArgs)
	for _, name := range l.providerNames() {
		m.providers = append(m.providers, m.newNode(name, func() []string { return m.providerArgs(name) }))
		m.providers[len(m.providers)-1].prepare = func(ctx context.Context) error { return m.join(ctx, name) }
	}
	return m, nil
}

func (m *meshRun) newNode(name string, args func() []string) *child {
	c := newChild(name, m.l.path(name), args)
	c.out, c.log, c.changed = m.told, m.logged, m.became
	return c
}

func (m *meshRun) rootKey() string {
	if m.f.rootKey != "" {
		return m.f.rootKey
	}
	return m.l.path(rootKeyFile)
}

func (m *meshRun) switchboardArgs() []string {
	args := []string{"node", "--json", "--switchboard", "--data", m.l.path(switchboardName), "--root-key", m.rootKey()}
	if m.rebuild {
		args = append(args, "--rebuild")
	}
	for _, addr := range append([]string{m.l.MeshListen}, m.f.meshListen...) {
		args = append(args, "--mesh-listen", addr)
	}
	listen := m.f.listen
	m.mu.Lock()
	if before := m.urls[switchboardName]; before != "" {
		listen = strings.TrimPrefix(before, "http://") // a port that was free at the first start is kept
	}
	m.mu.Unlock()
	if listen != "" {
		args = append(args, "--listen", listen)
	}
	return append(append(args, "--heartbeat", localHeartbeat.String()), m.f.node.args(true, m.l.path("cache"))...)
}

func (m *meshRun) providerArgs(name string) []string {
	args := []string{"node", "--json", "--provider", "--data", m.l.path(name), "--listen", "127.0.0.1:0", "--mesh-listen", "/ip4/127.0.0.1/tcp/0", "--heartbeat", localHeartbeat.String()}
	return append(args, m.f.node.args(false, m.l.path("cache"))...)
}

// run starts everything, shows it and stops it.
func (m *meshRun) run() (err error) {
	signals, release := endSignals()
	defer release()
	defer m.view.outliveReaders()()
	ctx, cancel := context.WithCancel(m.a.ctx)
	defer cancel()
	go m.sup.keep(m.switchboard)
	for _, c := range m.providers {
		go m.sup.keep(c)
	}
	go m.health(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		m.view.follow(ctx, m.look)
	}()
	select {
	case <-signals:
	case <-m.a.ctx.Done():
	case <-m.done:
	case <-m.dead:
		m.mu.Lock()
		err = m.fatal
		m.mu.Unlock()
	}
	if err == nil && m.rebuild && m.outcome() == nil {
		err = errRebuildInterrupted
	}
	if err == nil {
		m.view.say("stopping", "finishing what is under way; Ctrl-C again breaks it off")
	}
	go m.breakOff(signals)
	cancel()
	<-watched
	m.end()
	if err == nil {
		m.view.say("stopped", "everything acknowledged is kept in the data folder")
	}
	m.view.close()
	if err == nil && m.rebuild {
		return m.a.printRebuilt(m.outcome())
	}
	return err
}

// outcome returns what came of a rebuild, or nil before its end.
func (m *meshRun) outcome() *api.Rebuild {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rebuilt
}

// end stops the switchboard first, so that what it has under way finds its providers, then those.
func (m *meshRun) end() {
	m.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	m.switchboard.end(ctx)
	ctx, cancel = context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var stopping sync.WaitGroup
	for _, c := range m.providers {
		stopping.Go(func() { c.end(ctx) })
	}
	stopping.Wait()
}

// breakOff ends everything at a second signal.
func (m *meshRun) breakOff(signals <-chan os.Signal) {
	awaitSecond(signals)
	m.view.brokenOff()
	for _, c := range m.children() {
		c.stopOnce.Do(func() { close(c.stop) })
		c.kill()
	}
	os.Exit(statusInterrupted)
}

func (m *meshRun) children() []*child { return append([]*child{m.switchboard}, m.providers...) }

// join makes a provider's folder one of this mesh, when it is not yet or when its invite was refused. It runs before each
// start of the provider.
func (m *meshRun) join(ctx context.Context, name string) error {
	m.mu.Lock()
	failure := m.failures[name]
	delete(m.failures, name)
	m.mu.Unlock()
	if m.l.hasJoined(name) && (failure == nil || failure.Code != inos.CodeInviteRefused) {
		return nil
	}
	select {
	case <-m.listening:
	case <-ctx.Done():
		return ctx.Err()
	}
	m.mu.Lock()
	client := m.client
	m.mu.Unlock()
	zone, hostName, err := m.standsAt(ctx, client)
	if err != nil {
		return err
	}
	share, err := m.l.shareOf(int64(m.f.node.capacity))
	if err != nil {
		return err
	}
	invite, err := client.Invite(ctx, api.InviteQuestion{
		Zone: zone, Host: hostName, Tier: string(m.l.tierOf(name)), OfferedBytes: share, LifeUs: inviteLife.Microseconds(),
	})
	if err != nil {
		return err
	}
	_, err = host.Join(m.l.path(name), invite.Text)
	return err
}

// standsAt returns where the providers of this mesh stand: where those do that are in it. The machine may have another name by now, and files would spread
// over two machines that are one.
func (m *meshRun) standsAt(ctx context.Context, client *api.Client) (zone, hostName string, err error) {
	r, err := client.Nodes(ctx)
	if err != nil {
		return "", "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range r.Nodes {
		if n := &r.Nodes[i]; strings.HasPrefix(m.names[n.Node], providerPrefix) {
			return n.Zone, n.Host, nil
		}
	}
	if hostName, err = os.Hostname(); err != nil {
		return "", "", inos.Errorf(inos.CodeIO, "invite provider", "the machine's name: %w", err)
	}
	return "home", hostName, nil
}

// errNotYet says that the switchboard cannot be asked.
var errNotYet = errors.New("the switchboard is not there yet")

// told takes a line of JSON of a node: what happened to it.
func (m *meshRun) told(c *child, line []byte) {
	var e struct {
		Event    string `json:"event"`
		Text     string `json:"text"`
		URL      string `json:"url"`
		NodeID   string `json:"node_id"`
		Version  string `json:"version"`
		KernelID string `json:"kernel_id"`
	}
	if json.Unmarshal(line, &e) != nil {
		m.logged(c, line)
		return
	}
	switch e.Event {
	case "listening":
		m.listens(c, identity{url: e.URL, nodeID: e.NodeID, version: e.Version, kernelID: e.KernelID})
		c.running()
	case "notice", "not ready", "worker":
		if c != m.switchboard && !m.ofSwitchboard(e.Text) { // whose status is shown
			m.view.say(c.name, e.Event+": "+e.Text)
		}
	}
}

// listens notes where a node is and what it is called.
func (m *meshRun) listens(c *child, i identity) {
	m.mu.Lock()
	again := m.urls[c.name] != ""
	m.urls[c.name] = i.url
	if m.names[i.nodeID] != c.name {
		for id, name := range m.names { // a folder that was emptied has another node
			if name == c.name {
				delete(m.names, id)
			}
		}
		m.names[i.nodeID] = c.name
		if err := m.l.rename(m.names); err != nil {
			m.view.say(c.name, err.Error())
		}
	}
	if c == m.switchboard {
		var err error
		m.client, err = folderClient(i.url, c.dir)
		if err == nil {
			m.view.offers(m.client)
		}
		if err == nil && !again {
			close(m.listening)
		}
		if err != nil {
			m.failLocked(inos.Errorf(inos.CodeIO, "start mesh", "%w", err))
		}
	}
	m.mu.Unlock()
	if c == m.switchboard && !again {
		if m.isFirst {
			m.view.say("mesh", fmt.Sprintf("a switchboard and %s on this machine: it survives the loss of a process, not of the machine; 'inos invite' lets other machines in", plural(uint64(len(m.providers)), "provider")))
			m.view.say("root key", m.rootKey()+": copy it to a safe place and keep it there; with it the map of the mesh can be made again ('inos rebuild')")
		}
		m.view.started(i, !m.rebuild)
	}
}

// logged takes a line of a node's log; an error as JSON is the last thing that it says.
func (m *meshRun) logged(c *child, line []byte) {
	var said struct {
		Error *struct {
			Code, Operation, Message, Hint string
		} `json:"error"`
	}
	if json.Unmarshal(line, &said) == nil && said.Error != nil {
		e := &inos.Error{Code: codeNamed(said.Error.Code), Op: said.Error.Operation, Message: said.Error.Message, Hint: said.Error.Hint}
		m.mu.Lock()
		m.failures[c.name] = e
		m.mu.Unlock()
		return // told with what becomes of the node
	}
	text := strings.TrimPrefix(string(line), "inos: ")
	if c != m.switchboard && strings.HasPrefix(text, "mesh: ") && (m.stopping.Load() || m.ofSwitchboard(text)) {
		return
	}
	_, _ = fmt.Fprintf(m.view, "inos: %s: %s\n", c.name, printable(text)) // the view takes everything
}

// ofSwitchboard says that a provider speaks of its switchboard, which is not there yet, has ended, or is there again. The process is this
// one's own and its end is told; a provider that it does not hear of is told as the switchboard sees it.
func (m *meshRun) ofSwitchboard(text string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, name := range m.names {
		if name == switchboardName && strings.Contains(text, id) {
			return true
		}
	}
	return false
}

// codeNamed returns the code of a name of the catalogue.
func codeNamed(name string) inos.Code {
	for c := inos.CodeInternal; c.Name() != "unknown"; c++ {
		if c.Name() == name {
			return c
		}
	}
	return inos.CodeInternal
}

// became tells what became of a node's process, and ends the mesh when the switchboard cannot run.
func (m *meshRun) became(c *child) {
	v := c.view()
	m.mu.Lock()
	if failure := m.failures[c.name]; failure != nil && v.ran {
		v.reason = failure.Error() // its own words
	}
	m.mu.Unlock()
	switch v.state {
	case childStarting:
		if c == m.switchboard { // a provider's start looks at its last failure
			m.mu.Lock()
			delete(m.failures, c.name)
			m.mu.Unlock()
		}
	case childWaiting:
		m.mu.Lock()
		same := m.reasons[c.name] == v.reason && (!v.ran || m.failures[c.name] != nil)
		m.reasons[c.name] = v.reason
		m.mu.Unlock()
		if c == m.switchboard && m.judge() {
			return
		}
		if !same {
			m.view.say(c.name, v.reason+"; it is started again")
		}
	case childDown:
		m.view.say(c.name, "kept down by the file "+filepath.Join(c.dir, downFile))
	case childFailed:
		m.view.say(c.name, fmt.Sprintf("%s; it ended %d times within %v and is not started again", v.reason, restartsMax+1, restartWindow))
		if c == m.switchboard {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.failLocked(inos.Errorf(inos.CodeInternal, "run mesh", "the switchboard ended %d times, last: %s", restartsMax+1, v.reason))
		}
	}
}

// judge ends the mesh when its switchboard has failed at its first start for a reason that no other start mends; it tells
// whether it has.
func (m *meshRun) judge() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	failure := m.failures[switchboardName]
	if failure == nil || m.urls[switchboardName] != "" {
		return false
	}
	held := failure.Code == inos.CodeFolderInUse || failure.Code == inos.CodeSecondSwitchboard
	if held && time.Since(m.began) < heldTimeout {
		return false // the nodes of an 'inos up' that was killed are about to end, and give their folder free last
	}
	if failure.Code == inos.CodeAddressInUse && strings.Contains(failure.Message, m.l.MeshListen) {
		failure.Hint = "Stop the program that listens there: the providers of this mesh look for their switchboard at that address."
	}
	m.failLocked(failure)
	return true
}

func (m *meshRun) failLocked(err error) {
	if m.fatal == nil {
		m.fatal = err
		close(m.dead)
	}
}
