package dataplane_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// packet is what a test puts into a frame: where it came from, which one it is,
// and how many bytes it has. The rest of the bytes follow from these.
type packet struct {
	flow uint32
	seq  uint64
	size int
}

// Places in a packet. A stage that wants its sends to be told apart writes their
// order at ticketAt.
const (
	flowAt     = 14
	seqAt      = 18
	ticketAt   = 26
	patternAt  = 34
	packetSize = 64
)

// write fills b with the packet.
func (p packet) write(b []byte) {
	binary.LittleEndian.PutUint32(b[flowAt:], p.flow)
	binary.LittleEndian.PutUint64(b[seqAt:], p.seq)
	for i := patternAt; i < len(b); i++ {
		b[i] = byte(i) ^ byte(p.seq) ^ byte(p.flow)
	}
}

// readPacket reads back what write wrote; false means that a byte has changed.
func readPacket(b []byte) (p packet, intact bool) {
	if len(b) < patternAt {
		return packet{size: len(b)}, false
	}
	p = packet{binary.LittleEndian.Uint32(b[flowAt:]), binary.LittleEndian.Uint64(b[seqAt:]), len(b)}
	for i := patternAt; i < len(b); i++ {
		if b[i] != byte(i)^byte(p.seq)^byte(p.flow) {
			return p, false
		}
	}
	return p, true
}

// fakeQueue is a queue whose every move a test decides. Like any queue it belongs
// to one goroutine; tests reach it inside Do.
type fakeQueue struct {
	pool  *mbuf.Pool
	local *mbuf.Local
	port  uint16

	// rx waits to be received. When it is used up and endless is set, frames
	// of flow and of rising number follow without end.
	rx      []packet
	endless bool
	flow    uint32
	next    uint64

	// part is how many bytes of a packet a frame takes, if the pool is MultiBuffer;
	// broken counts packets without an end.
	part, broken int

	// room is how many frames TxBurst takes until they are reclaimed; below 0
	// there is no limit. stuck keeps Reclaim from completing anything.
	room  int
	stuck bool
	// slow, if not 0, is how many frames are sent between two calls of Reclaim.
	slow int
	// posted frames are in flight.
	posted []mbuf.Frame

	// sent records what left, in order, and tickets what the stage wrote;
	// damaged counts packets that did not arrive as they were.
	record  bool
	sent    []packet
	tickets []uint64
	damaged int

	// left, if set, is told of each packet that leaves.
	left func(packet)

	txCalls, flushes int
	// reads is what TxReads says, asked how often it was asked to.
	reads      bool
	asked      int
	c          pmd.QueueCounters
	bindPanics bool
	// meanwhile, if set, happens while the queue is being bound.
	meanwhile func()
}

var _ pmd.Queue = (*fakeQueue)(nil)

func (q *fakeQueue) Bind(b pmd.Binding) {
	if q.bindPanics {
		panic("this queue cannot be bound")
	}
	if q.meanwhile != nil {
		q.meanwhile()
	}
	q.local, q.port = b.Local, b.Port
}

func (q *fakeQueue) TxReads() bool {
	q.asked++
	return q.reads
}

func (q *fakeQueue) Unbind()          { q.local = nil }
func (q *fakeQueue) Pool() *mbuf.Pool { return q.pool }

func (q *fakeQueue) RxBurst(dst []mbuf.Frame) int {
	dst = dst[:min(len(dst), pmd.MaxBurst)]
	done := 0
	for q.endless || len(q.rx) > 0 {
		p := packet{q.flow, q.next, packetSize}
		if len(q.rx) > 0 {
			p = q.rx[0]
		}
		n := q.receive(p, dst[done:])
		if n == 0 {
			break
		}
		if len(q.rx) > 0 {
			q.rx = q.rx[1:]
		} else {
			q.next++
		}
		done += n
		q.c.RxPackets++
		q.c.RxBytes += uint64(p.size)
	}
	return done
}

// receive writes a packet into frames, and returns how many: 0 if there are not so
// many.
func (q *fakeQueue) receive(p packet, dst []mbuf.Frame) int {
	part := q.pool.MaxLen()
	if q.pool.MultiBuffer() && q.part > 0 {
		part = min(part, max(q.part, (p.size+mbuf.MaxSegments-1)/mbuf.MaxSegments))
	}
	n := (p.size + part - 1) / part
	if n > len(dst) {
		return 0
	}
	dst = dst[:n]
	cache := q.local.Cache(q.pool.ID())
	if got := cache.TakeFrames(dst, uint32(q.pool.DataOffset()), uint32(part), q.pool.Meta(q.port)); got < n {
		cache.PutFrames(dst[:got])
		return 0
	}
	b := make([]byte, p.size)
	p.write(b)
	for i := range dst {
		dst[i].Len = uint32(min(part, len(b)))
		b = b[copy(q.pool.Mem().Bytes(dst[i]), b):]
		if i < n-1 {
			dst[i].Meta |= mbuf.FlagMore
		}
	}
	return n
}

