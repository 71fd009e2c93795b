package api

import "github.com/inos-mesh/inos/event/eventpb"

// Status is what an operator sees of a node. Counters begin with the node's start.
type Status struct {
	NodeID           string   `json:"node_id"`
	Zone             string   `json:"zone"`
	Host             string   `json:"host"`
	Version          string   `json:"version"`
	StartedUs        int64    `json:"started_us"`
	NowUs            int64    `json:"now_us"`
	Ready            bool     `json:"ready"`   // recovery finished, a worker ready, memories answer
	Notices          []string `json:"notices"` // what a person should know: degraded, read-only
	Content          Content  `json:"content"`
	Totals           Totals   `json:"totals"`
	Workers          []Worker `json:"workers"`
	Threads          []Thread `json:"threads"`
	Stages           []Stage  `json:"stages"`
	Puts             uint32   `json:"puts"` // under way
	Gets             uint32   `json:"gets"`
	Queued           uint32   `json:"queued"`
	BufferBytes      uint64   `json:"buffer_bytes"`
	BufferBytesMax   uint64   `json:"buffer_bytes_max"`
	ConcurrencyLimit uint32   `json:"concurrency_limit"`
	BrotliQuality    uint32   `json:"brotli_quality"`
	Steps            uint64   `json:"steps"`
	InFlight         uint64   `json:"in_flight"`
	RecordsDropped   uint64   `json:"records_dropped"`
	Refused          uint64   `json:"refused"`
	Quarantined      uint64   `json:"quarantined"`
	HedgedReads      uint64   `json:"hedged_reads"`                 // of chunks, for which a second node was asked while the first had not answered
	HedgedReadsWon   uint64   `json:"hedged_reads_won"`             // of them, by the second node
	Switchboard      bool     `json:"switchboard"`                  // decides for the mesh
	Provider         bool     `json:"provider"`                     // holds chunks
	Members          uint32   `json:"members"`                      // of the mesh, removed ones left out
	MembersAlive     uint32   `json:"members_alive"`                // of those
	Repairs          uint64   `json:"repairs"`                      // queued
	RecordsPending   uint64   `json:"records_pending"`              // versions whose commit record is not on all of its nodes
	Survives         string   `json:"survives"`                     // for a person: what a file with the default replicas that is put now survives
	Stored           string   `json:"stored"`                       // for a person: what the files that are stored survive now
	Short            uint64   `json:"chunks_short"`                 // that lack a copy, by the last look through the map
	CertifiedUntilUs int64    `json:"certified_until_us,omitempty"` // when the switchboard's certificate ends
	Rebuild          *Rebuild `json:"rebuild,omitempty"`
}

// Rebuild says how far a map is made again from the mesh, and at its end what came of it.
type Rebuild struct {
	Nodes      uint64 `json:"nodes"`      // that came back
	Chunks     uint64 `json:"chunks"`     // that they hold
	Records    uint64 `json:"records"`    // commit records found
	Refused    uint64 `json:"refused"`    // of those: forged, foreign or damaged
	Versions   uint64 `json:"versions"`   // of paths that are in the map again
	Unreadable uint64 `json:"unreadable"` // versions whose chunks no node holds
	Done       bool   `json:"done"`
}

// Content counts the chunks on a node's disk.
type Content struct {
	Chunks     uint64 `json:"chunks"`
	UsedBytes  uint64 `json:"used_bytes"`
	TrashBytes uint64 `json:"trash_bytes"`
	FreeBytes  uint64 `json:"free_bytes"`
	Records    uint64 `json:"records"` // commit records
}

// Totals counts what the semantic memory knows.
type Totals struct {
	Files             uint64 `json:"files"`
	PlainBytes        uint64 `json:"plain_bytes"`
	Chunks            uint64 `json:"chunks"`
	StoredBytes       uint64 `json:"stored_bytes"`
	CollectableChunks uint64 `json:"collectable_chunks"`
	Uploads           uint64 `json:"uploads"`
}

// Worker is one module worker.
type Worker struct {
	Worker   uint32 `json:"worker"`
	State    string `json:"state"` // starting, ready, draining, backoff, failed
	PID      uint32 `json:"pid"`
	InFlight uint32 `json:"in_flight"`
	Calls    uint64 `json:"calls"`
	Restarts uint32 `json:"restarts"`
	Reason   string `json:"reason,omitempty"` // of the last exit
}

