package host

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// rigNodeMode is the argument with which the test binary is a node of a benchmark: its configuration follows as JSON.
const rigNodeMode = "rig-node"

// rigProviders is how many providers a mesh of the benchmarks has.
const rigProviders = 6

// rig is a mesh of real processes, spoken to by HTTP as a client does: a switchboard and its providers, or a lone node.
type rig struct {
	b         *testing.B
	dir       string
	board     *rigNode
	providers []*rigNode
	client    *api.Client
	fastest   float64 // put of the last measurement, bytes per second
}

// rigNode is one process.
type rigNode struct {
	dir  string
	id   inos.NodeID
	cmd  *exec.Cmd
	stop io.Closer // ends it
}

// runRigNode is the main of a node: it serves until its input ends.
func runRigNode(config string) error {
	signal.Ignore(os.Interrupt) // of a terminal, which the benchmark gets too
	var c Config
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	n, err := Open(context.Background(), c)
	if err != nil {
		return err
	}
	fmt.Println(n.URL(), n.id)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return n.Close(context.Background())
}

// start runs a node and returns where it listens.
func (r *rig) start(c Config) (*rigNode, string) {
	r.b.Helper()
	c.Listen, c.CacheDir, c.Record = "127.0.0.1:0", testCache, true
	if c.Switchboard != c.Provider {
		c.MeshListen, c.HeartbeatEvery = []string{"/ip4/127.0.0.1/tcp/0"}, inos.Second
	}
	config, err := json.Marshal(c)
	if err != nil {
		r.b.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		r.b.Fatal(err)
	}
	n := &rigNode{dir: c.DataDir, cmd: exec.Command(self, rigNodeMode, string(config))}
	n.cmd.Stderr = os.Stderr
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := n.cmd.StdoutPipe()
	if err == nil {
		n.stop, err = n.cmd.StdinPipe()
	}
	if err == nil {
		err = n.cmd.Start()
	}
	var url string
	if err == nil {
		_, err = fmt.Fscan(out, &url, &n.id)
	}
	if err != nil {
		r.b.Fatalf("start a node in %s: %v", c.DataDir, err)
	}
	return n, url
}

// openRig starts a mesh with so many providers; none makes a lone node. Its folders are in memory where there is such a place.
func openRig(b *testing.B, providers int, change func(*Config)) *rig {
	b.Helper()
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "inos-bench-")
	if err != nil {
		b.Fatal(err)
	}
	r := &rig{b: b, dir: dir}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := Config{DataDir: filepath.Join(dir, "switchboard"), Switchboard: true, Provider: providers == 0, RootKeyPath: filepath.Join(dir, "root.key")}
	if change != nil {
		change(&c)
	}
	var url string
	r.board, url = r.start(c)
	secret, err := os.ReadFile(filepath.Join(c.DataDir, "token"))
	if err == nil {
		r.client, err = api.NewClient(url, strings.TrimSpace(string(secret)))
	}
	if err != nil {
		b.Fatal(err)
	}
	r.wait("it is ready", func(s api.Status) bool { return s.Ready })
	for i := range providers {
		tier := inos.TierCold
		if i >= 4 {
			tier = inos.TierHot
		}
		invite, err := r.client.Invite(b.Context(), api.InviteQuestion{Zone: "home", Host: "here", Tier: string(tier), OfferedBytes: 1 << 40})
		if err != nil {
			b.Fatal(err)
		}
		n, _ := r.start(Config{DataDir: filepath.Join(dir, fmt.Sprintf("provider-%d", i+1)), Provider: true, Invite: invite.Text})
		r.providers = append(r.providers, n)
	}
	if providers > 0 {
		r.wait("all providers have come", func(s api.Status) bool { return s.Ready && int(s.MembersAlive) >= providers })
	}
	return r
}

// rigPollEvery is the time between two looks at a mesh.
const rigPollEvery = 20 * time.Millisecond

// wait looks at the status until it is as wanted.
func (r *rig) wait(what string, is func(api.Status) bool) {
	r.b.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(rigPollEvery) {
		s, err := r.client.Status(r.b.Context())
		if err == nil && is(s) {
			return
		}
		if time.Now().After(deadline) {
			r.b.Fatalf("it did not come to this: %s: %+v, %v", what, s, err)
		}
	}
}

// end ends a process in order.
func (n *rigNode) end() error {
	_ = n.stop.Close()
	return n.cmd.Wait()
}

// kill ends a process at once.
func (n *rigNode) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait() // "signal: killed" is what was asked for
}

// close ends all that run, the switchboard first.
func (r *rig) close() {
	r.b.Helper()
	r.client.Close()
	for _, n := range append([]*rigNode{r.board}, r.providers...) {
		if n.cmd.ProcessState != nil {
			continue
		}
		if err := n.end(); err != nil {
			r.b.Errorf("end the node in %s: %v", n.dir, err)
		}
	}
}

// rigKinds are the kinds of processes, in the order in which they are reported.
var rigKinds = []string{"switchboard", "providers", "workers", "client"}

// pids returns the processes of each kind; this one is the client.
func (r *rig) pids() map[string][]int {
	r.b.Helper()
	s, err := r.client.Status(r.b.Context())
	if err != nil {
		r.b.Fatal(err)
	}
	pids := map[string][]int{"switchboard": {r.board.cmd.Process.Pid}, "client": {os.Getpid()}}
	for _, n := range r.providers {
		if n.cmd.ProcessState == nil {
			pids["providers"] = append(pids["providers"], n.cmd.Process.Pid)
		}
	}
	for _, w := range s.Workers {
		pids["workers"] = append(pids["workers"], int(w.PID))
	}
	return pids
}

// cpu returns the processor time that each kind has taken so far. Unlike the time on the clock it hardly depends on what else the
// machine does.
func (r *rig) cpu() map[string]time.Duration {
	spent := map[string]time.Duration{}
	for kind, pids := range r.pids() {
		for _, pid := range pids {
			spent[kind] += processTime(pid)
		}
	}
	return spent
}

// clockTick is the unit of times in /proc.
const clockTick = 10 * time.Millisecond

// processTime reads how long a process has run, 0 where that is not to be had.
func processTime(pid int) time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	var user, system int64
	if len(fields) > 12 {
		_, _ = fmt.Sscan(fields[11], &user)
		_, _ = fmt.Sscan(fields[12], &system)
	}
	return time.Duration(user+system) * clockTick
}

// report adds the processor seconds per GB of plain bytes since before, and the peak memory of the largest process of each kind of
// the mesh. Above what design allows, it fails.
func (r *rig) report(b *testing.B, before map[string]time.Duration, plainBytes float64) {
	b.Helper()
	after, pids := r.cpu(), r.pids()
	var sum time.Duration
	for _, kind := range rigKinds {
		if len(pids[kind]) == 0 {
			continue
		}
		spent := after[kind] - before[kind]
		sum += spent
		b.ReportMetric(spent.Seconds()/(plainBytes/1e9), "cpu-s/GB-"+kind)
		if kind == "client" {
			continue
		}
		peak := 0
		for _, pid := range pids[kind] {
			peak = max(peak, peakMiB(pid))
		}
		b.ReportMetric(float64(peak), "MiB-"+kind)
		if peak > rigPeakMiB {
			b.Errorf("a process of the %s has had %d MiB, at most %d are allowed", kind, peak, rigPeakMiB)
		}
	}
	b.ReportMetric(sum.Seconds()/(plainBytes/1e9), "cpu-s/GB-all")
}

// rigPeakMiB is the most memory that any process of a mesh may ever have had.
const rigPeakMiB = 300
