package kernel

import "github.com/inos-mesh/inos"

// recent is a set of at most limit keys, each of which stays for a time, or for ever if none is set; the one added longest ago goes first.
type recent struct {
	limit int
	stay  inos.Micros
	added map[string]inos.Micros // key -> when it was added
}

func (r *recent) has(key string, now inos.Micros) bool {
	at, ok := r.added[key]
	return ok && (r.stay == 0 || now-at < r.stay)
}

func (r *recent) add(key string, now inos.Micros) {
	if r.added == nil {
		r.added = map[string]inos.Micros{}
	}
	if _, ok := r.added[key]; !ok && len(r.added) >= r.limit {
		oldest := ""
		for _, k := range sortedKeys(r.added) {
			if oldest == "" || r.added[k] < r.added[oldest] {
				oldest = k
			}
		}
		delete(r.added, oldest)
	}
	r.added[key] = now
}

func (r *recent) code(c *coder) {
	table(c, &r.added, r.limit, text[string], num[inos.Micros])
}
