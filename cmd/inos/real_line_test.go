//go:build linux

package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
)

// line is what is between clients and a node: it carries their connections, lets all be dropped, and counts the bodies of chunks that go by. Whatever has
// come from a client reaches the node before the node sees that the client is gone, so a body that is whole here is whole there.
type line struct {
	t        *testing.T
	to       string
	listener net.Listener
	carried  atomic.Int64 // bytes from clients
	moved    chan struct{}
	running  sync.WaitGroup
	holdAt   int64         // nothing more passes from clients behind so many bytes, until opened is closed; 0: all passes
	opened   chan struct{} // closed by release
	open     sync.Once

	mu     sync.Mutex // guards the fields below
	conns  map[net.Conn]bool
	sent   map[string]*sentChunk
	bodies int
	kills  int // of the node that were told
}

// sentChunk is one chunk of one index.
type sentChunk struct {
	bodies   int  // that went by whole
	again    bool // one came that had no reason
	answered bool // the node has said that it has it
	lost     bool // the node was killed before it said so
	relost   int
}

var chunkAddress = regexp.MustCompile(`^/v1/uploads/[^/]+/chunks/([0-9a-f]{64})$`)

func newLine(t *testing.T, to string, holdAt int64) *line {
	t.Helper()
	l := &line{t: t, to: to, holdAt: holdAt, opened: make(chan struct{}), conns: map[net.Conn]bool{}, sent: map[string]*sentChunk{}, moved: make(chan struct{}, 1)}
	var err error
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	l.running.Go(l.accept)
	return l
}

func (l *line) address() string { return l.listener.Addr().String() }

func (l *line) close() {
	_ = l.listener.Close()
	l.release()
	l.drop()
	l.running.Wait()
}

// settle waits until every connection has ended.
func (l *line) settle() { l.close() }

func (l *line) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		kills := l.kills // asked for before the node is: one that is killed later may have lost what goes by here
		l.mu.Unlock()
		node, err := net.Dial("tcp", l.to)
		if err != nil {
			_ = client.(*net.TCPConn).SetLinger(0)
			_ = client.Close()
			continue
		}
		l.mu.Lock()
		l.conns[client] = true
		l.mu.Unlock()
		l.running.Go(func() { l.carry(client, node, kills) })
	}
}

// carry passes bytes both ways and reads along.
func (l *line) carry(client, node net.Conn, kills int) {
	asked, toRequests := io.Pipe()
	answers, toAnswers := io.Pipe()
	chunks := make(chan *http.Request, 1)
	var reading sync.WaitGroup
	reading.Go(func() { l.requests(asked, chunks, kills) })
	reading.Go(func() { l.answers(answers, chunks) })
	var carrying sync.WaitGroup
	carrying.Go(func() {
		l.pass(client, node, toRequests, true)
		_ = node.(*net.TCPConn).CloseWrite()
		_ = toRequests.Close()
	})
	carrying.Go(func() {
		l.pass(node, client, toAnswers, false)
		_ = client.Close()
		_ = toAnswers.Close()
	})
	carrying.Wait()
	reading.Wait()
	_ = node.Close()
	l.mu.Lock()
	delete(l.conns, client)
	l.mu.Unlock()
}

// pass carries one way; what the other side does not take any more is read on, for the reader along.
func (l *line) pass(from, to net.Conn, along io.Writer, count bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if count && l.holdAt > 0 && l.carried.Load() >= l.holdAt {
				<-l.opened
			}
			if _, err := to.Write(buffer[:n]); err != nil && count {
				return // the node has not got it
			}
			_, _ = along.Write(buffer[:n])
			if count {
				l.carried.Add(int64(n))
				select {
				case l.moved <- struct{}{}:
				default:
				}
			}
		}
		if err != nil {
			return
		}
	}
}

// requests reads what clients ask of a node that so many kills had brought about, and notes whole chunks. Each request waits for its answer: a
// connection has one under way.
func (l *line) requests(r io.Reader, chunks chan<- *http.Request, kills int) {
	defer close(chunks)
	defer func() { _, _ = io.Copy(io.Discard, r) }()
	b := bufio.NewReader(r)
	for {
		q, err := http.ReadRequest(b)
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, q.Body)
		if err != nil {
			return
		}
		if chunkAddress.MatchString(q.URL.Path) && n == q.ContentLength {
			l.note(q, kills)
		}
		chunks <- q
	}
}

// answers reads what the node says, and notes which chunks it has.
func (l *line) answers(r io.Reader, chunks <-chan *http.Request) {
	defer func() {
		for range chunks {
		}
	}()
	defer func() { _, _ = io.Copy(io.Discard, r) }()
	b := bufio.NewReader(r)
	for {
		if _, err := b.Peek(1); err != nil {
			return
		}
		q, ok := <-chunks
		if !ok {
			return
		}
		a, err := http.ReadResponse(b, q)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, a.Body); err != nil {
			return
		}
		if chunkAddress.MatchString(q.URL.Path) && a.StatusCode < 300 {
			l.mu.Lock()
			l.sent[key(q)].answered = true
			l.mu.Unlock()
		}
	}
}

func key(q *http.Request) string {
	return q.URL.Query().Get("index") + " " + chunkAddress.FindStringSubmatch(q.URL.Path)[1]
}

// note counts a body that went by whole. It is read a moment later than it is carried: meanwhile the node that it was for may have been killed, and the
// first bytes that are written to a dead one are taken too.
func (l *line) note(q *http.Request, kills int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	late := kills != l.kills
	x := l.sent[key(q)]
	if x == nil {
		x = &sentChunk{}
		l.sent[key(q)] = x
	}
	l.bodies++
	if x.bodies++; x.bodies > 1 {
		if !x.lost && !late {
			x.again = true
		}
		x.relost++
	}
	x.lost = late && !x.answered
}

// forget notes that the node was killed: what it had not answered it may have lost.
func (l *line) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kills++
	for _, x := range l.sent {
		x.lost = !x.answered
	}
}

// drop ends every connection there is.
func (l *line) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
}

// release lets pass what was held.
func (l *line) release() { l.open.Do(func() { close(l.opened) }) }

// await returns when so many bytes have gone by, or when the client has ended.
func (l *line) await(bytes int64, ended <-chan struct{}) {
	for l.carried.Load() < bytes {
		select {
		case <-l.moved:
		case <-ended:
			return
		}
	}
}

func (l *line) whole() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bodies
}

// sentAgain names the chunks that were sent twice without a reason, and counts those that had one.
func (l *line) sentAgain() (again []string, lost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, x := range l.sent {
		if x.again {
			again = append(again, key)
		} else {
			lost += x.relost
		}
	}
	return again, lost
}
