package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cpu"
)

// inMemory are options of a short demo in memory.
func inMemory() options {
	return options{mode: "io", length: 200 * time.Millisecond, memory: true, frames: 5000, notes: io.Discard}
}

// within fails the test if fn takes a minute: the demo would go on for as long as the
// flood was to last, or for ever.
func within(t *testing.T, fn func()) {
	t.Helper()
	begin := time.Now()
	fn()
	assert.Less(t, time.Since(begin), time.Minute)
}

func TestMemory(t *testing.T) {
	var out bytes.Buffer
	var whole []*Report
	o := inMemory()
	o.table = &printer{w: &out}
	o.whole = func(r *Report) error {
		whole = append(whole, r)
		return nil
	}
	r, err := run(context.Background(), o)
	require.NoError(t, err, out.String())
	assert.True(t, r.OK)
	assert.Equal(t, []*Report{r}, whole, "the report is given once")

	assert.Equal(t, []Port{{"a0", "ring", "", 1}, {"b0", "ring", "", 1}}, r.Ports)
	var names []string
	for _, c := range r.Checks {
		assert.True(t, c.OK, "%s: %s", c.Name, c.Detail)
		names = append(names, c.Name)
	}
	assert.Equal(t, append([]string{"ping", "stream", "udp"}, ledgerChecks...), names)
	assert.Equal(t, minFrame, r.Throughput.FrameSize)
	assert.Positive(t, r.Throughput.PPS)
	assert.GreaterOrEqual(t, r.Throughput.Seconds, 0.2)
	assert.Equal(t, Frames{16384, 16384}, r.Frames)
	assert.Empty(t, r.Drops)

	text := out.String()
	assert.NotContains(t, text, "\x1b", "no colour in a buffer")
	assert.Contains(t, text, "a0    ring    -          1")
	assert.Equal(t, len(names), strings.Count(text, "✓"))
	assert.Contains(t, text, "All 8 checks passed")
	assert.Contains(t, text, "Everything the demo made is removed.\n")
}

// TestMemoryWithoutForwarding: no check may pass if nothing gets through.
func TestMemoryWithoutForwarding(t *testing.T) {
	within(t, func() {
		o := inMemory()
		o.mode = "rxonly"
		r, err := run(context.Background(), o)
		assert.ErrorContains(t, err, "8 of 8 checks failed: ping, stream, udp, flood, offered, forwarded, delivered, frames")
		assert.False(t, r.OK)
		assert.Zero(t, r.passed())
		assert.Len(t, r.Checks, 8)
		assert.Equal(t, Frames{16384, 16384}, r.Frames, "frames are not lost")
		assert.Positive(t, r.Drops["sink"])
	})
}

// cut ends a context when a text has been written.
type cut struct {
	after  string
	cancel context.CancelFunc
	bytes.Buffer
}

func (c *cut) Write(b []byte) (int, error) {
	n, err := c.Buffer.Write(b)
	if strings.Contains(c.String(), c.after) {
		c.cancel()
	}
	return n, err
}

func TestMemoryInterrupted(t *testing.T) {
	for _, after := range []string{"PORT", "✓ ping", "✓ stream", "✓ udp"} {
		t.Run(after, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			w := &cut{after: after, cancel: cancel}
			o := inMemory()
			o.length = time.Hour
			o.table = &printer{w: w}
			within(t, func() {
				r, err := run(ctx, o)
				assert.ErrorIs(t, err, errInterrupted)
				assert.False(t, r.OK)
				assert.Less(t, len(r.Checks), 8)
			})
			assert.NotContains(t, w.String(), "All")
		})
	}
}

func TestMemoryInterruptedAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, err := run(ctx, inMemory())
	assert.ErrorIs(t, err, errInterrupted)
	assert.False(t, r.OK)
}

// TestMemoryKept ends a kept demo through its socket.
func TestMemoryKept(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	client := ctl.NewClient(socket)
	defer client.Close()
	var out, aside bytes.Buffer
	o := inMemory()
	o.keep, o.socket, o.table, o.notes = true, socket, &printer{w: &out}, &aside
	asked := make(chan error, 1)
	o.whole = func(r *Report) error {
		assert.True(t, r.OK)
		go func() {
			err := errors.New("nobody answered")
			for range 3000 {
				if err = client.Stop(t.Context()); err == nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			asked <- err
		}()
		return nil
	}
	r, err := run(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, <-asked)
	assert.True(t, r.OK)
	assert.Contains(t, out.String(), "It keeps running.")
	assert.Contains(t, out.String(), "curl --unix-socket "+socket+" http://pmd/v1/stats")
	assert.Empty(t, aside.String())
	assert.NoFileExists(t, socket)
}

func TestReaderGoesAway(t *testing.T) {
	o := inMemory()
	o.length = time.Hour
	o.table = &printer{w: &failing{left: 2}}
	within(t, func() {
		_, err := run(context.Background(), o)
		assert.EqualError(t, err, "broken")
	})
}

// TestBadCore: what the user said wrong is no reason to print a report.
func TestBadCore(t *testing.T) {
	o := inMemory()
	o.cores = cpu.SetOf(cpu.MaxCPUs - 1)
	o.whole = func(*Report) error {
		t.Error("a report was printed")
		return nil
	}
	_, err := run(context.Background(), o)
	require.Error(t, err)
	assert.True(t, mistaken(err))
}
