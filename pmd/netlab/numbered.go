package netlab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	// minDatagram holds the number and the key of a run; maxDatagram is the
	// largest UDP payload of an unfragmented jumbo frame's size.
	minDatagram     = 16
	maxDatagram     = 9000
	defaultDatagram = 256
	defaultRate     = 20_000
	maxDatagrams    = 1 << 24

	// datagramTick is how often a receiver looks whether it is done: when
	// all have come and no duplicate followed for one tick, or when the
	// sender has ended and nothing came for datagramIdle ticks.
	datagramTick = 20 * time.Millisecond
	datagramIdle = 25
	// datagramBuffer is the receive buffer asked for, in bytes: at the
	// default rate and size some hundred milliseconds' worth, so that a
	// busy machine is not mistaken for a lossy path.
	datagramBuffer = 8 << 20
	// burstInterval is how often a sender sends.
	burstInterval = time.Millisecond
	// datagramBurst is the most it sends at once.
	datagramBurst = 128
)

// UDPConfig says what UDPNumbered sends.
type UDPConfig struct {
	// A and B are the addresses of the two ends; port 0 takes any.
	A, B netip.AddrPort
	// Count is the number of datagrams in each direction, 1 to 2^24.
	Count int
	// Rate is the number of datagrams a second in each direction; 0 is
	// 20,000.
	Rate int
	// Size is the payload of one datagram in bytes, 16 to 9000; 0 is 256.
	Size int
}

// UDPDirection is the account of one direction.
// Sent = Received + Lost, always.
type UDPDirection struct {
	// Sent counts datagrams given to the sending socket.
	Sent int
	// Received counts different datagrams that arrived whole.
	Received int
	// Lost counts those that did not arrive, or not whole.
	Lost int
	// Duplicated counts arrivals beyond the first of the same datagram.
	Duplicated int
	// Reordered counts datagrams with a lower number than one that came
	// before (RFC 4737, section 3.3).
	Reordered int
	// Corrupted counts arrivals that are not what was sent.
	Corrupted int
}

// Clean tells whether everything arrived once and whole; the order is not
// looked at.
func (d UDPDirection) Clean() bool {
	return d.Lost == 0 && d.Duplicated == 0 && d.Corrupted == 0
}

// UDPResult is the account of one UDPNumbered.
type UDPResult struct{ AtoB, BtoA UDPDirection }

