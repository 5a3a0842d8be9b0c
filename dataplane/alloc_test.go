package dataplane_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
)

// A turn allocates nothing: through one worker, over a send queue, with copies,
// and with every frame dropped.
func TestTurnsDoNotAllocate(t *testing.T) {
	one := func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
		for i, f := range burst {
			switch i % 3 {
			case 0:
				w.Send(in^1, f)
			case 1:
				w.Drop(pmd.ReasonSink, f)
			case 2:
				w.Send(99, f)
			}
		}
	}
	for _, test := range []struct {
		name   string
		stage  func(t *testing.T) dataplane.Stage
		owners [2]int
		class  [2]pmd.Class // of the pools
		noTx   bool
	}{
		{name: "io", stage: mode("io")},
		{name: "macswap", stage: mode("macswap")},
		{name: "mac", stage: mode("mac")},
		{name: "rxonly", stage: mode("rxonly")},
		{name: "single sends and drops", stage: func(*testing.T) dataplane.Stage { return dataplane.StageFunc(one) }},
		{name: "send queue", stage: mode("io"), owners: [2]int{0, 1}},
		{name: "send queue, single", stage: func(*testing.T) dataplane.Stage { return dataplane.StageFunc(one) }, owners: [2]int{0, 1}},
		{name: "copies", stage: mode("io"), class: [2]pmd.Class{{FrameSize: 2048}, {FrameSize: 4096}}},
		{name: "tx full", stage: mode("io"), noTx: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, dataplane.Config{Stage: test.stage(t), Cores: unpinned(2), SendQueue: 100})
			for i, name := range []string{"a", "b"} {
				env := l.Env()
				env.Pool = func(pmd.Class) (*mbuf.Pool, error) { return l.Env().Pool(test.class[i]) }
				dev, err := null.New(null.Config{Name: name, NoTx: test.noTx}, env)
				require.NoError(t, err)
				_, err = l.AddPort(dev, dataplane.PortConfig{Workers: test.owners[i : i+1]})
				require.NoError(t, err)
			}
			workers := make([]*dataplane.Worker, 2)
			for i := range workers {
				l.do(i, func(w *dataplane.Worker) { workers[i] = w })
			}
			moved := 0
			allocs := testing.AllocsPerRun(200, func() {
				for _, w := range workers {
					moved += w.Turn() // nobody runs them
				}
			})
			require.Zero(t, allocs)
			require.NotZero(t, moved)
			l.balanced(0)
		})
	}
}

// mode makes a stage of the pmd binary for two ports that are connected.
func mode(name string) func(t *testing.T) dataplane.Stage {
	return func(t *testing.T) dataplane.Stage {
		t.Helper()
		out, err := forward.Connect(2)
		require.NoError(t, err)
		mac := []byte{2, 0, 0, 0, 0, 1}
		s, err := forward.New(name, forward.Config{Out: out, MACs: []net.HardwareAddr{mac, mac}})
		require.NoError(t, err)
		return s
	}
}
