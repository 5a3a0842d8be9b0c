package pcap

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

const (
	// maxWrite is how much is given to the file system at once, so that what was
	// written is soon counted and its place in the ring free.
	maxWrite = 1 << 20
	// minRest and maxRest bound how long the writer sleeps when there is nothing to
	// write. At 10 Gbit/s the default buffer fills in 13 ms.
	minRest = 200 * time.Microsecond
	maxRest = 4 * time.Millisecond
	// closeTime bounds how long Close waits for a pipe that nobody reads.
	closeTime = 2 * time.Second
)

// writer writes the blocks of rings to a file. Its goroutine owns it until it has
// ended; the poll cores never wait for it.
type writer struct {
	path  string
	file  *os.File // nil in tests
	zip   *gzip.Writer
	w     io.Writer // file or zip
	rings []*ring
	// written counts the bytes that went to w, up to the last whole block.
	written int64

	stop chan struct{}
	done chan struct{}
	// failed is called once, if writing has failed.
	failed func(error)
	err    error
}

// create makes the file and writes its head.
func create(path, port string, snapLen int) (*writer, error) {
	f, err := openOutput(path)
	if err != nil {
		return nil, err
	}
	w := &writer{path: path, file: f, w: f}
	if strings.HasSuffix(path, ".gz") {
		// Speed first: it is one goroutine against a poll core.
		if w.zip, err = gzip.NewWriterLevel(f, gzip.BestSpeed); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		w.w = w.zip
	}
	if err := w.head(port, snapLen); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

// head writes the section header and the description of the interface.
func (w *writer) head(port string, snapLen int) error {
	count := &counted{w: w.w}
	ng, err := pcapgo.NewNgWriterInterface(count, pcapgo.NgInterface{
		Name: port, Description: "pmd port " + port, OS: runtime.GOOS,
		LinkType: layers.LinkTypeEthernet, SnapLength: uint32(snapLen),
		TimestampResolution: 9, // 10^-9 s
	}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
		Hardware: runtime.GOARCH, OS: runtime.GOOS, Application: "pmd",
	}})
	if err == nil {
		err = ng.Flush()
	}
	w.written = count.n
	return err
}

// counted counts what is written.
type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// start runs the writer. failed is called on its goroutine if writing fails.
func (w *writer) start(failed func(error)) {
	w.failed = failed
	w.stop, w.done = make(chan struct{}), make(chan struct{})
	go w.run()
}

// run writes until it is stopped and nothing is left.
func (w *writer) run() {
	defer close(w.done)
	rest := minRest
	timer := time.NewTimer(rest)
	defer timer.Stop()
	for stopping := false; ; {
		work := false
		for _, r := range w.rings {
			work = w.drain(r) || work
		}
		switch {
		case work:
			rest = minRest
			continue
		case stopping:
			return
		}
		timer.Reset(rest)
		rest = min(2*rest, maxRest)
		select {
		case <-timer.C:
		case <-w.stop:
			stopping = true // the queues have no owner any more: one more look
		}
	}
}

// drain writes what is in the ring, and reports whether there was any. It ends with
// a whole block, so that those of several rings do not mix.
func (w *writer) drain(r *ring) bool {
	to := r.ready.Load() // pairs with the store in ring.put
	if r.next == to {
		return false
	}
	for wrote := r.next; wrote < to && w.err == nil; {
		at := wrote & r.mask
		n := min(to-wrote, uint64(len(r.buf))-at, maxWrite)
		done, err := w.w.Write(r.buf[at : at+n])
		wrote += uint64(done)
		w.count(r, wrote)
		if err != nil {
			w.fail(err)
		}
	}
	if r.next < to {
		w.lose(r, to)
	}
	return true
}

// count counts the blocks before end as sent and gives their place free.
func (w *writer) count(r *ring, end uint64) {
	from := r.next
	frames, bytes := r.skip(end)
	w.written += int64(r.next - from)
	// The writer alone stores these; they pair with the loads in Queue.Counters.
	r.sentBytes.Store(r.sentBytes.Load() + bytes)
	r.sent.Store(r.sent.Load() + frames)
	r.tail.Store(r.next) // pairs with the load in ring.put
}

// lose counts the blocks before end as lost.
func (w *writer) lose(r *ring, end uint64) {
	frames, _ := r.skip(end)
	r.lost.Store(r.lost.Load() + frames) // pairs with the load in Queue.Counters
	r.tail.Store(r.next)                 // pairs with the load in ring.put
}

// fail gives up writing. What was written stays, up to the last whole packet.
func (w *writer) fail(err error) {
	w.err = fmt.Errorf("write %s: %w", w.path, bare(err))
	if w.zip == nil && w.file != nil && regular(w.file) {
		if err := w.file.Truncate(w.written); err != nil {
			w.err = errors.Join(w.err, fmt.Errorf("cut %s behind its last whole packet: %w", w.path, bare(err)))
		}
	}
	if w.failed != nil {
		w.failed(w.err)
	}
}

// bare is err without the name of the file, which is told already.
func bare(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// regular reports whether f is a file on a disk, and not a pipe or a device.
func regular(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// close writes what is left and closes the file. No queue may be in use any more.
func (w *writer) close() error {
	if !regular(w.file) {
		// A pipe that nobody reads would hold us for ever. A file that knows no
		// deadline does not block either.
		_ = w.file.SetWriteDeadline(time.Now().Add(closeTime))
	}
	close(w.stop)
	<-w.done
	err := w.err
	if w.zip != nil && err == nil {
		if zerr := w.zip.Close(); zerr != nil {
			err = fmt.Errorf("write %s: %w", w.path, bare(zerr))
		}
	}
	if cerr := w.file.Close(); cerr != nil && err == nil {
		err = cerr
	}
	return err
}
