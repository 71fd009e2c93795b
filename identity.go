package inos

import (
	"context"
	"strings"
)

// Nouns of identity: who somebody is, what lets them in, what they may do in another's namespace, and what they owe.

// Bounds of identity. A verb that would go beyond one is refused with CodeConflict, and says which it was.
const (
	UsersMax           = 65536 // disabled ones included
	GroupsMax          = 4096
	GroupMembersMax    = 512  // so that a commit record holds them
	UserGroupsMax      = 256  // groups that one user is in
	UserDevicesMax     = 256  // revoked ones included
	UserEnrolmentsMax  = 64   // that are good still
	UserSessionsMax    = 1024 // that are not over; a further login ends the oldest one
	RefreshesMax       = 4096 // refresh secrets of one session that are known to be used up; the oldest are forgotten
	OwnerGrantsMax     = 1024 // grants in one namespace to users, groups and everybody: what ReadAccess returns at most
	OwnerLinksMax      = 4096 // links into one namespace
	SessionCapsMax     = 64   // capabilities of one session
	SessionCapsBytes   = 4096 // of all of them together
	TransferEntriesMax = 16
	NameBytesMax       = 64  // of users and groups
	IDBytesMax         = 128 // of devices, tokens and grants
	LabelBytesMax      = 128 // of what a person reads: names of devices and tokens
)

// User is somebody with a namespace and an account of their own.
type User struct {
	Name      Subject
	Operator  bool // may administer the mesh; reads nobody's files by that
	Disabled  bool // cannot log in; has no sessions
	Quota     Quota
	CreatedAt Micros
	Usage     NamespaceUsage // exact; set by the memory
	Balance   int64          // micro-credits of its account; set by the memory
}

// Quota bounds a namespace; 0 is no bound.
type Quota struct {
	PlainBytes        uint64 // of live files, each counted whole
	Files             uint64
	RequestsPerSecond uint32
}

// NamespaceUsage counts the live files of one owner.
type NamespaceUsage struct {
	PlainBytes uint64
	Files      uint64
}

// Device is what a user logs in with: an Ed25519 key that never leaves it.
type Device struct {
	ID        string // the text form of its key, as of a node
	User      Subject
	Name      string // for a person
	PublicKey [32]byte
	CreatedAt Micros
	Revoked   bool // its key lets nobody in any more
}

// Group is a set of users, under one name in grants.
type Group struct {
	Name    string
	Members []Subject // sorted
}

// SessionInfo is a session as the memory keeps it. ExpiresAt is the session's end, not that of its present access token.
type SessionInfo struct {
	Session
	Name        string // for a person
	CreatedAt   Micros
	Refreshable bool
}

// Verbs of a grant.
const (
	VerbRead  = "read"
	VerbWrite = "write"
	VerbShare = "share" // grants reading to everybody and to holders of links
	VerbAdmin = "admin" // grants to users and groups
)

// Grantees that are no user: everybody, and what the names of groups, users and links begin with.
const (
	GranteePublic = "public"
	GranteeUser   = "user:"
	GranteeGroup  = "group:"
	GranteeLink   = "link:"
)

// AccessGrant lets somebody else into a part of a namespace.
type AccessGrant struct {
	ID      string
	Owner   Subject
	Prefix  Path   // it and what is below it; "/" is all
	Grantee string // "user:NAME", "group:NAME", "public", or "link:ID" with the grant's own id
	// Verbs are VerbRead, VerbWrite, VerbShare and VerbAdmin, sorted; of everybody and of links only VerbRead.
	Verbs     []string
	ExpiresAt Micros // 0: never
	UsesMax   uint32 // gets that a link is good for; 0: any number
	Uses      uint32 // counted by UseGrant
	By        Subject
	CreatedAt Micros
}

// Over says whether the grant has expired at a time. Uses do not end it: a get under way was counted when it began.
func (g *AccessGrant) Over(now Micros) bool { return g.ExpiresAt != 0 && g.ExpiresAt <= now }

// Access is what a subject may do in an owner's namespace.
type Access struct {
	Owner  User // without a name when there is no such user
	Grants []AccessGrant
}

// Accounts of the ledger.
const (
	AccountGrant  = "grant"   // where credits come from; it may be below zero
	AccountUser   = "user:"   // and a user's name
	AccountEscrow = "escrow:" // and a user's name: what its files hold in pledge
)

// LedgerEntryLife is how long each entry of the ledger stays as it was written before it may be folded into others: longer than a request id is good
// for. What bounds the entries of an account counts those that are younger.
const LedgerEntryLife = 2 * Day

// LedgerEntry is one side of a transfer. The entries of one event sum to zero, and so do all accounts at every moment.
type LedgerEntry struct {
	Seq     uint64 // set by the memory: grows with each entry
	EventID string // set by the memory: of the request that caused it; empty: folded (FoldEntries)
	Account string
	Amount  int64 // micro-credits; negative: taken from the account
	At      Micros
	Reason  string
}

