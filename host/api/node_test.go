package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

const (
	operatorSecret = "operator-secret"
	guestSecret    = "guest-secret"
	narrowSecret   = "narrow-secret"
	linkSecret     = "inos-link-0123456789abcdef0123456789abcdef"
	rootLinkSecret = "inos-link-fedcba9876543210fedcba9876543210"
)

// double is a scripted Node: it answers files:* from memory, and a test can put a hook before any request.
type double struct {
	t  testing.TB
	mu sync.Mutex

	files    map[string]stored
	streams  map[uint64]any
	next     uint64
	open     int // streams not released
	seen     []*eventpb.Envelope
	hook     func(ctx context.Context, e *eventpb.Envelope, progress func(*eventpb.Envelope)) (*eventpb.Envelope, error)
	history  []inos.Event
	spans    map[string][]inos.Span
	recorded chan struct{}
	looked   func() // called when the events were read; may be nil
	sessions map[string]inos.Session
	refused  []string
	// capabilities of the operator, instead of the usual ones
	capabilities []string
}

type stored struct {
	info eventpb.FileInfo
	body []byte
}

var _ Node = (*double)(nil)

func newDouble(t testing.TB) *double {
	return &double{t: t, files: map[string]stored{}, streams: map[uint64]any{}, spans: map[string][]inos.Span{}, recorded: make(chan struct{})}
}

func (d *double) Authenticate(_ context.Context, secret string) (inos.Session, error) {
	switch secret {
	case operatorSecret:
		if d.capabilities != nil {
			return inos.Session{TokenID: "t-operator", Subject: "operator", Capabilities: d.capabilities}, nil
		}
		return inos.Session{TokenID: "t-operator", Subject: "operator", Device: "laptop", Capabilities: []string{"files:*:*", "node:read:*"}}, nil
	case guestSecret:
		return inos.Session{TokenID: "t-guest", Subject: "guest", Device: "phone", Capabilities: []string{"files:read:/*"}}, nil
	case narrowSecret:
		return inos.Session{TokenID: "t-narrow", Subject: "guest", Capabilities: []string{"files:read:/public/*", "files:write:*"}}, nil
	case "expired-secret":
		return inos.Session{TokenID: "t-old", Subject: "operator", ExpiresAt: 1}, nil
	case "broken-memory":
		return inos.Session{}, inos.Errorf(inos.CodeIO, "find token", "the disk is gone")
	}
	return inos.Session{}, inos.Errorf(inos.CodeUnauthenticated, "find token", "no session has the hash of %q", secret)
}

func (d *double) Resume(_ context.Context, tokenID string) (inos.Session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.sessions[tokenID]; ok {
		return s, nil
	}
	return inos.Session{}, inos.Errorf(inos.CodeUnauthenticated, "find session", "no session %s", tokenID)
}

func (d *double) OpenLink(_ context.Context, secret string) (Shared, error) {
	shared := Shared{Session: inos.Session{TokenID: "link:g1", Subject: "link:g1"}, Owner: "ann", Prefix: "/secret/folder"}
	switch secret {
	case linkSecret:
		return shared, nil
	case rootLinkSecret:
		shared.Prefix = "/"
		return shared, nil
	}
	return Shared{}, inos.Errorf(inos.CodeGrantUnknown, "open link", "no link of ann has the secret %s", secret)
}

func (d *double) Public(context.Context) (Shared, error) {
	return Shared{Session: inos.Session{TokenID: "public", Subject: "public"}}, nil
}

func (d *double) Refused(why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = append(d.refused, why)
}

func (d *double) DeviceID(key []byte) string { return "device-" + hash(key[:4]) }

func (d *double) Keys() ([]Key, error) { return []Key{{ID: "k1", CreatedUs: 7}}, nil }

func (d *double) Revoked() []RevokedSwitchboard {
	return []RevokedSwitchboard{{Node: "n9", RevokedUs: 6}}
}

func (d *double) RotateTokenKey(_ context.Context, by inos.Session, atOnce bool) ([]Key, error) {
	if atOnce {
		return []Key{{ID: "k2", CreatedUs: 8}}, nil
	}
	return []Key{{ID: "k2", CreatedUs: 8}, {ID: "k1", CreatedUs: 7, RetiredUs: 8}}, nil
}

func (d *double) RotateOperator(context.Context, inos.Session, bool) (inos.Micros, error) {
	return 9, nil
}

func (d *double) add(stream any) (uint64, func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	n := d.next
	d.streams[n] = stream
	d.open++
	released := false
	return n, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if released {
			d.t.Error("a stream was released twice")
		}
		released = true
		d.open--
		delete(d.streams, n)
	}
}