// UDPNumbered sends numbered datagrams both ways at once between the kernel
// stacks of two namespaces and checks every byte of each that arrives. What
// was lost or changed on the way is in the result and no error; the error is
// of a socket or of ctx, with what was counted until then. Without a deadline
// in ctx it ends after a minute.
func UDPNumbered(ctx context.Context, a, b *Namespace, cfg UDPConfig) (UDPResult, error) {
	if cfg.Rate == 0 {
		cfg.Rate = defaultRate
	}
	if cfg.Size == 0 {
		cfg.Size = defaultDatagram
	}
	if cfg.Count < 1 || cfg.Count > maxDatagrams || cfg.Rate < 0 || cfg.Size < minDatagram || cfg.Size > maxDatagram {
		return UDPResult{}, fmt.Errorf("netlab: UDP: %d datagrams of %d bytes at %d a second: count must be 1 to %d, size %d to %d, and the rate positive",
			cfg.Count, cfg.Size, cfg.Rate, maxDatagrams, minDatagram, maxDatagram)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	res, err := exchange(ctx, a, b, cfg)
	if err != nil {
		return res, fmt.Errorf("netlab: UDP %v and %v: %w", cfg.A, cfg.B, errors.Join(ctx.Err(), err))
	}
	return res, nil
}

func exchange(ctx context.Context, a, b *Namespace, cfg UDPConfig) (UDPResult, error) {
	// Both sockets are open before the first datagram leaves.
	ca, err := openUDP(ctx, a, cfg.A)
	if err != nil {
		return UDPResult{}, err
	}
	defer ca.Close()
	cb, err := openUDP(ctx, b, cfg.B)
	if err != nil {
		return UDPResult{}, err
	}
	defer cb.Close()
	defer context.AfterFunc(ctx, func() { ca.Close(); cb.Close() })()

	key := rand.Uint64()
	type outcome struct {
		d   UDPDirection
		err error
	}
	direction := func(from, to *net.UDPConn, key uint64) <-chan outcome {
		c := make(chan outcome, 1)
		go func() {
			d, err := oneWay(ctx, from, to, key, cfg)
			c <- outcome{d, err}
		}()
		return c
	}
	// Different keys: a datagram that comes back to its sender is corrupted.
	ab, ba := direction(ca, cb, key), direction(cb, ca, key+1)
	x, y := <-ab, <-ba
	return UDPResult{x.d, y.d}, errors.Join(x.err, y.err)
}

func openUDP(ctx context.Context, n *Namespace, at netip.AddrPort) (*net.UDPConn, error) {
	c, err := n.ListenPacket(ctx, "udp", at.String())
	if err != nil {
		return nil, err
	}
	u := c.(*net.UDPConn)
	if err := readBuffer(u, datagramBuffer); err != nil {
		u.Close()
		return nil, fmt.Errorf("receive buffer: %w", err)
	}
	return u, nil
}

// oneWay sends from one socket and receives at the other.
func oneWay(ctx context.Context, from, to *net.UDPConn, key uint64, cfg UDPConfig) (UDPDirection, error) {
	var sent int
	var sendErr error
	done := make(chan struct{}) // closed when sent and sendErr are final
	go func() {
		defer close(done)
		sent, sendErr = sendNumbered(ctx, from, to.LocalAddr().(*net.UDPAddr).AddrPort(), key, cfg)
	}()
	tr := newTracker(cfg.Count)
	err := to.SetReadDeadline(time.Now().Add(datagramTick))
	if err == nil {
		err = receiveNumbered(to, key, cfg.Size, tr, done)
	}
	<-done
	tr.d.Sent = sent
	tr.d.Lost = sent - tr.d.Received
	return tr.d, errors.Join(sendErr, err)
}

// sendNumbered sends cfg.Count datagrams at the rate, a few each millisecond,
// and returns how many left. A sender that was late does not make up for it at once:
// that would be a burst as long as the machine was busy, and a queue somewhere on the
// way would be too short for it.
func sendNumbered(ctx context.Context, c *net.UDPConn, to netip.AddrPort, key uint64, cfg UDPConfig) (int, error) {
	begin := time.Now()
	b := make([]byte, cfg.Size)
	for n := 0; n < cfg.Count; {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		due := 1 + int(time.Since(begin).Seconds()*float64(cfg.Rate))
		if late := due - n - datagramBurst; late > 0 {
			begin = begin.Add(time.Duration(float64(late) / float64(cfg.Rate) * float64(time.Second)))
			due -= late
		}
		for due = min(due, cfg.Count); n < due; n++ {
			putDatagram(b, key, uint64(n))
			if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
				return n, err
			}
		}
		time.Sleep(burstInterval)
	}
	return cfg.Count, nil
}

// receiveNumbered reads until everything has come or nothing more does. sent
// is closed when the sender has ended.
func receiveNumbered(c *net.UDPConn, key uint64, size int, tr *tracker, sent <-chan struct{}) error {
	buf := make([]byte, maxDatagram+1)
	idle, arrived := 0, false
	for {
		n, _, err := c.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			arrived = true
			if seq, ok := parseDatagram(buf[:n], key, size); ok {
				tr.observe(seq)
			} else {
				tr.d.Corrupted++
			}
			continue
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		if idle++; arrived {
			idle = 0
		}
		if idle >= datagramIdle || idle > 0 && tr.d.Received == tr.count {
			select {
			case <-sent:
				return nil
			default:
			}
		}
		arrived = false
		if err := c.SetReadDeadline(time.Now().Add(datagramTick)); err != nil {
			return err
		}
	}
}

// putDatagram fills b: its number in the first 8 bytes, then the pattern.
func putDatagram(b []byte, key, seq uint64) {
	binary.BigEndian.PutUint64(b, seq)
	fillPattern(b[8:], key, seq)
}

// parseDatagram returns the number of a datagram that is in every byte what
// was sent. A changed number shows too: the pattern follows from it.
func parseDatagram(b []byte, key uint64, size int) (seq uint64, ok bool) {
	if len(b) != size || len(b) < minDatagram {
		return 0, false
	}
	seq = binary.BigEndian.Uint64(b)
	return seq, checkPattern(b[8:], key, seq)
}

// tracker counts what arrives in one direction. One goroutine owns it.
type tracker struct {
	count int
	seen  []uint64 // one bit for each number
	next  uint64   // one more than the highest number seen
	d     UDPDirection
}

func newTracker(count int) *tracker {
	return &tracker{count: count, seen: make([]uint64, (count+63)/64)}
}

// observe takes note of the arrival of a number.
func (t *tracker) observe(seq uint64) {
	if seq >= uint64(t.count) {
		t.d.Corrupted++
		return
	}
	word, bit := &t.seen[seq/64], uint64(1)<<(seq%64)
	if *word&bit != 0 {
		t.d.Duplicated++
		return
	}
	*word |= bit
	t.d.Received++
	if seq < t.next {
		t.d.Reordered++
	} else {
		t.next = seq + 1
	}
}
