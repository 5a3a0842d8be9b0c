package forward_test

import (
	"bytes"
	"context"
	"fmt"
	"net"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
)

// rig gives bursts to a stage by hand, on a worker that nobody runs, and catches
// what comes out of null ports.
type rig struct {
	*dataplane.Dataplane
	t     require.TestingT
	cache *mbuf.Cache
	w     *dataplane.Worker
	out   map[int][][]byte // by output port
	// before is what drops has told of, by port.
	before map[int]map[string]uint64
}

// outside is what lies before and behind a packet in its frame: a stage that
// writes there, or lets it show in what it sends, is found out.
const outside = 0xa5

func newRig(t require.TestingT, ports int) *rig { return makeRig(t, ports, true) }

// newQuietRig is newRig without the catching, which allocates.
func newQuietRig(t require.TestingT, ports int) *rig { return makeRig(t, ports, false) }

func makeRig(t require.TestingT, ports int, catch bool) *rig {
	d, err := dataplane.New(dataplane.Config{
		Stage: dataplane.StageFunc(func(*dataplane.Worker, dataplane.PortID, []mbuf.Frame) {}),
		Pool:  mbuf.Config{Frames: mbuf.MinFrames, HugePages: mbuf.HugeOff},
	})
	require.NoError(t, err)
	r := &rig{Dataplane: d, t: t, out: map[int][][]byte{}, before: map[int]map[string]uint64{}}
	for i := range ports {
		cfg := null.Config{Name: fmt.Sprint("p", i), NoRx: true}
		if catch {
			cfg.Inspect = func(frames []mbuf.Frame, mem mbuf.Mem) {
				for _, f := range frames {
					r.out[i] = append(r.out[i], bytes.Clone(mem.Bytes(f)))
				}
			}
		}
		dev, err := null.New(cfg, d.Env())
		require.NoError(t, err)
		_, err = d.AddPort(dev, dataplane.PortConfig{})
		require.NoError(t, err)
	}
	pool := d.Space().Pools()[0]
	r.do(func(w *dataplane.Worker) { r.w, r.cache = w, w.Local().Cache(pool.ID()) })
	return r
}

func (r *rig) close() { require.NoError(r.t, r.Close()) }

func (r *rig) do(fn func(w *dataplane.Worker)) {
	require.NoError(r.t, r.Do(context.Background(), 0, fn))
}

// process has a stage work on packets that came in on a port. With atEnd each
// lies at the very end of its frame, the last of the pool among them, so that a
// byte further is not there.
func (r *rig) process(s dataplane.Stage, in dataplane.PortID, atEnd bool, packets ...[]byte) {
	r.processIn(s, in, atEnd, false, packets...)
}

// processBeyond is process for a stage that may make a packet longer.
func (r *rig) processBeyond(s dataplane.Stage, in dataplane.PortID, packets ...[]byte) {
	r.processIn(s, in, false, true, packets...)
}

func (r *rig) ctx() context.Context { return context.Background() }

func (r *rig) processIn(s dataplane.Stage, in dataplane.PortID, atEnd, longer bool, packets ...[]byte) {
	pool := r.cache.Pool()
	mem := pool.Mem()
	// All frames are taken, so that the last one of the memory is in use.
	all := make([]mbuf.Frame, pool.Frames())
	require.Equal(r.t, len(all), r.cache.TakeFrames(all, 0, 0, pool.Meta(uint16(in))))
	for i := range mem {
		mem[i] = outside
	}
	burst, rest := all[:len(packets)], all[len(packets):]
	size := uint64(pool.FrameSize())
	last := uint64(pool.Frames()-1) * size
	for i := range rest {
		if rest[i].Addr == last {
			rest[i].Addr, burst[0].Addr = burst[0].Addr, last
		}
	}
	for i, p := range packets {
		f := &burst[i]
		f.Len = uint32(len(p))
		if atEnd {
			f.Addr += size - uint64(max(len(p), 1)) // an empty one is in its chunk, too
		} else {
			f.Addr += uint64(pool.DataOffset() + i%7)
		}
		copy(mem[f.Addr:], p)
	}
	given := append([]mbuf.Frame(nil), burst...)
	r.do(func(w *dataplane.Worker) {
		s.Process(w, in, burst)
		w.Local().Free(rest)
	})
	inside := make([]bool, len(mem))
	for _, f := range given {
		if longer {
			f.Len = uint32(size) - uint32(f.Addr%size)
		}
		for k := range f.Len {
			inside[f.Addr+uint64(k)] = true
		}
	}
	for i, b := range mem {
		if !inside[i] && b != outside {
			require.FailNow(r.t, "a byte outside a packet was written", "at %d", i)
		}
	}
}

// take returns what left a port since it was last called.
func (r *rig) take(port int) [][]byte {
	out := r.out[port]
	delete(r.out, port)
	return out
}

// drops returns the drop counters of a port since it was last called.
func (r *rig) drops(port int) map[string]uint64 {
	s, err := r.Stats(context.Background())
	require.NoError(r.t, err)
	now := map[string]uint64{}
	for reason, n := range s.Ports[port].Drops {
		if n -= r.before[port][reason]; n > 0 {
			now[reason] = n
		}
	}
	r.before[port] = s.Ports[port].Drops
	return now
}

// mac returns an address that shows its number.
func mac(n byte) net.HardwareAddr { return net.HardwareAddr{0x02, 0x10, 0x20, 0x30, 0x40, n} }

// stage makes a stage or fails.
func stage(t require.TestingT, mode string, cfg forward.Config) dataplane.Stage {
	s, err := forward.New(mode, cfg)
	require.NoError(t, err)
	return s
}
