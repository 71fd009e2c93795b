package mesh

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
)

// Two providers, each behind a NAT of its own, and a relay between them: network namespaces with the kernel's own address
// translation, and a process of this test in each.
//
//	lan1 10.1.0.2 ── 10.1.0.1 nat1 5.5.0.11 ──┐
//	                                          ├── 5.5.0.1 wan (relay)
//	lan2 10.2.0.2 ── 10.2.0.1 nat2 5.5.0.12 ──┘

const (
	natRoleEnv = "INOS_MESH_TEST_ROLE"
	natPatient = hangTime
)

func TestMain(m *testing.M) {
	if role := os.Getenv(natRoleEnv); role != "" {
		natNode(role)
		return
	}
	os.Exit(m.Run())
}

// natAsk is a line to a process, natTell its line back.
type natAsk struct {
	Do    string // addrs, call, direct
	Node  inos.NodeID
	Addrs []string
}
type natTell struct {
	ID    inos.NodeID
	Addrs []string
	Error string
	Via   []string // addresses of the connections to the node
}

// natNode is a node of the test: a role is a number and the addresses of its relay, if it has one.
func natNode(role string) {
	words := strings.Fields(role)
	n, _ := strconv.Atoi(words[0])
	m, err := Open(context.Background(), Config{
		Key: key(n), Listen: []string{"/ip4/0.0.0.0/tcp/4001"}, Serve: echo, Now: wallClock,
		RelayService: len(words) == 1, Relays: words[1:],
		Logf: func(format string, args ...any) {
			fmt.Fprintf(os.Stderr, "node %d: "+format+"\n", append([]any{n}, args...)...)
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out, in := json.NewEncoder(os.Stdout), json.NewDecoder(os.Stdin)
	for {
		var ask natAsk
		if in.Decode(&ask) != nil {
			return // the test has ended
		}
		tell := natTell{ID: m.ID()}
		switch ask.Do {
		case "addrs": // those that others can use: of a node behind a NAT, through its relay
			for tell.Addrs = m.Addrs(); len(words) > 1 && !strings.Contains(strings.Join(tell.Addrs, " "), "p2p-circuit"); tell.Addrs = m.Addrs() {
				time.Sleep(10 * time.Millisecond)
			}
		case "call":
			bulk := bytes.Repeat([]byte{1, 2, byte(n)}, inos.StoredBytesMax/3)
			ctx, cancel := context.WithTimeout(context.Background(), natPatient)
			reply, err := m.Call(ctx, ask.Node, ask.Addrs, Message{Envelope: []byte("over the wall"), Bulk: bulk}, make([]byte, 0, inos.StoredBytesMax))
			cancel()
			if err != nil {
				tell.Error = err.Error()
			} else if !bytes.Equal(reply.Bulk, bulk) {
				tell.Error = fmt.Sprintf("%d bytes came back", len(reply.Bulk))
			}
			tell.Via = m.via(ask.Node)
		case "direct": // waits for a connection that goes through no relay
			for end := time.Now().Add(natPatient); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				if tell.Via = m.via(ask.Node); slices.ContainsFunc(tell.Via, func(a string) bool { return !strings.Contains(a, "p2p-circuit") }) {
					break
				}
			}
		}
		_ = out.Encode(tell)
	}
}

func (m *Mesh) via(node inos.NodeID) []string {
	for _, p := range m.Peers() {
		if p.ID == node {
			return p.Addrs
		}
	}
	return nil
}

// natProcess is a node in a namespace.
type natProcess struct {
	in  *json.Encoder
	out *json.Decoder
}

func (p *natProcess) ask(t *testing.T, q natAsk) natTell {
	t.Helper()
	var tell natTell
	if err := p.in.Encode(q); err != nil {
		t.Fatal(err)
	}
	if err := p.out.Decode(&tell); err != nil {
		t.Fatalf("%s: %v", q.Do, err)
	}
	if tell.Error != "" {
		t.Fatalf("%s: %s", q.Do, tell.Error)
	}
	return tell
}

// natNet is the namespaces of a test.
type natNet struct {
	t      *testing.T
	prefix string
}

// newNatNet builds the network of the picture, or skips the test where that is not allowed.
func newNatNet(t *testing.T) *natNet {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root: run as root, or in a container with CAP_SYS_ADMIN and CAP_NET_ADMIN")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%v: install iproute2 and nftables (tools/setup does)", err)
		}
	}
	n := &natNet{t: t, prefix: fmt.Sprintf("inos%d", os.Getpid()%100000)}
	if out, err := exec.Command("ip", "netns", "add", n.prefix+"wan").CombinedOutput(); err != nil {
		t.Skipf("this system makes no network namespace: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.prefix+"wan").Run() })
	for _, ns := range []string{"nat1", "nat2", "lan1", "lan2"} {
		n.run("ip", "netns", "add", n.prefix+ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.prefix+ns).Run() })
	}
	n.in("wan", "ip", "link", "add", "br0", "type", "bridge")
	n.in("wan", "ip", "addr", "add", "5.5.0.1/24", "dev", "br0")
	n.in("wan", "ip", "link", "set", "br0", "up")
	for i := 1; i <= 2; i++ {
		nat, lan, number := fmt.Sprint("nat", i), fmt.Sprint("lan", i), fmt.Sprint(i)
		n.in("wan", "ip", "link", "add", "to"+number, "type", "veth", "peer", "name", "out", "netns", n.prefix+nat)
		n.in("wan", "ip", "link", "set", "to"+number, "master", "br0", "up")
		n.in(nat, "ip", "addr", "add", "5.5.0.1"+number+"/24", "dev", "out")
		n.in(nat, "ip", "link", "set", "out", "up")
		n.in(nat, "ip", "link", "add", "inside", "type", "veth", "peer", "name", "eth", "netns", n.prefix+lan)
		n.in(nat, "ip", "addr", "add", "10."+number+".0.1/24", "dev", "inside")
		n.in(nat, "ip", "link", "set", "inside", "up")
		n.in(lan, "ip", "addr", "add", "10."+number+".0.2/24", "dev", "eth")
		n.in(lan, "ip", "link", "set", "eth", "up")
		n.in(lan, "ip", "link", "set", "lo", "up")
		n.in(lan, "ip", "route", "add", "default", "via", "10."+number+".0.1")
		n.in(nat, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
		// What a home router does: it translates what goes out, lets answers in, and drops everything else.
		n.in(nat, "nft", `table ip home {
			chain post { type nat hook postrouting priority 100; oifname "out" masquerade; }
			chain walls { type filter hook forward priority -10; policy accept; }
			chain forward { type filter hook forward priority 0; policy drop; iifname "inside" accept; ct state established,related accept; }
			chain input { type filter hook input priority 0; policy drop; iifname "inside" accept; ct state established,related accept; }
		}`)
	}
	return n
}

