package pmdtest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// kernel is a device whose other half is a goroutine, as that of AF_XDP is the
// kernel: it fills posted frames when packets come, sends some time after Flush,
// completes later still, and lets go of its frames a while after Close.
type kernel struct {
	pool *mbuf.Pool
	mac  []byte
	port uint16
	own  *mbuf.Local
	c    pmd.QueueCounters
	// posted are the frames the kernel has, by direction. The owner's.
	rxPosted, txPosted *mbuf.FrameSet

	mu       sync.Mutex
	fill     []uint64
	received []mbuf.Frame
	sending  []mbuf.Frame
	flushed  int // of sending
	complete []mbuf.Frame
	in       [][]byte
	out      [][]byte // of a fixed number of buffers, so that nothing allocates
	closed   bool
}

const (
	kernelRing  = 64
	kernelWire  = 1024
	kernelDelay = 50 * time.Microsecond
	kernelDrain = 3 * time.Millisecond
)

func newKernel(env pmd.Env) (*kernel, error) {
	pool, err := env.Pool(pmd.Class{NUMANode: -1})
	if err != nil {
		return nil, err
	}
	k := &kernel{
		pool: pool, mac: []byte{2, 0, 0, 0, 0, 1},
		rxPosted: mbuf.NewFrameSet(pool), txPosted: mbuf.NewFrameSet(pool),
		fill: make([]uint64, 0, kernelRing), received: make([]mbuf.Frame, 0, kernelRing),
		sending: make([]mbuf.Frame, 0, kernelRing), complete: make([]mbuf.Frame, 0, kernelRing),
		out: make([][]byte, 0, kernelWire),
	}
	for i := range k.out[:cap(k.out)] {
		k.out[:cap(k.out)][i] = make([]byte, 0, 2048)
	}
	go k.run()
	return k, nil
}

// run is the kernel: a few packets at a time.
func (k *kernel) run() {
	for {
		time.Sleep(kernelDelay)
		k.mu.Lock()
		if k.closed {
			k.mu.Unlock()
			break
		}
		for n := 0; n < 16 && k.flushed > 0 && len(k.out) < cap(k.out); n++ {
			k.out = k.out[:len(k.out)+1]
			last := &k.out[len(k.out)-1]
			*last = append((*last)[:0], k.pool.Mem().Bytes(k.sending[0])...)
			k.complete = append(k.complete, k.sending[0])
			k.sending = slices.Delete(k.sending, 0, 1)
			k.flushed--
		}
		for n := 0; n < 16 && len(k.in) > 0 && len(k.fill) > 0 && len(k.received) < kernelRing; n++ {
			f := mbuf.Frame{Addr: k.fill[0] + uint64(k.pool.DataOffset()), Len: uint32(len(k.in[0]))}
			copy(k.pool.Mem().Bytes(f), k.in[0])
			k.received = append(k.received, f)
			k.fill, k.in = slices.Delete(k.fill, 0, 1), k.in[1:]
		}
		k.mu.Unlock()
	}
	time.Sleep(kernelDrain)
	k.pool.Return(k.rxPosted)
	k.pool.Return(k.txPosted)
}

func (k *kernel) Info() pmd.Info {
	k.mu.Lock()
	defer k.mu.Unlock()
	return pmd.Info{Name: "k0", Driver: "kernel", MAC: k.mac, MTU: 1500, NUMANode: -1, Up: !k.closed}
}
func (k *kernel) Queues() []pmd.Queue { return []pmd.Queue{k} }
func (k *kernel) Pool() *mbuf.Pool    { return k.pool }
func (k *kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	return nil
}
func (k *kernel) Bind(b pmd.Binding) {
	k.own, k.port = b.Local, b.Port
	k.refill()
}
func (k *kernel) Unbind() { k.own = nil }

// refill posts free frames for packets to come.
func (k *kernel) refill() {
	var addrs [kernelRing]uint64
	n := k.own.Cache(k.pool.ID()).Take(addrs[:kernelRing-k.rxPosted.Len()])
	for _, a := range addrs[:n] {
		k.rxPosted.Add(a)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fill = append(k.fill, addrs[:n]...)
}

func (k *kernel) RxBurst(dst []mbuf.Frame) int {
	k.mu.Lock()
	n := copy(dst, k.received)
	k.received = slices.Delete(k.received, 0, n)
	k.mu.Unlock()
	for i := range dst[:n] {
		k.rxPosted.Remove(dst[i].Addr)
		dst[i].Meta = k.pool.Meta(k.port)
		k.c.RxPackets++
		k.c.RxBytes += uint64(dst[i].Len)
	}
	k.refill()
	return n
}

func (k *kernel) TxBurst(src []mbuf.Frame) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	cache := k.own.Cache(k.pool.ID())
	for i, f := range src {
		switch {
		case !cache.Valid(f):
			k.c.Drops[pmd.ReasonTxInvalid]++
			if f.Addr < uint64(len(k.pool.Mem())) {
				cache.PutFrames(src[i : i+1])
			}
		case k.txPosted.Len() == kernelRing:
			return i
		default:
			k.txPosted.Add(f.Addr)
			k.c.InFlight++
			k.sending = append(k.sending, f)
		}
	}
	return len(src)
}

func (k *kernel) Flush() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flushed = len(k.sending)
}

func (k *kernel) Reclaim() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.complete {
		k.txPosted.Remove(f.Addr)
		k.c.InFlight--
		k.c.TxPackets++
		k.c.TxBytes += uint64(f.Len)
	}
	n := len(k.complete)
	k.own.Cache(k.pool.ID()).PutFrames(k.complete)
	k.complete = k.complete[:0]
	return n
}

func (k *kernel) Counters() pmd.QueueCounters { return k.c }
func (k *kernel) Walk(l *mbuf.Ledger) {
	l.Set(mbuf.OwnerKernelRx, k.rxPosted)
	l.Set(mbuf.OwnerKernelTx, k.txPosted)
}

// The suite suits a device that works elsewhere and later.
func TestAsynchronousDevice(t *testing.T) {
	TestDevice(t, Harness{
		Pool:  mbuf.Config{Frames: 4096},
		Async: true,
		Open: func(t testing.TB, env pmd.Env) Setup {
			k, err := newKernel(env)
			require.NoError(t, err)
			return Setup{
				Device: k,
				Inject: func(p [][]byte) int {
					k.mu.Lock()
					defer k.mu.Unlock()
					n := min(len(p), kernelRing-len(k.in))
					k.in = append(k.in, p[:n]...)
					return n
				},
				Collect: func() (got [][]byte) {
					k.mu.Lock()
					defer k.mu.Unlock()
					for _, p := range k.out {
						got = append(got, slices.Clone(p))
					}
					k.out = k.out[:0]
					return got
				},
			}
		},
	})
}
