package api

import (
	"encoding/hex"

	"github.com/inos-mesh/inos/event/eventpb"
)

// Challenge is what a login signs: LoginText says how.
type Challenge struct {
	Challenge string `json:"challenge"`
	Mesh      string `json:"mesh"` // root public key of the mesh, 64 hexadecimal digits
	ExpiresUs int64  `json:"expires_us"`
}

// ChallengeQuestion asks for one.
type ChallengeQuestion struct {
	User string `json:"user"`
}

// LoginQuestion proves that who sends it holds a device's key.
type LoginQuestion struct {
	User            string   `json:"user"`
	DevicePublicKey string   `json:"device_public_key"` // Ed25519, 64 hexadecimal digits
	Challenge       string   `json:"challenge"`
	Signature       string   `json:"signature"` // of LoginText, 128 hexadecimal digits
	DeviceName      string   `json:"device_name,omitempty"`
	Enrolment       string   `json:"enrolment,omitempty"`    // the secret that lets in a device that is not known
	Capabilities    []string `json:"capabilities,omitempty"` // none: all that the user has
	Audience        string   `json:"audience,omitempty"`     // none: the mesh
}

// RefreshQuestion asks for another access token.
type RefreshQuestion struct {
	Refresh string `json:"refresh"`
}

// LoginReply lets a device in. The refresh secret is good for once: the next reply has another.
type LoginReply struct {
	Token          string  `json:"token"`
	TokenExpiresUs int64   `json:"token_expires_us"`
	Refresh        string  `json:"refresh"`
	Session        Session `json:"session"`
}

// Session is what a token stands for.
type Session struct {
	ID           string   `json:"id"`
	User         string   `json:"user"`
	Device       string   `json:"device,omitempty"`
	IssuedBy     string   `json:"issued_by,omitempty"` // the device by which a token without one was issued
	Name         string   `json:"name,omitempty"`
	Capabilities []string `json:"capabilities"`
	Audience     string   `json:"audience,omitempty"`
	Peer         string   `json:"peer,omitempty"`
	CreatedUs    int64    `json:"created_us,omitempty"`
	ExpiresUs    int64    `json:"expires_us,omitempty"`
	Refreshable  bool     `json:"refreshable,omitempty"`
}

// Quota bounds a user's namespace; 0 is no bound.
type Quota struct {
	PlainBytes        uint64 `json:"plain_bytes"`
	Files             uint64 `json:"files"`
	RequestsPerSecond uint32 `json:"requests_per_second"`
}

// User is somebody with a namespace of their own.
type User struct {
	Name       string `json:"name"`
	Operator   bool   `json:"operator"`
	Disabled   bool   `json:"disabled"`
	Quota      Quota  `json:"quota"`
	CreatedUs  int64  `json:"created_us"`
	PlainBytes uint64 `json:"plain_bytes"` // of its live files
	Files      uint64 `json:"files"`
	Balance    int64  `json:"balance"` // micro-credits
}

// UserReply is one user, with what a page of users leaves out.
type UserReply struct {
	User
	Groups       []string `json:"groups"`        // that it is in
	RequestsLeft uint32   `json:"requests_left"` // that may be sent now
	RequestsMax  uint32   `json:"requests_max"`  // that may be sent at once after a pause; 0: any number
}

// WhoamiReply is who asks: what the token says, and its user.
type WhoamiReply struct {
	User    UserReply `json:"user"`
	Session Session   `json:"session"`
}

// UserQuestion is what a user is to be.
type UserQuestion struct {
	Operator bool  `json:"operator"`
	Disabled bool  `json:"disabled"`
	Quota    Quota `json:"quota"`
	Create   bool  `json:"create"`  // refused with conflict when there is one of that name
	Credits  int64 `json:"credits"` // micro-credits given to it now
}

// UsersReply is a page of users by name.
type UsersReply struct {
	Users []User `json:"users"`
	Next  string `json:"next"`
}

// EnrolmentQuestion asks for a secret with which a new device logs in.
type EnrolmentQuestion struct {
	LifeUs int64 `json:"life_us,omitempty"` // 0: the default
}

// Enrolment is a secret that is good for one device, once.
type Enrolment struct {
	Secret    string `json:"secret"`
	ExpiresUs int64  `json:"expires_us"`
}

