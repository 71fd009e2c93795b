package event

import (
	"strconv"
	"strings"

	"github.com/inos-mesh/inos"
)

// State is the lifecycle position of an event.
type State string

// The states. The specification names the first three; failed closes a lifecycle that did not complete.
const (
	StateRequested  State = "requested"
	StateProcessing State = "processing"
	StateCompleted  State = "completed"
	StateFailed     State = "failed"
)

// Type is a parsed event type: {service}:{action}:v{version}:{state}.
type Type struct {
	Service string // [a-z][a-z0-9_]*
	Action  string // [a-z][a-z0-9_]*
	Version uint32 // from 1
	State   State
}

// ParseType reads an event type (specification 6.1). What does not follow the grammar to the letter is refused.
func ParseType(s string) (Type, error) {
	const op = "parse event type"
	if len(s) > inos.EventTypeBytesMax {
		return Type{}, inos.Errorf(inos.CodeBadEventType, op, "%d bytes, at most %d", len(s), inos.EventTypeBytesMax)
	}
	if n := strings.Count(s, ":") + 1; n != 4 {
		return Type{}, inos.Errorf(inos.CodeBadEventType, op, "%q has %d parts, {service}:{action}:v{version}:{state} has 4", s, n)
	}
	var parts [4]string // on the stack: every envelope comes through here
	rest := s
	for i := range parts {
		parts[i], rest, _ = strings.Cut(rest, ":")
	}
	if !isSnake(parts[0]) {
		return Type{}, inos.Errorf(inos.CodeBadEventType, op, "the service of %q is not [a-z][a-z0-9_]*", s)
	}
	if !isSnake(parts[1]) {
		return Type{}, inos.Errorf(inos.CodeBadEventType, op, "the action of %q is not [a-z][a-z0-9_]*", s)
	}
	version, err := parseVersion(parts[2])
	if err != nil {
		return Type{}, inos.Errorf(inos.CodeBadEventType, op, "the version of %q is not v and a positive integer without leading zeros", s)
	}
	switch state := State(parts[3]); state {
	case StateRequested, StateProcessing, StateCompleted, StateFailed:
		return Type{parts[0], parts[1], version, state}, nil
	}
	return Type{}, inos.Errorf(inos.CodeBadEventType, op, "the state of %q is not requested, processing, completed or failed", s)
}

// String returns the event type as it travels.
func (t Type) String() string {
	return t.Service + ":" + t.Action + ":v" + strconv.FormatUint(uint64(t.Version), 10) + ":" + string(t.State)
}

// WithState returns a valid event type with its state replaced.
func WithState(eventType string, s State) string {
	return eventType[:strings.LastIndexByte(eventType, ':')+1] + string(s)
}

// Stage returns "{service}:{action}" of a valid event type.
func Stage(eventType string) string {
	service := strings.IndexByte(eventType, ':')
	if service < 0 {
		return eventType
	}
	action := strings.IndexByte(eventType[service+1:], ':')
	if action < 0 {
		return eventType
	}
	return eventType[:service+1+action]
}

func isSnake(s string) bool {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

func parseVersion(s string) (uint32, error) {
	if len(s) < 2 || s[0] != 'v' || s[1] < '1' || s[1] > '9' {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(s[1:], 10, 32)
	return uint32(n), err
}

// StateOf returns the state of a valid event type.
func StateOf(eventType string) State {
	return State(eventType[strings.LastIndexByte(eventType, ':')+1:])
}
