package dataplane

// sampleEvery is how many turns pass between two that are measured in full. It is odd,
// so that a pattern of turns is not met at the same place each time.
const sampleEvery = 127

// spent is the account of a worker's cycles, by what they were spent on, of the turns
// that were measured. It belongs to the worker.
type spent struct {
	// on says that this turn is measured; mark is where the last part ended.
	on   bool
	mark uint64
	left int // turns until the next one that is measured

	turns, packets                      uint64
	receive, stage, transmit, idle, ctl uint64
}

// lap ends a part of a turn that is measured.
func (w *Worker) lap(part *uint64) {
	now := w.clock.Now()
	*part += now - w.spent.mark
	w.spent.mark = now
}

// sampled ends a turn that was measured, at now, and work tells what it moved.
func (s *spent) sampled(now uint64, work int) {
	if work > 0 {
		s.transmit += now - s.mark
	} else {
		s.idle += now - s.mark
	}
	s.turns++
	s.packets += uint64(work)
	s.on, s.left = false, sampleEvery
}

// Cycles tells what a core spends its cycles on, of the turns of the poll loop that
// were measured in full: one in 127. Sleeping is not in it.
type Cycles struct {
	// Turns and Packets are the turns measured, and the frames they moved.
	Turns   uint64 `json:"turns"`
	Packets uint64 `json:"packets"`
	// Receive are cycles of the clock spent in taking frames from queues, Stage
	// in the stage, Transmit in giving them to queues and making them leave,
	// Idle in looking for frames where there were none, Control in messages.
	Receive  uint64 `json:"receive"`
	Stage    uint64 `json:"stage"`
	Transmit uint64 `json:"transmit"`
	Idle     uint64 `json:"idle"`
	Control  uint64 `json:"control"`
}

// PerPacket returns the cycles a packet of each part and of all of them; 0 if no turn
// measured moved a frame.
func (c Cycles) PerPacket() (receive, stage, transmit, idle, total float64) {
	if c.Packets == 0 {
		return 0, 0, 0, 0, 0
	}
	n := float64(c.Packets)
	return float64(c.Receive) / n, float64(c.Stage) / n, float64(c.Transmit) / n, float64(c.Idle) / n,
		float64(c.Receive+c.Stage+c.Transmit+c.Idle+c.Control) / n
}

// Since returns what was spent since an earlier picture of the same core.
func (c Cycles) Since(then Cycles) Cycles {
	if c.Turns < then.Turns {
		return c
	}
	return Cycles{
		Turns: c.Turns - then.Turns, Packets: c.Packets - then.Packets, Receive: c.Receive - then.Receive, Stage: c.Stage - then.Stage,
		Transmit: c.Transmit - then.Transmit, Idle: c.Idle - then.Idle, Control: c.Control - then.Control,
	}
}
