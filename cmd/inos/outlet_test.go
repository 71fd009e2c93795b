package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

// gate is a reader that reads nothing until it is opened.
type gate struct {
	bytes.Buffer
	asked chan struct{} // holds one entry when something came
	open  chan struct{}
}

func newGate() *gate { return &gate{asked: make(chan struct{}, 1), open: make(chan struct{})} }

func (g *gate) Write(p []byte) (int, error) {
	select {
	case g.asked <- struct{}{}:
	default:
	}
	<-g.open
	return g.Buffer.Write(p)
}

func TestOutletIsBounded(t *testing.T) {
	g := newGate()
	o := &outlet{to: g, patience: stateTimeout, lost: func(n int) string { return strings.Repeat("lost\n", n) }}
	say := func(s string) {
		if n, err := io.WriteString(o, s); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	say("first\n")
	<-g.asked
	full := strings.Repeat("x", outletMax)
	for _, s := range []string{full, "more\n", "even more\n"} {
		say(s)
	}
	close(g.open)
	o.flush()
	say("last\n")
	o.flush()
	if want := "first\n" + full + "lost\nlost\nlast\n"; g.String() != want {
		t.Errorf("%d bytes, not %d, ending in %q", g.Len(), len(want), g.String()[max(g.Len()-40, 0):])
	}
}

// What a command prints behind its view comes behind what that has said.
func TestViewIsReadBeforeWhatFollows(t *testing.T) {
	logs, events := newGate(), newGate()
	v := (&app{stdout: events, stderr: logs, json: true}).newView("x")
	defer v.outliveReaders()()
	v.say("stopped", "one")
	<-events.asked // and is kept until it closes
	v.json.(*outlet).patience = stateTimeout
	go close(events.open)
	v.close()
	if !strings.Contains(events.String(), "one") {
		t.Error("it comes behind what follows")
	}
}

// A node tells, runs and ends although nobody reads what it says, as below a pager that shows its first page.
func TestViewWaitsForNoReader(t *testing.T) {
	logs, events := newGate(), newGate()
	a := &app{ctx: context.Background(), stdout: events, stderr: logs, json: true}
	v := a.newView("x")
	stop := v.outliveReaders()
	v.say("ready", "one")
	if _, err := io.WriteString(v, "a log line\n"); err != nil {
		t.Fatal(err)
	}
	out, json := v.out.(*outlet), v.json.(*outlet)
	out.patience, json.patience = time.Millisecond, time.Millisecond
	v.brokenOff()
	close(logs.open)
	close(events.open)
	out.patience, json.patience = stateTimeout, stateTimeout
	v.close()
	stop()
	if !strings.Contains(events.String(), `"text":"one"`) || logs.String() != "a log line\ninos: broken off; what was acknowledged is kept\n" {
		t.Errorf("%q, %q", events, logs)
	}
}
