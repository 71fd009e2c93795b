// Package mesh carries envelopes and chunk bytes between nodes on libp2p. It authenticates peers, bounds what they can cost, and knows
// nothing of what the envelopes say: what a peer may ask is decided by the kernel, whose host it calls through Config.
//
// # A call
//
// Call dials when there is no connection, takes an open stream of the peer's or opens one, writes the call, and reads the reply.
// There are two protocols, /inos/event/1 for calls without bulk and /inos/chunk/1 for the others, which differ in nothing else.
// Each has its own streams, places and bytes: a call without bulk may wait for calls with bulk, to whatever node, and
// never waits for itself around a ring of nodes. A call with bulk must not wait for another call.
//
// The other side reads a call when there is a place for it and memory, first the peer's share, then in all, and hands it to Serve.
// Until then it stays unread, yamux's window fills up, and the caller waits in Write: back-pressure without a message. While a
// call is served the stream is listened to, so that Serve's context ends when the caller goes away.
//
// # A stream
//
// Integers are little-endian; docs/format.md has the same byte for byte.
//
//	greeting  u16 length of the certificate (at most 1 KiB), certificate        once, each side
//	call      u32 envelope, u32 bulk, u32 bulk taken, u16 ticket, u16 0         16 bytes, then
//	          envelope, ticket, bulk
//	reply     u32 envelope, u32 bulk, u32 0, u16 refusal, u16 0                 16 bytes, then
//	          envelope (of a refusal: its text), bulk
//
// A stream is used again only when its call has ended as it should. Where a call was given up, was too slow, or broke the
// format, the stream is reset: what is still on its way can never be taken for the next reply.
//
// # Peers
//
// The node that dials opens a stream at once and greets; the other greets back. Then both tell of the peer by OnPeer. A switchboard
// shows its certificate in the greeting of every stream; Verify is asked once for each connection and certificate, and the
// standing ends when the certificate does, on streams that are open too. A connection on which nobody greets is closed.
//
// Keep dials its nodes for ever. A node with Relays holds a place at each of them; it is dialled through them, and the two then try
// to punch a hole for a direct connection, which new calls prefer as soon as it is there.
//
// # What it leaves out
//
// Nobody is looked for: there is no discovery, no routing table, no public network; addresses come from invites, members and
// configuration. No call is tried again, for it may have been served. Tickets are carried, not read.
package mesh
