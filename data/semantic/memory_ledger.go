package semantic

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// balance sums an account's entries.
func (m *Memory) balance(account string) (sum int64) {
	for i := range m.identity.entries {
		if e := &m.identity.entries[i]; e.Account == account {
			sum += e.Amount
		}
	}
	return sum
}

func (m *Memory) pledge(op string, owner inos.Subject, before, after int64, eventID string, now inos.Micros) error {
	if before == after {
		return nil
	}
	entries := pledgeEntries(owner, before, after)
	if after > before && m.balance(entries[0].Account) < after-before {
		return creditsShort(op, entries[0].Account, after-before)
	}
	if after > before {
		if err := m.roomFor(op, entries, now); err != nil {
			return err
		}
	}
	_, err := m.post(op, eventID, entries, now)
	return err
}

// roomFor refuses entries that take from an account which has too many.
func (m *Memory) roomFor(op string, entries []inos.LedgerEntry, now inos.Micros) error {
	for _, e := range entries {
		var times []inos.Micros
		for i := range m.identity.entries {
			if x := &m.identity.entries[i]; e.Amount < 0 && x.Account == e.Account {
				times = append(times, x.At)
			}
		}
		if n := len(times); n >= AccountEntriesMax && times[n-AccountEntriesMax] > now-inos.LedgerEntryLife {
			return accountFull(op, e.Account, times[n-AccountEntriesMax], now)
		}
	}
	return nil
}

// post writes the entries of one event, and names a user's account from which they would take and that would be below zero.
func (m *Memory) post(op, eventID string, entries []inos.LedgerEntry, now inos.Micros) (written []inos.LedgerEntry, err error) {
	net := map[string]int64{}
	for _, e := range entries {
		net[e.Account] += e.Amount
		e.Seq, e.EventID, e.At = m.identity.lastEntry+uint64(len(written)+1), eventID, now
		written = append(written, e)
	}
	for _, e := range entries {
		account := e.Account
		if balance := m.balance(account) + net[account]; balance > BalanceMax || balance < -BalanceMax {
			return nil, conflict(op, "the account %q would hold %d, at most %d is counted", account, balance, int64(BalanceMax))
		}
	}
	m.identity.entries = append(m.identity.entries, written...)
	m.identity.lastEntry += uint64(len(written))
	return written, nil
}

// FoldEntries implements inos.SemanticIdentity.
func (m *Memory) FoldEntries(ctx context.Context, before inos.Micros, limit int) (folded, left int, err error) {
	if err := m.enter(ctx, "semantic:fold_entries"); err != nil {
		return 0, 0, err
	}
	defer m.mu.Unlock()
	i := &m.identity
	var old []inos.LedgerEntry
	for _, e := range i.entries {
		if e.EventID != "" && e.At < before {
			old = append(old, e)
		}
	}
	slices.SortFunc(old, func(a, b inos.LedgerEntry) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Seq, b.Seq)) })
	old = old[:min(len(old), page(limit, SweepRowsMax))]
	for _, e := range old {
		at := slices.IndexFunc(i.entries, func(x inos.LedgerEntry) bool { return x.Seq == e.Seq })
		i.entries = slices.Delete(i.entries, at, at+1)
		sum := e
		sum.EventID, sum.Reason = "", reasonFolded
		if at := slices.IndexFunc(i.entries, func(x inos.LedgerEntry) bool { return x.Account == e.Account && x.EventID == "" }); at >= 0 {
			was := i.entries[at]
			i.entries = slices.Delete(i.entries, at, at+1)
			sum.Amount, sum.Seq, sum.At = sum.Amount+was.Amount, min(sum.Seq, was.Seq), max(sum.At, was.At)
		}
		i.entries = append(i.entries, sum)
	}
	slices.SortFunc(i.entries, func(a, b inos.LedgerEntry) int { return cmp.Compare(a.Seq, b.Seq) })
	return len(old), len(i.entries), nil
}

