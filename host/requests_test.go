package host

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/engine"
)

// A request that comes again with its id right after the answer is another one: the end of the first must not take its place.
func TestEndOfARequestLeavesTheNextOfItsID(t *testing.T) {
	r := newRequests()
	put := &eventpb.Envelope{Id: "id", EventType: event.FilesPut}
	first, err := r.add(put)
	if err != nil {
		t.Fatal(err)
	}
	r.deliver(&eventpb.Envelope{Id: "id", EventType: event.WithState(event.FilesPut, event.StateCompleted)}, nil)
	second, err := r.add(put)
	if err != nil {
		t.Fatal(err)
	}
	r.remove(first)
	if !r.deliver(&eventpb.Envelope{Id: "id", EventType: event.WithState(event.FilesPut, event.StateCompleted)}, nil) || len(second.final) != 1 {
		t.Error("the answer to the second request found nobody")
	}
	r.remove(second)
	if len(r.open) != 0 {
		t.Errorf("%d requests are open", len(r.open))
	}
}

// The answer to a request whose client went away is for nobody but the same user who asks the same again.
func TestAnswerThatIsOwedIsNoOtherClients(t *testing.T) {
	ask := func(user, typ string) *eventpb.Envelope {
		return &eventpb.Envelope{Id: "id", EventType: typ, Metadata: &eventpb.Metadata{UserId: user}}
	}
	answer := &eventpb.Envelope{Id: "id", EventType: event.WithState(event.FilesStat, event.StateCompleted)}
	for name, c := range map[string]struct {
		first, second *eventpb.Envelope
		taken         bool
	}{
		"the same again":           {ask("ann", event.FilesStat), ask("ann", event.FilesStat), true},
		"another user":             {ask("ann", event.FilesStat), ask("bob", event.FilesStat), false},
		"a stranger":               {ask("ann", event.FilesStat), ask("", event.FilesStat), false},
		"a stranger's by another":  {ask("", event.FilesStat), ask("", event.FilesStat), false},
		"something else of theirs": {ask("ann", event.FilesStat), ask("ann", event.FilesList), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequests()
			first, err := r.add(c.first)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.add(c.first); inos.CodeOf(err) != inos.CodeConflict {
				t.Errorf("sent twice at a time: %v", err)
			}
			r.leave(first)
			r.remove(first)
			second, err := r.add(c.second)
			if taken := err == nil; taken != c.taken || err != nil && inos.CodeOf(err) != inos.CodeConflict {
				t.Fatalf("the id is taken over: %v", err)
			}
			if r.deliver(answer, nil) != c.taken || c.taken && len(second.final) != 1 || len(first.final) != 0 {
				t.Error("the answer went to the wrong client")
			}
			if len(r.open) != 0 {
				t.Errorf("%d requests are open", len(r.open))
			}
		})
	}
}

// The inbox of a kernel that is gone has room until the next one has booted, and nobody reads it: a request that got in would wait for ever.
func TestNothingIsSubmittedToAKernelThatIsGone(t *testing.T) {
	l := newLoop(&Node{}, nil)
	close(l.stopped)
	for range 100 { // a select that finds the inbox and the end ready chooses either
		if err := l.submit(t.Context(), &eventpb.Envelope{}); inos.CodeOf(err) != inos.CodeShuttingDown {
			t.Fatalf("submit: %v", err)
		}
	}
}

