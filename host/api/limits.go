package api

import "time"

// Bounds of the server. A transfer may take as long as it needs, but not stand still.
const (
	// StallTimeout ends a connection that moved no byte for so long while the node wanted to read or write.
	StallTimeout = 60 * time.Second
	// HeaderTimeout bounds the time from a request's first byte to the end of its header.
	HeaderTimeout = 15 * time.Second
	// IdleTimeout closes a kept connection without a request.
	IdleTimeout = 120 * time.Second
	// HeaderBytesMax bounds a request's line and header; net/http allows 4 KiB more.
	HeaderBytesMax = 32 << 10
	// ConnectionsMax bounds the open connections, those at work and those that wait for a request.
	ConnectionsMax = 4096
	// BodyRateMin is how many bytes a second a client has to send on the average of a body, once the stall time has gone by.
	BodyRateMin = 512
	// RequestsMax bounds the requests under way; more are answered with busy. One user has half of them, and so have strangers together.
	RequestsMax = 2048
	// FollowersMax bounds those of them that follow the events.
	FollowersMax = 128
	// FollowersUserMax bounds those of one user.
	FollowersUserMax = 32

	// SocketRequestsMax bounds the requests under way of one socket; one more closes it with 1008.
	SocketRequestsMax = 32
	// SocketOutboxMax and SocketOutboxBytesMax bound what waits for a socket's client to read it; more closes it with 1013.
	SocketOutboxMax      = 256
	SocketOutboxBytesMax = 8 << 20

	secretBytesMax     = 8192             // of a bearer token
	traceStateMax      = 512              // bytes of a tracestate that is passed on (W3C Trace Context, 3.3.1.5)
	listLimitMax       = 1000             // files of a page
	chunkLimitMax      = 1024             // chunks of a page
	chunkIndexMax      = 1 << 42          // of a chunk in a file: byte offsets stay below 2^62
	eventsLimitMax     = 10_000           // events of one answer that does not follow
	eventsPage         = 500              // events read from the memory at once
	replacedTriesMax   = 4                // a file that is replaced between stat and get is looked up again
	keepAliveInterval  = 15 * time.Second // between comments on an idle event stream
	readyLife          = time.Second      // an answer of /readyz is remembered, because anyone may ask
	readyTimeout       = 5 * time.Second  // for the kernel to answer /readyz
	busyRetry          = time.Second      // advice to a client turned away at the door
	meshRetry          = 5 * time.Second  // advice to a client whose request needs nodes that do not answer
	questionBytesMax   = 64 << 10         // of a JSON body that asks for something
	nodeIDMax          = 128              // bytes of a node's id
	labelBytesMax      = 64               // of a zone, host or operator
	repairsLimitMax    = 1000             // repairs of a page
	replicasMax        = 255              // of a file
	nodesMeasuredMax   = 256              // nodes that metrics tell apart; a scrape has to end
	nodesLimitMax      = 128              // nodes of a page
	pageKeyMax         = 128              // bytes of where a page of users, tokens and the like begins
	settleBytesMax     = 256 << 10        // read of a body that no handler has read; net/http reads as much
	writePieceBytes    = 256 << 10        // given to the connection at once: each has the stall time for itself
	rangesMax          = 16               // ranges of one request; each is a read of its own
	conditionValuesMax = 64               // entity tags of one condition
)
