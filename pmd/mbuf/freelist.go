package mbuf

import "example.org/pmd/queue"

// recentFrames is how many frames a free list keeps to give them out again first: a few
// bulks, so that a core which trades at the same time finds room.
const recentFrames = 4 * cacheBulk

// freeList holds the chunk addresses that nobody has taken. Any goroutine may use it.
//
// Where one core receives and another frees, every frame goes through here. First in, first
// out would bring each frame of the pool round in turn, and when its turn came its bytes would
// have left every cache. So what came back lately, up to recentFrames, is given out before
// the others.
type freeList struct {
	recent *queue.MPMC[uint64]
	rest   *queue.MPMC[uint64] // has room for all
}

func newFreeList(frames int) (freeList, error) {
	recent, err := queue.NewMPMC[uint64](min(recentFrames, frames))
	if err != nil {
		return freeList{}, err
	}
	rest, err := queue.NewMPMC[uint64](frames)
	return freeList{recent, rest}, err
}

// put takes addresses back. False means that they are more than there can be.
func (l freeList) put(addrs []uint64) bool {
	return l.recent.EnqueueBulk(addrs) || l.rest.EnqueueBulk(addrs)
}

// take fills dst, with fewer than want only if there are no more, and returns how many.
func (l freeList) take(dst []uint64, want int) int {
	n := l.recent.DequeueBurst(dst)
	if n < want {
		n += l.rest.DequeueBurst(dst[n:])
	}
	return n
}

// len returns how many addresses there are.
func (l freeList) len() int { return l.recent.Len() + l.rest.Len() }

// snapshot copies them into dst, which has room for all, and returns how many. Nobody may
// change the list meanwhile.
func (l freeList) snapshot(dst []uint64) int {
	n := l.recent.Snapshot(dst)
	return n + l.rest.Snapshot(dst[n:])
}
