package main

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
)

// A provider is parted from its switchboard, in one direction at a time and in both: puts and gets go on without it, what it held is made
// again, and when it is back nothing is wrong.
func TestRealPartition(t *testing.T) {
	t.Parallel()
	m := startNetMesh(t, []string{"cold", "cold", "cold", "hot"})
	const size = 1_500_000
	parted := m.providers[0]
	ways := []struct {
		name     string
		from, to bool // the provider
	}{{"it hears nothing", false, true}, {"nobody hears it", true, false}, {"neither hears the other", true, true}}
	for i, way := range ways[:amount(t, "INOS_REAL_PARTITIONS", 1)] {
		first, second := inos.Path(fmt.Sprintf("/before%d", i)), inos.Path(fmt.Sprintf("/among%d", i))
		m.mustPut(first, byte(i), size)
		if way.from {
			m.net.oneWay(parted, m.switchboard, netRule{cut: true})
		}
		if way.to {
			m.net.oneWay(m.switchboard, parted, netRule{cut: true})
		}
		m.mustPut(second, byte(i+100), size)
		m.wantBody(first, byte(i), size)
		m.await(way.name+": three copies elsewhere", realQuietTimeout, func() error {
			if err := m.allAlive(len(m.providers) - 1); err != nil {
				return err
			}
			return m.wantReplicas(parted, first, second)
		})
		m.wantBody(second, byte(i+100), size)
		m.net.heal(netRule{})
		m.settled()
		m.wantBody(first, byte(i), size)
		m.wantBody(second, byte(i+100), size)
	}
	m.checkLog()
}

// Two providers cannot reach each other while what a third one held is made again: the copies come from elsewhere.
func TestRealPartedProviders(t *testing.T) {
	t.Parallel()
	m := startNetMesh(t, []string{"cold", "cold", "cold", "cold"})
	const files, size = 4, 1_200_000
	for i := range files {
		m.mustPut(inos.Path(fmt.Sprintf("/f%d", i)), byte(i), size)
	}
	m.await("everything is quiet", realQuietTimeout, m.quiet)
	m.net.cut(m.providers[0], m.providers[1])
	m.providers[3].kill()
	m.await("three copies again", realQuietTimeout, func() error {
		for i := range files {
			if err := m.wantReplicas(nil, inos.Path(fmt.Sprintf("/f%d", i))); err != nil {
				return err
			}
		}
		return nil
	})
	m.net.heal(netRule{})
	m.providers[3].start()
	m.settled()
	for i := range files {
		m.wantBody(inos.Path(fmt.Sprintf("/f%d", i)), byte(i), size)
	}
	m.checkLog()
}

// Every packet takes 100 ms, more or less, and some are lost: what is put is there, and nothing is taken for dead for long.
func TestRealSlowLinks(t *testing.T) {
	t.Parallel()
	m := startNetMesh(t, []string{"cold", "cold", "cold", "hot"})
	m.net.heal(netRule{delay: 100 * time.Millisecond, jitter: 25 * time.Millisecond, loss: 20})
	var wg sync.WaitGroup
	lanes, size := 4, amount(t, "INOS_REAL_SLOW_BYTES", 60_000)
	for lane := range lanes {
		wg.Go(func() {
			for i := range 3 {
				p := inos.Path(fmt.Sprintf("/l%d/f%d", lane, i))
				if _, err := m.put(p, byte(lane*10+i), size); err != nil {
					t.Errorf("put %s: %v", p, err)
					continue
				}
				if err := m.readBody(p, byte(lane*10+i), size); err != nil {
					t.Errorf("get %s: %v", p, err)
				}
			}
		})
	}
	wg.Wait()
	m.settled()
	m.net.heal(netRule{})
	for lane := range lanes {
		for i := range 3 {
			m.wantBody(inos.Path(fmt.Sprintf("/l%d/f%d", lane, i)), byte(lane*10+i), size)
		}
	}
	m.checkLog()
}
