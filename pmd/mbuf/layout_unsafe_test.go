package mbuf

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// A frame is laid out as struct xdp_desc of include/uapi/linux/if_xdp.h is: u64
// addr, u32 len, u32 options.
func TestFrameLayout(t *testing.T) {
	var f Frame
	assert.EqualValues(t, 16, unsafe.Sizeof(f))
	assert.EqualValues(t, 0, unsafe.Offsetof(f.Addr))
	assert.EqualValues(t, 8, unsafe.Offsetof(f.Len))
	assert.EqualValues(t, 12, unsafe.Offsetof(f.Meta))
}