// Transfer implements inos.SemanticIdentity.
func (m *Memory) Transfer(ctx context.Context, eventID string, entries []inos.LedgerEntry, covered bool, now inos.Micros) (written []inos.LedgerEntry, repeated bool, err error) {
	const op = "semantic:transfer"
	if err := checkTransfer(op, eventID, entries); err != nil {
		return nil, false, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	for _, e := range m.identity.entries {
		if e.EventID == eventID && len(written) <= inos.TransferEntriesMax {
			written = append(written, e)
		}
	}
	if len(written) > 0 {
		if err := sameEntries(op, eventID, written, entries); err != nil {
			return nil, false, err
		}
		return written, true, nil
	}
	net := map[string]int64{}
	for _, e := range entries {
		net[e.Account] += e.Amount
		if user := accountOwner(e.Account); user != "" {
			if _, known := m.identity.users[user]; !known {
				return nil, false, userUnknown(op, user)
			}
		}
	}
	for _, e := range entries {
		account, amount := e.Account, net[e.Account]
		if covered && amount < 0 && strings.HasPrefix(account, inos.AccountUser) && m.balance(account)+amount < 0 {
			return nil, false, creditsShort(op, account, 0)
		}
	}
	if err := m.roomFor(op, entries, now); err != nil {
		return nil, false, err
	}
	written, err = m.post(op, eventID, entries, now)
	return written, false, err
}

// ListEntries implements inos.SemanticIdentity.
func (m *Memory) ListEntries(ctx context.Context, account string, after uint64, limit int) (entries []inos.LedgerEntry, more bool, balance int64, err error) {
	const op = "semantic:list_entries"
	if err := checkAccount(op, account); err != nil {
		return nil, false, 0, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, false, 0, err
	}
	defer m.mu.Unlock()
	for _, e := range m.identity.entries {
		if e.Account == account && e.Seq > after {
			entries = append(entries, e)
		}
	}
	entries, more = cut(entries, page(limit, ListMax))
	return slices.Clone(entries), more, m.balance(account), nil
}

// newFact begins the next version of a fact.
func (m *Memory) newFact(kind, name string, now inos.Micros) {
	m.nextVersion("", inos.Path(kind+name), twinRecord{at: now})
}

// endFact writes a fact's tombstone.
func (m *Memory) endFact(kind, name string, now inos.Micros) {
	m.nextVersion("", inos.Path(kind+name), twinRecord{tombstone: true, at: now})
}

// fact returns what a path of nobody's says, encoded.
func (m *Memory) fact(path inos.Path) []byte {
	i := &m.identity
	var f eventpb.Fact
	switch kind, name := factOf(path); kind {
	case factUsers:
		u := i.users[inos.Subject(name)]
		f.User = userFact(&u)
	case factDevices:
		user, id, _ := strings.Cut(name, "/")
		d := i.devices[inos.Subject(user)][id]
		f.Device = deviceMessage(&d)
	case factGroups:
		f.Group = groupMessage(&inos.Group{Name: name, Members: i.groups[name]})
	case factGrants:
		f.Grant, f.Link = grantMessage(&i.grants[name].AccessGrant), i.grants[name].link
	}
	return encodeFact(&f)
}

// restoreFact writes what a record says over what the map had under its path.
func (m *Memory) restoreFact(op string, r *inos.Record) error {
	i := &m.identity
	kind, name := factOf(r.File.Path)
	user, id, _ := strings.Cut(name, "/")
	var f fact
	if !r.Tombstone {
		var err error
		if f, err = decodeFact(op, r.File.Path, r.Fact); err != nil {
			return err
		}
	}
	if f.grant != nil && f.grant.link != nil {
		for id, g := range i.grants {
			if id != name && string(g.link) == string(f.grant.link) {
				return linkTaken(op, id)
			}
		}
	}
	switch kind {
	case factUsers:
		delete(i.users, inos.Subject(name))
	case factDevices:
		delete(i.devices[inos.Subject(user)], id)
	case factGroups:
		delete(i.groups, name)
	case factGrants:
		delete(i.grants, name)
	}
	switch {
	case f.user != nil:
		u := *f.user
		i.users[u.Name] = inos.User{Name: u.Name, Operator: u.Operator, Disabled: u.Disabled, Quota: u.Quota, CreatedAt: u.CreatedAt}
		if u.Disabled {
			m.shutOut(u.Name)
		}
	case f.device != nil:
		m.putDevice(*f.device)
	case f.group != nil:
		i.groups[name] = f.group.Members
	case f.grant != nil:
		i.grants[name] = f.grant
	}
	return nil
}
