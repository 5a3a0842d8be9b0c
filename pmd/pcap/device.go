package pcap

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// etherLen is the length of an Ethernet header in bytes.
const etherLen = 14

// Driver opens pcap ports from specs such as "pcap:rx=in.pcap,loop=on". It has no
// state; the zero value is ready.
type Driver struct{}

var (
	_ pmd.Driver  = Driver{}
	_ pmd.Checker = Driver{}
)

// Kind returns "pcap".
func (Driver) Kind() string { return "pcap" }

// Check tells what is wrong with a spec. Files are not looked at.
func (Driver) Check(spec pmd.Spec) error {
	c, err := fromSpec(spec)
	if err == nil {
		_, err = c.withDefaults()
	}
	return err
}

// Open opens the port that spec describes. Errors about the spec wrap
// pmd.ErrSpec; those about a file name it.
func (Driver) Open(ctx context.Context, spec pmd.Spec, env pmd.Env) (pmd.Device, error) {
	cfg, err := fromSpec(spec)
	if err != nil {
		return nil, err
	}
	d, err := New(ctx, cfg, env)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Device is a pcap port.
type Device struct {
	*pmd.OwnLink

	cfg     Config
	host    pmd.Host
	queue   *Queue
	queues  []pmd.Queue
	capture *capture // nil: nothing is replayed
	writer  *writer  // nil: nothing is written
	watcher sync.WaitGroup
	closing chan struct{}

	mu      sync.Mutex // guards what follows
	closed  bool
	written error // why nothing is written any more
}

var _ pmd.Device = (*Device)(nil)

// New opens a pcap port over a pool of env: it loads the file to replay, which ctx
// can end, and creates the file to write. Errors in cfg wrap pmd.ErrSpec. An env made
// by hand may lack a Host.
func New(ctx context.Context, cfg Config, env pmd.Env) (*Device, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	pool, err := env.Pool(pmd.Class{NUMANode: -1, FrameSize: cfg.FrameSize})
	if err != nil {
		return nil, fmt.Errorf("pcap %s: %w", cfg.Name, err)
	}
	d := &Device{
		cfg: cfg, host: env.Host, closing: make(chan struct{}),
	}
	d.OwnLink = pmd.NewOwnLink("pcap", cfg.Name, pool.MaxLen()-etherLen, d.notify)
	d.queue = &Queue{
		pool: pool, mem: pool.Mem(), offset: uint32(pool.DataOffset()),
		epoch: time.Now(), finished: make(chan struct{}),
	}
	d.queues = []pmd.Queue{d.queue}
	if err := d.openFiles(ctx, pool); err != nil {
		d.closeTimer()
		return nil, fmt.Errorf("pcap %s: %w", cfg.Name, err)
	}
	if d.capture != nil {
		d.watcher.Go(d.watch)
	}
	return d, nil
}

// openFiles loads the one and creates the other.
func (d *Device) openFiles(ctx context.Context, pool *mbuf.Pool) error {
	cfg, q := d.cfg, d.queue
	if cfg.RX != "" && cfg.TX != "" && same(cfg.RX, cfg.TX) {
		return fmt.Errorf("%w: rx=%s and tx=%s are the same file: it would be lost: write another", pmd.ErrSpec, cfg.RX, cfg.TX)
	}
	if cfg.RX != "" {
		lim := limits{maxMemory: cfg.MaxMemory, maxLen: pool.MaxLen(), partial: cfg.Partial, skipLong: cfg.SkipLong}
		if cfg.Recorded {
			lim.speed = cfg.Speed
		}
		c, err := load(ctx, cfg.RX, lim)
		if err != nil {
			return fmt.Errorf("rx=: %w", err)
		}
		if cfg.Recorded && cfg.Loops != 1 && c.period == 0 {
			return fmt.Errorf("rx=: %s: all its packets have one time, which tells no rate to loop at: use loop=off, rate=flat or a number of packets a second", cfg.RX)
		}
		if cfg.Loops != 1 && !cfg.Recorded {
			c.unroll()
		}
		d.capture, q.replay = c, newCursor(c, cfg.Loops)
		q.colours = pool.Colours(pool.DataOffset(), c.longest)
		switch {
		case cfg.Recorded:
			q.mode = rxRecorded
		case cfg.PPS != 0:
			q.mode, q.pace = rxPaced, newPace(cfg.PPS)
		default:
			q.mode = rxFlat
		}
	}
	if q.mode != rxNone && q.mode != rxFlat {
		t, err := newTimer()
		if err != nil {
			return err
		}
		q.timer = t
	}
	if cfg.TX == "" {
		return nil
	}
	w, err := create(cfg.TX, cfg.Name, cfg.SnapLen)
	if err != nil {
		return fmt.Errorf("tx=: %w", err)
	}
	snapLen := uint32(noLimit)
	if cfg.SnapLen != 0 {
		snapLen = uint32(cfg.SnapLen)
	}
	q.out = newRing(cfg.Buffer, snapLen)
	w.rings = []*ring{q.out}
	d.writer = w
	w.start(d.fail)
	return nil
}

// closeTimer gives up what the queue's owner slept on.
func (d *Device) closeTimer() {
	if t := d.queue.timer; t != nil {
		t.close()
	}
}

// same reports whether two paths are of one file.
func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && x.Mode().IsRegular() && os.SameFile(x, y)
}

