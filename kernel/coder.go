package kernel

import (
	"cmp"
	"encoding/binary"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// coder writes or reads a snapshot. Every struct of the state has one method code(c *coder) that serves both
// directions, so that writing and reading cannot drift apart. The first error sticks; after it reads give zeros.
type coder struct {
	reading bool
	buf     []byte // written so far, or left to read
	err     error
}

func (c *coder) fail(format string, args ...any) {
	if c.err == nil {
		c.err = inos.Errorf(inos.CodeBadFormat, "restore snapshot", format, args...)
	}
	c.buf = nil
}

type integer interface {
	~int | ~int64 | ~int32 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// num codes an integer as a varint of its 64 bits.
func num[T integer](c *coder, p *T) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, uint64(*p))
		return
	}
	v, n := binary.Uvarint(c.buf)
	if n <= 0 {
		c.fail("a number is cut off")
		*p = 0
		return
	}
	c.buf = c.buf[n:]
	*p = T(v)
	if uint64(*p) != v {
		c.fail("the number %d does not fit", v)
		*p = 0
	}
}

func (c *coder) bool(p *bool) {
	var v uint8
	if *p {
		v = 1
	}
	num(c, &v)
	if v > 1 {
		c.fail("%d is not a truth value", v)
	}
	*p = v == 1
}

// count codes a length of at most limit, and of at most the bytes left.
func (c *coder) count(n, limit int) int {
	num(c, &n)
	if c.reading && (n < 0 || n > limit || n > len(c.buf)) {
		c.fail("a length of %d, at most %d", n, limit)
		return 0
	}
	return n
}

func text[T ~string](c *coder, p *T) {
	n := c.count(len(*p), 1<<20)
	if !c.reading {
		c.buf = append(c.buf, *p...)
		return
	}
	*p = T(c.buf[:n])
	c.buf = c.buf[n:]
}

func (c *coder) bytes(p *[]byte) {
	n := c.count(len(*p), inos.PayloadBytesMax)
	if !c.reading {
		c.buf = append(c.buf, *p...)
		return
	}
	*p = nil
	if n > 0 {
		*p = append([]byte(nil), c.buf[:n]...)
	}
	c.buf = c.buf[n:]
}

// fixed codes an array's bytes.
func (c *coder) fixed(p []byte) {
	if !c.reading {
		c.buf = append(c.buf, p...)
		return
	}
	if len(c.buf) < len(p) {
		c.fail("%d bytes are missing", len(p)-len(c.buf))
		clear(p)
		return
	}
	c.buf = c.buf[copy(p, c.buf):]
}

// list codes a slice of at most limit elements.
func list[T any](c *coder, p *[]T, limit int, element func(*coder, *T)) {
	n := c.count(len(*p), limit)
	if c.reading {
		*p = nil
		if n > 0 {
			*p = make([]T, n)
		}
	}
	for i := range *p {
		element(c, &(*p)[i])
		if c.err != nil {
			*p = (*p)[:i+1] // behind it a list of pointers has none, and who codes it may look at all
			return
		}
	}
}

// pointers codes a slice of pointers, none of them nil.
func pointers[T any](c *coder, p *[]*T, limit int, element func(*coder, *T)) {
	list(c, p, limit, func(c *coder, e **T) {
		if c.reading {
			*e = new(T)
		}
		element(c, *e)
	})
}

// table codes a map in the order of its keys, which must ascend.
func table[K cmp.Ordered, V any](c *coder, p *map[K]V, limit int, key func(*coder, *K), value func(*coder, *V)) {
	n := c.count(len(*p), limit)
	if !c.reading {
		for _, k := range sortedKeys(*p) {
			v := (*p)[k]
			key(c, &k)
			value(c, &v)
		}
		return
	}
	*p = make(map[K]V, min(n, 1024))
	var last K
	for i := range n {
		var k K
		var v V
		key(c, &k)
		value(c, &v)
		if c.err != nil {
			return
		}
		if i > 0 && k <= last {
			c.fail("the keys of a table do not ascend")
			return
		}
		last = k
		(*p)[k] = v
	}
}

// objects codes a map of pointers in the order of its keys.
func objects[K cmp.Ordered, V any](c *coder, p *map[K]*V, limit int, key func(*coder, *K), value func(*coder, *V)) {
	table(c, p, limit, key, func(c *coder, v **V) {
		if c.reading {
			*v = new(V)
		}
		value(c, *v)
	})
}

func (c *coder) entry(e *inos.Entry) {
	var b [inos.EntryBytes]byte
	if !c.reading {
		c.buf = inos.AppendEntry(c.buf, e)
		return
	}
	c.fixed(b[:])
	parsed, err := inos.ParseEntry(b[:])
	if err != nil {
		c.fail("%v", err)
		return
	}
	*e = parsed
}

// fileInfo codes a file's description, or nil.
func fileInfo(c *coder, f **eventpb.FileInfo) {
	var b []byte
	present := *f != nil
	c.bool(&present)
	if !present {
		return
	}
	if !c.reading {
		b = event.Payload(*f)
	}
	c.bytes(&b)
	if c.reading {
		*f = &eventpb.FileInfo{}
		if err := (*f).UnmarshalVT(b); err != nil {
			c.fail("a file's description does not decode: %v", err)
		}
	}
}
