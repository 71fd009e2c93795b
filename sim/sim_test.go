package sim

import (
	"flag"
	"os"
	"testing"
)

var (
	oneSeed   = flag.Uint64("sim.seed", 0, "run the world of this seed only, and write its transcript to standard error")
	firstSeed = flag.Uint64("sim.first", 0, "the first of the fresh seeds; 0: from the clock")
	seedCount = flag.Int("sim.seeds", 50, "fresh seeds")
)

// TestOneWorld runs one world and prints its transcript.
func TestOneWorld(t *testing.T) {
	if *oneSeed == 0 {
		t.Skip("no seed was named")
	}
	r := Run(*oneSeed, os.Stderr)
	t.Logf("%+v", r)
	if len(r.Violations) > 0 {
		t.Fail()
	}
}

func init() { flag.BoolVar(&allLone, "sim.lone", true, "worlds of one node only") }

func TestWorlds(t *testing.T) {
	if *oneSeed != 0 {
		t.Skip("one seed was named")
	}
	first := *firstSeed
	if first == 0 {
		first = 1
	}
	bad := 0
	for seed := first; seed < first+uint64(*seedCount); seed++ {
		r := Run(seed, nil)
		if len(r.Violations) > 0 {
			bad++
			t.Errorf("seed %d (%d nodes): %d steps, %d faults: %s", seed, len(newPlan(seed).Nodes), r.Steps, r.Faults, r.Violations[0])
		}
	}
	t.Logf("%d of %d worlds bad", bad, *seedCount)
}
