package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/dataplane"
)

// Kinds of metric.
const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// metric is a metric of things of type T, one series for each.
type metric[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*T) float64
}

// metricOf describes a metric. The labels are those of the things.
func metricOf[T any](kind prometheus.ValueType, name, help string, labels []string, value func(*T) float64) metric[T] {
	return metric[T]{prometheus.NewDesc(name, help, labels, nil), kind, value}
}

// partOf describes one of several metrics of a name, which a label tells apart.
func partOf[T any](kind prometheus.ValueType, name, help string, labels []string, part string, value func(*T) float64) metric[T] {
	return metric[T]{prometheus.NewDesc(name, help, labels, prometheus.Labels{"part": part}), kind, value}
}

// nanoseconds as seconds.
const nano = 1e-9

// truth is 1 for true.
func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// table is every metric. Make one with newTable.
type table struct {
	build, start, mode, accountAge  *prometheus.Desc
	portInfo, drops, device, counts *prometheus.Desc
	queueInfo, owners               *prometheus.Desc

	ports  []metric[engine.Port]
	queues []metric[engine.Queue]
	cores  []metric[engine.Core]
	pools  []metric[dataplane.PoolStats]
}

func newTable() *table {
	port, queue, core, pool := []string{"port"}, []string{"port", "queue"}, []string{"worker", "cpu"}, []string{"pool"}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &table{
		build:      desc("pmd_build_info", "The build of the running program; the value is 1.", "version", "revision", "goversion"),
		start:      desc("pmd_start_time_seconds", "When the cores began to poll, in seconds since the epoch."),
		mode:       desc("pmd_forward_info", "The forwarding mode; the value is 1.", "mode"),
		accountAge: desc("pmd_account_age_seconds", "How long before the scrape the frames of the pools were last counted one by one."),
		portInfo:   desc("pmd_port_info", "What a port is; the value is 1. Mode is what its driver obtained.", "port", "id", "driver", "mode", "mac"),
		drops:      desc("pmd_port_dropped_packets_total", "Packets that pmd had and gave up, by reason: docs/drops.md.", "port", "reason"),
		device: desc("pmd_port_device_events_total",
			"What the device counted in front of pmd or behind it, by its own name; not all of these are losses: docs/drops.md.", "port", "counter"),
		counts:    desc("pmd_port_mode_events_total", "What forwarding modes count of received packets, by counter: docs/drops.md.", "port", "counter"),
		queueInfo: desc("pmd_queue_info", "Which CPU polls a queue, -1 for none or any; the value is 1.", "port", "queue", "cpu"),
		owners:    desc("pmd_pool_owner_frames", "Frames by who has them.", "pool", "owner"),

		ports: []metric[engine.Port]{
			metricOf(gauge, "pmd_port_up", "Whether the port can carry traffic.", port, func(p *engine.Port) float64 { return truth(p.Up) }),
			metricOf(gauge, "pmd_port_unpolled_queues", "Queues of the interface that packets come to and nobody polls.", port, func(p *engine.Port) float64 { return float64(len(p.UnpolledQueues)) }),
			metricOf(gauge, "pmd_port_mtu_bytes", "The largest packet without its Ethernet header.", port, func(p *engine.Port) float64 { return float64(p.MTU) }),
			metricOf(counter, "pmd_port_receive_packets_total", "Packets received.", port, func(p *engine.Port) float64 { return float64(p.RxPackets) }),
			metricOf(counter, "pmd_port_receive_bytes_total", "Bytes of frames received, without preamble, checksum and gap.", port, func(p *engine.Port) float64 { return float64(p.RxBytes) }),
			metricOf(counter, "pmd_port_transmit_packets_total", "Packets sent: their transmission is complete.", port, func(p *engine.Port) float64 { return float64(p.TxPackets) }),
			metricOf(counter, "pmd_port_transmit_bytes_total", "Bytes of frames sent, without preamble, checksum and gap.", port, func(p *engine.Port) float64 { return float64(p.TxBytes) }),
			metricOf(counter, "pmd_port_generated_packets_total", "Packets that the forwarding mode made for the port.", port, func(p *engine.Port) float64 { return float64(p.Generated) }),
			metricOf(gauge, "pmd_port_in_hand_packets", "Packets on their way out: buffered, on the send queue, or with the device.", port, func(p *engine.Port) float64 { return float64(p.InHand) }),
		},
		queues: []metric[engine.Queue]{
			metricOf(counter, "pmd_queue_receive_packets_total", "Packets received on a queue.", queue, func(q *engine.Queue) float64 { return float64(q.RxPackets) }),
			metricOf(counter, "pmd_queue_receive_bytes_total", "Bytes of frames received on a queue.", queue, func(q *engine.Queue) float64 { return float64(q.RxBytes) }),
			metricOf(counter, "pmd_queue_transmit_packets_total", "Packets sent on a queue.", queue, func(q *engine.Queue) float64 { return float64(q.TxPackets) }),
			metricOf(counter, "pmd_queue_transmit_bytes_total", "Bytes of frames sent on a queue.", queue, func(q *engine.Queue) float64 { return float64(q.TxBytes) }),
			metricOf(gauge, "pmd_queue_in_flight_packets", "Packets the device took and has not sent yet.", queue, func(q *engine.Queue) float64 { return float64(q.InFlight) }),
			metricOf(counter, "pmd_queue_wakeups_total", "System calls made to make the kernel receive or send.", queue, func(q *engine.Queue) float64 { return float64(q.Wakeups) }),
			metricOf(counter, "pmd_queue_tx_stamps_asked_total", "Packets that were to be stamped with the time at which they left.", queue, func(q *engine.Queue) float64 { return float64(stamps(q).Asked) }),
			metricOf(counter, "pmd_queue_tx_stamps_total", "Packets stamped with the time at which they left.", queue, func(q *engine.Queue) float64 { return float64(stamps(q).Stamped) }),
		},
		cores: []metric[engine.Core]{
			metricOf(gauge, "pmd_core_up", "Whether the worker polls.", core, func(c *engine.Core) float64 { return truth(c.State == "running") }),
			metricOf(counter, "pmd_core_receive_packets_total", "Packets received on the queues that the core polls.", core, func(c *engine.Core) float64 { return float64(c.RxPackets) }),
			metricOf(counter, "pmd_core_transmit_packets_total", "Packets sent on the queues that the core polls.", core, func(c *engine.Core) float64 { return float64(c.TxPackets) }),
			metricOf(counter, "pmd_core_turns_total", "Rounds of the poll loop.", core, func(c *engine.Core) float64 { return float64(c.Turns) }),
			metricOf(counter, "pmd_core_empty_turns_total", "Rounds of the poll loop without a packet.", core, func(c *engine.Core) float64 { return float64(c.EmptyTurns) }),
			metricOf(counter, "pmd_core_busy_seconds_total", "Time in rounds that moved packets.", core, func(c *engine.Core) float64 { return float64(c.BusyNs) * nano }),
			metricOf(counter, "pmd_core_seconds_total", "Time since the worker began to poll.", core, func(c *engine.Core) float64 { return float64(c.TotalNs) * nano }),
			metricOf(gauge, "pmd_core_longest_turn_seconds", "The longest round since the start or the last clearing.", core, func(c *engine.Core) float64 { return float64(c.MaxTurnNs) * nano }),
			metricOf(counter, "pmd_core_thread_moves_total", "How often the worker had to change its thread.", core, func(c *engine.Core) float64 { return float64(c.Moves) }),
			metricOf(counter, "pmd_core_copied_packets_total", "Packets copied from one pool to another.", core, func(c *engine.Core) float64 { return float64(c.Copies) }),
			metricOf(gauge, "pmd_core_held_packets", "Packets that the forwarding mode holds back on the core.", core, func(c *engine.Core) float64 { return float64(c.Held) }),
			metricOf(counter, "pmd_core_sleeps_total", "How often the core slept for want of packets.", core, func(c *engine.Core) float64 { return float64(c.Sleeps) }),
			metricOf(counter, "pmd_core_sleep_seconds_total", "Time the core slept for want of packets.", core, func(c *engine.Core) float64 { return float64(c.SleepNs) * nano }),
			metricOf(counter, "pmd_core_sampled_turns_total", "Rounds of the poll loop that were measured in full.", core, func(c *engine.Core) float64 { return float64(c.Cycles.Turns) }),
			metricOf(counter, "pmd_core_sampled_packets_total", "Packets that the measured rounds moved.", core, func(c *engine.Core) float64 { return float64(c.Cycles.Packets) }),
			partOf(counter, "pmd_core_sampled_cycles_total", "Cycles of the measured rounds, by what they were spent on.", core, "receive", func(c *engine.Core) float64 { return float64(c.Cycles.Receive) }),
			partOf(counter, "pmd_core_sampled_cycles_total", "Cycles of the measured rounds, by what they were spent on.", core, "stage", func(c *engine.Core) float64 { return float64(c.Cycles.Stage) }),
			partOf(counter, "pmd_core_sampled_cycles_total", "Cycles of the measured rounds, by what they were spent on.", core, "transmit", func(c *engine.Core) float64 { return float64(c.Cycles.Transmit) }),
			partOf(counter, "pmd_core_sampled_cycles_total", "Cycles of the measured rounds, by what they were spent on.", core, "idle", func(c *engine.Core) float64 { return float64(c.Cycles.Idle) }),
			partOf(counter, "pmd_core_sampled_cycles_total", "Cycles of the measured rounds, by what they were spent on.", core, "control", func(c *engine.Core) float64 { return float64(c.Cycles.Control) }),
			metricOf(gauge, "pmd_core_poll_handlers", "Queues that the core polls.", core, func(c *engine.Core) float64 { return float64(c.Poll.Handlers) }),
			metricOf(gauge, "pmd_core_poll_burst_packets", "Packets that a queue may take in a round now.", core, func(c *engine.Core) float64 { return float64(c.Poll.Burst) }),
			metricOf(gauge, "pmd_core_poll_pending", "Ticks that no round has served yet.", core, func(c *engine.Core) float64 { return float64(c.Poll.PendingPolls) }),
			metricOf(counter, "pmd_core_poll_short_ticks_total", "Ticks noticed less than half a tick after the one before.", core, func(c *engine.Core) float64 { return float64(c.Poll.ShortTicks) }),
			metricOf(counter, "pmd_core_poll_lost_total", "Ticks that came while one was pending.", core, func(c *engine.Core) float64 { return float64(c.Poll.LostPolls) }),
			metricOf(counter, "pmd_core_poll_stalled_total", "Times that more than 100 ticks were pending.", core, func(c *engine.Core) float64 { return float64(c.Poll.Stalled) }),
			metricOf(counter, "pmd_core_poll_suspect_total", "Ticks that came while a poll was due and had not begun.", core, func(c *engine.Core) float64 { return float64(c.Poll.Suspect) }),
		},
		pools: []metric[dataplane.PoolStats]{
			metricOf(gauge, "pmd_pool_frames", "The size of a pool, in frames.", pool, func(p *dataplane.PoolStats) float64 { return float64(p.Frames) }),
			metricOf(gauge, "pmd_pool_frame_bytes", "The size of a pool's frames.", pool, func(p *dataplane.PoolStats) float64 { return float64(p.FrameSize) }),
			metricOf(gauge, "pmd_pool_accounted_frames", "Frames found with exactly one owner: all of them, or there is a defect.", pool, func(p *dataplane.PoolStats) float64 { return float64(p.Accounted) }),
			metricOf(gauge, "pmd_pool_duplicate_frames", "Frames found with a second owner: none, or there is a defect.", pool, func(p *dataplane.PoolStats) float64 { return float64(p.Duplicate) }),
		},
	}
}

