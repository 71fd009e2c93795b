package sim

import "github.com/inos-mesh/inos"

// item is something that happens at a time. Of items of one time, the one put in first happens first.
type item struct {
	at  inos.Micros
	seq uint64
	do  func()
}

// queue is a heap of items by time.
type queue struct {
	items []item
	seq   uint64
}

func (q *queue) less(i, j int) bool {
	a, b := &q.items[i], &q.items[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (q *queue) put(at inos.Micros, do func()) {
	q.seq++
	q.items = append(q.items, item{at, q.seq, do})
	for i := len(q.items) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.less(i, up) {
			break
		}
		q.items[i], q.items[up] = q.items[up], q.items[i]
		i = up
	}
}

// take removes the first item.
func (q *queue) take() (first item) {
	first = q.items[0]
	last := len(q.items) - 1
	q.items[0] = q.items[last]
	q.items[last] = item{}
	q.items = q.items[:last]
	for i := 0; ; {
		next := 2*i + 1
		if next >= last {
			return first
		}
		if next+1 < last && q.less(next+1, next) {
			next++
		}
		if !q.less(next, i) {
			return first
		}
		q.items[i], q.items[next] = q.items[next], q.items[i]
		i = next
	}
}
