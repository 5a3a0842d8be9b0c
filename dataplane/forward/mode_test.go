package forward_test

import (
	"bytes"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd/mbuf"
)

// two is the table of two connected ports.
var two = []dataplane.PortID{1, 0}

// header is the length of an Ethernet header.
const header = 14

// twin says, byte by byte and without regard to speed, what a mode makes of a
// packet; nil means that it drops it.
type twin func(packet []byte) []byte

func twinIO(p []byte) []byte { return bytes.Clone(p) }

func twinMACSwap(p []byte) []byte {
	if len(p) < header {
		return nil
	}
	q := bytes.Clone(p)
	for i := range 6 {
		q[i], q[6+i] = p[6+i], p[i]
	}
	return q
}

func twinMAC(src, dst net.HardwareAddr) twin {
	return func(p []byte) []byte {
		if len(p) < header {
			return nil
		}
		q := bytes.Clone(p)
		for i := range 6 {
			q[i], q[6+i] = dst[i], src[i]
		}
		return q
	}
}

// Each mode does what its twin does, to packets of any bytes and any length, also
// where the memory ends with the packet. What is too short is counted, exactly.
func TestModesAgainstTwins(t *testing.T) {
	for _, test := range []struct {
		mode string
		twin twin
	}{
		{"io", twinIO},
		{"macswap", twinMACSwap},
		{"mac", twinMAC(mac(1), mac(0xee))},
	} {
		t.Run(test.mode, func(t *testing.T) {
			r := newRig(t, 2)
			defer r.close()
			rapid.Check(t, func(rt *rapid.T) {
				r.t = rt
				s := stage(rt, test.mode, forward.Config{
					Out: two, MACs: []net.HardwareAddr{mac(0), mac(1)}, Peers: []net.HardwareAddr{nil, mac(0xee)},
				})
				size := rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(12, 16), rapid.IntRange(60, 128))
				packets := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) []byte {
					n := size.Draw(rt, "size")
					return rapid.SliceOfN(rapid.Byte(), n, n).Draw(rt, "bytes")
				}), 1, 60).Draw(rt, "packets")
				var want [][]byte
				short := uint64(0)
				for _, p := range packets {
					if q := test.twin(p); q != nil {
						want = append(want, q)
					} else {
						short++
					}
				}
				r.process(s, 0, rapid.Bool().Draw(rt, "at the end"), packets...)
				require.Equal(rt, want, r.take(1))
				require.Empty(rt, r.take(0))
				require.Empty(rt, r.drops(1))
				if short == 0 {
					require.Empty(rt, r.drops(0))
				} else {
					require.Equal(rt, map[string]uint64{"malformed": short}, r.drops(0))
				}
			})
		})
	}
}

// Every length from nothing to past the header, at the end of the memory.
func TestShortFrames(t *testing.T) {
	for _, mode := range []string{"macswap", "mac"} {
		for _, atEnd := range []bool{false, true} {
			r := newRig(t, 2)
			s := stage(t, mode, forward.Config{Out: two, MACs: []net.HardwareAddr{mac(0), mac(1)}})
			for n := range 21 {
				r.process(s, 0, atEnd, make([]byte, n))
				require.Len(t, r.take(1), map[bool]int{true: 1, false: 0}[n >= header], "%s %d bytes", mode, n)
				require.Equal(t, map[bool]uint64{true: 0, false: 1}[n >= header], r.drops(0)["malformed"], "%s %d bytes", mode, n)
			}
			r.close()
		}
	}
	// io looks at nothing; the device refuses what is empty.
	r := newRig(t, 2)
	defer r.close()
	r.process(stage(t, "io", forward.Config{Out: two}), 0, true, []byte{}, []byte{1}, []byte{2, 3})
	require.Equal(t, [][]byte{{1}, {2, 3}}, r.take(1))
	require.Equal(t, map[string]uint64{"tx_invalid": 1}, r.drops(1))
}

func TestRxOnly(t *testing.T) {
	r := newRig(t, 2)
	defer r.close()
	s := stage(t, "rxonly", forward.Config{})
	r.process(s, 0, false, make([]byte, 60), make([]byte, 3), nil)
	r.process(s, 1, false, make([]byte, 60))
	require.Equal(t, map[string]uint64{"sink": 3}, r.drops(0))
	require.Equal(t, map[string]uint64{"sink": 1}, r.drops(1))
	require.Empty(t, r.out)
}

// The peer's address is 02:00:00:00:00:NN if none is given, NN the output port.
func TestMACDefaultPeer(t *testing.T) {
	r := newRig(t, 4)
	defer r.close()
	out, err := forward.Connect(4)
	require.NoError(t, err)
	s := stage(t, "mac", forward.Config{Out: out, MACs: []net.HardwareAddr{mac(0), mac(1), mac(2), mac(3)}})
	for in := range 4 {
		p := make([]byte, 60)
		r.process(s, dataplane.PortID(in), false, p)
		to := in ^ 1
		want := twinMAC(mac(byte(to)), net.HardwareAddr{2, 0, 0, 0, 0, byte(to)})(p)
		require.Equal(t, [][]byte{want}, r.take(to))
	}
}

