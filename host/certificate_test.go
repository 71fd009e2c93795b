package host

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// movedClock is the machine's clock and a distance by which a test has moved it.
type movedClock struct {
	clock
	ahead atomic.Int64
}

func (c *movedClock) now() inos.Micros { return c.Now() + inos.Micros(c.ahead.Load()) }

// heard keeps the log of a node.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) count(s string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Count(h.text.String(), s)
}

// certified says what a status tells of the certificate.
func (n *Node) certified(t *testing.T) (until inos.Micros, notices string) {
	t.Helper()
	s := n.tellCertificate(n.hostEnvelope(statusTold, &eventpb.NodeStatusReply{}))
	var p eventpb.NodeStatusReply
	if err := p.UnmarshalVT(s.Payload); err != nil {
		t.Fatal(err)
	}
	return inos.Micros(p.CertificateExpiresUs), strings.Join(p.Notices, "\n")
}

// With the root key at hand a switchboard renews its certificate by itself at two thirds of its life.
func TestACertificateIsRenewed(t *testing.T) {
	parent, moved, log := t.TempDir(), &movedClock{clock: newClock()}, &heard{}
	n := mustOpenSwitchboard(t, parent, "a", func(c *Config) { c.Now, c.Stderr = moved.now, log })
	defer closeNode(t, n)
	first := n.signer().About()
	if life := first.Expires - n.clock.Now(); life <= 89*inos.Day || life > 90*inos.Day {
		t.Errorf("a new certificate lasts %d days", life/inos.Day)
	}
	for _, c := range []struct {
		day     inos.Micros
		renewed bool
	}{{59, false}, {61, true}, {62, false}, {122, true}} {
		before := n.signer().About()
		moved.ahead.Store(int64(c.day * inos.Day))
		n.keepCertified()
		now := n.signer().About()
		if (now.Expires != before.Expires) != c.renewed || now.NotBefore != first.NotBefore {
			t.Errorf("day %d: from %d until %d, before until %d", c.day, now.NotBefore, now.Expires, before.Expires)
		}
		if until, notices := n.certified(t); until != now.Expires || notices != "" {
			t.Errorf("day %d: the status says %d %q", c.day, until, notices)
		}
	}
	if log.count("certificate was renewed") != 2 {
		t.Error("the log tells each renewal once")
	}
	if state, err := n.folder.meshState(); err != nil || !bytes.Equal(state.Certificate, n.signer().Certificate()) {
		t.Errorf("what is kept is not what is shown: %v", err)
	}
}

// Without the root key a person is warned 30 days before the end, in the status and once a day in the log, and a certificate that is laid into the
// folder is taken by the node while it runs.
func TestACertificateIsRenewedFromAnOfflineKey(t *testing.T) {
	parent, moved, log := t.TempDir(), &movedClock{clock: newClock()}, &heard{}
	n := mustOpenSwitchboard(t, parent, "a", func(c *Config) { c.Now, c.Stderr = moved.now, log })
	key := filepath.Join(t.TempDir(), "safe.key")
	if err := os.Rename(n.rootKey.path, key); err != nil {
		t.Fatal(err)
	}
	for _, day := range []inos.Micros{59, 61, 61, 62, 91} {
		moved.ahead.Store(int64(day * inos.Day))
		n.keepCertified()
		_, notices := n.certified(t)
		if warned := strings.Contains(notices, "inos keys renew --data "+n.folder.dir); warned != (day > 60) {
			t.Errorf("day %d: %q", day, notices)
		}
		if strings.Contains(notices, "obey it no more") != (day > 90) {
			t.Errorf("day %d: %q", day, notices)
		}
	}
	if got := log.count("inos keys renew"); got != 3 {
		t.Errorf("the log warns %d times on three days", got)
	}

	other := mustOpenSwitchboard(t, t.TempDir(), "b", nil)
	defer closeNode(t, other)
	for path, code := range map[string]inos.Code{other.rootKey.path: inos.CodeUnauthenticated, key + ".none": inos.CodeBadRequest} {
		if _, err := RenewCertificate(n.folder.dir, path); inos.CodeOf(err) != code {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := RenewCertificate(t.TempDir(), key); inos.CodeOf(err) != inos.CodeConflict {
		t.Errorf("a folder of no switchboard: %v", err)
	}
	moved.ahead.Store(0) // the renewal is by the machine's clock
	moved.ahead.Store(int64(inos.Hour))
	until, err := RenewCertificate(n.folder.dir, key)
	if err != nil {
		t.Fatal(err)
	}
	n.keepCertified()
	if got, notices := n.certified(t); got != until || notices != "" {
		t.Errorf("until %d, want %d; %q", got, until, notices)
	}
	if _, err := os.Stat(n.folder.path(certificateFile)); !os.IsNotExist(err) {
		t.Errorf("the certificate is left in the folder: %v", err)
	}

	t.Log("one that is laid into the folder while the switchboard is stopped is taken at its start, even when the last has ended")
	closeNode(t, n)
	old := *n.authority.state
	root := n.testRootAt(t, key)
	if old.Certificate, err = root.Certify(n.id, 1, 2); err != nil {
		t.Fatal(err)
	}
	if err := n.folder.keepMeshState(&old); err != nil {
		t.Fatal(err)
	}
	if _, err := openSwitchboard(t, parent, "a", nil); inos.CodeOf(err) != inos.CodeUnauthenticated || !hints(err, "inos keys renew") {
		t.Errorf("a start with a certificate that has ended: %v", err)
	}
	if until, err = RenewCertificate(n.folder.dir, key); err != nil {
		t.Fatal(err)
	}
	n = mustOpenSwitchboard(t, parent, "a", nil)
	defer closeNode(t, n)
	if got := n.signer().About(); got.Expires != until || got.NotBefore != 1 {
		t.Errorf("from %d until %d, want from 1 until %d", got.NotBefore, got.Expires, until)
	}
}

// Providers take the renewed certificate without a restart: they obey it when the one that they were shown first has ended.
func TestProvidersTakeTheRenewedCertificate(t *testing.T) {
	moved := &movedClock{clock: newClock()}
	m := &testMesh{t: t, parent: t.TempDir()}
	m.openBoard(func(c *Config) { c.Now = moved.now })
	m.providers = make([]*Node, 1)
	m.openProviderWith(0, m.invite("host-0"), func(c *Config) { c.Now = moved.now })
	m.waitAlive(1)
	m.board.mustPut("/before", noise(40, 1<<20))
	provider := m.providers[0]
	obeys := func() bool {
		_, err := provider.verifyPeer(m.board.id, m.board.signer().Certificate())
		return err == nil
	}
	moved.ahead.Store(int64(61 * inos.Day))
	m.board.keepCertified()
	moved.ahead.Store(int64(91 * inos.Day)) // behind the end of the first
	m.board.keepCertified()
	if !obeys() {
		t.Error("the provider does not obey the renewed certificate")
	}
	m.waitAlive(1)
	m.board.mustPut("/after", noise(41, 1<<20))
	m.board.mustHold("/after", noise(41, 1<<20))
	m.board.mustHold("/before", noise(40, 1<<20))
	m.close()
}

// hints says that an error tells what to do.
func hints(err error, what string) bool {
	var e *inos.Error
	return errors.As(err, &e) && strings.Contains(e.Hint, what)
}
