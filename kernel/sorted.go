package kernel

import (
	"cmp"
	"slices"
)

// sortedKeys returns a map's keys in order. It is the kernel's only walk over a map: Go walks maps in random order, and
// the same envelopes have to give the same effects.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	if len(m) == 0 {
		return nil // most tables are empty, and every step asks
	}
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
