package afpacket

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// naive is the sum of RFC 1071 word by word, the field included.
func naive(b []byte) uint16 {
	sum := 0
	for i, x := range b {
		if i%2 == 0 {
			sum += int(x) << 8
		} else {
			sum += int(x)
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// After finish everything from start on adds up with the pseudo header to all ones,
// as a receiver checks; nothing else has changed.
func TestFinish(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "frame")
		start := rapid.IntRange(-2, 210).Draw(t, "start")
		offset := 2 * rapid.IntRange(-1, 20).Draw(t, "offset")
		before := slices.Clone(frame)
		ok := finish(frame, start, offset)
		require.Equal(t, start >= 0 && offset >= 0 && start+offset+2 <= len(frame), ok)
		if !ok {
			require.Equal(t, before, frame)
			return
		}
		field := start + offset
		pseudo := binary.BigEndian.Uint16(before[field:])
		// The receiver adds the pseudo header's sum, which stood in the field.
		var p [2]byte
		binary.BigEndian.PutUint16(p[:], pseudo)
		require.Equal(t, uint16(0xffff), naive(append(p[:], frame[start:]...)))
		require.NotZero(t, binary.BigEndian.Uint16(frame[field:]))
		copy(frame[field:], before[field:field+2])
		require.Equal(t, before, frame)
	})
}
