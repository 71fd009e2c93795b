package host

import (
	"crypto/rand"
	"encoding/hex"
	"sync"

	"github.com/inos-mesh/inos"
)

// Bounds of the secrets that are kept under handles.
const (
	// ticketsMax bounds the tickets of calls being served.
	ticketsMax = 1024
)

// handles keep secrets that the kernel speaks of without seeing them: what the kernel sees is in its log. A handle is random and says nothing.
type handles struct {
	max int

	mu   sync.Mutex // guards the fields below
	kept map[string]secret
	next uint64
}

type secret struct {
	bytes []byte
	age   uint64 // smaller is older
}

func newHandles(max int) *handles { return &handles{max: max, kept: map[string]secret{}} }

// keep returns a handle for a secret. When there are too many, the oldest is forgotten.
func (h *handles) keep(b []byte) string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // crypto/rand.Read never fails: it ends the process instead
	handle := hex.EncodeToString(random[:])
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.kept) >= h.max {
		var oldest string
		for name, s := range h.kept {
			if oldest == "" || s.age < h.kept[oldest].age {
				oldest = name
			}
		}
		delete(h.kept, oldest)
	}
	h.next++
	h.kept[handle] = secret{b, h.next}
	return handle
}

// find returns the secret of a handle; CodePermissionDenied when it is gone.
func (h *handles) find(handle string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.kept[handle]
	if !ok {
		return nil, inos.Errorf(inos.CodePermissionDenied, "find secret", "what %.40q stood for is gone", handle)
	}
	return s.bytes, nil
}

// drop forgets a secret.
func (h *handles) drop(handle string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.kept, handle)
}
