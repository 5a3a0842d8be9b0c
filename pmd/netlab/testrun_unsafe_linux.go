//go:build linux

package netlab

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of include/uapi/linux/bpf.h.
const (
	bpfProgTestRun       = 10     // BPF_PROG_TEST_RUN, also BPF_PROG_RUN
	bpfTestXDPLiveFrames = 1 << 1 // BPF_F_TEST_XDP_LIVE_FRAMES
)

// testRunAttr is the "test" member of union bpf_attr.
type testRunAttr struct {
	progFD      uint32
	retval      uint32
	dataSizeIn  uint32
	dataSizeOut uint32
	dataIn      uint64
	dataOut     uint64
	repeat      uint32
	duration    uint32
	ctxSizeIn   uint32
	ctxSizeOut  uint32
	ctxIn       uint64
	ctxOut      uint64
	flags       uint32
	cpu         uint32
	batchSize   uint32
	_           uint32
}

// liveRun is a test run with live frames, to be repeated. It is made by hand
// because the ebpf library starts a run again that a signal interrupted: then
// it could neither be stopped nor counted.
type liveRun struct {
	attr  testRunAttr
	frame []byte
	ctx   []byte // struct xdp_md
	pin   runtime.Pinner
}

// newLiveRun prepares runs of the program behind progFD on frame, as if it had
// come in on the interface with that index. close must be called.
func newLiveRun(progFD int, frame []byte, ifindex int) *liveRun {
	r := &liveRun{frame: frame, ctx: make([]byte, 24)}
	// struct xdp_md: data, data_end, data_meta, ingress_ifindex,
	// rx_queue_index, egress_ifindex; data is at 0 and the rest stays 0.
	binary.NativeEndian.PutUint32(r.ctx[4:], uint32(len(frame)))
	binary.NativeEndian.PutUint32(r.ctx[12:], uint32(ifindex))
	// The kernel gets addresses as numbers, which keep nothing alive.
	r.pin.Pin(&r.frame[0])
	r.pin.Pin(&r.ctx[0])
	r.attr = testRunAttr{
		progFD:     uint32(progFD),
		dataSizeIn: uint32(len(frame)),
		dataIn:     uint64(uintptr(unsafe.Pointer(&r.frame[0]))),
		ctxSizeIn:  uint32(len(r.ctx)),
		ctxIn:      uint64(uintptr(unsafe.Pointer(&r.ctx[0]))),
		flags:      bpfTestXDPLiveFrames,
	}
	return r
}

// run makes up to repeat frames. EINTR means that a signal ended it early; the
// program's own counter tells where.
func (r *liveRun) run(repeat uint32) error {
	r.attr.repeat = repeat
	_, _, errno := unix.Syscall(unix.SYS_BPF, bpfProgTestRun, uintptr(unsafe.Pointer(&r.attr)), unsafe.Sizeof(r.attr))
	if errno != 0 {
		return errno
	}
	return nil
}

func (r *liveRun) close() { r.pin.Unpin() }