// Thread is one of the kernel's intelligent threads.
type Thread struct {
	Name        string `json:"name"`
	Kind        string `json:"kind"`
	Envelopes   uint64 `json:"envelopes"`
	Effects     uint64 `json:"effects"`
	InFlight    uint32 `json:"in_flight"`
	InFlightMax uint32 `json:"in_flight_max"`
}

// Stage sums one stage of the pipeline.
type Stage struct {
	Stage    string `json:"stage"`
	Calls    uint64 `json:"calls"`
	Failed   uint64 `json:"failed"`
	Stalled  uint64 `json:"stalled"`
	P50Us    int64  `json:"p50_us"`
	P95Us    int64  `json:"p95_us"`
	P99Us    int64  `json:"p99_us"`
	InFlight uint32 `json:"in_flight"`
}

func contentOf(c *eventpb.ContentUsage) Content {
	if c == nil {
		return Content{}
	}
	return Content{Chunks: c.Chunks, UsedBytes: c.UsedBytes, TrashBytes: c.TrashBytes, FreeBytes: c.FreeBytes, Records: c.Records}
}

// StatusOf returns a status reply as JSON shows it.
func StatusOf(r *eventpb.NodeStatusReply) Status {
	s := Status{
		NodeID: r.NodeId, Zone: r.Zone, Host: r.Host, Version: r.Version, StartedUs: r.StartedUs, NowUs: r.NowUs, Ready: r.Ready,
		Notices: append([]string{}, r.Notices...),
		Puts:    r.Puts, Gets: r.Gets, Queued: r.Queued, BufferBytes: r.BufferBytes, BufferBytesMax: r.BufferBytesMax,
		ConcurrencyLimit: r.ConcurrencyLimit, BrotliQuality: r.BrotliQuality, Steps: r.Steps, InFlight: r.InFlight,
		RecordsDropped: r.RecordsDropped, Refused: r.Refused, Quarantined: r.Quarantined, HedgedReads: r.HedgedReads, HedgedReadsWon: r.HedgedReadsWon,
		Switchboard: r.Switchboard, Provider: r.Provider, Members: r.Members, MembersAlive: r.MembersAlive, Repairs: r.Repairs,
		RecordsPending: r.RecordsPending, Survives: r.Survives, Stored: r.Stored, Short: r.ChunksShort, CertifiedUntilUs: r.CertificateExpiresUs,
		Content: contentOf(r.Content), Workers: []Worker{}, Threads: []Thread{}, Stages: []Stage{},
	}
	if b := r.Rebuild; b != nil {
		s.Rebuild = &Rebuild{
			Nodes: b.Nodes, Chunks: b.Chunks, Records: b.Records, Refused: b.Refused, Versions: b.Versions, Unreadable: b.Unreadable, Done: b.Done,
		}
	}
	if t := r.Totals; t != nil {
		s.Totals = Totals{
			Files: t.Files, PlainBytes: t.PlainBytes, Chunks: t.Chunks, StoredBytes: t.StoredBytes,
			CollectableChunks: t.CollectableChunks, Uploads: t.Uploads,
		}
	}
	for _, w := range r.Workers {
		s.Workers = append(s.Workers, Worker{
			Worker: w.Worker, State: w.State, PID: w.Pid, InFlight: w.InFlight, Calls: w.Calls, Restarts: w.Restarts, Reason: w.Reason,
		})
	}
	for _, t := range r.Threads {
		s.Threads = append(s.Threads, Thread{
			Name: t.Name, Kind: t.Kind, Envelopes: t.Envelopes, Effects: t.Effects, InFlight: t.InFlight, InFlightMax: t.InFlightMax,
		})
	}
	for _, g := range r.Stages {
		s.Stages = append(s.Stages, Stage{
			Stage: g.Stage, Calls: g.Calls, Failed: g.Failed, Stalled: g.Stalled, P50Us: g.P50Us, P95Us: g.P95Us, P99Us: g.P99Us, InFlight: g.InFlight,
		})
	}
	return s
}
