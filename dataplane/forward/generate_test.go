package forward_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/dataplane/packet"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
)

// generate calls a generator some times, as turns do.
func (r *rig) generate(s dataplane.Stage, times int) (sent int) {
	r.do(func(w *dataplane.Worker) {
		for range times {
			sent += s.(dataplane.Generator).Generate(w)
		}
	})
	return sent
}

// balanced checks that received + generated = sent + dropped + in hand + held, and
// that every frame has one owner. The rig's own frames count as received.
func (r *rig) balanced(given int) *dataplane.Stats {
	s, err := r.StatsWithAccounts(r.ctx())
	require.NoError(r.t, err)
	in, out := uint64(given), uint64(0)
	for _, p := range s.Ports {
		in += p.RxPackets + p.Generated
		out += p.TxPackets + p.InHand
		for _, n := range p.Drops {
			out += n
		}
	}
	for _, c := range s.Cores {
		out += c.Held
	}
	require.Equal(r.t, in, out)
	return s
}

var gen = forward.Config{Out: two, MACs: []net.HardwareAddr{mac(0), mac(1)}, Peers: []net.HardwareAddr{nil, mac(0xee)}}

// What txonly and flowgen make is what gopacket would call right, of the sizes and
// flows that were asked for, in turn.
func TestGeneratedFrames(t *testing.T) {
	for name, test := range map[string]struct {
		mode  string
		o     forward.Options
		sizes []int
		flows int // among the first 120 frames
		src   string
	}{
		"txonly":       {"txonly", forward.Options{}, []int{64}, 1, "198.18.0.1"},
		"txonly flows": {"txonly", forward.Options{TxFlows: 7, TxSize: "61"}, []int{61}, 7, "198.18.0.1"},
		"flowgen":      {"flowgen", forward.Options{TxSize: "128"}, []int{128}, 120, "10.254.0.0"},
		"imix": {"flowgen", forward.Options{TxSize: "imix", TxFlows: 5, IPSrc: netip.MustParseAddr("192.0.2.1")},
			[]int{60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60}, 5, "192.0.2.1"},
		"IPv6": {"txonly", forward.Options{TxSize: "200", TxFlows: 3, IPSrc: netip.MustParseAddr("2001:db8::ffff:ffff")}, []int{200}, 3, "2001:db8::ffff:ffff"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 2)
			defer r.close()
			cfg := gen
			cfg.Options = test.o
			s := stage(t, test.mode, cfg)
			require.Equal(t, 4*64, r.generate(s, 2), "a burst a port and turn")
			for port := range 2 {
				flows := map[string]bool{}
				for i, p := range r.take(port)[:120] {
					require.Len(t, p, test.sizes[i%len(test.sizes)], "frame %d", i)
					l := packet.Parse(p)
					require.Equal(t, packet.FaultNone, l.Fault)
					require.EqualValues(t, packet.ProtocolUDP, l.Protocol)
					require.Equal(t, []byte(mac(byte(port))), p[6:12])
					require.Equal(t, map[int][]byte{0: {2, 0, 0, 0, 0, 0}, 1: mac(0xee)}[port], p[:6])
					counts := map[string]uint64{}
					require.Equal(t, p, twinCsum(p, counts))
					require.Empty(t, counts, "checksums of frame %d", i)
					at, n := int(l.L3)+12, 4
					if l.EtherType == packet.EtherTypeIPv6 {
						at, n = int(l.L3)+8, 16
					}
					flows[string(p[at:at+2*n])] = true
					if i == 0 {
						require.Equal(t, netip.MustParseAddr(test.src).AsSlice(), p[at:at+n])
					}
				}
				require.Len(t, flows, test.flows)
			}
			require.EqualValues(t, 128, r.balanced(0).Ports[0].Generated)
		})
	}
}

// Frames for which the port has no room are as if they had not been made, and a
// port that is down gets none.
func TestGenerateIntoAFullPort(t *testing.T) {
	d, err := dataplane.New(dataplane.Config{Stage: stage(t, "txonly", gen), Pool: mbuf.Config{Frames: mbuf.MinFrames, HugePages: mbuf.HugeOff}})
	require.NoError(t, err)
	dev, err := null.New(null.Config{NoTx: true, NoRx: true}, d.Env())
	require.NoError(t, err)
	_, err = d.AddPort(dev, dataplane.PortConfig{})
	require.NoError(t, err)
	r := &rig{Dataplane: d, t: t}
	require.Zero(t, r.generate(stage(t, "txonly", gen), 3))
	s := r.balanced(0)
	require.Zero(t, s.Ports[0].Generated)
	require.Empty(t, s.Ports[0].Drops)
	r.close()
}

