package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How the nodes of a local mesh are kept running: one for one, each by itself.
const (
	restartWaitMin = 100 * time.Millisecond // before the first restart of a row; each doubles it
	restartWaitMax = 10 * time.Second
	// provenTime is how long a node has to run for its next restart to be the first of a row again.
	provenTime = 10 * time.Second
	// restartsMax within restartWindow is the budget: what ends that often will not recover by being started again.
	restartsMax   = 30
	restartWindow = 5 * time.Minute
	downPoll      = 500 * time.Millisecond // between looks whether a node may be started again
	childLineMax  = 64 << 10               // bytes of a line of a node; longer ones are cut
	pipesTimeout  = 5 * time.Second        // for the output of a node that has ended
)

// downFile in a node's folder keeps it from being started, so that an operator can take one node down on purpose.
const downFile = "down"

// childState is what a supervised node does.
type childState string

const (
	childStarting childState = "starting"
	childRunning  childState = "running" // it has said where it listens
	childWaiting  childState = "waiting" // for its next start
	childDown     childState = "down"    // by its down file
	childFailed   childState = "failed"  // its restart budget is used up
	childStopped  childState = "stopped" // because it was told to
)

// child is one node of a local mesh, a process of this binary.
type child struct {
	name string
	dir  string
	args func() []string // of its next start
	// prepare runs before each start; what it fails with counts as the reason of an end. It may be nil.
	prepare func(context.Context) error
	// out and log take the lines of its two outputs, one at a time each; state is called after every change.
	out, log func(c *child, line []byte)
	changed  func(c *child)

	mu       sync.Mutex // guards the fields below
	state    childState
	pid      int
	restarts int
	reason   string // of its last end
	ran      bool   // the last start made a process
	process  *os.Process
	starts   []time.Time

	stop     chan struct{} // closed to stop it
	stopOnce sync.Once
	ended    chan struct{} // closed when it runs no more
}

// childView is what can be seen of a child.
type childView struct {
	name     string
	state    childState
	pid      int
	restarts int
	reason   string
	ran      bool
}

func newChild(name, dir string, args func() []string) *child {
	nothing := func(*child, []byte) {}
	return &child{
		name: name, dir: dir, args: args, out: nothing, log: nothing, changed: func(*child) {},
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
}

func (c *child) view() childView {
	c.mu.Lock()
	defer c.mu.Unlock()
	return childView{c.name, c.state, c.pid, c.restarts, c.reason, c.ran}
}

// become notes a state and tells of it.
func (c *child) become(s childState) {
	c.mu.Lock()
	same := c.state == s
	c.state = s
	if s != childRunning && s != childStarting {
		c.pid = 0
	}
	c.mu.Unlock()
	if !same {
		c.changed(c)
	}
}

// running notes that the node has said where it listens.
func (c *child) running() { c.become(childRunning) }

// supervisor starts the nodes of a local mesh and starts them again when they end. On Linux the system kills them when the
// thread that started them ends, so one thread that lives as long as the process starts all.
type supervisor struct {
	command string
	starts  chan func()
}

// newSupervisor returns a supervisor of processes of a binary.
func newSupervisor(command string) *supervisor {
	s := &supervisor{command: command, starts: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the process
		for start := range s.starts {
			start()
		}
	}()
	return s
}

// start begins a process on the supervisor's thread.
func (s *supervisor) start(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	s.starts <- func() { done <- cmd.Start() }
	return <-done
}

// keep runs a child until it is told to stop or its budget is used up.
func (s *supervisor) keep(c *child) {
	defer close(c.ended)
	for row := 0; ; {
		if !c.mayStart() {
			c.become(childStopped)
			return
		}
		began := time.Now()
		c.mu.Lock()
		c.ran = false
		c.mu.Unlock()
		c.become(childStarting)
		reason := s.once(c)
		select {
		case <-c.stop:
			c.become(childStopped)
			return
		default:
		}
		if row++; time.Since(began) >= provenTime {
			row = 1
		}
		if !c.noteEnd(reason) {
			c.become(childFailed)
			return
		}
		c.become(childWaiting)
		if !c.pause(min(restartWaitMin<<min(row-1, 16), restartWaitMax)) {
			c.become(childStopped)
			return
		}
	}
}

// mayStart waits while the child is kept down; it returns false when the child is to stop.
func (c *child) mayStart() bool {
	for {
		select {
		case <-c.stop:
			return false
		default:
		}
		if _, err := os.Lstat(filepath.Join(c.dir, downFile)); err != nil {
			return true // a folder that cannot be read is for the node to tell of
		}
		c.become(childDown)
		if !c.pause(downPoll) {
			return false
		}
	}
}

// pause returns false when the child is told to stop meanwhile.
func (c *child) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.stop:
		return false
	}
}

