package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	libp2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/mesh"
	"github.com/inos-mesh/inos/host/trust"
)

// babbler is a liar that writes its frames byte for byte itself (docs/format.md, "Calls"), so that what it says of their length need not be true.
type babbler struct {
	*liar
	libp2phost.Host
	says    atomic.Pointer[babble]
	streams atomic.Int64 // on which it says something false
	most    atomic.Int64 // bytes that one of them has taken
}

// babble is a false answer to a read.
type babble struct {
	name string
	// envelope and bulk are the lengths that its head announces; one that is 0 is true.
	envelope, bulk uint32
	silent         bool  // it stops in the middle; else it goes on until the stream ends
	taken          int64 // bytes of it that a reader may want
}

const (
	// windowBytes is what a stream takes of what nobody reads: the window of package mesh at its largest, and what was being written.
	windowBytes = 1<<20 + babblePiece
	babblePiece = 64 << 10
	// babbleEnough ends what a reader takes without end.
	babbleEnough = 32 << 20
)

func newBabbler(m *testMesh, invite string) *babbler {
	m.t.Helper()
	read, err := trust.ReadInvite(invite, m.board.clock.Now())
	if err != nil {
		m.t.Fatal(err)
	}
	private, _, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		m.t.Fatal(err)
	}
	b := &babbler{}
	if b.Host, err = libp2p.New(libp2p.Identity(private), libp2p.Transport(tcp.NewTCPTransport), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
		libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.Ping(false)); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = b.Close() })
	clock := newClock()
	p := &rawPeer{t: m.t, node: inos.NodeID(b.ID().String()), now: clock.Now}
	b.liar = &liar{rawPeer: p, board: m.board.Node, grant: read.Raw, held: map[inos.ChunkID][]byte{}, asked: map[string]int{}, reads: bytes.Clone}
	b.addrs = []string{b.Addrs()[0].String() + "/p2p/" + b.ID().String()}
	b.tell = b.say
	for _, kind := range []protocol.ID{"/inos/event/1", "/inos/chunk/1"} {
		b.SetStreamHandler(kind, b.hear)
	}
	board, err := peer.AddrInfoFromString(m.board.MeshAddrs()[0])
	if err != nil {
		m.t.Fatal(err)
	}
	if err := b.Connect(m.t.Context(), *board); err != nil {
		m.t.Fatal(err)
	}
	b.live(m)
	return b
}

// say asks the switchboard, on a stream of its own.
func (b *babbler) say(eventType string, q event.Message) error {
	e := b.board.hostEnvelope(eventType, q)
	e.Metadata = nil
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	board, err := peer.Decode(string(b.board.id))
	if err != nil {
		return err
	}
	s, err := b.NewStream(ctx, board, "/inos/event/1")
	if err != nil {
		return err
	}
	defer func() { _ = s.Reset() }()
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	raw := event.Encode(nil, e)
	if _, err := s.Write(append(append(make([]byte, 2), frameHead(uint32(len(raw)), 0, 0)...), raw...)); err != nil {
		return err
	}
	head, err := greeted(s)
	if err != nil {
		return err
	}
	raw = make([]byte, binary.LittleEndian.Uint32(head))
	if _, err := io.ReadFull(s, raw); err != nil {
		return err
	}
	answer, err := event.Decode(raw)
	if err != nil {
		return err
	}
	if event.StateOf(answer.EventType) == event.StateFailed {
		return event.FailureOf(answer)
	}
	return nil
}

// frameHead makes the head of a call or a reply.
func frameHead(envelope, bulk uint32, refusal uint16) []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 16), envelope)
	b = binary.LittleEndian.AppendUint32(b, bulk)
	b = binary.LittleEndian.AppendUint32(b, 0)
	return binary.LittleEndian.AppendUint32(b, uint32(refusal))
}

// greeted reads the other side's greeting and its first head.
func greeted(s network.Stream) (head []byte, err error) {
	var n [2]byte
	if _, err := io.ReadFull(s, n[:]); err != nil {
		return nil, err
	}
	skip := int(binary.LittleEndian.Uint16(n[:]))
	b := make([]byte, skip+16)
	_, err = io.ReadFull(s, b)
	return b[skip:], err
}

// hear answers the calls of one stream until it ends.
func (b *babbler) hear(s network.Stream) {
	defer func() { _ = s.Reset() }()
	if _, err := s.Write(make([]byte, 2)); err != nil {
		return
	}
	head, err := greeted(s)
	for err == nil {
		envelope, bulk := int(binary.LittleEndian.Uint32(head)), int(binary.LittleEndian.Uint32(head[4:]))
		ticket := int(binary.LittleEndian.Uint16(head[12:]))
		body := make([]byte, envelope+ticket+bulk)
		if _, err = io.ReadFull(s, body); err != nil {
			return
		}
		var e *eventpb.Envelope
		if e, err = event.Decode(body[:envelope]); err != nil {
			return
		}
		reply, refused := b.serve(e, mesh.Message{Envelope: body[:envelope], Bulk: body[envelope+ticket:]})
		code := uint16(0)
		if refused != nil {
			reply, code = mesh.Message{Envelope: []byte(refused.Error())}, uint16(inos.CodeOf(refused))
		}
		if lie := b.says.Load(); lie != nil && e.EventType == event.ContentRead {
			b.babble(s, lie, reply)
			return
		}
		frame := frameHead(uint32(len(reply.Envelope)), uint32(len(reply.Bulk)), code)
		if _, err = s.Write(append(append(frame, reply.Envelope...), reply.Bulk...)); err == nil {
			_, err = io.ReadFull(s, head)
		}
	}
}

