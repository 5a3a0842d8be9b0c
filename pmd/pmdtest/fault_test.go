package pmdtest

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
	"example.org/pmd/pmd/ring"
)

// recorder is a testing.TB whose failures are not the test's own: a check must
// be able to fail without failing the test that shows it can.
type recorder struct {
	testing.TB
	msgs    []string
	failed  bool
	skipped bool
	ends    []func()
}

func (r *recorder) Helper()           {}
func (r *recorder) Cleanup(fn func()) { r.ends = append(r.ends, fn) }
func (r *recorder) Fail()             { r.failed = true }
func (r *recorder) Failed() bool      { return r.failed }
func (r *recorder) Skipped() bool     { return r.skipped }
func (r *recorder) Log(...any)        {}
func (r *recorder) Logf(string, ...any) {
}
func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) {
	r.msgs = append(r.msgs, fmt.Sprintf(format, args...))
	r.failed = true
}
func (r *recorder) FailNow() {
	r.failed = true
	runtime.Goexit()
}
func (r *recorder) Fatal(args ...any)                 { r.Error(args...); r.FailNow() }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); r.FailNow() }

// runCheck runs one check of the suite and returns what it reported.
func runCheck(t *testing.T, name string, h Harness) *recorder {
	r := &recorder{TB: t}
	for _, c := range checks() {
		if c.name != name {
			continue
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() {
				if p := recover(); p != nil {
					r.Errorf("panic: %v", p)
				}
			}()
			c.run(r, h.withDefaults())
		}()
		<-done
		for _, fn := range r.ends {
			fn()
		}
		return r
	}
	t.Fatalf("there is no check %q", name)
	return nil
}

// broken is a queue with a fault: what is not nil replaces the call.
type broken struct {
	pmd.Queue
	rx       func(b *broken, dst []mbuf.Frame) int
	tx       func(b *broken, src []mbuf.Frame) int
	bind     func(b *broken, to pmd.Binding)
	unbind   func(b *broken)
	counters func(b *broken, c *pmd.QueueCounters)
	walk     func(b *broken, l *mbuf.Ledger)
	wait     func(b *broken) int
	arm      func(b *broken) bool
	disarm   func(b *broken)

	// What the faults keep in mind.
	to   pmd.Binding
	n    uint64
	lost uint64
	kept []mbuf.Frame
	junk []byte
	file *os.File
}

func (b *broken) cache() *mbuf.Cache { return b.to.Local.Cache(b.Pool().ID()) }

func (b *broken) RxBurst(dst []mbuf.Frame) int {
	if b.rx != nil {
		return b.rx(b, dst)
	}
	return b.Queue.RxBurst(dst)
}

func (b *broken) TxBurst(src []mbuf.Frame) int {
	if b.tx != nil {
		return b.tx(b, src)
	}
	return b.Queue.TxBurst(src)
}

func (b *broken) Bind(to pmd.Binding) {
	if b.bind != nil {
		b.bind(b, to)
		return
	}
	b.to = to
	b.Queue.Bind(to)
}

func (b *broken) Unbind() {
	if b.unbind != nil {
		b.unbind(b)
	}
	b.Queue.Unbind()
}

func (b *broken) Counters() pmd.QueueCounters {
	if b.counters == nil {
		return b.Queue.Counters() // without a detour, which would allocate
	}
	c := b.Queue.Counters()
	b.counters(b, &c)
	return c
}

func (b *broken) Walk(l *mbuf.Ledger) {
	b.Queue.Walk(l)
	if b.walk != nil {
		b.walk(b, l)
	}
}

func (b *broken) WaitFD() int {
	if b.wait != nil {
		return b.wait(b)
	}
	return b.Queue.(pmd.Waiter).WaitFD()
}

func (b *broken) Arm() bool {
	if b.arm != nil {
		return b.arm(b)
	}
	a, ok := b.Queue.(pmd.Armer)
	return !ok || a.Arm()
}

func (b *broken) Disarm() {
	if b.disarm != nil {
		b.disarm(b)
	} else if a, ok := b.Queue.(pmd.Armer); ok {
		a.Disarm()
	}
}

// brokenDevice wraps a device's queues, and its own calls where set.
type brokenDevice struct {
	pmd.Device
	queues  []pmd.Queue
	info    func(i *pmd.Info)
	queuesF func(q []pmd.Queue) []pmd.Queue
	close   func(d *brokenDevice) error
	closed  int
}

