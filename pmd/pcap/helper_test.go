package pcap_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/pcap"
)

// record is a packet of a capture file.
type record struct {
	data []byte
	at   time.Duration // from the beginning of the capture
	orig int           // the length it had, if more than there is
	link uint16        // 0: Ethernet
	flow int           // pcapng: which interface
}

// began is when all captures of the tests begin.
var began = time.Unix(1_700_000_000, 123_456_000)

// form is a way to write a capture file: every reader must get the same out of all.
type form struct {
	name  string
	order binary.AppendByteOrder
	ng    bool
	nano  bool
	gzip  bool
	// sections repeats the pcapng section header before so many packets, 0: never.
	sections int
}

// forms are all of them.
func forms() []form {
	le, be := binary.LittleEndian, binary.BigEndian
	var all []form
	for _, z := range []bool{false, true} {
		for _, f := range []form{
			{name: "pcap/us/le", order: le}, {name: "pcap/us/be", order: be},
			{name: "pcap/ns/le", order: le, nano: true}, {name: "pcap/ns/be", order: be, nano: true},
			{name: "pcapng/us/le", order: le, ng: true}, {name: "pcapng/us/be", order: be, ng: true},
			{name: "pcapng/ns/le", order: le, ng: true, nano: true}, {name: "pcapng/ns/be/sections", order: be, ng: true, nano: true, sections: 3},
		} {
			if f.gzip = z; z {
				f.name += "/gzip"
			}
			all = append(all, f)
		}
	}
	return all
}

// encode writes a capture file.
func (f form) encode(records []record) []byte {
	var b []byte
	if f.ng {
		b = f.encodeNG(records)
	} else {
		b = f.encodeClassic(records)
	}
	if !f.gzip {
		return b
	}
	return zipped(b)
}

// zipped compresses b.
func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func (f form) encodeClassic(records []record) []byte {
	magic, unit := uint32(0xa1b2c3d4), int64(1000)
	if f.nano {
		magic, unit = 0xa1b23c4d, 1
	}
	o := f.order
	b := o.AppendUint32(nil, magic)
	b = o.AppendUint16(b, 2)
	b = o.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = o.AppendUint32(b, 262144)
	link := uint32(1)
	if len(records) > 0 && records[0].link != 0 {
		link = uint32(records[0].link)
	}
	b = o.AppendUint32(b, link)
	for _, r := range records {
		t := began.Add(r.at)
		b = o.AppendUint32(b, uint32(t.Unix()))
		b = o.AppendUint32(b, uint32(int64(t.Nanosecond())/unit))
		b = o.AppendUint32(b, uint32(len(r.data)))
		b = o.AppendUint32(b, uint32(max(r.orig, len(r.data))))
		b = append(b, r.data...)
	}
	return b
}

// block appends a pcapng block.
func (f form) block(b []byte, kind uint32, body []byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	n := uint32(len(body) + 12)
	b = f.order.AppendUint32(f.order.AppendUint32(b, kind), n)
	return f.order.AppendUint32(append(b, body...), n)
}

// sectionHead appends a section header and one interface for each link type.
func (f form) sectionHead(b []byte, links []uint16) []byte {
	o := f.order
	body := o.AppendUint32(nil, 0x1a2b3c4d)
	body = o.AppendUint16(o.AppendUint16(body, 1), 0)
	b = f.block(b, 0x0a0d0d0a, o.AppendUint64(body, ^uint64(0)))
	for i, link := range links {
		body := o.AppendUint16(o.AppendUint16(nil, link), 0)
		body = o.AppendUint32(body, 0)
		name := []byte{'e', 't', 'h', byte('0' + i)}
		body = append(o.AppendUint16(o.AppendUint16(body, 2), 4), name...)
		if f.nano {
			body = append(o.AppendUint16(o.AppendUint16(body, 9), 1), 9, 0, 0, 0)
		}
		b = f.block(b, 1, append(body, 0, 0, 0, 0))
	}
	return b
}

