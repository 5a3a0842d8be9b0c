package demo

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync/atomic"
)

// window is the most frames of one direction that are under way: fewer than a ring
// holds, so that nothing is lost for want of room.
const window = 512

// direction is a number of frames from one end to the other. The sender's fields
// and the receiver's belong to their goroutines; arrived is shared.
type direction struct {
	count uint64
	// flow returns a new maker of the frames; each side has one.
	flow func() *flow

	// Sender's.
	sent    uint64
	sentSum hash.Hash

	// arrived is written by the receiver and read by the sender, who keeps
	// within the window. It carries no other data: the frames themselves are
	// handed over by the rings.
	arrived atomic.Uint64

	// Receiver's. damaged frames are not what was sent, strange ones not what
	// was due: lost, twice or out of order, which rings never do.
	damaged, strange uint64
	sum              hash.Hash
}

// newDirection returns a direction. With sums, payloads are hashed on both sides.
func newDirection(count uint64, newFlow func() *flow, sums bool) *direction {
	d := &direction{count: count, flow: newFlow}
	if sums {
		d.sentSum, d.sum = sha256.New(), sha256.New()
	}
	return d
}

// clean tells what is wrong with what arrived, or nil.
func (d *direction) clean() error {
	if n := d.arrived.Load(); n != d.count || d.damaged > 0 || d.strange > 0 {
		return fmt.Errorf("%d of %d frames arrived, %d damaged, %d out of turn", n, d.count, d.damaged, d.strange)
	}
	if d.sum != nil && string(d.sum.Sum(nil)) != string(d.sentSum.Sum(nil)) {
		return fmt.Errorf("the bytes received are not the bytes sent")
	}
	return nil
}

// talk is one end's part: it sends what tx says and receives what rx says, until
// both are done or ctx is. Both ends talk at the same time, each on a goroutine.
func talk(ctx context.Context, e *end, tx, rx *direction) error {
	out, in := tx.flow(), rx.flow()
	put := func(i int, b []byte) { out.put(b, tx.sent+uint64(i)) }
	var got, next uint64
	look := func(b []byte) {
		n, ok := in.check(b)
		switch {
		case !ok:
			rx.damaged++
			n = next
		case n != next:
			rx.strange++
		}
		if next = n + 1; rx.sum != nil {
			rx.sum.Write(b[min(offPayload, len(b)):])
		}
		got++
	}
	hashed := make([]byte, out.size())
	var idle idler
	for tx.sent < tx.count || got < rx.count {
		if err := ctx.Err(); err != nil {
			return err
		}
		moved := 0
		// Load pairs with the Store below at the other end.
		if room := window - int(tx.sent-tx.arrived.Load()); room > 0 && tx.sent < tx.count {
			want := int(min(uint64(room), tx.count-tx.sent))
			moved = e.send(want, out.size(), put)
			for i := 0; tx.sentSum != nil && i < moved; i++ {
				out.put(hashed, tx.sent+uint64(i))
				tx.sentSum.Write(hashed[offPayload:])
			}
			tx.sent += uint64(moved)
		}
		if n := e.receive(look); n > 0 {
			rx.arrived.Store(got) // pairs with the Load above at the other end
			moved += n
		}
		idle.after(moved)
	}
	return nil
}

// converse lets both ends talk, each on a goroutine of its own.
func converse(ctx context.Context, a, b *end, ab, ba *direction) error {
	far := make(chan error, 1)
	go func() { far <- talk(ctx, b, ba, ab) }()
	err := talk(ctx, a, ab, ba)
	if ferr := <-far; err == nil {
		err = ferr
	}
	return err
}
