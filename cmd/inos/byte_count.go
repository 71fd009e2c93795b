package main

import (
	"fmt"
	"strconv"
	"strings"
)

// byteUnits are the suffixes of a number of bytes.
var byteUnits = []struct {
	suffix string
	bytes  int64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"", 1},
}

// anyDisk is what no node may offer more than: of more an invite would be made that lets nobody in.
const anyDisk = 1 << 60

// byteCount is a flag: a number of bytes that is at least 1, like 1000000, 500G (powers of 1000) or 2Ti (of 1024).
type byteCount int64

// Set reads the flag.
func (b *byteCount) Set(s string) error {
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || n == 0 {
			break
		}
		if n > uint64(anyDisk/u.bytes) {
			return fmt.Errorf("%s is more than any disk has", s)
		}
		*b = byteCount(int64(n) * u.bytes)
		return nil
	}
	return fmt.Errorf("write a whole number of bytes, at least 1, with K, M, G, T (1000) or Ki, Mi, Gi, Ti (1024) if you like: 500G, 2Ti")
}

// String returns the number, or nothing when there is none.
func (b *byteCount) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Type names the value in the help text.
func (b *byteCount) Type() string { return "bytes" }
