//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inos-mesh/inos/host/api"
)

// cutter is a proxy before a node. The answer to a commit it lets nobody have, while cut is set: cut is called instead, and the connection dropped.
type cutter struct {
	*httptest.Server
	cut atomic.Pointer[func()]
}

func newCutter(t *testing.T, node string) *cutter {
	t.Helper()
	to, err := url.Parse("http://" + node)
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		if cut := c.cut.Load(); cut != nil && strings.HasSuffix(r.Request.URL.Path, "/commit") {
			c.cut.Store(nil)
			(*cut)()
			return errors.New("cut")
		}
		return nil
	}
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	c.Server = httptest.NewServer(proxy)
	t.Cleanup(c.Close)
	return c
}

// A put that is cut between its commit and the answer has one version: the client is killed there and run again, and the node is killed there while
// the client waits. What is put again on purpose, and what was replaced or removed meanwhile, has another.
func TestRealCommitIsCut(t *testing.T) {
	rounds := amount(t, "INOS_REAL_COMMITS", 1)
	m := newMesh(t)
	m.listen = ownLoopback() + ":7770"
	m.address = m.listen
	m.t.Cleanup(m.stop)
	m.switchboard = m.newNode("node")
	m.switchboard.args = []string{"node", "--switchboard", "--provider", "--listen", m.listen}
	m.switchboard.start()
	m.connect()
	proxy := newCutter(t, m.listen)
	source := filepath.Join(m.dir, "source")
	address := strings.TrimPrefix(proxy.URL, "http://")
	ctx, version := context.Background(), uint64(0)
	put := func(what string, client *resumingClient, want uint64) {
		t.Helper()
		if <-client.done; client.err != nil {
			t.Fatalf("%s: %v\n%s", what, client.err, client.errs.String())
		}
		var reply api.PutReply
		if err := json.Unmarshal(client.out.Bytes(), &reply); err != nil || reply.Version != want {
			t.Fatalf("%s: version %d, want %d (%v)", what, reply.Version, want, err)
		}
		s, err := m.client.Stat(ctx, api.Ref{Path: "/source"}, 0, 0)
		if err != nil || s.Version != want || s.FileID != reply.FileID {
			t.Fatalf("%s: the node has %+v, the answer was version %d of %s (%v)", what, s.File, want, reply.FileID, err)
		}
		version = want
	}
	cutClient := func(what string) {
		t.Helper()
		clients := make(chan *resumingClient, 1)
		cut := func() { (<-clients).kill() }
		proxy.cut.Store(&cut)
		client := m.resumable(address, source)
		clients <- client
		if <-client.done; client.err == nil || client.out.Len() > 0 || proxy.cut.Load() != nil {
			t.Fatalf("%s: the client was not killed before its answer: %v %s", what, client.err, client.errs.String())
		}
	}
	for round := range rounds {
		if err := os.WriteFile(source, body(byte(round), 1<<20+round), 0o600); err != nil {
			t.Fatal(err)
		}
		cutClient("first")
		put("the client was killed", m.resumable(address, source), version+1)
		put("on purpose", m.resumable(address, source), version+1)
		cut := func() {
			m.switchboard.kill()
			m.switchboard.start()
			m.connect()
		}
		proxy.cut.Store(&cut)
		put("the node was killed", m.resumable(address, source), version+1)

		cutClient("before another version")
		other := body(byte(round+100), 1000)
		if _, err := m.client.Put(ctx, "/source", strings.NewReader(string(other)), int64(len(other)), api.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		put("it was replaced", m.resumable(address, source), version+3)
		cutClient("before it is removed")
		if _, err := m.client.Delete(ctx, "/source"); err != nil {
			t.Fatal(err)
		}
		put("it was removed", m.resumable(address, source), version+3)
	}
	if left := pendingCommits(filepath.Join(m.dir, ".local", "state", "inos", "commits"), time.Now()); len(left) != 0 {
		t.Errorf("commits are remembered still: %+v", left)
	}
	for u, err := range m.client.Uploads(ctx) {
		t.Errorf("an upload is open still: %+v (%v)", u, err)
	}
}
