package dataplane_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// whim is a stage that does with each frame what rapid says: it sends, alone or
// with others, drops, or holds it. It numbers its sends by port, so that what
// leaves a port can be checked for their order.
type whim struct {
	rt      *rapid.T
	ports   int
	held    [][]mbuf.Frame // by worker
	tickets [][]uint64     // by worker and output port
}

const (
	doSend = iota
	doSendBurst
	doDrop
	doHold
)

func (s *whim) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	// Frames held before come first, or not.
	held := &s.held[w.ID()]
	if rapid.Bool().Draw(s.rt, "take up held") {
		burst = append(append([]mbuf.Frame(nil), *held...), burst...)
		*held = (*held)[:0]
	}
	for len(burst) > 0 {
		n := 0
		for range rapid.IntRange(1, 9).Draw(s.rt, "packets") {
			n += mbuf.FirstPacket(burst[n:])
		}
		part := burst[:n]
		burst = burst[n:]
		// One port more than there is.
		out := dataplane.PortID(rapid.IntRange(0, s.ports).Draw(s.rt, "out"))
		switch rapid.IntRange(doSend, doHold).Draw(s.rt, "what") {
		case doSend:
			s.number(w, out, part)
			for _, f := range part {
				w.Send(out, f)
			}
		case doSendBurst:
			s.number(w, out, part)
			w.SendBurst(out, part)
		case doDrop:
			r := pmd.Reason(rapid.IntRange(int(pmd.ReasonMalformed), int(pmd.ReasonUser)+3).Draw(s.rt, "reason"))
			if rapid.Bool().Draw(s.rt, "one by one") {
				for _, f := range part {
					w.Drop(r, f)
				}
				continue
			}
			w.DropBurst(r, part)
		case doHold:
			*held = append(*held, part...)
		}
	}
}

// MultiBuffer implements dataplane.MultiBufferStage.
func (*whim) MultiBuffer() {}

// number writes worker and rising number into packets.
func (s *whim) number(w *dataplane.Worker, out dataplane.PortID, packets []mbuf.Frame) {
	n := &s.tickets[w.ID()][out]
	for len(packets) > 0 {
		*n++
		putTicket(w, packets[0], uint64(w.ID())<<32|*n)
		packets = packets[mbuf.FirstPacket(packets):]
	}
}

func (s *whim) Walk(w *dataplane.Worker, l *mbuf.Ledger) {
	l.Frames(mbuf.OwnerBurst, s.held[w.ID()])
}

func (s *whim) Held(w *dataplane.Worker) int { return mbuf.Packets(s.held[w.ID()]) }

func (s *whim) Release(w *dataplane.Worker) {
	w.DropBurst(pmd.ReasonUser, s.held[w.ID()])
	s.held[w.ID()] = nil
}

// Whatever stages, devices, links and control do, each frame is somewhere exactly once, the
// counters balance, no byte changes, packets of several frames stay whole, and what one worker sent to a port leaves it
// in that order.
func TestConservation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		workers := rapid.IntRange(1, 3).Draw(rt, "workers")
		ports := rapid.IntRange(1, 5).Draw(rt, "ports")
		stage := &whim{rt: rt, ports: ports, held: make([][]mbuf.Frame, workers), tickets: make([][]uint64, workers)}
		for i := range stage.tickets {
			stage.tickets[i] = make([]uint64, ports+1)
		}
		d, err := dataplane.New(dataplane.Config{
			Stage: stage, Cores: unpinned(workers),
			Burst:     rapid.IntRange(1, 40).Draw(rt, "burst"),
			SendQueue: rapid.IntRange(1, 50).Draw(rt, "send queue"),
			Pool:      mbuf.Config{Frames: 256, HugePages: mbuf.HugeOff},
		})
		require.NoError(rt, err)
		l := &lab{Dataplane: d, t: rt}
		queues := make([]*fakeQueue, ports)
		for i := range queues {
			class := pmd.Class{ZeroCopy: rapid.Bool().Draw(rt, "zero-copy"), MultiBuffer: rapid.Bool().Draw(rt, "multi-buffer")}
			if rapid.Bool().Draw(rt, "large frames") {
				class.FrameSize = 4096
			}
			_, queues[i] = l.portOf(string(rune('a'+i)), rapid.IntRange(0, workers-1).Draw(rt, "owner"), class)
			queues[i].part = rapid.IntRange(patternAt, 4000).Draw(rt, "bytes a frame")
		}
		held := func() (n uint64) {
			for _, h := range stage.held {
				n += uint64(mbuf.Packets(h))
			}
			return n
		}
		next, made, accepted := 0, uint64(0), uint64(0)
		port := rapid.IntRange(0, ports-1)
		rt.Repeat(map[string]func(*rapid.T){
			"turn": func(rt *rapid.T) { l.turn(rapid.IntRange(0, workers-1).Draw(rt, "worker")) },
			"receive": func(rt *rapid.T) {
				n := rapid.IntRange(1, 60).Draw(rt, "packets")
				q := queues[port.Draw(rt, "port")]
				add := burstOf(1, next, n)
				for i := range add {
					most := q.pool.MaxPacket() / 3
					if !q.pool.MultiBuffer() {
						most = q.pool.MaxLen()
					}
					add[i].size = rapid.OneOf(rapid.Just(packetSize), rapid.IntRange(patternAt, most)).Draw(rt, "bytes")
				}
				q.rx = append(q.rx, add...)
				next += n
			},
			"room":  func(rt *rapid.T) { queues[port.Draw(rt, "port")].room = rapid.IntRange(-1, 30).Draw(rt, "room") },
			"stuck": func(rt *rapid.T) { queues[port.Draw(rt, "port")].stuck = rapid.Bool().Draw(rt, "stuck") },
			"poll": func(rt *rapid.T) {
				id := port.Draw(rt, "port")
				if rapid.Bool().Draw(rt, "unpoll") {
					fresh := queues[id].local != nil
					require.NoError(rt, l.Unpoll(rt.Context(), dataplane.PortID(id)))
					require.Nil(rt, queues[id].local, "somebody has the queue")
					require.False(rt, fresh && held() > 0, "somebody holds a frame")
					return
				}
				require.NoError(rt, l.Repoll(rt.Context(), dataplane.PortID(id), []int{rapid.IntRange(0, workers-1).Draw(rt, "worker")}))
			},
			"control": func(rt *rapid.T) {
				id := port.Draw(rt, "port")
				made++
				b := make([]byte, packetSize)
				packet{99, made, packetSize}.write(b)
				binary.LittleEndian.PutUint64(b[ticketAt:], uint64(workers)<<32|made)
				if err := l.SendControl(rt.Context(), dataplane.PortID(id), b); err == nil {
					accepted++
				}
			},
			"": func(*rapid.T) {
				l.balanced(held())
			},
		})
		require.NoError(rt, l.SetStage(rt.Context(), pairs)) // releases
		got := l.balanced(0)
		sent := uint64(0)
		for _, q := range queues {
			require.Zero(rt, q.damaged, "packets of which a part is missing, or of another one")
			require.Zero(rt, q.broken)
			last := map[uint64]uint64{}
			for _, n := range q.tickets {
				require.Greater(rt, n&0xffffffff, last[n>>32], "sent out of order")
				last[n>>32] = n & 0xffffffff
			}
			sent += uint64(len(q.sent))
		}
		require.Equal(rt, sent, got.tx)
		require.Equal(rt, accepted, got.made)
		require.NoError(rt, d.Close())
	})
}
