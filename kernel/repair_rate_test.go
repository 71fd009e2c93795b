package kernel

import (
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// plant copies as fast as the rate and the disks allow, in chunks of 1 MiB, and returns what was copied in each second.
func plant(u *repairs, seconds int, capacity uint64, clients func(second int) bool) (out []uint64) {
	k := u.k
	var free inos.Micros // when the disks have done what they were given
	for second := range seconds {
		u.k.puts.active = nil
		if clients(second) {
			u.k.puts.active = []*put{{}}
		}
		end, copied := k.now+inos.Second, uint64(0)
		for k.now < end {
			u.rate.act(u)
			wait := u.rate.take(u, 1<<20)
			if wait == 0 {
				free = max(free, k.now) + inos.Micros(uint64(inos.Second)<<20/capacity)
				wait = free - k.now
				u.rate.made(u, 1<<20, wait)
				copied += 1 << 20
			}
			k.now += wait
		}
		out = append(out, copied)
	}
	return out
}

// Repair takes what the disks give while nobody else wants them, a share of it while clients do, and does not swing.
func TestRepairRateFollowsTheClients(t *testing.T) {
	k := New()
	k.now = inos.Second
	const capacity = 200 << 20
	got := plant(&k.repairs, 120, capacity, func(s int) bool { return s >= 40 && s < 80 })
	for s := 30; s < 40; s++ {
		if got[s] < capacity*8/10 {
			t.Errorf("alone, repair copies %d bytes in second %d of %d", got[s], s, capacity)
		}
	}
	for s := 45; s < 80; s++ {
		if got[s] > capacity/repairShare*5/4+2*inos.StoredBytesMax || got[s] < capacity/repairShare/2 {
			t.Errorf("beside clients, repair copies %d bytes in second %d of %d", got[s], s, capacity)
		}
	}
	for s := 110; s < 120; s++ {
		if got[s] < capacity*8/10 {
			t.Errorf("alone again, repair copies %d bytes in second %d of %d", got[s], s, capacity)
		}
	}
	changes := 0
	for s := 46; s < 79; s++ {
		if d := int64(got[s+1]) - int64(got[s]); d > capacity/8 || d < -capacity/8 {
			changes++
		}
	}
	if changes > 1 {
		t.Errorf("the rate swings: %v", got[45:80])
	}
}

// A fixed rate is neither exceeded nor left unused.
func TestRepairRateFixed(t *testing.T) {
	k := New()
	k.now = inos.Second
	k.node.repairRate = 10 << 20
	sum := uint64(0)
	for _, n := range plant(&k.repairs, 30, 1<<30, func(s int) bool { return s%2 == 0 }) {
		sum += n
	}
	if allowed := uint64(30 * 10 << 20); sum > allowed+4*inos.StoredBytesMax || sum < allowed*9/10 {
		t.Errorf("%d bytes in 30 seconds of %d", sum, allowed)
	}
}

// The time that repairs take is told right for few and slow ones, and for a large node that has died.
func TestRepairsLeft(t *testing.T) {
	k := New()
	u := &k.repairs
	u.done, u.bytes, u.rate.window = 10, 10<<20, 1
	for _, c := range []struct{ total, speed, want uint64 }{
		{0, 1 << 20, 0},
		{3, 2 << 20, 1_500_000},
		{40_000_000, 64 << 20, 625_000_000_000},
		{1 << 40, 1, 1 << 33 * 1_000_000}, // in nanoseconds too
	} {
		u.rate.recent = c.speed
		r := &eventpb.RepairsListReply{Total: c.total}
		if u.describe(r); r.EtaUs != int64(c.want) {
			t.Errorf("%d repairs at %d bytes per second: %d us, want %d", c.total, c.speed, r.EtaUs, c.want)
		}
	}
}
