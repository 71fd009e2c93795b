// Program sim breaks the kernel on purpose and counts the worlds of the simulation that notice.
//
//	sim bugs [-rounds N] [-seeds N] [NAME…]      the planted bugs of sim/bugs: the seeds that each took to be found, and their median
//	sim mutants [-count N] [-seeds N] [-seed N]  mutants drawn from the kernel's source: a condition negated, a statement dropped
//
// A changed kernel is compiled as an overlay of the build; no file of the repository is touched.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("say bugs or mutants")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	rounds := flags.Int("rounds", 5, "how often each planted bug is looked for, each time from another seed")
	count := flags.Int("count", 100, "mutants")
	seeds := flags.Int("seeds", 0, "worlds of one round at most; 0: 500 for a planted bug, 60 for a mutant")
	seed := flags.Uint64("seed", 1, "what the mutants are drawn from")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "inos-sim.")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	switch args[0] {
	case "bugs":
		if *seeds == 0 {
			*seeds = 500
		}
		return bugs(dir, flags.Args(), *rounds, *seeds)
	case "mutants":
		if *seeds == 0 {
			*seeds = 60
		}
		return mutants(dir, *count, *seeds, *seed)
	}
	return fmt.Errorf("%q is neither bugs nor mutants", args[0])
}

// change is one file of the repository with other text.
type change struct {
	file string
	text string
}

var errBuild = errors.New("it does not compile")

// build compiles the simulation with changes, or without one, and returns the program.
func build(dir, name string, changes ...change) (string, error) {
	list := filepath.Join(dir, "overlay.json")
	if err := overlay(dir, list, changes); err != nil {
		return "", err
	}
	program := filepath.Join(dir, name)
	out, err := exec.Command("go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", list, "-o", program, "./sim").CombinedOutput() //nolint:gosec // our own files
	if err != nil {
		return "", fmt.Errorf("%w: %s", errBuild, out)
	}
	return program, nil
}

// overlay writes which files of the build have another text.
func overlay(dir, list string, changes []change) error {
	replace := map[string]string{}
	for i, c := range changes {
		file, err := filepath.Abs(c.file)
		if err != nil {
			return err
		}
		changed := filepath.Join(dir, fmt.Sprintf("changed%d.go", i))
		if err := os.WriteFile(changed, []byte(c.text), 0o600); err != nil {
			return err
		}
		replace[file] = changed
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return err
	}
	return os.WriteFile(list, text, 0o600)
}

// worldSeconds bounds the processor time of a round, for each of its worlds, which needs a tenth of a second: a kernel that loops for ever is
// noticed too, and a machine that others keep busy is not taken for one.
const worldSeconds = 2

var (
	firstBad = regexp.MustCompile(`first bad world: number (\d+), (.*)`)
	branches = regexp.MustCompile(`\d+ worlds`)
)

// found is how a round ended.
type found struct {
	seeds int // it took; 0: nothing was found
	how   string
}

// worlds runs the program from a seed on until a world is bad.
func worlds(program string, first uint64, seeds int, flags ...string) (found, error) {
	limited := fmt.Sprintf(`ulimit -t %d; exec "$@"`, 60+seeds*worldSeconds)
	args := append([]string{
		"-c", limited, "sh", program, "-test.run", "^TestSeeds$", "-test.v", "-test.timeout", "0",
		"-sim.first", strconv.FormatUint(first, 10), "-sim.seeds", strconv.Itoa(seeds), "-sim.quit", "1", "-sim.shrink=false",
	}, flags...)
	cmd := exec.Command("sh", args...) //nolint:gosec // our own program
	cmd.Dir = "sim"
	out, err := cmd.CombinedOutput()
	if m := firstBad.FindSubmatch(out); m != nil {
		n, _ := strconv.Atoi(string(m[1]))
		return found{n, string(m[2])}, nil
	}
	if err != nil {
		lines := strings.Split(string(out), "\n")
		return found{1, "the simulation stopped: " + lines[0]}, nil
	}
	if !branches.Match(out) {
		return found{}, fmt.Errorf("no world was run: %s", out)
	}
	return found{}, nil
}