// When the kernel hangs in a step, the node ends: nothing that waits for the kernel's answer may hold up the end.
func TestHungKernelHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{
			config: Config{Stderr: testLog{t}}, folder: &folder{dir: t.TempDir()}, clock: newClock(), done: make(chan struct{}),
			requests: newRequests(), buffers: newBuffers(), streams: newStreams(),
		}
		l := newLoop(n, nil) // its run would be in the step: nobody takes from the inbox
		l.pool = engine.NewPool(engine.Config{})
		n.loop = l
		body, release := n.Source(nil)
		defer release()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 3)
		go func() {
			_, err := n.Request(ctx, n.hostEnvelope(event.FilesVerify, &eventpb.FilesVerifyRequest{}), nil)
			ended <- err
		}()
		go func() {
			_, err := n.askKernel(ctx, n.hostEnvelope(event.MeshServe, nil), 0)
			ended <- err
		}()
		go func() {
			_, err := n.Request(ctx, n.hostEnvelope(event.FilesPut, &eventpb.FilesPutRequest{Path: "/a", Stream: body}), nil)
			ended <- err
		}()
		synctest.Wait()
		cancel() // they went away; what they brought stays in use until the kernel has answered
		synctest.Wait()
		if len(ended) > 0 {
			t.Fatalf("ended before the kernel has answered: %v", <-ended)
		}
		n.hung(l, &eventpb.Envelope{EventType: event.NodeTick})
		for range cap(ended) {
			if err := <-ended; inos.CodeOf(err) != inos.CodeShuttingDown {
				t.Errorf("ended with %v", err)
			}
		}
	})
}

// While a performer is at a body that does not come, its client is told that the kernel is gone, and package api cuts the body: the next
// kernel must not have to wait until the client sends or is given up for its slowness.
func TestStalledBodyDoesNotHoldUpTheNextKernel(t *testing.T) {
	n := openNode(t, t.TempDir(), nil)
	defer n.close()
	n.waitFor("the workers run", workersReady)
	body, client := io.Pipe()
	stream, release := n.Source(body)
	put := make(chan error, 1)
	go func() {
		put <- n.request(context.Background(), event.FilesPut, &eventpb.FilesPutRequest{Path: "/stalled", Stream: stream, LengthBytes: 2}, nil)
	}()
	if _, err := client.Write([]byte{1}); err != nil { // a performer has it, and waits for the other byte
		t.Fatal(err)
	}
	l := n.currentLoop()
	l.inbox <- &eventpb.Envelope{EventType: event.NodeTick, Payload: make([]byte, 2*inos.PayloadBytesMax)} // more than a step takes: the kernel stops
	if err := <-put; inos.CodeOf(err) != inos.CodeInternal {
		t.Errorf("the put ended with %v", err)
	}
	client.CloseWithError(io.ErrUnexpectedEOF)
	release()
	l.performing.Wait()
	for n.currentLoop() == l {
		<-time.After(20 * time.Millisecond) // the next kernel boots
	}
	secret, err := n.folder.secret("token", tokenPrefix, tokenBytes)
	if err != nil {
		t.Fatal(err)
	}
	if n.session, err = n.Authenticate(t.Context(), secret); err != nil { // as package api does for each request
		t.Fatal(err)
	}
	n.mustPut("/next", text(1, 1000))
	n.mustHold("/next", text(1, 1000))
}

// What an effect came to may be more than a step takes: the effect fails, and not the kernel.
func TestResultThatNoStepTakesFailsItsEffect(t *testing.T) {
	l := newLoop(&Node{clock: newClock()}, nil)
	e := &eventpb.Envelope{Id: event.NewID(1, [10]byte{}), EventType: event.ListNodes}
	row := &eventpb.Member{Grant: make([]byte, 1024)}
	reply := &eventpb.ListNodesReply{}
	for range inos.PayloadBytesMax / 1024 {
		reply.Members = append(reply.Members, row)
	}
	l.tell(e, reply, nil)
	if end := <-l.results; event.Check(end) != nil || event.StateOf(end.EventType) != event.StateFailed || inos.CodeOf(event.FailureOf(end)) != inos.CodeEnvelopeTooLarge {
		t.Errorf("the kernel is given %s of %d bytes", end.EventType, end.SizeVT())
	}
	reply.Members = reply.Members[:10]
	l.tell(e, reply, nil)
	if end := <-l.results; event.StateOf(end.EventType) != event.StateCompleted {
		t.Errorf("a short list: %s", end.EventType)
	}
}
