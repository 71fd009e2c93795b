package api

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// connections bounds those of a server. Of ConnectionsMax that are open the one that has waited for longest without a
// request, or for the rest of a request's header, makes room for a new one: who only occupies them locks nobody out. When
// all of them are at work, the new one is closed.
type connections struct {
	max int

	mu      sync.Mutex // guards the fields below
	open    map[net.Conn]*list.Element
	waiting *list.List // of net.Conn without a request, by since when
}

func newConnections(limit int) *connections {
	return &connections{max: limit, open: map[net.Conn]*list.Element{}, waiting: list.New()}
}

// change is the server's ConnState. A connection is at work from when its header is whole to when its answer is.
func (c *connections) change(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.open[conn]; e != nil {
		c.waiting.Remove(e)
		c.open[conn] = nil
	}
	switch state {
	case http.StateNew:
		if len(c.open) >= c.max && !c.makeRoom() {
			_ = conn.Close() // the server notices when it reads
			return
		}
		c.open[conn] = c.waiting.PushBack(conn)
	case http.StateIdle:
		if _, known := c.open[conn]; known {
			c.open[conn] = c.waiting.PushBack(conn)
		}
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
	case http.StateActive:
	}
}

// makeRoom closes the connection that has waited for longest; false when none waits.
func (c *connections) makeRoom() bool {
	e := c.waiting.Front()
	if e == nil {
		return false
	}
	conn := c.waiting.Remove(e).(net.Conn)
	delete(c.open, conn)
	_ = conn.Close()
	return true
}
