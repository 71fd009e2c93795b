package main

import (
	"io"
	"sync"
	"time"
)

const (
	outletMax   = 1 << 20         // bytes that wait for a reader
	outletFlush = 2 * time.Second // for which the end of the program waits for one
)

// outlet is an output that may stand still, as a pipe into a pager does, without anybody waiting for it: what its reader has no time for yet is kept
// here, and what finds no room is dropped and counted.
type outlet struct {
	to       io.Writer
	lost     func(writes int) string // what to say in the place of what was dropped
	patience time.Duration           // of flush: outletFlush, but in tests

	mu      sync.Mutex // guards the fields below
	waiting []byte
	dropped int           // writes since waiting was full
	idle    chan struct{} // closed when all is written; nil: it is
}

// Write implements io.Writer; it never fails.
func (o *outlet) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dropped > 0 || len(o.waiting)+len(p) > outletMax {
		o.dropped++
		return len(p), nil
	}
	o.waiting = append(o.waiting, p...)
	if o.idle == nil {
		o.idle = make(chan struct{})
		go o.pass()
	}
	return len(p), nil
}

// pass hands on what waits until nothing does.
func (o *outlet) pass() {
	for {
		o.mu.Lock()
		text := o.waiting
		if o.dropped > 0 {
			text = append(text, o.lost(o.dropped)...)
		}
		o.waiting, o.dropped = nil, 0
		if len(text) == 0 {
			close(o.idle)
			o.idle = nil
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
		_, _ = o.to.Write(text) // the node goes on when nobody reads any more
	}
}

// flush waits until all is written, not for ever.
func (o *outlet) flush() {
	o.mu.Lock()
	idle := o.idle
	o.mu.Unlock()
	if idle == nil {
		return
	}
	timer := time.NewTimer(o.patience)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
}
