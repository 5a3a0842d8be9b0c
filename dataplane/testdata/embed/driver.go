package main

import (
	"context"
	"encoding/binary"
	"net"
	"sync/atomic"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// driver opens ports that receive a given number of packets, numbered from 0, and
// add up the numbers of those they send.
type driver struct{}

// Kind implements pmd.Driver.
func (driver) Kind() string { return "counted" }

// Open implements pmd.Driver.
func (driver) Open(_ context.Context, spec pmd.Spec, env pmd.Env) (pmd.Device, error) {
	r := spec.Read()
	p := &port{name: spec.Name, left: r.Int("frames", 0, 0, 1<<20)}
	if err := r.Done(); err != nil {
		return nil, err
	}
	var err error
	p.pool, err = env.Pool(pmd.Class{NUMANode: -1})
	return p, err
}

// port is a device and its only queue.
type port struct {
	name   string
	pool   *mbuf.Pool
	closed atomic.Bool

	// The owner's.
	cache *mbuf.Cache
	meta  mbuf.Meta
	next  uint64
	left  int
	sum   uint64
	c     pmd.QueueCounters
}

// frameLen is the length of every packet, in bytes.
const frameLen = 60

// Info implements pmd.Device.
func (p *port) Info() pmd.Info {
	return pmd.Info{
		Name: p.name, Driver: "counted", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, MTU: 1500, NUMANode: -1,
		Up: !p.closed.Load(),
	}
}

// Queues implements pmd.Device.
func (p *port) Queues() []pmd.Queue { return []pmd.Queue{p} }

// Close implements pmd.Device.
func (p *port) Close() error { p.closed.Store(true); return nil }

// Bind implements pmd.Queue.
func (p *port) Bind(b pmd.Binding) {
	p.cache, p.meta = b.Local.Add(p.pool), p.pool.Meta(b.Port)
}

// Unbind implements pmd.Queue.
func (p *port) Unbind() { p.cache = nil }

// Pool implements pmd.Queue.
func (p *port) Pool() *mbuf.Pool { return p.pool }

// RxBurst implements pmd.Queue.
func (p *port) RxBurst(dst []mbuf.Frame) int {
	n := p.cache.TakeFrames(dst[:min(len(dst), p.left)], uint32(p.pool.DataOffset()), frameLen, p.meta)
	for _, f := range dst[:n] {
		binary.LittleEndian.PutUint64(p.pool.Mem().Bytes(f), p.next)
		p.next++
	}
	p.left -= n
	p.c.RxPackets += uint64(n)
	p.c.RxBytes += uint64(n) * frameLen
	return n
}

// TxBurst implements pmd.Queue: a frame is sent as soon as it is taken.
func (p *port) TxBurst(src []mbuf.Frame) int {
	for _, f := range src {
		p.sum += binary.LittleEndian.Uint64(p.pool.Mem().Bytes(f))
		p.c.TxBytes += uint64(f.Len)
	}
	p.c.TxPackets += uint64(len(src))
	p.cache.PutFrames(src)
	return len(src)
}

// Flush implements pmd.Queue.
func (p *port) Flush() {}

// Reclaim implements pmd.Queue.
func (p *port) Reclaim() int { return 0 }

// Counters implements pmd.Queue.
func (p *port) Counters() pmd.QueueCounters { return p.c }

// Walk implements pmd.Queue: nothing is posted.
func (p *port) Walk(*mbuf.Ledger) {}
