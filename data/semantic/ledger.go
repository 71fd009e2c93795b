package semantic

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
)

// Reasons of the entries that the memory writes itself.
const (
	reasonPledge  = "pledge"
	reasonRelease = "release"
	reasonCredit  = "credit"
	// reasonFolded is of what FoldEntries makes, reasonRestored of what EndRestore moves.
	reasonFolded   = "carried forward"
	reasonRestored = "restored"
)

// pledge moves what a version pledges, in place of what the one before did, between its owner's account and its escrow.
func (t *tx) pledge(op string, owner inos.Subject, before, after int64, eventID string, now inos.Micros) error {
	if before == after {
		return nil
	}
	entries := pledgeEntries(owner, before, after)
	if after > before {
		if err := t.roomFor(op, entries, now); err != nil {
			return err
		}
	}
	short, err := t.post(op, eventID, entries, now)
	if err == nil && short != "" && after > before {
		return creditsShort(op, short, after-before)
	}
	return err
}

// roomFor refuses entries that take from an account which has too many.
func (t *tx) roomFor(op string, entries []inos.LedgerEntry, now inos.Micros) error {
	for i := range entries {
		if entries[i].Amount >= 0 {
			continue
		}
		var at inos.Micros
		full, err := found(t.row(selectEntryAt, entries[i].Account, AccountEntriesMax-1), &at)
		if err != nil {
			return err
		}
		if full && at > now-inos.LedgerEntryLife {
			return accountFull(op, entries[i].Account, at, now)
		}
	}
	return nil
}

// post writes the entries of one event, gives them their numbers, and names a user's account from which they took and that is below zero then.
func (t *tx) post(op, eventID string, entries []inos.LedgerEntry, now inos.Micros) (short string, err error) {
	net := map[string]int64{}
	for i := range entries {
		e := &entries[i]
		e.Seq, e.EventID, e.At = uint64(t.nextEntry()), eventID, now
		if err := t.exec(insertEntry, int64(e.Seq), e.EventID, e.Account, e.Amount, int64(e.At), e.Reason); err != nil {
			return "", err
		}
		net[e.Account] += e.Amount
	}
	for _, e := range entries {
		amount, left := net[e.Account]
		if !left {
			continue
		}
		delete(net, e.Account)
		balance, err := t.balance(e.Account, amount)
		if err != nil {
			return "", err
		}
		if balance > BalanceMax || balance < -BalanceMax {
			return "", conflict(op, "the account %q would hold %d, at most %d is counted", e.Account, balance, int64(BalanceMax))
		}
		if amount < 0 && balance < 0 && strings.HasPrefix(e.Account, inos.AccountUser) && short == "" {
			short = e.Account
		}
	}
	return short, nil
}

func (t *tx) balance(account string, amount int64) (balance int64, err error) {
	known, err := found(t.row(addBalance, account, amount), &balance)
	if err != nil || known {
		return balance, err
	}
	return amount, t.exec(insertAccount, account, amount)
}

// settleAccountsMax bounds the accounts that one transaction of EndRestore settles.
const settleAccountsMax = 256

// settleAccounts brings some of the users' accounts that are below zero to zero.
func (t *tx) settleAccounts(op string, now inos.Micros) (more bool, err error) {
	rows, err := t.query(selectOverdrawn, settleAccountsMax)
	if err != nil {
		return false, err
	}
	short, err := collect(rows, nil, func(scan func(...any) error) (e inos.LedgerEntry, err error) { return e, scan(&e.Account, &e.Amount) })
	if err != nil {
		return false, err
	}
	for _, e := range short {
		if _, err := t.post(op, reasonRestored+" "+e.Account, restoredEntries(e.Account, -e.Amount), now); err != nil {
			return false, err
		}
	}
	return len(short) == settleAccountsMax, nil
}