func (d *brokenDevice) Info() pmd.Info {
	i := d.Device.Info()
	if d.info != nil {
		d.info(&i)
	}
	return i
}

func (d *brokenDevice) Queues() []pmd.Queue {
	if d.queuesF != nil {
		return d.queuesF(d.queues)
	}
	return d.queues
}

func (d *brokenDevice) Close() error {
	d.closed++
	err := d.Device.Close()
	if d.close != nil {
		return d.close(d)
	}
	return err
}

// power names ways in which the powers of a device are broken.
type power struct {
	mtuLies, mtuTakesAll, mtuStays, macKept, macTakesAll, silent bool
	promiscCounts, groupsTakeAll, deaf                           bool
}

// ownLink is what the good devices have.
type ownLink interface {
	pmd.MTUSetter
	pmd.MACSetter
}

// brokenPower is a device with powers, some of which are broken.
type brokenPower struct {
	*brokenDevice
	*power
	own ownLink
	// counted is how many want promiscuous mode; given is a MAC that was kept as it came.
	// mtu is one that nobody was told of.
	counted, mtu int
	given        net.HardwareAddr
}

func (d *brokenPower) Info() pmd.Info {
	i := d.brokenDevice.Info()
	i.Promiscuity = d.counted
	if d.mtu != 0 {
		i.MTU = d.mtu
	}
	if d.given != nil {
		i.MAC = slices.Clone(d.given)
	}
	return i
}

func (d *brokenPower) SetMTU(mtu int) error {
	switch {
	case d.silent:
		return nil
	case d.deaf && mtu > 0 && mtu < 1<<20:
		d.mtu = mtu
		return nil
	case d.mtuLies && mtu > 0:
		return d.own.SetMTU(mtu + 1)
	}
	err := d.own.SetMTU(mtu)
	switch {
	case d.mtuTakesAll && mtu > 1<<20:
		return nil
	case d.mtuStays && err != nil:
		_ = d.own.SetMTU(1000)
	}
	return err
}

func (d *brokenPower) SetMAC(mac net.HardwareAddr) error {
	err := d.own.SetMAC(mac)
	switch {
	case d.macTakesAll:
		return nil
	case d.macKept && err == nil:
		d.given = mac
	}
	return err
}

func (d *brokenPower) SetPromisc(on bool) error {
	switch {
	case on && (d.counted == 0 || d.promiscCounts):
		d.counted++
	case !on && d.counted > 0:
		d.counted--
	}
	return nil
}

func (d *brokenPower) SetGroups(groups []net.HardwareAddr) error {
	for _, g := range groups {
		if !d.groupsTakeAll && (len(g) != 6 || g[0]&1 == 0) {
			return syscall.EINVAL
		}
	}
	return nil
}

// fault is a way to break a device. Harness faults change what is claimed of it.
type fault struct {
	name    string
	base    string // "null" or "ring"
	caught  string // the check that must fail
	says    string // part of what it must say
	slow    bool   // it shows by something that never happens
	queue   broken
	device  brokenDevice
	power   power
	harness func(h *Harness)
}

// harnessFor returns a harness of the good device that f breaks. Each queue gets
// a copy of the fault, with a memory of its own.
func harnessFor(f fault) Harness {
	wrap := func(d pmd.Device) pmd.Device {
		bd := f.device
		bd.Device = d
		for _, q := range d.Queues() {
			bq := f.queue
			bq.Queue = q
			bd.queues = append(bd.queues, &bq)
		}
		if f.power != (power{}) {
			pd := f.power
			return &brokenPower{brokenDevice: &bd, own: d.(ownLink), power: &pd}
		}
		return &bd
	}
	h := Harness{Pool: mbuf.Config{Frames: 4096}}
	if f.slow {
		h.Timeout = 100 * time.Millisecond
	}
	switch f.base {
	case "null":
		h.Source, h.Sink = true, true
		h.Open = func(t testing.TB, env pmd.Env) Setup {
			d, err := null.New(null.Config{Queues: 2}, env)
			require.NoError(t, err)
			return Setup{Device: wrap(d)}
		}
	case "parts":
		h.Pool.MultiBuffer = true
		h.Open = func(t testing.TB, env pmd.Env) Setup {
			pool, err := env.Pool(pmd.Class{NUMANode: -1, MultiBuffer: true})
			require.NoError(t, err)
			q := &parts{pool: pool}
			d, err := null.New(null.Config{}, env) // for what a device says
			require.NoError(t, err)
			w := wrap(d).(*brokenDevice)
			w.queues[0].(*broken).Queue = q
			return Setup{Device: w, Inject: q.inject, Collect: func() [][]byte {
				out := q.out
				q.out = nil
				return out
			}}
		}
	case "ring":
		h.Open = func(t testing.TB, env pmd.Env) Setup {
			a, b, err := ring.NewPair(ring.Config{Size: 256}, env)
			require.NoError(t, err)
			far := ring.NewEndpoint(b)
			return Setup{
				Device: wrap(a),
				Inject: func(p [][]byte) int {
					n, err := far.Send(p...)
					require.NoError(t, err)
					return n
				},
				Collect: func() [][]byte { return far.Receive(math.MaxInt) },
				Walk:    far.Walk,
				Release: func() { require.NoError(t, far.Close()) },
			}
		}
	}
	if f.harness != nil {
		f.harness(&h)
	}
	return h
}

