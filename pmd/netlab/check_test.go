package netlab

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// reply turns a request into what a host answers.
func reply(request []byte, v6 bool) []byte {
	b := append([]byte(nil), request...)
	b[0] = icmpEchoReply
	b[2], b[3] = 0, 0
	if v6 {
		b[0] = icmpv6EchoReply
		return b
	}
	sum := checksum(b)
	b[2], b[3] = byte(sum>>8), byte(sum)
	return b
}

func TestEchoRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := echo{
			v6:    rapid.Bool().Draw(t, "v6"),
			id:    rapid.Uint16().Draw(t, "id"),
			seq:   rapid.Uint16().Draw(t, "seq"),
			nonce: rapid.Uint64().Draw(t, "nonce"),
		}
		request := e.marshal()
		if !e.v6 {
			require.Zero(t, checksum(request))
		}
		_, ok := parseEchoReply(request, e.v6)
		require.False(t, ok, "a request is no reply")
		answer := reply(request, e.v6)
		got, ok := parseEchoReply(answer, e.v6)
		require.True(t, ok)
		require.Equal(t, e, got)

		// Any change of a bit shows, or shows as another conversation.
		i := rapid.IntRange(0, len(answer)*8-1).Draw(t, "bit")
		answer[i/8] ^= 1 << (i % 8)
		got, ok = parseEchoReply(answer, e.v6)
		if e.v6 && (i/8 == 2 || i/8 == 3) {
			return // the kernel checks that one
		}
		require.False(t, ok && got == e)
	})
}

func FuzzParseEchoReply(f *testing.F) {
	f.Add(reply(echo{id: 1, seq: 2, nonce: 3}.marshal(), false), false)
	f.Add(reply(echo{v6: true, id: 1, seq: 2, nonce: 3}.marshal(), true), true)
	f.Fuzz(func(t *testing.T, b []byte, v6 bool) {
		if e, ok := parseEchoReply(b, v6); ok {
			answer := reply(e.marshal(), v6)
			if v6 {
				copy(answer[2:4], b[2:4])
			}
			require.Equal(t, b, answer)
		}
	})
}

func TestPatternTellsChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := make([]byte, rapid.IntRange(8, 200).Draw(t, "size"))
		key, seq := rapid.Uint64().Draw(t, "key"), rapid.Uint64().Draw(t, "seq")
		fillPattern(b, key, seq)
		require.True(t, checkPattern(b, key, seq))
		require.False(t, checkPattern(b, key+1, seq))
		if len(b) > 16 {
			require.False(t, checkPattern(b, key, seq+1))
		}
		i := rapid.IntRange(0, len(b)-1).Draw(t, "byte")
		b[i] ^= rapid.ByteRange(1, 255).Draw(t, "change")
		require.False(t, checkPattern(b, key, seq))
	})
}

func FuzzParseDatagram(f *testing.F) {
	b := make([]byte, 40)
	putDatagram(b, 7, 3)
	f.Add(b, uint64(7))
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, key uint64) {
		seq, ok := parseDatagram(b, key, len(b))
		if !ok {
			return
		}
		want := make([]byte, len(b))
		putDatagram(want, key, seq)
		require.True(t, bytes.Equal(want, b))
	})
}

// The tracker against counting with maps and lists.
func TestTrackerAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, 200).Draw(t, "count")
		arrivals := rapid.SliceOfN(rapid.Uint64Range(0, uint64(count+5)), 0, 400).Draw(t, "arrivals")

		var want UDPDirection
		seen := map[uint64]bool{}
		for i, seq := range arrivals {
			switch {
			case seq >= uint64(count):
				want.Corrupted++
				continue
			case seen[seq]:
				want.Duplicated++
				continue
			}
			want.Received++
			for _, before := range arrivals[:i] {
				if before < uint64(count) && before > seq {
					want.Reordered++
					break
				}
			}
			seen[seq] = true
		}
		tr := newTracker(count)
		for _, seq := range arrivals {
			tr.observe(seq)
		}
		require.Equal(t, want, tr.d)
	})
}

func TestTrackerShuffled(t *testing.T) {
	const count = 10_000
	tr := newTracker(count)
	for _, i := range rand.Perm(count) {
		tr.observe(uint64(i))
	}
	assert.Equal(t, count, tr.d.Received)
	assert.Positive(t, tr.d.Reordered)
	assert.True(t, tr.d.Clean(), "order alone is not dirt")
}