// Device is what a user logs in with.
type Device struct {
	ID        string `json:"id"`
	User      string `json:"user"`
	Name      string `json:"name"`
	CreatedUs int64  `json:"created_us"`
	Revoked   bool   `json:"revoked"`
}

// DevicesReply is what a user logs in with, revoked ones too.
type DevicesReply struct {
	Devices []Device `json:"devices"`
}

// EndedReply says how many sessions a revocation has ended.
type EndedReply struct {
	Sessions uint32 `json:"sessions"`
}

// DeviceEndedReply says what the revocation of a device has ended.
type DeviceEndedReply struct {
	Sessions uint32 `json:"sessions"` // of its own
	Tokens   uint32 `json:"tokens"`   // that it had issued, those of dashboards among them
}

// Group is a set of users under one name.
type Group struct {
	Name    string   `json:"name"`
	Members []string `json:"members"`
}

// GroupQuestion is who a group is to consist of.
type GroupQuestion struct {
	Members []string `json:"members"`
}

// GroupsReply is a page of groups by name.
type GroupsReply struct {
	Groups []Group `json:"groups"`
	Next   string  `json:"next"`
}

// TokenQuestion asks for a program's token.
type TokenQuestion struct {
	Name         string   `json:"name"`
	Capabilities []string `json:"capabilities"`
	LifeUs       int64    `json:"life_us,omitempty"`
	Audience     string   `json:"audience,omitempty"`
	Peer         string   `json:"peer,omitempty"` // the only node that may use it
}

// TokenReply is a program's token, and what it stands for.
type TokenReply struct {
	Token   string  `json:"token"`
	Session Session `json:"session"`
}

// TokensReply is a page of a user's sessions, those of programs and those of devices.
type TokensReply struct {
	Tokens []Session `json:"tokens"`
	Next   string    `json:"next"`
}

// Grant lets somebody into a part of a namespace.
type Grant struct {
	ID        string   `json:"id"`
	Owner     string   `json:"owner"`
	Prefix    string   `json:"prefix"`
	Grantee   string   `json:"grantee"` // user:NAME, group:NAME, public, link:ID
	Verbs     []string `json:"verbs"`
	ExpiresUs int64    `json:"expires_us,omitempty"`
	UsesMax   uint32   `json:"uses_max,omitempty"`
	Uses      uint32   `json:"uses,omitempty"`
	By        string   `json:"by"`
	CreatedUs int64    `json:"created_us"`
}

// GrantQuestion asks for a grant, or for a link.
type GrantQuestion struct {
	Owner     string   `json:"owner,omitempty"` // empty: oneself
	Prefix    string   `json:"prefix"`
	Grantee   string   `json:"grantee,omitempty"`
	Link      bool     `json:"link,omitempty"` // instead of a grantee: whoever has the link
	Verbs     []string `json:"verbs"`
	ExpiresUs int64    `json:"expires_us,omitempty"` // 0: never
	UsesMax   uint32   `json:"uses_max,omitempty"`   // of a link; 0: any number
}

// GrantReply is a grant; of a link with its secret, and the address that has it in.
type GrantReply struct {
	Grant   Grant  `json:"grant"`
	Secret  string `json:"secret,omitempty"`
	Address string `json:"address,omitempty"` // /v1/links/ and the secret
}

// GrantsReply is a page of grants by id.
type GrantsReply struct {
	Grants []Grant `json:"grants"`
	Next   string  `json:"next"`
}

// TransferQuestion moves micro-credits from one account to another.
type TransferQuestion struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Amount int64  `json:"amount"`
	Reason string `json:"reason"`
}

// Entry is one side of a transfer.
type Entry struct {
	Seq     uint64 `json:"seq"`
	EventID string `json:"event_id"`
	Account string `json:"account"`
	Amount  int64  `json:"amount"`
	AtUs    int64  `json:"at_us"`
	Reason  string `json:"reason"`
}

// LedgerReply is a page of an account's entries, oldest first, and what the account holds.
type LedgerReply struct {
	Entries []Entry `json:"entries"`
	Next    uint64  `json:"next"`
	Balance int64   `json:"balance"`
}

// Key is a key that signs access tokens, or did.
type Key struct {
	ID        string `json:"id"`
	CreatedUs int64  `json:"created_us"`
	RetiredUs int64  `json:"retired_us,omitempty"` // since when it signs no more
	ExpiresUs int64  `json:"expires_us,omitempty"` // until when tokens that it signed count
}

