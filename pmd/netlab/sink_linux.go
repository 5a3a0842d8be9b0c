//go:build linux

package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Attachment is an XDP program attached to an interface. It is detached by
// Close, by Lab.Close, and by the kernel when the process ends.
type Attachment struct {
	lab   *Lab
	owner io.Closer // what the lab closes: the Attachment or the Sink around it
	parts []io.Closer

	closeOnce sync.Once
	closeErr  error
}

// PassProgram attaches a program that lets every frame pass to ifname. A veth
// takes redirected frames, a generator's among them, only if one is attached
// (or generic receive offload is on).
func (n *Namespace) PassProgram(ifname string) (*Attachment, error) {
	a := &Attachment{lab: n.lab}
	a.owner = a
	if err := n.attach(a, ifname, "netlab_pass", passProgram()); err != nil {
		return nil, fmt.Errorf("netlab: pass program on %s: %w", ifname, err)
	}
	return a, n.lab.own(a)
}

// RedirectProgram attaches a program to from that sends every frame out of to, another
// interface of the namespace: what the kernel itself can forward. If to is an end of a veth
// pair, the other end needs a program too.
func (n *Namespace) RedirectProgram(from, to string) (*Attachment, error) {
	index, err := n.index(to)
	if err != nil {
		return nil, fmt.Errorf("netlab: redirect to %s: %w", to, err)
	}
	a := &Attachment{lab: n.lab}
	a.owner = a
	if err := n.attach(a, from, "netlab_redirect", redirectProgram(index)); err != nil {
		return nil, fmt.Errorf("netlab: redirect program on %s: %w", from, err)
	}
	return a, n.lab.own(a)
}

// attach loads a program and attaches it to ifname in native mode. What it
// makes is added to a, which is closed on an error.
func (n *Namespace) attach(a *Attachment, ifname, name string, code asm.Instructions) error {
	prog, err := loadProgram(name, code)
	if err != nil {
		return errors.Join(err, a.Close())
	}
	a.parts = append(a.parts, prog)
	index, err := n.index(ifname)
	if err != nil {
		return errors.Join(err, a.Close())
	}
	// The kernel looks the index up in the namespace of the caller.
	err = n.Do(func() error {
		l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: index, Flags: link.XDPDriverMode})
		if err == nil {
			a.parts = append(a.parts, l)
		}
		return err
	})
	if errors.Is(err, unix.EBUSY) {
		err = fmt.Errorf("another XDP program is attached (`ip link show %s`), detach that first: %w", ifname, err)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("attach: %w", err), a.Close())
	}
	return nil
}

// index returns the interface index of ifname.
func (n *Namespace) index(ifname string) (int, error) {
	l, err := n.handle.LinkByName(ifname)
	if err != nil {
		return 0, fmt.Errorf("interface in namespace %s: %w", n, err)
	}
	return l.Attrs().Index, nil
}

// loadProgram loads an XDP program that takes frames of several fragments, so
// that it attaches at any MTU.
func loadProgram(name string, code asm.Instructions) (*ebpf.Program, error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         name,
		Type:         ebpf.XDP,
		Flags:        unix.BPF_F_XDP_HAS_FRAGS,
		Instructions: code,
		License:      "BSD",
	})
	if err != nil {
		return nil, fmt.Errorf("load program (needs Linux 5.18 and CAP_BPF): %w", err)
	}
	return prog, nil
}

// Close detaches the program. A second call does nothing.
func (a *Attachment) Close() error {
	a.closeOnce.Do(func() {
		a.lab.disown(a.owner)
		var errs []error
		for i := len(a.parts) - 1; i >= 0; i-- {
			errs = append(errs, a.parts[i].Close())
		}
		a.closeErr = errors.Join(errs...)
	})
	return a.closeErr
}

// Sink counts the frames that arrive at an interface, in the driver. It may be
// used from several goroutines.
type Sink struct {
	Attachment
	// mu keeps Count from a map that Close is closing.
	mu       sync.Mutex
	counters *ebpf.Map // nil once closed
	// next and arrivals are of a sink that records; nil otherwise.
	next, arrivals *ebpf.Map
	record         int
}

// sinkCount is the value of the map of a sink.
type sinkCount struct{ Frames, Bytes uint64 }

// Sink attaches a program to ifname that counts every frame, and passes it to
// the kernel's stack or drops it. It is NewSink with the usual configuration.
func (n *Namespace) Sink(ifname string, pass bool) (*Sink, error) {
	return n.NewSink(ifname, SinkConfig{Pass: pass})
}

