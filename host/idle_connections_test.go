package host

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"testing"

	"github.com/inos-mesh/inos/host/api"
)

// idleConnections is how many TestIdleConnections opens; INOS_IDLE_CONNECTIONS asks for more.
const idleConnections = 1000

// idlePeakMiB bounds the memory of a node whose clients do nothing, and of one with its work to do.
const idlePeakMiB = 300

// Connections that only wait, with nothing said, half a header, a header and no body, or an answer behind them, lock nobody out and cost a node
// little, however many there are: beyond api.ConnectionsMax the one that has waited for longest is closed for each new one.
func TestIdleConnections(t *testing.T) {
	count := idleConnections
	if s := os.Getenv("INOS_IDLE_CONNECTIONS"); s != "" {
		var err error
		if count, err = strconv.Atoi(s); err != nil {
			t.Fatalf("INOS_IDLE_CONNECTIONS: %v", err)
		}
	}
	node := startChild(t, t.TempDir())
	defer func() {
		_ = node.cmd.Process.Kill()
		_ = node.cmd.Wait()
	}()
	info, err := node.client.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(info.URL)
	if err != nil {
		t.Fatal(err)
	}
	before := memoryMiB(node.cmd.Process.Pid, "VmRSS:")
	said := []string{"", "GET / HTTP/1.1\r\nHost: x\r\nX: ", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"}
	open := make([]net.Conn, 0, count)
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	body := text(40, 100_000)
	serves := func() { // a client that comes now, by a connection of its own
		t.Helper()
		node.client.Close()
		if _, err := node.client.Put(t.Context(), "/file", bytes.NewReader(body), int64(len(body)), api.PutOptions{}); err != nil {
			t.Fatalf("put beside %d connections: %v", len(open), err)
		}
		var got bytes.Buffer
		if _, err := node.client.Get(t.Context(), api.Ref{Path: "/file"}, &got, api.GetOptions{}); err != nil || !bytes.Equal(got.Bytes(), body) {
			t.Fatalf("get beside %d connections: %d bytes, %v", len(open), got.Len(), err)
		}
	}
	for i := range count {
		c, err := net.Dial("tcp", address.Host)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		open = append(open, c)
		if i%97 == 0 { // few bodies: a request whose header is whole is at work, and its connection stays
			_, _ = io.WriteString(c, said[3])
		} else {
			_, _ = io.WriteString(c, said[i%3])
		}
		if i%500 == 0 {
			serves()
		}
	}
	serves()
	after, peak := memoryMiB(node.cmd.Process.Pid, "VmRSS:"), peakMiB(node.cmd.Process.Pid)
	t.Logf("%d connections, at most %d of them open: %d MiB, before them %d MiB; at most %d MiB with the start", count, api.ConnectionsMax, after, before, peak)
	if peak > idlePeakMiB {
		t.Errorf("the node has had %d MiB, at most %d", peak, idlePeakMiB)
	}
}
