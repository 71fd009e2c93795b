package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// A drain is shown to its end also when the switchboard is started again meanwhile.
func TestDrainOutlivesTheSwitchboard(t *testing.T) {
	a, out := meshApp(t, 0)
	a.ctx = context.Background()
	draining := api.NodeInfo{Member: api.Member{Node: nodeA, State: inos.MemberDraining.String(), Copies: 9}}
	looks := 0
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			_ = json.NewEncoder(w).Encode(draining.Member)
			return
		}
		switch looks++; looks {
		case 1:
			panic(http.ErrAbortHandler) // the connection breaks
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"code":"shutting_down"}`))
			return
		case 4:
			draining.Copies = 0
		}
		_ = json.NewEncoder(w).Encode(api.NodesReply{Nodes: []api.NodeInfo{draining}})
	}))
	t.Cleanup(node.Close)
	client, err := api.NewClient(node.URL, "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := a.drain(client, &draining, false, false); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), "waiting for it") != 1 || !strings.HasSuffix(out.String(), "provider-1 is empty: 9 copies moved; 'inos nodes rm' takes it out of the mesh\n") {
		t.Errorf("%d looks: %s", looks, out)
	}
	gone := inos.Errorf(inos.CodeNodeUnreachable, "call node", "refused")
	if !comesAgain(a.ctx, gone, time.Now()) || comesAgain(a.ctx, gone, time.Now().Add(-drainAwayMax)) || comesAgain(a.ctx, inos.Errorf(inos.CodePermissionDenied, "list", "no"), time.Now()) {
		t.Error("it is waited for without end, or not at all, or in spite of its refusal")
	}
}
