package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
)

// TestWakeUp sends single frames through a core that has nothing else to do, two to five
// milliseconds apart, and logs how long they took by idle policy: from the sender's
// call to the kernel's time stamp at the far end. What spin takes is the path's share, what
// a bare thread takes to wake up that of the kernel and the host. Beside it stands how
// long the core is awake with no frame at all. The times are for who reads them: a
// machine that is busy makes them what it likes.
// PMD_WAKEUPS is the number of frames.
func TestWakeUp(t *testing.T) {
	w := newWire(t)
	frames := 200
	if s := os.Getenv("PMD_WAKEUPS"); s != "" {
		var err error
		frames, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	in, out := packetSocket(t, w.a, "ha"), packetSocket(t, w.b, "hb")
	require.NoError(t, unix.SetsockoptTimeval(out, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}))
	require.NoError(t, unix.SetsockoptInt(out, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1))
	logTimes(t, fmt.Sprintf("a thread on CPU %d without anything of ours", pollCPU(t)), bareWakeUps(t, pollCPU(t), frames))
	for _, idle := range []dataplane.Idle{dataplane.IdleSpin, dataplane.IdleAdaptive, dataplane.IdleInterrupt} {
		r, err := Start(t.Context(), RigConfig{Mode: "io", Cores: []int{pollCPU(t)}, Idle: idle, Open: w.open})
		require.NoError(t, err)
		time.Sleep(200 * time.Millisecond)
		before, err := r.Stats(t.Context())
		require.NoError(t, err)
		time.Sleep(300 * time.Millisecond)
		after, err := r.Stats(t.Context())
		require.NoError(t, err)
		b, a := before.Cores[0], after.Cores[0]
		awake := 100 * (1 - float64(a.SleepNs-b.SleepNs)/float64(a.TotalNs-b.TotalNs))
		var took []time.Duration
		for i := range frames {
			if d, ok := through(t, in, out, uint32(i)); ok {
				took = append(took, d)
			}
			pauseBetween()
		}
		require.NoError(t, r.Close())
		require.Greater(t, len(took), frames*9/10, "frames that arrived")
		logTimes(t, fmt.Sprintf("idle=%s: idle core awake %.2f %% of the time; frames", idle, awake), took)
		if idle == dataplane.IdleSpin {
			require.Zero(t, a.Sleeps)
		} else {
			// A turn or two between sleeps of a tenth of a second.
			require.Greater(t, a.Sleeps, b.Sleeps)
			require.Less(t, a.Turns-b.Turns, 20+(a.TotalNs-b.TotalNs)/20_000_000)
		}
	}
}

func pauseBetween() { time.Sleep(2*time.Millisecond + rand.N(3*time.Millisecond)) }

// logTimes logs what took how long.
func logTimes(t *testing.T, what string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	t.Logf("%s: %d times, median %v, p99 %v, longest %v", what, len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

// bareWakeUps returns how long it takes to wake a thread that sleeps on this CPU, by a write
// to an eventfd: the share of the kernel and of the host, which may have taken the CPU
// from us meanwhile, in every wake-up.
func bareWakeUps(t *testing.T, on, times int) (took []time.Duration) {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	require.NoError(t, err)
	began := time.Now()
	woke := make(chan time.Duration, 1)
	go func() {
		defer close(woke)
		if _, err := cpu.Pin(on); err != nil { // until the goroutine ends
			return
		}
		for range times {
			if _, err := unix.Read(fd, make([]byte, 8)); err != nil {
				return
			}
			woke <- time.Since(began)
		}
	}()
	for range times {
		pauseBetween()
		sent := time.Since(began)
		_, err := unix.Write(fd, binary.NativeEndian.AppendUint64(nil, 1))
		require.NoError(t, err)
		at, ok := <-woke
		require.True(t, ok, "the thread on CPU %d ended", on)
		took = append(took, at-sent)
	}
	require.NoError(t, unix.Close(fd))
	return took
}

// through sends a numbered frame and returns how long it took to arrive.
func through(t *testing.T, in, out int, number uint32) (time.Duration, bool) {
	t.Helper()
	frame := make([]byte, 60)
	copy(frame, []byte{2, 0, 0, 0, 0, 0xd, 2, 0, 0, 0, 0, 0x5, 0x88, 0xb5})
	binary.BigEndian.PutUint32(frame[20:], number)
	got, oob := make([]byte, 2048), make([]byte, 128)
	sent := time.Now()
	_, err := unix.Write(in, frame)
	require.NoError(t, err)
	for {
		n, m, _, _, err := unix.Recvmsg(out, got, oob, 0)
		if err != nil {
			return 0, false // not within the time that the socket waits
		}
		if n < 24 || binary.BigEndian.Uint32(got[20:]) != number {
			continue
		}
		messages, err := unix.ParseSocketControlMessage(oob[:m])
		require.NoError(t, err)
		for _, c := range messages {
			if c.Header.Type == unix.SO_TIMESTAMPNS {
				at := time.Unix(int64(binary.NativeEndian.Uint64(c.Data)), int64(binary.NativeEndian.Uint64(c.Data[8:])))
				return at.Sub(sent), true
			}
		}
	}
}
