package sim

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/semantic"
	"github.com/inos-mesh/inos/data/verbs"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/kernel"
)

// manyMembers are more than fit into one answer several times over; INOS_MEMBERS has other numbers, up to inos.MembersMax.
const manyMembers = 20_000

// A switchboard that starts with very many members learns each of them once, in pages that fit, from either implementation of the semantic memory: while
// pages are refused and lost, and while nodes join, leave and are drained behind the walk and ahead of it.
func TestStartWithManyMembers(t *testing.T) {
	count := manyMembers
	if n, err := strconv.Atoi(os.Getenv("INOS_MEMBERS")); err == nil {
		count = n
	}
	for name, open := range map[string]func() inos.Semantic{
		"twin": func() inos.Semantic { return semantic.NewMemory() },
		"sqlite": func() inos.Semantic {
			s, err := semantic.Open(filepath.Join(t.TempDir(), "semantic.db"))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			memory := open()
			defer memory.Close()
			admitMany(t, memory, count)
			began := time.Now()
			s := &starting{t: t, memory: memory, k: kernel.New(), now: 1_800_000_000 * inos.Second, count: count}
			s.start()
			t.Logf("%d members in %d pages and %d steps: %s", count, s.pages, s.steps, time.Since(began).Round(time.Millisecond))
			s.holds()
		})
	}
}

// manyNode names a member; ids of nodes begin alike and differ at the end.
func manyNode(i int) string { return fmt.Sprintf("12D3KooWEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE%09d", i) }

func manyMember(node string) inos.Member {
	return inos.Member{
		ID: inos.NodeID(node), Operator: "ann", Zone: "zone", Host: "host of " + node, Tier: inos.TierCold, OfferedBytes: 1 << 40,
		Addrs: []string{"/ip4/192.0.2.1/tcp/4001/p2p/" + node, "/ip4/192.0.2.1/udp/4001/quic-v1/p2p/" + node}, Grant: make([]byte, 300),
	}
}

