package api

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
)

// silent is a client of a node that answers as it is told to, told at once when it is silent.
func silent(t *testing.T, node http.HandlerFunc) (c *Client, told chan string) {
	t.Helper()
	s := httptest.NewServer(node)
	t.Cleanup(s.Close)
	c, told = connect(t, s, operatorSecret), make(chan string, 8)
	c.silenceTold = time.Millisecond
	c.Tell(func(text string) { told <- text })
	return c, told
}

// Who waits for a node that hangs is told, and a call that changes something waits on: it may be done yet.
func TestClientTellsOfSilence(t *testing.T) {
	goOn := make(chan struct{})
	c, told := silent(t, func(w http.ResponseWriter, _ *http.Request) {
		<-goOn
		_, _ = io.WriteString(w, "{}")
	})
	c.silenceTimeout = time.Nanosecond
	ended := make(chan error)
	go func() {
		_, err := c.Delete(context.Background(), "/x")
		ended <- err
	}()
	if text := <-told; !strings.Contains(text, c.base+" has been silent for 1ms") {
		t.Errorf("%q", text)
	}
	close(goOn)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A call that only reads ends when the silence does not, before the answer and in the middle of it.
func TestClientEndsAReadOfSilence(t *testing.T) {
	for name, begin := range map[string]func(w http.ResponseWriter){
		"no answer": func(http.ResponseWriter) {},
		"half of one": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(make([]byte, 500))
			w.(http.Flusher).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, told := silent(t, func(w http.ResponseWriter, r *http.Request) {
				begin(w)
				<-r.Context().Done()
			})
			c.silenceTimeout = time.Millisecond
			_, err := c.Get(context.Background(), Ref{Path: "/x"}, io.Discard, GetOptions{})
			wantCode(t, err, inos.CodeNodeUnreachable)
			if !strings.Contains(err.Error(), "answers nothing") || len(told) != 1 {
				t.Errorf("told %d times, error %v", len(told), err)
			}
		})
	}
}

// The time that a body takes to come from elsewhere is not the node's.
func TestClientWaitsForItsOwnInput(t *testing.T) {
	s := &silence{c: &Client{silenceTold: time.Hour}, cancel: func(error) {}}
	u := &upload{silence: s}
	u.r = readerFunc(func([]byte) (int, error) {
		if s.timer.Stop() {
			t.Error("the node's silence is counted while the input is awaited")
		}
		return 0, io.EOF
	})
	s.wait()
	u.hash = blake3.New(inos.HashBytes, nil)
	_, _ = u.Read(make([]byte, 1))
	if !s.timer.Stop() {
		t.Error("the node's silence is not counted behind it")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