// What is received meanwhile is dropped, counted as sink.
func TestGeneratorsReceive(t *testing.T) {
	for _, mode := range []string{"txonly", "flowgen"} {
		r := newRig(t, 2)
		r.process(stage(t, mode, gen), 1, false, make([]byte, 60), make([]byte, 3))
		require.Equal(t, map[string]uint64{"sink": 2}, r.drops(1))
		r.close()
	}
}

// The buffer of noisy holds what it should, in order, and the account knows it;
// nothing is lost when another mode takes its place.
func TestNoisyHolds(t *testing.T) {
	r := newRig(t, 2)
	defer r.close()
	cfg := forward.Config{Out: two, Frames: 64, Options: forward.Options{NoisyBuffer: 10, NoisyReads: 2, NoisyWrites: 3, NoisyReadsWrites: 1}}
	s := stage(t, "noisy", cfg)
	require.NoError(t, r.SetStage(r.ctx(), s))
	var want [][]byte
	given := 0
	for i, n := range []int{4, 4, 4, 1, 12, 25, 3} {
		var burst [][]byte
		for k := range n {
			burst = append(burst, bytes.Repeat([]byte{byte(10*i + k + 1)}, 60))
		}
		given += n
		want = append(want, burst...)
		r.inject(s, burst...)
		held := r.balanced(given).Cores[0].Held
		require.EqualValues(t, min(given, 10), held)
		require.Equal(t, given-int(held), len(r.out[1]))
	}
	require.NoError(t, r.SetStage(r.ctx(), stage(t, "io", cfg)))
	require.Equal(t, want, r.take(1), "all, in order")
	require.Zero(t, r.balanced(given).Cores[0].Held)
}

// inject gives packets to a stage and leaves what it holds with it.
func (r *rig) inject(s dataplane.Stage, packets ...[]byte) {
	pool := r.cache.Pool()
	burst := make([]mbuf.Frame, len(packets))
	require.Equal(r.t, len(packets), r.cache.TakeFrames(burst, uint32(pool.DataOffset()), 60, pool.Meta(0)))
	for i, p := range packets {
		burst[i].Len = uint32(len(p))
		copy(pool.Mem().Bytes(burst[i]), p)
	}
	r.do(func(w *dataplane.Worker) { s.Process(w, 0, burst) })
}

// What waits for longer than the flush time is sent.
func TestNoisyFlush(t *testing.T) {
	cfg := forward.Config{Out: two, Frames: mbuf.MinFrames, Options: forward.Options{NoisyBuffer: 20, NoisyFlush: 5}}
	s := stage(t, "noisy", cfg)
	d, err := dataplane.New(dataplane.Config{Stage: s, Pool: mbuf.Config{Frames: mbuf.MinFrames, HugePages: mbuf.HugeOff}})
	require.NoError(t, err)
	for _, name := range []string{"a", "b"} {
		dev, err := null.New(null.Config{Name: name, NoRx: true}, d.Env())
		require.NoError(t, err)
		_, err = d.AddPort(dev, dataplane.PortConfig{})
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()
	r := &rig{Dataplane: d, t: t}
	r.do(func(w *dataplane.Worker) { r.cache = w.Local().Cache(0) })
	r.inject(s, make([]byte, 60), make([]byte, 60))
	require.Eventually(t, func() bool {
		s, err := d.Stats(t.Context())
		require.NoError(t, err)
		return s.Ports[1].TxPackets == 2 && s.Cores[0].Held == 0
	}, 30*time.Second, time.Millisecond)
	cancel()
	require.NoError(t, <-done)
	require.NoError(t, d.Close())
}

func TestModeOptionMistakes(t *testing.T) {
	for mode, test := range map[string]struct {
		cfg  forward.Config
		want string
	}{
		"noisy":    {forward.Config{Out: two, Frames: 100, Workers: 2, Options: forward.Options{NoisyBuffer: 26}}, "--noisy-tx-sw-buffer-size 26: use 0 to 25"},
		"txonly":   {forward.Config{Out: two, MACs: gen.MACs, MTUs: []int{9000, 1500}, Options: forward.Options{TxSize: "1515"}}, "--tx-size 1515: use at most 1514"},
		"flowgen":  {forward.Config{Out: two, MACs: gen.MACs, Options: forward.Options{TxSize: "60", IPDst: netip.IPv6Loopback()}}, "--tx-size 60: use at least 62"},
		"csum":     {forward.Config{Out: two, Options: forward.Options{Csum: "off"}}, "--csum off: use verify, rewrite or offload"},
		"icmpecho": {forward.Config{Out: two}, "port 0 has no Ethernet address"},
		"io":       {forward.Config{Options: forward.Options{TxSize: "big"}}, "--tx-size big: use 60 to 9216 bytes, or imix"},
	} {
		_, err := forward.New(mode, test.cfg)
		require.ErrorContains(t, err, test.want)
	}
}
