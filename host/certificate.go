package host

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/trust"
)

// A switchboard is certified for a while and has its certificate renewed while it runs: by itself when the root key's file is where it was
// named, else by a person with the key, who lays a certificate into its folder with RenewCertificate.
const (
	// certificateLife is how long a switchboard is certified. Two thirds of it later the certificate is renewed.
	certificateLife = 90 * inos.Day
	// certificateSkew is how far the clocks of others may be behind when a certificate is new.
	certificateSkew = inos.Day
	// certificateWarn is how long before its end a person is told of a certificate that could not be renewed.
	certificateWarn = 30 * inos.Day
	// certificateEvery is the time between two looks at it; certificateSayEvery between two lines of the log about it.
	certificateEvery    = 20 * time.Second
	certificateSayEvery = inos.Day
	// certificateFile is where RenewCertificate lays a certificate, hexadecimal.
	certificateFile = "certificate.new"
)

// statusTold is the reply in which the host tells of the certificate: the kernel knows nothing of it.
var statusTold = event.WithState(event.NodeStatus, event.StateCompleted)

// signer returns what the node signs with; nil when it is no switchboard.
func (n *Node) signer() *trust.Signer {
	n.signerMu.Lock()
	defer n.signerMu.Unlock()
	return n.authority.signer
}

// due says that a certificate is to be renewed: less than a third of a certificate's life is left.
func due(c trust.Certificate, now inos.Micros) bool { return c.Expires-now <= certificateLife/3 }

// certifyBy returns a signer with a new certificate. It counts from when the one before did, if that is of the same mesh: who was first tells
// two switchboards apart.
func certifyBy(root *trust.Root, v *trust.Verifier, key ed25519.PrivateKey, before []byte, now inos.Micros) (*trust.Signer, error) {
	from := now - certificateSkew
	if c, err := v.ReadCertificate(before); err == nil {
		from = min(from, c.NotBefore)
	}
	raw, err := root.Certify(trust.NodeOf(key.Public().(ed25519.PublicKey)), from, now+certificateLife)
	if err != nil {
		return nil, err
	}
	return trust.NewSigner(v, key, raw, now)
}