// noteEnd counts an end; it returns false when the child's budget is used up.
func (c *child) noteEnd(reason string) bool {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reason = reason
	c.starts = append(c.starts, now)
	for len(c.starts) > 0 && now.Sub(c.starts[0]) > restartWindow {
		c.starts = c.starts[1:]
	}
	if len(c.starts) > restartsMax {
		return false
	}
	if c.ran {
		c.restarts++
	}
	return true
}

// ready prepares a start; it returns why there is none, or nothing.
func (c *child) ready() (reason string) {
	if c.prepare == nil {
		return ""
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-c.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := c.prepare(ctx); err != nil {
		return err.Error()
	}
	return ""
}

// once runs the child's process to its end and says why it ended.
func (s *supervisor) once(c *child) (reason string) {
	if reason := c.ready(); reason != "" {
		return reason
	}
	cmd := exec.Command(s.command, c.args()...)
	cmd.SysProcAttr = confined()
	cmd.WaitDelay = pipesTimeout
	out, log := &lineWriter{each: func(l []byte) { c.out(c, l) }}, &lineWriter{each: func(l []byte) { c.log(c, l) }}
	cmd.Stdout, cmd.Stderr = out, log
	if err := c.launch(s, cmd); err != nil {
		return err.Error()
	}
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }()
	var err error
	select {
	case err = <-waited:
	case <-c.stop:
		_ = cmd.Process.Signal(syscall.SIGTERM) // one that has ended needs none
		err = <-waited
	}
	out.end()
	log.end()
	c.mu.Lock()
	c.process = nil
	c.mu.Unlock()
	return endText(cmd, err)
}

// launch starts the child's process. What the process says is heard only when it can be killed too.
func (c *child) launch(s *supervisor, cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.start(cmd); err != nil {
		return err
	}
	c.pid, c.process, c.ran = cmd.Process.Pid, cmd.Process, true
	return nil
}

// endText says how a process ended.
func endText(cmd *exec.Cmd, err error) string {
	if err == nil {
		return "it ended by itself"
	}
	if cmd.ProcessState == nil {
		return err.Error()
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return "killed by " + unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("it ended with status %d", cmd.ProcessState.ExitCode())
}

// end tells the child to stop and waits for it; when ctx ends first, it is killed.
func (c *child) end(ctx context.Context) {
	c.stopOnce.Do(func() { close(c.stop) })
	select {
	case <-c.ended:
		return
	case <-ctx.Done():
	}
	c.kill()
	<-c.ended
}

// kill ends the child's process at once; it is started again unless it was told to stop.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil {
		_ = c.process.Kill() // one that has ended needs none
	}
}

// lineWriter hands on whole lines without their ends.
type lineWriter struct {
	each func([]byte)

	mu      sync.Mutex // guards partial, and lets one line through at a time
	partial []byte
}

// Write implements io.Writer.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	size := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		w.add(p[:i])
		w.hand()
		p = p[i+1:]
	}
	w.add(p)
	return size, nil
}

// add keeps what fits of a line.
func (w *lineWriter) add(p []byte) {
	w.partial = append(w.partial, p[:min(len(p), childLineMax-len(w.partial))]...)
}

func (w *lineWriter) hand() {
	w.each(w.partial)
	w.partial = w.partial[:0]
}

// end hands on a last line without an end.
func (w *lineWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.partial) > 0 {
		w.hand()
	}
}