// Frames for which the table has no port are counted at the port they came in on.
func TestNoOutputPort(t *testing.T) {
	macs := []net.HardwareAddr{mac(0), mac(1)}
	for _, mode := range []string{"io", "mac", "macswap"} {
		for name, test := range map[string]struct {
			out []dataplane.PortID
			in  dataplane.PortID
		}{
			"a port added later":   {two, 2},
			"no port":              {[]dataplane.PortID{dataplane.NoPort, 1}, 0},
			"a port beyond all":    {[]dataplane.PortID{7, 1}, 0},
			"no table":             {nil, 0},
			"the first beyond all": {[]dataplane.PortID{3, 0}, 0},
		} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				r := newRig(t, 3)
				defer r.close()
				s := stage(t, mode, forward.Config{Out: test.out, MACs: macs})
				r.process(s, test.in, false, make([]byte, 60), make([]byte, 60))
				require.Equal(t, map[string]uint64{"no_port": 2}, r.drops(int(test.in)))
				require.Empty(t, r.out)
			})
		}
	}
}

// In mode mac a frame never leaves with addresses that are not the output port's:
// a table that names a port of which no address is known is no output.
func TestMACToAPortWithoutAnAddress(t *testing.T) {
	r := newRig(t, 3)
	defer r.close()
	s := stage(t, "mac", forward.Config{Out: []dataplane.PortID{2, 1}, MACs: []net.HardwareAddr{mac(0), mac(1)}})
	r.process(s, 0, false, make([]byte, 60))
	require.Empty(t, r.out)
	require.Equal(t, map[string]uint64{"no_port": 1}, r.drops(0))
}

// A stage keeps what it was made from.
func TestStagesAreImmutable(t *testing.T) {
	for _, mode := range []string{"io", "mac", "macswap"} {
		r := newRig(t, 2)
		out := []dataplane.PortID{1, 0}
		macs := []net.HardwareAddr{mac(0), mac(1)}
		s := stage(t, mode, forward.Config{Out: out, MACs: macs})
		out[0] = 0
		copy(macs[1], mac(9))
		r.process(s, 0, false, make([]byte, 60))
		got := r.take(1)
		require.Len(t, got, 1, mode)
		if mode == "mac" {
			require.Equal(t, []byte(mac(1)), got[0][6:12])
		}
		r.close()
	}
}

func TestNewMistakes(t *testing.T) {
	_, err := forward.New("teleport", forward.Config{})
	require.EqualError(t, err, `forward: no mode "teleport"; there are 5tswap, csum, flowgen, icmpecho, io, mac, macswap, noisy, rxonly, txonly`)
	for _, test := range []struct {
		cfg  forward.Config
		want string
	}{
		{forward.Config{Out: two, MACs: []net.HardwareAddr{mac(0)}}, "port 1 has no Ethernet address"},
		{forward.Config{Out: two, MACs: []net.HardwareAddr{mac(0), {1, 2, 3}}}, "port 1 has no Ethernet address"},
		{forward.Config{Out: two, MACs: []net.HardwareAddr{mac(0), mac(1)}, Peers: []net.HardwareAddr{{1, 2}}}, "peer 01:02 of port 0"},
	} {
		_, err := forward.New("mac", test.cfg)
		require.ErrorContains(t, err, test.want)
	}
}

func TestModes(t *testing.T) {
	require.Equal(t, []string{"5tswap", "csum", "flowgen", "icmpecho", "io", "mac", "macswap", "noisy", "rxonly", "txonly"}, forward.Modes())
	for _, mode := range forward.Modes() {
		s := stage(t, mode, forward.Config{Out: two, MACs: []net.HardwareAddr{mac(0), mac(1)}})
		require.NotNil(t, s, mode)
	}
}

// Bursts of whole and of short frames cost no allocation.
func TestModesDoNotAllocate(t *testing.T) {
	for _, mode := range forward.Modes() {
		for _, size := range []int{5, 60} {
			t.Run(fmt.Sprintf("%s/size=%d", mode, size), func(t *testing.T) {
				r := newQuietRig(t, 2)
				defer r.close()
				s := stage(t, mode, forward.Config{Out: two, MACs: []net.HardwareAddr{mac(0), mac(1)}})
				pool := r.cache.Pool()
				burst := make([]mbuf.Frame, 32)
				require.Zero(t, testing.AllocsPerRun(100, func() {
					n := r.cache.TakeFrames(burst, uint32(pool.DataOffset()), uint32(size), pool.Meta(0))
					s.Process(r.w, 0, burst[:n])
				}))
			})
		}
	}
}
