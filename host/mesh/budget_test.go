package mesh

import (
	"context"
	"sync"
	"testing"
)

func TestBudgetIsFirstComeFirstServed(t *testing.T) {
	b := newBudget(10)
	if err := b.take(t.Context(), 1000); err != nil { // all there is
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	var order []int
	for i, n := range []int{10, 1, 9} { // the small one does not overtake the large one before it
		wait.Go(func() {
			if err := b.take(t.Context(), n); err != nil {
				t.Error(err)
			}
			mu.Lock()
			order = append(order, n)
			mu.Unlock()
			b.give(n)
		})
		for queued := 0; queued <= i; { // in this order
			b.mu.Lock()
			queued = len(b.waiting)
			b.mu.Unlock()
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.take(gone, 1); err == nil {
		t.Error("taken while others wait, by one who has gone")
	}
	b.give(1000)
	wait.Wait()
	if b.free != 10 || len(b.waiting) != 0 || order[0] != 10 {
		t.Errorf("%d free, %d waiting, order %v", b.free, len(b.waiting), order)
	}
}

// Whoever goes away while waiting takes nothing with him, whatever the moment.
func TestBudgetGoneWhileWaiting(t *testing.T) {
	b := newBudget(3)
	var wait sync.WaitGroup
	for i := range 1000 {
		ctx, cancel := context.WithCancel(t.Context())
		wait.Go(func() {
			if b.take(ctx, 1+i%3) == nil {
				b.give(1 + i%3)
			}
		})
		wait.Go(cancel)
	}
	wait.Wait()
	if b.free != 3 || len(b.waiting) != 0 {
		t.Errorf("%d free, %d waiting", b.free, len(b.waiting))
	}
}