// stamps are those of a queue's sent packets, zero if it has none.
func stamps(q *engine.Queue) dataplane.TxStamps {
	if q.TxStamps == nil {
		return dataplane.TxStamps{}
	}
	return *q.TxStamps
}

// describe sends every description.
func (t *table) describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		t.build, t.start, t.mode, t.accountAge, t.portInfo, t.drops, t.device, t.counts, t.queueInfo, t.owners,
	} {
		ch <- d
	}
	describe(ch, t.ports)
	describe(ch, t.queues)
	describe(ch, t.cores)
	describe(ch, t.pools)
}

func describe[T any](ch chan<- *prometheus.Desc, ms []metric[T]) {
	for _, m := range ms {
		ch <- m.desc
	}
}

// collect sends the values of one thing.
func collect[T any](ch chan<- prometheus.Metric, ms []metric[T], of *T, labels ...string) {
	for _, m := range ms {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(of), labels...)
	}
}

// collect sends a picture.
func (t *table) collect(ch chan<- prometheus.Metric, s *engine.Stats) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	send(t.start, gauge, float64(s.Time.UnixNano())*nano-s.Uptime)
	send(t.mode, gauge, 1, s.Forward)
	send(t.accountAge, gauge, s.AccountAge)
	ports := byName(s.Ports)
	for i := range ports {
		p := &ports[i]
		send(t.portInfo, gauge, 1, p.Name, strconv.Itoa(int(p.ID)), p.Driver, p.Mode, p.MAC)
		collect(ch, t.ports, p, p.Name)
		for reason, n := range p.Drops {
			send(t.drops, counter, float64(n), p.Name, reason)
		}
		for name, n := range p.Missed {
			send(t.device, counter, float64(n), p.Name, name)
		}
		for name, n := range p.Counters {
			send(t.counts, counter, float64(n), p.Name, name)
		}
		for j := range p.Queues {
			q := &p.Queues[j]
			index := strconv.Itoa(q.Index)
			send(t.queueInfo, gauge, 1, p.Name, index, strconv.Itoa(q.CPU))
			collect(ch, t.queues, q, p.Name, index)
		}
	}
	for i := range s.Cores {
		c := &s.Cores[i]
		collect(ch, t.cores, c, strconv.Itoa(c.Worker), strconv.Itoa(c.CPU))
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		collect(ch, t.pools, p, p.Pool)
		for owner, n := range p.Owners {
			send(t.owners, gauge, float64(n), p.Pool, owner)
		}
	}
}