// noticed runs the program from a seed on until a world is bad that is good with the kernel as it is.
func noticed(program, control string, first uint64, seeds int, flags ...string) (found, error) {
	for from := 0; from < seeds; {
		f, err := worlds(program, first+uint64(from), seeds-from, flags...)
		if err != nil || f.seeds == 0 {
			return f, err
		}
		from += f.seeds
		before, err := worlds(control, first+uint64(from-1), 1, flags...)
		if err != nil {
			return found{}, err
		}
		if before.seeds == 0 {
			f.seeds = from
			return f, nil
		}
		fmt.Printf("seed %d is bad as it is: %.200s\n", first+uint64(from-1), before.how)
	}
	return found{}, nil
}

// bugs looks for each planted bug.
func bugs(dir string, names []string, rounds, seeds int) error {
	files, err := filepath.Glob("sim/bugs/*.txt")
	if err != nil {
		return err
	}
	slices.Sort(files)
	control, err := build(dir, "control.test")
	if err != nil {
		return err
	}
	missed, all := 0, 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		all++
		b, err := readBug(file)
		if err != nil {
			return err
		}
		program, err := build(dir, "sim.test", b.changes...)
		if err != nil {
			fmt.Printf("%-26s %v\n", name, err)
			missed++
			continue
		}
		var took []int
		how := ""
		for round := range rounds {
			f, err := noticed(program, control, uint64(round+1)*1_000_000, seeds, b.flags...)
			if err != nil {
				return err
			}
			if f.seeds == 0 {
				f.seeds = seeds + 1
			} else if how == "" {
				how = f.how
			}
			took = append(took, f.seeds)
		}
		slices.Sort(took)
		median := strconv.Itoa(took[len(took)/2])
		if took[len(took)/2] > seeds {
			median = "not found"
			missed++
		}
		fmt.Printf("%-26s %10s  %v  %s\n    %.200s\n", name, median, took, b.breaks, how)
	}
	fmt.Printf("planted bugs: %d passed, %d failed\n", all-missed, missed)
	if missed > 0 {
		return fmt.Errorf("%d of %d planted bugs were not found", missed, all)
	}
	return nil
}

// bug is a planted bug: what it breaks, flags of the simulation that say in which worlds it is looked for, and the files in which it replaces a text.
type bug struct {
	breaks  string
	flags   []string
	changes []change
}

// readBug reads a file of sim/bugs: lines "breaks: …", "flags: …" where not all worlds will do, and "file: …", one for each file, then, each after a line of dashes, a text that has to be
// exactly once in one of the files, and what stands there instead; and so on.
func readBug(name string) (b bug, err error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return b, err
	}
	parts := strings.Split(string(raw), "\n----\n")
	if len(parts) < 3 || len(parts)%2 == 0 {
		return b, fmt.Errorf("%s: %d parts, not 3 or 5", name, len(parts))
	}
	for line := range strings.Lines(parts[0]) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "breaks":
			b.breaks = value
		case "flags":
			b.flags = strings.Fields(value)
		case "file":
			text, err := os.ReadFile(value)
			if err != nil {
				return b, fmt.Errorf("%s: %w", name, err)
			}
			b.changes = append(b.changes, change{value, string(text)})
		}
	}
	for i := 1; i < len(parts); i += 2 {
		if err := b.replace(parts[i], strings.TrimSuffix(parts[i+1], "\n")); err != nil {
			return b, fmt.Errorf("%s: %w", name, err)
		}
	}
	return b, nil
}

// replace replaces a text in the file that has it.
func (b *bug) replace(before, after string) error {
	found := 0
	for i := range b.changes {
		c := &b.changes[i]
		found += strings.Count(c.text, before)
		c.text = strings.Replace(c.text, before, after, 1)
	}
	if found != 1 {
		return fmt.Errorf("its text is %d times in its files, not once:\n%s", found, before)
	}
	return nil
}
