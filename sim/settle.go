package sim

import (
	"fmt"

	"github.com/inos-mesh/inos"
)

// settleWithin is how long after the faults have stopped everything has to be whole and quiet.
const settleWithin = 40 * inos.Minute

// settle waits until everything is whole and quiet, and reads everything back.
func (w *World) settle() {
	if w.over {
		return
	}
	limit := w.now + settleWithin
	for w.now < limit && !w.over {
		if w.unsettled(false) == "" {
			break
		}
		w.run(w.now + 5*inos.Second)
	}
	if w.over {
		return
	}
	if what := w.unsettled(true); what != "" {
		w.violate("%d minutes after the faults have stopped: %s", settleWithin/inos.Minute, what)
		return
	}
	w.readAll()
}

// unsettled says what is not whole or quiet yet.
func (w *World) unsettled(all bool) string {
	if n := len(w.clients.open); n > 0 {
		for _, k := range sortedKeys(w.clients.open) {
			r := w.clients.open[k]
			return fmt.Sprintf("%d requests are not answered, %s of %s among them", n, opNames[r.op.kind], r.op.path)
		}
	}
	t, err := w.semantic.Totals(background)
	if err != nil {
		w.violate("totals: %v", err)
	}
	switch {
	case t.Uploads > 0:
		return fmt.Sprintf("%d uploads keep their pins", t.Uploads)
	case t.Collectable > 0:
		return fmt.Sprintf("%d chunks that nothing refers to are not collected", t.Collectable)
	}
	for _, p := range w.nodes {
		if p.up && len(p.buffers) > 0 {
			return fmt.Sprintf("%s keeps %d buffers", p, len(p.buffers))
		}
	}
	if s := w.short(); s != "" {
		return s
	}
	return w.orphans()
}

// short names a live version that has fewer copies than it wants and could have.
func (w *World) short() string {
	for _, h := range w.truth.sorted() {
		v := h.last()
		if v == nil || v.tomb {
			continue
		}
		level := w.levelOf(int(v.info.ReplicasWanted))
		usable := map[string]bool{}
		for _, p := range w.nodes {
			if w.usable(p) {
				usable[p.domainOf(level)] = true
			}
		}
		need := min(int(v.info.ReplicasWanted), len(usable))
		for _, id := range v.chunks {
			have := map[string]bool{}
			for _, p := range w.nodes {
				if w.usable(p) && p.disk.holds(id, false) {
					have[p.domainOf(level)] = true
				}
			}
			if len(have) < need {
				return fmt.Sprintf("chunk %s of %s version %d lies in %d domains of level %s, %d are wanted and possible", id, h.path, v.number, len(have), level, need)
			}
		}
	}
	return ""
}

// usable says that a node's copies count when everything is well.
func (w *World) usable(p *process) bool {
	return p.provider && p.member && !p.lost && !p.removed && !p.draining && p.up && !p.frozen
}

// orphans names a chunk that lies on a disk for nothing.
func (w *World) orphans() string {
	for _, p := range w.nodes {
		if !p.up || p.liar.any() {
			continue
		}
		ids := p.disk.list(false)
		unknown, err := w.semantic.UnknownChunks(background, ids)
		if err != nil {
			w.violate("unknown chunks: %v", err)
		}
		if len(unknown) > 0 {
			return fmt.Sprintf("%d chunks without a row lie on %s, %s among them", len(unknown), p, unknown[0])
		}
	}
	return ""
}

// readAll reads every path as a client does and compares.
func (w *World) readAll() {
	var wait []*request
	for _, h := range w.truth.sorted() {
		if h.last() == nil {
			continue
		}
		who := 0
		if h.owner == sessions[1].Subject {
			who = 1
		}
		o := &op{kind: opGet, who: who, path: h.path, length: -1, tries: 1}
		w.ask(o)
		wait = append(wait, w.clients.latest)
	}
	w.run(w.now + 2*inos.Minute)
	for _, r := range wait {
		h := w.truth.history(r.owner(), r.op.path)
		last := h.last()
		switch {
		case w.over:
			return
		case !r.done:
			w.violate("the last get of %s is not answered", h.path)
		case last.tomb && (r.outcome == nil || r.outcome.Code != inos.CodeFileNotFound):
			w.violate("%s was deleted by version %d and is there at the end", h.path, last.number)
		case !last.tomb && r.outcome != nil:
			w.violate("%s version %d (acknowledged: %t) cannot be read at the end: %v", h.path, last.number, last.acked, r.outcome)
		case !last.tomb && (r.found == nil || r.found.number != last.number):
			w.violate("%s is read in another version than %d at the end", h.path, last.number)
		}
	}
}
