package trust

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/inos-mesh/inos/event"
)

var update = flag.Bool("update", false, "write the golden vectors")

// vectors are the statements of a mesh whose root seed is 00 01 … 1f. Signatures are deterministic, so that every implementation makes
// the same bytes; a seal is not, and the one here has to open.
type vectors struct {
	RootSeed          string `json:"root_seed"`
	RootKey           string `json:"root_key"`
	SwitchboardKey    string `json:"switchboard_key"`
	SwitchboardNode   string `json:"switchboard_node"`
	SealKey           string `json:"seal_key"`
	NowUs             int64  `json:"now_us,string"`
	ExpiresUs         int64  `json:"expires_us,string"`
	CertificateToSign string `json:"certificate_to_sign"`
	Certificate       string `json:"certificate"`
	Holder            string `json:"holder"`
	Node              string `json:"node"`
	Grant             string `json:"grant"`
	TicketToSign      string `json:"ticket_to_sign"`
	Ticket            string `json:"ticket"`
	Invite            string `json:"invite"`
	Record            string `json:"record"`
	SealedRecord      string `json:"sealed_record"`
	RevocationToSign  string `json:"revocation_to_sign"`
	Revocation        string `json:"revocation"` // of the switchboard
}

const vectorsFile = "testdata/trust.json"

func makeVectors(t *testing.T) (vectors, *Root) {
	t.Helper()
	seed := make([]byte, RootSeedBytes)
	for i := range seed {
		seed[i] = byte(i)
	}
	root, err := NewRoot(seed)
	if err != nil {
		t.Fatal(err)
	}
	signer := newSigner(t, root, now, expires)
	ticket, err := signer.SignTicket(grant(), now)
	if err != nil {
		t.Fatal(err)
	}
	invite, err := signer.SignInvite(inviteContent(), now)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := signer.SealRecord(record(), now)
	if err != nil {
		t.Fatal(err)
	}
	certified, err := parse(signer.Certificate(), CertificateBytesMax)
	if err != nil {
		t.Fatal(err)
	}
	revocation, err := root.Revoke(signer.about.Node, now)
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := parse(revocation, RevocationBytesMax)
	if err != nil {
		t.Fatal(err)
	}
	h := hex.EncodeToString
	return vectors{
		RootSeed: h(seed), RootKey: h(root.PublicKey()), SwitchboardKey: h(root.SwitchboardKey().Seed()),
		SwitchboardNode: string(NodeOf(root.SwitchboardKey().Public().(ed25519.PublicKey))), SealKey: h(root.SealKey()),
		NowUs: int64(now), ExpiresUs: int64(expires),
		CertificateToSign: h(toSign(kindCertificate, now, certified.Content)), Certificate: h(signer.Certificate()),
		Holder: string(provider), Node: string(other), Grant: h(event.Payload(grant())),
		TicketToSign: h(toSign(kindTicket, now, event.Payload(grant()))), Ticket: h(ticket),
		Invite: invite, Record: h(event.Payload(record())), SealedRecord: h(sealed),
		RevocationToSign: h(toSign(kindRevocation, now, revoked.Content)), Revocation: h(revocation),
	}, root
}

func TestGoldenVectors(t *testing.T) {
	made, root := makeVectors(t)
	if *update {
		b, err := json.MarshalIndent(made, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorsFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var golden vectors
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	sealed, err := hex.DecodeString(golden.SealedRecord)
	if err != nil {
		t.Fatal(err)
	}
	got, signed, err := root.OpenRecord(sealed)
	if err != nil || signed != now || !bytes.Equal(event.Payload(got), event.Payload(record())) {
		t.Errorf("the sealed record opens as %v, signed at %d, %v", got, signed, err)
	}
	made.SealedRecord = golden.SealedRecord
	revocation, err := hex.DecodeString(golden.Revocation)
	if err != nil {
		t.Fatal(err)
	}
	v := root.Verifier()
	if r, fresh, err := v.Revoke(revocation); err != nil || !fresh || string(r.Node) != golden.SwitchboardNode || r.At != now || !v.Revoked(r.Node) {
		t.Errorf("the revocation reads as %+v, %t, %v", r, fresh, err)
	}
	if made != golden {
		t.Errorf("made\n%+v\ngolden\n%+v", made, golden)
	}
}
