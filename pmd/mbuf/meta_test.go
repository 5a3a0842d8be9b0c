package mbuf_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd/mbuf"
)

func TestRxMeta(t *testing.T) {
	mem := make(mbuf.Mem, 4096)
	f := mbuf.Frame{Addr: 256, Len: 60, Meta: mbuf.MakeMeta(0, 1) | mbuf.FlagRxMeta}
	told := mem[256-mbuf.MetaLen:]
	_, ok := mem.RxMeta(f)
	require.False(t, ok, "the program could not write")
	binary.NativeEndian.PutUint64(told[mbuf.RxMetaTimestampAt:], 77)
	binary.NativeEndian.PutUint32(told[mbuf.RxMetaHashAt:], 1234)
	binary.NativeEndian.PutUint32(told[mbuf.RxMetaHashAt+4:], 9)
	binary.BigEndian.PutUint16(told[mbuf.RxMetaVLANAt:], 0x88a8)
	binary.NativeEndian.PutUint16(told[mbuf.RxMetaVLANAt+2:], 0x2007)
	has := mbuf.RxMetaMagic | uint32(mbuf.RxHash|mbuf.RxTimestamp)
	binary.NativeEndian.PutUint32(told[mbuf.RxMetaHasAt:], has)
	m, ok := mem.RxMeta(f)
	require.True(t, ok)
	require.True(t, m.Has(mbuf.RxHash|mbuf.RxTimestamp))
	require.False(t, m.Has(mbuf.RxVLAN))
	require.False(t, m.Has(mbuf.RxVLAN|mbuf.RxHash), "all of them or no")
	require.EqualValues(t, 77, m.Timestamp)
	require.EqualValues(t, 1234, m.Hash)
	require.EqualValues(t, 9, m.HashType)
	require.EqualValues(t, 0x88a8, m.VLANProto)
	require.EqualValues(t, 0x2007, m.VLANTCI)
	binary.NativeEndian.PutUint64(told[mbuf.RxMetaTimestampAt:], 0)
	m, _ = mem.RxMeta(f)
	require.False(t, m.Has(mbuf.RxTimestamp))

	for _, bad := range []mbuf.Frame{
		{Addr: 256, Len: 60}, {Addr: mbuf.MetaLen - 1, Meta: mbuf.FlagRxMeta}, {Addr: 1 << 40, Meta: mbuf.FlagRxMeta},
	} {
		_, ok := mem.RxMeta(bad)
		require.False(t, ok, "%+v", bad)
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = mem.RxMeta(f) }))
}

func TestRequestChecksum(t *testing.T) {
	mem, other := make(mbuf.Mem, 4096), make(mbuf.Mem, 4096)
	for i := range mem {
		mem[i] = 0xee
	}
	f := mbuf.Frame{Addr: 300, Len: 60, Meta: mbuf.MakeMeta(3, 4)}
	mem.RequestChecksum(&f, 34, 16)
	require.Equal(t, mbuf.MakeMeta(3, 4)|mbuf.FlagTxMeta, f.Meta)
	b := mem[300-mbuf.MetaLen : 300]
	require.EqualValues(t, 2, binary.NativeEndian.Uint64(b), "XDP_TXMD_FLAGS_CHECKSUM")
	require.EqualValues(t, 34, binary.NativeEndian.Uint16(b[8:]))
	require.EqualValues(t, 16, binary.NativeEndian.Uint16(b[10:]))
	require.Equal(t, make([]byte, 12), []byte(b[12:]), "nothing else is asked")
	require.EqualValues(t, 0xee, mem[300-mbuf.MetaLen-1])
	require.EqualValues(t, 0xee, mem[300])

	to := mbuf.Frame{Addr: 2048 + 256, Len: 60, Meta: mbuf.MakeMeta(5, 4)}
	mem.CarryTxMeta(mbuf.Frame{Addr: 300, Len: 60}, other, &to)
	require.Equal(t, mbuf.MakeMeta(5, 4), to.Meta, "nothing was asked")
	mem.CarryTxMeta(f, other, &to)
	require.Equal(t, mbuf.MakeMeta(5, 4)|mbuf.FlagTxMeta, to.Meta)
	require.Equal(t, b, other[to.Addr-mbuf.MetaLen:to.Addr])
}

// A time stamp is asked for besides a checksum, and read where the kernel writes it.
func TestRequestTimestamp(t *testing.T) {
	mem := make(mbuf.Mem, 4096)
	for i := range mem {
		mem[i] = 0xee
	}
	f := mbuf.Frame{Addr: 300, Len: 60}
	b := mem[300-mbuf.MetaLen : 300]
	require.False(t, mem.WantsTimestamp(f), "what is there is no request")
	mem.RequestTimestamp(&f)
	require.Equal(t, mbuf.FlagTxMeta, f.Meta)
	require.EqualValues(t, 1, binary.NativeEndian.Uint64(b), "XDP_TXMD_FLAGS_TIMESTAMP")
	require.Equal(t, make([]byte, mbuf.MetaLen-8), []byte(b[8:]))
	require.True(t, mem.WantsTimestamp(f))
	require.Zero(t, mem.TxTimestamp(f.Addr), "not yet")

	mem.RequestChecksum(&f, 34, 16)
	require.False(t, mem.WantsTimestamp(f), "a checksum begins anew")
	mem.RequestTimestamp(&f)
	require.EqualValues(t, 3, binary.NativeEndian.Uint64(b))
	require.EqualValues(t, 34, binary.NativeEndian.Uint16(b[8:]))
	require.EqualValues(t, 16, binary.NativeEndian.Uint16(b[10:]))
	require.True(t, mem.WantsTimestamp(f))
	require.Zero(t, mem.TxTimestamp(f.Addr), "what the checksum needs is no stamp")
	binary.NativeEndian.PutUint64(b[8:], 1_700_000_000_000_000_007)
	require.EqualValues(t, 1_700_000_000_000_000_007, mem.TxTimestamp(f.Addr))
}

func TestSoundRequest(t *testing.T) {
	mem := make(mbuf.Mem, 4096)
	f := mbuf.Frame{Addr: 300, Len: 60}
	for _, c := range []struct {
		start, offset uint16
		want          bool
	}{{0, 0, true}, {34, 16, true}, {34, 24, true}, {34, 25, false}, {60, 0, false}, {65535, 65535, false}, {0, 59, false}} {
		mem.RequestChecksum(&f, c.start, c.offset)
		require.Equal(t, c.want, mem.SoundRequest(f), "%+v", c)
	}
	f.Meta = 0
	mem.RequestTimestamp(&f)
	require.True(t, mem.SoundRequest(f))
	mem[300-mbuf.MetaLen] |= 4 // a launch time, which nobody here can ask for
	require.False(t, mem.SoundRequest(f))
	for _, addr := range []uint64{0, mbuf.MetaLen - 1, 4097, 1 << 60} {
		require.False(t, mem.SoundRequest(mbuf.Frame{Addr: addr, Len: 60}), "%d", addr)
	}
}
