package dataplane_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/queue"
)

// A process that opens and closes ports for as long as it lives does not slow down: a turn
// looks at the ports that are open, however many there were, and of those that are gone no
// buffer is kept. Frames for the open ones go on, directly and across, in bursts and singly.
func TestClosedPortsCostNothing(t *testing.T) {
	single := func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
		for i, f := range burst {
			if i%2 == 0 {
				w.Send(in^1, f)
			} else {
				w.SendBurst(in^1, []mbuf.Frame{f})
			}
		}
	}
	l := newLab(t, dataplane.Config{Stage: dataplane.StageFunc(single), Cores: unpinned(2)})
	_, a := l.port("a", 0)
	_, b := l.port("b", 1)
	a.endless = true
	want := []dataplane.PortID{0, 1}
	var handle dataplane.SendQueue
	for i := range 300 {
		id, _ := l.port(fmt.Sprint("x", i), i%2)
		if i%100 == 7 { // holes in between
			want = append(want, id)
			continue
		}
		var err error
		handle, err = l.SendQueue(id)
		require.NoError(t, err)
		require.NoError(t, l.RemovePort(id))
	}
	require.Len(t, want, 5)
	for i := range 2 {
		l.do(i, func(w *dataplane.Worker) {
			require.Equal(t, want, w.OpenPorts(), "worker %d", i)
			require.Equal(t, 302, w.Ports(), "numbers are not given again")
			for id := range dataplane.PortID(w.Ports()) {
				require.Equal(t, slices.Contains(want, id), w.KeepsBuffers(id), "worker %d, port %d", i, id)
			}
		})
	}
	require.Zero(t, handle.Len())
	require.Equal(t, dataplane.DefaultSendQueue, handle.Limit())
	require.NoError(t, handle.Request(queue.RequestPurge), "it stays valid")
	require.Zero(t, handle.Drops())

	// The last one goes too, and one from the middle.
	for _, id := range []dataplane.PortID{want[4], want[2]} {
		require.NoError(t, l.RemovePort(id))
	}
	for range 10 {
		l.turn(0)
		l.turn(1)
	}
	require.NotEmpty(t, b.sent)
	l.do(0, func(w *dataplane.Worker) { require.Equal(t, []dataplane.PortID{0, 1, want[3]}, w.OpenPorts()) })
	require.Len(t, l.stats().Ports, 302)
	l.balanced(0)
}