func (f form) encodeNG(records []record) []byte {
	o := f.order
	links := []uint16{1, 1, 1}
	for _, r := range records {
		if r.link != 0 {
			links[r.flow] = r.link
		}
	}
	unit := int64(1000)
	if f.nano {
		unit = 1
	}
	b := f.sectionHead(nil, links)
	for i, r := range records {
		if f.sections != 0 && i%f.sections == f.sections-1 {
			b = f.sectionHead(b, links)
		}
		t := uint64(began.Add(r.at).UnixNano() / unit)
		body := o.AppendUint32(nil, uint32(r.flow))
		body = o.AppendUint32(o.AppendUint32(body, uint32(t>>32)), uint32(t))
		body = o.AppendUint32(body, uint32(len(r.data)))
		body = o.AppendUint32(body, uint32(max(r.orig, len(r.data))))
		body = append(body, r.data...)
		b = f.block(b, 6, body)
		b = f.block(b, 0x0bad, []byte("a block that nobody knows"))
	}
	return b
}

// numbered returns n packets of these sizes in turn, whose bytes tell their number.
func numbered(n int, sizes ...int) []record {
	out := make([]record, n)
	for i := range out {
		data := make([]byte, sizes[i%len(sizes)])
		for k := range data {
			data[k] = byte(i*7 + k*3 + i>>8)
		}
		out[i] = record{data: data, at: time.Duration(i) * time.Millisecond, flow: i % 3}
	}
	return out
}

// save writes a file in a folder of the test's own.
func save(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.pcap")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

// plain is the form to use where it does not matter.
var plain = form{name: "pcap/ns/le", order: binary.LittleEndian, nano: true}

// news is a Host that keeps what it is told.
type news struct {
	mu   sync.Mutex
	told []string
}

func (n *news) Exclusive(_ pmd.Queue, fn func()) { fn() }

func (n *news) Notify(_ pmd.Device, what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, what)
}

func (n *news) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.told...)
}

// newEnv returns a pool in a space of its own and an environment that hands it
// out. The pool must be whole again when the test ends.
func newEnv(t testing.TB, cfg mbuf.Config) (*mbuf.Pool, pmd.Env, *news) {
	space := mbuf.NewSpace()
	pool, err := space.NewPool(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, space.Release(pool), "a frame leaked") })
	host := &news{}
	return pool, pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }, Host: host}, host
}

// open opens a port from a spec.
func open(t testing.TB, env pmd.Env, text string) (pmd.Device, error) {
	t.Helper()
	spec, err := pmd.ParseSpec(text)
	require.NoError(t, err)
	return openSpec(context.Background(), spec, env)
}

func openSpec(ctx context.Context, spec pmd.Spec, env pmd.Env) (pmd.Device, error) {
	return pcap.Driver{}.Open(ctx, spec, env)
}

// owner is a goroutine's side of the queue of a device.
type owner struct {
	pmd.Queue
	dev   pmd.Device
	local *mbuf.Local
	gone  bool
}

func bind(t testing.TB, dev pmd.Device, port uint16) *owner {
	o := &owner{Queue: dev.Queues()[0], dev: dev, local: mbuf.NewLocal()}
	o.local.Add(o.Pool())
	o.Bind(pmd.Binding{Local: o.local, Port: port})
	t.Cleanup(func() { require.NoError(t, o.close()) })
	return o
}

// close ends the ownership and closes the port, once.
func (o *owner) close() error {
	if o.gone {
		return nil
	}
	o.gone = true
	o.Unbind()
	o.local.Drain()
	return o.dev.Close()
}

// receive takes bursts of these sizes in turn until there is nothing more or limit
// frames are there, and returns copies of the packets.
func (o *owner) receive(t testing.TB, limit int, bursts ...int) [][]byte {
	t.Helper()
	var out [][]byte
	for i := 0; len(out) < limit; i++ {
		frames := make([]mbuf.Frame, min(limit-len(out), bursts[i%len(bursts)]))
		n := o.RxBurst(frames)
		for _, f := range frames[:n] {
			b := o.local.Bytes(f)
			out = append(out, bytes.Clone(b))
			clear(b) // whoever has a frame may change it
		}
		o.local.Free(frames[:n])
		if n == 0 {
			break
		}
	}
	return out
}