// watch tells the host when the replay has finished.
func (d *Device) watch() {
	select {
	case <-d.queue.finished:
		d.notify(fmt.Sprintf("the replay of %s has finished, packets: %d", d.cfg.RX, d.total()))
	case <-d.closing:
	}
}

// total is how many packets are replayed in all.
func (d *Device) total() uint64 { return d.capture.packets * uint64(d.cfg.Loops) }

// fail notes that nothing can be written any more.
func (d *Device) fail(err error) {
	d.mu.Lock()
	d.written = err
	d.mu.Unlock()
	d.notify(err.Error())
}

// notify tells the host that Info has changed.
func (d *Device) notify(what string) {
	if d.host != nil {
		d.host.Notify(d, what)
	}
}

// Info describes the port. It is up until it is closed or the file cannot be
// written any more; a replay that has finished leaves it up.
func (d *Device) Info() pmd.Info {
	info := pmd.Info{
		Name: d.cfg.Name, Driver: "pcap", NUMANode: -1,
		Obtained: map[string]string{},
	}
	d.Describe(&info)
	if d.capture != nil {
		d.describeReplay(info.Obtained)
	}
	if d.writer != nil {
		info.Obtained["tx"] = d.cfg.TX
		info.Obtained["buffer"] = size(int64(d.cfg.Buffer))
		if d.cfg.SnapLen != 0 {
			info.Obtained["snaplen"] = strconv.Itoa(d.cfg.SnapLen)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		info.Detail = "closed"
	case d.written != nil:
		info.Detail = d.written.Error()
	default:
		info.Up = true
	}
	return info
}

// describeReplay enters what was loaded, and whether all of it has been received.
func (d *Device) describeReplay(to map[string]string) {
	c, count := d.capture, func(n uint64) string { return strconv.FormatUint(n, 10) }
	to["rx"], to["format"] = d.cfg.RX, c.format
	to["packets"], to["bytes"], to["longest"] = count(c.packets), count(c.bytes), strconv.Itoa(c.longest)
	switch d.cfg.Loops {
	case Forever:
		to["loop"] = "on"
	case 1:
		to["loop"] = "off"
	default:
		to["loop"] = strconv.Itoa(d.cfg.Loops)
	}
	switch {
	case d.cfg.Recorded:
		to["rate"] = "recorded"
		if d.cfg.Speed != 1 {
			to["speed"] = strconv.FormatFloat(d.cfg.Speed, 'g', -1, 64)
		}
	case d.cfg.PPS != 0:
		to["rate"] = strconv.Itoa(d.cfg.PPS)
	default:
		to["rate"] = "flat"
	}
	to["replay"] = "running"
	select {
	case <-d.queue.finished:
		to["replay"] = "finished"
	default:
	}
	for _, n := range []struct {
		key string
		n   uint64
	}{{"cut_when_captured", c.cut}, {"oversize_skipped", c.long}, {"empty_skipped", c.empty}} {
		if n.n > 0 {
			to[n.key] = count(n.n)
		}
	}
	if c.damage != nil {
		to["damage"] = c.damage.Error()
	}
}

// Queues returns the port's queue.
func (d *Device) Queues() []pmd.Queue { return d.queues }

// Close gives up the port: what waits to be written is written, and the file
// closed. It returns what went wrong with the file, now or before. The port holds no
// frames. Closing twice is harmless.
func (d *Device) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	close(d.closing)
	d.watcher.Wait()
	d.closeTimer()
	if d.writer == nil {
		return nil
	}
	if err := d.writer.close(); err != nil {
		return fmt.Errorf("pcap %s: tx=: %w", d.cfg.Name, err)
	}
	return nil
}
