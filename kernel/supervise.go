package kernel

import (
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// callTriesMax bounds how often a job is handed out when its workers are lost through no fault of its own.
const callTriesMax = 6

// States of a worker slot.
const (
	workerIdle     = iota // never started, or stopped for good
	workerStarting        // asked for, not yet there
	workerReady
	workerStopping // finishes its calls, then goes
	workerBackoff  // waits for its restart
	workerFailed   // its restart budget is spent; it is tried again after the cool-down
	workerStates
)

var workerStateNames = [workerStates]string{"idle", "starting", "ready", "draining", "backoff", "failed"}

// Effects of the supervisor.
const (
	opStart = iota + 1
	opStop
	opCall
)

// supervisor owns the workers: it starts them one for one, restarts them with growing pauses and within a budget, ends
// what passes its deadline, and keeps an input that killed two workers away from the others.
type supervisor struct {
	k        *Kernel
	workers  []*worker
	jobs     map[uint64]*job
	queue    []uint64 // jobs that wait, by turn
	lastJob  uint64
	clock    uint64 // turn of the latest job that was handed out
	underWay uint32
	poison   recent // inputs in quarantine
	suspects recent // inputs that killed one worker lately and have not gone through since
	total    uint64 // inputs put into quarantine since the boot
}

// worker is one slot and the process in it.
type worker struct {
	state     uint8
	pid       uint32
	life      uint64 // counts its processes
	calls     []uint64
	total     uint64
	restarts  uint32
	reason    string
	pause     inos.Micros   // before the next restart
	until     inos.Micros   // end of a pause or cool-down
	recent    []inos.Micros // restarts within the window
	headSince inos.Micros   // when the first of calls had the worker to itself
	deadline  inos.Micros   // of one call
	killing   bool
	killedAt  inos.Micros
	condemned uint64 // the job whose deadline had passed when the worker was killed
	blamed    bool   // this process's end has been laid on a call
	gone      bool   // a call was lost: the process has ended, its exit is about to be told
}

func (s *supervisor) init(k *Kernel) {
	s.k = k
	s.jobs = map[uint64]*job{}
	s.poison.limit, s.suspects.limit = quarantineMax, suspectsMax
	s.poison.stay, s.suspects.stay = quarantineFor, quarantineFor
}

func (s *supervisor) about() about {
	return about{name: "workers", kind: "supervisor", inFlightMax: s.k.concurrency.limit}
}

func (s *supervisor) hear(*input) {}

func (s *supervisor) code(c *coder) {
	pointers(c, &s.workers, workersMax, func(c *coder, w *worker) { w.code(c) })
	objects(c, &s.jobs, jobsMax, num[uint64], func(c *coder, j *job) { j.code(c) })
	list(c, &s.queue, jobsMax, num[uint64])
	num(c, &s.lastJob)
	num(c, &s.clock)
	num(c, &s.underWay)
	s.poison.code(c)
	s.suspects.code(c)
	num(c, &s.total)
}

func (w *worker) code(c *coder) {
	num(c, &w.state)
	if w.state >= workerStates {
		c.fail("worker state %d", w.state)
	}
	num(c, &w.pid)
	num(c, &w.life)
	list(c, &w.calls, callsPerWorkerMax, num[uint64])
	num(c, &w.total)
	num(c, &w.restarts)
	text(c, &w.reason)
	num(c, &w.pause)
	num(c, &w.until)
	list(c, &w.recent, restartsPerWindow+1, num[inos.Micros])
	num(c, &w.headSince)
	num(c, &w.deadline)
	c.bool(&w.killing)
	num(c, &w.killedAt)
	num(c, &w.condemned)
	c.bool(&w.blamed)
	c.bool(&w.gone)
}

// boot makes the slots; act starts them.
func (s *supervisor) boot(slots uint32) {
	for range min(slots, workersMax) {
		s.workers = append(s.workers, &worker{pause: restartBackoffMin})
	}
}

func (s *supervisor) answer(a *answer) {
	switch a.op {
	case opStart:
		s.started(uint32(a.slot), a)
	case opCall:
		s.ended(a)
	}
}

// act starts what may start and kills what has passed its deadline.
func (s *supervisor) act() {
	for i, w := range s.workers {
		switch {
		case w.state == workerIdle && !s.k.node.draining, w.state == workerBackoff && w.until <= s.k.now && !s.leaving():
			s.launch(uint32(i), w)
		case w.state == workerFailed && w.until <= s.k.now && !s.leaving():
			w.recent, w.pause = nil, restartBackoffMin
			s.launch(uint32(i), w)
		case (w.state == workerReady || w.state == workerStopping) && len(w.calls) > 0 && s.due(w) <= s.k.now:
			if !w.killing {
				w.condemned = w.calls[0]
			}
			w.killing, w.killedAt = true, s.k.now
			s.k.send(nil, ask{owner: threadSupervisor, op: opStop, slot: uint64(i)}, event.WorkerStop, &eventpb.WorkerStopRequest{Worker: uint32(i), Kill: true})
		}
	}
	if s.leaving() {
		s.leave()
	}
	s.dispatch()
	if s.hopeless() {
		s.giveUp()
	}
}

// due returns when the worker's first call has to be over; after a kill, when to try to kill it again.
func (s *supervisor) due(w *worker) inos.Micros {
	if w.killing {
		return w.killedAt + stopDeadline
	}
	return w.headSince + w.deadline
}

func (s *supervisor) wake() (at inos.Micros) {
	sooner := func(t inos.Micros) {
		if at == 0 || t < at {
			at = t
		}
	}
	for _, w := range s.workers {
		switch {
		case (w.state == workerBackoff || w.state == workerFailed) && !s.leaving():
			sooner(w.until)
		case (w.state == workerReady || w.state == workerStopping) && len(w.calls) > 0:
			sooner(s.due(w))
		}
	}
	return at
}

func (s *supervisor) launch(slot uint32, w *worker) {
	w.state, w.pid, w.blamed, w.killing, w.gone = workerStarting, 0, false, false, false
	w.calls = nil
	w.life++
	s.k.send(nil, ask{owner: threadSupervisor, op: opStart, slot: uint64(slot)}, event.WorkerStart, &eventpb.WorkerStartRequest{Worker: slot, ModuleId: s.k.node.moduleID})
}

// started takes the end of a worker:start.
func (s *supervisor) started(slot uint32, a *answer) {
	w := s.workers[slot]
	if w.state != workerStarting {
		return // it started and ended before its start was told
	}
	if a.err != nil {
		s.restart(slot, w, a.err.Error())
		return
	}
	var r eventpb.WorkerStartReply
	if err := event.Open(a.env, &r); err != nil {
		s.restart(slot, w, err.Error())
		return
	}
	w.state, w.pid = workerReady, r.Pid
	w.deadline = moduleDeadline
	if d := inos.Micros(r.GetModule().GetDeadlineUs()); d > 0 {
		w.deadline = min(d, moduleDeadlineMax)
	}
	if d := s.k.node.moduleDeadline; d > 0 {
		w.deadline = min(d, moduleDeadlineMax)
	}
	s.k.watcher.note(event.WorkerStart, event.StateCompleted, "worker "+strconv.Itoa(int(slot))+", pid "+strconv.Itoa(int(w.pid)))
	s.dispatch()
}

// exited takes the news that a worker's process ended.
func (s *supervisor) exited(e *eventpb.Envelope) {
	var x eventpb.WorkerExit
	if event.Open(e, &x) != nil || x.Worker >= uint32(len(s.workers)) {
		s.k.governance.strays++
		return
	}
	w := s.workers[x.Worker]
	if w.state != workerReady && w.state != workerStopping || x.Pid != 0 && x.Pid != w.pid {
		return // of a process before this one, or of a start whose failure is told by its reply
	}
	s.lost(w)
	if w.state == workerStopping {
		w.state, w.reason, w.pid, w.calls = workerIdle, x.Reason, 0, nil
		return
	}
	s.restart(x.Worker, w, x.Reason)
}

// lost lays the end of a worker's process on the call that had the worker to itself.
func (s *supervisor) lost(w *worker) {
	if w.blamed || len(w.calls) == 0 {
		return
	}
	w.blamed = true
	if w.killing && w.calls[0] != w.condemned {
		return // the one that was too late has ended after all, and took the worker from this one
	}
	j, ok := s.jobs[w.calls[0]]
	if !ok || j.life != w.life {
		return
	}
	j.kills++
	if j.key != [inos.HashBytes]byte{} {
		if s.suspects.has(string(j.key[:]), s.k.now) {
			j.kills = 2
		}
		s.suspects.add(string(j.key[:]), s.k.now)
	}
}

// restart plans the next process of a slot.
func (s *supervisor) restart(slot uint32, w *worker, reason string) {
	s.k.watcher.note(event.WorkerExit, event.StateCompleted, "worker "+strconv.Itoa(int(slot))+", pid "+strconv.Itoa(int(w.pid))+": "+reason)
	w.reason, w.pid = reason, 0
	w.restarts++
	w.calls = nil
	w.recent = slices.DeleteFunc(w.recent, func(t inos.Micros) bool { return t <= s.k.now-restartWindow })
	if len(w.recent) == 0 {
		w.pause = restartBackoffMin
	}
	w.recent = append(w.recent, s.k.now)
	if len(w.recent) > restartsPerWindow {
		w.state, w.until = workerFailed, s.k.now+restartCooldown
		return
	}
	w.state, w.until = workerBackoff, s.k.now+w.pause
	w.pause = min(2*w.pause, restartBackoffMax)
}

// hopeless says that no worker is there and none will come soon.
func (s *supervisor) hopeless() bool {
	return len(s.workers) > 0 && !slices.ContainsFunc(s.workers, func(w *worker) bool {
		return w.state != workerFailed && (w.state != workerIdle || !s.k.node.draining)
	})
}

// giveUp fails the jobs that wait for a worker when none will come.
func (s *supervisor) giveUp() {
	for len(s.queue) > 0 {
		j := s.jobs[s.queue[0]]
		s.queue = s.queue[1:]
		delete(s.jobs, j.id)
		err := inos.Errorf(inos.CodeWorkerLost, event.Stage(j.call), "no worker is left: %s", s.reason())
		err.RetryAfter = restartCooldown
		s.k.threads[j.owner].answer(&answer{op: j.op, work: j.work, slot: j.slot, err: err})
	}
}

func (s *supervisor) reason() string {
	for _, w := range s.workers {
		if w.reason != "" {
			return w.reason
		}
	}
	return "none was configured"
}

// readyWorkers counts the workers that take calls.
func (s *supervisor) readyWorkers() (n uint32) {
	for _, w := range s.workers {
		if w.state == workerReady && !w.killing {
			n++
		}
	}
	return n
}

func (s *supervisor) quarantined(key [inos.HashBytes]byte) bool {
	return key != [inos.HashBytes]byte{} && s.poison.has(string(key[:]), s.k.now)
}

// quarantine keeps an input away from the workers for a time, and takes the jobs that wait with it off the queue.
func (s *supervisor) quarantine(key [inos.HashBytes]byte) (waited []*job) {
	if s.quarantined(key) {
		return nil
	}
	s.total++
	if key == [inos.HashBytes]byte{} {
		return nil
	}
	s.poison.add(string(key[:]), s.k.now)
	s.queue = slices.DeleteFunc(s.queue, func(id uint64) bool {
		j := s.jobs[id]
		if j.key == key {
			waited = append(waited, j)
		}
		return j.key == key
	})
	return waited
}

// leaving says that the node is stopping and the workers have nothing left to do.
func (s *supervisor) leaving() bool { return s.k.node.draining && s.k.idle() }

// leave ends the workers.
func (s *supervisor) leave() {
	for i, w := range s.workers {
		switch w.state {
		case workerReady:
			w.state = workerStopping
			s.k.send(nil, ask{owner: threadSupervisor, op: opStop, slot: uint64(i)}, event.WorkerStop, &eventpb.WorkerStopRequest{Worker: uint32(i)})
		case workerBackoff, workerFailed:
			w.state = workerIdle
		}
	}
}
