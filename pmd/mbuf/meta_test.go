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
