package api

import (
	"cmp"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// counts sums the answers by route and status. Both come from fixed sets, so it is bounded.
type counts struct {
	mu sync.Mutex // guards the fields below
	m  map[countKey]*count
}

type countKey struct {
	route  string
	status int
}

type count struct {
	answers uint64
	time    time.Duration
}

func (c *counts) add(route string, status int, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[countKey]*count{}
	}
	k := countKey{route, status}
	if c.m[k] == nil {
		c.m[k] = &count{}
	}
	c.m[k].answers++
	c.m[k].time += d
}

// exposition writes the Prometheus text format, version 0.0.4.
type exposition struct{ strings.Builder }

// family begins a metric; its samples follow.
func (e *exposition) family(name, kind, help string) {
	fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// sample writes one value; labels are names and values in turn.
func (e *exposition) sample(name string, value float64, labels ...string) {
	e.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		separator := ","
		if i == 0 {
			separator = "{"
		}
		fmt.Fprintf(e, `%s%s="%s"`, separator, labels[i], labelEscaper.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		e.WriteByte('}')
	}
	e.WriteByte(' ')
	e.WriteString(strconv.FormatFloat(value, 'g', -1, 64))
	e.WriteByte('\n')
}

// single writes a metric without labels.
func (e *exposition) single(name, kind, help string, value float64) {
	e.family(name, kind, help)
	e.sample(name, value)
}

// metrics answers for Prometheus: GET /metrics.
func (x *exchange) metrics(target) error {
	s, err := x.nodeStatus()
	if err != nil {
		return err
	}
	var e exposition
	nodeMetrics(&e, &s)
	stageMetrics(&e, &s)
	if s.Switchboard {
		x.meshMetrics(&e, &s)
	}
	x.h.serverMetrics(&e)
	x.w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write([]byte(e.String())) // a client that left has no use for the error
	return nil
}

func nodeMetrics(e *exposition, s *Status) {
	info := []string{"node_id", s.NodeID, "zone", s.Zone, "host", s.Host, "version", s.Version}
	e.family("inos_node_info", "gauge", "The node's name and version; always 1.")
	e.sample("inos_node_info", 1, info...)
	ready := truth(s.Ready)
	for _, m := range []struct {
		name, kind, help string
		value            float64
	}{
		{"inos_ready", "gauge", "Whether the node takes work.", ready},
		{"inos_notices", "gauge", "What an operator should know of, such as a degraded mesh.", float64(len(s.Notices))},
		{"inos_content_chunks", "gauge", "Chunks on disk.", float64(s.Content.Chunks)},
		{"inos_content_used_bytes", "gauge", "Bytes of the chunks on disk.", float64(s.Content.UsedBytes)},
		{"inos_content_trash_bytes", "gauge", "Bytes of the chunks in the trash.", float64(s.Content.TrashBytes)},
		{"inos_content_free_bytes", "gauge", "Bytes that may still be stored.", float64(s.Content.FreeBytes)},
		{"inos_content_records", "gauge", "Commit records on disk.", float64(s.Content.Records)},
		{"inos_files", "gauge", "Live files.", float64(s.Totals.Files)},
		{"inos_files_plain_bytes", "gauge", "Plain bytes of live files.", float64(s.Totals.PlainBytes)},
		{"inos_chunks", "gauge", "Chunks in the map.", float64(s.Totals.Chunks)},
		{"inos_chunks_stored_bytes", "gauge", "Stored bytes of the chunks in the map.", float64(s.Totals.StoredBytes)},
		{"inos_chunks_collectable", "gauge", "Chunks that nothing refers to.", float64(s.Totals.CollectableChunks)},
		{"inos_uploads", "gauge", "Uploads with a pin.", float64(s.Totals.Uploads)},
		{"inos_puts", "gauge", "Puts under way.", float64(s.Puts)},
		{"inos_gets", "gauge", "Gets under way.", float64(s.Gets)},
		{"inos_queued", "gauge", "Requests that wait for a slot.", float64(s.Queued)},
		{"inos_buffer_bytes", "gauge", "Bytes in host buffers.", float64(s.BufferBytes)},
		{"inos_buffer_bytes_max", "gauge", "Bound of inos_buffer_bytes.", float64(s.BufferBytesMax)},
		{"inos_concurrency_limit", "gauge", "Module calls allowed at once.", float64(s.ConcurrencyLimit)},
		{"inos_brotli_quality", "gauge", "Brotli quality of new chunks.", float64(s.BrotliQuality)},
		{"inos_effects_in_flight", "gauge", "Effects the kernel waits for.", float64(s.InFlight)},
		{"inos_kernel_steps_total", "counter", "Steps of the kernel.", float64(s.Steps)},
		{"inos_records_dropped_total", "counter", "Lines of history that were dropped.", float64(s.RecordsDropped)},
		{"inos_hedged_reads_total", "counter", "Reads of a chunk for which a second node was asked while the first had not answered.", float64(s.HedgedReads)},
		{"inos_hedged_reads_won_total", "counter", "Of inos_hedged_reads_total, those that the second node answered first.", float64(s.HedgedReadsWon)},
		{"inos_refused_total", "counter", "Envelopes refused by governance.", float64(s.Refused)},
		{"inos_quarantined_total", "counter", "Inputs that were set aside because they killed two workers.", float64(s.Quarantined)},
	} {
		e.single(m.name, m.kind, m.help, m.value)
	}
	e.family("inos_worker_up", "gauge", "Whether a worker is ready.")
	for _, w := range s.Workers {
		e.sample("inos_worker_up", truth(w.State == "ready"), "worker", strconv.FormatUint(uint64(w.Worker), 10), "state", w.State)
	}
	e.family("inos_worker_restarts_total", "counter", "Restarts of a worker.")
	for _, w := range s.Workers {
		e.sample("inos_worker_restarts_total", float64(w.Restarts), "worker", strconv.FormatUint(uint64(w.Worker), 10))
	}
	e.family("inos_worker_calls_total", "counter", "Module calls of a worker.")
	for _, w := range s.Workers {
		e.sample("inos_worker_calls_total", float64(w.Calls), "worker", strconv.FormatUint(uint64(w.Worker), 10))
	}
}

// truth is a condition as a gauge.
func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func stageMetrics(e *exposition, s *Status) {
	for _, m := range []struct {
		name, kind, help string
		value            func(*Stage) float64
	}{
		{"inos_stage_calls_total", "counter", "Calls of a pipeline stage that ended.", func(g *Stage) float64 { return float64(g.Calls) }},
		{"inos_stage_failed_total", "counter", "Calls of a stage that failed.", func(g *Stage) float64 { return float64(g.Failed) }},
		{"inos_stage_stalled_total", "counter", "Calls of a stage that passed their deadline.", func(g *Stage) float64 { return float64(g.Stalled) }},
		{"inos_stage_in_flight", "gauge", "Calls of a stage under way.", func(g *Stage) float64 { return float64(g.InFlight) }},
	} {
		e.family(m.name, m.kind, m.help)
		for i := range s.Stages {
			e.sample(m.name, m.value(&s.Stages[i]), "stage", s.Stages[i].Stage)
		}
	}
	e.family("inos_stage_seconds", "gauge", "Latency of a stage by quantile.")
	for i := range s.Stages {
		g := &s.Stages[i]
		for _, q := range []struct {
			quantile string
			us       int64
		}{{"0.5", g.P50Us}, {"0.95", g.P95Us}, {"0.99", g.P99Us}} {
			e.sample("inos_stage_seconds", float64(q.us)/1e6, "stage", g.Stage, "quantile", q.quantile)
		}
	}
	e.family("inos_thread_envelopes_total", "counter", "Envelopes that a kernel thread handled.")
	for _, t := range s.Threads {
		e.sample("inos_thread_envelopes_total", float64(t.Envelopes), "thread", t.Name, "kind", t.Kind)
	}
}

func (h *Handler) serverMetrics(e *exposition) {
	h.counts.mu.Lock()
	keys := make([]countKey, 0, len(h.counts.m))
	values := map[countKey]count{}
	for k, v := range h.counts.m {
		keys = append(keys, k)
		values[k] = *v
	}
	h.counts.mu.Unlock()
	slices.SortFunc(keys, func(a, b countKey) int {
		return cmp.Or(strings.Compare(a.route, b.route), cmp.Compare(a.status, b.status))
	})
	e.family("inos_http_answers_total", "counter", "Answers by route and status; status 0 is a client that left.")
	for _, k := range keys {
		e.sample("inos_http_answers_total", float64(values[k].answers), "route", k.route, "status", strconv.Itoa(k.status))
	}
	e.family("inos_http_answer_seconds_total", "counter", "Time spent on answers.")
	for _, k := range keys {
		e.sample("inos_http_answer_seconds_total", values[k].time.Seconds(), "route", k.route, "status", strconv.Itoa(k.status))
	}
	e.single("inos_http_under_way", "gauge", "Requests under way.", float64(h.underWay.Load()))
	e.single("inos_http_followers", "gauge", "Clients that follow the events.", float64(h.followers.count()))

	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	e.single("process_start_time_seconds", "gauge", "Start of the server, seconds since the Unix epoch.", float64(h.started.UnixMilli())/1e3)
	e.single("go_goroutines", "gauge", "Goroutines.", float64(runtime.NumGoroutine()))
	e.single("go_memstats_heap_alloc_bytes", "gauge", "Bytes of live and unswept heap objects.", float64(m.HeapAlloc))
	e.single("go_memstats_sys_bytes", "gauge", "Bytes obtained from the system.", float64(m.Sys))
	e.single("go_gc_cycles_total", "counter", "Collections of the heap.", float64(m.NumGC))
}
