package mesh

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/inos-mesh/inos"
)

// accept serves the calls of one stream of a peer's, one after another.
func (m *Mesh) accept(raw network.Stream, k protocolKind) {
	if !m.enter() {
		_ = raw.Reset()
		return
	}
	defer m.leave()
	l := m.serving(raw)
	if l == nil {
		_ = raw.Reset()
		return
	}
	defer m.served(l)
	s := newStream(raw)
	_ = s.SetDeadline(time.Now().Add(m.limits.Hello))
	err := s.greet(m.certificateShown())
	var certificate []byte
	if err == nil {
		certificate, err = readGreeting(s.reader)
	}
	if err == nil {
		_ = s.SetDeadline(time.Time{})
		m.greeted(l, certificate)
		next := m.await(s)
		for err == nil {
			_ = s.SetReadDeadline(time.Now().Add(2 * m.limits.StreamIdle))
			if err = <-next; err == nil {
				next, err = m.serveNext(l, s, k)
			}
		}
	}
	_ = s.Reset()
	if known := (*inos.Error)(nil); errors.As(err, &known) {
		m.logf("mesh: closing a stream of node %s: %v", l.remote.id, err)
	}
}

// serving returns the connection of a stream that is to be served, or nil when it is gone. Its peer's share is used until served is called.
func (m *Mesh) serving(raw network.Stream) *link {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.linkOfLocked(raw)
	if l != nil {
		m.shareLocked(l.remote.id)
	}
	return l
}

func (m *Mesh) served(l *link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unshareLocked(l.remote.id)
}

// await reads until the first byte of the next call is there, or fails as the stream does.
func (m *Mesh) await(s *stream) <-chan error {
	next := make(chan error, 1)
	go func() { // ends with the stream
		_, err := s.reader.Peek(1)
		next <- err
	}()
	return next
}

// serveNext waits until there is room for a call, reads it, serves it, and writes the reply. The channel tells of the call after it.
func (m *Mesh) serveNext(l *link, s *stream, k protocolKind) (next <-chan error, err error) {
	rooms := m.roomsFor(l, k)
	calls := make([]*budget, 0, len(rooms))
	for _, r := range rooms {
		calls = append(calls, r.calls)
	}
	for i, b := range calls { // the peer's first: one that has enough does not stand in the way of others
		if err := b.take(m.ctx, 1); err != nil {
			return nil, errors.Join(err, giveAll(calls[:i], 1))
		}
	}
	defer giveAll(calls, 1)
	_ = s.SetReadDeadline(time.Now().Add(m.limits.Grace))
	b, err := s.readHead()
	if err != nil {
		return nil, slow(err)
	}
	h, err := parseCall(&b, k)
	if err != nil {
		return nil, err
	}
	held := h.bodyBytes()
	if h.bulk > 0 {
		held += inos.StoredBytesMax - int(h.bulk) // a slab is as long as any chunk
	}
	bytes := make([]*budget, 0, len(rooms))
	for _, r := range rooms {
		bytes = append(bytes, r.bytes)
	}
	for i, b := range bytes {
		if err := b.take(m.ctx, held); err != nil {
			return nil, errors.Join(err, giveAll(bytes[:i], held))
		}
	}
	defer giveAll(bytes, held)
	q, err := m.readCall(s, h)
	if err != nil {
		return nil, slow(err)
	}
	return m.serveCall(l, s, h, q)
}

// roomsFor returns the rooms in which a peer's call has to find a place.
func (m *Mesh) roomsFor(l *link, k protocolKind) []room {
	own := l.remote.share.rooms[k]
	if m.strangers[k] == m.rooms[k] || !m.stranger(l) {
		return []room{own, m.rooms[k]}
	}
	return []room{own, m.strangers[k], m.rooms[k]}
}

func giveAll(budgets []*budget, n int) error {
	for _, b := range budgets {
		b.give(n)
	}
	return nil
}

// readCall reads what follows the head of a call.
func (m *Mesh) readCall(s *stream, h head) (q Message, err error) {
	_ = s.SetReadDeadline(time.Now().Add(m.limits.transferTime(h.bodyBytes())))
	small := make([]byte, int(h.envelope)+int(h.ticket))
	if _, err := io.ReadFull(s.reader, small); err != nil {
		return Message{}, err
	}
	q = Message{Envelope: small[:h.envelope:h.envelope]}
	if h.ticket > 0 {
		q.Ticket = small[h.envelope:]
	}
	if h.bulk > 0 {
		slab := m.slab()
		if _, err := io.ReadFull(s.reader, slab[:h.bulk]); err != nil {
			m.recycle(slab)
			return Message{}, err
		}
		q.Bulk = slab[:h.bulk]
	}
	return q, nil
}

// serveCall calls Serve and writes its reply, while it listens for the peer to go away.
func (m *Mesh) serveCall(l *link, s *stream, h head, q Message) (<-chan error, error) {
	ctx, cancel := context.WithTimeout(m.ctx, m.limits.ServeTime)
	defer cancel()
	_ = s.SetReadDeadline(time.Time{})
	arrived, next := m.await(s), make(chan error, 1)
	go func() { // ends with the stream, or when the next call begins
		err := <-arrived
		if err != nil {
			cancel()
		}
		next <- err
	}()
	reply, err := m.config.Serve(ctx, l.remote.node, m.isSwitchboard(l), q)
	if reply.Done != nil {
		defer reply.Done()
	}
	if err == nil && (len(reply.Envelope) > inos.EnvelopeBytesMax || len(reply.Bulk) > int(h.takes)) {
		err = inos.Errorf(inos.CodeInternal, "serve call", "a reply of %d bytes and %d of bulk, of which %d are taken", len(reply.Envelope), len(reply.Bulk), h.takes)
	}
	answer := head{envelope: uint32(len(reply.Envelope)), bulk: uint32(len(reply.Bulk))}
	if err != nil {
		text := []byte(err.Error())
		reply = Message{Envelope: text[:min(len(text), RefusalBytesMax)]}
		answer = head{envelope: uint32(len(reply.Envelope)), refusal: uint16(inos.CodeOf(err))}
	}
	_ = s.SetWriteDeadline(time.Now().Add(m.limits.transferTime(answer.bodyBytes())))
	if err := s.write(answer.appendReply, reply.Envelope, nil, reply.Bulk); err != nil {
		return nil, slow(err)
	}
	return next, nil
}

// slow names a transfer that was cut because it took too long; other errors are the stream's end.
func slow(err error) error {
	if timeout := interface{ Timeout() bool }(nil); errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return inos.Errorf(inos.CodePeerUnreachable, "serve call", "a call or a reply took too long on its way")
	}
	return err
}

func (m *Mesh) slab() []byte {
	if m.config.Slab != nil {
		return m.config.Slab()
	}
	return make([]byte, 0, inos.StoredBytesMax)
}

func (m *Mesh) recycle(slab []byte) {
	if m.config.Recycle != nil {
		m.config.Recycle(slab)
	}
}
