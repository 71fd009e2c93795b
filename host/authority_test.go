package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/trust"
)

// openSwitchboard opens a node as inos up does: its root key beside its folder, and an address of the mesh.
func openSwitchboard(t testing.TB, parent, name string, change func(*Config)) (*Node, error) {
	t.Helper()
	config := Config{
		DataDir: filepath.Join(parent, name), Listen: "127.0.0.1:0", Workers: 1, Stderr: testLog{t}, CacheDir: testCache,
		RootKeyPath: filepath.Join(parent, "root.key"), MeshListen: []string{"/ip4/127.0.0.1/tcp/0"},
	}
	if change != nil {
		change(&config)
	}
	return Open(context.Background(), config)
}

func mustOpenSwitchboard(t testing.TB, parent, name string, change func(*Config)) *Node {
	t.Helper()
	n, err := openSwitchboard(t, parent, name, change)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func closeNode(t testing.TB, n *Node) {
	t.Helper()
	if err := n.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestASwitchboardComesBackAsTheSameNode(t *testing.T) {
	parent := t.TempDir()
	n := mustOpenSwitchboard(t, parent, "a", nil)
	id, certificate := n.id, n.authority.signer.Certificate()
	if n.authority.root != nil || n.rootKey.root != nil {
		t.Error("a switchboard that runs keeps the root seed in memory")
	}
	closeNode(t, n)
	for _, name := range []string{"root.key", "a/node.key", "a/mesh.json", "a/token"} {
		info, err := os.Stat(filepath.Join(parent, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	n = mustOpenSwitchboard(t, parent, "a", nil)
	if n.id != id || string(n.authority.signer.Certificate()) != string(certificate) {
		t.Error("a second start made another key or certificate")
	}
	closeNode(t, n)

	t.Log("the root key is taken away: the certificate is enough")
	away := filepath.Join(t.TempDir(), "root.key")
	if err := os.Rename(filepath.Join(parent, "root.key"), away); err != nil {
		t.Fatal(err)
	}
	n = mustOpenSwitchboard(t, parent, "a", nil)
	if n.id != id {
		t.Error("without the root key it is another node")
	}
	closeNode(t, n)
	if _, err := openSwitchboard(t, parent, "a", func(c *Config) { c.Rebuild = true }); inos.CodeOf(err) != inos.CodeBadRequest {
		t.Errorf("a rebuild without the root key: %v", err)
	}
	if err := os.Rename(away, filepath.Join(parent, "root.key")); err != nil {
		t.Fatal(err)
	}

	t.Log("the folder is emptied: only a rebuild may start, and it is the same node")
	if err := os.RemoveAll(filepath.Join(parent, "a")); err != nil {
		t.Fatal(err)
	}
	if _, err := openSwitchboard(t, parent, "a", nil); inos.CodeOf(err) != inos.CodeConflict {
		t.Errorf("an emptied switchboard started as if its mesh were new: %v", err)
	}
	n = mustOpenSwitchboard(t, parent, "a", func(c *Config) { c.Rebuild = true })
	if n.id != id || n.authority.root == nil {
		t.Error("the rebuilding switchboard is another node, or cannot open records")
	}
	n.currentLoop().perform(n.hostEnvelope(event.EndRestore, &eventpb.EndRestoreRequest{})) // what an earlier try has noted is forgotten
	if _, err := os.Stat(n.folder.path(rebuildingFile)); err != nil {
		t.Errorf("a rebuild that has begun is not marked: %v", err)
	}
	n.currentLoop().perform(n.hostEnvelope(event.EndRestore, &eventpb.EndRestoreRequest{Settle: true, NowUs: 1}))
	if _, err := os.Stat(n.folder.path(rebuildingFile)); err == nil {
		t.Error("a rebuild that has ended is marked")
	}
	closeNode(t, n)
	closeNode(t, mustOpenSwitchboard(t, parent, "a", func(c *Config) {
		c.Workers = 2
	}))
}

func TestASecondSwitchboardIsRefused(t *testing.T) {
	parent := t.TempDir()
	n := mustOpenSwitchboard(t, parent, "a", nil)
	defer closeNode(t, n)
	_, err := openSwitchboard(t, parent, "b", nil)
	if inos.CodeOf(err) != inos.CodeSecondSwitchboard || !strings.Contains(err.Error(), "root.key") {
		t.Errorf("a second switchboard with the same root key: %v", err)
	}
	if _, err := openSwitchboard(t, parent, "a", nil); inos.CodeOf(err) != inos.CodeFolderInUse {
		t.Errorf("a second switchboard on the same folder: %v", err)
	}
}

// Two switchboards of one mesh that meet: the one certified later stops, and says why.
func TestTheYoungerSwitchboardStops(t *testing.T) {
	older := mustOpenSwitchboard(t, t.TempDir(), "a", nil)
	defer closeNode(t, older)
	otherParent := t.TempDir()
	younger := mustOpenSwitchboard(t, otherParent, "b", nil)
	// A certificate of the older one's mesh for the younger, as an operator with the root key could make it.
	root := older.testRoot(t)
	now := younger.clock.Now()
	certificate, err := root.Certify(younger.id, now, now+inos.Day)
	if err != nil {
		t.Fatal(err)
	}
	younger.authority.verifier = root.Verifier()
	if younger.authority.signer, err = trust.NewSigner(root.Verifier(), younger.key, certificate, now); err != nil {
		t.Fatal(err)
	}
	if err := younger.mesh.SetCertificate(certificate); err != nil {
		t.Fatal(err)
	}
	if err := younger.mesh.Keep(older.MeshAddrs()); err != nil {
		t.Fatal(err)
	}
	<-younger.Done()
	if inos.CodeOf(younger.Err()) != inos.CodeSecondSwitchboard {
		t.Errorf("the younger ended with %v", younger.Err())
	}
	if err := younger.Close(context.Background()); inos.CodeOf(err) != inos.CodeSecondSwitchboard {
		t.Errorf("its Close: %v", err)
	}
	if older.Err() != nil {
		t.Errorf("the older ended too: %v", older.Err())
	}
}

// testRoot reads the root seed from its file.
func (n *Node) testRoot(t testing.TB) *trust.Root {
	t.Helper()
	return n.testRootAt(t, n.rootKey.path)
}

func (n *Node) testRootAt(t testing.TB, path string) *trust.Root {
	t.Helper()
	k := &rootKey{path: path}
	if err := k.read(); err != nil {
		t.Fatal(err)
	}
	return k.root
}

func TestRolesDoNotMixInAFolder(t *testing.T) {
	parent := t.TempDir()
	n := mustOpenSwitchboard(t, parent, "a", nil)
	text, err := n.testInvite()
	if err != nil {
		t.Fatal(err)
	}
	closeNode(t, n)
	if _, err := Join(filepath.Join(parent, "a"), text); inos.CodeOf(err) != inos.CodeConflict {
		t.Errorf("a switchboard's folder joins: %v", err)
	}
	provider := filepath.Join(parent, "p")
	for range 2 {
		granted, err := Join(provider, text)
		if err != nil || granted.Host != "nas" {
			t.Fatalf("Join: %v, %v", granted, err)
		}
	}
	if _, err := openSwitchboard(t, parent, "p", nil); inos.CodeOf(err) != inos.CodeConflict {
		t.Errorf("a provider's folder starts as a switchboard: %v", err)
	}
	mere := func(dir string) error {
		_, err := Open(context.Background(), Config{DataDir: dir, Provider: true, Stderr: testLog{t}, CacheDir: testCache})
		return err
	}
	if err := mere(filepath.Join(parent, "a")); inos.CodeOf(err) != inos.CodeConflict {
		t.Errorf("a switchboard's folder starts as a mere provider: %v", err)
	}
	if err := mere(filepath.Join(parent, "new")); inos.CodeOf(err) != inos.CodeBadRequest {
		t.Errorf("a provider that has joined nothing: %v", err)
	}
	for name, bad := range map[string]string{"empty": "", "cut": text[:len(text)-1], "no invite": "hello", "damaged": text[:40] + "A" + text[41:]} {
		if bad == text {
			continue
		}
		if _, err := Join(filepath.Join(parent, "q"), bad); inos.CodeOf(err) != inos.CodeInviteRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
}
