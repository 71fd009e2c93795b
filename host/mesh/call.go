package mesh

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/inos-mesh/inos"
)

const opCall = "call peer"

// Call sends q to a peer and returns its reply. Without a connection it dials addrs (multiaddresses, with or without /p2p/ID; those of
// another node are passed over) and those known from before. The reply's bulk is read into bulk, whose capacity bounds it; nil
// takes none. Memory of q is the caller's again when Call returns.
//
// Errors: CodePeerUnreachable, with the peer and the reason, when no reply came, by the deadline of ctx too: whether the peer has done what was
// asked is then not known. CodeBadRequest for what exceeds a bound or names no node; CodeBadFormat for a reply that does not follow the format;
// CodeCanceled with ctx; CodeShuttingDown after Close.
func (m *Mesh) Call(ctx context.Context, node inos.NodeID, addrs []string, q Message, bulk []byte) (Message, error) {
	id, err := m.checkCall(node, q)
	if err != nil {
		return Message{}, err
	}
	if !m.enter() {
		return Message{}, inos.Errorf(inos.CodeShuttingDown, opCall, "this node is stopping")
	}
	defer m.leave()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.limits.CallTime)
		defer cancel()
	}
	r := m.remote(id)
	if r == nil {
		if r, err = m.reach(ctx, peer.AddrInfo{ID: id, Addrs: addrsOf(id, addrs)}); err != nil {
			return Message{}, m.callFault(ctx, node, err)
		}
	}
	kind := forEvents
	if len(q.Bulk) > 0 || cap(bulk) > 0 {
		kind = forChunks
	}
	s, err := r.streams[kind].take(ctx)
	if err != nil {
		return Message{}, m.callFault(ctx, node, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	reply, err := m.exchange(s, q, bulk[:0:min(cap(bulk), inos.StoredBytesMax)])
	var refused *refusal
	sound := stop() && (err == nil || errors.As(err, &refused))
	r.streams[kind].release(s, sound)
	if err != nil {
		return Message{}, m.callFault(ctx, node, err)
	}
	return reply, nil
}

func (m *Mesh) checkCall(node inos.NodeID, q Message) (peer.ID, error) {
	id, err := peer.Decode(string(node))
	switch {
	case err != nil:
		return "", inos.Errorf(inos.CodeBadRequest, opCall, "%q is not the id of a node: %w", clip(string(node)), err)
	case id == m.host.ID():
		return "", inos.Errorf(inos.CodeBadRequest, opCall, "node %s is this one", node)
	case len(q.Envelope) > inos.EnvelopeBytesMax || len(q.Ticket) > TicketBytesMax || len(q.Bulk) > inos.StoredBytesMax:
		return "", inos.Errorf(inos.CodeBadRequest, opCall, "an envelope of %d bytes, a ticket of %d, bulk of %d: at most %d, %d, %d",
			len(q.Envelope), len(q.Ticket), len(q.Bulk), inos.EnvelopeBytesMax, TicketBytesMax, inos.StoredBytesMax)
	}
	return id, nil
}

// reach dials a peer and returns it.
func (m *Mesh) reach(ctx context.Context, node peer.AddrInfo) (*remote, error) {
	if err := m.dial(ctx, node); err != nil {
		return nil, err
	}
	// The library says that there is a connection a moment before it tells linked.
	for {
		there := m.host.Network().Connectedness(node.ID) != network.NotConnected
		if r := m.remote(node.ID); r != nil {
			return r, nil
		}
		if !there || ctx.Err() != nil {
			return nil, errors.New("the connection was closed at once")
		}
		pause(ctx, time.Millisecond)
	}
}

// remote returns a peer to which there is a connection, or nil.
func (m *Mesh) remote(id peer.ID) *remote {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.remotes[id]
}

// exchange sends a call and reads its reply.
func (m *Mesh) exchange(s *stream, q Message, bulk []byte) (Message, error) {
	h := head{envelope: uint32(len(q.Envelope)), bulk: uint32(len(q.Bulk)), takes: uint32(cap(bulk)), ticket: uint16(len(q.Ticket))}
	if err := s.write(h.appendCall, q.Envelope, q.Ticket, q.Bulk); err != nil {
		return Message{}, err
	}
	if !s.greeted {
		if err := m.readGreeting(s); err != nil {
			return Message{}, err
		}
	}
	b, err := s.readHead()
	if err != nil {
		return Message{}, err
	}
	if h, err = parseReply(&b, cap(bulk)); err != nil {
		return Message{}, err
	}
	_ = s.SetReadDeadline(time.Now().Add(m.limits.transferTime(h.bodyBytes())))
	reply := Message{Bulk: bulk[:h.bulk]}
	if reply.Envelope, err = readGrowing(s.reader, int(h.envelope)); err != nil {
		return Message{}, err
	}
	if _, err := io.ReadFull(s.reader, reply.Bulk); err != nil {
		return Message{}, err
	}
	_ = s.SetReadDeadline(time.Time{})
	if h.refusal != 0 {
		return Message{}, &refusal{code: inos.Code(h.refusal), text: string(reply.Envelope)}
	}
	return reply, nil
}

// refusal is a peer's word that it did not serve a call.
type refusal struct {
	code inos.Code
	text string
}

func (r *refusal) Error() string {
	return "it refuses with " + r.code.Name() + ": " + strings.ToValidUTF8(r.text, "\uFFFD")
}

// callFault says why a call has no reply.
func (m *Mesh) callFault(ctx context.Context, node inos.NodeID, err error) error {
	var known *inos.Error
	switch {
	case m.ctx.Err() != nil:
		return inos.Errorf(inos.CodeShuttingDown, opCall, "this node is stopping")
	case errors.Is(ctx.Err(), context.Canceled):
		return inos.Errorf(inos.CodeCanceled, opCall, "the call to node %s was given up: %w", node, ctx.Err())
	case ctx.Err() != nil:
		return inos.Errorf(inos.CodePeerUnreachable, opCall, "node %s did not reply in time: %w", node, ctx.Err())
	case errors.As(err, &known):
		return inos.Errorf(known.Code, opCall, "node %s: %w", node, err)
	}
	return inos.Errorf(inos.CodePeerUnreachable, opCall, "node %s: %s", node, reason(err))
}

// reason is a library's error in one line.
func reason(err error) string {
	switch {
	case errors.Is(err, network.ErrReset):
		return "the stream was reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the stream ended early"
	}
	return clip(strings.Join(strings.Fields(err.Error()), " "))
}

const reasonBytesMax = 400

func clip(s string) string {
	if len(s) > reasonBytesMax {
		return strings.ToValidUTF8(s[:reasonBytesMax], "") + "…"
	}
	return s
}
