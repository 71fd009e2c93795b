package kernel

import (
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// numbers are the kernels of one switchboard, one after the other, and the ceiling that its semantic memory holds.
type numbers struct {
	t       *testing.T
	k       *Kernel
	ceiling uint64
	raises  int
	highest uint64 // that was used
}

// begin starts a kernel at a time.
func (x *numbers) begin(now inos.Micros) {
	x.k = New()
	x.k.node.id, x.k.node.switchboard, x.k.node.booted, x.k.now = "node-1", true, true, now
}

// store has the raise that is wanted done or not, and told or not.
func (x *numbers) store(done, told bool) {
	x.t.Helper()
	n := &x.k.numbering
	n.again = 0
	if n.raise(x.k); n.raising == 0 {
		return
	}
	x.raises++
	a := &answer{err: inos.Errorf(inos.CodeIO, "raise orders", "not told")}
	if told {
		a = &answer{env: &eventpb.Envelope{Payload: event.Payload(&eventpb.RaiseOrdersReply{Before: x.ceiling})}}
	}
	if done {
		x.ceiling = max(x.ceiling, n.raising)
	}
	n.raised(x.k, a)
}

// open stores until there are numbers.
func (x *numbers) open() {
	x.t.Helper()
	for range 3 {
		if x.k.numbering.open() {
			return
		}
		x.store(true, true)
	}
	x.t.Fatal("there are no numbers after three raises")
}

// use takes a number, which must be above all before and below what is stored.
func (x *numbers) use() uint64 {
	x.t.Helper()
	order := x.k.numbering.next(x.k.now)
	if order <= x.highest || order >= x.ceiling {
		x.t.Fatalf("%d was used behind %d, and %d is stored", order, x.highest, x.ceiling)
	}
	x.highest = order
	return order
}

// Numbers only grow, whatever the clock does between two kernels, and are the time when it goes on as it should.
func TestNumbersOverRestarts(t *testing.T) {
	x := &numbers{t: t}
	at := 1000 * inos.Hour
	for i, leap := range []inos.Micros{0, inos.Second, -216 * inos.Second, 5, inos.Hour, -999 * inos.Hour, 0, 1 - inos.Hour, inos.Day} {
		at = max(at+leap, 1)
		x.begin(at)
		if x.k.numbering.open() {
			t.Fatal("there are numbers before the ceiling is known")
		}
		if i%2 == 1 {
			x.store(true, false) // done and not told
			x.store(false, false)
		}
		x.open()
		for range 100 {
			x.use()
			x.k.now += inos.Second
			x.store(true, true)
		}
		if i == 0 && x.highest != uint64(at+99*inos.Second) {
			t.Errorf("the number %d at %d", x.highest, at+99*inos.Second)
		}
	}
}

// While the semantic memory does not answer, numbers go on below what it holds; when the clock does not leap there is a raise a minute.
func TestNumbersWithoutMemory(t *testing.T) {
	x := &numbers{t: t}
	x.begin(inos.Hour)
	x.open()
	for range 1000 {
		x.use()
		x.k.now += inos.Second
		x.store(false, false)
	}
	if !x.k.numbering.open() {
		t.Error("there are no numbers left")
	}
	x.raises = 0
	for range 600 {
		x.store(true, true)
		x.use()
		x.k.now += inos.Second
	}
	if x.raises < 5 || x.raises > 12 {
		t.Errorf("%d raises in ten minutes", x.raises)
	}
	x.store(true, true)
	x.raises = 0
	x.k.now += inos.Day
	x.store(true, true)
	if x.raises != 0 { // nothing was sent
		t.Errorf("%d raises for nothing", x.raises)
	}
}

// A map that is made again has lost the ceiling, and begins above what nodes have seen, however much one of them says.
func TestNumbersThatNodesHaveSeen(t *testing.T) {
	x := &numbers{t: t}
	x.begin(inos.Hour)
	x.k.numbering.seen(uint64(5 * inos.Hour))
	x.open()
	if first := x.use(); first < uint64(5*inos.Hour+ordersUnseen) {
		t.Errorf("the first number is %d", first)
	}
	x.k.numbering.seen(x.highest) // a node says what it was told
	if next := x.use(); next != x.highest || next > uint64(6*inos.Hour) {
		t.Errorf("the next number is %d", next)
	}
	for _, lie := range []uint64{1 << 63, 1<<64 - 1, 1 << 61, 3} {
		x.k.numbering.seen(lie)
		if x.store(true, true); x.k.numbering.open() != true {
			t.Error("a node has brought the numbers to an end")
		}
		for range 100 {
			x.use()
		}
	}
	if x.ceiling > inos.OrdersMax {
		t.Errorf("the ceiling is %d", x.ceiling)
	}
}
