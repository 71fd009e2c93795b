package api

import (
	"io"
	"net"
	"net/http/httptest"
	"testing"
)

// raw writes text on a connection of its own and returns what comes back until the server closes it. With ends the client's side is closed behind the
// text, which a server may take for a client that has gone.
func raw(t *testing.T, s *httptest.Server, text string, ends bool) string {
	t.Helper()
	c := dialed(t, s, text)
	defer c.Close()
	if ends {
		_ = c.CloseWrite()
	}
	b, _ := io.ReadAll(c)
	return string(b)
}

// answered is raw for a client that closes its side when the answer begins: a server that goes on reads nothing more.
func answered(t *testing.T, s *httptest.Server, text string) string {
	t.Helper()
	c := dialed(t, s, text)
	defer c.Close()
	first := make([]byte, 1)
	if _, err := io.ReadFull(c, first); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	b, _ := io.ReadAll(c)
	return string(first) + string(b)
}

func dialed(t *testing.T, s *httptest.Server, text string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}
