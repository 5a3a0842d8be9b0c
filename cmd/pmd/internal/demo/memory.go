package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/ring"
)

// memoryBed is a bed inside the process: the ports are ring pairs, whose far ends
// two goroutines work as hosts would.
type memoryBed struct {
	cables cables
	// frames is the length of the stream.
	frames uint64
	// ends are those of host a and host b, once the ports are open.
	ends [2]*end
	// out is the number of frames that arrived in the flood.
	out uint64
}

// newMemoryBed returns a bed whose stream is of so many frames; 0 makes it as long as
// the TCP transfer of the real bed.
func newMemoryBed(frames uint64) *memoryBed {
	if frames == 0 {
		frames = streamFrames
	}
	return &memoryBed{frames: frames}
}

// cables is the ring driver with a hand on the far ends: it opens those of the
// ports it is asked for.
type cables struct {
	ring.Driver

	mu  sync.Mutex
	far map[string]pmd.Device // by the name of the near end
}

// Open implements pmd.Driver.
func (c *cables) Open(ctx context.Context, spec pmd.Spec, env pmd.Env) (pmd.Device, error) {
	near, err := c.Driver.Open(ctx, spec, env)
	if err != nil {
		return nil, err
	}
	opposite := spec
	opposite.Name = spec.Name + ".host"
	far, err := c.Driver.Open(ctx, opposite, env)
	if err != nil {
		return nil, errors.Join(err, near.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.far == nil {
		c.far = map[string]pmd.Device{}
	}
	c.far[spec.Name] = far
	return near, nil
}

func (*memoryBed) title() string {
	return "two hosts (goroutines), and pmd between them on rings in memory"
}

func (*memoryBed) picture() string { return "host a ── a0 ┤ pmd, %s ├ b0 ── host b" }

func (b *memoryBed) registry() *pmd.Registry { return pmd.NewRegistry(&b.cables) }

// memoryPorts are the names of the ports.
var memoryPorts = [2]string{portIn: "a0", portOut: "b0"}

func (*memoryBed) ports() []pmd.Spec {
	specs := make([]pmd.Spec, 0, len(memoryPorts))
	for _, name := range memoryPorts {
		specs = append(specs, pmd.Spec{Driver: "ring", Name: name, Options: map[string]string{"pair": name}})
	}
	return specs
}

// plug takes the far ends, the first time it is called.
func (b *memoryBed) plug() (a, z *end) {
	b.cables.mu.Lock()
	defer b.cables.mu.Unlock()
	for i, name := range memoryPorts {
		if b.ends[i] == nil {
			b.ends[i] = newEnd(b.cables.far[name])
		}
	}
	return b.ends[portIn], b.ends[portOut]
}

// What goes through the bed in memory: as much as through the real one.
const (
	streamPayload = 1400
	streamFrames  = (tcpBytes + streamPayload - 1) / streamPayload
	pingPayload   = 56 // as ping(8)
)

// Hosts of the bed in memory. Addresses are locally administered and private.
var (
	hostA = host{mac: []byte{0x02, 0, 0, 0, 0, 0x0a}, addr: addrA}
	hostB = host{mac: []byte{0x02, 0, 0, 0, 0, 0x0b}, addr: addrB}
)

// Keys tell the flows apart.
const (
	keyPing uint64 = iota + 0x706d640001
	keyStream
	keyAToB
	keyBToA
	keyFlood
)

func (b *memoryBed) checks() []try {
	return []try{
		{"ping", 4 * time.Second, b.ping},
		{"stream", time.Minute, b.stream},
		{"udp", 30 * time.Second, b.udp},
	}
}

// ping sends requests one after the other and answers them at the far end.
func (b *memoryBed) ping(ctx context.Context) (string, error) {
	a, z := b.plug()
	request := newEcho(echoRequest, hostA, hostB, pingPayload, keyPing)
	reply := newEcho(echoReply, hostB, hostA, pingPayload, keyPing)
	var best, total time.Duration
	for n := range uint64(pings) {
		begin := time.Now()
		for _, leg := range []struct {
			from, to *end
			flow     *flow
		}{{a, z, request}, {z, a, reply}} {
			if err := one(ctx, leg.from, leg.to, leg.flow, n); err != nil {
				return "", fmt.Errorf("%d of %d answered: %w", n, pings, err)
			}
		}
		rtt := time.Since(begin)
		if total += rtt; best == 0 || rtt < best {
			best = rtt
		}
	}
	return fmt.Sprintf("%d of %d answered, fastest in %s, average %s", pings, pings,
		show.Nanoseconds(uint64(best)), show.Nanoseconds(uint64(total/pings))), nil
}

// one sends frame n of a flow and waits for it at the other end.
func one(ctx context.Context, from, to *end, f *flow, n uint64) error {
	var idle idler
	for from.send(1, f.size(), func(_ int, b []byte) { f.put(b, n) }) == 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		idle.after(0)
	}
	var err error
	for got := 0; got == 0; idle.after(got) {
		if err := ctx.Err(); err != nil {
			return err
		}
		got = to.receive(func(b []byte) {
			if m, ok := f.check(b); !ok || m != n {
				err = fmt.Errorf("frame %d came out damaged", n)
			}
		})
	}
	return err
}

// udpFlow returns what makes a flow of datagrams.
func udpFlow(from, to host, payload int, key uint64) func() *flow {
	return func() *flow { return newUDP(from, to, payload, key) }
}

// stream carries as much as the TCP transfer does, one way, checked by hash too.
func (b *memoryBed) stream(ctx context.Context) (string, error) {
	a, z := b.plug()
	ab := newDirection(b.frames, udpFlow(hostA, hostB, streamPayload, keyStream), true)
	ba := newDirection(0, udpFlow(hostB, hostA, minPayload, keyStream), false)
	begin := time.Now()
	if err := converse(ctx, a, z, ab, ba); err != nil {
		return "", fmt.Errorf("%d of %d frames arrived: %w", ab.arrived.Load(), ab.count, err)
	}
	if err := ab.clean(); err != nil {
		return "", err
	}
	took := time.Since(begin)
	bytes := b.frames * streamPayload
	return fmt.Sprintf("%s in %s, %s, SHA-256 %x… at both ends", show.Bytes(bytes),
		show.Seconds(took.Seconds()), show.BPS(float64(bytes)*8/took.Seconds()), ab.sum.Sum(nil)[:4]), nil
}

func (b *memoryBed) udp(ctx context.Context) (string, error) {
	a, z := b.plug()
	const payload = 256 // as netlab.UDPNumbered
	ab := newDirection(udpDatagrams, udpFlow(hostA, hostB, payload, keyAToB), false)
	ba := newDirection(udpDatagrams, udpFlow(hostB, hostA, payload, keyBToA), false)
	err := converse(ctx, a, z, ab, ba)
	if cerr := errors.Join(ab.clean(), ba.clean()); err == nil {
		err = cerr
	}
	if err != nil {
		return "", fmt.Errorf("a→b %d, b→a %d of %d arrived: %w", ab.arrived.Load(), ba.arrived.Load(), udpDatagrams, err)
	}
	return fmt.Sprintf("%s each way at once, numbered: every one arrived, once and whole", show.Count(udpDatagrams)), nil
}

func (b *memoryBed) prepare() error {
	a, z := b.plug()
	b.out = 0
	// What earlier tries left on the way belongs to none of this.
	for _, e := range []*end{a, z} {
		for e.receive(func([]byte) {}) > 0 {
		}
		e.rest() // the dataplane may walk over its frames from here on
	}
	return nil
}

// pour sends and receives on one goroutine, a window of frames at a time, so that
// the dataplane is measured and not how two hosts share a CPU. The CPU is whichever
// the process may use: memory needs no thread in the kernel.
func (b *memoryBed) pour(ctx context.Context, _ int, length time.Duration) (flood, error) {
	a, z := b.plug()
	fl := newUDP(hostA, hostB, minFrame-offPayload, keyFlood)
	frame := make([]byte, fl.size())
	fl.put(frame, 0)
	f := flood{size: fl.size()}
	put := func(_ int, dst []byte) { copy(dst, frame) }
	var damaged uint64
	look := func(got []byte) {
		if string(got) != string(frame) {
			damaged++
		}
	}
	var idle idler
	begin := time.Now()
	var start time.Time // of the measurement; zero during the warm-up
	var from uint64     // what had arrived then
	for rounds := 0; ; rounds++ {
		moved := 0
		if room := window - int(f.offered-b.out); room > 0 {
			moved = a.send(min(room, endBurst), fl.size(), put)
			f.offered += uint64(moved)
		}
		n := z.receive(look)
		b.out += uint64(n)
		idle.after(moved + n)
		if rounds%64 != 0 && moved+n > 0 {
			continue // the clock is dearer than a burst
		}
		if err := ctx.Err(); err != nil {
			return f, err
		}
		now := time.Now()
		if start.IsZero() {
			if now.Sub(begin) >= min(warmUp, length) {
				from, start = b.out, now
			}
			continue
		}
		if took := now.Sub(start); took >= length && b.out > from || took >= stretch*length {
			f.seconds = took.Seconds()
			f.pps = float64(b.out-from) / f.seconds
			break
		}
	}
	if damaged > 0 {
		return f, fmt.Errorf("%d frames came out damaged", damaged)
	}
	return f, nil
}

// minFrame is the shortest Ethernet frame without its check sequence, in bytes.
const minFrame = 60

// arrived takes out what was still on its way.
func (b *memoryBed) arrived() (uint64, error) {
	a, z := b.plug()
	for n := 1; n > 0; b.out += uint64(n) {
		n = z.receive(func([]byte) {})
	}
	a.rest()
	z.rest()
	return b.out, nil
}

func (*memoryBed) calm() error { return nil }

func (*memoryBed) hints() []string { return nil }

func (b *memoryBed) hangUp() error {
	var err error
	for i, e := range b.ends {
		if e != nil {
			err = errors.Join(err, e.close())
			b.ends[i] = nil
		}
	}
	// Also an end that nobody has taken yet.
	b.cables.mu.Lock()
	defer b.cables.mu.Unlock()
	for _, d := range b.cables.far {
		err = errors.Join(err, d.Close()) // twice is harmless
	}
	return err
}

func (*memoryBed) close() error { return nil }