// admitMany lets the members in, from many goroutines so that they share flushes: those with even numbers.
func admitMany(t *testing.T, memory inos.Semantic, count int) {
	t.Helper()
	const goroutines = 1024
	var done sync.WaitGroup
	for g := range goroutines {
		done.Go(func() {
			for i := g; i < count; i += goroutines {
				if _, err := memory.AdmitNode(context.Background(), manyMember(manyNode(2*i)), "", 1); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// starting is a host that performs what a starting switchboard asks of its semantic memory, and no more than that.
type starting struct {
	t       *testing.T
	memory  inos.Semantic
	k       *kernel.Kernel
	now     inos.Micros
	wake    inos.Micros
	pending []*eventpb.Envelope
	replies map[string]*eventpb.Envelope
	count   int
	pages   int // of members that were read
	asked   int
	steps   int
	ids     int64
}

func (s *starting) envelope(eventType string, m event.Message) *eventpb.Envelope {
	s.ids++
	return &eventpb.Envelope{Id: event.NewID(s.now, [10]byte{byte(s.ids), byte(s.ids >> 8)}), EventType: eventType, Timestamp: int64(s.now), Payload: event.Payload(m), Metadata: &eventpb.Metadata{SecurityToken: hostToken}}
}

// give steps the kernel and keeps what comes out.
func (s *starting) give(e *eventpb.Envelope) {
	s.steps++
	s.now++
	out := s.k.Step(s.now, e)
	s.wake = out.Wake
	for _, e := range out.Out {
		if event.StateOf(e.EventType) == event.StateRequested {
			s.pending = append(s.pending, e)
		} else {
			s.replies[e.Id] = e
		}
	}
}

// start boots the kernel and performs what it asks until it says that it knows its members, with a fault now and then.
func (s *starting) start() {
	s.replies = map[string]*eventpb.Envelope{}
	seed := sha256.Sum256([]byte("many members"))
	s.give(s.envelope(event.NodeBoot, &eventpb.NodeBoot{
		Switchboard: true, NodeId: "switchboard", Zone: "zone", Host: "host", Seed: seed[:], ModuleId: make([]byte, 32), BufferBytesMax: 64 << 20, Workers: 1, Version: "test",
	}))
	s.give(s.envelope(event.IdentitySession, &eventpb.Session{TokenId: "t", Subject: "ann", Device: "d", Capabilities: []string{"*:*:*"}}))
	for range 10 * (s.count/10 + 100) {
		if len(s.pending) > 0 {
			s.perform()
			continue
		}
		if reply, _ := s.list(""); reply != nil {
			return
		}
		if s.wake == 0 {
			s.t.Fatal("the kernel waits for nothing, and does not know its members")
		}
		s.now = max(s.now, s.wake)
		s.give(s.envelope(event.NodeTick, &eventpb.NodeStatusRequest{})) // a tick has no payload
	}
	_, err := s.list("")
	s.t.Fatalf("the kernel does not know its members after %d steps and %d pages, it waits for %v: %v", s.steps, s.pages, s.pending, err)
}

// perform performs the first effect that waits.
func (s *starting) perform() {
	e := s.pending[0]
	s.pending = s.pending[1:]
	var m event.Message
	err := error(inos.Errorf(inos.CodeBusy, event.Stage(e.EventType), "this host performs no such effect"))
	if e.EventType == event.ListNodes {
		s.asked++
	}
	switch {
	case e.EventType == event.ListNodes && (s.asked == 1 || s.asked%17 == 3 || s.asked%17 == 4):
		err = inos.Errorf(inos.CodeBusy, event.Stage(e.EventType), "refused")
	case verbs.Known(e.EventType):
		m, err = verbs.Perform(context.Background(), s.memory, e, s.now)
	}
	if e.EventType == event.ListNodes && err == nil {
		if s.pages++; s.pages == 40 {
			s.change()
		}
		if s.asked%17 == 9 {
			err = inos.Errorf(inos.CodeIO, event.Stage(e.EventType), "the answer is lost")
		}
	}
	if err != nil {
		s.end(e, event.StateFailed, event.Payload(event.ErrorPayload(err)))
		return
	}
	payload := event.Payload(m)
	if len(payload) > inos.PayloadBytesMax {
		s.t.Fatalf("%s is answered with %d bytes, more than a step takes", e.EventType, len(payload))
	}
	s.end(e, event.StateCompleted, payload)
}

// end tells the kernel what an effect came to.
func (s *starting) end(e *eventpb.Envelope, state event.State, payload []byte) {
	reply := event.Reply(e, state, s.now, payload)
	if reply.Metadata == nil {
		reply.Metadata = &eventpb.Metadata{}
	}
	reply.Metadata.SecurityToken = hostToken
	s.give(reply)
}

// change has members come and leave behind the walk and ahead of it. Nobody tells the kernel, as when the one before it has asked for that: what lies ahead it
// reads, what lies behind it has read.
func (s *starting) change() {
	for _, i := range []int{3, 2*s.count - 1, 2*s.count + 1} {
		if _, err := s.memory.AdmitNode(context.Background(), manyMember(manyNode(i)), "", 2); err != nil {
			s.t.Fatal(err)
		}
	}
	for i, state := range map[int]inos.MemberState{2: inos.MemberDraining, 2 * (s.count - 2): inos.MemberDraining, 2 * (s.count - 3): inos.MemberRemoved} {
		if _, err := s.memory.SetNode(context.Background(), inos.NodeID(manyNode(i)), state, nil); err != nil {
			s.t.Fatal(err)
		}
	}
}

// list asks for a page of the nodes; nil while the switchboard is starting.
func (s *starting) list(after string) (*eventpb.NodesListReply, *inos.Error) {
	q := s.envelope(event.NodesList, &eventpb.NodesListRequest{After: after})
	q.Metadata.SecurityToken = "t"
	s.give(q)
	reply := s.replies[q.Id]
	switch {
	case reply == nil:
		s.t.Fatalf("nodes:list is not answered")
	case event.StateOf(reply.EventType) == event.StateFailed:
		failure := event.FailureOf(reply)
		if failure.Code != inos.CodeBusy {
			s.t.Fatal(failure)
		}
		return nil, failure
	case len(reply.Payload) > inos.PayloadBytesMax:
		s.t.Fatalf("a page of nodes has %d bytes", len(reply.Payload))
	}
	var r eventpb.NodesListReply
	if err := event.Open(reply, &r); err != nil {
		s.t.Fatal(err)
	}
	return &r, nil
}

// holds holds what the kernel knows against what there is.
func (s *starting) holds() {
	states := map[string]uint32{}
	pages := 0
	for after, more := "", true; more; pages++ {
		r, err := s.list(after)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, n := range r.Nodes {
			if states[n.Member.Node] != 0 {
				s.t.Errorf("%s is listed twice", n.Member.Node)
			}
			states[n.Member.Node] = n.Member.State
			if n.Liveness != "never" {
				s.t.Errorf("%s is %s, and nobody could be heard", n.Member.Node, n.Liveness)
			}
		}
		after, more = r.Next, r.Next != ""
	}
	want := map[string]uint32{manyNode(2*s.count - 1): 1, manyNode(2*s.count + 1): 1}
	for i := range s.count {
		want[manyNode(2*i)] = uint32(inos.MemberActive)
	}
	want[manyNode(2*(s.count-2))], want[manyNode(2*(s.count-3))] = uint32(inos.MemberDraining), uint32(inos.MemberRemoved)
	if len(states) != len(want) {
		s.t.Errorf("%d members are known, of %d", len(states), len(want))
	}
	for node, state := range want {
		if states[node] != state {
			s.t.Fatalf("%s is %d, not %d: in %d pages of nodes", node, states[node], state, pages)
		}
	}
}
