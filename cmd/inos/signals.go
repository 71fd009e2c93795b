package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// signalPause is the least time between a first and a second signal: programs such as timeout send one twice at once, to the
// process and to its group.
const signalPause = 500 * time.Millisecond

// interruptGrace is how long a command may tidy up after a signal. What takes longer waits for something that no context ends: a pipe without another
// end, a terminal, a lock.
const interruptGrace = 5 * time.Second

// endSignals returns the channel on which a person or the system asks a process to end; a terminal that is closed does too, unless nohup said otherwise.
func endSignals() (signals chan os.Signal, stop func()) {
	signals = make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	return signals, func() { signal.Stop(signals) }
}

// interruptible returns a context that a signal ends, and a channel that is closed when the command should have ended by then, or by a second signal.
func interruptible() (ctx context.Context, late <-chan struct{}, stop func()) {
	signals, release := endSignals()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		cancel()
		second := make(chan struct{})
		go func() {
			awaitSecond(signals)
			close(second)
		}()
		timer := time.NewTimer(interruptGrace)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-second:
		}
		close(over)
	}()
	return ctx, over, func() {
		cancel()
		release()
	}
}

// awaitSecond returns when a second signal has come, behind a first that comes now.
func awaitSecond(signals <-chan os.Signal) {
	for first := time.Now(); ; {
		<-signals
		if time.Since(first) >= signalPause {
			return
		}
	}
}
