package afxdp

import (
	"errors"
	"fmt"

	"github.com/asavie/xdp"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// program is an XDP program of ours on an interface.
type program struct {
	*xdp.Program
	link link.Link
	// queue is the receive queue that is registered, -1 if none.
	queue int
}

// loadProgram loads the program for queues 0 to queues-1, and if it is to have hints, for
// this interface.
func loadProgram(queues, ifindex int, hints []hint) (*xdp.Program, error) {
	p, err := newProgram(queues, ifindex, hints)
	if err == nil {
		return p, nil
	}
	if errors.Is(err, unix.EPERM) || len(hints) > 0 {
		return nil, err
	}
	// A kernel without frags support (before 5.18) refuses the flag.
	old, oldErr := xdp.NewProgram(queues)
	if oldErr != nil {
		return nil, errors.Join(err, oldErr)
	}
	return old, nil
}

// redirectName is what our program is called where programs are listed.
const redirectName = "pmd_redirect"

// newProgram loads a program that redirects a frame to the socket of its receive
// queue, and passes it to the kernel's stack if that queue has none: the low bits
// of the flags of bpf_redirect_map are the answer for an empty slot (kernel 5.3,
// include/uapi/linux/bpf.h). It accepts frames of several buffers, without which
// some drivers refuse a large MTU. Its maps have the shapes that xdp.Program
// knows, so that Register works on it. With hints, which only a program for one
// interface may ask for, it writes them in front of the packet: see hints_linux.go.
func newProgram(queues, ifindex int, hints []hint) (*xdp.Program, error) {
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "pmd_xsks", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(queues),
	})
	if err != nil {
		return nil, fmt.Errorf("create the map of sockets: %w", err)
	}
	qs, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "pmd_queues", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: uint32(queues),
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create the map of queues: %w", err), sockets.Close())
	}
	const rxQueueIndex = 16 // offsetof(struct xdp_md, rx_queue_index)
	const xdpPass = 2
	spec := &ebpf.ProgramSpec{Name: redirectName, Type: ebpf.XDP, License: "BSD", Flags: unix.BPF_F_XDP_HAS_FRAGS}
	ctx := asm.R1
	if len(hints) > 0 {
		// Its functions are for programs under a licence that the GPL allows.
		spec.License = "Dual BSD/GPL"
		spec.Flags |= unix.BPF_F_XDP_DEV_BOUND_ONLY
		spec.Ifindex = uint32(ifindex)
		spec.Instructions = writeHints(hints)
		ctx = hintsCtx
	}
	spec.Instructions = append(spec.Instructions,
		asm.LoadMem(asm.R2, ctx, rxQueueIndex, asm.Word).WithSymbol(redirectLabel),
		asm.LoadMapPtr(asm.R1, sockets.FD()),
		asm.Mov.Imm(asm.R3, xdpPass),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	)
	prog, err := ebpf.NewProgram(spec)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load the XDP program: %w", err), qs.Close(), sockets.Close())
	}
	return &xdp.Program{Program: prog, Queues: qs, Sockets: sockets}, nil
}

// attach puts the program on an interface. flags say driver or generic mode.
func attach(p *xdp.Program, ifindex int, flags link.XDPAttachFlags) (*program, error) {
	l, err := link.AttachXDP(link.XDPOptions{Program: p.Program, Interface: ifindex, Flags: flags})
	if err != nil {
		return nil, err
	}
	return &program{Program: p, link: l, queue: -1}, nil
}

// register lets frames of a queue go to a socket.
func (p *program) register(queue, fd int) error {
	if err := p.Register(queue, fd); err != nil {
		return err
	}
	p.queue = queue
	return nil
}

// close takes the program off the interface and frees it. Frames go to the
// kernel's stack again from here on. xdp.Program.Unregister is not used: it
// deletes from an array map, which cannot work.
func (p *program) close() error {
	var err error
	if p.queue >= 0 && p.Sockets != nil {
		key := uint32(p.queue)
		err = errors.Join(p.Queues.Put(key, uint32(0)), ignore(p.Sockets.Delete(key), ebpf.ErrKeyNotExist))
		p.queue = -1
	}
	// The interface may be gone, and its link with it.
	return errors.Join(err, ignore(p.link.Close(), unix.ENODEV), p.Close())
}

// ignore returns err unless it is one that does not matter here.
func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}

// programName returns the name of a loaded program, or "?".
func programName(id uint32) string {
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return "?"
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil || info.Name == "" {
		return "?"
	}
	return info.Name
}
