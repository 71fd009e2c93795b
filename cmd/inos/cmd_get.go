package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host/api"
)

func (a *app) cmdGet() *cobra.Command {
	var output, part string
	var recursive, force bool
	c := &cobra.Command{
		Use:   "get PATH|FILEID [-o FILE] | get -r PATH -o DIR",
		Short: "Read a file back, by its path or by its file id, or all below a path",
		Long: `Get writes a file to FILE, or to standard output. The bytes are verified twice: each chunk by the node before
it is sent, and the whole by its file id when it has come. FILE appears whole or not at all; with standard
output a wrong byte can only be told at the end, by the exit status. When FILE is a folder the file keeps
its name in it.

With --recursive every file below PATH is written below DIR, several at once, each verified and whole or not at all.
Nothing is written outside of DIR. A file that is there with the same bytes is left alone; one with other bytes is
refused, and with --force replaced.` + othersManual,
		Example: `  inos get /videos/holiday.mp4 -o holiday.mp4
  inos get /backup/src.tar | tar x
  inos get 8a1f…64 digits…c3 -o copy.bin     # by the file id that put and stat print
  inos get /videos/holiday.mp4 --range 0-1023 | xxd
  inos get -r /archive/2024 -o photos        # a folder`,
		Args: arguments(1, 1, "one PATH or FILEID"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.within(c, args); err != nil {
				return err
			}
			if recursive {
				if part != "" {
					return usage(c, "--range is of one file, -r of many")
				}
				return a.getFolder(c, args[0], output, force)
			}
			if force {
				return usage(c, "--force goes with -r: -o FILE replaces a file by itself")
			}
			ref, err := api.ParseRef(args[0])
			if err != nil {
				return err
			}
			o, err := parseRangeFlag(part)
			if err != nil {
				return usage(c, "%v", err)
			}
			toStdout := output == "" || output == "-"
			if a.json && toStdout {
				return usage(c, "--json describes a file that is written: it needs -o FILE")
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			m := a.meter("get "+printable(args[0]), -1)
			o.Progress = func(received, total int64) {
				m.know(total, "")
				m.set(received)
			}
			began := time.Now()
			var got api.Got
			if toStdout {
				got, err = client.Get(a.ctx, ref, a.stdout, o)
			} else {
				output = insideFolder(output, ref)
				got, err = client.GetFile(a.ctx, ref, output, o)
			}
			m.close()
			if err != nil {
				return a.asFolder(client, ref, err,
					fmt.Sprintf("Read them all with 'inos get -r %s -o %s'.", printable(string(ref.Path)), printable(path.Base(string(ref.Path)))))
			}
			return a.printGot(&got, output, toStdout, time.Since(began))
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "file to write, with -r folder; - is standard output")
	c.Flags().StringVar(&part, "range", "", "plain bytes FIRST-LAST, FIRST- or -COUNT instead of the whole")
	c.Flags().BoolVarP(&recursive, "recursive", "r", false, "read every file below PATH")
	c.Flags().BoolVar(&force, "force", false, "with -r: replace files that are there with other bytes")
	return c
}

func (a *app) printGot(got *api.Got, output string, toStdout bool, elapsed time.Duration) error {
	if a.json {
		return a.printJSON(struct {
			*api.Got
			Output string `json:"output"`
		}{got, output})
	}
	if a.quiet || toStdout {
		return nil
	}
	verified := "a part"
	if got.Verified {
		verified = "verified"
	}
	return a.printf("%s\n  file id   %s (%s)\n  plain     %s bytes, version %d, %s\n  trace     %s\n",
		printable(output), got.FileID, verified, groupText(uint64(got.Bytes)), got.Version, rateText(got.Bytes, elapsed), got.TraceID)
}

// insideFolder returns the name in a folder, when output is one.
func insideFolder(output string, ref api.Ref) string {
	info, err := os.Stat(output)
	if err != nil || !info.IsDir() {
		return output
	}
	if ref.Path == "" {
		return filepath.Join(output, ref.FileID.String())
	}
	return filepath.Join(output, path.Base(string(ref.Path)))
}

// parseRangeFlag reads FIRST-LAST, FIRST- or -COUNT.
func parseRangeFlag(s string) (o api.GetOptions, err error) {
	if s == "" {
		return o, nil
	}
	bad := fmt.Errorf("--range %q is not FIRST-LAST, FIRST- or -COUNT", s)
	first, last, found := strings.Cut(s, "-")
	if !found || first == "" && last == "" {
		return o, bad
	}
	number := func(s string) int64 {
		n, parseErr := strconv.ParseInt(s, 10, 63)
		if parseErr != nil || s[0] == '+' || s[0] == '-' {
			err = bad
		}
		return n
	}
	switch {
	case first == "":
		if o.Offset = -number(last); o.Offset == 0 {
			err = bad
		}
	case last == "":
		o.Offset = number(first)
	default:
		o.Offset = number(first)
		if o.Length = number(last) - o.Offset + 1; o.Length <= 0 {
			err = bad
		}
	}
	return o, err
}