// onRx changes what the good device received.
func onRx(fn func(b *broken, got []mbuf.Frame)) func(*broken, []mbuf.Frame) int {
	return func(b *broken, dst []mbuf.Frame) int {
		n := b.Queue.RxBurst(dst)
		fn(b, dst[:n])
		return n
	}
}

func faults() []fault {
	return []fault{
		{name: "another MTU than asked for", base: "null", caught: "powers", says: "MTU in Info", power: power{mtuLies: true}},
		{name: "any MTU is taken", base: "null", caught: "powers", says: "want an error that is EINVAL", power: power{mtuTakesAll: true}},
		{name: "a refused MTU changes it", base: "ring", caught: "powers", says: "after one that was refused", power: power{mtuStays: true}},
		{name: "an MTU that nobody sees", base: "null", caught: "powers", says: "MTU in Info", power: power{silent: true}},
		{name: "any MAC is taken", base: "null", caught: "powers", says: "MAC", power: power{macTakesAll: true}},
		{name: "the caller's MAC is kept", base: "ring", caught: "powers", says: "whose caller kept the slice", power: power{macKept: true}},
		{name: "promiscuous mode is counted", base: "null", caught: "powers", says: "promiscuity when all is off", power: power{promiscCounts: true}},
		{name: "any group is taken", base: "null", caught: "powers", says: "group 02:00", power: power{groupsTakeAll: true}},
		{name: "nobody hears of it", base: "null", caught: "powers", says: "a notice of the new MTU", slow: true, power: power{deaf: true}},
		{name: "no MAC", base: "null", caught: "info", says: "MAC",
			device: brokenDevice{info: func(i *pmd.Info) { i.MAC = nil }}},
		{name: "group MAC", base: "null", caught: "info", says: "group",
			device: brokenDevice{info: func(i *pmd.Info) { i.MAC[0] |= 1 }}},
		{name: "no driver", base: "null", caught: "info", says: "driver",
			device: brokenDevice{info: func(i *pmd.Info) { i.Driver = "" }}},
		{name: "up after close", base: "null", caught: "info", says: "closed device",
			device: brokenDevice{info: func(i *pmd.Info) { i.Up = true }}},
		{name: "never up", base: "ring", caught: "info", says: "to be up", slow: true,
			device: brokenDevice{info: func(i *pmd.Info) { i.Up = false }}},
		{name: "queues change", base: "null", caught: "info", says: "must not change",
			device: brokenDevice{queuesF: func(q []pmd.Queue) []pmd.Queue {
				return append([]pmd.Queue{&broken{Queue: q[0]}}, q[1:]...)
			}}},

		{name: "receives into nothing", base: "null", caught: "burst limits", says: "returned 1 of 0",
			queue: broken{rx: func(b *broken, dst []mbuf.Frame) int { return max(1, b.Queue.RxBurst(dst)) }}},
		{name: "claims more than asked", base: "null", caught: "burst limits", says: "returned 257 of 256",
			queue: broken{rx: func(b *broken, dst []mbuf.Frame) int {
				if n := b.Queue.RxBurst(dst); n < 256 {
					return n
				}
				return len(dst) + 1
			}}},
		{name: "takes a negative number", base: "null", caught: "burst limits", says: "took -1",
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int { return b.Queue.TxBurst(src) - 1 }}},
		{name: "takes more than given", base: "null", caught: "burst limits", says: "took 2 of 1",
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int {
				if n := b.Queue.TxBurst(src); n == 0 {
					return 0
				}
				return len(src) + 1
			}}},
		{name: "writes into the tail", base: "null", caught: "burst limits", says: "changed the tail",
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int {
				n := b.Queue.TxBurst(src)
				clear(src[n:])
				return n
			}}},
		{name: "wrong port", base: "ring", caught: "burst limits", says: "port 8",
			queue: broken{rx: onRx(func(_ *broken, got []mbuf.Frame) {
				for i := range got {
					got[i].Meta = got[i].Meta.WithPort(got[i].Meta.Port() + 1)
				}
			})}},
		{name: "empty frame received", base: "ring", caught: "burst limits", says: "of 0 bytes",
			queue: broken{rx: onRx(func(_ *broken, got []mbuf.Frame) {
				for i := range got {
					got[i].Len = 0
				}
			})}},
		{name: "frame out of its chunk", base: "null", caught: "burst limits", says: "inside a chunk",
			queue: broken{rx: onRx(func(_ *broken, got []mbuf.Frame) {
				for i := range got {
					got[i].Len = 2000
				}
			})}},
		{name: "one frame handed out twice", base: "null", caught: "burst limits", says: "1 found twice",
			queue: broken{rx: func(b *broken, dst []mbuf.Frame) int {
				n := b.Queue.RxBurst(dst)
				if n > 1 && b.kept == nil {
					b.kept = []mbuf.Frame{}
					b.cache().PutFrames(dst[1:2])
					dst[1] = dst[0]
				}
				return n
			}}},

		{name: "receive sleeps", base: "ring", caught: "never blocks", says: "RxBurst took too long",
			queue: broken{rx: func(b *broken, dst []mbuf.Frame) int {
				n := b.Queue.RxBurst(dst)
				if n == 0 {
					time.Sleep(2 * maxCall)
				}
				return n
			}}},
		{name: "send sleeps when full", base: "ring", caught: "never blocks", says: "TxBurst",
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int {
				n := b.Queue.TxBurst(src)
				if n < len(src) {
					time.Sleep(2 * maxCall)
				}
				return n
			}}},

		{name: "flips a byte on the way in", base: "ring", caught: "content", says: "changed on its way in",
			queue: broken{rx: onRx(func(b *broken, got []mbuf.Frame) {
				for _, f := range got {
					b.to.Local.Bytes(f)[f.Len-1] ^= 1
				}
			})}},
		{name: "cuts a byte off", base: "ring", caught: "content", says: "changed on its way in",
			queue: broken{rx: onRx(func(_ *broken, got []mbuf.Frame) {
				for i := range got {
					got[i].Len--
				}
			})}},
		{name: "reorders on the way in", base: "ring", caught: "content", says: "after a later one",
			queue: broken{rx: onRx(func(_ *broken, got []mbuf.Frame) {
				if len(got) > 1 {
					got[0], got[1] = got[1], got[0]
				}
			})}},
		{name: "loses on the way in", base: "ring", caught: "content", says: "arrival of all packets", slow: true,
			queue: broken{rx: func(b *broken, dst []mbuf.Frame) int {
				n := b.Queue.RxBurst(dst)
				if n == 0 {
					return 0
				}
				b.cache().PutFrames(dst[n-1 : n])
				return n - 1
			}}},
		{name: "flips a byte on the way out", base: "ring", caught: "content", says: "changed on its way out",
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int {
				for _, f := range src {
					b.to.Local.Bytes(f)[f.Len-1] ^= 1
				}
				return b.Queue.TxBurst(src)
			}}},
		{name: "reorders on the way out", base: "ring", caught: "content", says: "came out twice, or after a later one",
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int {
				if len(src) > 1 {
					src[0], src[1] = src[1], src[0]
				}
				return b.Queue.TxBurst(src)
			}}},

		{name: "keeps a frame of the tail", base: "ring", caught: "unsent tail", says: "1 found twice",
			queue: broken{
				tx: func(b *broken, src []mbuf.Frame) int {
					n := b.Queue.TxBurst(src)
					if n == 0 && len(src) > 0 && b.kept == nil {
						b.kept = append(b.kept, src[0])
					}
					return n
				},
				walk: func(b *broken, l *mbuf.Ledger) { l.Frames(mbuf.OwnerDevice, b.kept) },
			}},
		{name: "frees the tail", base: "ring", caught: "unsent tail", says: "32 found twice",
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int {
				n := b.Queue.TxBurst(src)
				b.cache().PutFrames(src[n:])
				return n
			}}},
		{name: "sends of the tail later", base: "ring", caught: "unsent tail", says: "found twice",
			queue: broken{
				tx: func(b *broken, src []mbuf.Frame) int {
					n := b.Queue.TxBurst(src)
					if b.n += uint64(n); b.n == 256 && n > 0 {
						b.n--
						return n - 1
					}
					return n
				},
				counters: func(b *broken, c *pmd.QueueCounters) { c.TxPackets = b.n },
			}},
		{name: "fills up though a sink", base: "ring", caught: "unsent tail", says: "takes every frame",
			harness: func(h *Harness) { h.Sink = true }},
		{name: "never full though no sink", base: "null", caught: "unsent tail", says: "never filled up",
			harness: func(h *Harness) { h.Sink = false }},
		{name: "stuck once full", base: "ring", caught: "unsent tail", says: "room for frames", slow: true,
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int {
				if b.n == 1 {
					return 0
				}
				n := b.Queue.TxBurst(src)
				if n < len(src) {
					b.n = 1
				}
				return n
			}}},

		{name: "stops at an invalid frame", base: "null", caught: "invalid frames", says: "room for frames", slow: true,
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int {
				n := 0
				for n < len(src) && b.cache().Valid(src[n]) {
					n++
				}
				return b.Queue.TxBurst(src[:n])
			}}},
		{name: "drops the whole burst", base: "null", caught: "invalid frames", says: "counted as tx_invalid",
			queue: broken{
				tx: func(b *broken, src []mbuf.Frame) int {
					if _, ok := b.cache().Check(src); ok {
						return b.Queue.TxBurst(src)
					}
					for i, f := range src {
						if f.Addr < uint64(len(b.Pool().Mem())) {
							b.cache().PutFrames(src[i : i+1])
						}
					}
					b.n += uint64(len(src))
					return len(src)
				},
				counters: func(b *broken, c *pmd.QueueCounters) { c.Drops[pmd.ReasonTxInvalid] += b.n },
			}},
		{name: "counts invalid frames as sent", base: "ring", caught: "invalid frames", says: "counted as tx_invalid",
			queue: broken{counters: func(_ *broken, c *pmd.QueueCounters) {
				c.TxPackets += c.Drops[pmd.ReasonTxInvalid]
				c.Drops[pmd.ReasonTxInvalid] = 0
			}}},
		{name: "leaks invalid frames", base: "null", caught: "invalid frames", says: "account after invalid frames",
			queue: broken{
				tx: func(b *broken, src []mbuf.Frame) int {
					for i, f := range src {
						if b.cache().Valid(f) {
							b.Queue.TxBurst(src[i : i+1])
						} else {
							b.n++
						}
					}
					return len(src)
				},
				counters: func(b *broken, c *pmd.QueueCounters) { c.Drops[pmd.ReasonTxInvalid] = b.n },
			}},
		{name: "frees strays", base: "null", caught: "invalid frames", says: "account after invalid frames",
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int {
				for i, f := range src {
					if f.Addr >= uint64(len(b.Pool().Mem())) {
						b.cache().PutFrames(src[i : i+1])
					}
				}
				return b.Queue.TxBurst(src)
			}}},

		{name: "panics with no free frame", base: "null", caught: "exhaustion", says: "panic",
			queue: broken{rx: func(b *broken, dst []mbuf.Frame) int {
				n := b.Queue.RxBurst(dst)
				_ = dst[:n][min(0, len(dst)-1)]
				return n
			}}},
		{name: "gives up for good", base: "null", caught: "exhaustion", says: "arrival", slow: true,
			queue: broken{rx: func(b *broken, dst []mbuf.Frame) int {
				if b.n != 0 {
					return 0
				}
				n := b.Queue.RxBurst(dst)
				if n == 0 && len(dst) > 0 {
					b.n = 1
				}
				return n
			}}},
		{name: "makes up frames", base: "null", caught: "exhaustion", says: "found twice",
			queue: broken{rx: func(b *broken, dst []mbuf.Frame) int {
				n := b.Queue.RxBurst(dst)
				if n == 0 && len(dst) > 0 {
					dst[0] = mbuf.Frame{Addr: 256, Len: 64, Meta: b.Pool().Meta(b.to.Port)}
					return 1
				}
				return n
			}}},

		{name: "bytes received miscounted", base: "ring", caught: "statistics", says: "bytes received",
			queue: broken{counters: func(_ *broken, c *pmd.QueueCounters) { c.RxBytes += 4 * c.RxPackets }}},
		{name: "packets received miscounted", base: "null", caught: "statistics", says: "packets received",
			queue: broken{counters: func(_ *broken, c *pmd.QueueCounters) { c.RxPackets = c.RxPackets * 2 }}},
		{name: "bytes sent miscounted", base: "null", caught: "statistics", says: "bytes sent",
			queue: broken{counters: func(_ *broken, c *pmd.QueueCounters) { c.TxBytes += 4 * c.TxPackets }}},
		{name: "packets sent miscounted", base: "null", caught: "statistics", says: "after TxBurst",
			queue: broken{counters: func(_ *broken, c *pmd.QueueCounters) { c.TxPackets /= 2 }}},
		{name: "always in flight", base: "ring", caught: "statistics", says: "transmission of all frames", slow: true,
			queue: broken{counters: func(_ *broken, c *pmd.QueueCounters) {
				if c.TxPackets > 0 {
					c.TxPackets--
					c.InFlight++
				}
			}}},
		{name: "a drop counted as sent", base: "ring", caught: "statistics", says: "as many packets at the far side", slow: true,
			queue: broken{
				tx: func(b *broken, src []mbuf.Frame) int {
					if len(src) == 0 {
						return 0
					}
					b.cache().PutFrames(src[:1])
					b.n++
					b.lost += uint64(src[0].Len)
					return 1 + b.Queue.TxBurst(src[1:])
				},
				counters: func(b *broken, c *pmd.QueueCounters) {
					c.TxPackets += b.n
					c.TxBytes += b.lost
				},
			}},
		{name: "counters not from zero", base: "null", caught: "statistics", says: "done nothing",
			queue: broken{counters: func(_ *broken, c *pmd.QueueCounters) { c.Wakeups++ }}},

		{name: "leaks what is posted", base: "ring", caught: "close", says: "frames back in the pool", slow: true,
			queue: broken{
				tx: func(b *broken, src []mbuf.Frame) int {
					if b.kept == nil && len(src) > 0 {
						b.kept = append(b.kept, src[0])
						return 1 + b.Queue.TxBurst(src[1:])
					}
					return b.Queue.TxBurst(src)
				},
				counters: func(b *broken, c *pmd.QueueCounters) { c.InFlight += uint64(len(b.kept)) },
				walk:     func(b *broken, l *mbuf.Ledger) { l.Frames(mbuf.OwnerKernelTx, b.kept) },
			}},
		{name: "second close fails", base: "null", caught: "close", says: "closing twice",
			device: brokenDevice{close: func(d *brokenDevice) error {
				if d.closed > 1 {
					return errors.New("closed already")
				}
				return nil
			}}},
		{name: "frees the caller's frames at close", base: "ring", caught: "close", says: "found twice",
			queue: broken{rx: onRx(func(b *broken, got []mbuf.Frame) { b.kept = append(b.kept, got...) })},
			device: brokenDevice{close: func(d *brokenDevice) error {
				for _, q := range d.queues {
					b := q.(*broken)
					set := mbuf.NewFrameSet(b.Pool())
					for _, f := range b.kept[:min(1, len(b.kept))] {
						set.Add(f.Addr)
					}
					b.kept = nil
					b.Pool().Return(set)
				}
				return nil
			}}},

		{name: "loses a frame when unbound", base: "null", caught: "rebind", says: "between two owners",
			queue: broken{unbind: func(b *broken) {
				var lost [1]uint64
				b.cache().Take(lost[:])
			}}},
		{name: "stays with the old cache", base: "null", caught: "rebind", says: "",
			queue: broken{bind: func(b *broken, to pmd.Binding) {
				if b.to.Local == nil {
					b.to = to
				}
				b.to.Port = to.Port
				b.Queue.Bind(b.to)
			}}},
		{name: "starts counting anew", base: "null", caught: "rebind", says: "before and after",
			queue: broken{
				bind: func(b *broken, to pmd.Binding) {
					b.n, b.to = b.Queue.Counters().RxPackets, to
					b.Queue.Bind(to)
				},
				counters: func(b *broken, c *pmd.QueueCounters) { c.RxPackets -= b.n },
			}},

		{name: "cuts what it is sent", base: "parts", caught: "whole packets", says: "not where a packet ends",
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int {
				for i := range src {
					if src[i].Meta&mbuf.FlagMore != 0 {
						return b.Queue.TxBurst(src[:i]) + 1
					}
				}
				return b.Queue.TxBurst(src)
			}}},
		{name: "cuts what it receives", base: "parts", caught: "whole packets", says: "in part",
			queue: broken{rx: func(b *broken, dst []mbuf.Frame) int {
				n := b.Queue.RxBurst(dst)
				if k := n - 1; k > 0 && dst[k-1].Meta&mbuf.FlagMore != 0 {
					b.cache().PutFrames(dst[k:n])
					return k
				}
				return n
			}}},
		{name: "forgets a part", base: "parts", caught: "whole packets", says: "changed on its way",
			queue: broken{rx: func(b *broken, dst []mbuf.Frame) int {
				n := b.Queue.RxBurst(dst)
				if n > 2 && dst[0].Meta&dst[1].Meta&mbuf.FlagMore != 0 {
					b.cache().PutFrames(dst[1:2])
					return 1 + copy(dst[1:], dst[2:n])
				}
				return n
			}}},
		{name: "counts frames", base: "parts", caught: "whole packets", says: "packets",
			queue: broken{counters: func(b *broken, c *pmd.QueueCounters) { c.TxPackets += b.n },
				tx: func(b *broken, src []mbuf.Frame) int {
					n := b.Queue.TxBurst(src)
					b.n += uint64(n - mbuf.Packets(src[:n]))
					return n
				}}},
		{name: "sends what has no end", base: "parts", caught: "whole packets", says: "came out",
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int {
				if len(src) > 0 && src[len(src)-1].Meta&mbuf.FlagMore != 0 {
					src[len(src)-1].Meta &^= mbuf.FlagMore
				}
				return b.Queue.TxBurst(src)
			}}},

		{name: "busy after close", base: "null", caught: "reopen", says: "busy",
			harness: func(h *Harness) {
				open, opened := h.Open, 0
				h.Open = func(t testing.TB, env pmd.Env) Setup {
					if opened++; opened > 1 {
						require.NoError(t, errors.New("device or resource busy"))
					}
					return open(t, env)
				}
			}},
		{name: "deaf when opened again", base: "ring", caught: "reopen", says: "arrival", slow: true,
			harness: func(h *Harness) {
				open, opened := h.Open, 0
				h.Open = func(t testing.TB, env pmd.Env) Setup {
					s := open(t, env)
					if opened++; opened > 1 {
						s.Inject = func(p [][]byte) int { return len(p) }
					}
					return s
				}
			}},

		{name: "queues count together", base: "null", caught: "two queues", says: "queue",
			device: brokenDevice{queuesF: func(q []pmd.Queue) []pmd.Queue {
				first, second := q[0].(*broken), q[1].(*broken)
				second.counters = func(b *broken, c *pmd.QueueCounters) {
					c.RxPackets += b.n
				}
				second.n = 1
				return []pmd.Queue{first, second}
			}}},
		{name: "second queue loses", base: "null", caught: "two queues", says: "account",
			queue: broken{rx: func(b *broken, dst []mbuf.Frame) int {
				n := b.Queue.RxBurst(dst)
				if n > 0 && b.to.Port == 11 && b.kept == nil {
					b.kept = []mbuf.Frame{}
					var lost [1]uint64
					b.cache().Take(lost[:])
				}
				return n
			}}},

		{name: "allocates to receive", base: "null", caught: "allocations", says: "median",
			queue: broken{rx: func(b *broken, dst []mbuf.Frame) int {
				b.junk = make([]byte, 64)
				return b.Queue.RxBurst(dst)
			}}},
		{name: "allocates to send", base: "ring", caught: "allocations", says: "median",
			queue: broken{tx: func(b *broken, src []mbuf.Frame) int {
				b.junk = make([]byte, 64)
				return b.Queue.TxBurst(src)
			}}},

		{name: "wakes nobody", base: "ring", caught: "waiting", says: "a readable descriptor", slow: true,
			queue: broken{arm: func(b *broken) bool {
				a := b.Queue.(pmd.Armer)
				may := a.Arm()
				a.Disarm()
				return may
			}}},
		{name: "always readable", base: "ring", caught: "waiting", says: "an empty queue", slow: true,
			queue: broken{wait: func(b *broken) int {
				if b.file == nil {
					b.file, _ = os.Open(os.DevNull)
				}
				return int(b.file.Fd())
			}}},
		{name: "never lets sleep", base: "ring", caught: "waiting", says: "an empty queue", slow: true,
			queue: broken{arm: func(*broken) bool { return false }}},
		{name: "sleeps over a frame", base: "ring", caught: "waiting", says: "Arm allows to sleep",
			queue: broken{arm: func(b *broken) bool { b.Queue.(pmd.Armer).Arm(); return true }}},
		{name: "stays readable", base: "ring", caught: "waiting", says: "after Disarm",
			queue: broken{disarm: func(*broken) {}}},
		{name: "says never and receives", base: "null", caught: "waiting", says: "WaitNever, and frames came",
			queue: broken{wait: func(*broken) int { return pmd.WaitNever }}},
		{name: "says never and lets in", base: "ring", caught: "waiting", says: "WaitNever, and a packet",
			queue: broken{wait: func(*broken) int { return pmd.WaitNever }}},
	}
}

