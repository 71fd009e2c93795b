package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// realNet gives every node of a mesh a network namespace of its own, with one interface whose packets this process carries to
// the others: late, not at all, or in one direction only, as the test says. A system without the kernel's own netem can do it too.
type realNet struct {
	t      *testing.T
	prefix string
	mu     sync.Mutex // guards what follows
	ports  map[string]*netPort
	rules  map[[2]netip.Addr]netRule // by source and destination
	all    netRule                   // of links without a rule
	random *rand.Rand
	begun  int // packets on their way
}

// netPort is a node's interface.
type netPort struct {
	net  *realNet
	ns   string
	addr netip.Addr
	tun  *os.File
	done chan struct{}
}

// netRule is what happens to packets of one direction of a link.
type netRule struct {
	cut    bool
	delay  time.Duration
	jitter time.Duration // more or less than delay
	loss   int           // of 1,000 packets
}

const (
	netMTU        = 1400
	netPacketsMax = 1 << 16 // under way; more are lost, as in a router
	netInterface  = "mesh0"
	netPortNumber = "7772" // each node's, in its namespace
)

// newRealNet skips the test where namespaces or interfaces cannot be made.
func newRealNet(t *testing.T) *realNet {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root: run as root, or in a container with CAP_SYS_ADMIN and CAP_NET_ADMIN")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skipf("%v: install iproute2 (tools/setup does)", err)
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("%v: this system makes no network interfaces for processes", err)
	}
	n := &realNet{
		t: t, ports: map[string]*netPort{}, rules: map[[2]netip.Addr]netRule{}, random: rand.New(rand.NewPCG(1, 2)),
		prefix: fmt.Sprintf("inos%d-%d-", os.Getpid()%100000, time.Now().UnixNano()%100000),
	}
	if out, err := exec.Command("ip", "netns", "add", n.prefix+"probe").CombinedOutput(); err != nil {
		t.Skipf("this system makes no network namespace: %v: %s", err, out)
	}
	n.run("ip", "netns", "del", n.prefix+"probe")
	return n
}

// attach makes a node's namespace and interface.
func (n *realNet) attach(name string) netip.Addr {
	n.t.Helper()
	p := &netPort{net: n, ns: n.prefix + name, addr: netip.AddrFrom4([4]byte{10, 88, 0, byte(len(n.ports) + 1)}), done: make(chan struct{})}
	n.run("ip", "netns", "add", p.ns)
	n.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", p.ns).Run() })
	err := inNamespace(p.ns, func() (err error) {
		p.tun, err = openTun()
		return err
	})
	if err != nil {
		n.t.Fatalf("make an interface in %s: %v", p.ns, err)
	}
	n.in(p.ns, "ip", "addr", "add", p.addr.String()+"/24", "dev", netInterface)
	n.in(p.ns, "ip", "link", "set", netInterface, "mtu", fmt.Sprint(netMTU), "up")
	n.in(p.ns, "ip", "link", "set", "lo", "up")
	n.mu.Lock()
	n.ports[name] = p
	n.mu.Unlock()
	go p.carry()
	n.t.Cleanup(func() {
		_ = p.tun.Close()
		<-p.done
	})
	return p.addr
}

// inNamespace runs f on a thread that is in a network namespace. The thread comes back from it: one that ended would take the processes
// with it that were started on it (Pdeathsig).
func inNamespace(name string, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	there, err := os.Open("/run/netns/" + name)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back)
	}
	return err
}

// openTun makes the interface of this thread's namespace.
func openTun() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(netInterface)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), netInterface), nil
}

// carry takes a node's packets to where they are for.
func (p *netPort) carry() {
	defer close(p.done)
	packet := make([]byte, 64<<10)
	for {
		size, err := p.tun.Read(packet)
		if err != nil {
			return
		}
		if size < 20 || packet[0]>>4 != 4 {
			continue // IPv6 looks for neighbours; there are none
		}
		p.net.send(bytes.Clone(packet[:size]), netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20])))
	}
}

// send carries one packet by the rule of its link.
func (n *realNet) send(packet []byte, from, to netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var port *netPort
	for _, p := range n.ports {
		if p.addr == to {
			port = p
		}
	}
	rule, ok := n.rules[[2]netip.Addr{from, to}]
	if !ok {
		rule = n.all
	}
	if port == nil || rule.cut || rule.loss > 0 && n.random.IntN(1000) < rule.loss || n.begun >= netPacketsMax {
		return
	}
	if rule.delay == 0 {
		_, _ = port.tun.Write(packet) // a queue that is full loses it
		return
	}
	late := rule.delay
	if rule.jitter > 0 {
		late += time.Duration(n.random.Int64N(int64(2*rule.jitter))) - rule.jitter
	}
	n.begun++
	time.AfterFunc(late, func() {
		_, _ = port.tun.Write(packet)
		n.mu.Lock()
		n.begun--
		n.mu.Unlock()
	})
}

// oneWay sets what happens to packets from one node to another.
func (n *realNet) oneWay(from, to *realNode, rule netRule) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules[[2]netip.Addr{n.ports[from.name].addr, n.ports[to.name].addr}] = rule
}

// cut takes two nodes apart.
func (n *realNet) cut(a, b *realNode) {
	n.oneWay(a, b, netRule{cut: true})
	n.oneWay(b, a, netRule{cut: true})
}

// heal makes all links the same, without fault when the rule is zero.
func (n *realNet) heal(all netRule) {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.rules)
	n.all = all
}

func (n *realNet) in(ns string, command ...string) {
	n.t.Helper()
	n.run("ip", append([]string{"netns", "exec", ns}, command...)...)
}

func (n *realNet) run(name string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// command is one of the binary in a node's namespace.
func (n *realNet) command(name string, args []string) (string, []string) {
	return "ip", append([]string{"netns", "exec", n.ports[name].ns, "inos"}, args...)
}

// door lets this process reach an address of a node's namespace: it returns one of its own.
func (n *realNet) door(name, address string) string {
	n.t.Helper()
	ns := n.ports[name].ns
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var there net.Conn
				if inNamespace(ns, func() (err error) {
					there, err = net.Dial("tcp", address)
					return err
				}) != nil {
					return
				}
				defer there.Close()
				go func() {
					_, _ = io.Copy(there, c)
					_ = there.(*net.TCPConn).CloseWrite()
				}()
				_, _ = io.Copy(c, there)
			}()
		}
	}()
	return l.Addr().String()
}
