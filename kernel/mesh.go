package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// bulk says what goes with an effect on a node's disk beside its message, when that node is another one.
type bulk struct {
	input   uint64 // host buffer that is sent; 0: none
	output  uint64 // host buffer that the reply's bytes become; 0: none
	hash    []byte // what these bytes must hash to; nil: anything
	grant   *eventpb.Grant
	ticket  []byte      // that this node was handed, in place of a grant
	addrs   []string    // where the node may be found; nil: as the members know
	timeout inos.Micros // 0: by the effect
}

// content asks a node's disk: by the effect itself when the node is this one, else by a call that carries the same message.
// The asker's answer sees the same end either way; a node that gives none ends it with CodePeerUnreachable. Message numbers of
// buffers mean this host's; the node that serves puts its own in their place.
func (k *Kernel) content(o *origin, a ask, to inos.NodeID, effect string, m event.Message, b bulk) {
	if string(to) == k.node.id {
		k.send(o, a, effect, m)
		return
	}
	k.ordered(m)
	inner := &eventpb.Envelope{Id: event.NewID(k.now, k.random.ten()), EventType: effect, Timestamp: int64(k.now), Payload: event.Payload(m)}
	if o != nil {
		inner.Metadata = &eventpb.Metadata{TraceContext: o.meta.GetTraceContext()}
	}
	if b.timeout == 0 {
		b.timeout = stallAfter(effect)
	}
	if a.stage == "" {
		a.stage = event.Stage(effect)
	}
	if b.addrs == nil {
		b.addrs = k.members.addrs(to)
	}
	f := k.send(o, a, event.MeshCall, &eventpb.MeshCallRequest{
		Node: string(to), Envelope: event.Encode(nil, inner), Input: b.input, Output: b.output, OutputHash: b.hash, Grant: b.grant, Ticket: b.ticket,
		Addrs: b.addrs, TimeoutUs: int64(b.timeout),
	})
	f.inner, f.node, f.bulk, f.deadline = effect, to, b.output != 0, k.now+b.timeout
	k.members.asked(to)
}

// unwrap takes what another node answered out of the end of a mesh:call.
func (k *Kernel) unwrap(f *flight, a *answer) {
	k.members.answered(f, a.err)
	if a.err != nil {
		return
	}
	bad := func(format string, args ...any) {
		a.err = inos.Errorf(inos.CodeBadFormat, event.Stage(f.inner), format, args...)
	}
	var r eventpb.MeshCallReply
	if err := event.Open(a.env, &r); err != nil {
		bad("%w", err)
		return
	}
	inner, err := event.Decode(r.Envelope)
	if err != nil {
		bad("the answer of node %s does not decode: %w", f.node, err)
		return
	}
	a.output = r.OutputBytes > 0
	switch inner.EventType {
	case event.WithState(f.inner, event.StateCompleted):
		a.env = inner
		if f.bulk && !a.output {
			bad("node %s answered without the bytes", f.node)
		}
	case event.WithState(f.inner, event.StateFailed):
		a.err = event.ErrorFrom(event.ErrorPayload(event.FailureOf(inner))) // its texts are of bounded length then
	default:
		bad("node %s answered %.128q", f.node, inner.EventType)
	}
}

// unfilled forgets the output buffer of an effect that failed. One that the host has filled all the same, with what came beside an
// answer that says no, is given back.
func (a *answer) unfilled(k *Kernel, buffer *uint64) {
	switch {
	case a.err == nil:
	case a.output:
		k.release(buffer)
	default:
		*buffer = 0
	}
}

// readGrant lets this node read a chunk from another, writeGrant write one to it, for as long as a call may take.
func (k *Kernel) readGrant(id []byte, from inos.NodeID) *eventpb.Grant {
	return k.grant(verbRead, id, inos.NodeID(k.node.id), from)
}

func (k *Kernel) writeGrant(id []byte, to inos.NodeID) *eventpb.Grant {
	return k.grant(verbWrite, id, inos.NodeID(k.node.id), to)
}

// grant names what a ticket allows. Node clocks differ: it is good for a while beyond the call.
func (k *Kernel) grant(verb string, id []byte, holder, node inos.NodeID) *eventpb.Grant {
	return &eventpb.Grant{ChunkId: id, Verb: verb, Holder: string(holder), Node: string(node), ExpiresUs: int64(k.now + ticketLife)}
}
