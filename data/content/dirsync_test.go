package content_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/inos-mesh/inos/data/content"
)

// Who comes while a sync is under way needs another one, which it shares with all who came in the meantime.
func TestASyncUnderWayIsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sync := content.NewDirSync()
		failure := errors.New("the second sync fails")
		finish := make(chan struct{})
		var rounds int
		perform := func() error {
			rounds++ // one at a time
			<-finish
			if rounds == 2 {
				return failure
			}
			return nil
		}
		var first error
		go func() { first = sync(perform) }()
		synctest.Wait() // it is in its sync
		results := make([]error, 5)
		for i := range results {
			go func() { results[i] = sync(perform) }()
		}
		synctest.Wait()
		if rounds != 1 {
			t.Fatalf("%d syncs at the same time", rounds)
		}
		finish <- struct{}{}
		synctest.Wait()
		if rounds != 2 || first != nil {
			t.Fatalf("after the first sync there are %d, its result is %v", rounds, first)
		}
		finish <- struct{}{}
		synctest.Wait()
		if rounds != 2 {
			t.Fatalf("5 callers who waited together made %d syncs", rounds-1)
		}
		for i, err := range results {
			if !errors.Is(err, failure) {
				t.Errorf("caller %d got %v from the sync that failed", i, err)
			}
		}
	})
}
