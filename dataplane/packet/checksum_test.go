package packet_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/dataplane/packet"
)

// onesSum adds 16-bit words one by one, as RFC 1071 says it first.
func onesSum(parts ...[]byte) uint16 {
	sum := uint32(0)
	for _, b := range parts {
		for i := range b {
			w := uint32(b[i])
			if i%2 == 0 {
				w <<= 8
			}
			if sum += w; sum > 0xffff {
				sum -= 0xffff
			}
		}
	}
	return uint16(sum)
}

// same reports whether two sums are of one value: 0 has two forms.
func same(a, b uint16) bool { return a%0xffff == b%0xffff }

// bytesOf draws bytes that often run into carries.
func bytesOf(least, most int) *rapid.Generator[[]byte] {
	one := rapid.OneOf(rapid.Byte(), rapid.Just(byte(0xff)), rapid.Just(byte(0)))
	return rapid.SliceOfN(one, least, most)
}

func TestSumAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		even := bytesOf(0, 150).Draw(t, "even")
		even = even[:len(even)&^1]
		last := bytesOf(0, 200).Draw(t, "last")
		a, b := rapid.Uint16().Draw(t, "a"), rapid.Uint32().Draw(t, "b")
		s := packet.Sum(rapid.SampledFrom([]uint64{0, 1<<64 - 1}).Draw(t, "start")) // two forms of nothing
		got := s.Add(even).Add16(a).Add32(b).Add(last)
		want := onesSum(even, binary.BigEndian.AppendUint16(nil, a), binary.BigEndian.AppendUint32(nil, b), last)
		require.True(t, same(want, got.Fold()), "%04x, want %04x", got.Fold(), want)
		require.Equal(t, ^got.Fold(), got.Checksum())
	})
}

// Every length there is a step or a tail for, all bits set and none.
func TestSumLengths(t *testing.T) {
	for n := range 300 {
		for _, fill := range []byte{0, 1, 0x80, 0xff} {
			b := make([]byte, n)
			for i := range b {
				b[i] = fill
			}
			require.True(t, same(onesSum(b), packet.Sum(0).Add(b).Fold()), "%d bytes of %#x", n, fill)
		}
	}
	// The example of RFC 1071, section 3.
	require.EqualValues(t, 0xddf2, packet.Sum(0).Add([]byte{0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7}).Fold())
}

// A checksum that was put where it belongs makes the sum all ones.
func TestChecksumVerifies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := bytesOf(2, 100).Draw(t, "bytes")
		at := rapid.IntRange(0, len(b)/2-1).Draw(t, "at") * 2
		b[at], b[at+1] = 0, 0
		binary.BigEndian.PutUint16(b[at:], packet.Checksum(b))
		require.EqualValues(t, 0xffff, packet.Sum(0).Add(b).Fold())
	})
}

// A changed field and a changed checksum verify, as a new checksum would.
func TestUpdate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := bytesOf(16, 80).Draw(t, "bytes")
		b[0], b[1] = 0, 0
		binary.BigEndian.PutUint16(b, packet.Checksum(b))
		at := rapid.IntRange(1, len(b)/2-2).Draw(t, "at") * 2
		if rapid.Bool().Draw(t, "wide") {
			before, after := binary.BigEndian.Uint32(b[at:]), rapid.Uint32().Draw(t, "after")
			binary.BigEndian.PutUint32(b[at:], after)
			binary.BigEndian.PutUint16(b, packet.Update32(binary.BigEndian.Uint16(b), before, after))
		} else {
			before, after := binary.BigEndian.Uint16(b[at:]), rapid.Uint16().Draw(t, "after")
			binary.BigEndian.PutUint16(b[at:], after)
			binary.BigEndian.PutUint16(b, packet.Update16(binary.BigEndian.Uint16(b), before, after))
		}
		require.True(t, same(0xffff, packet.Sum(0).Add(b).Fold()))
	})
	// The example of RFC 1624, section 4: equation 3 gives 0000 where RFC 1141
	// would give ffff.
	require.EqualValues(t, 0x0000, packet.Update16(0xdd2f, 0x5555, 0x3285))
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{1, 2, 3}, []byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a)%2 != 0 {
			a = a[1:]
		}
		require.True(t, same(onesSum(a, b), packet.Sum(0).Add(a).Add(b).Fold()))
	})
}

func ExampleUpdate16() {
	header := []byte{0x45, 0, 0, 0x54, 0, 0, 0x40, 0, 64, 1, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}
	ip := packet.IPv4At(header)
	ip.SetChecksum(packet.Checksum(header))
	fmt.Printf("%04x\n", ip.Checksum())

	ip.SetTTL(63) // the word of TTL and protocol goes from 4001 to 3f01
	ip.SetChecksum(packet.Update16(ip.Checksum(), 0x4001, 0x3f01))
	fmt.Printf("%04x %v\n", ip.Checksum(), packet.Checksum(header) == 0)
	// Output:
	// b6a5
	// b7a5 true
}

func BenchmarkSum(b *testing.B) {
	for _, size := range []int{20, 50, 576, 1500} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			p := make([]byte, size)
			b.SetBytes(int64(size))
			var s packet.Sum
			for b.Loop() {
				s = s.Add(p)
			}
			require.True(b, same(s.Fold(), 0))
		})
	}
}
