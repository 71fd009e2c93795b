package sim

import "strings"

// shrinkRuns bounds the worlds that Shrink runs.
const shrinkRuns = 400

// Shrink looks for a smaller plan whose world goes wrong in the same way: it leaves out faults, and then requests of clients, in ever
// smaller groups (Zeller's ddmin).
func Shrink(p Plan) (small Plan, r Result) {
	r = p.run(nil)
	if len(r.Violations) == 0 {
		return p, r
	}
	kind := skeleton(r.Violations[0])
	runs := 0
	wrong := func(q Plan) bool {
		if runs++; runs > shrinkRuns {
			return false
		}
		got := q.run(nil)
		if len(got.Violations) == 0 || skeleton(got.Violations[0]) != kind {
			return false
		}
		r = got
		return true
	}
	for before := -1; before != len(p.Faults)+len(p.ops) && runs < shrinkRuns; {
		before = len(p.Faults) + len(p.ops)
		p.Faults = fewer(p.Faults, func(l []Fault) bool { q := p; q.Faults = l; return wrong(q) })
		p.ops = fewer(p.ops, func(l []*op) bool { q := p; q.ops = l; return wrong(q) })
	}
	return p, r
}

// skeleton is a violation without what differs between worlds: its time, numbers, ids and paths.
func skeleton(s string) string {
	_, s, _ = strings.Cut(s, ": ")
	var words []string
	for w := range strings.FieldsSeq(s) {
		if strings.ContainsAny(w, "0123456789/") {
			w = "_"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
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
