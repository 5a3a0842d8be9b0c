//go:build linux

package netlab

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtool is a socket for ethtool requests about one interface. The request
// goes to the namespace the socket was made in.
type ethtool struct {
	fd     int
	ifname string
	// req is what the kernel reads and writes. Its address is passed as a
	// number, so it must be on the heap, which the stack of a goroutine is
	// not: that may move.
	req []byte
}

// ifreq is struct ifreq as SIOCETHTOOL uses it: a name and a pointer
// (include/uapi/linux/if.h), 40 bytes on a 64-bit system.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

func openEthtool(ifname string) (*ethtool, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &ethtool{fd: fd, ifname: ifname}, nil
}

func (e *ethtool) close() { unix.Close(e.fd) }

// call passes e.req to the kernel.
func (e *ethtool) call() error {
	var pin runtime.Pinner
	defer pin.Unpin()
	r := &ifreq{data: unsafe.Pointer(&e.req[0])}
	pin.Pin(r.data)
	copy(r.name[:unix.IFNAMSIZ-1], e.ifname)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(e.fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(r)))
	if errno != 0 {
		return errno
	}
	return nil
}

// words starts a request with 32-bit fields and room for more bytes after.
func (e *ethtool) words(more int, fields ...uint32) {
	e.req = make([]byte, 4*len(fields)+more)
	for i, f := range fields {
		binary.NativeEndian.PutUint32(e.req[4*i:], f)
	}
}

// setValue and value are struct ethtool_value: command, value.
func (e *ethtool) setValue(cmd, v uint32) error {
	e.words(0, cmd, v)
	return e.call()
}

func (e *ethtool) value(cmd uint32) (uint32, error) {
	e.words(0, cmd, 0)
	err := e.call()
	return binary.NativeEndian.Uint32(e.req[4:]), err
}

// stats returns the driver's statistics. Their number cannot change under the
// caller as long as the interface keeps its queues: the kernel would write
// past the end otherwise, so there is room for far more.
func (e *ethtool) stats() ([]stat, error) {
	const spare = 1024
	n, err := e.statCount()
	if err != nil || n == 0 {
		return nil, err
	}
	// struct ethtool_gstrings: command, string set, length, names.
	e.words((n+spare)*ethGStringSize, ethtoolGStrings, ethSSStats, uint32(n))
	if err := e.call(); err != nil {
		return nil, err
	}
	names := e.req[12:]
	// struct ethtool_stats: command, length, 64-bit values.
	e.words((n+spare)*8, ethtoolGStats, uint32(n))
	if err := e.call(); err != nil {
		return nil, err
	}
	stats := make([]stat, n)
	for i := range stats {
		name, _, _ := bytes.Cut(names[i*ethGStringSize:(i+1)*ethGStringSize], []byte{0})
		stats[i] = stat{string(name), binary.NativeEndian.Uint64(e.req[8+8*i:])}
	}
	return stats, nil
}

// statCount asks for the number of statistics.
func (e *ethtool) statCount() (int, error) {
	var info unix.EthtoolDrvinfo
	info.Cmd = unix.ETHTOOL_GDRVINFO
	e.req = make([]byte, unsafe.Sizeof(info))
	binary.NativeEndian.PutUint32(e.req, info.Cmd)
	if err := e.call(); err != nil {
		return 0, err
	}
	return int(binary.NativeEndian.Uint32(e.req[unsafe.Offsetof(info.N_stats):])), nil
}
