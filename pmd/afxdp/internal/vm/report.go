package vm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Report is what a guest tells of its run. The guest writes it in pieces, a line of
// JSON each, to a serial port of its own, where no message of its kernel can come
// between.
type Report struct {
	// Release is the guest's uname -r.
	Release string
	// Offers tell what each NIC driver has.
	Offers []Offer
	// Runs are the forwarding runs.
	Runs []Run
	// Ended is set once the guest has run all its tests.
	Ended bool
	// Status is what its test program would have exited with.
	Status int
}

// Line is one line of a report: one of its fields is set.
type Line struct {
	Release string `json:"release,omitempty"`
	Offer   *Offer `json:"offer,omitempty"`
	Run     *Run   `json:"run,omitempty"`
	End     *int   `json:"end,omitempty"`
}

// Offer is what a driver was found to have, by trying.
type Offer struct {
	// Driver is the kernel's name of it.
	Driver string `json:"driver"`
	// Has holds, by Feature, "yes" or why not: an errno or a few words.
	Has map[Feature]string `json:"has"`
}

// Feature is something a driver may have.
type Feature string

// The features, in the order of the table.
const (
	Native         Feature = "native XDP"
	Copy           Feature = "copy"
	ZeroCopy       Feature = "zero-copy"
	NeedWakeup     Feature = "need_wakeup"
	BusyPoll       Feature = "busy polling"
	MultiBufCopy   Feature = "multi-buffer, copy"
	MultiBufZC     Feature = "multi-buffer, zero-copy"
	SharedUMEMCopy Feature = "shared UMEM, copy"
	SharedUMEMZC   Feature = "shared UMEM, zero-copy"
	RxHash         Feature = "RX hash"
	RxTimestamp    Feature = "RX timestamp"
	RxVLAN         Feature = "RX VLAN tag"
	TxChecksumCopy Feature = "TX checksum, copy"
	TxChecksumZC   Feature = "TX checksum, zero-copy"
	TxStampCopy    Feature = "TX timestamp, copy"
	TxStampZC      Feature = "TX timestamp, zero-copy"
)

// Features returns all of them in the order of the table.
func Features() []Feature {
	return []Feature{Native, Copy, ZeroCopy, NeedWakeup, BusyPoll, MultiBufCopy, MultiBufZC, SharedUMEMCopy, SharedUMEMZC,
		RxHash, RxTimestamp, RxVLAN, TxChecksumCopy, TxChecksumZC, TxStampCopy, TxStampZC}
}

// Yes is what Offer.Has holds for a feature that is there.
const Yes = "yes"

// Run is one forwarding run, between two NICs and back.
type Run struct {
	Driver string `json:"driver"`
	// Mode is what the ports had obtained, as read back from the kernel.
	Mode string `json:"mode"`
	// Forward is the forwarding mode.
	Forward string `json:"forward"`
	// Queues and Workers are how many each port, and all of them, had.
	Queues  int `json:"queues"`
	Workers int `json:"workers"`
	// Sent is the number of frames that the far sides sent, Received how many
	// came back, whole and once.
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
	// Dropped counts frames with a reason, on our side or the kernel's.
	Dropped map[string]uint64 `json:"dropped,omitempty"`
	// Wrong counts frames that came changed, twice or to the wrong side.
	Wrong uint64 `json:"wrong"`
	// Frames is the size of the pools, Accounted how many of them were found with
	// one owner, and Owners who had them.
	Frames    int            `json:"frames"`
	Accounted int            `json:"accounted"`
	Owners    map[string]int `json:"owners"`
}

// Lost returns how many frames are missing without a reason.
func (r *Run) Lost() int64 {
	lost := int64(r.Sent) - int64(r.Received)
	for _, n := range r.Dropped {
		lost -= int64(n)
	}
	return lost
}

// Err tells what is wrong with the run, or nil.
func (r *Run) Err() error {
	switch {
	case r.Sent == 0:
		return errors.New("no frame was sent")
	case r.Lost() != 0:
		return fmt.Errorf("%d frames were lost without a reason", r.Lost())
	case r.Wrong != 0:
		return fmt.Errorf("%d frames came changed, twice or to the wrong side", r.Wrong)
	case r.Accounted != r.Frames:
		return fmt.Errorf("%d of %d frames of the pools have an owner", r.Accounted, r.Frames)
	}
	return nil
}

// String writes the run on one line.
func (r *Run) String() string {
	s := fmt.Sprintf("%s %s %s queues=%d workers=%d: sent %d, received %d", r.Driver, r.Mode, r.Forward, r.Queues, r.Workers, r.Sent, r.Received)
	for _, reason := range slices.Sorted(maps.Keys(r.Dropped)) {
		s += fmt.Sprintf(", %s %d", reason, r.Dropped[reason])
	}
	return s + fmt.Sprintf(", lost %d; frames accounted %d of %d", r.Lost(), r.Accounted, r.Frames)
}

// parseReport reads a report as far as it goes. A line that is not of a report is an
// error.
func parseReport(text io.Reader) (*Report, error) {
	r := &Report{}
	s := bufio.NewScanner(text)
	s.Buffer(nil, 1<<20)
	for n := 1; s.Scan(); n++ {
		raw := bytes.TrimSpace(s.Bytes())
		if len(raw) == 0 {
			continue
		}
		var line Line
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&line); err != nil || r.Ended {
			return r, fmt.Errorf("line %d of the results is garbage: %.60q: %w", n, raw, errors.Join(err, afterEnd(r.Ended)))
		}
		switch {
		case line.Offer != nil:
			r.Offers = append(r.Offers, *line.Offer)
		case line.Run != nil:
			r.Runs = append(r.Runs, *line.Run)
		case line.End != nil:
			r.Ended, r.Status = true, *line.End
		default:
			r.Release = line.Release
		}
	}
	return r, s.Err()
}

func afterEnd(ended bool) error {
	if ended {
		return errors.New("it follows the end")
	}
	return nil
}

// failures returns the names of the tests that failed, as the log has them.
func failures(log string) (names []string) {
	for line := range strings.Lines(log) {
		if _, rest, ok := strings.Cut(line, "--- FAIL: "); ok {
			name, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			names = append(names, name)
		}
	}
	return names
}
