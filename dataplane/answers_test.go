package dataplane

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/queue"
)

// Whatever was given is delivered, also what comes while the carrier is told to end.
func TestAnswersAreDelivered(t *testing.T) {
	bell, err := queue.NewBell()
	require.NoError(t, err)
	defer func() { require.NoError(t, bell.Close()) }()
	a := answers{bell: bell}
	a.open()
	over := make(chan struct{})
	go func() { defer close(over); a.carry() }()
	msgs := make([]*message, 1000)
	for i := range msgs {
		msgs[i] = &message{done: make(chan struct{})}
		a.give(msgs[i])
		bell.Ring()
		if i%100 == 0 {
			await(t, msgs[i].done) // the carrier sleeps in between
		}
	}
	a.give(&message{done: make(chan struct{})})
	a.stop()
	await(t, over)
	for _, m := range msgs {
		await(t, m.done)
	}
	require.Nil(t, a.given.take())
}

func await(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
}
