package queue

// length returns how many elements have been put in and not yet taken out, as
// far as published, and no more than most.
func length(producer, consumer *position, most uint32) int {
	// Both pair with the stores in single.advance and multi.publish. The
	// consumer's comes first: it cannot then be ahead of the producer's, and
	// the difference cannot wrap. It can be too large, if both sides move on
	// between the two loads, hence the bound.
	head := consumer.load()
	return int(min(producer.load()-head, most))
}