func (d *double) Source(r io.Reader) (uint64, func()) { return d.add(r) }
func (d *double) Sink(w io.Writer) (uint64, func())   { return d.add(w) }

// Prove returns no proof, but what it would be of.
func (d *double) Prove(stored []byte, leaf uint64) ([]byte, error) {
	return fmt.Appendf(nil, "leaf %d of %d", leaf, len(stored)), nil
}

func (d *double) Request(ctx context.Context, e *eventpb.Envelope, progress func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
	if err := event.Check(e); err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.seen = append(d.seen, e)
	hook := d.hook
	d.mu.Unlock()
	if hook != nil {
		reply, err := hook(ctx, e, progress)
		if reply != nil || err != nil {
			return reply, err
		}
	}
	payload, err := d.answer(e, progress)
	if ctx.Err() != nil {
		return nil, inos.Errorf(inos.CodeCanceled, "double", "%w", ctx.Err()) // as a node does, whatever else went wrong
	}
	if err != nil {
		return event.Failed(e, 1, err), nil
	}
	return event.Reply(e, event.StateCompleted, 1, event.Payload(payload)), nil
}

func (d *double) answer(e *eventpb.Envelope, progress func(*eventpb.Envelope)) (event.Message, error) {
	switch e.EventType {
	case event.FilesPut:
		return d.put(e)
	case event.FilesGet:
		return d.get(e, progress)
	case event.FilesStat:
		var q eventpb.FilesStatRequest
		if err := event.Open(e, &q); err != nil {
			return nil, err
		}
		s, err := d.find(q.Path, q.FileId)
		if err != nil {
			return nil, err
		}
		reply := &eventpb.FilesStatReply{File: &s.info}
		if q.ChunkLimit > 0 {
			part := s.body[min(q.FirstChunk*inos.ChunkBytesMax, uint64(len(s.body))):]
			part = part[:min(len(part), inos.ChunkBytesMax)]
			id := blake3.Sum256(part)
			reply.Chunks = []*eventpb.ChunkInfo{{Index: q.FirstChunk, ChunkId: id[:], PlainHash: make([]byte, 32), PlainBytes: uint64(len(part)), Codec: 1, Quality: 2, Copies: []*eventpb.CopyInfo{{
				Node: "n1", Zone: "z", Host: "h", Tier: "cold", Liveness: "alive", Trusted: true, AuditedUs: 7,
			}}}}
			reply.Receipt = &eventpb.Receipt{Level: "host", Domains: []string{"z/h"}, Wanted: 3}
		}
		return reply, nil
	case event.FilesList:
		return d.list(e)
	case event.FilesDelete:
		var q eventpb.FilesDeleteRequest
		if err := event.Open(e, &q); err != nil {
			return nil, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		s, ok := d.files[q.Path]
		if !ok {
			return nil, inos.Errorf(inos.CodeFileNotFound, "files:delete", "%s", q.Path)
		}
		delete(d.files, q.Path)
		return &eventpb.FilesDeleteReply{Version: s.info.Version + 1}, nil
	case event.FilesVerify:
		progress(event.Reply(e, event.StateProcessing, 1, event.Payload(&eventpb.FilesVerifyProgress{Chunks: 1, StoredBytes: 10})))
		return &eventpb.FilesVerifyReply{Chunks: 2, StoredBytes: 20, Bad: 1, BadChunkIds: [][]byte{make([]byte, 32)}}, nil
	case event.FilesSet:
		return d.set(e)
	case event.NodesList, event.NodesSet, event.NodesInvite, event.RepairsList:
		return d.mesh(e)
	case event.NodeStatus:
		return &eventpb.NodeStatusReply{
			NodeId: "n1", Ready: true, Notices: []string{"degraded: one node"}, Content: &eventpb.ContentUsage{Chunks: 3, UsedBytes: 99},
			Totals: &eventpb.TotalsReply{Files: 1}, Workers: []*eventpb.WorkerStatus{{State: "ready"}},
			Switchboard: true, Provider: true, Members: 2, MembersAlive: 1, Repairs: 4, RecordsPending: 5, Survives: "nothing",
			Rebuild: &eventpb.RebuildProgress{Records: 3, Refused: 1},
			Stages:  []*eventpb.StageStatus{{Stage: `odd"stage\`, Calls: 2, P50Us: 1500}},
		}, nil
	}
	return nil, inos.Errorf(inos.CodeUnknownEvent, "double", "%s", e.EventType)
}

func (d *double) put(e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.FilesPutRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	d.mu.Lock()
	r := d.streams[q.Stream].(io.Reader)
	d.mu.Unlock()
	body, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	sum := blake3.Sum256(body)
	if len(q.ExpectedFileId) > 0 && !bytes.Equal(q.ExpectedFileId, sum[:]) {
		return nil, inos.Errorf(inos.CodeBodyMismatch, "files:put", "%s", q.Path)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	manifest := make([]byte, 32)
	binary.LittleEndian.PutUint64(manifest, d.files[q.Path].info.Version+1)
	s := stored{body: body, info: eventpb.FileInfo{
		Owner: e.Metadata.UserId, Path: q.Path, Version: d.files[q.Path].info.Version + 1, FileId: sum[:], ManifestId: manifest,
		PlainBytes: uint64(len(body)), StoredBytes: uint64(len(body)), Chunks: 1, CreatedUs: 1_700_000_000_000_000, ContentType: q.ContentType,
		ReplicasWanted: max(q.Replicas, 3), ReplicasReached: 1, Degraded: true, DegradedReason: "one node",
	}}
	d.files[q.Path] = s
	return &eventpb.FilesPutReply{File: &s.info}, nil
}

func (d *double) get(e *eventpb.Envelope, progress func(*eventpb.Envelope)) (event.Message, error) {
	var q eventpb.FilesGetRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	s, err := d.find(q.Path, q.FileId)
	if err != nil {
		return nil, err
	}
	body := s.body[q.OffsetBytes:]
	if q.LengthBytes >= 0 {
		body = body[:q.LengthBytes]
	}
	if progress != nil {
		progress(event.Reply(e, event.StateProcessing, 1, event.Payload(&eventpb.FilesGetHeader{
			File: &s.info, OffsetBytes: q.OffsetBytes, LengthBytes: uint64(len(body)),
		})))
	}
	d.mu.Lock()
	w := d.streams[q.Stream].(io.Writer)
	d.mu.Unlock()
	if q.Encoded && q.LengthBytes < 0 {
		body = append(append([]byte{0x6b, 0x00}, body...), 0x03)
	}
	for len(body) > 0 {
		n := min(len(body), inos.ChunkBytesMax)
		if _, err := w.Write(body[:n]); err != nil {
			return nil, inos.Errorf(inos.CodeCanceled, "stream:write", "%w", err)
		}
		body = body[n:]
	}
	return &eventpb.FilesGetReply{}, nil
}

func (d *double) list(e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.FilesListRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var paths []string
	for p := range d.files {
		if strings.HasPrefix(p, q.Prefix) && p > q.After {
			paths = append(paths, p)
		}
	}
	sort.Strings(paths)
	reply := &eventpb.FilesListReply{}
	for i, p := range paths {
		if i == int(q.Limit) {
			reply.Next = paths[i-1]
			break
		}
		info := d.files[p].info
		reply.Files = append(reply.Files, &info)
	}
	return reply, nil
}

func (d *double) find(path string, id []byte) (stored, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.files[path]; ok {
		return s, nil
	}
	for _, s := range d.files {
		if len(id) > 0 && bytes.Equal(s.info.FileId, id) {
			return s, nil
		}
	}
	return stored{}, inos.Errorf(inos.CodeFileNotFound, "files:get", "%s%x", path, id)
}

// record appends to the history and wakes who follows it.
func (d *double) record(events ...inos.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range events {
		e.Seq = uint64(len(d.history) + 1)
		d.history = append(d.history, e)
	}
	close(d.recorded)
	d.recorded = make(chan struct{})
}

func (d *double) Events(_ context.Context, f inos.EventFilter) ([]inos.Event, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.looked != nil {
		d.looked()
	}
	var out []inos.Event
	for _, e := range d.history {
		if e.Seq > f.AfterSeq && strings.HasPrefix(e.Type, f.TypePrefix) && (f.TraceID == "" || f.TraceID == e.TraceID) && (f.Subject == "" || f.Subject == e.Subject) {
			out = append(out, e)
		}
	}
	limit := f.Limit
	if limit == 0 {
		limit = 1000
	}
	if len(out) > limit {
		if f.Last {
			out = out[len(out)-limit:]
		} else {
			out = out[:limit]
		}
	}
	return out, nil
}

func (d *double) Spans(_ context.Context, traceID string) ([]inos.Span, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.spans[traceID], nil
}

func (d *double) Recorded() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.recorded
}

func (d *double) Info() Info {
	return Info{Version: "test", NodeID: "n1", Modules: map[string]string{}, MeshID: "mesh-1"}
}

// last returns the newest request of a type.
func (d *double) last(eventType string) *eventpb.Envelope {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.seen) - 1; i >= 0; i-- {
		if d.seen[i].EventType == eventType {
			return d.seen[i]
		}
	}
	d.t.Fatalf("no %s was made", eventType)
	return nil
}
