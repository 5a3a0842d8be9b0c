// Package dataplane moves frames: one worker goroutine per chosen CPU, locked to
// its thread and pinned, takes bursts from the queues it owns, hands each burst
// to a stage and puts the result on other ports' queues.
//
// # Model
//
// One turn of a [Worker] is: mail; each receive queue it owns, up to burst frames in
// visits of each_burst, through the [Stage]; then everything queued for sending is
// flushed and completed transmissions are reclaimed. What a visit takes runs to
// completion before the next one. [PollConfig] has the tunables, after DEVICE_POLLING
// of the BSDs. A core without work sleeps as its [Idle] policy says, until a frame, a
// message or another worker wakes it.
//
// A stage owns every frame it is given and must send or drop each of them,
// through [Worker.Send], [Worker.SendBurst], [Worker.Drop] or
// [Worker.DropBurst]. Dropping takes a reason, and every reason is a counter.
//
// A stage that sends frames of its own, or has something to do at certain times,
// is a [Generator]: it is called once a turn and takes frames from [Worker.Make].
//
// A queue belongs to one worker. A worker that sends on a port of which it owns
// no queue puts the frames on the port's send queue ([queue.Classic], unless
// [Dataplane.SetSendQueue] gave it another [Discipline]), and the
// worker that owns the port's first queue sends them, on the queue of the port it has
// had for longest. [Dataplane.MoveQueue] gives a queue to another worker under traffic;
// [Dataplane.Unpoll] takes a port from the workers without closing it, and
// [Dataplane.Repoll] gives it to them again.
//
// # Ownership and control
//
// What a worker holds is changed by the worker alone. Control sends it a function
// with [Dataplane.Do]; the worker runs it between two bursts. [Dataplane.Barrier]
// returns when every worker has finished the turn it was in.
//
// # Accounts
//
// [Dataplane.Accounts] walks every owner of every frame while all workers stand
// still at a rendezvous, which lasts as long as the walk, some tens of
// microseconds for 16,384 frames. The rendezvous is given up and tried again if a
// worker is late, so that no worker waits long for another.
//
// # Failure
//
// A stage that panics takes down its worker. The frames it had are recovered, the
// ports that worker polled are closed, an [Event] tells, and other workers go on.
// Recovered is what the burst it was given still names, and what a [FrameHolder]
// releases: frames that a stage has moved elsewhere are lost with it.
//
// # Concurrency
//
// Methods of [Dataplane] may be called from any goroutine. Methods of [Worker]
// may be called only on the worker: in Process, or in a function given to Do.
//
// # Limitations
//
// A queue whose driver has nothing to wait on keeps its core's sleeps short. Packets of several frames are not assembled.
package dataplane
