package main

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// The bytes are part of what benchmarks and the demonstration compare over time: another generator is another corpus.
func TestTheSameSeedGivesTheSameBytes(t *testing.T) {
	const size = 2*blockBytes + 777 // text, random, text, and an odd end
	for kind, want := range map[string]string{
		"text":   "379458660c8af691",
		"random": "124799d729d5545a",
		"mixed":  "a3d0f8b72ab37ffe",
	} {
		var b bytes.Buffer
		if err := write(&b, kind, 1, size); err != nil {
			t.Fatal(err)
		}
		if b.Len() != size {
			t.Errorf("%s: %d bytes, want %d", kind, b.Len(), size)
		}
		if sum := sha256.Sum256(b.Bytes()); hex.EncodeToString(sum[:8]) != want {
			t.Errorf("%s: the bytes hash to %x, want %s", kind, sum[:8], want)
		}
	}
}

func TestTextCompressesAndRandomDoesNot(t *testing.T) {
	for kind, bound := range map[string]struct{ low, high float64 }{"text": {0.2, 0.6}, "random": {0.99, 1.01}} {
		var plain, packed bytes.Buffer
		if err := write(&plain, kind, 1, 1<<20); err != nil {
			t.Fatal(err)
		}
		w, err := flate.NewWriter(&packed, flate.DefaultCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(plain.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if ratio := float64(packed.Len()) / float64(plain.Len()); ratio < bound.low || ratio > bound.high {
			t.Errorf("%s compresses to %.2f of its size, want %.2f to %.2f", kind, ratio, bound.low, bound.high)
		}
	}
}

func TestAnUnknownKindIsRefused(t *testing.T) {
	if err := write(&bytes.Buffer{}, "prose", 1, 10); err == nil {
		t.Error("an unknown kind wrote something")
	}
}
