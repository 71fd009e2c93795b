package content

import "sync"

// dirSync makes concurrent calls share the syncs of one folder: who changed an entry joins the next round, and one of
// those who wait performs it for all.
type dirSync struct {
	lead chan struct{} // has room while nobody performs a round
	mu   sync.Mutex    // guards next
	next *syncRound    // joined by new callers; nil when nobody waits
}

type syncRound struct {
	done chan struct{}
	err  error // set before done is closed
}

func newDirSync() *dirSync { return &dirSync{lead: make(chan struct{}, 1)} }

// sync returns when a sync that began after the call has ended.
func (d *dirSync) sync(perform func() error) error {
	d.mu.Lock()
	if d.next == nil {
		d.next = &syncRound{done: make(chan struct{})}
	}
	round := d.next
	d.mu.Unlock()

	select {
	case <-round.done:
		return round.err
	case d.lead <- struct{}{}:
	}
	defer func() { <-d.lead }()
	select {
	case <-round.done: // both were ready
		return round.err
	default:
	}
	// Only a leader takes a round, so this one is still the next.
	d.mu.Lock()
	d.next = nil
	d.mu.Unlock()
	round.err = perform()
	close(round.done)
	return round.err
}
