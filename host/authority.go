package host

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/trust"
)

// rebuildingFile marks a data folder whose map is being made again, so that a start after a crash goes on with it.
const rebuildingFile = "rebuilding"

// authority is what a node believes and, a switchboard, signs with.
type authority struct {
	verifier *trust.Verifier
	signer   *trust.Signer // nil: no switchboard. While the node runs it is read by Node.signer
	root     *trust.Root   // nil unless commit records are to be opened
	state    *meshState
	invite   *trust.Invite // of a provider
}

// openAuthority finds or makes what a switchboard signs with, and the key of its node. Fresh says that the folder has no semantic memory.
//
// A root that is made here is not written down before keepAuthority, nor is a certificate: a folder that has one of them and no semantic memory is one
// that was emptied.
func (n *Node) openAuthority(fresh bool) error {
	const op = "start switchboard"
	state, err := n.folder.meshState()
	if err != nil {
		return err
	}
	if state != nil && state.Invite != "" {
		return inos.Errorf(inos.CodeConflict, op, "%s is the folder of a provider; a switchboard needs one of its own", n.folder.dir)
	}
	if n.rootKey, err = openRootKey(n.config.RootKeyPath); err != nil {
		return err
	}
	certified := state != nil && len(state.Certificate) > 0
	if err := n.wantRebuild(op, fresh, certified); err != nil {
		return err
	}
	if n.rootKey.root == nil && !certified {
		if err := n.rootKey.create(); err != nil {
			return err
		}
	}
	if state == nil {
		state = &meshState{}
	}
	if n.rootKey.root != nil {
		state.RootKey = bytes.Clone(n.rootKey.root.PublicKey())
	}
	verifier, err := n.believe(state.RootKey, state)
	if err != nil {
		return err
	}
	if err := n.openKey(n.rootKey.root); err != nil {
		return err
	}
	if verifier.Revoked(n.id) {
		if err := n.changeKey(op); err != nil {
			return err
		}
	}
	return n.certify(state, verifier)
}

// changeKey makes a switchboard whose key was revoked another one.
func (n *Node) changeKey(op string) error {
	switch {
	case n.rootKey.root == nil:
		return n.revokedHere(op)
	case n.config.Provider:
		e := inos.Errorf(inos.CodeConflict, op, "this switchboard, %s, was revoked, and it holds chunks by that name", n.id)
		e.Hint = "Start it with --switchboard alone, which holds none; its chunks are made again from the other copies."
		return e
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return inos.Errorf(inos.CodeIO, op, "make another key: %w", err)
	}
	before := n.id
	n.key, n.id = key, trust.NodeOf(key.Public().(ed25519.PublicKey))
	n.logf("the switchboard %s was revoked; this one is %s from now on, and providers have to join it again", before, n.id)
	return nil
}

// wantRebuild refuses a start that would take an emptied folder for a new mesh, and notes that a rebuild has begun.
func (n *Node) wantRebuild(op string, fresh, certified bool) error {
	if _, err := os.Stat(n.folder.path(rebuildingFile)); err == nil {
		n.config.Rebuild = true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return diskError(op, err)
	}
	if n.config.Rebuild {
		if n.rootKey.root == nil {
			e := inos.Errorf(inos.CodeBadRequest, op, "a rebuild opens commit records, and the root key is not at %s", n.rootKey.path)
			e.Hint = "Bring the mesh's root key back to that place, or name another with --root-key."
			return e
		}
		return n.folder.write(rebuildingFile, "")
	}
	if fresh && n.rootKey.root != nil {
		e := inos.Errorf(inos.CodeConflict, op, "the mesh of the root key %s has no map in %s: started as it is, this switchboard would take the mesh's files for garbage", n.rootKey.path, n.folder.dir)
		e.Hint = "Run 'inos rebuild' to make the map again from the mesh. For a new mesh, name another --root-key."
		return e
	}
	if fresh && certified { // the root key is elsewhere, as it should be
		e := inos.Errorf(inos.CodeConflict, op, "%s is a switchboard's and has no map: started as it is, it would take the mesh's files for garbage", n.folder.dir)
		e.Hint = "Bring semantic.db back from a copy, or run 'inos rebuild' with the mesh's root key. For a new mesh, name another --data."
		return e
	}
	return nil
}

// rebuilt notes that the map is whole again.
func (n *Node) rebuilt() error {
	if err := os.Remove(n.folder.path(rebuildingFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError("end rebuild", err)
	}
	return nil
}

// certify checks the certificate that the folder has, or has the root key make one.
func (n *Node) certify(state *meshState, verifier *trust.Verifier) error {
	now := n.clock.Now()
	root := n.rootKey.root
	signer, err := trust.NewSigner(verifier, n.key, state.Certificate, now)
	if laid, laidErr := n.laidCertificate(verifier, now); laidErr != nil {
		n.logf("%v", laidErr)
	} else if laid != nil && (err != nil || laid.About().Expires > signer.About().Expires) {
		signer, err, state.Certificate = laid, nil, laid.Certificate()
	}
	if root != nil && (err != nil || due(signer.About(), now)) {
		if signer, err = certifyBy(root, verifier, n.key, state.Certificate, now); err != nil {
			return err
		}
		state.Certificate = signer.Certificate()
	}
	if err != nil {
		e := inos.Errorf(inos.CodeOf(err), "start switchboard", "%w; the root key %s, which could certify this node again, is not there", err, n.config.RootKeyPath)
		e.Hint = "Where the root key is at hand, run: inos keys renew --data " + n.folder.dir + " --root-key FILE"
		return e
	}
	state.Revocations = verifier.SignedRevocations()
	n.authority = authority{verifier: verifier, signer: signer, state: state}
	if n.config.Rebuild {
		n.authority.root = root
	}
	return nil
}

// keepAuthority writes down what openAuthority made, after the semantic memory exists: the root first, from which the node's key can be
// made again; the certificate last, because a folder that has one does without the root key's file.
func (n *Node) keepAuthority() error {
	if err := n.rootKey.keep(); err != nil {
		return err
	}
	n.rootKey.root = nil // the seed is not needed any more
	if err := n.folder.write(nodeKeyFile, hex.EncodeToString(n.key.Seed())+"\n"); err != nil {
		return err
	}
	if err := n.folder.keepMeshState(n.authority.state); err != nil {
		return err
	}
	return n.keepRevocations()
}

// nodeKeyFile holds the node's Ed25519 seed.
const nodeKeyFile = "node.key"

// openKey reads the node's key. The first start makes it: a switchboard's from the mesh's root, so that it has the same node id when its
// folder is lost, which keepAuthority writes down; any other at random.
func (n *Node) openKey(root *trust.Root) error {
	_, err := os.Stat(n.folder.path(nodeKeyFile))
	if errors.Is(err, fs.ErrNotExist) && root != nil {
		n.key = root.SwitchboardKey()
	} else {
		text, err := n.folder.secret(nodeKeyFile, "", ed25519.SeedSize)
		if err != nil {
			return err
		}
		seed, err := hex.DecodeString(text)
		if err != nil {
			return inos.Errorf(inos.CodeBadFormat, "read "+nodeKeyFile, "%s is not hexadecimal: %w", n.folder.path(nodeKeyFile), err)
		}
		n.key = ed25519.NewKeyFromSeed(seed)
	}
	n.id = trust.NodeOf(n.key.Public().(ed25519.PublicKey))
	return nil
}
