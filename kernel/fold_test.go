package kernel

import (
	"testing"

	"github.com/inos-mesh/inos"
)

// asOfFold is when entries of the ledger were folded, and how old they had to be.
type asOfFold struct{ at, age inos.Micros }

// The ledger is folded once an hour, at once again while pages come back full, and what is younger as soon as it has too many entries.
func TestTheLedgerIsFolded(t *testing.T) {
	w := loginWorld()
	next := func(what string, age, pause inos.Micros) {
		t.Helper()
		before := w.now
		if n := len(w.folds); n > 0 {
			before = w.folds[n-1].at
		}
		for n := len(w.folds); len(w.folds) == n && w.now < before+2*pruneEvery; {
			w.tick(w.wake)
			w.run(1000)
		}
		got := w.folds[len(w.folds)-1]
		near := func(is, want inos.Micros) bool { return is >= want && is < want+inos.Second/2 } // effects take their time here
		if !near(got.age, age) || pause != 0 && !near(got.at-before, pause) {
			t.Errorf("%s: folded after %d what is older than %d, want after %d what is older than %d", what, got.at-before, got.age, pause, age)
		}
	}
	next("the first", ledgerLife, 0)
	next("an hour later", ledgerLife, pruneEvery)
	w.foldPages = 2
	next("a full page", ledgerLife, pruneEvery)
	next("another", ledgerLife, pruneAgain)
	next("the rest", ledgerLife, pruneAgain)
	w.foldLeft = ledgerEntriesMax + 1
	next("too many are left", ledgerLife, pruneEvery)
	next("so younger ones go", ledgerLifeMin, pruneAgain)
	next("there are too many still", ledgerLifeMin, pruneEvery)
	w.foldLeft = 0
	next("no more", ledgerLifeMin, pruneEvery)
	next("as before", ledgerLife, pruneEvery)
}