// Every check can fail: each fault is caught by the check that is for it, with
// words that say what is wrong.
func TestFaultsAreCaught(t *testing.T) {
	if mbuf.Debug {
		t.Skip("the debug build panics on some of these faults before the suite can see them")
	}
	caught := map[string]int{}
	for _, f := range faults() {
		t.Run(strings.ReplaceAll(f.name, " ", "_"), func(t *testing.T) {
			r := runCheck(t, f.caught, harnessFor(f))
			require.True(t, r.Failed(), "check %q did not see it", f.caught)
			assert.Contains(t, strings.Join(r.msgs, "\n"), f.says)
		})
		caught[f.caught]++
	}
	for _, c := range checks() {
		assert.NotZero(t, caught[c.name], "no fault shows that check %q can fail", c.name)
	}
}

// The devices that the faults are made of pass, so it is the fault that fails.
func TestGoodDevicesPass(t *testing.T) {
	for _, base := range []string{"null", "ring"} {
		t.Run(base, func(t *testing.T) {
			TestDevice(t, harnessFor(fault{base: base}))
		})
	}
	// This one is there for its packets and no more.
	t.Run("parts", func(t *testing.T) {
		const check = "whole packets"
		r := runCheck(t, check, harnessFor(fault{base: "parts"}))
		require.False(t, r.Failed(), "check %q: %v", check, r.msgs)
	})
}