// watchAuthority takes revocations that are laid into the folder, and keeps a switchboard certified, while the node runs.
func (n *Node) watchAuthority(ctx context.Context) {
	tick := time.NewTicker(certificateEvery)
	defer tick.Stop()
	for {
		n.takeRevocations()
		if n.signer() != nil {
			n.keepCertified()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// keepCertified takes a certificate that was laid into the folder, or renews the one there is when it is due and the root key at hand. What
// it cannot do is logged once a day.
func (n *Node) keepCertified() {
	n.certifying.Lock()
	defer n.certifying.Unlock()
	now := n.clock.Now()
	have := n.signer()
	signer, err := n.laidCertificate(n.authority.verifier, now)
	if signer != nil && signer.About().Expires <= have.About().Expires {
		signer = nil // it was taken before
	}
	if err == nil && signer == nil && due(have.About(), now) {
		signer, err = n.renewed(have, now)
	}
	if err == nil && signer != nil {
		err = n.adopt(signer)
	}
	if err == nil && signer != nil {
		n.logf("the switchboard's certificate was renewed, until %s", dayOf(signer.About().Expires))
		return
	}
	left := have.About().Expires - now
	if err == nil && left > certificateWarn || n.certificateSaid != 0 && now-n.certificateSaid < certificateSayEvery {
		return
	}
	n.certificateSaid = now
	if err != nil {
		n.logf("%v", err)
	}
	if left <= certificateWarn {
		n.logf("%s", n.certificateNotice(have.About(), now))
	}
}

// renewed has the root key make another certificate; nil when its file is not at hand.
func (n *Node) renewed(have *trust.Signer, now inos.Micros) (*trust.Signer, error) {
	k := &rootKey{path: n.rootKey.path}
	if err := k.read(); err != nil || k.root == nil {
		return nil, err
	}
	signer, err := certifyBy(k.root, n.authority.verifier, n.key, have.Certificate(), now)
	if err != nil {
		return nil, inos.Errorf(inos.CodeOf(err), "renew certificate", "by the root key %s: %w", k.path, err)
	}
	return signer, nil
}

// adopt makes a certificate the node's: kept first, then shown to others.
func (n *Node) adopt(signer *trust.Signer) error {
	state := *n.authority.state
	state.Certificate = signer.Certificate()
	if err := n.folder.keepMeshState(&state); err != nil {
		return err
	}
	n.signerMu.Lock()
	n.authority.state, n.authority.signer = &state, signer
	n.signerMu.Unlock()
	if err := os.Remove(n.folder.path(certificateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError("renew certificate", err)
	}
	if n.mesh == nil {
		return nil
	}
	return n.mesh.SetCertificate(signer.Certificate())
}

// laidCertificate reads the certificate that RenewCertificate has laid into the folder; nil when there is none.
func (n *Node) laidCertificate(v *trust.Verifier, now inos.Micros) (*trust.Signer, error) {
	const op = "take certificate"
	path := n.folder.path(certificateFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, diskError(op, err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%s is not hexadecimal: %w", path, err)
	}
	signer, err := trust.NewSigner(v, n.key, raw, now)
	if err != nil {
		return nil, inos.Errorf(inos.CodeOf(err), op, "%s: %w", path, err)
	}
	return signer, nil
}

// certificateNotice says what a person has to do about a certificate that ends; empty while nothing has to be done.
func (n *Node) certificateNotice(c trust.Certificate, now inos.Micros) string {
	left := c.Expires - now
	if left > certificateWarn {
		return ""
	}
	what := "the switchboard's certificate ends on " + dayOf(c.Expires)
	if left <= 0 {
		what = "the switchboard's certificate ended on " + dayOf(c.Expires) + " and providers obey it no more"
	}
	return what + ", and the root key is not at " + n.rootKey.path + ": where it is at hand, run inos keys renew --data " + n.folder.dir + " --root-key FILE"
}

func dayOf(at inos.Micros) string { return time.UnixMicro(int64(at)).Format(time.DateOnly) }

// tellCertificate puts into a status when the certificate ends, and what has to be done about it.
func (n *Node) tellCertificate(e *eventpb.Envelope) *eventpb.Envelope {
	signer := n.signer()
	if signer == nil {
		return e
	}
	var p eventpb.NodeStatusReply
	if event.Open(e, &p) != nil {
		return e
	}
	p.CertificateExpiresUs = int64(signer.About().Expires)
	if notice := n.certificateNotice(signer.About(), n.clock.Now()); notice != "" {
		p.Notices = append(p.Notices, notice)
	}
	out := e.CloneVT()
	out.Payload = event.Payload(&p)
	return out
}

// RenewCertificate has a root key certify the switchboard of a data folder anew and lays the certificate into the folder: a switchboard that
// runs takes it from there within a minute, another at its next start. It returns when the certificate ends.
//
// CodeConflict, that the folder is no switchboard's; CodeUnauthenticated, that the root key is another mesh's.
func RenewCertificate(dir, rootKeyPath string) (until inos.Micros, err error) {
	const op = "renew certificate"
	if dir, err = filepath.Abs(dir); err != nil {
		return 0, diskError(op, err)
	}
	f := &folder{dir: dir}
	state, err := f.meshState()
	if err != nil {
		return 0, err
	}
	if state == nil || len(state.Certificate) == 0 {
		e := inos.Errorf(inos.CodeConflict, op, "%s is no switchboard's folder", dir)
		e.Hint = "Name the switchboard's with --data."
		return 0, e
	}
	k := &rootKey{path: rootKeyPath}
	if err := k.read(); err != nil {
		return 0, err
	}
	if k.root == nil {
		e := inos.Errorf(inos.CodeBadRequest, op, "there is no root key at %s", rootKeyPath)
		e.Hint = "Name its file with --root-key."
		return 0, e
	}
	before, err := k.root.Verifier().ReadCertificate(state.Certificate)
	if err != nil {
		return 0, inos.Errorf(inos.CodeUnauthenticated, op, "%s is not the root key of the mesh of %s: %w", rootKeyPath, dir, err)
	}
	now := newClock().Now()
	until = now + certificateLife
	raw, err := k.root.Certify(before.Node, min(before.NotBefore, now-certificateSkew), until)
	if err != nil {
		return 0, err
	}
	return until, f.write(certificateFile, hex.EncodeToString(raw)+"\n")
}
