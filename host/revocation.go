package host

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/trust"
)

// A switchboard whose key is not the mesh's alone any more is revoked with the root key: RevokeSwitchboard lays the revocation into the folder of a
// node, which keeps it with what it knows of the mesh. A switchboard's replies to heartbeats take it to every provider.
const (
	// revocationsFile is where RevokeSwitchboard lays revocations: a line of hexadecimal digits for each.
	revocationsFile = "revocations.new"
	// revocationsBytesMax bounds that file.
	revocationsBytesMax = 2*trust.RevocationsMax*trust.RevocationBytesMax + trust.RevocationsMax
)

// believe returns a verifier that knows what the folder knows to be revoked, what was just laid there too.
func (n *Node) believe(root []byte, state *meshState) (*trust.Verifier, error) {
	v, err := trust.NewVerifier(root)
	if err != nil {
		return nil, err
	}
	laid, err := n.folder.laidRevocations()
	if err != nil {
		return nil, err
	}
	for _, raw := range append(laid, state.Revocations...) {
		if _, _, err := v.Revoke(raw); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// laidRevocations reads the file in which revocations are laid; none when there is no file.
func (f *folder) laidRevocations() ([][]byte, error) {
	const op = "read " + revocationsFile
	info, err := os.Stat(f.path(revocationsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && info.Size() > int64(revocationsBytesMax) {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%s has %d bytes, at most %d are read", f.path(revocationsFile), info.Size(), revocationsBytesMax)
	}
	text, err := os.ReadFile(f.path(revocationsFile))
	if err != nil {
		return nil, diskError(op, err)
	}
	var raws [][]byte
	for _, line := range strings.Fields(string(text)) {
		raw, err := hex.DecodeString(line)
		if err != nil {
			return nil, inos.Errorf(inos.CodeBadFormat, op, "%s is not hexadecimal: %w", f.path(revocationsFile), err)
		}
		raws = append(raws, raw)
	}
	return raws, nil
}

// keepRevocations writes down what the verifier knows to be revoked, and forgets what was laid.
func (n *Node) keepRevocations() error {
	all := n.authority.verifier.SignedRevocations()
	n.signerMu.Lock()
	state := *n.authority.state
	n.signerMu.Unlock()
	if len(all) > len(state.Revocations) {
		state.Revocations = all
		if err := n.folder.keepMeshState(&state); err != nil {
			return err
		}
		n.signerMu.Lock()
		n.authority.state = &state
		n.signerMu.Unlock()
	}
	if err := os.Remove(n.folder.path(revocationsFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError("keep revocations", err)
	}
	return nil
}

// takeRevocations takes what was laid into the folder while the node runs.
func (n *Node) takeRevocations() {
	raws, err := n.folder.laidRevocations()
	if err == nil && len(raws) > 0 {
		err = n.revoke(raws)
	}
	if err != nil {
		n.logf("%v", err)
	}
}

// revoke takes note of revocations while the node runs: obeyed, written down, and passed on with the next heartbeats. A node that is itself revoked
// stops.
func (n *Node) revoke(raws [][]byte) error {
	n.certifying.Lock()
	defer n.certifying.Unlock()
	v := n.authority.verifier
	var refused error
	for _, raw := range raws[:min(len(raws), trust.RevocationsMax)] {
		r, fresh, err := v.Revoke(raw)
		if err != nil {
			refused = err
		} else if fresh {
			n.logf("the switchboard %s was revoked: nothing that it says counts any more", r.Node)
		}
	}
	if n.mesh != nil { // before a disk is waited for, and though it may not take it
		n.mesh.Recheck()
	}
	if err := n.keepRevocations(); err != nil {
		refused = errors.Join(refused, err)
	}
	if n.signer() != nil && v.Revoked(n.id) {
		err := n.revokedHere("run mesh")
		n.logf("%v", err)
		n.fail(err)
		n.stop()
	}
	return refused
}

func (n *Node) revokedHere(op string) error {
	e := inos.Errorf(inos.CodeUnauthenticated, op, "this switchboard, %s, was revoked", n.id)
	e.Hint = "Start it once with the mesh's root key (--root-key FILE): it gets another key and certificate, and providers join it again."
	return e
}

// withRevocations puts the mesh's revocations into the reply to a heartbeat.
func (n *Node) withRevocations(raw []byte) []byte {
	all := n.authority.verifier.SignedRevocations()
	e, err := event.Decode(raw)
	if len(all) == 0 || err != nil || event.StateOf(e.EventType) != event.StateCompleted {
		return raw
	}
	var p eventpb.HeartbeatReply
	if event.Open(e, &p) != nil {
		return raw
	}
	p.Revocations = all
	e.Payload = event.Payload(&p)
	return event.Encode(nil, e)
}

var heartbeatReplied = event.WithState(event.NodeHeartbeat, event.StateCompleted)

// takeOut takes revocations out of the reply to a heartbeat: the kernel has no use for signatures. What the root key did not sign is logged and changes nothing.
func (n *Node) takeOut(raw []byte) []byte {
	e, err := event.Decode(raw)
	if err != nil || e.EventType != heartbeatReplied {
		return raw
	}
	var p eventpb.HeartbeatReply
	if event.Open(e, &p) != nil || len(p.Revocations) == 0 {
		return raw
	}
	if err := n.revoke(p.Revocations); err != nil {
		n.logf("%v", err)
	}
	p.Revocations = nil
	e.Payload = event.Payload(&p)
	return event.Encode(nil, e)
}

// RevokeSwitchboard has a root key revoke a switchboard and lays the revocation into a data folder of the mesh, from where a node that runs takes it within
// a minute, and another at its next start.
//
// CodeUnauthenticated, that the root key is another mesh's; CodeBadFormat, that there is no such node.
func RevokeSwitchboard(dir, rootKeyPath string, node inos.NodeID) error {
	const op = "revoke switchboard"
	dir, err := filepath.Abs(dir)
	if err != nil {
		return diskError(op, err)
	}
	k := &rootKey{path: rootKeyPath}
	if err := k.read(); err != nil {
		return err
	}
	if k.root == nil {
		e := inos.Errorf(inos.CodeBadRequest, op, "there is no root key at %s", rootKeyPath)
		e.Hint = "Name its file with --root-key."
		return e
	}
	f := &folder{dir: dir}
	state, err := f.meshState()
	if err != nil {
		return err
	}
	if state != nil && !k.root.PublicKey().Equal(ed25519.PublicKey(state.RootKey)) {
		return inos.Errorf(inos.CodeUnauthenticated, op, "%s is not the root key of the mesh of %s", rootKeyPath, dir)
	}
	laid, err := f.laidRevocations()
	if err != nil {
		return err
	}
	raw, err := k.root.Revoke(node, newClock().Now())
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, r := range append(laid, raw) {
		text.WriteString(hex.EncodeToString(r) + "\n")
	}
	if text.Len() > revocationsBytesMax {
		return inos.Errorf(inos.CodeConflict, op, "%s has more than %d revocations that no node has taken yet", f.path(revocationsFile), trust.RevocationsMax)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return diskError(op, err)
	}
	return f.write(revocationsFile, text.String())
}