// CheckName refuses what is no name of a user or a group: [a-z][a-z0-9._-]{0,63}, and neither "public" nor "host", which are nobody's.
func CheckName(name string) error {
	const op = "check name"
	if len(name) == 0 || len(name) > NameBytesMax {
		return Errorf(CodeBadRequest, op, "the name %q has %d bytes, it has 1 to %d", clip(name), len(name), NameBytesMax)
	}
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789._-", rune(c))) {
			return Errorf(CodeBadRequest, op, "the name %q has %q at byte %d; it is a small letter, then small letters, digits, '.', '_' and '-'", name, name[i:i+1], i)
		}
	}
	if name == GranteePublic || name == "host" {
		return Errorf(CodeBadRequest, op, "the name %q is nobody's", name)
	}
	return nil
}

// Opening is what OpenSession needs beside the session. The host has verified that its sender holds the key.
type Opening struct {
	PublicKey  []byte // 32 bytes of the session's device; empty for a session without one
	DeviceName string
	Enrolment  *[HashBytes]byte // hash of an enrolment's secret, which lets in a device that is not known
	Refresh    *[HashBytes]byte // hash of the secret that RefreshSession takes; nil: the session is not refreshable
}

// SemanticIdentity are the verbs of the semantic memory that concern users, devices, sessions, grants and the ledger. They obey what
// Semantic says of all verbs; PutGroup without members may be several transactions. None decides who may call it.
//
// Users, devices, groups and grants are facts that survive the loss of the memory: each has a path under the owner "", /users/NAME,
// /devices/USER/ID, /groups/NAME or /grants/ID, and each change of it writes that path's next version, pending as those of files are
// (PendingRecords), a removal as a tombstone, with the time of the change as its CreatedAt. RestoreVersion brings it back. Enrolments, sessions and the ledger do not come back.
type SemanticIdentity interface {
	// PutUser makes a user (create; CodeConflict when there is one of that name) or changes Operator, Disabled and Quota of one (CodeUserUnknown without).
	// credits, 0 or more, move from AccountGrant to the user's account in the same transaction. Sessions and enrolments of a user who is disabled end; the sessions' token ids are
	// returned. A key seen before, for the same user, changes nothing and returns the user as it was put then; for another it is CodeConflict.
	PutUser(ctx context.Context, u User, create bool, credits int64, key RequestKey, now Micros) (put User, revoked []string, err error)
	// ListUsers pages by name: at most limit (0 or above 1,000: 1,000) above after.
	ListUsers(ctx context.Context, after string, limit int) (users []User, more bool, err error)
	// FindUser returns a user and the names of the groups that it is in, sorted; CodeUserUnknown.
	FindUser(ctx context.Context, name Subject) (u User, groups []string, err error)
	// PutEnrolment keeps the hash of a secret with which a device of the user may log in once, until the time given; CodeUserUnknown. The same hash again
	// gets the new time; CodeConflict when it is another user's, and beyond UserEnrolmentsMax that are good at now.
	PutEnrolment(ctx context.Context, hash [HashBytes]byte, user Subject, expires, now Micros) error
	// ListDevices returns a user's devices by id, revoked ones too; CodeUserUnknown.
	ListDevices(ctx context.Context, user Subject) ([]Device, error)
	// RevokeDevice ends a device, its sessions and those that it issued for good, whose token ids it returns and how many were issued, and makes its key useless for this
	// user; CodeDeviceUnknown. The user's enrolments end too: the device may have made some. Again it changes nothing else.
	RevokeDevice(ctx context.Context, user Subject, device string, now Micros) (revoked []string, issued int, err error)
	// PutGroup makes or replaces a group; each member is a user (CodeUserUnknown), named once or more. Without members the group is removed, and before it,
	// in bounded transactions, the grants to it; one that is unknown is no error.
	PutGroup(ctx context.Context, g Group, now Micros) error
	// ListGroups pages by name: at most limit (0 or above 32: 32) above after.
	ListGroups(ctx context.Context, after string, limit int) (groups []Group, more bool, err error)

	// OpenSession makes a session of a user who exists and is not disabled, and returns it with the user. With a Device, the user has that device, not revoked and with
	// that key; or o.Enrolment is the user's and good at now: then it is used up and the device becomes the user's. A session that was IssuedBy a device of the
	// user's, which has no Device, needs that not to be revoked. All else is
	// CodeUnauthenticated, and changes nothing. Refreshable is set by o.Refresh, CreatedAt is now. The same session again returns it as it is; another with its token
	// id, or with its refresh secret, is CodeConflict, and so is one beyond UserSessionsMax or UserDevicesMax.
	OpenSession(ctx context.Context, s SessionInfo, o Opening, now Micros) (SessionInfo, User, error)
	// RefreshSession puts next in the place of a session's refresh secret, and returns the session with its user. A secret that was used before ends its session at once: the
	// session that was is returned, reused true. Only the last call may be made again with the same next. A secret of no session, or of one that is
	// over at now, is CodeUnauthenticated; a next that is known already, CodeConflict.
	RefreshSession(ctx context.Context, refresh, next [HashBytes]byte, now Micros) (s SessionInfo, u User, reused bool, err error)
	// FindSession returns the session of a token id, or CodeUnauthenticated. Whether it has expired is for the caller to say.
	FindSession(ctx context.Context, tokenID string) (SessionInfo, error)
	// ListSessions pages by token id: at most limit (0 or above 256: 256) of a user's sessions above after that are not over at now.
	ListSessions(ctx context.Context, user Subject, after string, limit int, now Micros) (sessions []SessionInfo, more bool, err error)
	// RevokeSessions ends the session of a user's with the token id, or (empty) all of the user's with the enrolments, and returns the
	// token ids; none is no error.
	RevokeSessions(ctx context.Context, user Subject, tokenID string) (revoked []string, err error)
	// PruneSessions forgets sessions, used refresh secrets and enrolments that were over before a time: at most limit rows (0 or above 2,048: 2,048).
	PruneSessions(ctx context.Context, before Micros, limit int) (pruned int, err error)

	// PutGrant makes a grant, whose CreatedAt is now and Uses 0. Owner and a user it names exist (CodeUserUnknown), and a group (CodeGroupUnknown). A link has the hash of its secret, which is no
	// other link's (CodeConflict); no other grant has one. CodeConflict when there is a grant with its ID, and beyond OwnerGrantsMax or OwnerLinksMax, before which those that are over at now are removed. A key
	// seen before, for the same owner, prefix and kind of grantee, changes nothing but the hash of a link, which becomes the one given, and returns the grant
	// made then; when that was removed since, CodeConflict.
	PutGrant(ctx context.Context, g AccessGrant, link *[HashBytes]byte, key RequestKey, now Micros) (AccessGrant, error)
	// ListGrants pages by id through grants that are not over at now: at most limit (0 or above 256: 256) above after. Either of an owner, or (owner empty) those that let
	// a subject in by its name or its groups.
	ListGrants(ctx context.Context, owner, subject Subject, after string, limit int, now Micros) (grants []AccessGrant, more bool, err error)
	// RemoveGrant removes a grant of an owner's and returns it; CodeGrantUnknown.
	RemoveGrant(ctx context.Context, owner Subject, id string, now Micros) (AccessGrant, error)
	// UseGrant counts one use of a grant of an owner's, once for each request id, and returns the count. CodeGrantUnknown when there is none, it is over at
	// now, or has had all its uses.
	UseGrant(ctx context.Context, owner Subject, id, requestID string, now Micros) (uses uint32, err error)
	// FindLink returns the grant of a link's secret, or CodeGrantUnknown. Whether it is over is for the caller to say.
	FindLink(ctx context.Context, hash [HashBytes]byte) (AccessGrant, error)
	// ReadAccess returns the owner and the grants in its namespace that are not over at now, sorted by id: to the subject, to its groups, and to everybody. A subject is a user's name,
	// "link:ID" or "public". At most OwnerGrantsMax and one.
	ReadAccess(ctx context.Context, owner, subject Subject, now Micros) (Access, error)

	// Transfer writes the entries of one event, at most TransferEntriesMax: their accounts, amounts and reasons; they sum to zero, and a user's account named is a user's (CodeUserUnknown).
	// covered: no user's account falls below zero by it, else CodeCreditsShort. CodeRateLimited when an account that it takes from has 131,072 entries of less than two days. Entries of that event that are there already are returned, repeated true; CodeConflict when they are others.
	Transfer(ctx context.Context, eventID string, entries []LedgerEntry, covered bool, now Micros) (written []LedgerEntry, repeated bool, err error)
	// FoldEntries puts at most limit entries (0 or above 2,048: 2,048) that were written before a time, those first that are oldest, into one for each account: its EventID is empty, its Amount
	// their sum, its Seq the least and its At the latest of theirs. Balances stay as they are; an event whose entries were folded is not known any more. It
	// returns how many it has folded, and how many entries are left in all.
	FoldEntries(ctx context.Context, before Micros, limit int) (folded, left int, err error)
	// ListEntries pages through an account's entries, at most limit (0 or above 1,000: 1,000) with a Seq above after, and returns its balance; an account that nobody has used has none and 0.
	ListEntries(ctx context.Context, account string, after uint64, limit int) (entries []LedgerEntry, more bool, balance int64, err error)
}
