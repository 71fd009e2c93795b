// Command corpus writes test data to standard output: the same seed, kind and length give the same bytes on every
// machine. Text is words drawn by rank (compressible like prose), random is noise (not compressible), mixed alternates
// between both in blocks that are no multiple of a chunk, so that chunks of every mixture occur.
package main

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

const (
	blockBytes = 3<<20 + 12345 // of one kind in a mixed file
	wordsMax   = 8192
	writeBytes = 1 << 20
)

func main() {
	seed := flag.Uint64("seed", 1, "the data's name: another seed gives other bytes")
	kind := flag.String("kind", "mixed", "text, random or mixed")
	size := flag.Int64("bytes", 1<<20, "length")
	flag.Parse()
	if err := write(os.Stdout, *kind, *seed, *size); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

func write(w io.Writer, kind string, seed uint64, size int64) error {
	random := rand.New(rand.NewPCG(seed, 0x1905))
	text := newText(random)
	out := bufio.NewWriterSize(w, writeBytes)
	noise := make([]byte, 8)
	for done := int64(0); done < size; {
		isText := kind == "text" || kind == "mixed" && done/blockBytes%2 == 0
		var piece []byte
		switch {
		case isText:
			piece = text.next()
		case kind == "random" || kind == "mixed":
			binary.LittleEndian.PutUint64(noise, random.Uint64())
			piece = noise
		default:
			return fmt.Errorf("unknown kind %q: text, random or mixed", kind)
		}
		piece = piece[:min(int64(len(piece)), size-done)]
		if _, err := out.Write(piece); err != nil {
			return err
		}
		done += int64(len(piece))
	}
	return out.Flush()
}

// text draws words: the lower of two ranks is taken, three times over, so that a few words are common and most are rare.
type text struct {
	random *rand.Rand
	words  [wordsMax][]byte
}

func newText(random *rand.Rand) *text {
	const letters = "etaoinshrdlucmfwygpbvkxqjz"
	t := &text{random: random}
	for i := range t.words {
		word := make([]byte, 0, 12)
		for range 2 + random.IntN(8) {
			word = append(word, letters[min(random.IntN(26), random.IntN(26))])
		}
		end := byte(' ')
		if i%17 == 0 {
			end = '\n'
		}
		t.words[i] = append(word, end)
	}
	return t
}

func (t *text) next() []byte {
	r := t.random.Uint64()
	rank := min(r%wordsMax, r>>13%wordsMax, r>>26%wordsMax, r>>39%wordsMax)
	return t.words[rank]
}
