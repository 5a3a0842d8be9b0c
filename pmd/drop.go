package pmd

import "strconv"

// Reason says why a frame was dropped. Every drop has one; docs/drops.md tells
// what each means and what to do about it.
type Reason uint8

// Reasons a driver may count. They index QueueCounters.Drops.
const (
	// ReasonTxInvalid is a frame that the port cannot send: empty, or longer
	// than the device takes.
	ReasonTxInvalid Reason = iota
	// ReasonTxKernel is a frame the kernel took from the transmit ring and then
	// dropped (NET_XMIT_DROP, told by EBUSY).
	ReasonTxKernel
	// ReasonTxLost is a frame posted for transmission on a queue that went away
	// before the kernel had sent it.
	ReasonTxLost
	// DriverReasons is the number of reasons a driver may count.
	DriverReasons
)

// Reasons the dataplane and its forwarding modes count.
const (
	// ReasonTxFull is a frame for which the output queue had no room.
	ReasonTxFull Reason = iota + DriverReasons
	// ReasonSendQueueFull is a frame for a port of another core whose send
	// queue had no room.
	ReasonSendQueueFull
	// ReasonPortDown is a frame for a port that is down or gone.
	ReasonPortDown
	// ReasonNotPolled is a frame for a port that no core polls.
	ReasonNotPolled
	// ReasonNoPort is a frame for which the cross-connect names no output port.
	ReasonNoPort
	// ReasonMalformed is a frame too short for the headers the mode needs.
	ReasonMalformed
	// ReasonSink is a frame that the mode takes out of circulation on purpose.
	ReasonSink
	// ReasonUnanswered is a frame that a mode which answers has no answer to.
	ReasonUnanswered
	// ReasonNoFrame is a frame that had to be copied to another pool that had
	// none free, or none long enough.
	ReasonNoFrame
	// ReasonStagePanic is a frame that was in the hands of a stage that
	// panicked.
	ReasonStagePanic
	// ReasonMultiBuffer is a packet of several frames that the stage knows nothing
	// of.
	ReasonMultiBuffer
	// ReasonStopped is a frame in a transmit buffer or send queue when the
	// dataplane stopped or its port was taken away.
	ReasonStopped
	// ReasonUser is the first of the reasons an embedding program may name.
	ReasonUser
)

// MaxReasons is the number of reasons there can be, ReasonUser and up included.
const MaxReasons = 32

var reasonNames = [ReasonUser]string{
	ReasonTxInvalid:     "tx_invalid",
	ReasonTxKernel:      "tx_kernel",
	ReasonTxLost:        "tx_lost",
	ReasonTxFull:        "tx_full",
	ReasonSendQueueFull: "send_queue_full",
	ReasonPortDown:      "port_down",
	ReasonNotPolled:     "not_polled",
	ReasonNoPort:        "no_port",
	ReasonMalformed:     "malformed",
	ReasonSink:          "sink",
	ReasonUnanswered:    "unanswered",
	ReasonNoFrame:       "no_frame",
	ReasonStagePanic:    "stage_panic",
	ReasonMultiBuffer:   "multi_buffer",
	ReasonStopped:       "stopped",
}

// String returns the name that statistics show, "user0" and up for an embedding
// program's own.
func (r Reason) String() string {
	if r < ReasonUser {
		return reasonNames[r]
	}
	return "user" + strconv.Itoa(int(r-ReasonUser))
}
