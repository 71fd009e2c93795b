package semantic

import (
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
)

// The checks and refusals of the verbs of inos.SemanticIdentity.

// checkID refuses what is no id of a device, a token or a grant: letters, digits, '.', '_' and '-', beginning with a letter or a digit.
func checkID(op, what, id string) error {
	if len(id) == 0 || len(id) > inos.IDBytesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "the %s has %d bytes, it has 1 to %d", what, len(id), inos.IDBytesMax)
	}
	for i, c := range []byte(id) {
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return inos.Errorf(inos.CodeBadRequest, op, "the %s %.128q has %q at byte %d; it is letters, digits, '.', '_' and '-'", what, id, id[i:i+1], i)
		}
	}
	return nil
}

func checkLabel(op, what, s string) error {
	if len(s) > inos.LabelBytesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "the %s has %d bytes, at most %d", what, len(s), inos.LabelBytesMax)
	}
	return checkText(op, what, s, 0)
}

func checkUser(op string, u *inos.User, credits int64, key inos.RequestKey) error {
	if err := checkUserFields(op, u); err != nil {
		return err
	}
	if credits < 0 || credits > PledgeMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d micro-credits for the user %s, 0 to %d", credits, u.Name, int64(PledgeMax))
	}
	return checkKey(op, key)
}

func checkUserFields(op string, u *inos.User) error {
	if err := inos.CheckName(string(u.Name)); err != nil {
		return err
	}
	if u.Quota.PlainBytes > numberMax || u.Quota.Files > numberMax {
		return inos.Errorf(inos.CodeBadRequest, op, "the quota of the user %s is %d bytes and %d files, each is at most %d", u.Name, u.Quota.PlainBytes, u.Quota.Files, uint64(numberMax))
	}
	return nil
}

func checkDeviceFields(op string, d *inos.Device, key []byte) error {
	if err := inos.CheckName(string(d.User)); err != nil {
		return err
	}
	if err := checkID(op, "device id", d.ID); err != nil {
		return err
	}
	if len(key) != len(d.PublicKey) {
		return inos.Errorf(inos.CodeBadRequest, op, "the public key of device %s has %d bytes, it has %d", d.ID, len(key), len(d.PublicKey))
	}
	return checkLabel(op, "name of the device", d.Name)
}

func checkEnrolment(op string, user inos.Subject, expires, now inos.Micros) error {
	if expires <= now {
		return inos.Errorf(inos.CodeBadRequest, op, "an enrolment from %d to %d is over at once", now, expires)
	}
	return inos.CheckName(string(user))
}

// checkGroup returns the group with its members sorted, each once.
func checkGroup(op string, g inos.Group) (inos.Group, error) {
	if err := inos.CheckName(g.Name); err != nil {
		return g, err
	}
	g.Members = slices.Compact(slices.Sorted(slices.Values(g.Members)))
	if len(g.Members) > inos.GroupMembersMax {
		return g, inos.Errorf(inos.CodeBadRequest, op, "the group %s has %d members, at most %d", g.Name, len(g.Members), inos.GroupMembersMax)
	}
	for _, user := range g.Members {
		if err := inos.CheckName(string(user)); err != nil {
			return g, err
		}
	}
	return g, nil
}

func checkOpening(op string, s *inos.SessionInfo, o *inos.Opening) error {
	if err := checkID(op, "token id", s.TokenID); err != nil {
		return err
	}
	if err := inos.CheckName(string(s.Subject)); err != nil {
		return err
	}
	if err := checkCapabilities(op, s); err != nil {
		return err
	}
	for _, c := range []struct{ what, text string }{{"name of the token", s.Name}, {"audience", s.Audience}, {"peer", string(s.Peer)}, {"issuing device", s.IssuedBy}} {
		if err := checkLabel(op, c.what, c.text); err != nil {
			return err
		}
	}
	if o.Refresh != nil && s.ExpiresAt <= 0 {
		return inos.Errorf(inos.CodeBadRequest, op, "a session that is refreshed has an end")
	}
	if s.Device != "" && s.IssuedBy != "" {
		return inos.Errorf(inos.CodeBadRequest, op, "a device's own session is issued by none")
	}
	if s.Device == "" {
		if len(o.PublicKey) > 0 || o.Enrolment != nil {
			return inos.Errorf(inos.CodeBadRequest, op, "a key or an enrolment comes with a device")
		}
		return nil
	}
	return checkDeviceFields(op, &inos.Device{ID: s.Device, User: s.Subject, Name: o.DeviceName}, o.PublicKey)
}

