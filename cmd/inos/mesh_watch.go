package main

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// When a node of a local mesh that runs but answers nothing is killed.
const (
	healthInterval  = 10 * time.Second
	healthTimeout   = 10 * time.Second
	healthMissesMax = 6
)

// look asks the switchboard how the mesh is.
func (m *meshRun) look(ctx context.Context) (l look, err error) {
	m.mu.Lock()
	client := m.client
	l.names = nodeNames{}
	for id, name := range m.names {
		l.names[id] = name
	}
	m.mu.Unlock()
	if client == nil {
		return l, errNotYet
	}
	s, err := client.Status(ctx)
	if err != nil {
		return l, err
	}
	l.status = &s
	if m.rebuild && l.rebuilt() {
		m.mu.Lock()
		if m.rebuilt == nil {
			m.rebuilt = s.Rebuild
			close(m.done)
		}
		m.mu.Unlock()
	}
	if nodes, err := client.Nodes(ctx); err == nil {
		l.nodes = &nodes
		m.retire(&nodes)
	}
	if repairs, err := client.Repairs(ctx, 1); err == nil {
		l.repairs = &repairs
	}
	for _, c := range m.children() {
		l.children = append(l.children, c.view())
	}
	return l, nil
}

// retire stops the nodes that were taken out of the mesh.
func (m *meshRun) retire(r *api.NodesReply) {
	for i := range r.Nodes {
		if r.Nodes[i].State != inos.MemberRemoved.String() {
			continue
		}
		m.mu.Lock()
		name := m.names[r.Nodes[i].Node]
		m.mu.Unlock()
		at := slices.IndexFunc(m.providers, func(c *child) bool { return c.name == name })
		if at < 0 {
			continue
		}
		c := m.providers[at]
		c.stopOnce.Do(func() {
			close(c.stop)
			if err := m.l.retire(name); err != nil {
				m.view.say(c.name, err.Error())
			}
			m.view.say(c.name, "is no member of the mesh any more and is stopped; "+c.dir+" may be deleted")
		})
	}
}

// health kills nodes that run and answer nothing: their own watchdog may hang with them.
func (m *meshRun) health(ctx context.Context) {
	client := &http.Client{Timeout: healthTimeout, Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	misses := map[string]int{}
	for wait(ctx, healthInterval) == nil {
		var asking sync.WaitGroup
		var mu sync.Mutex // guards misses
		for _, c := range m.children() {
			m.mu.Lock()
			address := m.urls[c.name]
			m.mu.Unlock()
			asking.Go(func() {
				healthy := c.view().state != childRunning || answers(ctx, client, address)
				mu.Lock()
				defer mu.Unlock()
				if misses[c.name]++; healthy || ctx.Err() != nil {
					misses[c.name] = 0
				} else if misses[c.name] >= healthMissesMax {
					misses[c.name] = 0
					m.view.say(c.name, "answers nothing and is killed")
					c.kill()
				}
			})
		}
		asking.Wait()
	}
}

func answers(ctx context.Context, client *http.Client, address string) bool {
	u, err := url.JoinPath(address, "healthz")
	if err != nil {
		return false
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(r)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // nothing is read of it
	return true
}
