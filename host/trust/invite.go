package trust

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// InvitePrefix begins the text of an invite. What follows is a Signed in base64url without padding (RFC 4648, section 5).
const InvitePrefix = "inos1"

// inviteText is the coding behind the prefix; strict, so that one invite has one text.
var inviteText = base64.RawURLEncoding.Strict()

// Invite is an invite whose signature was checked.
type Invite struct {
	Content *eventpb.Invite
	Raw     []byte      // the signed invite, to be shown to switchboards
	By      inos.NodeID // the switchboard that signed it
	Signed  inos.Micros
}

// Expired says that nobody may join with the invite any more; one without a time never does. A node that joined before may still show it.
func (i *Invite) Expired(now inos.Micros) bool {
	at := inos.Micros(i.Content.ExpiresUs)
	return at != 0 && now >= at
}

// SignInvite makes the text of an invite that a person hands on. Its root key is set to the mesh's. CodeBadRequest for one that is
// too long.
func (s *Signer) SignInvite(invite *eventpb.Invite, now inos.Micros) (text string, err error) {
	content := invite.CloneVT()
	content.RootKey = s.root
	raw := sign(kindInvite, s.key, s.certificate, content, now)
	if len(raw) > InviteBytesMax {
		return "", inos.Errorf(inos.CodeBadRequest, "sign invite", "%d bytes, an invite has at most %d", len(raw), InviteBytesMax)
	}
	return InvitePrefix + inviteText.EncodeToString(raw), nil
}

// ReadInvite reads the text of an invite as a newcomer does, who knows no mesh yet: the root key that the invite names is believed,
// and everything else is checked against it, expiry included. White space around the text is taken off. CodeInviteRefused says what is wrong.
func ReadInvite(text string, now inos.Micros) (*Invite, error) {
	invite, err := readInvite(text, now)
	if err != nil {
		return nil, inos.Errorf(inos.CodeInviteRefused, "read invite", "%w", err)
	}
	return invite, nil
}

func readInvite(text string, now inos.Micros) (*Invite, error) {
	raw, err := decodeInvite(text)
	if err != nil {
		return nil, err
	}
	s, err := parse(raw, InviteBytesMax)
	if err != nil {
		return nil, err
	}
	var unchecked eventpb.Invite
	if err := unchecked.UnmarshalVT(s.Content); err != nil {
		return nil, fmt.Errorf("its content does not decode: %w", err)
	}
	v, err := NewVerifier(unchecked.RootKey)
	if err != nil {
		return nil, err
	}
	invite, err := v.invite(raw)
	if err != nil {
		return nil, err
	}
	if invite.Expired(now) {
		return nil, fmt.Errorf("the invite expired %d s ago", (now-inos.Micros(invite.Content.ExpiresUs))/1e6)
	}
	return invite, nil
}

// decodeInvite returns the bytes of a text, unchecked.
func decodeInvite(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if len(text) > len(InvitePrefix)+inviteText.EncodedLen(InviteBytesMax) {
		return nil, fmt.Errorf("%d characters are too many for an invite", len(text))
	}
	digits, ok := strings.CutPrefix(text, InvitePrefix)
	if !ok {
		return nil, fmt.Errorf("an invite begins with %q", InvitePrefix)
	}
	raw, err := inviteText.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("the text is damaged or not whole: %w", err)
	}
	return raw, nil
}

// Invite reads a signed invite of this mesh that a node shows; CodeInviteRefused says why it does not count. One that has expired is
// read all the same: the node may have joined in time.
func (v *Verifier) Invite(raw []byte) (*Invite, error) {
	invite, err := v.invite(raw)
	if err != nil {
		return nil, inos.Errorf(inos.CodeInviteRefused, "check invite", "%w", err)
	}
	return invite, nil
}

func (v *Verifier) invite(raw []byte) (*Invite, error) {
	content := &eventpb.Invite{}
	c, signed, err := v.statement(kindInvite, raw, InviteBytesMax, content)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(content.RootKey, v.root) {
		return nil, errors.New("it is of another mesh")
	}
	return &Invite{Content: content, Raw: bytes.Clone(raw), By: c.Node, Signed: signed}, nil
}

// InviteText is Invite of an invite's text.
func (v *Verifier) InviteText(text string) (*Invite, error) {
	raw, err := decodeInvite(text)
	if err != nil {
		return nil, inos.Errorf(inos.CodeInviteRefused, "check invite", "%w", err)
	}
	return v.Invite(raw)
}