func checkCapabilities(op string, s *inos.SessionInfo) error {
	bytes := 0
	for _, c := range s.Capabilities {
		bytes += len(c)
		if err := checkText(op, "capability", c, 1); err != nil {
			return err
		}
	}
	if len(s.Capabilities) > inos.SessionCapsMax || bytes > inos.SessionCapsBytes {
		return inos.Errorf(inos.CodeBadRequest, op, "the session has %d capabilities of %d bytes, at most %d of %d", len(s.Capabilities), bytes, inos.SessionCapsMax, inos.SessionCapsBytes)
	}
	return nil
}

func checkNext(op string, refresh, next [inos.HashBytes]byte) error {
	if refresh == next {
		return inos.Errorf(inos.CodeBadRequest, op, "the next refresh secret is the present one")
	}
	return nil
}

// checkGrant returns the grant with its verbs sorted, each once.
func checkGrant(op string, g inos.AccessGrant, link *[inos.HashBytes]byte) (inos.AccessGrant, error) {
	if err := checkID(op, "grant id", g.ID); err != nil {
		return g, err
	}
	if err := inos.CheckName(string(g.Owner)); err != nil {
		return g, err
	}
	if err := inos.CheckName(string(g.By)); err != nil {
		return g, err
	}
	if g.Prefix != "/" {
		if err := inos.CheckPath(g.Prefix); err != nil {
			return g, err
		}
	}
	g.Verbs = slices.Compact(slices.Sorted(slices.Values(g.Verbs)))
	for _, verb := range g.Verbs {
		if !slices.Contains(verbNames, verb) {
			return g, inos.Errorf(inos.CodeBadRequest, op, "the verb %.64q, there are %s", verb, strings.Join(verbNames, ", "))
		}
	}
	if g.ExpiresAt < 0 || len(g.Verbs) == 0 {
		return g, inos.Errorf(inos.CodeBadRequest, op, "the grant %s has %d verbs and ends at %d", g.ID, len(g.Verbs), g.ExpiresAt)
	}
	return g, checkGrantee(op, &g, link)
}

func checkGrantee(op string, g *inos.AccessGrant, link *[inos.HashBytes]byte) error {
	toLink := g.Grantee == inos.GranteeLink+g.ID
	if toLink != (link != nil) || !toLink && g.UsesMax > 0 {
		return inos.Errorf(inos.CodeBadRequest, op, "the grantee %.128q; only link:%s has a secret and a number of uses, and it has a secret", g.Grantee, g.ID)
	}
	if toLink || g.Grantee == inos.GranteePublic {
		if len(g.Verbs) != 1 || g.Verbs[0] != inos.VerbRead {
			return inos.Errorf(inos.CodeBadRequest, op, "%s may be granted nothing but %s", g.Grantee, inos.VerbRead)
		}
		return nil
	}
	for _, kind := range []string{inos.GranteeUser, inos.GranteeGroup} {
		if name, ok := strings.CutPrefix(g.Grantee, kind); ok {
			return inos.CheckName(name)
		}
	}
	return inos.Errorf(inos.CodeBadRequest, op, "the grantee %.128q is neither user:NAME, group:NAME, public nor link:%s", g.Grantee, g.ID)
}

func checkOwnerOrSubject(op string, owner, subject inos.Subject) error {
	if (owner == "") == (subject == "") {
		return inos.Errorf(inos.CodeBadRequest, op, "grants are listed of an owner, or to a subject")
	}
	if owner != "" {
		return inos.CheckName(string(owner))
	}
	return inos.CheckName(string(subject))
}

func checkAccess(op string, owner, subject inos.Subject) error {
	if err := checkText(op, "owner", string(owner), 1); err != nil {
		return err
	}
	return checkText(op, "subject", string(subject), 1)
}

func checkPledge(op string, pledge int64) error {
	if pledge < 0 || pledge > PledgeMax {
		return inos.Errorf(inos.CodeBadRequest, op, "a pledge of %d micro-credits, 0 to %d", pledge, int64(PledgeMax))
	}
	return nil
}

// checkQuota refuses a version with which a namespace has more than its quota, unless it makes nothing more. It names no numbers: who writes
// need not be the owner, and how much somebody stores and may store is nobody else's to know.
func checkQuota(op string, f, before *inos.FileInfo, live bool, used inos.NamespaceUsage, quota inos.Quota) error {
	if !live && quota.Files > 0 && used.Files > quota.Files {
		return inos.Errorf(inos.CodeQuotaExceeded, op, "the quota of %.256q holds no further file %.1024q", string(f.Owner), string(f.Path))
	}
	if f.PlainBytes > before.PlainBytes && quota.PlainBytes > 0 && used.PlainBytes > quota.PlainBytes {
		return inos.Errorf(inos.CodeQuotaExceeded, op, "the quota of %.256q does not hold the bytes of %.1024q", string(f.Owner), string(f.Path))
	}
	return nil
}

func checkAccount(op, account string) error {
	if account == inos.AccountGrant {
		return nil
	}
	if name := accountOwner(account); name != "" {
		return inos.CheckName(string(name))
	}
	return inos.Errorf(inos.CodeBadRequest, op, "the account %.128q is neither %s, %sNAME nor %sNAME", account, inos.AccountGrant, inos.AccountUser, inos.AccountEscrow)
}