// A lossy far side is forgiven, a silent one is not.
func TestLossy(t *testing.T) {
	lose := func(every int) func(*Harness) {
		return func(h *Harness) {
			h.Lossy = true
			open := h.Open
			h.Open = func(t testing.TB, env pmd.Env) Setup {
				s := open(t, env)
				in, out, n := s.Inject, s.Collect, 0
				lost := func() bool { n++; return n%every == 0 }
				s.Inject = func(p [][]byte) int {
					for i := range p {
						if !lost() && in(p[i:i+1]) == 0 {
							return i
						}
					}
					return len(p)
				}
				s.Collect = func() (got [][]byte) {
					for _, p := range out() {
						if !lost() {
							got = append(got, p)
						}
					}
					return got
				}
				return s
			}
		}
	}
	for _, c := range checks() {
		r := runCheck(t, c.name, harnessFor(fault{base: "ring", harness: lose(3)}))
		require.False(t, r.Failed(), "%s: %v", c.name, r.msgs)
	}
	r := runCheck(t, "content", harnessFor(fault{base: "ring", slow: true, harness: lose(1)}))
	require.True(t, r.Failed())
}

func TestPacket(t *testing.T) {
	mac := []byte{2, 0, 0, 0, 0, 9}
	for seq := range uint32(200) {
		size := sizeOf(seq, 1514)
		require.GreaterOrEqual(t, size, minPacket)
		require.LessOrEqual(t, size, 1514)
		p := packet(seq, size, mac)
		got, whole, ours := parse(p)
		require.Equal(t, seq, got)
		require.True(t, whole && ours)
		p[size-1] ^= 0x10
		_, whole, ours = parse(p)
		require.True(t, ours && !whole)
		_, _, ours = parse(p[:headLen-1])
		require.False(t, ours)
	}
}
