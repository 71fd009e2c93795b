// Command joins inflates DIR/*.br by a decoder written in Go, one byte and 64 KiB at a time, and compares with DIR/*.plain.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing/iotest"

	"github.com/andybalholm/brotli"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "joins: Go:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	streams, err := filepath.Glob(filepath.Join(dir, "*.br"))
	if err != nil {
		return err
	}
	if len(streams) == 0 {
		return fmt.Errorf("no stream in %s", dir)
	}
	for _, path := range streams {
		stream, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(path[:len(path)-len(".br")] + ".plain")
		if err != nil {
			return err
		}
		sources := map[string]io.Reader{
			"1 byte": iotest.OneByteReader(bytes.NewReader(stream)),
			"64 KiB": bytes.NewReader(stream),
		}
		for name, source := range sources {
			got, err := io.ReadAll(brotli.NewReader(source))
			if err != nil {
				return fmt.Errorf("%s, %s at a time: %w", path, name, err)
			}
			if !bytes.Equal(got, want) {
				return fmt.Errorf("%s, %s at a time: other bytes", path, name)
			}
		}
	}
	return nil
}