// FoldEntries implements inos.SemanticIdentity.
func (s *Store) FoldEntries(ctx context.Context, before inos.Micros, limit int) (folded, left int, err error) {
	const op = "semantic:fold_entries"
	limit = page(limit, SweepRowsMax)
	err = s.write(ctx, op, 2*limit, func(t *tx) error {
		rows, err := t.query(selectOldEntries, int64(before), limit)
		old, err := collect(rows, err, scanEntry)
		if err != nil {
			return err
		}
		sums := map[string]inos.LedgerEntry{}
		for i := range old {
			if err := t.exec(deleteEntry, int64(old[i].Seq)); err != nil {
				return err
			}
			sums[old[i].Account] = fold(sums[old[i].Account], &old[i])
		}
		for _, account := range slices.Sorted(maps.Keys(sums)) {
			sum := sums[account]
			rows, err := t.query(selectFolded, account)
			was, err := collect(rows, err, scanEntry)
			if err != nil {
				return err
			}
			for i := range was {
				if err := t.exec(deleteEntry, int64(was[i].Seq)); err != nil {
					return err
				}
				sum = fold(sum, &was[i])
			}
			if err := t.exec(insertEntry, int64(sum.Seq), "", account, sum.Amount, int64(sum.At), reasonFolded); err != nil {
				return err
			}
		}
		folded = len(old)
		return t.row(countEntries).Scan(&left)
	})
	if err != nil {
		return 0, 0, err
	}
	return folded, left, nil
}

// fold adds an entry to those of its account that are one already; a sum without an account is none yet.
func fold(sum inos.LedgerEntry, e *inos.LedgerEntry) inos.LedgerEntry {
	if sum.Account == "" {
		return inos.LedgerEntry{Seq: e.Seq, Account: e.Account, Amount: e.Amount, At: e.At, Reason: reasonFolded}
	}
	sum.Seq, sum.At = min(sum.Seq, e.Seq), max(sum.At, e.At)
	sum.Amount += e.Amount
	return sum
}

// Transfer implements inos.SemanticIdentity.
func (s *Store) Transfer(ctx context.Context, eventID string, entries []inos.LedgerEntry, covered bool, now inos.Micros) (written []inos.LedgerEntry, repeated bool, err error) {
	const op = "semantic:transfer"
	if err := checkTransfer(op, eventID, entries); err != nil {
		return nil, false, err
	}
	err = s.write(ctx, op, 2*len(entries), func(t *tx) error {
		r, err := t.query(selectEntriesOf, eventID, inos.TransferEntriesMax+1)
		if written, err = collect(r, err, scanEntry); err != nil {
			return err
		}
		if repeated = len(written) > 0; repeated {
			return sameEntries(op, eventID, written, entries)
		}
		for i := range entries {
			if user := accountOwner(entries[i].Account); user != "" {
				if err := t.haveUser(op, user); err != nil {
					return err
				}
			}
		}
		if err := t.roomFor(op, entries, now); err != nil {
			return err
		}
		written = append(written, entries...)
		short, err := t.post(op, eventID, written, now)
		if err == nil && covered && short != "" {
			return creditsShort(op, short, 0)
		}
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return written, repeated, nil
}

func scanEntry(scan func(...any) error) (e inos.LedgerEntry, err error) {
	return e, scan(&e.Seq, &e.EventID, &e.Account, &e.Amount, &e.At, &e.Reason)
}

// ListEntries implements inos.SemanticIdentity.
func (s *Store) ListEntries(ctx context.Context, account string, after uint64, limit int) (entries []inos.LedgerEntry, more bool, balance int64, err error) {
	const op = "semantic:list_entries"
	if err := checkAccount(op, account); err != nil {
		return nil, false, 0, err
	}
	limit = page(limit, ListMax)
	err = s.read(ctx, op, func(r *snapshot) error {
		if _, err := found(r.row(selectBalance, account), &balance); err != nil {
			return err
		}
		rows, err := r.query(listEntries, account, int64(min(after, numberMax)), limit+1)
		entries, err = collect(rows, err, scanEntry)
		return err
	})
	if err != nil {
		return nil, false, 0, err
	}
	entries, more = cut(entries, limit)
	return entries, more, balance, nil
}

// cut shortens a page to its limit and says whether it was longer.
func cut[T any](page []T, limit int) ([]T, bool) {
	if len(page) > limit {
		return page[:limit], true
	}
	return page, false
}
