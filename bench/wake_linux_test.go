package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
)

// TestWakeUp sends single frames from another CPU through a core that has nothing else to
// do, two to five milliseconds apart, and logs how long they took by idle policy: from the
// sender's call, and from when the core woke up, to the kernel's time stamp at the far end.
// What spin takes is the path's share, what a bare thread takes to be woken that of the
// kernel and the host. Beside it stands how long the core is awake with no frame at all.
// The times are for who reads them: a machine that is busy makes them what it likes.
// PMD_WAKEUPS is the number of frames.
func TestWakeUp(t *testing.T) {
	w := newWire(t)
	// To be woken from the same CPU needs no interrupt, and nothing that is halted.
	topo, err := cpu.Local()
	require.NoError(t, err)
	poll := pollCPU(t)
	if rest := topo.Allowed.AndNot(cpu.SetOf(poll)); rest.Len() > 0 {
		sender, err := cpu.Pin(rest.Min())
		require.NoError(t, err)
		defer func() { require.NoError(t, sender.Release()) }()
	}
	frames := 200
	if s := os.Getenv("PMD_WAKEUPS"); s != "" {
		frames, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	in, out := packetSocket(t, w.a, "ha"), packetSocket(t, w.b, "hb")
	require.NoError(t, unix.SetsockoptTimeval(out, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}))
	require.NoError(t, unix.SetsockoptInt(out, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1))
	logTimes(t, fmt.Sprintf("a thread on CPU %d without anything of ours", poll), bareWakeUps(t, poll, frames))
	for _, idle := range []dataplane.Idle{dataplane.IdleSpin, dataplane.IdleAdaptive, dataplane.IdleInterrupt} {
		began := time.Now()
		woke := &wakeTime{began: began}
		r, err := Start(t.Context(), RigConfig{Mode: "io", Cores: []int{poll}, Idle: idle, Open: woke.opener(w.open)})
		require.NoError(t, err)
		time.Sleep(200 * time.Millisecond)
		before, err := r.Stats(t.Context())
		require.NoError(t, err)
		time.Sleep(300 * time.Millisecond)
		after, err := r.Stats(t.Context())
		require.NoError(t, err)
		b, a := before.Cores[0], after.Cores[0]
		awake := 100 * (1 - float64(a.SleepNs-b.SleepNs)/float64(a.TotalNs-b.TotalNs))
		var took, awakened []time.Duration
		for i := range frames {
			woke.first.Store(0)
			sent := time.Now()
			if d, ok := through(t, in, out, uint32(i)); ok {
				took = append(took, d)
				if at := time.Duration(woke.first.Load()) - sent.Sub(began); at > 0 {
					awakened = append(awakened, d-at)
				}
			}
			pauseBetween()
		}
		require.NoError(t, r.Close())
		require.Greater(t, len(took), frames*9/10, "frames that arrived")
		logTimes(t, fmt.Sprintf("idle=%s: idle core awake %.2f %% of the time; frames", idle, awake), took)
		if idle == dataplane.IdleSpin {
			require.Zero(t, a.Sleeps)
		} else {
			logTimes(t, "  of that from when the core woke up", awakened)
			// A turn or two between sleeps of a tenth of a second.
			require.Greater(t, a.Sleeps, b.Sleeps)
			require.Less(t, a.Turns-b.Turns, 20+(a.TotalNs-b.TotalNs)/20_000_000)
		}
	}
}

// wakeTime notes when the core of a rig last woke up.
type wakeTime struct {
	began time.Time
	// first is the first time, since began, at which it woke up after the test had
	// stored 0. The stores of the test and the core pair with each other's loads.
	first atomic.Int64
}

func (w *wakeTime) opener(open opener) opener {
	return func(ctx context.Context, env pmd.Env) ([]pmd.Device, error) {
		devs, err := open(ctx, env)
		for i, d := range devs {
			noted := notedDevice{Device: d}
			for _, q := range d.Queues() {
				noted.queues = append(noted.queues, &notedQueue{Queue: q, Waiter: q.(pmd.Waiter), wake: w})
			}
			devs[i] = noted
		}
		return devs, err
	}
}

// notedDevice is a device whose queues note when their owner wakes up.
type notedDevice struct {
	pmd.Device
	queues []pmd.Queue
}

func (d notedDevice) Queues() []pmd.Queue { return d.queues }

type notedQueue struct {
	pmd.Queue
	pmd.Waiter
	wake *wakeTime
}

// Arm implements pmd.Armer.
func (q *notedQueue) Arm() bool { return true }

// Disarm implements pmd.Armer. It is the first that the core does after it slept.
func (q *notedQueue) Disarm() { q.wake.first.CompareAndSwap(0, int64(time.Since(q.wake.began))) }

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
