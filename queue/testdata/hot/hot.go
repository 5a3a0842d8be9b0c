// Package hot makes the compiler translate the queues for a frame handle, so
// that a test can read what it says about their hot functions.
package hot

import "example.org/pmd/queue"

// Frame has the size and shape of a frame handle.
type Frame struct {
	Addr         uint64
	Len, Options uint32
}

// SPSC calls everything that is hot in an SPSC ring.
func SPSC(r *queue.SPSC[Frame], burst []Frame) {
	r.Enqueue(burst[0])
	r.EnqueueBulk(burst)
	r.EnqueueBurst(burst)
	burst[0], _ = r.Dequeue()
	r.DequeueBulk(burst)
	r.DequeueBurst(burst)
}

// MPSC calls everything that is hot in an MPSC ring.
func MPSC(r *queue.MPSC[Frame], burst []Frame) {
	r.Enqueue(burst[0])
	r.EnqueueBulk(burst)
	r.EnqueueBurst(burst)
	burst[0], _ = r.Dequeue()
	r.DequeueBulk(burst)
	r.DequeueBurst(burst)
}

// MPMC calls everything that is hot in an MPMC ring.
func MPMC(r *queue.MPMC[Frame], burst []Frame) {
	r.Enqueue(burst[0])
	r.EnqueueBulk(burst)
	r.EnqueueBurst(burst)
	burst[0], _ = r.Dequeue()
	r.DequeueBulk(burst)
	r.DequeueBurst(burst)
}

// Classic calls everything that is hot in a send queue.
func Classic(q *queue.Classic[Frame], burst []Frame) {
	_ = q.Enqueue(burst[0])
	q.EnqueueBurst(burst)
	q.Offer(burst)
	burst[0], _ = q.Poll()
	burst[0], _ = q.Remove()
	q.DequeueBurst(burst)
}
