package vm

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRunErr(t *testing.T) {
	good := Run{Driver: "d", Mode: "copy", Forward: "io", Queues: 1, Workers: 1, Sent: 10, Received: 8,
		Dropped: map[string]uint64{"tx_kernel": 2}, Frames: 64, Accounted: 64}
	require.NoError(t, good.Err())
	require.Equal(t, "d copy io queues=1 workers=1: sent 10, received 8, tx_kernel 2, lost 0; frames accounted 64 of 64", good.String())
	for want, spoil := range map[string]func(*Run){
		"no frame was sent":                    func(r *Run) { *r = Run{} },
		"1 frames were lost without a reason":  func(r *Run) { r.Received-- },
		"-1 frames were lost without a reason": func(r *Run) { r.Dropped = map[string]uint64{"x": 3} },
		"3 frames came changed":                func(r *Run) { r.Wrong = 3 },
		"63 of 64 frames of the pools":         func(r *Run) { r.Accounted-- },
	} {
		r := good
		spoil(&r)
		require.ErrorContains(t, r.Err(), want)
	}
}

func TestTable(t *testing.T) {
	table := Table([]Row{{"6.1", Offer{"veth", map[Feature]string{Native: Yes, ZeroCopy: "no: EOPNOTSUPP"}}}})
	lines := strings.Split(strings.TrimSpace(table), "\n")
	require.Len(t, lines, 3)
	require.Regexp(t, `^\| kernel \| driver \| native XDP \|`, lines[0])
	require.Regexp(t, `^\| 6\.1    \| .veth. \| yes        \| –    \| no: EOPNOTSUPP \|`, lines[2])
	for _, l := range lines[1:] {
		require.Len(t, []rune(l), len([]rune(lines[0])), "the lines are as long as each other")
	}
}

func TestReplaceGenerated(t *testing.T) {
	out, err := replaceGenerated("a\n"+beginMark+"old\n"+endMark+"z\n", "new\n")
	require.NoError(t, err)
	require.Equal(t, "a\n"+beginMark+"new\n"+endMark+"z\n", out)
	_, err = replaceGenerated("a\n", "new\n")
	require.ErrorContains(t, err, "generated: begin")
}

func FuzzParseReport(f *testing.F) {
	f.Add(`{"release":"6.1"}` + "\n" + `{"run":{"driver":"d","sent":1}}` + "\n" + `{"offer":{"driver":"d","has":{"copy":"yes"}}}` + "\n" + `{"end":0}` + "\n")
	f.Add("{\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseReport(strings.NewReader(text))
		if r == nil {
			t.Fatal("no report")
		}
		if err == nil && !r.Ended && r.Status != 0 {
			t.Fatalf("a status without an end: %q", text)
		}
	})
}
