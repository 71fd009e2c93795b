package kernel

// recent is a set of at most limit keys; the one added longest ago goes first.
type recent struct {
	limit int
	added map[string]uint64 // key -> step
}

func (r *recent) has(key string) bool {
	_, ok := r.added[key]
	return ok
}

func (r *recent) add(key string, step uint64) {
	if r.added == nil {
		r.added = map[string]uint64{}
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
	r.added[key] = step
}

func (r *recent) code(c *coder) {
	table(c, &r.added, r.limit, text[string], num[uint64])
}