// babble answers a read with a lie, and returns when its stream has ended.
func (b *babbler) babble(s network.Stream, lie *babble, reply mesh.Message) {
	b.streams.Add(1)
	defer b.streams.Add(-1)
	envelope, bulk := uint32(len(reply.Envelope)), uint32(len(reply.Bulk))
	if lie.envelope != 0 {
		envelope = lie.envelope
	}
	if lie.bulk != 0 {
		bulk = lie.bulk
	}
	sent, err := s.Write(append(append(frameHead(envelope, bulk, 0), reply.Envelope...), reply.Bulk...))
	piece := bytes.Repeat([]byte{0xff}, babblePiece)
	for err == nil && !lie.silent && sent < babbleEnough {
		var n int
		n, err = s.Write(piece)
		sent += n
	}
	for most := b.most.Load(); int64(sent) > most && !b.most.CompareAndSwap(most, int64(sent)); most = b.most.Load() {
	}
	if err == nil {
		_, _ = s.Read(make([]byte, 1)) // the reader asks nothing on it before it has its answer: this is the end
	}
}

// TestAProviderThatNeverEnds: a member whose answer to a read goes on behind what it announced, or announces more than can be, or stops in the
// middle, is read from no further than the bounds, its stream is ended, and the other copy is read. That a frame has 15 s is held by
// TestHostileReplies in package mesh; here it has two.
func TestAProviderThatNeverEnds(t *testing.T) {
	m := &testMesh{t: t, parent: t.TempDir()}
	m.openBoard(func(c *Config) {
		c.MeshLimits = mesh.Limits{Grace: 2 * time.Second, BytesPerSecondMin: 8 << 20, StreamIdle: time.Second}
	})
	defer m.close()
	m.providers = []*Node{nil}
	m.openProvider(0, m.invite("host-0"))
	b := newBabbler(m, m.invite("babbler"))
	m.waitAlive(2)
	body := text(170, 4*inos.ChunkBytesMax) // more than one chunk at once: both nodes are asked
	for i, lie := range []babble{
		{name: "bytes without end behind the chunk", taken: inos.StoredBytesMax},
		{name: "as much bulk as can be, and bytes without end", bulk: inos.StoredBytesMax, taken: inos.StoredBytesMax},
		{name: "one byte of bulk more than can be", bulk: inos.StoredBytesMax + 1},
		{name: "all the bulk that a head can say", bulk: math.MaxUint32},
		{name: "an envelope of a byte more than can be", envelope: inos.EnvelopeBytesMax + 1},
		{name: "all the envelope that a head can say", envelope: math.MaxUint32},
		{name: "the beginning of as much bulk as can be, and silence", bulk: inos.StoredBytesMax, taken: inos.StoredBytesMax, silent: true},
	} {
		path := fmt.Sprintf("/file-%d", i)
		body[0], body[inos.ChunkBytesMax], body[2*inos.ChunkBytesMax], body[3*inos.ChunkBytesMax] = byte(i), byte(i), byte(i), byte(i) // chunks that nobody doubts yet
		before := b.count(event.ContentWrite)
		m.board.waitFor("the file is taken by both, for what the lie before has cost is forgotten", func(*eventpb.NodeStatusReply) bool {
			_, err := m.board.put(path, body)
			return err == nil
		})
		m.board.waitFor("both hold it", func(*eventpb.NodeStatusReply) bool { return b.count(event.ContentWrite) >= before+4 })
		asked := b.count(event.ContentRead)
		b.most.Store(0)
		b.says.Store(&lie)
		for tries := 0; b.count(event.ContentRead) == asked; tries++ {
			if tries == 20 {
				t.Fatalf("%s: it is never asked", lie.name)
			}
			m.board.mustHold(path, body)
		}
		m.board.waitFor("its streams have ended and nothing of them is kept", func(s *eventpb.NodeStatusReply) bool {
			return b.streams.Load() == 0 && s.Gets == 0 && s.BufferBytes == 0
		})
		b.says.Store(nil)
		if most := b.most.Load(); most == 0 || most > lie.taken+windowBytes {
			t.Errorf("%s: %d bytes were taken of one stream, at most %d are wanted", lie.name, most, lie.taken+windowBytes)
		}
		t.Logf("%s: %d bytes were taken, it was asked %d times", lie.name, b.most.Load(), b.count(event.ContentRead)-asked)
	}
	m.board.waitForNoBuffer()
}
