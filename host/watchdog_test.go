package host

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

func TestWatchSeesAStepThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loop{}
		stuck := &eventpb.Envelope{EventType: event.FilesPut}
		l.stepping.Store(stuck)
		if got := l.watch(t.Context()); got != stuck {
			t.Fatalf("watch returned %v", got)
		}
	})
}

func TestWatchLetsStepsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*stepTimeout)
		defer cancel()
		l := &loop{}
		var steps sync.WaitGroup
		defer steps.Wait()
		steps.Go(func() {
			for ctx.Err() == nil { // another step whenever the watchdog looks
				l.stepping.Store(&eventpb.Envelope{EventType: event.NodeTick})
				time.Sleep(stepTimeout / 2) // of the test's own clock
			}
		})
		if got := l.watch(ctx); got != nil {
			t.Fatalf("watch returned %v", got)
		}
	})
}
