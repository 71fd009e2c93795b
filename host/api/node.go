// Package api is the node's HTTP interface: the server that maps requests to events, and the client that speaks to it.
//
// The server owns nothing but the protocol. It authenticates a request, gives it an id and a trace, hands it to a Node
// as an envelope, and writes the reply. It decides no permission: the kernel does, for every envelope.
package api

import (
	"context"
	"io"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Node is what the server needs of a node. Its methods may be called from many goroutines at once. Errors carry a Code.
type Node interface {
	// Authenticate returns the session of a secret (bearer token), CodeUnauthenticated otherwise.
	Authenticate(ctx context.Context, secret string) (inos.Session, error)

	// Resume returns the session with a token id, CodeUnauthenticated when it is over or unknown.
	Resume(ctx context.Context, tokenID string) (inos.Session, error)

	// OpenLink returns what a link's secret is good for; CodeGrantUnknown.
	OpenLink(ctx context.Context, secret string) (Shared, error)

	// Public returns the session of who shows nothing.
	Public(ctx context.Context) (Shared, error)

	// Refused leaves a line of history about somebody who was not let in; why names no secret. It never blocks.
	Refused(why string)

	// DeviceID returns the id of the device with an Ed25519 public key.
	DeviceID(publicKey []byte) string

	// Keys returns the keys of access tokens, the newest first; CodeNotSwitchboard where there are none.
	Keys() ([]Key, error)

	// Revoked returns the switchboards that the mesh's root key has revoked, by node id.
	Revoked() []RevokedSwitchboard

	// RotateTokenKey makes a new key sign access tokens, and returns all; atOnce voids what the others signed. By is for the history.
	RotateTokenKey(ctx context.Context, by inos.Session, atOnce bool) ([]Key, error)

	// RotateOperator makes a new secret of the operator's, in the node's data folder, and returns until when the old one counts.
	RotateOperator(ctx context.Context, by inos.Session, atOnce bool) (oldExpires inos.Micros, err error)

	// Request submits a client's envelope and blocks until its last reply, which it returns: completed or failed.
	// Replies in state processing go to progress, which may be nil, in order and before Request returns. Cancelling
	// ctx cancels the request in the kernel. The error is for requests that were not taken or whose ctx ended; a
	// request that failed is a reply in state failed and no error.
	Request(ctx context.Context, e *eventpb.Envelope, progress func(*eventpb.Envelope)) (*eventpb.Envelope, error)

	// Source registers a body that a request reads. Release must be called once; it waits until the kernel's use of
	// the stream has ended. A Read that fails makes the request fail with the Code of that error.
	Source(r io.Reader) (stream uint64, release func())

	// Sink registers a writer that a request fills, in order. Release must be called once; it waits until the
	// kernel's use of the stream has ended.
	Sink(w io.Writer) (stream uint64, release func())

	// Prove returns the Bao slice of a leaf of a chunk's stored form (docs/format.md, Proof); CodeBadRequest for a leaf
	// behind its end.
	Prove(stored []byte, leaf uint64) ([]byte, error)

	// Events returns recorded events by ascending sequence number.
	Events(ctx context.Context, f inos.EventFilter) ([]inos.Event, error)

	// Spans returns the stages of one trace by first start.
	Spans(ctx context.Context, traceID string) ([]inos.Span, error)

	// Recorded returns a channel that is closed when new events have been recorded since the call.
	Recorded() <-chan struct{}

	// Info returns what names the node and its build. It never blocks.
	Info() Info
}

// Info names a node and its build.
type Info struct {
	Version  string            `json:"version"`
	KernelID string            `json:"kernel_id"` // BLAKE3 of kernel.wasm, 64 hexadecimal digits
	Modules  map[string]string `json:"modules"`   // BLAKE3 of each module's .wasm by name
	Go       string            `json:"go"`
	NodeID   string            `json:"node_id"`
	URL      string            `json:"url"`
	MeshID   string            `json:"mesh_id"` // root public key of the mesh, 64 hexadecimal digits
}