func (n *natNet) in(ns string, command ...string) {
	n.t.Helper()
	n.run("ip", append([]string{"netns", "exec", n.prefix + ns}, command...)...)
}

func (n *natNet) run(name string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// start runs a node in a namespace until the test ends.
func (n *natNet) start(ns, role string) *natProcess {
	n.t.Helper()
	c := exec.Command("ip", "netns", "exec", n.prefix+ns, os.Args[0])
	c.Env = append(os.Environ(), natRoleEnv+"="+role)
	in, err := c.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	said, err := c.StderrPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		n.t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			n.t.Log(lines.Text())
		}
	}()
	n.t.Cleanup(func() { // the end of its input ends it
		_ = in.Close()
		<-read
		_, _ = io.Copy(io.Discard, out)
		_ = c.Wait()
	})
	return &natProcess{in: json.NewEncoder(in), out: json.NewDecoder(out)}
}

func TestNAT(t *testing.T) {
	for _, c := range []struct {
		name  string
		walls bool // no packet gets directly from one router to the other
	}{{"through the relay", true}, {"through a punched hole", false}} {
		t.Run(c.name, func(t *testing.T) {
			n := newNatNet(t)
			if c.walls {
				n.in("nat1", "nft", "add rule ip home walls ip daddr 5.5.0.12 drop")
				n.in("nat2", "nft", "add rule ip home walls ip daddr 5.5.0.11 drop")
			}
			relay := n.start("wan", "1").ask(t, natAsk{Do: "addrs"})
			var at []string
			for _, a := range relay.Addrs {
				if strings.HasPrefix(a, "/ip4/5.5.0.1/") {
					at = append(at, a)
				}
			}
			one, two := n.start("lan1", "2 "+at[0]), n.start("lan2", "3 "+at[0])
			first, second := one.ask(t, natAsk{Do: "addrs"}), two.ask(t, natAsk{Do: "addrs"})
			there := one.ask(t, natAsk{Do: "call", Node: second.ID, Addrs: second.Addrs})
			back := two.ask(t, natAsk{Do: "call", Node: first.ID, Addrs: first.Addrs})
			t.Logf("1 MiB there and back by %v and %v", there.Via, back.Via)
			if c.walls {
				if via := strings.Join(append(there.Via, back.Via...), " "); strings.Count(via, "p2p-circuit") != len(there.Via)+len(back.Via) {
					t.Errorf("there are walls, and yet it went by %s", via)
				}
				return
			}
			direct := one.ask(t, natAsk{Do: "direct", Node: second.ID})
			if !slices.ContainsFunc(direct.Via, func(a string) bool {
				return strings.HasPrefix(a, "/ip4/5.5.0.12/") && !strings.Contains(a, "p2p-circuit")
			}) {
				t.Errorf("no hole was punched: %v", direct.Via)
			}
			one.ask(t, natAsk{Do: "call", Node: second.ID})
			two.ask(t, natAsk{Do: "call", Node: first.ID})
		})
	}
}
