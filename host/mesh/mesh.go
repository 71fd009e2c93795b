package mesh

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/inos-mesh/inos"
)

const opOpen = "open mesh"

// Mesh is a node's side of the mesh. Its methods may be called from many goroutines at once.
type Mesh struct {
	config      Config
	limits      Limits
	host        host.Host
	relay       io.Closer // nil without RelayService
	rooms       [protocolKinds]room
	strangers   [protocolKinds]room // what of rooms strangers may have
	certificate atomic.Pointer[[]byte]
	ctx         context.Context // ends with Close
	cancel      context.CancelFunc
	changes     chan struct{} // something is in changed
	rechecks    atomic.Uint64 // how often certificates were looked at again

	work sync.WaitGroup // goroutines, and calls either way

	mu       sync.Mutex // guards the fields below
	closing  bool
	remotes  map[peer.ID]*remote
	shares   map[peer.ID]*share // bounded by remotes and by the streams that are served
	keepers  map[peer.ID]*keeper
	changed  []peer.ID // peers whose state OnPeer has to be told
	reserved map[peer.ID][]string
	vouched  map[peer.ID]bool // at most vouchedMax
}

// Open listens and begins to serve. ctx bounds the opening only. Errors: CodeBadRequest for a configuration that cannot be,
// CodeAddressInUse, CodeIO.
func Open(ctx context.Context, c Config) (*Mesh, error) {
	m := &Mesh{
		config: c, limits: c.Limits.orDefaults(), changes: make(chan struct{}, 1),
		remotes: map[peer.ID]*remote{}, shares: map[peer.ID]*share{}, keepers: map[peer.ID]*keeper{}, reserved: map[peer.ID][]string{},
		vouched: map[peer.ID]bool{},
	}
	if err := checkKey(c.Key); err != nil {
		return nil, err
	}
	if c.Serve == nil || c.Now == nil {
		return nil, inos.Errorf(inos.CodeBadRequest, opOpen, "Serve and Now are required")
	}
	if err := m.SetCertificate(c.Certificate); err != nil {
		return nil, err
	}
	relays, err := parseNodes(c.Relays)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, inos.Errorf(inos.CodeCanceled, opOpen, "%w", err)
	}
	for k := range protocolKinds {
		m.rooms[k] = newRoom(m.limits.Serving, m.limits.ServingBytes)
		m.strangers[k] = m.rooms[k]
		if c.Verify != nil {
			m.strangers[k] = newRoom(m.limits.Serving-m.limits.Serving/keptShare, m.limits.ServingBytes-m.limits.ServingBytes/keptShare)
		}
	}
	if m.host, err = newHost(&c, &m.limits); err != nil {
		return nil, inos.Errorf(inos.CodeIO, opOpen, "%s", reason(err))
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.host.Network().Notify(&network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { m.linked(c) },
		DisconnectedF: func(_ network.Network, c network.Conn) { m.unlinked(c) },
	})
	for k := range protocolKinds {
		m.host.SetStreamHandler(k.id(), func(s network.Stream) { m.accept(s, k) })
	}
	if c.RelayService {
		if m.relay, err = serveRelay(m.host, &m.limits); err != nil {
			_ = m.Close()
			return nil, inos.Errorf(inos.CodeIO, opOpen, "relay service: %s", reason(err))
		}
	}
	// Only now may others come: everything that they can ask for is there.
	if err := listen(m.host, c.Listen); err != nil {
		_ = m.Close()
		return nil, err
	}
	m.goSafely(m.sweep)
	if c.OnPeer != nil {
		m.goSafely(m.tell)
	}
	for _, r := range relays {
		m.goSafely(func() { m.reserve(r) })
	}
	return m, nil
}

// enter begins a piece of work that Close waits for, unless the mesh is closing.
func (m *Mesh) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return false
	}
	m.work.Add(1)
	return true
}

func (m *Mesh) leave() { m.work.Done() }

// goSafely runs f in a goroutine that Close waits for, unless the mesh is closing.
func (m *Mesh) goSafely(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closing {
		m.goLocked(f)
	}
}

func (m *Mesh) goLocked(f func()) { m.work.Go(f) }

func (m *Mesh) logf(format string, args ...any) {
	if m.config.Logf != nil {
		m.config.Logf(format, args...)
	}
}

// ID returns the node id of this node.
func (m *Mesh) ID() inos.NodeID { return inos.NodeID(m.host.ID().String()) }

// Addrs returns the multiaddresses at which others may dial this node, each ending in /p2p/ID: those it listens at, then those through
// relays; at most inos.MemberAddrsMax.
func (m *Mesh) Addrs() []string {
	suffix := "/p2p/" + m.host.ID().String()
	var addrs []string
	at, _ := m.host.Network().InterfaceListenAddresses()
	for _, a := range append(at, m.host.Addrs()...) { // the host knows those that peers have seen, too, but it learns late
		if s := a.String() + suffix; !isRelayAddr(a) && !slices.Contains(addrs, s) {
			addrs = append(addrs, s)
		}
	}
	m.mu.Lock()
	var through []string
	for _, reserved := range m.reserved {
		through = append(through, reserved...)
	}
	m.mu.Unlock()
	slices.Sort(through)
	if keep := max(0, inos.MemberAddrsMax-len(through)); len(addrs) > keep {
		addrs = addrs[:keep]
	}
	addrs = append(addrs, through...)
	return addrs[:min(len(addrs), inos.MemberAddrsMax)]
}

func (m *Mesh) certificateShown() []byte {
	if c := m.certificate.Load(); c != nil {
		return *c
	}
	return nil
}

// SetCertificate replaces the certificate that this node shows, and shows it to the peers that are connected. CodeBadRequest for one
// above CertificateBytesMax.
func (m *Mesh) SetCertificate(certificate []byte) error {
	if len(certificate) > CertificateBytesMax {
		return inos.Errorf(inos.CodeBadRequest, opOpen, "a certificate of %d bytes, at most %d", len(certificate), CertificateBytesMax)
	}
	certificate = slices.Clone(certificate)
	m.certificate.Store(&certificate)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.remotes {
		for _, l := range r.links {
			if l.greeted && !m.closing {
				m.goLocked(func() { m.hello(l) })
			}
		}
	}
	return nil
}

// Close ends all connections and waits until no call is being served and none of its goroutines is left. Calls under way fail. It may be
// called again.
func (m *Mesh) Close() error {
	m.mu.Lock()
	closing := m.closing
	m.closing = true
	for _, r := range m.remotes {
		for _, l := range r.links {
			l.overdue.Stop()
			if l.expiry != nil {
				l.expiry.Stop()
			}
		}
	}
	m.mu.Unlock()
	m.cancel()
	var err error
	if !closing {
		if m.relay != nil {
			err = m.relay.Close()
		}
		err = errors.Join(err, m.host.Close())
	}
	m.work.Wait()
	return err
}
