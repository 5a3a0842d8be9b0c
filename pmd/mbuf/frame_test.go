package mbuf

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func FuzzMeta(f *testing.F) {
	f.Add(uint8(0), uint16(0), uint16(0), uint8(0))
	f.Add(uint8(255), uint16(65535), uint16(1), uint8(FlagMore))
	f.Fuzz(func(t *testing.T, pool uint8, port, other uint16, flags uint8) {
		m := MakeMeta(pool, port)
		require.Equal(t, pool, m.Pool())
		require.Equal(t, port, m.Port())
		require.Zero(t, m&0xff, "no flag set")
		m |= Meta(flags)
		require.Equal(t, pool, m.Pool(), "flags stay in their bits")
		require.Equal(t, port, m.Port(), "flags stay in their bits")
		w := m.WithPort(other)
		require.Equal(t, other, w.Port())
		require.Equal(t, pool, w.Pool())
		require.EqualValues(t, flags, w&0xff)
		require.Equal(t, m, w.WithPort(port))
	})
}

func TestMemBytes(t *testing.T) {
	m := Mem{0, 1, 2, 3, 4, 5, 6, 7}
	assert.Equal(t, []byte{2, 3, 4}, m.Bytes(Frame{Addr: 2, Len: 3}))
	assert.Empty(t, m.Bytes(Frame{Addr: 8}))
	for _, f := range []Frame{{Addr: 7, Len: 2}, {Addr: 9}, {Addr: ^uint64(0), Len: 2}, {Len: ^uint32(0)}} {
		assert.Panics(t, func() { m.Bytes(f) }, "%+v", f)
	}
}

func ExampleMeta() {
	m := MakeMeta(3, 7)
	fmt.Println(m.Pool(), m.Port(), m.WithPort(8).Port())
	// Output: 3 7 8
}
