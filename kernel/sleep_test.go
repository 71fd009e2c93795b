package kernel

import (
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// sleeper is a switchboard that knows members and has nothing else to do.
func sleeper(states ...uint8) (*Kernel, []*member) {
	k := New()
	k.now = inos.Hour
	k.node.booted, k.node.switchboard, k.node.id, k.node.graceCold = true, true, "sb", 10*inos.Minute
	k.members.loaded = true
	var list []*member
	for i, state := range states {
		m := k.members.newMember()
		m.row = &eventpb.Member{Node: string(rune('a' + i)), Tier: "cold", State: uint32(inos.MemberActive)}
		m.state, m.beaten = state, k.now
		if state == liveDead {
			m.seen = k.now - 10*inos.Minute // all but a moment of its grace is over
		}
		k.members.table[m.id()] = m
		list = append(list, m)
	}
	k.members.next = k.now
	return k, list
}

// awake ticks as often as the kernel wants, for a time.
func awake(k *Kernel, d inos.Micros) {
	for end := k.now + d; ; {
		next := end
		if k.wanted != 0 {
			next = min(next, k.wanted)
		}
		tick(k, next)
		if next == end {
			return
		}
	}
}

func tick(k *Kernel, at inos.Micros) {
	k.Step(at, &eventpb.Envelope{Id: "tick", EventType: event.NodeTick, Metadata: &eventpb.Metadata{SecurityToken: hostToken}})
}

// A switchboard that slept for longer than every grace gives nobody up who is heard in time after it, and forgets nobody who is not.
func TestSleepIsNobodysSilence(t *testing.T) {
	for name, leap := range map[string]inos.Micros{"an hour": inos.Hour, "a year": 365 * inos.Day, "a minute": inos.Minute} {
		t.Run(name, func(t *testing.T) {
			k, list := sleeper(liveAlive, liveSuspect, liveNever, liveDead)
			tick(k, k.now)
			before := make([]uint8, len(list))
			for i, m := range list {
				before[i] = m.state
			}
			tick(k, k.now+leap)
			for i, m := range list {
				if m.gone || m.state != before[i] {
					t.Errorf("%s is %s and given up: %t, after a sleep before which it was %s", m.id(), liveNames[m.state], m.gone, liveNames[before[i]])
				}
			}
			awake(k, 5*inos.Second)
			for _, m := range list {
				k.members.heard(m)
				if m.gone || m.state != liveAlive {
					t.Errorf("%s was heard in time and is %s, given up: %t", m.id(), liveNames[m.state], m.gone)
				}
			}
			awake(k, inos.Minute)
			for _, m := range list {
				if m.state != liveDead || m.gone {
					t.Errorf("%s is silent for a minute and %s, given up: %t", m.id(), liveNames[m.state], m.gone)
				}
			}
			tick(k, k.now+leap)
			awake(k, 8*inos.Minute)
			for _, m := range list {
				if m.gone {
					t.Errorf("%s was given up within its grace", m.id())
				}
			}
			awake(k, 3*inos.Minute)
			for _, m := range list {
				if !m.gone {
					t.Errorf("%s is not given up after its grace", m.id())
				}
			}
		})
	}
}

// Ticks that are a little late are no sleep: a node that is silent is dead in time.
func TestLateTicksAreNoSleep(t *testing.T) {
	k, list := sleeper(liveAlive)
	tick(k, k.now)
	for range 40 {
		tick(k, k.wanted+2*inos.Second)
	}
	if list[0].state != liveDead || k.woke != 0 {
		t.Errorf("the member is %s after two minutes, the kernel slept at %d", liveNames[list[0].state], k.woke)
	}
}

// What was under way while the switchboard slept shows nothing, and who was alive before is not relied on until it is heard.
func TestSleepShowsNothing(t *testing.T) {
	k, list := sleeper(liveAlive)
	tick(k, k.now)
	m := list[0]
	f := &flight{node: m.id(), started: k.now}
	if !k.members.heeds(m) {
		t.Error("a member that is alive is not relied on")
	}
	tick(k, k.wanted+inos.Hour)
	for range 2 * muteFailures {
		k.members.answered(f, inos.Errorf(inos.CodeDeadlineExceeded, "mesh:call", "late"))
	}
	if m.failures != 0 || !k.members.alive(m.id()) {
		t.Errorf("%d calls of before the sleep count as unanswered", m.failures)
	}
	if k.members.heeds(m) {
		t.Error("a member that was not heard since the sleep is relied on")
	}
	k.members.heard(m)
	if !k.members.heeds(m) {
		t.Error("a member that was heard is not relied on")
	}
	late := &flight{node: m.id(), started: k.now}
	for range muteFailures {
		k.members.answered(late, inos.Errorf(inos.CodeDeadlineExceeded, "mesh:call", "late"))
	}
	if m.failures != muteFailures {
		t.Errorf("%d of %d calls after the sleep count as unanswered", m.failures, muteFailures)
	}
}

// What was asked of a disk or of the map before a sleep did not take that long: the look goes on at once, and the next turn is not put off.
func TestSleepIsNobodysWork(t *testing.T) {
	k, _ := sleeper(liveAlive)
	tick(k, k.now)
	x := &reconcile{node: "a", asked: k.now}
	k.reconciles.table["a"] = x
	k.inspections.began, k.collector.sweep.began, k.repairs.scan.began, k.repairs.scan.asked = k.now, k.now, k.now, k.now
	k.now += 8 * inos.Hour
	k.woken(8 * inos.Hour)
	for name, began := range map[string]inos.Micros{
		"inspection": k.inspections.began, "sweep": k.collector.sweep.began, "scan": k.repairs.scan.began, "page of the scan": k.repairs.scan.asked, "reconciliation": x.asked,
	} {
		if began != k.now {
			t.Errorf("%s: it has taken %s", name, seconds(k.now-began))
		}
	}
}
