//go:build linux

package xsk

import (
	"testing"
	"unsafe"

	"example.org/pmd/pmd/mbuf"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

// TestLayouts compares what is passed to the kernel with include/uapi/linux/
// if_xdp.h of Linux 6.18.
func TestLayouts(t *testing.T) {
	var f mbuf.Frame
	var d unix.XDPDesc
	assert.Equal(t, unsafe.Sizeof(d), unsafe.Sizeof(f))
	assert.Equal(t, unsafe.Offsetof(d.Addr), unsafe.Offsetof(f.Addr))
	assert.Equal(t, unsafe.Offsetof(d.Len), unsafe.Offsetof(f.Len))
	assert.Equal(t, unsafe.Offsetof(d.Options), unsafe.Offsetof(f.Meta))
	assert.EqualValues(t, unix.XDP_PKT_CONTD, mbuf.FlagMore)
	assert.EqualValues(t, unix.XDP_RING_NEED_WAKEUP, needWakeup)
	assert.EqualValues(t, unix.XDP_PACKET_HEADROOM, mbuf.KernelHeadroom)

	var reg unix.XDPUmemReg
	assert.EqualValues(t, 32, unsafe.Sizeof(reg))
	assert.EqualValues(t, 16, unsafe.Offsetof(reg.Size), "chunk_size")
	assert.EqualValues(t, 20, unsafe.Offsetof(reg.Headroom))
	assert.EqualValues(t, 24, unsafe.Offsetof(reg.Flags))
	assert.EqualValues(t, 28, unsafe.Offsetof(reg.Tx_metadata_len))

	var off unix.XDPMmapOffsets
	assert.EqualValues(t, 4*32, unsafe.Sizeof(off))
	assert.EqualValues(t, 24, unsafe.Offsetof(off.Rx.Flags))
	var st unix.XDPStatistics
	assert.EqualValues(t, 6*8, unsafe.Sizeof(st))
	assert.EqualValues(t, 24, unsafe.Offsetof(st.Rx_ring_full))
	assert.EqualValues(t, 16, unsafe.Sizeof(unix.RawSockaddrXDP{}))
}
