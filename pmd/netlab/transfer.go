package netlab

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// transferBuffer is how much the two ends of a transfer write and read at a
// time, in bytes.
const transferBuffer = 128 << 10

// errHash is the error of a transfer whose bytes were changed on the way.
var errHash = errors.New("the bytes received are not the bytes sent")

// TransferResult is the account of one TCPTransfer.
type TransferResult struct {
	// Sent and Received count bytes of payload.
	Sent, Received int64
	// SentSum and ReceivedSum are SHA-256 sums of them, equal if err is nil.
	SentSum, ReceivedSum [sha256.Size]byte
	// Elapsed is the time from the established connection to the last byte
	// received.
	Elapsed time.Duration
}

// BitsPerSecond is the rate of payload received.
func (r TransferResult) BitsPerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Received) * 8 / r.Elapsed.Seconds()
}

// TCPTransfer sends n pseudo-random bytes over a TCP connection between the
// kernel stacks of two namespaces, and compares the SHA-256 sums of both ends.
// addr is where the receiver listens: an address of to, port 0 for any. Any
// difference is an error; so is the end of ctx, which without a deadline comes
// after a minute.
func TCPTransfer(ctx context.Context, from, to *Namespace, addr netip.AddrPort, n int64) (TransferResult, error) {
	if n < 0 {
		return TransferResult{}, fmt.Errorf("netlab: TCP transfer to %v: %d bytes cannot be sent", addr, n)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	res, err := transfer(ctx, from, to, addr, n)
	if err != nil {
		// A connection that ctx closed reports that it is closed.
		return res, fmt.Errorf("netlab: TCP transfer to %v: %d of %d bytes arrived: %w", addr, res.Received, n, errors.Join(ctx.Err(), err))
	}
	return res, nil
}

func transfer(ctx context.Context, from, to *Namespace, addr netip.AddrPort, n int64) (TransferResult, error) {
	var res TransferResult
	lis, err := to.Listen(ctx, "tcp", addr.String())
	if err != nil {
		return res, err
	}
	defer lis.Close()
	defer context.AfterFunc(ctx, func() { lis.Close() })()

	// The receiver ends by itself: its connection ends with the sender's,
	// or with ctx.
	type received struct {
		n   int64
		sum [sha256.Size]byte
		at  time.Time
		err error
	}
	done := make(chan received, 1)
	go func() {
		var r received
		r.n, r.sum, r.err = receive(ctx, lis)
		r.at = time.Now()
		done <- r
	}()
	conn, err := from.Dial(ctx, "tcp", lis.Addr().String())
	if err != nil {
		lis.Close()
		<-done
		return res, err
	}
	begin := time.Now()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	res.Sent, res.SentSum, err = send(conn, n)
	if err == nil {
		// Says "that was all" and leaves the connection to the receiver.
		err = conn.(*net.TCPConn).CloseWrite()
	}
	if err != nil {
		conn.Close()
	}
	r := <-done
	stop()
	conn.Close()
	res.Received, res.ReceivedSum, res.Elapsed = r.n, r.sum, r.at.Sub(begin)
	if err = errors.Join(err, r.err); err == nil && (res.Received != n || res.SentSum != res.ReceivedSum) {
		err = errHash
	}
	return res, err
}

// send writes n pseudo-random bytes.
func send(w io.Writer, n int64) (sent int64, sum [sha256.Size]byte, err error) {
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // documented never to fail
	hash := sha256.New()
	src := mrand.NewChaCha8(seed)
	sent, err = io.CopyBuffer(io.MultiWriter(w, hash), struct{ io.Reader }{io.LimitReader(src, n)}, make([]byte, transferBuffer))
	hash.Sum(sum[:0])
	return sent, sum, err
}

// receive takes one connection and reads it to its end.
func receive(ctx context.Context, lis net.Listener) (n int64, sum [sha256.Size]byte, err error) {
	conn, err := lis.Accept()
	if err != nil {
		return 0, sum, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	hash := sha256.New()
	n, err = io.CopyBuffer(struct{ io.Writer }{hash}, struct{ io.Reader }{conn}, make([]byte, transferBuffer))
	hash.Sum(sum[:0])
	return n, sum, err
}