// NewSink attaches a program to ifname that counts the frames cfg describes.
// There can be one program on an interface.
func (n *Namespace) NewSink(ifname string, cfg SinkConfig) (*Sink, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	counters, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "netlab_sink", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 16, MaxEntries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("netlab: sink on %s: counters: %w", ifname, err)
	}
	s := &Sink{counters: counters}
	s.lab, s.owner, s.parts = n.lab, s, []io.Closer{counters}
	record, err := s.recorder(cfg.Record)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("netlab: sink on %s: %w", ifname, err), s.Attachment.Close())
	}
	if err := n.attach(&s.Attachment, ifname, "netlab_sink", sinkProgram(counters.FD(), cfg, record)); err != nil {
		return nil, fmt.Errorf("netlab: sink on %s: %w", ifname, err)
	}
	return s, n.lab.own(s)
}

// recorder makes what arrivals are kept in, and the part of the program that does it.
func (s *Sink) recorder(capacity int) (asm.Instructions, error) {
	if capacity == 0 {
		return nil, nil
	}
	var err error
	if s.next, err = ebpf.NewMap(&ebpf.MapSpec{Name: "netlab_next", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}); err != nil {
		return nil, fmt.Errorf("arrivals: %w", err)
	}
	s.parts = append(s.parts, s.next)
	s.arrivals, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "netlab_arrivals", Type: ebpf.Array, KeySize: 4, ValueSize: arrivalSize, MaxEntries: uint32(capacity), Flags: unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return nil, fmt.Errorf("arrivals: %w", err)
	}
	s.parts, s.record = append(s.parts, s.arrivals), capacity
	return recordProgram(s.next.FD(), s.arrivals.FD(), capacity), nil
}

// Arrivals returns the frames that arrived since the last call, in their order, and
// forgets them; call it when no more are on their way. If more arrived than the sink keeps,
// the rest is only counted, and missed is their number.
func (s *Sink) Arrivals() (arrivals []Arrival, missed uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.counters == nil:
		return nil, 0, fmt.Errorf("netlab: sink: %w", os.ErrClosed)
	case s.arrivals == nil:
		return nil, 0, fmt.Errorf("netlab: sink: it keeps no arrivals, set Record: %w", errors.ErrUnsupported)
	}
	var n uint64
	if err := s.next.Lookup(uint32(0), &n); err != nil {
		return nil, 0, fmt.Errorf("netlab: sink arrivals: %w", err)
	}
	if kept := uint64(s.record); n > kept {
		n, missed = kept, n-kept
	}
	memory, err := s.arrivals.Memory()
	if err != nil {
		return nil, 0, fmt.Errorf("netlab: sink arrivals: %w", err)
	}
	raw := make([]byte, n*arrivalSize)
	if _, err := memory.ReadAt(raw, 0); err != nil {
		return nil, 0, fmt.Errorf("netlab: sink arrivals: %w", err)
	}
	arrivals = make([]Arrival, n)
	for i := range arrivals {
		e := raw[i*arrivalSize:]
		arrivals[i] = Arrival{binary.NativeEndian.Uint64(e), binary.NativeEndian.Uint64(e[8:]), binary.NativeEndian.Uint64(e[16:])}
	}
	if err := s.next.Put(uint32(0), uint64(0)); err != nil {
		return nil, 0, fmt.Errorf("netlab: sink arrivals: %w", err)
	}
	return arrivals, missed, nil
}

// Count returns the frames counted since the sink was made and the sum of
// their lengths in bytes, without frame check sequences. Under traffic the two
// are not of the same instant.
func (s *Sink) Count() (frames, bytes uint64, err error) {
	var perCPU []sinkCount
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counters == nil {
		return 0, 0, fmt.Errorf("netlab: sink: %w", os.ErrClosed)
	}
	if err := s.counters.Lookup(uint32(0), &perCPU); err != nil {
		return 0, 0, fmt.Errorf("netlab: sink counters: %w", err)
	}
	for _, c := range perCPU {
		frames += c.Frames
		bytes += c.Bytes
	}
	return frames, bytes, nil
}

// Close detaches the program. The counts are gone with it. A second call does
// nothing.
func (s *Sink) Close() error {
	s.mu.Lock()
	s.counters = nil // Attachment closes the map
	s.mu.Unlock()
	return s.Attachment.Close()
}