func (q *fakeQueue) TxBurst(src []mbuf.Frame) int {
	q.txCalls++
	if len(src) > pmd.MaxBurst {
		src = src[:mbuf.WholePackets(src, pmd.MaxBurst)]
	}
	if q.room >= 0 {
		left := max(0, q.room-len(q.posted))
		n := 0
		for n < len(src) {
			k := mbuf.FirstPacket(src[n:])
			if n+k > left {
				break
			}
			n += k
		}
		src = src[:n]
	}
	for _, f := range src {
		if f.Meta.Pool() != q.pool.ID() {
			panic("a frame of another pool was given to this queue")
		}
	}
	if !mbuf.Sound(src) {
		q.broken++
	}
	q.posted = append(q.posted, src...)
	return len(src)
}

func (q *fakeQueue) Flush() { q.flushes++ }

func (q *fakeQueue) Reclaim() int {
	if q.stuck {
		return 0
	}
	done := q.posted
	if q.slow > 0 {
		done = done[:mbuf.WholePackets(done, q.slow)]
	}
	for rest := done; len(rest) > 0; {
		run := rest[:mbuf.FirstPacket(rest)]
		rest = rest[len(run):]
		var b []byte
		for _, f := range run {
			b = append(b, q.pool.Mem().Bytes(f)...)
		}
		q.c.TxPackets++
		q.c.TxBytes += uint64(len(b))
		if q.record {
			p, intact := readPacket(b)
			if !intact {
				q.damaged++
			}
			if q.left != nil {
				q.left(p)
			}
			q.sent = append(q.sent, p)
			q.tickets = append(q.tickets, binary.LittleEndian.Uint64(b[ticketAt:]))
		}
	}
	n := len(done)
	q.local.Free(done)
	q.posted = q.posted[:copy(q.posted, q.posted[n:])]
	return n
}

func (q *fakeQueue) Counters() pmd.QueueCounters {
	c := q.c
	c.InFlight = uint64(mbuf.Packets(q.posted))
	return c
}

func (q *fakeQueue) Walk(l *mbuf.Ledger) { l.Frames(mbuf.OwnerDevice, q.posted) }

// Missed implements pmd.Missed.
func (q *fakeQueue) Missed() map[string]uint64 {
	return map[string]uint64{"never": 0, "calls": uint64(q.flushes)}
}

// fakeDevice is a port of fakeQueues.
type fakeDevice struct {
	queues []pmd.Queue
	space  *mbuf.Space

	mu     sync.Mutex
	info   pmd.Info
	closed int
}

func (d *fakeDevice) Info() pmd.Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.info
}

func (d *fakeDevice) Queues() []pmd.Queue { return d.queues }

// Close gives back what is in flight: as with a socket that is closed, it is lost.
func (d *fakeDevice) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed++
	d.info.Up = false
	for _, q := range d.queues {
		q := q.(*fakeQueue)
		q.c.Drops[pmd.ReasonTxLost] += uint64(mbuf.Packets(q.posted))
		d.space.Free(q.posted)
		q.posted = nil
	}
	return nil
}

func (d *fakeDevice) closes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// set changes the link state and tells the host.
func (d *fakeDevice) set(host pmd.Host, up bool, what string) {
	d.mu.Lock()
	d.info.Up, d.info.Detail = up, ""
	if !up {
		d.info.Detail = what
	}
	d.mu.Unlock()
	host.Notify(d, what)
}

// q returns the first queue.
func (d *fakeDevice) q() *fakeQueue { return d.queues[0].(*fakeQueue) }

// lab is a dataplane with fake ports.
type lab struct {
	*dataplane.Dataplane
	t    require.TestingT
	devs []*fakeDevice
}

// smallPool keeps tests light, and lets a leak of a few frames matter.
func smallPool() mbuf.Config { return mbuf.Config{Frames: 4096, HugePages: mbuf.HugeOff} }

// newLab makes a dataplane that is closed at the end of the test, which fails if
// a frame has not come home by then.
func newLab(t *testing.T, cfg dataplane.Config) *lab {
	t.Helper()
	if cfg.Pool == (mbuf.Config{}) {
		cfg.Pool = smallPool()
	}
	d, err := dataplane.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return &lab{Dataplane: d, t: t}
}

// unpinned returns n cores that are none.
func unpinned(n int) []int {
	cores := make([]int, n)
	for i := range cores {
		cores[i] = dataplane.Unpinned
	}
	return cores
}

// device makes a port that is not added yet, with this many queues.
func (l *lab) device(name string, class pmd.Class, queues int) *fakeDevice {
	pool, err := l.Env().Pool(class)
	require.NoError(l.t, err)
	dev := &fakeDevice{
		space: l.Space(),
		info: pmd.Info{
			Name: name, Driver: "fake", MTU: 1500, NUMANode: -1, Up: true,
			MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(len(l.devs))},
		},
	}
	for range queues {
		dev.queues = append(dev.queues, &fakeQueue{pool: pool, room: -1, record: true})
	}
	l.devs = append(l.devs, dev)
	return dev
}

