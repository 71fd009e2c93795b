package semantic

import (
	"github.com/inos-mesh/inos"
)

// The refusals of the verbs of inos.SemanticIdentity; the twin's are the same. None quotes a secret or its hash.

func userUnknown(op string, name inos.Subject) error {
	return inos.Errorf(inos.CodeUserUnknown, op, "there is no user %.128q", string(name))
}

func userExists(op string, name inos.Subject) error {
	return conflict(op, "there is a user %.128q already", string(name))
}

func deviceUnknown(op string, user inos.Subject, device string) error {
	return inos.Errorf(inos.CodeDeviceUnknown, op, "%.128q has no device %.128q", string(user), device)
}

func groupUnknown(op, group string) error {
	return inos.Errorf(inos.CodeGroupUnknown, op, "there is no group %.128q", group)
}

func tooMany(op, whose string, most int, what string) error {
	return conflict(op, "%s has %d %s and takes no more", whose, most, what)
}

func tooManyGrants(op string, owner inos.Subject, link bool) error {
	if link {
		return tooMany(op, string(owner), inos.OwnerLinksMax, "links")
	}
	return tooMany(op, string(owner), inos.OwnerGrantsMax, "grants")
}

func enrolmentTaken(op string, user inos.Subject) error {
	return conflict(op, "the enrolment for %s is another user's", user)
}

func notEnrolled(op string, s *inos.SessionInfo) error {
	return inos.Errorf(inos.CodeUnauthenticated, op, "the device %s is not %s's, and comes with no enrolment that is good", s.Device, s.Subject)
}

func noLogin(op string, user inos.Subject) error {
	return inos.Errorf(inos.CodeUnauthenticated, op, "%.128q is no user, or may not log in", string(user))
}

func issuerRevoked(op string, s *inos.SessionInfo) error {
	return inos.Errorf(inos.CodeUnauthenticated, op, "the device %s of %s, by which the token %s is issued, is revoked", s.IssuedBy, s.Subject, s.TokenID)
}

func sameSession(op string, was, now *inos.SessionInfo) error {
	if was.Subject != now.Subject || was.Device != now.Device || was.IssuedBy != now.IssuedBy {
		return conflict(op, "the token id %s is another session's", was.TokenID)
	}
	return nil
}

func secretTaken(op, tokenID string) error {
	return conflict(op, "the refresh secret is, or was, that of session %s", tokenID)
}

func noSecret(op string) error {
	return inos.Errorf(inos.CodeUnauthenticated, op, "no session has this refresh secret")
}

func noSession(op string) error {
	return inos.Errorf(inos.CodeUnauthenticated, op, "no session has this token id")
}

func grantUnknown(op string, owner inos.Subject, id string) error {
	return inos.Errorf(inos.CodeGrantUnknown, op, "%.128q has no grant %.128q", string(owner), id)
}

func grantUsedUp(op, id string) error {
	return inos.Errorf(inos.CodeGrantUnknown, op, "the grant %s has had all its uses", id)
}

func noLink(op string) error {
	return inos.Errorf(inos.CodeGrantUnknown, op, "no link has this secret")
}

func grantExists(op, id string) error { return conflict(op, "there is a grant %s already", id) }

func grantGone(op, id string) error {
	return conflict(op, "the request's key made the grant %s before, which was removed since", id)
}

func linkTaken(op, id string) error { return conflict(op, "the secret is that of grant %s", id) }

// sameGrant refuses a key that comes again for another grant. Its id and times may differ: they are made anew with each request.
func sameGrant(op string, was, now *inos.AccessGrant, link bool) error {
	if was.Owner != now.Owner || was.Prefix != now.Prefix || link != (named(was.Grantee, inos.GranteeLink) != "") || !link && was.Grantee != now.Grantee {
		return conflict(op, "the request's key granted %.1024q of %s to %s before, and comes now for another grant", string(was.Prefix), was.Owner, was.Grantee)
	}
	return nil
}

func sameUser(op string, was, now inos.Subject) error {
	if was != now {
		return conflict(op, "the request's key put the user %s before, and comes now for %s", was, now)
	}
	return nil
}

// sameEntries refuses an event that comes again with another transfer.
func sameEntries(op, eventID string, was, now []inos.LedgerEntry) error {
	same := len(was) == len(now)
	for i := 0; same && i < len(was); i++ {
		same = was[i].Account == now[i].Account && was[i].Amount == now[i].Amount && was[i].Reason == now[i].Reason
	}
	if !same {
		return conflict(op, "the event %.128q has moved other credits before", eventID)
	}
	return nil
}

// accountFull refuses to take from an account whose last AccountEntriesMax entries are too young; the first of them was written at.
func accountFull(op, account string, at, now inos.Micros) error {
	err := inos.Errorf(inos.CodeRateLimited, op, "the account %s has %d entries in the ledger of less than two days", account, AccountEntriesMax)
	err.Hint = "Change how many replicas files have less often, or try again after the time given."
	err.RetryAfter = max(inos.Second, at+inos.LedgerEntryLife-now)
	return err
}

func creditsShort(op, account string, pledge int64) error {
	if pledge > 0 {
		return inos.Errorf(inos.CodeCreditsShort, op, "the account %s does not hold the %d micro-credits to pledge", account, pledge)
	}
	return inos.Errorf(inos.CodeCreditsShort, op, "the account %s does not hold what the transfer takes", account)
}
