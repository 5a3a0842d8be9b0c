package dataplane_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
	"example.org/pmd/pmd/ring"
)

// Bytes put into one ring come out of another, past two workers that also forward
// as fast as they can between null ports. Nothing is lost and all is accounted.
func TestOverRingsAndNullPorts(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	ends := make([]*ring.Endpoint, 2)
	for i, name := range []string{"left", "right"} {
		inside, outside, err := ring.NewPair(ring.Config{Name: name}, l.Env())
		require.NoError(t, err)
		ends[i] = ring.NewEndpoint(outside)
		_, err = l.AddPort(inside, dataplane.PortConfig{Workers: []int{i}})
		require.NoError(t, err)
	}
	for i, name := range []string{"n0", "n1"} {
		dev, err := null.New(null.Config{Name: name}, l.Env())
		require.NoError(t, err)
		_, err = l.AddPort(dev, dataplane.PortConfig{Workers: []int{i}})
		require.NoError(t, err)
	}
	stop := l.start(t)
	const packets = 500
	received := [2][]packet{}
	sent := [2]int{}
	require.Eventually(t, func() bool {
		for i, e := range ends {
			// Never more on the way than the smallest queue holds.
			for sent[i] < packets && sent[i]-len(received[1-i]) < 500 {
				b := make([]byte, packetSize)
				packet{uint32(i), uint64(sent[i]), packetSize}.write(b)
				n, err := e.Send(b)
				require.NoError(t, err)
				if n == 0 {
					break
				}
				sent[i]++
			}
		}
		for i, e := range ends {
			for _, b := range e.Receive(64) {
				p, intact := readPacket(b)
				require.True(t, intact)
				received[i] = append(received[i], p)
			}
		}
		return len(received[0]) == packets && len(received[1]) == packets
	}, eventually, tick)
	for i := range ends {
		require.Equal(t, count(packets), seqs(received[i], uint32(1-i)))
	}
	require.NoError(t, stop())
	// The far ends are ours, not the dataplane's.
	for _, e := range ends {
		require.NoError(t, e.Close())
	}
	l.balanced(0)
	require.Empty(t, l.stats().Ports[0].Drops)
	require.Empty(t, l.stats().Ports[1].Drops)
	require.NotZero(t, l.stats().Ports[3].TxPackets)
}

// Null ports move the frames of a pool in a circle; the account balances with and
// without the frames' being copied to another pool.
func TestNullPortsThatShareNoPool(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Pool: mbuf.Config{Frames: 1024, HugePages: mbuf.HugeOff}})
	for i, name := range []string{"a", "b"} {
		env := l.Env()
		env.Pool = func(pmd.Class) (*mbuf.Pool, error) { return l.Env().Pool(pmd.Class{NUMANode: i}) }
		dev, err := null.New(null.Config{Name: name, Copy: true}, env)
		require.NoError(t, err)
		_, err = l.AddPort(dev, dataplane.PortConfig{})
		require.NoError(t, err)
	}
	stop := l.start(t)
	require.Eventually(t, func() bool { return l.core(0).Copies > 10000 }, eventually, tick)
	require.NoError(t, stop())
	got := l.balanced(0)
	require.Empty(t, got.drops)
	require.Equal(t, got.tx, l.core(0).Copies)
}
