package sim

// shrinkRuns bounds the worlds that Shrink runs.
const shrinkRuns = 400

// Shrink looks for a smaller plan whose world still goes wrong: it leaves out faults, and then requests of clients, in ever smaller
// groups (Zeller's ddmin). It returns the faults that are left and what goes wrong with them.
func Shrink(seed uint64) (faults []Fault, requests int, r Result) {
	p := newPlan(seed)
	r = p.run(nil)
	runs := 0
	wrong := func(q Plan) bool {
		if runs++; runs > shrinkRuns {
			return false
		}
		got := q.run(nil)
		if len(got.Violations) == 0 {
			return false
		}
		r = got
		return true
	}
	if len(r.Violations) == 0 {
		return p.Faults, len(p.ops), r
	}
	p.Faults = fewer(p.Faults, func(l []Fault) bool { q := p; q.Faults = l; return wrong(q) })
	p.ops = fewer(p.ops, func(l []*op) bool { q := p; q.ops = l; return wrong(q) })
	p.Faults = fewer(p.Faults, func(l []Fault) bool { q := p; q.Faults = l; return wrong(q) })
	return p.Faults, len(p.ops), r
}

// fewer leaves out as many elements as it can while the rest is still wrong.
func fewer[T any](all []T, wrong func([]T) bool) []T {
	for size := max(1, len(all)/2); len(all) > 0; {
		shrunk := false
		for from := 0; from < len(all); {
			to := min(len(all), from+size)
			rest := append(append([]T{}, all[:from]...), all[to:]...)
			if wrong(rest) {
				all, shrunk = rest, true
				continue
			}
			from = to
		}
		if size == 1 && !shrunk {
			break
		}
		size = max(1, size/2)
	}
	return all
}
