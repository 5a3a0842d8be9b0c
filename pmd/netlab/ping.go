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
	// pingWait is how long a reply may take before the next request.
	pingWait = time.Second
	// pingInterval is the pause between a reply and the next request.
	pingInterval = time.Millisecond
	// maxPings is the number of sequence numbers (RFC 792: 16 bits).
	maxPings = 1 << 16
	// checkTimeout bounds a check whose context has no deadline.
	checkTimeout = time.Minute
)

// PingResult is the account of one Ping.
type PingResult struct {
	// Sent and Received count requests, and the requests that were answered
	// in time with the bytes that had been sent.
	Sent, Received int
	// Min, Avg and Max are round-trip times; 0 if nothing was received.
	Min, Avg, Max time.Duration
}

// Lost is the number of requests without an answer.
func (r PingResult) Lost() int { return r.Sent - r.Received }

// Ping sends count ICMP echo requests, 1 to 65536, from the namespace to dst,
// IPv4 (RFC 792) or IPv6 (RFC 4443), each one after the answer to the one
// before or after a second without. Requests that nobody answers are in the
// result and no error; the error is of the socket or of ctx, with what was
// counted until then. Without a deadline in ctx it ends after a minute.
func Ping(ctx context.Context, from *Namespace, dst netip.Addr, count int) (PingResult, error) {
	if count < 1 || count > maxPings {
		return PingResult{}, fmt.Errorf("netlab: ping %v: %d requests are not within 1 to %d", dst, count, maxPings)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	network, wildcard := "ip4:icmp", "0.0.0.0"
	if dst.Is6() {
		network, wildcard = "ip6:ipv6-icmp", "::"
	}
	conn, err := from.ListenPacket(ctx, network, wildcard)
	if err != nil {
		return PingResult{}, fmt.Errorf("netlab: ping %v: %w", dst, err)
	}
	defer conn.Close()
	// Whatever the socket waits for, it stops waiting with ctx.
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	p := pinger{conn: conn, dst: dst, id: uint16(rand.Uint32()), nonce: rand.Uint64()}
	var res PingResult
	var sum time.Duration
	for seq := range count {
		rtt, err := p.once(uint16(seq), &res)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if err != nil {
			return res, fmt.Errorf("netlab: ping %v: request %d of %d: %w", dst, seq+1, count, err)
		}
		if rtt == 0 {
			continue
		}
		sum += rtt
		res.Received++
		res.Avg = sum / time.Duration(res.Received)
		res.Max = max(res.Max, rtt)
		if res.Min == 0 || rtt < res.Min {
			res.Min = rtt
		}
		time.Sleep(pingInterval)
	}
	return res, nil
}

// bounded adds the default deadline to a context without one.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, checkTimeout)
}

// pinger is one socket's conversation.
type pinger struct {
	conn  net.PacketConn
	dst   netip.Addr
	id    uint16
	nonce uint64
}

// once sends one request and waits for its answer; 0 is no answer.
func (p *pinger) once(seq uint16, res *PingResult) (time.Duration, error) {
	request := echo{p.dst.Is6(), p.id, seq, p.nonce}.marshal()
	begin := time.Now()
	if _, err := p.conn.WriteTo(request, &net.IPAddr{IP: p.dst.AsSlice(), Zone: p.dst.Zone()}); err != nil {
		return 0, err
	}
	res.Sent++
	if err := p.conn.SetReadDeadline(begin.Add(pingWait)); err != nil {
		return 0, err
	}
	buf := make([]byte, 1500)
	for {
		// A raw socket sees every ICMP message of the namespace.
		n, from, err := p.conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		if a, ok := from.(*net.IPAddr); !ok || !a.IP.Equal(p.dst.AsSlice()) {
			continue
		}
		if e, ok := parseEchoReply(buf[:n], p.dst.Is6()); ok && e == (echo{p.dst.Is6(), p.id, seq, p.nonce}) {
			return time.Since(begin), nil
		}
	}
}

// echo is what an echo request and its reply have in common.
type echo struct {
	v6    bool
	id    uint16
	seq   uint16
	nonce uint64
}

// Message types: RFC 792 for ICMP, RFC 4443 sections 4.1 and 4.2 for ICMPv6.
const (
	icmpEchoReply     = 0
	icmpEchoRequest   = 8
	icmpv6EchoRequest = 128
	icmpv6EchoReply   = 129

	echoHeader = 8
	echoData   = 56 // as much as ping(8) sends
)

// marshal returns the request.
func (e echo) marshal() []byte {
	b := make([]byte, echoHeader+echoData)
	b[0] = icmpEchoRequest
	if e.v6 {
		b[0] = icmpv6EchoRequest
	}
	binary.BigEndian.PutUint16(b[4:], e.id)
	binary.BigEndian.PutUint16(b[6:], e.seq)
	fillPattern(b[echoHeader:], e.nonce, uint64(e.seq))
	if !e.v6 { // the kernel writes the checksum of ICMPv6 (RFC 3542, 3.1)
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// parseEchoReply reads a reply and checks its checksum (ICMPv6: the kernel
// has) and every byte of its data.
func parseEchoReply(b []byte, v6 bool) (echo, bool) {
	if len(b) != echoHeader+echoData || b[1] != 0 {
		return echo{}, false
	}
	if v6 && b[0] != icmpv6EchoReply || !v6 && (b[0] != icmpEchoReply || checksum(b) != 0) {
		return echo{}, false
	}
	e := echo{
		v6:    v6,
		id:    binary.BigEndian.Uint16(b[4:]),
		seq:   binary.BigEndian.Uint16(b[6:]),
		nonce: binary.BigEndian.Uint64(b[echoHeader:]),
	}
	return e, checkPattern(b[echoHeader:], e.nonce, uint64(e.seq))
}
