package queue

// A snapshot is for taking stock: an account of frames walks every owner, and
// a ring is one of them. It is not part of [Discipline] and no worker calls it
// between bursts.

// Snapshot copies up to len(dst) of the waiting elements to dst, oldest first,
// and returns how many. They stay in the ring. It is valid only while nobody
// else uses the ring: behind a barrier, or with producers and consumers gone.
func (r *SPSC[T]) Snapshot(dst []T) int {
	return snapshot(&r.slots, dst, &r.prod.shared, &r.cons.shared)
}

// Snapshot copies up to len(dst) of the waiting elements to dst, oldest first,
// and returns how many. They stay in the ring. It is valid only while nobody
// else uses the ring: behind a barrier, or with producers and consumers gone.
func (r *MPMC[T]) Snapshot(dst []T) int {
	return snapshot(&r.slots, dst, &r.prod.shared, &r.cons.shared)
}

// Snapshot copies up to len(dst) of the waiting elements to dst, oldest first,
// and returns how many. They stay in the queue. It is for the consumer, or valid
// while nobody uses the queue: behind a barrier, or with all gone.
func (q *Classic[T]) Snapshot(dst []T) int {
	return snapshot(&q.slots, dst, &q.prod.shared, &q.cons.shared)
}

// snapshot copies what stands between the positions of the two sides.
func snapshot[T any](s *slots[T], dst []T, producer, consumer *position) int {
	// Pairs with the store in publish, or advance, of the consumers: it is
	// exact only because they stand still.
	head := consumer.load()
	// Pairs with the store in publish, or advance, of the producers: their
	// copies into the slots before it are done.
	n := min(len(dst), int(producer.load()-head))
	s.get(head, dst[:n])
	return n
}
