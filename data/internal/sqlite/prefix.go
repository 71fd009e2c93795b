package sqlite

import "math"

// PrefixEnd returns the least string above every string that begins with prefix; ok is false when there is none.
func PrefixEnd(prefix string) (end string, ok bool) {
	b := []byte(prefix)
	for len(b) > 0 {
		if last := len(b) - 1; b[last] < math.MaxUint8 {
			b[last]++
			return string(b), true
		}
		b = b[:len(b)-1]
	}
	return "", false
}