// RevokedSwitchboard is a switchboard that nobody in the mesh obeys any more.
type RevokedSwitchboard struct {
	Node      string `json:"node"`
	RevokedUs int64  `json:"revoked_us"`
}

// KeysReply is what signs and verifies access tokens, the newest first, and which switchboards the root key has revoked.
type KeysReply struct {
	Keys    []Key                `json:"keys"`
	Revoked []RevokedSwitchboard `json:"revoked"`
}

// RotateQuestion asks for new keys.
type RotateQuestion struct {
	AtOnce bool `json:"at_once,omitempty"` // what the old one let in does not count any more
}

// RotateReply says what counts from now on.
type RotateReply struct {
	Keys         []Key `json:"keys,omitempty"`
	OldExpiresUs int64 `json:"old_expires_us,omitempty"` // of the operator's old token
}

// DashboardCode is good for one dashboard session.
type DashboardCode struct {
	Code      string `json:"code"`
	ExpiresUs int64  `json:"expires_us"`
}

// DashboardQuestion trades a code for a session.
type DashboardQuestion struct {
	Code string `json:"code"`
}

// DashboardSession is what a page has to know of its session; the cookie it never sees.
type DashboardSession struct {
	CSRF      string `json:"csrf"` // for the header Inos-Csrf
	User      string `json:"user"`
	ExpiresUs int64  `json:"expires_us"`
	IdleUs    int64  `json:"idle_us"` // it ends when nothing is asked for so long
}

func sessionOf(s *eventpb.Session) Session {
	if s == nil {
		s = &eventpb.Session{}
	}
	return Session{
		ID: s.TokenId, User: s.Subject, Device: s.Device, Capabilities: append([]string{}, s.Capabilities...), Audience: s.Audience, Peer: s.Peer, ExpiresUs: s.ExpiresUs,
		IssuedBy: s.IssuedBy,
	}
}

func sessionInfoOf(i *eventpb.SessionInfo) Session {
	if i == nil {
		i = &eventpb.SessionInfo{}
	}
	out := sessionOf(i.Session)
	out.Name, out.CreatedUs, out.Refreshable = i.Name, i.CreatedUs, i.Refreshable
	return out
}

func userOf(u *eventpb.User) User {
	out := User{Name: u.GetName(), Operator: u.GetOperator(), Disabled: u.GetDisabled(), CreatedUs: u.GetCreatedUs(), Balance: u.GetBalance()}
	if q := u.GetQuota(); q != nil {
		out.Quota = Quota{q.PlainBytes, q.Files, q.RequestsPerSecond}
	}
	if n := u.GetUsage(); n != nil {
		out.PlainBytes, out.Files = n.PlainBytes, n.Files
	}
	return out
}

func deviceOf(d *eventpb.Device) Device {
	return Device{ID: d.Id, User: d.User, Name: d.Name, CreatedUs: d.CreatedUs, Revoked: d.Revoked}
}

func groupOf(g *eventpb.Group) Group {
	return Group{Name: g.Name, Members: append([]string{}, g.Members...)}
}

func grantOf(g *eventpb.AccessGrant) Grant {
	if g == nil {
		g = &eventpb.AccessGrant{}
	}
	return Grant{
		ID: g.Id, Owner: g.Owner, Prefix: g.Prefix, Grantee: g.Grantee, Verbs: append([]string{}, g.Verbs...), ExpiresUs: g.ExpiresUs, UsesMax: g.UsesMax, Uses: g.Uses,
		By: g.By, CreatedUs: g.CreatedUs,
	}
}

func entryOf(e *eventpb.LedgerEntry) Entry {
	return Entry{Seq: e.Seq, EventID: e.EventId, Account: e.Account, Amount: e.Amount, AtUs: e.AtUs, Reason: e.Reason}
}

// LoginText is what a device signs to log in: it binds the signature to the purpose, the mesh, the user and the challenge.
func LoginText(mesh, user, challenge string) []byte {
	return []byte("inos-login-v1\x00" + mesh + "\x00" + user + "\x00" + challenge)
}

// unhex decodes exactly size bytes of lower- or upper-case hexadecimal digits.
func unhex(s string, size int) ([]byte, bool) {
	if len(s) != 2*size {
		return nil, false
	}
	b, err := hex.DecodeString(s)
	return b, err == nil
}