// port adds a port with one queue on the given worker.
func (l *lab) port(name string, worker int) (dataplane.PortID, *fakeQueue) {
	return l.portOf(name, worker, pmd.Class{NUMANode: -1})
}

// portOf is port with a pool of another class.
func (l *lab) portOf(name string, worker int, class pmd.Class) (dataplane.PortID, *fakeQueue) {
	dev := l.device(name, class, 1)
	id, err := l.AddPort(dev, dataplane.PortConfig{Workers: []int{worker}})
	require.NoError(l.t, err)
	return id, dev.q()
}

// one lets the workers take one visit a turn from each queue.
func (l *lab) one(each int) {
	top := max(each, dataplane.MinBurstMax)
	for i := range l.Workers() {
		require.NoError(l.t, l.SetPoll(context.Background(), i, dataplane.PollSettings{BurstMax: &top}))
	}
}

// do runs fn on a worker.
func (l *lab) do(worker int, fn func(w *dataplane.Worker)) {
	ctx, cancel := context.WithTimeout(context.Background(), eventually)
	defer cancel()
	require.NoError(l.t, l.Do(ctx, worker, fn))
}

// turn steps a worker that nobody runs.
func (l *lab) turn(worker int) (work int) {
	l.do(worker, func(w *dataplane.Worker) { work = w.Turn() })
	return work
}

// start runs the workers. stop ends them and returns what Run did; it is called
// at the end of the test if not before.
func (l *lab) start(t *testing.T) (stop func() error) {
	t.Helper()
	stop = l.startUnchecked(t)
	// From here on a worker answers itself.
	require.Eventually(t, func() bool { return l.core(0).State == "running" }, eventually, tick)
	return stop
}

// startUnchecked is start for workers that may not live long enough to be seen.
func (l *lab) startUnchecked(t *testing.T) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(eventually):
			t.Error("Run has not returned long after its context was cancelled")
			return context.DeadlineExceeded
		}
	})
	t.Cleanup(func() { require.NoError(t, stop()) })
	return stop
}

// stats returns the statistics with accounts. Workers that share CPUs with others may
// not come to a stand in time: they are asked again.
func (l *lab) stats() *dataplane.Stats {
	ctx, cancel := context.WithTimeout(context.Background(), eventually)
	defer cancel()
	s, err := l.StatsWithAccounts(ctx)
	for errors.Is(err, dataplane.ErrBusy) && ctx.Err() == nil {
		s, err = l.StatsWithAccounts(ctx)
	}
	require.NoError(l.t, err)
	return s
}

func (l *lab) core(i int) dataplane.CoreStats { return l.stats().Cores[i] }

// totals are the terms of the balance over all ports.
type totals struct {
	rx, made, tx, inHand, dropped uint64
	drops                         map[string]uint64
}

func sum(s *dataplane.Stats) totals {
	t := totals{drops: map[string]uint64{}}
	for _, p := range s.Ports {
		t.rx += p.RxPackets
		t.made += p.Generated
		t.tx += p.TxPackets
		t.inHand += p.InHand
		for r, n := range p.Drops {
			t.drops[r] += n
			t.dropped += n
		}
	}
	return t
}

// balanced checks that every frame of every pool has one owner and that the
// counters tell what became of every frame received, of which the stage holds
// some. Workers must not be running, or hold nothing between turns.
func (l *lab) balanced(held uint64) totals {
	s := l.stats()
	for _, p := range s.Pools {
		require.True(l.t, p.Balanced(), "pool %s: %+v %v", p.Pool, p.Account, p.Owners)
	}
	t := sum(s)
	require.Equal(l.t, t.rx+t.made, t.tx+t.dropped+t.inHand+held, "received and made is not sent + dropped + in hand: %+v", t)
	return t
}

// burstOf returns n packets of a flow, numbered from first.
func burstOf(flow uint32, first, n int) []packet {
	out := make([]packet, n)
	for i := range out {
		out[i] = packet{flow, uint64(first + i), packetSize}
	}
	return out
}

// seqs returns the numbers of the packets of one flow.
func seqs(sent []packet, flow uint32) []uint64 {
	out := []uint64{}
	for _, p := range sent {
		if p.flow == flow {
			out = append(out, p.seq)
		}
	}
	return out
}

// count returns 0, 1, … n-1.
func count(n int) []uint64 {
	out := make([]uint64, n)
	for i := range out {
		out[i] = uint64(i)
	}
	return out
}

// to is a stage that sends everything to one port.
func to(out dataplane.PortID) dataplane.Stage {
	return dataplane.StageFunc(func(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
		w.SendBurst(out, burst)
	})
}

// pairs is a stage that sends from port 0 to 1 and back, 2 to 3 and back, ….
var pairs = dataplane.StageFunc(func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	w.SendBurst(in^1, burst)
})
