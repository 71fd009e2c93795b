package kernel

import (
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// fate is what becomes of a write to another node: it succeeds, fails at once, or hangs until its time is over.
type fate struct {
	code  inos.Code
	hangs bool
}

// attempt is a write of chunk number i (or of the record) to a node, the home'th of those to which the first chunk went, or -1; try counts from 0.
type attempt struct {
	i, home, try int
	node         string
	record       bool
	at           inos.Micros // since the put began
}

// watchedPut is a put of six chunks whose writes have the fates that a test gives them.
type watchedPut struct {
	k      *Kernel
	w      *world
	id     string
	began  inos.Micros
	chunks []string
	homes  []string
	fates  map[string]fate // by the id of the effect
	tries  map[string]int
}

// run goes on until the put is answered or a time is over.
func (g *watchedPut) run(t *testing.T, limit inos.Micros, decide func(attempt) fate) bool {
	t.Helper()
	w := g.w
	for range 1 << 17 {
		if reply, _ := w.last(g.id); reply != nil {
			return true
		}
		if w.now-g.began > limit {
			return false
		}
		for _, e := range w.pending {
			g.look(e, decide)
		}
		over := func(e *eventpb.Envelope) inos.Micros {
			q, _ := writeOf(e)
			return inos.Micros(e.Timestamp + q.TimeoutUs)
		}
		hangs := func(e *eventpb.Envelope) bool { return g.fates[e.Id].hangs }
		if i := slices.IndexFunc(w.pending, func(e *eventpb.Envelope) bool { return g.fates[e.Id].code != 0 }); i >= 0 {
			e := w.pending[i]
			w.now, w.pending = w.now+100, slices.Delete(w.pending, i, i+1)
			var q eventpb.MeshCallRequest
			w.open(e, &q)
			inner, err := event.Decode(q.Envelope)
			if err != nil {
				t.Fatal(err)
			}
			w.end(e, &eventpb.MeshCallReply{Envelope: event.Encode(nil, event.Failed(inner, w.now, inos.Errorf(g.fates[e.Id].code, "write chunk", "no")))}, nil)
		} else if i := slices.IndexFunc(w.pending, func(e *eventpb.Envelope) bool { return !hangs(e) }); i >= 0 {
			w.now += 100
			w.finish(i)
		} else if i := slices.IndexFunc(w.pending, func(e *eventpb.Envelope) bool { return over(e) <= w.now }); i >= 0 {
			w.fail(i, inos.CodePeerUnreachable)
		} else {
			next := max(w.wake, w.now+1)
			for _, e := range w.pending {
				next = min(next, over(e))
			}
			if every := 5 * inos.Second; next/every != w.now/every {
				for _, node := range sortedKeys(w.others) {
					w.beat(node)
				}
			}
			w.tick(next)
		}
	}
	t.Fatal("too many steps")
	return false
}

func (g *watchedPut) look(e *eventpb.Envelope, decide func(attempt) fate) {
	q, id := writeOf(e)
	if _, seen := g.fates[e.Id]; q == nil || seen {
		return
	}
	i := slices.Index(g.chunks, id)
	if i < 0 {
		i, g.chunks = len(g.chunks), append(g.chunks, id)
	}
	if !slices.Contains(g.homes, q.Node) && len(g.homes) < inos.ReplicasDefault {
		g.homes = append(g.homes, q.Node)
	}
	inner, _ := event.Decode(q.Envelope)
	var write eventpb.ContentWriteRequest
	_ = event.Open(inner, &write)
	g.fates[e.Id] = decide(attempt{i: i, home: slices.Index(g.homes, q.Node), try: g.tries[id+q.Node], node: q.Node, record: write.Record, at: g.w.now - g.began})
	g.tries[id+q.Node]++
}

// In each case the third home refuses the second chunk, so that two domains have everything, and then something happens to the fourth chunk, or to the
// record, at one of these. The put tries to keep both, waits for what can come, and for nothing else.
func TestPutGathers(t *testing.T) {
	const patience = regainPatience + regainEvery
	six := []string{"node-2", "node-3", "node-4", "node-5", "node-6", "node-7"}
	fourth := func(a attempt) bool { return a.i == 3 && a.home == 1 && !a.record }
	for name, c := range map[string]struct {
		nodes    []string
		deadline inos.Micros
		decide   func(attempt) fate
		busy     bool        // the homes are busy with something else in turns, instead
		drain    inos.Micros // when the node is told to stop
		domains  int         // on the receipt at least
		within   inos.Micros
	}{
		"once":              {domains: 2, within: 2 * regainEvery, decide: func(a attempt) fate { return when(fourth(a) && a.try == 0, fate{code: inos.CodeIO}) }},
		"refused":           {domains: 1, within: regainEvery / 2, decide: func(a attempt) fate { return when(fourth(a), fate{code: inos.CodeDiskFull}) }},
		"busy once":         {domains: 2, within: 2 * regainEvery, decide: func(a attempt) fate { return when(fourth(a) && a.try == 0, fate{code: inos.CodeBusy}) }},
		"busy for ever":     {domains: 1, within: patience, decide: func(a attempt) fate { return when(fourth(a), fate{code: inos.CodeBusy}) }},
		"busy, nobody else": {nodes: six[:3], domains: 1, within: patience, decide: func(a attempt) fate { return when(fourth(a), fate{code: inos.CodeBusy}) }},
		"hangs for ever":    {domains: 1, within: 2 * patience, decide: func(a attempt) fate { return when(fourth(a), fate{hangs: true}) }},
		"fails, then hangs": {domains: 1, within: patience, decide: func(a attempt) fate {
			return when(fourth(a), fate{code: inos.CodeIO, hangs: a.at > 8*inos.Second}.late())
		}},
		"a slow replacement": {domains: 2, within: 2 * regainEvery, decide: func(a attempt) fate {
			return when(fourth(a) && a.try == 0, fate{code: inos.CodeIO}).or(a.i == 3 && a.node == "node-4" && !a.record, fate{hangs: true})
		}},
		"busy with others":      {busy: true, domains: 2, within: regainEvery},
		"a near deadline":       {deadline: inos.Second, domains: 1, within: inos.Second - 1, decide: func(a attempt) fate { return when(fourth(a), fate{code: inos.CodeIO, hangs: a.try > 0}.late()) }},
		"a deadline":            {deadline: 8 * inos.Second, domains: 1, within: 5 * inos.Second, decide: func(a attempt) fate { return when(fourth(a), fate{code: inos.CodeIO, hangs: a.try > 0}.late()) }},
		"told to stop":          {drain: 1500 * inos.Millisecond, domains: 1, within: 2 * inos.Second, decide: func(a attempt) fate { return when(fourth(a), fate{code: inos.CodeIO, hangs: a.try > 0}.late()) }},
		"the record":            {domains: 2, within: 2 * regainEvery, decide: func(a attempt) fate { return when(a.record && a.home == 1 && a.try == 0, fate{code: inos.CodeIO}) }},
		"the record, busy":      {domains: 2, within: 2 * regainEvery, decide: func(a attempt) fate { return when(a.record && a.home == 1 && a.try == 0, fate{code: inos.CodeBusy}) }},
		"the record, for ever":  {domains: 1, within: patience, decide: func(a attempt) fate { return when(a.record && a.home == 1, fate{code: inos.CodeIO}) }},
		"the record, deadline":  {deadline: 4 * inos.Second, domains: 1, within: 3 * inos.Second, decide: func(a attempt) fate { return when(a.record && a.home == 1, fate{hangs: true}) }},
		"the record is refused": {domains: 1, within: regainEvery / 2, decide: func(a attempt) fate { return when(a.record && a.home == 1, fate{code: inos.CodePermissionDenied}) }},
	} {
		t.Run(name, func(t *testing.T) {
			if c.nodes == nil {
				c.nodes = six
			}
			k, w, e := turns(t, c.nodes, c.deadline)
			g := &watchedPut{k: k, w: w, id: e.Id, began: w.now, fates: map[string]fate{}, tries: map[string]int{}}
			if c.busy {
				w.kernel = native{k} // its state is changed from outside
			}
			last := -1
			decide := func(a attempt) fate {
				switch {
				case c.busy && !a.record && a.i != last && len(g.homes) == inos.ReplicasDefault:
					last = a.i
					for _, node := range g.homes {
						k.members.table[inos.NodeID(node)].busyTill = 0
					}
					k.members.busy(inos.NodeID(g.homes[a.i%inos.ReplicasDefault]))
				case c.busy:
				case a.i == 1 && a.home == 2 && !a.record:
					return fate{code: inos.CodeDiskFull}
				default:
					return c.decide(a)
				}
				return fate{}
			}
			if c.drain != 0 {
				if g.run(t, c.drain, decide) {
					t.Fatal("answered too soon")
				}
				w.give(w.host(event.NodeDrain, nil))
			}
			if !g.run(t, inos.Minute, decide) {
				t.Fatal("not answered within a minute")
			}
			if took := w.now - g.began; took > c.within {
				t.Errorf("answered after %d us", took)
			}
			reply := w.mustComplete(t, e.Id)
			var r eventpb.FilesPutReply
			w.open(reply, &r)
			if len(r.Receipt.Domains) < c.domains {
				t.Errorf("the receipt names %v", r.Receipt.Domains)
			}
		})
	}
}

// when is a fate if something holds.
func when(ok bool, f fate) fate {
	if !ok {
		return fate{}
	}
	return f
}

// or is another fate if something else holds.
func (f fate) or(ok bool, other fate) fate {
	if ok {
		return other
	}
	return f
}

// late is a fate that hangs instead of failing, if it says both.
func (f fate) late() fate {
	if f.hangs {
		f.code = 0
	}
	return f
}