// accountOwner returns the user whose account it is, or nobody.
func accountOwner(account string) inos.Subject {
	return inos.Subject(named(account, inos.AccountUser) + named(account, inos.AccountEscrow))
}

func checkTransfer(op, eventID string, entries []inos.LedgerEntry) error {
	if err := checkText(op, "event id", eventID, 1); err != nil {
		return err
	}
	if len(entries) < 2 || len(entries) > inos.TransferEntriesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "a transfer of %d entries, it has 2 to %d", len(entries), inos.TransferEntriesMax)
	}
	sum := int64(0)
	for i := range entries {
		e := &entries[i]
		if err := checkAccount(op, e.Account); err != nil {
			return err
		}
		if err := checkLabel(op, "reason", e.Reason); err != nil {
			return err
		}
		if e.Amount == 0 || e.Amount > PledgeMax || e.Amount < -PledgeMax {
			return inos.Errorf(inos.CodeBadRequest, op, "%d micro-credits for %s, it is not 0 and at most %d either way", e.Amount, e.Account, int64(PledgeMax))
		}
		sum += e.Amount
	}
	if sum != 0 {
		return inos.Errorf(inos.CodeBadRequest, op, "the entries sum to %d, they sum to zero", sum)
	}
	return nil
}

func checkFact(op string, r *inos.Record) error {
	if err := inos.CheckPath(r.File.Path); err != nil {
		return err
	}
	if kind, name := factOf(r.File.Path); kind == "" || (kind == factDevices) != strings.Contains(name, "/") {
		return inos.Errorf(inos.CodeBadRequest, op, "%.1024q is the path of no fact", string(r.File.Path))
	}
	if len(r.Fact) > FactBytesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "the fact of %.1024q has %d bytes, at most %d", string(r.File.Path), len(r.Fact), FactBytesMax)
	}
	if r.Tombstone {
		return nil
	}
	_, err := decodeFact(op, r.File.Path, r.Fact)
	return err
}

func checkDevice(op string, d *inos.Device, key []byte) error {
	if d.Revoked {
		return inos.Errorf(inos.CodeUnauthenticated, op, "the device %s of %s was revoked", d.ID, d.User)
	}
	if string(d.PublicKey[:]) != string(key) {
		return inos.Errorf(inos.CodeUnauthenticated, op, "the device %s of %s has another key", d.ID, d.User)
	}
	return nil
}

// named returns what follows a prefix, or nothing.
func named(s, prefix string) string {
	if name, ok := strings.CutPrefix(s, prefix); ok {
		return name
	}
	return ""
}

// granteeOf returns the grantee that a subject is by itself.
func granteeOf(subject inos.Subject) string {
	if subject == inos.GranteePublic || strings.HasPrefix(string(subject), inos.GranteeLink) {
		return string(subject)
	}
	return inos.GranteeUser + string(subject)
}

// grantees returns what a user is in grants: itself and its groups.
func grantees(user inos.Subject, groups []string) []string {
	all := []string{inos.GranteeUser + string(user)}
	for _, group := range groups {
		all = append(all, inos.GranteeGroup+group)
	}
	return all
}

func over(end, now inos.Micros) bool { return end != 0 && end <= now }

// useKey is what the use of a grant by a request is remembered under.
func useKey(id, requestID string) inos.RequestKey {
	return inos.RequestKey{Subject: inos.Subject(inos.GranteeLink + id), ID: requestID, EventType: "semantic:use_grant"}
}

func usedUp(g *inos.AccessGrant) bool { return g.UsesMax > 0 && g.Uses >= g.UsesMax }

func pledgeEntries(owner inos.Subject, before, after int64) []inos.LedgerEntry {
	reason := reasonPledge
	if after < before {
		reason = reasonRelease
	}
	return []inos.LedgerEntry{
		{Account: inos.AccountUser + string(owner), Amount: before - after, Reason: reason},
		{Account: inos.AccountEscrow + string(owner), Amount: after - before, Reason: reason},
	}
}

// restoredEntries bring a user's account to zero that restored pledges have left below it.
func restoredEntries(account string, amount int64) []inos.LedgerEntry {
	return []inos.LedgerEntry{
		{Account: inos.AccountGrant, Amount: -amount, Reason: reasonRestored},
		{Account: account, Amount: amount, Reason: reasonRestored},
	}
}

func creditEntries(user inos.Subject, credits int64) []inos.LedgerEntry {
	return []inos.LedgerEntry{
		{Account: inos.AccountGrant, Amount: -credits, Reason: reasonCredit},
		{Account: inos.AccountUser + string(user), Amount: credits, Reason: reasonCredit},
	}
}
